"""The server modules of the OpenID Foundation's test plan for FAPI 2.0 Security Profile (Final) with
`fapi_profile=fapi_client_credentials_grant` and `client_auth_type=private_key_jwt`, by their names, in both variants of
`sender_constrain` where the module has both.

Each test does over HTTP what the module does; the suite itself is a Java program that is run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from partners.oauth.metadata import JWKS_PATH, METADATA_PATH, TOKEN_PATH
from schemas.jws import b64encode, peek
from schemas.times import now_millis
from tests.conformance.suite import RESOURCE, Suite, certificate_of, error_of
from tests.gateway.callers import code_of
from tests.partners.oauth_world import key_of, sign, without


def test_happy_flow(suite: Suite) -> None:
    """Discovery, then for each of two clients a token request and a protected request."""
    document = suite.http.get(METADATA_PATH).json()
    metadata = AuthorizationServerMetadata(document)
    for name in metadata.REGISTRY_KEYS:
        if name != "response_types_supported":  # there are none, and RFC 8414 leaves out empty lists
            getattr(metadata, f"validate_{name}")()
    assert document["issuer"] == suite.node.url
    assert document["token_endpoint"] == suite.node.url + TOKEN_PATH
    kids = {key["kid"] for key in suite.http.get(JWKS_PATH).json()["keys"]}
    tokens = {}
    for client in suite.clients:
        answer = suite.ask(client)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        members = answer.json()
        assert members["token_type"] == ("DPoP" if suite.variant == "dpop" else "Bearer")
        assert "refresh_token" not in members
        header, claims = peek(members["access_token"])
        assert header["kid"] in kids
        confirmed = claims["cnf"]
        assert isinstance(confirmed, dict)
        assert list(confirmed) == ["jkt" if suite.variant == "dpop" else "x5t#S256"]
        assert suite.call(members["access_token"], client).status_code == 200
        tokens[client.client_id] = members["access_token"]
    assert suite.call(tokens["first"], suite.clients[1]).status_code == 401, "bound to the other one"


@pytest.mark.parametrize("change", [str, str.lower, str.upper], ids=["as it is", "lower", "upper"])
def test_access_token_type_header_case_sensitivity(suite: Suite, change: Callable[[str], str]) -> None:
    token = suite.token()
    scheme = change("DPoP" if suite.variant == "dpop" else "Bearer")
    headers = [("Authorization", f"{scheme} {token}")]
    if suite.variant == "dpop":
        headers.append(("DPoP", suite.proof("GET", RESOURCE, token)))
    assert suite.call(token, headers=headers).status_code == 200


def test_check_dpop_proof_nbf_exp(dpop: Suite) -> None:
    token = dpop.token()
    now = now_millis() // 1000
    for times, status in [
        ({"nbf": now, "exp": now + 60}, 200),
        ({"nbf": now + 3600}, 401),
        ({"exp": now - 3600}, 401),
    ]:
        header, claims = dpop.proof_parts(dpop.clients[0], "GET", RESOURCE, token)
        proof = sign(header, {**claims, **times}, dpop.clients[0].proof_key)
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        assert dpop.call(token, headers=headers).status_code == status


@pytest.mark.parametrize("seconds", [-10, 10], ids=["before", "after"])
def test_dpop_proof_with_iat_10_seconds_succeeds(dpop: Suite, seconds: int) -> None:
    client = dpop.clients[0]
    token = dpop.token()  # so that the nonce is known
    for path, method, ath in ((TOKEN_PATH, "POST", None), (RESOURCE, "GET", token)):
        header, claims = dpop.proof_parts(client, method, path, ath)
        proof = sign(header, {**claims, "iat": claims["iat"] + seconds}, client.proof_key)
        if ath is None:
            assert dpop.ask(headers={"DPoP": proof}).status_code == 200
        else:
            headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
            assert dpop.call(token, headers=headers).status_code == 200


def test_ensure_client_id_in_token_endpoint(suite: Suite) -> None:
    assert suite.ask(form={"client_id": "first"}).status_code == 200
    assert error_of(suite.ask(form={"client_id": "second"})) == "invalid_client"


def test_ensure_holder_of_key_required(suite: Suite) -> None:
    """Neither a token nor data without the key. What the module asks of TLS is tested with the listener."""
    refused = error_of(suite.ask(bound=False))
    assert refused == {"dpop": "invalid_dpop_proof", "mtls": "invalid_request"}[suite.variant]
    token = suite.token()
    suite.app.certificate = None
    alone = suite.http.get(RESOURCE, headers={"Authorization": f"Bearer {token}"})
    assert alone.status_code == 401
    assert 'error="' in alone.headers["www-authenticate"]


def test_ensure_signed_client_assertion_with_rs256_fails(suite: Suite) -> None:
    client = suite.clients[1]
    assert suite.ask(client).status_code == 200
    assert error_of(suite.ask(client, assertion=suite.assertion(client, algorithm="RS256"))) == "invalid_client"


@pytest.mark.parametrize("absent", ["client_assertion", "client_assertion_type"])
def test_ensure_client_assertion_in_token_endpoint(suite: Suite, absent: str) -> None:
    assert error_of(suite.ask(form={absent: None})) == "invalid_client"


def test_ensure_client_assertion_with_exp_is_5_minutes_in_past_fails(suite: Suite) -> None:
    past = now_millis() // 1000 - 300
    assert error_of(suite.ask(assertion=suite.assertion(exp=past))) == "invalid_client"


def test_ensure_client_assertion_with_wrong_aud_fails(suite: Suite) -> None:
    for wrong in ("https://gateway.jiashan.example:8443", suite.node.url + TOKEN_PATH, [suite.node.url], None):
        assert error_of(suite.ask(assertion=suite.assertion(aud=wrong))) == "invalid_client"


def test_ensure_client_assertion_with_no_sub_fails(suite: Suite) -> None:
    assert error_of(suite.ask(assertion=suite.assertion(sub=None))) == "invalid_client"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_client_assertion_with_iat_and_nbf_10_seconds_ahead_succeeds_and_an_hour_ahead_fails(
    suite: Suite, claim: str
) -> None:
    now = now_millis() // 1000
    assert suite.ask(assertion=suite.assertion(**{claim: now + 10})).status_code == 200
    assert error_of(suite.ask(assertion=suite.assertion(**{claim: now + 3600}))) == "invalid_client"


@pytest.mark.parametrize("scope", ["", None, "openid", "feeds:read records:read"])
def test_a_scope_that_is_not_the_clients_is_never_narrowed(suite: Suite, scope: str | None) -> None:
    assert error_of(suite.ask(form={"scope": scope})) == "invalid_scope"


def test_a_password_grant_is_refused(suite: Suite) -> None:
    assert error_of(suite.ask(form={"grant_type": "password", "username": "a", "password": "b"})) == (
        "unsupported_grant_type"
    )


# --- DpopNegativeTests: its blocks, each at the protected resource and, where there is no token in it, at the token
# endpoint too.

Parts = tuple[dict[str, Any], dict[str, Any]]
OTHER = key_of("ES256", "a stranger's proofs")
RSA = key_of("PS256", "proofs with RSA")


def _in_header(**members: Any) -> Callable[[Parts], Parts]:
    return lambda parts: ({**parts[0], **members}, parts[1])


def _in_claims(**members: Any) -> Callable[[Parts], Parts]:
    return lambda parts: (parts[0], {**parts[1], **members})


def _no_header(name: str) -> Callable[[Parts], Parts]:
    return lambda parts: (without(parts[0], name), parts[1])


def _no_claim(name: str) -> Callable[[Parts], Parts]:
    return lambda parts: (parts[0], without(parts[1], name))


def _htu(change: Callable[[str], str]) -> Callable[[Parts], Parts]:
    return lambda parts: (parts[0], {**parts[1], "htu": change(parts[1]["htu"])})


def _iat(seconds: int) -> Callable[[Parts], Parts]:
    return lambda parts: (parts[0], {**parts[1], "iat": parts[1]["iat"] + seconds})


CHANGES: dict[str, tuple[Callable[[Parts], Parts], bool]] = {
    "missing typ": (_no_header("typ"), False),
    "missing alg": (_no_header("alg"), False),
    "missing jwk": (_no_header("jwk"), False),
    "missing jti": (_no_claim("jti"), False),
    "missing htm": (_no_claim("htm"), False),
    "missing htu": (_no_claim("htu"), False),
    "missing iat": (_no_claim("iat"), False),
    "wrong typ": (_in_header(typ="JWT"), False),
    "alg none": (_in_header(alg="none"), False),
    "private key in jwk": (_in_header(jwk=key_of("ES256", "first proofs").as_dict(private=True)), False),
    "another key in jwk": (_in_header(jwk=OTHER.as_dict(private=False)), False),
    "wrong htm": (_in_claims(htm="PUT"), False),
    "htu with a query and a fragment is the same": (_htu(lambda htu: htu + "?a=b#c"), True),
    "different htu": (_htu(lambda htu: htu + "/other"), False),
    "iat an hour ago": (_iat(-3600), False),
    "iat in an hour": (_iat(3600), False),
    "an extra header member is ignored": (_in_header(extra="member"), True),
    "extra claims are ignored": (_in_claims(extra="claim", iss="somebody"), True),
    "htu in another case is the same": (_htu(lambda htu: htu.replace("https://", "HTTPS://")), True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_dpop_negative_tests_a_changed_proof(dpop: Suite, name: str) -> None:
    change, taken = CHANGES[name]
    client = dpop.clients[0]
    token = dpop.token()
    for method, path, ath in (("POST", TOKEN_PATH, None), ("GET", RESOURCE, token)):
        header, claims = change(dpop.proof_parts(client, method, path, ath))
        proof = sign(header, claims, client.proof_key, "ES256")
        if ath is None:
            answer = dpop.ask(headers={"DPoP": proof})
            assert answer.status_code == 200 if taken else error_of(answer) == "invalid_dpop_proof"
        else:
            answer = dpop.call(token, headers=[("Authorization", f"DPoP {token}"), ("DPoP", proof)])
            assert answer.status_code == 200 if taken else code_of(answer, 401) == "token.proof-invalid"
            assert taken or 'error="invalid_dpop_proof"' in answer.headers["www-authenticate"]


def _proofs(dpop: Suite, token: str) -> dict[str, tuple[list[str], int]]:
    """By the block's name, the `DPoP` header lines of a request, and how it is answered."""
    client = dpop.clients[0]
    header, claims = dpop.proof_parts(client, "GET", RESOURCE, token)
    good = sign(header, claims, client.proof_key)
    body, _, signature = good.rpartition(".")
    rsa = {**header, "alg": "RS256", "jwk": RSA.as_dict(private=False)}
    normal = {**claims, "htu": f"{dpop.node.url}{RESOURCE.replace('feeds', '%66eeds')}"}
    return {
        "two DPoP headers": ([good, dpop.proof("GET", RESOURCE, token)], 401),
        "not a JWT": (["not a JWT"], 401),
        "missing ath": ([dpop.proof("GET", RESOURCE)], 401),
        "wrong ath": ([dpop.proof("GET", RESOURCE, "another token")], 401),
        "RS256": ([sign(rsa, claims, RSA)], 401),
        "bad signature": ([f"{body}.{b64encode(bytes(64))}"], 401),
        "another signature": ([f"{body}.{signature[::-1]}"], 401),
        "another key than the token's": ([dpop.proof("GET", RESOURCE, token, dpop.clients[1])], 401),
        "no proof": ([], 401),
        "htu with an escaped letter is the same": ([sign(header, normal, client.proof_key)], 200),
    }


BLOCKS = (
    "two DPoP headers", "not a JWT", "missing ath", "wrong ath", "RS256", "bad signature", "another signature",
    "another key than the token's", "no proof", "htu with an escaped letter is the same",
)  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_dpop_negative_tests_a_proof_that_is_another(dpop: Suite, name: str) -> None:
    token = dpop.token()
    proofs, status = _proofs(dpop, token)[name]
    headers = [("Authorization", f"DPoP {token}"), *(("DPoP", proof) for proof in proofs)]
    assert dpop.call(token, headers=headers).status_code == status


def test_dpop_negative_tests_an_upper_case_header_is_the_same_header(dpop: Suite) -> None:
    token = dpop.token()
    headers = [("AUTHORIZATION", f"DPoP {token}"), ("DPOP", dpop.proof("GET", RESOURCE, token))]
    assert dpop.call(token, headers=headers).status_code == 200


def test_dpop_negative_tests_jti_reuse(dpop: Suite) -> None:
    token = dpop.token()
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", dpop.proof("GET", RESOURCE, token))]
    assert dpop.call(token, headers=headers).status_code == 200
    assert code_of(dpop.call(token, headers=headers), 401) == "token.proof-replayed"
    proof = dpop.proof("POST", TOKEN_PATH)
    assert dpop.ask(headers={"DPoP": proof}).status_code == 200
    assert error_of(dpop.ask(headers={"DPoP": proof})) == "invalid_dpop_proof"


@pytest.mark.parametrize("with_proof", [True, False])
def test_dpop_negative_tests_a_bound_token_sent_as_bearer(dpop: Suite, with_proof: bool) -> None:
    token = dpop.token()
    headers = [("Authorization", f"Bearer {token}")]
    if with_proof:
        headers.append(("DPoP", dpop.proof("GET", RESOURCE, token)))
    assert code_of(dpop.call(token, headers=headers), 401) == "token.sent-as-bearer"


# --- What the module EnsureHolderOfKeyRequired does with certificates, in the variant mtls.


def test_a_token_that_is_bound_to_a_certificate_is_good_with_that_one_alone(suite: Suite) -> None:
    token = suite.token()
    if suite.variant == "dpop":
        assert suite.call(token, certificate=certificate_of("anybody")).status_code == 200, "it says nothing here"
        return
    assert code_of(suite.call(token, certificate=certificate_of("a thief")), 401) == "token.certificate-mismatch"
    assert code_of(suite.call(token, suite.clients[1]), 401) == "token.certificate-mismatch"
    as_dpop = [("Authorization", f"DPoP {token}"), ("DPoP", suite.proof("GET", RESOURCE, token))]
    assert code_of(suite.call(token, headers=as_dpop), 401) == "token.sent-as-dpop"
    challenge = suite.call(token, suite.clients[1]).headers["www-authenticate"]
    assert challenge.startswith('Bearer error="invalid_token"')

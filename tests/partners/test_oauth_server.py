"""The token endpoint in every detail; the modules of the OpenID suite by their names are in `tests/conformance`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from partners.errors import RegistrationError
from partners.oauth.client_auth import MAX_BODY
from partners.oauth.clients import Client
from partners.oauth.metadata import authorization_server_metadata
from partners.oauth.replay import MemoryReplay, forget_expired
from partners.oauth.store import add_client
from partners.oauth.token_keys import TokenKeys
from schemas.errors import SignatureError
from schemas.jws import peek
from tests.partners.oauth_world import (
    FORM,
    ISSUER,
    NOW,
    TOKEN_URI,
    World,
    error_of,
    jwks_of,
    key_of,
    sign,
    without,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_both_clients_get_a_bound_token_of_five_minutes(world: World) -> None:
    for client_id in ("wujiang", "jiashan"):
        answer = world.ask(world.assertion(client_id))
        assert (answer.status, answer.client_id) == (200, client_id)
        assert {("Content-Type", "application/json"), ("Cache-Control", "no-store")} <= set(answer.headers)
        members = json.loads(answer.body)
        assert without(members, "access_token") == {"token_type": "DPoP", "expires_in": 300, "scope": "feeds:read"}
        header, claims = peek(members["access_token"])
        assert header == {"alg": "ES256", "typ": "at+jwt", "kid": world.key.kid}
        assert len(str(claims.pop("jti"))) >= 16
        assert claims == {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": client_id,
            "client_id": client_id,
            "scope": "feeds:read",
            "iat": NOW // 1000,
            "exp": NOW // 1000 + 300,
            "cnf": {"jkt": world.proof_key.thumbprint()},
        }


def test_a_client_id_that_contradicts_the_assertion_is_refused(world: World) -> None:
    assert world.ask(form={"client_id": "wujiang"}).status == 200
    refused = world.ask(form={"client_id": "jiashan"})
    assert error_of(refused) == "invalid_client"
    assert refused.client_id == "wujiang", "who it really was is known, for the log"


@pytest.mark.parametrize("kind", ["ES256", "PS256", "Ed25519"])
def test_each_accepted_algorithm_authenticates(world: World, kind: str) -> None:
    key = key_of(kind, "third")
    world.add("third", "330503", key, scopes={"feeds:read"})
    assert world.ask(sign({"alg": kind}, world.claims("third"), key)).status == 200


SECOND = NOW // 1000
TIMES: dict[str, tuple[dict[str, object], bool]] = {
    "iat 10 s before": ({"iat": SECOND - 10}, True),
    "iat and nbf 10 s ahead": ({"iat": SECOND + 10, "nbf": SECOND + 10}, True),
    "iat 61 s ahead": ({"iat": SECOND + 61}, False),
    "nbf 61 s ahead": ({"nbf": SECOND + 61}, False),
    "iat as truth": ({"iat": True}, False),
    "no iat": ({"iat": None}, True),
    "exp in an hour": ({"exp": SECOND + 3600}, True),
    "exp with parts of a second": ({"exp": SECOND + 59.5}, True),
    "exp 30 s ago, within the skew": ({"exp": SECOND - 30}, True),
    "exp 5 minutes in the past": ({"exp": SECOND - 300}, False),
    "exp in two hours": ({"exp": SECOND + 7200}, False),
    "exp in ten years": ({"exp": SECOND + 315_360_000}, False),
    "exp never": ({"exp": float("inf")}, False),
    "exp not a number": ({"exp": float("nan")}, False),
    "exp of four hundred digits": ({"exp": 10**400}, False),
    "exp as text": ({"exp": str(SECOND + 60)}, False),
    "exp as truth": ({"exp": True}, False),
    "no exp": ({"exp": None}, False),
}


@pytest.mark.parametrize("name", TIMES)
def test_the_times_of_an_assertion(world: World, name: str) -> None:
    changes, taken = TIMES[name]
    answer = world.ask(world.assertion(**changes))
    assert (answer.status == 200) is taken
    if not taken:
        assert error_of(answer) == "invalid_client"


WRONG: dict[str, dict[str, object]] = {
    "aud of another gateway": {"aud": "https://gateway.wujiang.example:8443"},
    "aud as a list": {"aud": [ISSUER]},
    "aud as a list with another": {"aud": [ISSUER, "https://gateway.wujiang.example:8443"]},
    "aud of the token endpoint": {"aud": TOKEN_URI},
    "aud with a slash": {"aud": ISSUER + "/"},
    "no aud": {"aud": None},
    "no sub": {"sub": None},
    "sub that is no text": {"sub": ["wujiang"]},
    "sub of another client": {"sub": "jiashan"},
    "sub of nobody": {"sub": "nobody"},
    "sub that no database takes": {"sub": "wujiang\0"},
    "sub that is half a character": {"sub": "\ud800"},
    "sub longer than any": {"sub": "w" * 5000},
    "iss of another client": {"iss": "jiashan"},
    "no iss": {"iss": None},
    "no jti": {"jti": None},
    "jti empty": {"jti": ""},
    "jti that is no text": {"jti": 5},
    "jti too long": {"jti": "j" * 257},
    "jti that no database takes": {"jti": "a\0b"},
    "more claims than we read": {"padding": "x" * 8192},
}


@pytest.mark.parametrize("name", WRONG)
def test_an_assertion_with_a_wrong_claim_is_refused(world: World, name: str) -> None:
    assert error_of(world.ask(world.assertion(**WRONG[name]))) == "invalid_client"


GOOD, STRANGER = key_of("ES256", "wujiang"), key_of("ES256", "stranger")
TRICKS: dict[str, tuple[dict[str, object], Any]] = {
    "none": ({"alg": "none"}, None),
    "none in capitals": ({"alg": "NONE"}, None),
    "no alg": ({}, GOOD),
    "an alg that is a list": ({"alg": ["ES256"]}, GOOD),
    "ES256 without a signature": ({"alg": "ES256"}, None),
    "HS256 with the public key": ({"alg": "HS256"}, GOOD.as_pem(private=False)),
    "ES256 with an HMAC of the public key": ({"alg": "ES256"}, GOOD.as_pem(private=False)),
    "the name of another curve": ({"alg": "ES384"}, GOOD),
    "a stranger's key": ({"alg": "ES256", "kid": GOOD.kid}, STRANGER),
    "a stranger's kid": ({"alg": "ES256", "kid": STRANGER.kid}, STRANGER),
    "a stranger's key in jwk": ({"alg": "ES256", "jwk": STRANGER.as_dict(private=False)}, STRANGER),
    "a stranger's key at jku": ({"alg": "ES256", "jku": "https://stranger.example/jwks"}, STRANGER),
    "a stranger's key at x5u": ({"alg": "ES256", "x5u": "https://stranger.example/x5c"}, STRANGER),
    "a kid that is a path": ({"alg": "ES256", "kid": "../../dev/null"}, GOOD),
    "a kid that is a list": ({"alg": "ES256", "kid": [GOOD.kid]}, GOOD),
    "an unknown critical extension": ({"alg": "ES256", "crit": ["exp2"], "exp2": 1}, GOOD),
    "a critical extension the library knows": ({"alg": "ES256", "crit": ["b64"], "b64": True}, GOOD),
    "crit that is no list": ({"alg": "ES256", "crit": 5}, GOOD),
    "b64 without crit": ({"alg": "ES256", "b64": False}, GOOD),
    "the type of an access token": ({"alg": "ES256", "typ": "at+jwt"}, GOOD),
    "the type of a proof": ({"alg": "ES256", "typ": "dpop+jwt"}, GOOD),
    "a type that is a list": ({"alg": "ES256", "typ": ["JWT"]}, GOOD),
    "a header longer than we read": ({"alg": "ES256", "padding": "x" * 5000}, GOOD),
}


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_in_the_header_of_an_assertion_are_refused(world: World, name: str) -> None:
    header, key = TRICKS[name]
    assert error_of(world.ask(sign(header, world.claims(), key, "ES256"))) == "invalid_client"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"typ": "JWT", "kid": GOOD.kid}, id="type and kid"),
        pytest.param({"typ": "client-authentication+jwt"}, id="the newer type"),
        pytest.param({"unheard-of": 1}, id="an unknown member"),
        pytest.param({"jku": "https://stranger.example/jwks"}, id="a jku that nobody follows"),
    ],
)
def test_headers_that_harm_nobody_are_taken(world: World, header: dict[str, object]) -> None:
    assert world.ask(sign({"alg": "ES256", **header}, world.claims(), GOOD)).status == 200


def test_an_unknown_client_and_a_wrong_signature_get_one_answer(world: World) -> None:
    unknown = world.ask(sign({"alg": "ES256"}, world.claims("nobody"), GOOD))
    wrong = world.ask(sign({"alg": "ES256"}, world.claims(), STRANGER))
    assert unknown == wrong
    assert unknown.client_id is None


def test_during_a_rotation_both_keys_authenticate(world: World) -> None:
    following = key_of("Ed25519", "wujiang next")
    world.change_keys("wujiang", GOOD, following)
    for key, algorithm in ((GOOD, "ES256"), (following, "Ed25519")):
        assert world.ask(sign({"alg": algorithm, "kid": key.kid}, world.claims(), key)).status == 200
    world.change_keys("wujiang", following)
    assert error_of(world.ask()) == "invalid_client"


def test_an_assertion_is_good_once_also_for_another_process_and_after_a_restart(world: World) -> None:
    assertion = world.assertion()
    assert world.ask(assertion).status == 200
    assert error_of(world.ask(assertion)) == "invalid_client"
    engine = create_engine(world.url)
    assert error_of(world.ask(assertion, endpoint=world.endpoint_over(engine))) == "invalid_client"
    engine.dispose()


def test_an_assertion_stays_used_for_as_long_as_it_is_valid(world: World) -> None:
    assertion = world.assertion(exp=SECOND + 3600)
    assert world.ask(assertion).status == 200
    later = NOW + 3_650_000
    with world.engine.begin() as connection:
        assert forget_expired(connection, later) == 0
    proof = world.proof(iat=later // 1000)
    assert error_of(world.ask(assertion, proof=proof, now=later)) == "invalid_client"


def test_two_clients_may_use_the_same_jti(world: World) -> None:
    assert world.ask(world.assertion("wujiang", jti="one")).status == 200
    assert world.ask(world.assertion("jiashan", jti="one")).status == 200


def test_an_assertion_refused_for_its_proof_or_scope_can_be_sent_again(world: World) -> None:
    assertion = world.assertion()
    assert error_of(world.ask(assertion, proof="nonsense")) == "invalid_dpop_proof"
    assert error_of(world.ask(assertion, form={"scope": "witness"})) == "invalid_scope"
    assert world.ask(assertion).status == 200


def test_nobody_fills_the_memory_of_proofs_without_being_a_client(world: World) -> None:
    proof = world.proof()
    assert error_of(world.ask("nonsense", proof=proof)) == "invalid_client"
    assert world.ask(proof=proof).status == 200


def test_a_proof_is_good_for_one_token_request(world: World) -> None:
    proof = world.proof()
    assert world.ask(proof=proof).status == 200
    assert error_of(world.ask(proof=proof)) == "invalid_dpop_proof"


def test_two_proofs_are_refused_wherever_the_good_one_stands(world: World) -> None:
    for proofs in ([world.proof(), world.proof()], ["x", world.proof()], [world.proof(), "x"]):
        headers = [FORM, *(("dpop", proof) for proof in proofs)]
        assert error_of(world.ask(headers=headers)) == "invalid_dpop_proof"
    assert error_of(world.ask(proof=f"{world.proof()}, {world.proof()}")) == "invalid_dpop_proof"


def test_a_proof_for_another_request_gets_no_token(world: World) -> None:
    for proof in (
        world.proof("GET"),
        world.proof(uri=ISSUER + "/v1/feeds"),
        world.proof(uri="https://a.example/oauth/token"),
    ):
        assert error_of(world.ask(proof=proof)) == "invalid_dpop_proof"


def test_when_no_more_proofs_can_be_remembered_no_token_is_given(world: World) -> None:
    full = world.endpoint_over(world.engine, proofs=MemoryReplay(NOW - 3_600_000, capacity=1))
    assert world.ask(endpoint=full).status == 200
    assert error_of(world.ask(endpoint=full)) == "use_dpop_nonce", "nearly full: only who listens to us goes on"
    answer = world.ask(endpoint=full, proof=world.proof(nonce=world.nonces.current(NOW)))
    assert (answer.status, error_of(answer)) == (503, "temporarily_unavailable")


SCOPES = {
    "one of two": ("feeds:read", "feeds:read"),
    "both, in any order": ("receipts:write feeds:read", "receipts:write feeds:read"),
    "one twice": ("feeds:read feeds:read", "feeds:read"),
    "one too many": ("feeds:read records:read", None),
    "one that does not exist": ("feeds:write", None),
    "one in capitals": ("FEEDS:READ", None),
    "none": ("", None),
    "blanks": ("  ", None),
    "no parameter": ("(absent)", None),
}


@pytest.mark.parametrize("name", SCOPES)
def test_a_scope_is_given_as_asked_for_or_refused_never_narrowed(world: World, name: str) -> None:
    asked, given_scope = SCOPES[name]
    answer = world.ask(form={"scope": asked})
    if given_scope is None:
        assert error_of(answer) == "invalid_scope"
    else:
        assert json.loads(answer.body)["scope"] == given_scope
        assert peek(json.loads(answer.body)["access_token"])[1]["scope"] == given_scope


@pytest.mark.parametrize("state", ["suspended", "ended"])
def test_a_client_that_is_not_active_gets_no_token_and_is_known_for_the_log(world: World, state: str) -> None:
    world.change("wujiang", state=state)
    answer = world.ask()
    assert error_of(answer) == "invalid_client"
    assert answer.client_id == "wujiang"
    assert world.ask(world.assertion("jiashan")).status == 200


@pytest.mark.parametrize("grant", ["password", "authorization_code", "refresh_token", "CLIENT_CREDENTIALS", "(absent)"])
def test_there_is_one_grant_type(world: World, grant: str) -> None:
    assert error_of(world.ask(form={"grant_type": grant})) == "unsupported_grant_type"


def test_shared_secrets_are_refused_in_either_place(world: World) -> None:
    assert error_of(world.ask(form={"client_secret": "s"})) == "invalid_client"
    basic = world.ask(headers=[FORM, ("DPoP", world.proof()), ("Authorization", "Basic d3VqaWFuZzpz")])
    assert (basic.status, error_of(basic)) == (401, "invalid_client")
    assert any(name == "WWW-Authenticate" for name, _ in basic.headers)


BODIES = {
    "another content type": ([("Content-Type", "application/json")], b"{}"),
    "no content type": ([], b"grant_type=client_credentials"),
    "two content types": ([FORM, FORM], b"grant_type=client_credentials"),
    "too long": ([FORM], b"a=" + b"x" * MAX_BODY),
    "a parameter twice": ([FORM], b"grant_type=client_credentials&grant_type=client_credentials"),
    "too many parameters": ([FORM], "&".join(f"p{number}=" for number in range(40)).encode()),
    "bytes that are no text": ([FORM], b"\xff\xfe"),
    "escapes that are no text": ([FORM], b"grant_type=%ff"),
    "no form": ([FORM], b"client_credentials"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_token_request_is_refused(world: World, name: str) -> None:
    headers, body = BODIES[name]
    assert error_of(world.endpoint.respond(headers, body, NOW)) == "invalid_request"


@given(
    body=st.binary(max_size=200),
    proof=st.text(max_size=100),
    assertion=st.text(max_size=100) | st.from_regex(r"[A-Za-z0-9_-]{0,60}(\.[A-Za-z0-9_-]{0,60}){2}", fullmatch=True),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_gets_an_answer_and_no_token(world: World, body: bytes, proof: str, assertion: str) -> None:
    for answer in (
        world.endpoint.respond([FORM, ("DPoP", proof)], body, NOW),
        world.ask(assertion or "x", proof=proof),
    ):
        assert answer.status == 400
        error_of(answer)


def test_no_token_is_written_to_a_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        token = world.token()
    assert caplog.text
    assert token not in caplog.text


def test_the_metadata_pass_the_library_where_they_can() -> None:
    document = authorization_server_metadata(ISSUER)
    metadata = AuthorizationServerMetadata(document)
    for name in metadata.REGISTRY_KEYS:
        if name != "response_types_supported":  # there are none, and RFC 8414 leaves out empty lists
            getattr(metadata, f"validate_{name}")()
    assert document["token_endpoint"] == TOKEN_URI
    assert "RS256" not in json.dumps(document)
    assert "mtls_endpoint_aliases" not in document
    aliased = authorization_server_metadata(ISSUER, mtls_origin="https://mtls.qingpu.example")
    assert aliased["mtls_endpoint_aliases"] == {
        "token_endpoint": "https://mtls.qingpu.example/oauth/token",
        "introspection_endpoint": "https://mtls.qingpu.example/oauth/introspect",
        "revocation_endpoint": "https://mtls.qingpu.example/oauth/revoke",
    }


@pytest.mark.parametrize(
    "issuer",
    ["http://gateway.example", ISSUER + "/", ISSUER + "/a", ISSUER + "?a", "https://a@b.example", "gateway", ""],
)
def test_an_issuer_is_an_https_origin(world: World, issuer: str) -> None:
    with pytest.raises(RuntimeError):
        world.issuer_over(world.engine, issuer=issuer)


@pytest.mark.parametrize(
    "key", [key_of("ES384"), GOOD.import_key(GOOD.as_dict(private=False))], ids=["P-384", "public"]
)
def test_tokens_are_signed_with_a_private_p256_key(key: object) -> None:
    with pytest.raises(RuntimeError):
        TokenKeys.of(key)  # type: ignore[arg-type]


RECORDS: dict[str, tuple[dict[str, object], str]] = {
    "an id with a space": ({"client_id": "a b"}, "client.malformed"),
    "no id": ({"client_id": ""}, "client.malformed"),
    "a party in capitals": ({"party": "WUJIANG"}, "client.malformed"),
    "no scope": ({"scopes": frozenset()}, "client.malformed"),
    "a scope that does not exist": ({"scopes": frozenset({"all"})}, "client.malformed"),
    "no keys": ({"jwks": '{"keys": []}'}, "key.refused"),
    "a private key": ({"jwks": json.dumps({"keys": [STRANGER.as_dict(private=True)]})}, "key.private"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_client_without_a_key_an_id_or_a_scope_cannot_be_kept(world: World, name: str) -> None:
    changes, code = RECORDS[name]
    record: dict[str, object] = {
        "client_id": "new",
        "party": "320509",
        "kind": "reader",
        "scopes": frozenset({"feeds:read"}),
        "jwks": jwks_of(STRANGER),
    }
    with world.engine.begin() as connection, pytest.raises((RegistrationError, SignatureError)) as caught:
        add_client(connection, Client(**{**record, **changes}), NOW)  # type: ignore[arg-type]
    assert caught.value.code == code

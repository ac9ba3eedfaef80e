"""The check before every protected request: proofs that are not quite right, tokens that are not what they seem, what
changes from one request to the next. The modules of the suite by name are in `tests/conformance`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partners.errors import AuthenticationError, ClientInactiveError, ScopeError
from partners.oauth.dpop import token_hash
from partners.oauth.token_keys import TokenKeys
from partners.principal import Principal
from schemas.jws import b64encode, peek
from tests.partners.oauth_world import ISSUER, NOW, RESOURCE, World, key_of, sign, without

SECOND = NOW // 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def code_of(call: Callable[..., object], *arguments: object, **options: object) -> str:
    """The code of the refusal a call ends with."""
    with pytest.raises(AuthenticationError) as caught:
        call(*arguments, **options)
    return caught.value.code


def test_a_bound_token_with_its_proof_says_who_is_calling(world: World) -> None:
    assert world.call(world.token("feeds:read receipts:write")) == Principal(
        party="320509",
        client_id="wujiang",
        kind="gateway",
        scopes=frozenset({"feeds:read", "receipts:write"}),
        thumbprint=world.proof_key.thumbprint(),
    )


def test_a_proof_is_held_to_times_of_its_own(world: World) -> None:
    token = world.token()
    good = world.proof("GET", RESOURCE, ath=token_hash(token), nbf=SECOND, exp=SECOND + 300)
    assert world.call(token, proof=good)
    for wrong in ({"nbf": SECOND + 300}, {"exp": SECOND - 300}, {"exp": "soon"}):
        proof = world.proof("GET", RESOURCE, ath=token_hash(token), **wrong)
        assert code_of(world.call, token, proof=proof) == "token.proof-invalid"


@pytest.mark.parametrize("seconds", [-60, -10, 10, 60])
def test_a_proof_from_a_clock_that_differs_by_a_minute_is_taken(world: World, seconds: int) -> None:
    token = world.token()
    assert world.call(token, proof=world.proof("GET", RESOURCE, ath=token_hash(token), iat=SECOND + seconds))


PROOF = tuple[dict[str, Any], dict[str, Any]]
BLOCKS: dict[str, tuple[Callable[[Any, Any, World], PROOF], bool]] = {
    "untouched": (lambda h, c, w: (h, c), True),
    "typ missing": (lambda h, c, w: (without(h, "typ"), c), False),
    "typ of a JWT": (lambda h, c, w: ({**h, "typ": "JWT"}, c), False),
    "alg missing": (lambda h, c, w: (without(h, "alg"), c), False),
    "alg none": (lambda h, c, w: ({**h, "alg": "none"}, c), False),
    "alg RS256": (lambda h, c, w: ({**h, "alg": "RS256", "jwk": key_of("PS256").as_dict(private=False)}, c), False),
    "jwk missing": (lambda h, c, w: (without(h, "jwk"), c), False),
    "jwk private": (lambda h, c, w: ({**h, "jwk": w.proof_key.as_dict(private=True)}, c), False),
    "jwk of another key": (lambda h, c, w: ({**h, "jwk": key_of("ES256", "other").as_dict(private=False)}, c), False),
    "jti missing": (lambda h, c, w: (h, without(c, "jti")), False),
    "jti too long": (lambda h, c, w: (h, {**c, "jti": "j" * 257}), False),
    "htm missing": (lambda h, c, w: (h, without(c, "htm")), False),
    "htm wrong": (lambda h, c, w: (h, {**c, "htm": "PUT"}), False),
    "htm in another case": (lambda h, c, w: (h, {**c, "htm": "get"}), False),
    "htu missing": (lambda h, c, w: (h, without(c, "htu")), False),
    "htu of another path": (lambda h, c, w: (h, {**c, "htu": ISSUER + "/v1/inbox"}), False),
    "htu of another host": (lambda h, c, w: (h, {**c, "htu": "https://gateway.wujiang.example:8443/v1/feeds"}), False),
    "htu with query and fragment": (lambda h, c, w: (h, {**c, "htu": RESOURCE + "?a=b#c"}), True),
    "htu in capitals": (
        lambda h, c, w: (h, {**c, "htu": RESOURCE.replace("https://gateway", "HTTPS://GATEWAY")}),
        True,
    ),
    "iat missing": (lambda h, c, w: (h, without(c, "iat")), False),
    "iat one hour ago": (lambda h, c, w: (h, {**c, "iat": SECOND - 3600}), False),
    "iat in one hour": (lambda h, c, w: (h, {**c, "iat": SECOND + 3600}), False),
    "iat 61 s ago": (lambda h, c, w: (h, {**c, "iat": SECOND - 61}), False),
    "iat in 61 s": (lambda h, c, w: (h, {**c, "iat": SECOND + 61}), False),
    "iat as text": (lambda h, c, w: (h, {**c, "iat": str(SECOND)}), False),
    "ath missing": (lambda h, c, w: (h, without(c, "ath")), False),
    "ath wrong": (lambda h, c, w: (h, {**c, "ath": token_hash("another")}), False),
    "extra members in both": (lambda h, c, w: ({**h, "extra": 1}, {**c, "extra": 2}), True),
    "a critical extension": (lambda h, c, w: ({**h, "crit": ["extra"], "extra": 1}, c), False),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_what_a_proof_has_to_say(world: World, name: str) -> None:
    change, taken = BLOCKS[name]
    token = world.token()
    header, claims = change(*world.proof_parts("GET", RESOURCE, ath=token_hash(token)), world)
    key = {"alg RS256": key_of("PS256"), "alg none": None}.get(name, world.proof_key)
    proof = sign(header, claims, key, "RS256" if name == "alg RS256" else "ES256")
    if taken:
        assert world.call(token, proof=proof).client_id == "wujiang"
    else:
        assert code_of(world.call, token, proof=proof) == "token.proof-invalid"


def test_what_is_no_proof_is_refused_and_the_query_of_the_request_is_none_of_its_business(world: World) -> None:
    token = world.token()
    proof = world.proof("GET", RESOURCE, ath=token_hash(token))
    for wrong in ("x", "a.b.c", proof[:-6], proof[:-4] + "AAAA", proof + ".x"):
        assert code_of(world.call, token, proof=wrong) == "token.proof-invalid"
    assert world.call(token, proof=proof, uri=RESOURCE + "?wait=30#x")


def test_more_than_one_proof_is_refused(world: World) -> None:
    token = world.token()
    for other in (world.proof("GET", RESOURCE, ath=token_hash(token)), "x"):
        good = world.proof("GET", RESOURCE, ath=token_hash(token))
        for pair in ([good, other], [other, good]):
            headers = [("authorization", f"DPoP {token}"), *(("dpop", proof) for proof in pair)]
            assert code_of(world.call, token, headers=headers) == "token.proof-invalid"


def test_a_proof_is_good_once(world: World) -> None:
    token = world.token()
    proof = world.proof("GET", RESOURCE, ath=token_hash(token))
    assert world.call(token, proof=proof)
    assert code_of(world.call, token, proof=proof) == "token.proof-replayed"
    again = world.proof("GET", RESOURCE, ath=token_hash(token), jti="one")
    assert world.call(token, proof=again)
    same_jti = world.proof("GET", RESOURCE, ath=token_hash(token), jti="one", iat=SECOND + 1)
    assert code_of(world.call, token, proof=same_jti) == "token.proof-replayed"


def test_a_proof_of_another_key_is_refused(world: World) -> None:
    token = world.token()
    stranger = key_of("ES256", "stranger")
    header, claims = world.proof_parts("GET", RESOURCE, ath=token_hash(token))
    proof = sign({**header, "jwk": stranger.as_dict(private=False)}, claims, stranger)
    assert code_of(world.call, token, proof=proof) == "token.proof-invalid"


def test_a_token_without_its_proof_is_refused_whatever_its_scheme(world: World) -> None:
    token = world.token()
    assert code_of(world.call, token, headers=[("authorization", f"DPoP {token}")]) == "token.proof-missing"
    bearer = [("authorization", f"Bearer {token}")]
    assert code_of(world.call, token, headers=bearer) == "token.sent-as-bearer"
    with_proof = [*bearer, ("dpop", world.proof("GET", RESOURCE, ath=token_hash(token)))]
    assert code_of(world.call, token, headers=with_proof) == "token.sent-as-bearer"


def test_a_proof_for_one_token_is_none_for_another_of_the_same_key(world: World) -> None:
    one, two = world.token(), world.token()
    assert code_of(world.call, two, proof=world.proof("GET", RESOURCE, ath=token_hash(one))) == "token.proof-invalid"


@pytest.mark.parametrize(
    ("header", "code", "error"),
    [
        pytest.param(None, "token.missing", None, id="nothing"),
        pytest.param("Basic d3VqaWFuZzpz", "token.invalid", "invalid_request", id="another scheme"),
        pytest.param("DPoP", "token.invalid", "invalid_token", id="no token"),
        pytest.param("DPoP é", "token.invalid", "invalid_token", id="no ASCII"),
        pytest.param("DPoP \ud800", "token.invalid", "invalid_token", id="half a character"),
        pytest.param("DPoP a b", "token.invalid", "invalid_token", id="two tokens"),
    ],
)
def test_the_challenge_says_what_to_send(world: World, header: str | None, code: str, error: str | None) -> None:
    with pytest.raises(AuthenticationError) as caught:
        world.call("", headers=[("Authorization", header)] if header else [])
    assert caught.value.code == code
    assert caught.value.challenge.startswith('DPoP algs="ES256 PS256 Ed25519"')
    assert (f'error="{error}"' in caught.value.challenge) is (error is not None)
    assert ("error" in caught.value.challenge) is (error is not None)


def test_two_tokens_in_one_request_are_refused(world: World) -> None:
    token = world.token()
    headers = [("authorization", f"DPoP {token}"), ("Authorization", f"DPoP {token}")]
    assert code_of(world.call, token, headers=headers) == "token.invalid"


def claims_of(world: World) -> dict[str, object]:
    return {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "wujiang",
        "client_id": "wujiang",
        "scope": "feeds:read",
        "iat": SECOND,
        "exp": SECOND + 300,
        "jti": world.fresh(),
        "cnf": {"jkt": world.proof_key.thumbprint()},
    }


CLAIMS: dict[str, tuple[dict[str, object], str | None]] = {
    "untouched": ({}, None),
    "expired": ({"exp": SECOND}, "token.expired"),
    "exp missing": ({"exp": None}, "token.invalid"),
    "exp never": ({"exp": float("inf")}, "token.invalid"),
    "issued in the future": ({"iat": SECOND + 61}, "token.invalid"),
    "another issuer": ({"iss": "https://gateway.wujiang.example:8443"}, "token.wrong-issuer"),
    "no issuer": ({"iss": None}, "token.wrong-issuer"),
    "another audience": ({"aud": "https://console.qingpu.example:8444"}, "token.wrong-audience"),
    "us among audiences": ({"aud": [ISSUER, "https://a.example"]}, "token.wrong-audience"),
    "bound to nothing": ({"cnf": None}, "token.unbound"),
    "bound to something else": ({"cnf": {"x5t#S256": "a"}}, "token.unbound"),
    "bound to no text": ({"cnf": {"jkt": 5}}, "token.unbound"),
    "no client": ({"client_id": None}, "token.invalid"),
    "a client that is no more": ({"client_id": "nobody"}, "token.invalid"),
    "no scope": ({"scope": None}, "token.invalid"),
    "a scope that is a list": ({"scope": ["feeds:read"]}, "token.invalid"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_token_of_ours_has_to_say(world: World, name: str) -> None:
    changes, code = CLAIMS[name]
    header = {"alg": "ES256", "typ": "at+jwt", "kid": world.key.kid}
    token = sign(header, {**claims_of(world), **changes}, world.key)
    if code is None:
        assert world.call(token)
    else:
        assert code_of(world.call, token) == code


def test_a_client_assertion_of_ours_is_no_token_of_ours(world: World) -> None:
    """The oauth key signs our assertions too; only the type tells them from tokens."""
    token = sign({"alg": "ES256", "typ": "JWT", "kid": world.key.kid}, claims_of(world), world.key)
    assert code_of(world.call, token) == "token.invalid"


def test_another_spelling_of_a_token_is_no_token(world: World) -> None:
    header, claims, signature = world.token().split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    assert b64encode(raw) == signature
    for other in (signature + "=", signature + "==", signature[:-1] + chr(ord(signature[-1]) + 1)):
        assert code_of(world.call, f"{header}.{claims}.{other}") == "token.invalid"


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,60}(\.[A-Za-z0-9_-]{0,60}){2}", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_as_a_token_is_refused_with_our_own_error(world: World, text: str) -> None:
    assert code_of(world.call, "", headers=[("authorization", f"DPoP {text}")]) == "token.invalid"


def test_a_token_ends_after_five_minutes_also_when_its_signature_is_remembered(world: World) -> None:
    token = world.token()
    assert world.call(token)
    late = NOW + 299_999
    assert world.call(token, proof=world.proof("GET", RESOURCE, ath=token_hash(token), iat=late // 1000), now=late)
    later = NOW + 300_000
    proof = world.proof("GET", RESOURCE, ath=token_hash(token), iat=later // 1000)
    assert code_of(world.call, token, proof=proof, now=later) == "token.expired"


@pytest.mark.parametrize("state", ["suspended", "ended"])
def test_suspension_takes_effect_on_the_next_request_of_a_good_token(world: World, state: str) -> None:
    token = world.token()
    assert world.call(token)
    world.change("wujiang", state=state)
    with pytest.raises(ClientInactiveError) as caught:
        world.call(token)
    assert caught.value.code == f"client.{state}"
    world.change("wujiang", state="active")
    assert world.call(token)


def test_a_scope_taken_from_a_client_is_gone_from_the_tokens_it_holds(world: World) -> None:
    token = world.token("feeds:read receipts:write")
    world.change("wujiang", scope="feeds:read records:read")
    assert world.call(token).scopes == {"feeds:read"}, "and one it was given since is not in them"


def test_scopes_mean_all_of_them(world: World) -> None:
    principal = world.call(world.token("feeds:read"))
    principal.require("feeds:read")
    with pytest.raises(ScopeError) as caught:
        principal.require("feeds:read", "receipts:write")
    assert caught.value.code == "token.scope-insufficient"
    assert 'error="insufficient_scope", scope="feeds:read receipts:write"' in caught.value.challenge


def test_during_our_own_rotation_tokens_of_both_keys_are_good_and_of_the_old_one_no_more_afterwards(
    world: World,
) -> None:
    following = key_of("ES256", "qingpu oauth next")
    token = world.token()
    assert world.call(token)
    world.keys = TokenKeys.of(world.key, following)
    assert world.call(token), "the next one is published"
    world.keys = TokenKeys.of(following, world.key)
    assert world.call(token), "it is in use, and the old one stays until its tokens have ended"
    assert peek(world.token())[0]["kid"] == following.kid
    world.keys = TokenKeys.of(following)
    assert code_of(world.call, token) == "token.invalid", "although its signature was remembered"
    assert world.call(world.token())

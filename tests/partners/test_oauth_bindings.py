"""What a token is bound to, as the client's record says and never the request; and how often somebody may ask."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from partners.errors import AuthenticationError
from partners.oauth.bindings import Binding, read_binding
from partners.oauth.buckets import Buckets
from partners.oauth.certificates import certificate_thumbprint
from partners.oauth.dpop import token_hash
from partners.principal import Principal
from schemas.jws import peek
from tests.conformance.suite import certificate_of
from tests.partners.oauth_world import FORM, ISSUER, NOW, PARTY, RESOURCE, World, error_of, key_of, sign

CERTIFICATE, STRANGERS = certificate_of("wujiang"), certificate_of("stranger")
SECOND = NOW // 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.add("own", PARTY, key_of("ES256", "own"), scopes={"records:submit", "feeds:read", "feeds:push"})
    yield world
    world.close()


def token_of(world: World, client_id: str, *, proof: bool = False, scope: str = "feeds:read", **options: Any) -> Any:
    """The answer to a token request without anything it could be bound to, unless it is given."""
    key = key_of("Ed25519", "jiashan") if client_id == "jiashan" else key_of("ES256", client_id)
    algorithm = "Ed25519" if client_id == "jiashan" else "ES256"
    assertion = sign({"alg": algorithm, "kid": key.kid}, world.claims(client_id), key)
    headers = [FORM, *([("DPoP", world.proof())] if proof else [])]
    return world.ask(assertion, headers=headers, form={"scope": scope}, **options)


def call(world: World, token: str, scheme: str = "Bearer", *, proof: bool = False, **options: Any) -> Principal:
    headers = [("authorization", f"{scheme} {token}")]
    if proof:
        headers.append(("dpop", world.proof("GET", RESOURCE, ath=token_hash(token))))
    return world.call(token, headers=headers, **options)


def code_of(*arguments: Any, **options: Any) -> str:
    with pytest.raises(AuthenticationError) as caught:
        call(*arguments, **options)
    return caught.value.code


def text_of(answer: Any) -> str:
    assert answer.status == 200, answer.body
    return str(json.loads(answer.body)["access_token"])


def test_a_client_with_the_binding_mtls_gets_a_token_for_the_certificate_it_shows(world: World) -> None:
    world.bind("wujiang", "mtls", CERTIFICATE)
    answer = token_of(world, "wujiang", certificate=CERTIFICATE)
    assert json.loads(answer.body)["token_type"] == "Bearer"
    token = text_of(answer)
    assert peek(token)[1]["cnf"] == {"x5t#S256": certificate_thumbprint(CERTIFICATE)}
    assert call(world, token, certificate=CERTIFICATE).thumbprint == certificate_thumbprint(CERTIFICATE)
    for scheme, proof, certificate, code in [
        ("Bearer", False, None, "token.certificate-mismatch"),
        ("Bearer", False, STRANGERS, "token.certificate-mismatch"),
        ("Bearer", True, None, "token.certificate-mismatch"),
        ("DPoP", True, None, "token.sent-as-dpop"),
        ("DPoP", True, CERTIFICATE, "token.sent-as-dpop"),
    ]:
        assert code_of(world, token, scheme, proof=proof, certificate=certificate) == code


def test_a_certificate_that_was_taken_from_the_client_is_refused_on_the_next_request(world: World) -> None:
    world.bind("wujiang", "mtls", CERTIFICATE)
    assert error_of(token_of(world, "wujiang", certificate=STRANGERS)) == "invalid_request"
    token = text_of(token_of(world, "wujiang", certificate=CERTIFICATE))
    world.bind("wujiang", "mtls", STRANGERS)
    assert code_of(world, token, certificate=CERTIFICATE) == "token.certificate-mismatch"


def test_it_gets_none_without_a_certificate_although_it_proves_a_key(world: World) -> None:
    world.bind("wujiang", "mtls", CERTIFICATE)
    assert error_of(token_of(world, "wujiang")) == "invalid_request"
    assert error_of(token_of(world, "wujiang", proof=True)) == "invalid_request"


def test_a_client_with_the_binding_dpop_is_not_helped_by_a_certificate(world: World) -> None:
    assert error_of(token_of(world, "wujiang", certificate=CERTIFICATE)) == "invalid_dpop_proof"
    token = text_of(token_of(world, "wujiang", proof=True, certificate=CERTIFICATE))
    assert list(peek(token)[1]["cnf"]) == ["jkt"]  # type: ignore[call-overload]
    assert code_of(world, token, certificate=CERTIFICATE) == "token.sent-as-bearer"
    assert code_of(world, token, "DPoP", certificate=CERTIFICATE) == "token.proof-missing"


def test_the_certificate_of_the_standard_has_the_thumbprint_of_the_standard() -> None:
    """RFC 8705, appendix A."""
    der = base64.b64decode(
        "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwE"
        "bXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGG"
        "WvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUa"
        "KlLR50Q2DmFfQj1L+SY="
    )
    assert certificate_thumbprint(der) == "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


def test_an_unbound_token_is_for_a_client_of_the_home_party_that_an_administrator_marked(world: World) -> None:
    world.bind("own", "none")
    answer = token_of(world, "own", scope="records:submit feeds:read")
    assert json.loads(answer.body)["token_type"] == "Bearer"
    token = text_of(answer)
    assert "cnf" not in peek(token)[1]
    principal = call(world, token)
    assert (principal.thumbprint, principal.scopes) == ("", {"records:submit", "feeds:read"})
    assert code_of(world, token, "DPoP", proof=True) == "token.sent-as-dpop"


def test_an_unbound_token_is_for_handing_in_and_reading_alone(world: World) -> None:
    world.bind("own", "none")
    for scope in ("feeds:push", "feeds:read feeds:push"):
        assert error_of(token_of(world, "own", scope=scope)) == "invalid_scope"
    header = {"alg": "ES256", "typ": "at+jwt", "kid": world.key.kid}
    claims = {
        "iss": ISSUER, "aud": ISSUER, "client_id": "own", "scope": "feeds:push feeds:read", "iat": SECOND,
        "exp": SECOND + 300, "jti": "a",
    }  # fmt: skip
    assert call(world, sign(header, claims, world.key)).scopes == {"feeds:read"}, "one that was given too much"


def test_an_unbound_token_is_not_for_a_client_of_another_party_whatever_its_record_says(world: World) -> None:
    world.bind("wujiang", "none")
    assert error_of(token_of(world, "wujiang")) == "unauthorized_client"
    world.bind("own", "none")
    header = {"alg": "ES256", "typ": "at+jwt", "kid": world.key.kid}
    claims = {
        "iss": ISSUER, "aud": ISSUER, "client_id": "wujiang", "scope": "feeds:read", "iat": SECOND,
        "exp": SECOND + 300, "jti": "a",
    }  # fmt: skip
    assert code_of(world, sign(header, claims, world.key)) == "token.wrong-binding"


@pytest.mark.parametrize("before", ["dpop", "mtls", "none"])
@pytest.mark.parametrize("after", ["dpop", "mtls", "none"])
def test_a_token_is_refused_when_its_client_has_come_to_be_bound_in_another_way(
    world: World, before: str, after: str
) -> None:
    world.bind("own", before, CERTIFICATE)
    token = text_of(token_of(world, "own", proof=before == "dpop", certificate=CERTIFICATE))
    world.bind("own", after, CERTIFICATE)
    scheme = "DPoP" if before == "dpop" else "Bearer"
    if before == after:
        assert call(world, token, scheme, proof=before == "dpop", certificate=CERTIFICATE)
    else:
        code = "token.unbound" if before == "none" else "token.wrong-binding"
        assert code_of(world, token, scheme, proof=before == "dpop", certificate=CERTIFICATE) == code


def test_a_binding_nobody_knows_gets_no_token(world: World) -> None:
    world.bind("own", "promise")
    assert error_of(token_of(world, "own", proof=True, certificate=CERTIFICATE)) == "unauthorized_client"


CONFIRMATIONS: dict[str, tuple[object, Binding | None]] = {
    "a key": ({"jkt": "k" * 43}, Binding("dpop", "k" * 43)),
    "a certificate": ({"x5t#S256": "c" * 43}, Binding("mtls", "c" * 43)),
    "both": ({"jkt": "k" * 43, "x5t#S256": "c" * 43}, None),
    "a whole key": ({"jwk": {"kty": "EC"}}, None),
    "nothing inside": ({}, None),
    "null": (None, None),
    "a short thumbprint": ({"jkt": "k"}, None),
    "an empty thumbprint": ({"x5t#S256": ""}, None),
    "a thumbprint that is no text": ({"jkt": 5}, None),
    "a list": ([{"jkt": "k" * 43}], None),
}


@pytest.mark.parametrize("name", CONFIRMATIONS)
def test_what_a_confirmation_says_is_one_of_two_things_or_refused(name: str) -> None:
    confirmation, binding = CONFIRMATIONS[name]
    if binding is not None:
        assert read_binding({"cnf": confirmation}) == binding
        assert binding.confirmation() == {"cnf": confirmation}
        return
    with pytest.raises(AuthenticationError) as caught:
        read_binding({"cnf": confirmation})
    assert caught.value.code == "token.unbound"


def test_a_bucket_gives_what_it_holds_and_then_what_runs_in() -> None:
    buckets = Buckets(rate=2, burst=3)
    assert [buckets.take("a", NOW) for _ in range(4)] == [0, 0, 0, 500]
    assert buckets.take("b", NOW) == 0, "another one has its own"
    assert buckets.take("a", NOW + 400) == 100
    assert buckets.take("a", NOW + 500) == 0
    assert buckets.take("a", NOW + 100) > 0, "a clock that steps back gives nothing"
    later = NOW + 60_000
    assert [buckets.take("a", later) for _ in range(4)] == [0, 0, 0, 500], "no more than it holds"


def test_the_buckets_of_a_thousand_addresses_take_no_more_room_than_there_is_and_full_ones_are_forgotten() -> None:
    buckets = Buckets(rate=1, burst=2, names=10)
    answers = [buckets.take(f"address {number}", NOW) for number in range(1000)]
    assert buckets.size == 11, "ten names, and one that the others share"
    assert answers[:12] == [0] * 12
    assert all(answers[12:])
    assert buckets.take("address 3", NOW) == 0, "who was known before goes on"
    later = NOW + 5_000
    assert buckets.take("address 999", later) == 0
    assert buckets.size == 1

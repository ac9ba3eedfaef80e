"""Which public keys are taken, and what they may verify."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from partners.oauth.keys import choose_key, load_key_set, load_public_key, load_signing_key, public_jwks
from schemas.errors import SignatureError
from schemas.jws import b64decode, b64encode
from tests.partners.oauth_world import jwks_of, key_of, sign


def public(kind: str) -> dict[str, Any]:
    value = dict(key_of(kind).as_dict(private=False))
    value.pop("kid", None)
    return value


def padded(value: dict[str, Any], member: str) -> dict[str, Any]:
    return {**value, member: b64encode(b"\0" + b64decode(value[member]))}


@pytest.mark.parametrize("kind", ["ES256", "PS256", "Ed25519"])
def test_a_key_of_each_accepted_kind_fixes_its_algorithm(kind: str) -> None:
    key = load_public_key({**public(kind), "use": "sig", "alg": kind, "kid": "a", "key_ops": ["verify"]})
    assert key.algorithm == kind
    key.verify(sign({"alg": kind}, {}, key_of(kind)))


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ("key", "key.refused"),
    "nothing in it": ({}, "key.refused"),
    "a kty that is a list": ({"kty": ["EC"]}, "key.refused"),
    "a shared secret": (key_of("oct").as_dict(private=True), "key.private"),
    "a private P-256 key": (key_of("ES256").as_dict(private=True), "key.private"),
    "a private RSA key": (key_of("PS256").as_dict(private=True), "key.private"),
    "P-384": (public("ES384"), "key.refused"),
    "X25519": (public("X25519"), "key.refused"),
    "coordinates that are no text": ({**public("ES256"), "x": 5}, "key.refused"),
    "coordinates that are no base64": ({**public("ES256"), "x": "é"}, "key.refused"),
    "a point off the curve": ({**public("ES256"), "x": b64encode(bytes(32))}, "key.refused"),
    "a coordinate with a leading zero": (padded(public("ES256"), "x"), "key.refused"),
    "a short Ed25519 key": ({**public("Ed25519"), "x": b64encode(bytes(31))}, "key.refused"),
    "RSA of 1024 bits": ({**public("PS256"), "n": b64encode(b"\xc1" * 128)}, "key.refused"),
    "RSA of 2047 bits": ({**public("PS256"), "n": b64encode(b"\x7f" * 256)}, "key.refused"),
    "RSA that is no base64": ({**public("PS256"), "n": "A"}, "key.refused"),
    "RSA of 8192 bits": ({**public("PS256"), "n": b64encode(b"\xc1" * 1024)}, "key.refused"),
    "RSA with a leading zero": (padded(public("PS256"), "n"), "key.refused"),
    "RSA with the exponent 3": ({**public("PS256"), "e": "Aw"}, "key.refused"),
    "for encryption": ({**public("ES256"), "use": "enc"}, "key.refused"),
    "for signing only": ({**public("ES256"), "key_ops": ["sign"]}, "key.refused"),
    "key_ops that are no list": ({**public("ES256"), "key_ops": "verify"}, "key.refused"),
    "for another algorithm": ({**public("PS256"), "alg": "RS256"}, "key.refused"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_key_is_refused_for_its_kind_size_use_or_spelling(name: str) -> None:
    value, code = REFUSED[name]
    with pytest.raises(SignatureError) as caught:
        load_public_key(value)
    assert caught.value.code == code


RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
}
RFC_8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@pytest.mark.parametrize(
    ("jwk", "thumbprint"),
    [
        pytest.param(RFC_7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", id="RFC 7638, section 3.1"),
        pytest.param(RFC_8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", id="RFC 8037, appendix A.3"),
    ],
)
def test_thumbprints_are_those_of_the_standards(jwk: dict[str, str], thumbprint: str) -> None:
    assert load_public_key({**jwk, "kid": "another name"}).thumbprint == thumbprint


def test_a_token_cannot_choose_another_algorithm_than_the_key_has() -> None:
    key = load_public_key(public("PS256"))
    key.verify(sign({"alg": "PS256"}, {}, key_of("PS256")))
    with pytest.raises(SignatureError, match="verify"):
        key.verify(sign({"alg": "RS256"}, {}, key_of("PS256")))


BAD_SETS = {
    "not JSON": "{",
    "too deep": "[" * 10_000,
    "too long": json.dumps({"keys": [], "padding": "x" * 20_000}),
    "a list": "[]",
    "no keys": '{"keys": []}',
    "keys that are no list": '{"keys": {}}',
    "nine keys": jwks_of(*(key_of("ES256", str(number)) for number in range(9))),
    "a kid twice": jwks_of(key_of("ES256"), key_of("ES256")),
    "a kid that is no text": json.dumps({"keys": [{**public("ES256"), "kid": 1}]}),
    "one bad key among good ones": json.dumps({"keys": [public("ES256"), public("ES384")]}),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_a_key_set_is_taken_whole_or_not_at_all(name: str) -> None:
    with pytest.raises(SignatureError) as caught:
        load_key_set(BAD_SETS[name])
    assert caught.value.code == "key.refused"


def test_a_key_is_found_by_its_kid_and_without_one_only_where_there_is_one_key() -> None:
    one, two = key_of("ES256", "one"), key_of("Ed25519", "two")
    both = load_key_set(jwks_of(one, two))
    assert choose_key(both, two.kid).algorithm == "Ed25519"
    assert choose_key(load_key_set(jwks_of(one)), None).algorithm == "ES256"
    for kid in (None, "another", 7, ["a"]):
        with pytest.raises(SignatureError) as caught:
            choose_key(both, kid)
        assert caught.value.code == "signature.key-unknown"


def test_our_own_key_is_published_without_its_private_half() -> None:
    key = load_signing_key(ec.generate_private_key(ec.SECP256R1()))
    document = public_jwks([key])
    assert json.loads(json.dumps(document)) == {
        "keys": [{**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": "ES256"}]
    }
    assert '"d"' not in json.dumps(document)
    with pytest.raises(RuntimeError):
        load_signing_key(ec.generate_private_key(ec.SECP384R1()))

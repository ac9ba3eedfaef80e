"""Compact JWS over Ed25519: one algorithm by its own name, one spelling of a token, nothing chosen by the token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from schemas import jws
from schemas.errors import SignatureError

TYPE = "taipu-test+jws"
KEY = jws.SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = jws.SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(32)))
KEYS = {KEY.kid: KEY.public, OTHER.kid: OTHER.public}
PAYLOAD = {"zh": "太浦河", "n": 1}
TOKEN = jws.sign(KEY, TYPE, PAYLOAD)


def code_of(token: str, *, typ: str = TYPE, keys: dict[str, Any] | None = None) -> str:
    with pytest.raises(SignatureError) as caught:
        jws.open_jws(token, KEYS if keys is None else keys, typ)
    return caught.value.code


def part(value: object) -> str:
    return jws.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def signed(header: object, payload: object = PAYLOAD) -> str:
    """A token with whatever header, really signed with KEY."""
    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{jws.b64encode(KEY.private.sign(text.encode()))}"


def test_what_is_signed_opens_as_what_it_was() -> None:
    assert jws.open_jws(TOKEN, KEYS, TYPE) == PAYLOAD


def test_the_header_names_the_algorithm_as_rfc_9864_does_and_the_key_by_its_thumbprint() -> None:
    assert jws.peek(TOKEN)[0] == {"alg": "Ed25519", "kid": KEY.kid, "typ": TYPE}
    assert jws.thumbprint(KEY.public) == KEY.kid


def test_the_thumbprint_is_the_one_of_rfc_8037() -> None:
    # Appendix A.2 and A.3 of the RFC.
    key = jws.load_public("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert jws.thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


HEADER = {"alg": "Ed25519", "kid": KEY.kid, "typ": TYPE}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({**HEADER, "alg": "EdDSA"}, "signature.algorithm"),
        ({**HEADER, "alg": "none"}, "signature.algorithm"),
        ({**HEADER, "alg": "HS256"}, "signature.algorithm"),
        ({**HEADER, "alg": None}, "signature.algorithm"),
        ({**HEADER, "crit": ["exp"]}, "signature.algorithm"),
        ({**HEADER, "crit": []}, "signature.algorithm"),
        ({**HEADER, "typ": "JWT"}, "signature.type"),
        ({"alg": "Ed25519", "kid": KEY.kid}, "signature.type"),
        ({**HEADER, "kid": "nobody"}, "signature.key-unknown"),
        ({**HEADER, "kid": 7}, "signature.key-unknown"),
        ({**HEADER, "kid": ["x"]}, "signature.key-unknown"),
        ({**HEADER, "kid": OTHER.kid}, "signature.invalid"),
        ([HEADER], "signature.malformed"),
        (b"{", "signature.malformed"),
        (b'{"alg":"Ed25519","alg":"none"}', "signature.malformed"),
        (b"[" * 10_000, "signature.malformed"),
        (b"\xff", "signature.malformed"),
    ],
)
def test_a_header_that_asks_for_anything_else_is_refused_though_the_signature_holds(header: object, code: str) -> None:
    assert code_of(signed(header)) == code


def test_a_header_may_say_more_than_we_need() -> None:
    assert jws.open_jws(signed({**HEADER, "jku": "https://evil.example", "jwk": {}}), KEYS, TYPE) == PAYLOAD


@pytest.mark.parametrize(
    "token",
    ["", "..", "a.b", "a.b.c.d", TOKEN + "=", TOKEN + "\n", TOKEN.replace(".", "..", 1), "é" + TOKEN, "x" * 70_000],
)
def test_what_is_no_compact_jws_is_malformed(token: str) -> None:
    assert code_of(token) == "signature.malformed"


def test_a_token_beyond_the_bound_is_not_even_parsed() -> None:
    assert code_of(jws.sign(KEY, TYPE, {"x": "y" * jws.MAX_TOKEN})) == "signature.malformed"


def test_without_the_key_nothing_opens() -> None:
    assert code_of(TOKEN, keys={}) == "signature.key-unknown"


def test_no_single_changed_character_goes_unnoticed() -> None:
    for place in range(len(TOKEN)):
        other = "A" if TOKEN[place] != "A" else "B"
        assert code_of(TOKEN[:place] + other + TOKEN[place + 1 :]).startswith("signature.")


def test_a_signature_has_one_spelling() -> None:
    # The last character of 64 bytes carries four bits that mean nothing.
    assert code_of(TOKEN[:-1] + chr(ord(TOKEN[-1]) + 1)) in ("signature.malformed", "signature.invalid")
    for text in ("AB", "A", "AA==", "A A", "+/", "é"):
        with pytest.raises(SignatureError) as caught:
            jws.b64decode(text)
        assert caught.value.code == "signature.malformed"


@given(st.binary(max_size=64))
def test_base64url_comes_back_as_the_same_bytes(data: bytes) -> None:
    text = jws.b64encode(data)
    assert jws.b64decode(text) == data
    assert not set(text) & set("+/=")


@given(st.text(max_size=80))
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    assert code_of(text).startswith("signature.")


@pytest.mark.parametrize("text", ["", "AAAA", jws.b64encode(bytes(31)), jws.b64encode(bytes(33)), "x" * 43])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(SignatureError) as caught:
        jws.load_public(text)
    assert caught.value.code == "signature.malformed"


def test_a_public_key_comes_back_from_its_text() -> None:
    assert jws.load_public(jws.public_text(KEY.public)) == KEY.public

"""Receipts: signed, strict, and always saying the same things."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import ReceiptError
from audit.receipts import RECEIPT_TYPE, Receipt, open_receipt, receipt_hash, sign_receipt
from schemas import jws
from schemas.errors import SignatureError

KEY = jws.SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEYS = {KEY.kid: KEY.public}
HASH = "A" * 43
RECEIPT = Receipt(
    from_party="310118", to_party="320509", provider="320509", dataset="water-hourly", seq=42, manifest=HASH,
    verdict="accepted", applied=98, duplicates=2, held=0, at="2026-11-23T02:00:00.000Z", log="310118.example/log/2027",
    entry=HASH, report=HASH,
)  # fmt: skip
PAYLOAD = jws.peek(sign_receipt(KEY, RECEIPT))[1]


@pytest.mark.parametrize(
    "receipt",
    [RECEIPT, replace(RECEIPT, report=None), replace(RECEIPT, verdict="refused"), replace(RECEIPT, dataset="", seq=0)],
    ids=["whole", "without a report", "refused", "for a submission"],
)
def test_a_receipt_opens_as_it_was_signed(receipt: Receipt) -> None:
    assert open_receipt(sign_receipt(KEY, receipt), KEYS) == receipt


def test_a_receipt_says_what_the_protocol_names() -> None:
    assert PAYLOAD == {
        "v": 1, "from": "310118", "to": "320509", "provider": "320509", "dataset": "water-hourly", "seq": 42,
        "manifest": HASH, "verdict": "accepted", "applied": 98, "duplicates": 2, "held": 0, "report": HASH,
        "at": "2026-11-23T02:00:00.000Z", "log": "310118.example/log/2027", "entry": HASH,
    }  # fmt: skip


BAD: dict[str, tuple[str, Any]] = {
    "another version": ("v", 2),
    "no version": ("v", None),
    "no signer": ("from", None),
    "a signer that is no text": ("from", 310118),
    "a line break": ("to", "320509\n"),
    "a verdict we do not know": ("verdict", "perhaps"),
    "a negative count": ("applied", -1),
    "a count that is a truth value": ("held", True),
    "a count that is a fraction": ("duplicates", 1.0),
    "a short hash": ("manifest", HASH[:-1]),
    "a hash with stray bits": ("entry", "A" * 42 + "B"),
    "a time with an offset": ("at", "2026-11-23T10:00:00.000+08:00"),
    "a report that is no hash": ("report", ""),
}


@pytest.mark.parametrize(("name", "value"), BAD.values(), ids=BAD.keys())
def test_what_a_receipt_must_say_is_checked_although_it_is_signed(name: str, value: Any) -> None:
    payload = {**PAYLOAD, name: value} if value is not None else {k: v for k, v in PAYLOAD.items() if k != name}
    with pytest.raises(ReceiptError) as caught:
        open_receipt(jws.sign(KEY, RECEIPT_TYPE, payload), KEYS)
    assert caught.value.code == "receipt.malformed"
    assert caught.value.pointers == (f"/{name}",)


def test_members_of_a_later_minor_version_are_left_alone() -> None:
    assert open_receipt(jws.sign(KEY, RECEIPT_TYPE, {**PAYLOAD, "later": 1}), KEYS) == RECEIPT


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (jws.sign(KEY, "taipu-batch+jws", PAYLOAD), "signature.type"),
        (jws.sign(jws.SigningKey.of(Ed25519PrivateKey.generate()), RECEIPT_TYPE, PAYLOAD), "signature.key-unknown"),
        (jws.sign(jws.SigningKey(KEY.kid, Ed25519PrivateKey.generate()), RECEIPT_TYPE, PAYLOAD), "signature.invalid"),
        ("", "signature.malformed"),
    ],
    ids=["another type", "unknown key", "forged", "empty"],
)
def test_a_receipt_must_be_signed_as_one_by_a_key_of_the_party(token: str, code: str) -> None:
    with pytest.raises(SignatureError) as caught:
        open_receipt(token, KEYS)
    assert caught.value.code == code


def test_our_own_code_cannot_sign_what_is_no_receipt() -> None:
    with pytest.raises(ReceiptError):
        sign_receipt(KEY, replace(RECEIPT, applied=-1))


def test_the_hash_of_a_receipt_is_the_sha_256_of_its_compact_form() -> None:
    assert len(receipt_hash(sign_receipt(KEY, RECEIPT))) == 43
    assert receipt_hash("abc") == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"  # FIPS 180-4, "abc"


_values = st.none() | st.integers() | st.text() | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(sorted(PAYLOAD)), _values))
def test_hostile_payloads_end_in_our_error(members: dict[str, Any]) -> None:
    with suppress(ReceiptError, SignatureError):
        open_receipt(jws.sign(KEY, RECEIPT_TYPE, {**PAYLOAD, **members}), KEYS)

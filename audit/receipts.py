"""Receipts: a party's signed statement of what it did with a batch, and its promise to log it.

Compact JWS of type `taipu-receipt+jws` (3-protocol, "Receipts"). A receipt whose entry never appears in its signer's
log is evidence against the signer. Written on the standard library and `cryptography`, since the offline verifier
reads receipts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.errors import ReceiptError
from audit.form import HASH, INSTANT
from schemas import jws

RECEIPT_TYPE = "taipu-receipt+jws"
PROMISE = 60_000  # ms: how long after `at` the promised entry may take to be integrated

Verdict = Literal["accepted", "refused"]


@dataclass(frozen=True)
class Receipt:
    """What `from_party` tells `to_party` about one batch. Hashes are base64url SHA-256.

    `manifest` is the batch's identity and `provider`, `dataset`, `seq` its place. The home gateway gives a submitter
    the same statement: then `manifest` is the hash of the submission's bytes, `dataset` is empty and `seq` 0.
    `applied`, `duplicates` and `held` count records. `report` is the hash of the line report, None when there is
    none. `at` is UTC with milliseconds. `log` is the origin of the signer's log and `entry` the leaf hash it promises
    to integrate there.
    """

    from_party: str
    to_party: str
    provider: str
    dataset: str
    seq: int
    manifest: str
    verdict: Verdict
    applied: int
    duplicates: int
    held: int
    at: str
    log: str
    entry: str
    report: str | None = None


def sign_receipt(key: jws.SigningKey, receipt: Receipt) -> str:
    """The receipt as a compact JWS."""
    values = {_MEMBER.get(name, name): value for name, value in vars(receipt).items() if value is not None}
    _check(values)
    return jws.sign(key, RECEIPT_TYPE, {"v": 1, **values})


def open_receipt(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Receipt:
    """The receipt in `token`, signed with one of `keys` (by `kid`): those of the party that is said to have signed.

    The caller still has to check that `from_party` is the owner of the keys, and that the batch is one it knows.

    Raises:
        SignatureError: malformed, a key not in `keys`, or a signature that fails.
        ReceiptError: signed, but not a receipt.
    """
    payload = jws.open_jws(token, keys, RECEIPT_TYPE)
    if payload.pop("v", None) != 1:
        raise ReceiptError("not a version 1 receipt", pointers=["/v"])
    _check(payload)
    # Unknown members are left alone: a later minor version may add some, and the signature covers them.
    return Receipt(**{_FIELD.get(name, name): value for name, value in payload.items() if name in _FORM})  # type: ignore[arg-type]


def receipt_hash(token: str) -> str:
    """A receipt's identity: base64url SHA-256 of its compact form."""
    return jws.b64encode(sha256(token.encode("ascii")).digest())


_MEMBER = {"from_party": "from", "to_party": "to"}
_FIELD = {member: field for field, member in _MEMBER.items()}

_HASH = re.compile(HASH)
_TEXT = re.compile(r".{1,255}")
_COUNT = range(2**53)

_FORM: dict[str, re.Pattern[str] | range] = {
    "from": _TEXT,
    "to": _TEXT,
    "provider": _TEXT,
    "dataset": re.compile(r".{0,255}"),
    "seq": _COUNT,
    "manifest": _HASH,
    "verdict": re.compile("accepted|refused"),
    "applied": _COUNT,
    "duplicates": _COUNT,
    "held": _COUNT,
    "report": _HASH,
    "at": re.compile(INSTANT),
    "log": _TEXT,
    "entry": _HASH,
}


def _check(members: Mapping[str, object]) -> None:
    wrong = [name for name, form in _FORM.items() if not _fits(members.get(name), form)]
    if "report" not in members:
        wrong.remove("report")
    if wrong:
        raise ReceiptError("not what a receipt says", pointers=[f"/{name}" for name in wrong])


def _fits(value: object, form: re.Pattern[str] | range) -> bool:
    if isinstance(form, range):
        return type(value) is int and value in form
    return isinstance(value, str) and form.fullmatch(value) is not None

"""Compact JWS over Ed25519 (RFC 7515, RFC 8037, algorithm name after RFC 9864): how we sign manifests, receipts and
party documents.

Written on the standard library and `cryptography` alone, so that an auditor can read it beside the offline verifier.
It must never choose an algorithm from the token: what a key may do is fixed by the key. Other algorithms join by
naming themselves in `alg`, with their own keys; a token without a name we know is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.errors import SignatureError

ALGORITHM = "Ed25519"
MAX_TOKEN = 64 * 1024  # characters; the largest we sign is a party document of some kilobytes


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 private key and the `kid` its public half is published under."""

    kid: str
    private: Ed25519PrivateKey

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> SigningKey:
        return cls(kid=thumbprint(private.public_key()), private=private)

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()


def b64encode(data: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64decode(text: str) -> bytes:
    """The bytes behind `text`; only the one canonical spelling is taken, so that a token has one text.

    Raises:
        SignatureError: `text` is not canonical unpadded base64url.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError("not base64url", code="signature.malformed") from error
    if b64encode(data) != text:
        raise SignatureError("base64url with stray bits or padding", code="signature.malformed")
    return data


def public_text(key: Ed25519PublicKey) -> str:
    """The raw 32 bytes of a public key as base64url: the `x` of its JWK."""
    return b64encode(key.public_bytes_raw())


def load_public(text: str) -> Ed25519PublicKey:
    """The public key behind `public_text`.

    Raises:
        SignatureError: not 32 bytes of base64url, or not a point of the curve.
    """
    raw = b64decode(text)
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise SignatureError("not an Ed25519 public key", code="signature.malformed") from error


def thumbprint(key: Ed25519PublicKey) -> str:
    """The key's JWK thumbprint (RFC 7638, RFC 8037 appendix A.3): our `kid`."""
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{public_text(key)}"}}'
    return b64encode(hashlib.sha256(jwk.encode("ascii")).digest())


def sign(key: SigningKey, typ: str, payload: Mapping[str, object]) -> str:
    """The compact JWS of `payload` (JSON, members in the order given) with header `alg`, `kid`, `typ`."""
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": typ}
    signed = f"{b64encode(_dump(header))}.{b64encode(_dump(payload))}"
    return f"{signed}.{b64encode(key.private.sign(signed.encode('ascii')))}"


def open_jws(token: str, keys: Mapping[str, Ed25519PublicKey], typ: str) -> dict[str, object]:
    """The payload of `token`, signed with one of `keys` (by `kid`) as a `typ`.

    The caller still has to check what the payload claims: who signed is known, not whether they may say this.

    Raises:
        SignatureError: malformed, another type or algorithm, a key we do not hold, or a signature that fails.
    """
    header, payload = peek(token)
    if header.get("typ") != typ:
        raise SignatureError(f"a {typ} was expected", code="signature.type")
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise SignatureError("the algorithm is not one we accept", code="signature.algorithm")
    kid = header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise SignatureError("signed with a key that is not published", code="signature.key-unknown")
    signed, _, signature = token.rpartition(".")
    try:
        key.verify(b64decode(signature), signed.encode("ascii"))
    except InvalidSignature as error:
        raise SignatureError("the signature does not verify") from error
    return payload


def peek(token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Header and payload of `token`, *unverified*: only good for finding out which key to ask for.

    Raises:
        SignatureError: not a compact JWS of two JSON objects.
    """
    parts = token.split(".")
    if len(token) > MAX_TOKEN or len(parts) != 3 or not token.isascii():
        raise SignatureError("not a compact JWS", code="signature.malformed")
    return _load(b64decode(parts[0])), _load(b64decode(parts[1]))


def kid_of(token: str) -> str:
    """The `kid` that `token` names, *unverified*; empty where it names none. Raises as `peek` does."""
    kid = peek(token)[0].get("kid")
    return kid if isinstance(kid, str) else ""


def _dump(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _load(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(data, object_pairs_hook=members_once)
    except (ValueError, RecursionError) as error:
        raise SignatureError("not JSON", code="signature.malformed") from error
    if not isinstance(value, dict):
        raise SignatureError("not a JSON object", code="signature.malformed")
    return cast("dict[str, object]", value)


def members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of `pairs`, for `json.loads(object_pairs_hook=…)`; a ValueError where a member occurs twice."""
    if len({name for name, _ in pairs}) != len(pairs):
        # Two readers would keep different ones of the two, and so disagree on what was signed.
        raise ValueError("a member occurs twice")
    return dict(pairs)

"""Public keys of clients: which kinds and sizes are taken, and what each may verify (RFC 7517, FAPI 2.0, 5.4).

A key fixes its algorithm: P-256 is ES256, RSA is PS256, Ed25519 is Ed25519. A token's header has to agree with the key
and never chooses. Keys come from the client's record, or from the `jwk` of a DPoP proof, which binds and does not
identify; `jku`, `x5u` and the like are never followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from partners.errors import PROOF_ALGORITHMS
from partners.tables import MAX_KID
from schemas.errors import SignatureError

MAX_KEY_SET = 16 * 1024  # characters of JSON
MAX_KEYS = 8  # one in use, the next one, and some slack for a slow rotation
RSA_BITS = range(2048, 4097)  # shorter is weak, longer is a way to keep us busy
RSA_EXPONENT = "AQAB"  # 65537

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key we accept: the one algorithm it verifies and its RFC 7638 thumbprint (SHA-256, base64url)."""

    algorithm: str
    thumbprint: str
    material: Key

    def verify(self, token: str) -> None:
        """Check the signature of the compact JWS `token`; what it claims is the caller's to check.

        Raises:
            SignatureError: another algorithm, or a signature that fails.
        """
        try:
            jws.deserialize_compact(token, self.material, registry=_REGISTRIES[self.algorithm])
        except (JoseError, ValueError, TypeError) as error:
            raise SignatureError("the signature does not verify") from error


KeySet = Mapping[str, PublicKey]
"""Keys by `kid`."""


def _registry(algorithm: str) -> jws.JWSRegistry:
    # Unknown header members are ignored as RFC 7515 asks, unknown `crit` members still refused. The library's own
    # 512 bytes of header would not hold a proof with an RSA key in it.
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = 4096
    return registry


_REGISTRIES = MappingProxyType({algorithm: _registry(algorithm) for algorithm in PROOF_ALGORITHMS})


def load_public_key(jwk: object) -> PublicKey:
    """The key in a JWK, where it is one we accept.

    Raises:
        SignatureError: `key.private`: it holds a secret; `key.refused`: another kind, size or use, or no key at all.
    """
    if not isinstance(jwk, dict):
        raise _refused("a key is a JSON object")
    if _PRIVATE_MEMBERS.intersection(jwk):
        raise SignatureError("a private key was sent where a public one belongs", code="key.private")
    match jwk:
        case {"kty": "EC", "crv": "P-256", "x": str(x), "y": str(y)}:
            key = _load_canonical(("kty", "EC"), ("crv", "P-256"), ("x", x), ("y", y))
        case {"kty": "OKP", "crv": "Ed25519", "x": str(x)}:
            key = _load_canonical(("kty", "OKP"), ("crv", "Ed25519"), ("x", x))
        case {"kty": "RSA", "n": str(n), "e": str(e)}:
            key = _load_canonical(("kty", "RSA"), ("n", n), ("e", e))
        case _:
            raise _refused("keys are P-256, Ed25519 or RSA")
    if jwk.get("alg", key.algorithm) != key.algorithm or jwk.get("use", "sig") != "sig":
        raise _refused("the key is meant for another use")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _refused("the key is meant for another use")
    return key


def load_key_set(text: str) -> KeySet:
    """A client's keys by `kid`, from a JWK set; a key without one goes by its thumbprint.

    Every key has to be one we accept: half a set would fail on the day of the rotation, not today.

    Raises:
        SignatureError: `key.refused` or `key.private`, as for one key; or no keys, too many, or a `kid` twice.
    """
    return _load_key_set(text)


@lru_cache(maxsize=1024)  # the same text at each token request of a client; parsing it costs as much as a signature
def _load_key_set(text: str) -> KeySet:
    try:
        document = json.loads(text) if len(text) <= MAX_KEY_SET else None
    except (ValueError, RecursionError) as error:
        raise _refused("a key set is JSON") from error
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or not 1 <= len(members) <= MAX_KEYS:
        raise _refused("a key set holds one to eight keys")
    keys: dict[str, PublicKey] = {}
    for member in members:
        key = load_public_key(member)
        kid = member.get("kid", key.thumbprint)
        if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID or kid in keys:
            raise _refused("each key has its own kid")
        keys[kid] = key
    return MappingProxyType(keys)


def choose_key(keys: KeySet, kid: object) -> PublicKey:
    """The key a token names; a token that names none is taken where there is only one.

    Raises:
        SignatureError: `signature.key-unknown`.
    """
    if kid is None and len(keys) == 1:
        return next(iter(keys.values()))
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise SignatureError("signed with a key that is not registered", code="signature.key-unknown")
    return key


def load_signing_key(private: EllipticCurvePrivateKey) -> ECKey:
    """Our own `oauth` key, P-256 for ES256, published under its thumbprint as `kid`."""
    if private.curve.name != "secp256r1":
        raise RuntimeError("the oauth key has to be a P-256 key")
    key = ECKey.import_key(private)
    key.ensure_kid()
    return key


def public_jwks(keys: Iterable[ECKey]) -> dict[str, object]:
    """The document at `/oauth/jwks`: the public half of our oauth keys, the one in use first (RFC 7517)."""
    return {"keys": [key.as_dict(private=False, use="sig", alg="ES256") for key in keys]}


@lru_cache(maxsize=4096)  # a client proves the same key at each request; importing it is a quarter of the whole check
def _load_canonical(*members: tuple[str, str]) -> PublicKey:
    value = dict(members)
    kinds: dict[str, tuple[type[ECKey | OKPKey | RSAKey], str]] = {
        "EC": (ECKey, "ES256"),
        "OKP": (OKPKey, "Ed25519"),
        "RSA": (RSAKey, "PS256"),
    }
    kind, algorithm = kinds[value["kty"]]
    try:
        if kind is RSAKey and (_bits(value["n"]) not in RSA_BITS or value["e"] != RSA_EXPONENT):
            raise _refused("RSA keys have 2048 to 4096 bits and the exponent 65537")
        material = kind.import_key(cast("dict[str, str | list[str]]", value))
        canonical = kind.import_key(material.raw_value)  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError) as error:
        raise _refused("the key is not a point or modulus of its kind") from error
    if canonical.as_dict(private=False) != value:
        # Leading zeros would give one key several thumbprints.
        raise _refused("the key is not in its canonical spelling")
    return PublicKey(algorithm=algorithm, thumbprint=canonical.thumbprint(), material=material)


def _bits(modulus: str) -> int:
    return int.from_bytes(urlsafe_b64decode(modulus.encode("ascii"))).bit_length()


def _refused(detail: str) -> SignatureError:
    return SignatureError(detail, code="key.refused")

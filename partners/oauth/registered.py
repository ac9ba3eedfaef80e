"""Keys and certificates as clients bring them: a JWK set, or PEM with public keys and certificates in it.

A certificate brings two things: its thumbprint, which tokens can be bound to, and its public key, which may also sign
assertions where it is of a kind that we take. Both end when the certificate does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from joserfc.jwk import ECKey, OKPKey, RSAKey

from partners.oauth.certificates import certificate_thumbprint
from partners.oauth.keys import MAX_KEY_SET, load_key_set, load_public_key
from schemas.errors import SignatureError
from schemas.times import millis_of

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class ClientKey:
    """A key or certificate of a client, good from `begins` to `ends` (ms UTC; None: until it is taken away).

    `jwk` is JSON text; None for a certificate, whose `kid` is its SHA-256 thumbprint.
    """

    kid: str
    jwk: str | None
    begins: int
    ends: int | None = None

    @property
    def is_certificate(self) -> bool:
        return self.jwk is None

    def good_at(self, now: int) -> bool:
        """Whether it is taken at `now` (ms UTC)."""
        return self.begins <= now and (self.ends is None or now < self.ends)


def read_client_keys(text: str, *, begins: int, ends: int | None = None) -> list[ClientKey]:
    """The keys and certificates in `text`, good from `begins` to `ends` (ms UTC) and no longer than a certificate is.

    Raises:
        SignatureError: `key.private`: there is a secret in it; `key.refused`: it holds none that is taken.
    """
    if len(text) > MAX_KEY_SET:
        raise SignatureError("this is longer than any set of keys", code="key.refused")
    found = _of_jwks(text, begins, ends) if text.lstrip().startswith("{") else list(_of_pem(text, begins, ends))
    if not found or len({key.kid for key in found}) != len(found):
        raise SignatureError("there is no key in it, or one twice", code="key.refused")
    return found


def _of_jwks(text: str, begins: int, ends: int | None) -> list[ClientKey]:
    keys = load_key_set(text)
    members = json.loads(text)["keys"]
    return [ClientKey(kid, json.dumps(member), begins, ends) for kid, member in zip(keys, members, strict=True)]


def _of_pem(text: str, begins: int, ends: int | None) -> Iterator[ClientKey]:
    for block in _PEM.finditer(text):
        match block[1]:
            case "PUBLIC KEY":
                yield _key(_public(block[0]), begins, ends)
            case "CERTIFICATE":
                yield from _of_certificate(block[0], begins, ends)
            case kind if "PRIVATE" in kind:
                raise SignatureError("a private key was sent where a public one belongs", code="key.private")
            case _:
                raise SignatureError("keys are JWK sets, or PEM public keys and certificates", code="key.refused")


def _of_certificate(pem: str, begins: int, ends: int | None) -> Iterator[ClientKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii", "replace"))
        public = certificate.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise SignatureError("this is no certificate", code="key.refused") from error
    if _is_authority(certificate):
        return  # an intermediate one that came along: it vouches for others and speaks for nobody
    last = millis_of(certificate.not_valid_after_utc)
    until = last if ends is None else min(ends, last)
    if until <= begins:
        raise SignatureError("the certificate has ended already", code="key.refused")
    yield ClientKey(certificate_thumbprint(certificate.public_bytes(Encoding.DER)), None, begins, until)
    try:
        yield _key(public, begins, until)
    except SignatureError:
        return  # good for connections alone


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _public(pem: str) -> object:
    try:
        return load_pem_public_key(pem.encode("ascii", "replace"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError("this is no public key", code="key.refused") from error


def _key(public: object, begins: int, ends: int | None) -> ClientKey:
    kinds: list[tuple[type, Any]] = [
        (ec.EllipticCurvePublicKey, ECKey), (ed25519.Ed25519PublicKey, OKPKey), (rsa.RSAPublicKey, RSAKey),
    ]  # fmt: skip
    for kind, material in kinds:
        if isinstance(public, kind):
            jwk = material.import_key(public).as_dict(private=False)
            key = load_public_key(jwk)
            return ClientKey(key.thumbprint, json.dumps({**jwk, "kid": key.thumbprint}), begins, ends)
    raise SignatureError("keys are P-256, Ed25519 or RSA", code="key.refused")

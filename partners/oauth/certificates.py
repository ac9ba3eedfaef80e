"""Client certificates: their thumbprint (RFC 8705, section 3), name and time, and who issued them.

Pure functions over DER, for certificates whose owner has proven in a handshake that the key is theirs. What cannot be
read is nobody's certificate: no function here raises for what a caller sends.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from schemas.jws import b64encode
from schemas.times import millis_of


def certificate_thumbprint(certificate: bytes) -> str:
    """`x5t#S256`: the base64url SHA-256 of the DER."""
    return b64encode(hashlib.sha256(certificate).digest())


def subject_of(certificate: bytes) -> str | None:
    """The subject as RFC 4514 text; None where there is none to read."""
    read = _read(certificate)
    return None if read is None else read.subject.rfc4514_string() or None


def is_in_time(certificate: bytes, now: int) -> bool:
    """Whether the certificate is valid at `now` (ms UTC)."""
    read = _read(certificate)
    return read is not None and millis_of(read.not_valid_before_utc) <= now < millis_of(read.not_valid_after_utc)


@lru_cache(maxsize=1024)  # a signature check, and the same one at each request of a client
def is_issued_by(certificate: bytes, authority: str) -> bool:
    """Whether one of the `authority` certificates (PEM) signed this one."""
    read = _read(certificate)
    if read is None:
        return False
    try:
        authorities = x509.load_pem_x509_certificates(authority.encode("ascii"))
    except ValueError:
        return False
    return any(_signed(read, one) for one in authorities)


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


@lru_cache(maxsize=1024)
def _read(certificate: bytes) -> x509.Certificate | None:
    try:
        read = x509.load_der_x509_certificate(certificate)
        read.subject.rfc4514_string()  # whatever is wrong inside comes out here
    except (ValueError, x509.InvalidVersion):
        return None
    return read

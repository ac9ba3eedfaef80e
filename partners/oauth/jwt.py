"""Signed claims others send us: read with bounds before anything is believed (RFC 7519, RFC 8725).

What `read_jwt` returns is unverified: good for finding out which key to ask for, until that key's `verify` has passed.
Times in claims are seconds, here milliseconds UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from joserfc import jwt
from joserfc.jwk import ECKey

from partners.tables import MAX_JTI
from schemas.errors import SignatureError
from schemas.jws import peek

MAX_JWT = 8 * 1024  # characters; the largest is a proof with a 4096-bit RSA key and signature, some 2 kilobytes
SKEW = 60_000  # ms by which two parties' clocks may differ
_FAR = 1e12  # seconds: beyond any instant we could mean

Claims = Mapping[str, object]


def read_jwt(text: str, typ: Collection[str | None]) -> tuple[Claims, Claims]:
    """Header and claims of `text`, *unverified*; `typ` lists the types taken, in lower case, None for no type.

    Raises:
        SignatureError: too long, malformed, of another type, or with critical extensions (we understand none).
    """
    if len(text) > MAX_JWT:
        raise SignatureError("a JWT longer than we read", code="signature.malformed")
    header, claims = peek(text)
    found = header.get("typ")
    if (found.lower() if isinstance(found, str) else found) not in tuple(typ):
        raise SignatureError("a JWT of another type", code="signature.type")
    if "crit" in header:
        raise SignatureError("a JWT with extensions we do not know", code="signature.algorithm")
    return header, claims


def read_instant(claims: Claims, name: str) -> int | None:
    """A NumericDate claim in milliseconds, or None where it is absent.

    Raises:
        SignatureError: not a number, or no instant of this age.
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_FAR < value < _FAR:  # NaN is not between
        raise SignatureError(f"the claim {name} is not an instant", code="signature.claims")
    return int(value * 1000)


def read_jti(claims: Claims) -> str:
    """The identifier that makes a JWT usable once: printable ASCII, so that every database takes it.

    Raises:
        SignatureError: missing, too long, or not printable ASCII.
    """
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI or not (jti.isascii() and jti.isprintable()):
        raise SignatureError("the claim jti is missing or not usable", code="signature.claims")
    return jti


def check_begun(claims: Claims, now: int) -> None:
    """`iat` and `nbf`, where present, may be ahead of us by no more than clocks differ (FAPI 2.0, 5.3.2.1).

    Raises:
        SignatureError: issued in the future.
    """
    for name in ("iat", "nbf"):
        begins = read_instant(claims, name)
        if begins is not None and begins > now + SKEW:
            raise SignatureError(f"the claim {name} is in the future", code="signature.claims")


def sign_jwt(key: ECKey, header: Claims, claims: Claims) -> str:
    """The compact ES256 JWT of `claims`."""
    return jwt.encode({"alg": "ES256", **header}, dict(claims), key, algorithms=["ES256"], default_type=None)

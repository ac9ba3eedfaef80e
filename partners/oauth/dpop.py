"""Proofs of possession for HTTP requests (RFC 9449): made by a client for each request, checked once by a server.

A proof binds a request to a key: method, address, instant, and the access token it goes with. It says nothing about who
holds the key; that is the token's part.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from joserfc.jwk import ECKey

from partners.errors import AuthenticationError, NonceNeededError
from partners.oauth.jwt import SKEW, Claims, check_begun, read_instant, read_jti, read_jwt, sign_jwt
from partners.oauth.keys import PublicKey, load_public_key
from partners.oauth.nonces import Nonces
from partners.oauth.replay import Replay
from schemas.errors import SignatureError
from schemas.jws import b64encode

PROOF_TYPE = "dpop+jwt"

Headers = Sequence[tuple[str, str]]
"""Header fields of a request in any case and order, one pair for each field line."""

_DEFAULT_PORTS = {"https": 443, "http": 80}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def header_values(headers: Headers, name: str) -> list[str]:
    """All values of the header field `name` (lower case): a second one must be seen, not passed over."""
    return [value for field, value in headers if field.lower() == name]


def make_proof(
    key: ECKey, method: str, uri: str, now: int, *, token: str | None = None, nonce: str | None = None
) -> str:
    """A proof for one request of `method` to `uri`, with the access `token` it carries, if any.

    Query and fragment of `uri` are left out; `now` is in milliseconds UTC; `nonce` is the server's, where it gave one.
    """
    claims: dict[str, object] = {
        "jti": secrets.token_urlsafe(24),
        "htm": method,
        "htu": uri.partition("#")[0].partition("?")[0],
        "iat": now // 1000,
    }
    if token is not None:
        claims["ath"] = token_hash(token)
    if nonce is not None:
        claims["nonce"] = nonce
    return sign_jwt(key, {"typ": PROOF_TYPE, "jwk": key.as_dict(private=False)}, claims)


def verify_proof(
    headers: Headers,
    *,
    method: str,
    uri: str,
    replay: Replay,
    nonces: Nonces,
    now: int,
    token: str | None = None,
    thumbprint: str | None = None,
) -> str:
    """Check the one proof a request carries (RFC 9449, section 4.3) and spend it; the thumbprint of its key.

    `uri` is the address as the caller sees it, from our configuration and the undecoded path, never from a Host header.
    With a `token`, the proof must be for it, and of the key with the `thumbprint` the token is bound to.

    Raises:
        AuthenticationError: `token.proof-missing`, `token.proof-invalid` or `token.proof-replayed`.
        NonceNeededError: it has to carry a nonce of ours; neither it nor anything else has been spent.
        LimitError: it cannot be remembered now, and so is not taken.
    """
    proof = _single_proof(headers)
    try:
        key, claims = _open(proof)
        jti = read_jti(claims)
        issued = read_instant(claims, "iat")
        check_begun(claims, now)
        expires = read_instant(claims, "exp")
    except SignatureError as error:
        raise _invalid("the DPoP proof is malformed or its signature does not verify") from error
    if claims.get("htm") != method or not same_address(claims.get("htu"), uri):
        raise _invalid("the DPoP proof is for another request")
    if issued is None or issued < now - SKEW or (expires is not None and expires < now - SKEW):
        raise _invalid("the DPoP proof is too old")
    if token is not None and claims.get("ath") != token_hash(token):
        raise _invalid("the DPoP proof is for another token")
    if thumbprint is not None and key.thumbprint != thumbprint:
        raise _invalid("the DPoP proof is of another key than the token")
    # An old nonce where none is needed harms nobody: a client may keep one for as long as it is not told otherwise.
    if (nonces.always or replay.needs_nonce(issued)) and not nonces.good(claims.get("nonce"), now):
        raise NonceNeededError(nonces.current(now))
    if not replay.remember(key.thumbprint, jti, expires=issued + SKEW + 1000, now=now):
        raise _invalid("the DPoP proof was used before", code="token.proof-replayed")
    return key.thumbprint


def token_hash(token: str) -> str:
    """The `ath` of an access token: base64url of its SHA-256 (RFC 9449, section 4.2)."""
    return b64encode(hashlib.sha256(token.encode("utf-8")).digest())


def same_address(htu: object, uri: str) -> bool:
    """Whether a proof's `htu` names `uri`, after RFC 3986 normalisation and without query and fragment."""
    if not isinstance(htu, str):
        return False
    try:
        return _normal(htu) == _normal(uri)
    except ValueError:
        return False


def _single_proof(headers: Headers) -> str:
    proofs = header_values(headers, "dpop")
    if not proofs:
        raise _invalid("a DPoP proof is needed", code="token.proof-missing")
    if len(proofs) > 1:
        raise _invalid("a request carries one DPoP proof")
    return proofs[0]


def _open(proof: str) -> tuple[PublicKey, Claims]:
    header, claims = read_jwt(proof, {PROOF_TYPE})
    key = load_public_key(header.get("jwk"))
    key.verify(proof)
    return key, claims


def _normal(uri: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path in their normal form (RFC 3986, sections 6.2.2 and 6.2.3)."""
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if "@" in parts.netloc or not parts.hostname:
        raise ValueError("no address of ours")
    port = parts.port if parts.port is not None else _DEFAULT_PORTS.get(scheme)
    return scheme, parts.hostname.lower(), port, _ESCAPE.sub(_normal_escape, parts.path or "/")


def _normal_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def _invalid(detail: str, *, code: str = "token.proof-invalid") -> AuthenticationError:
    return AuthenticationError(detail, code=code, error="invalid_dpop_proof")

"""The check before every protected request: a token of ours, held by whom it was given to, an active client -> a
Principal.

RFC 9068 with the type required. A token is sent as what it is bound to asks for: with a proof of its key (RFC 9449),
or over a connection with its certificate (RFC 8705, section 3); anything else is refused, a bound token without its
binding above all. The client's record is read each time: suspension, narrower scopes and another binding take effect on
the next request, not when the token ends, and so does revocation.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from joserfc.jwk import ECKey

from partners.errors import AuthenticationError
from partners.oauth.bindings import Binding, read_binding
from partners.oauth.certificates import certificate_thumbprint
from partners.oauth.clients import Client
from partners.oauth.dpop import Headers, header_values, verify_proof
from partners.oauth.jwt import check_begun, read_instant, read_jti, read_jwt
from partners.oauth.keys import KeySet, choose_key, load_public_key
from partners.oauth.nonces import Nonces
from partners.oauth.replay import Replay
from partners.oauth.token_keys import LoadTokenKeys
from partners.principal import Principal
from partners.tables import UNBOUND_SCOPES
from schemas.errors import SignatureError

TOKEN_TYPE = "at+jwt"  # noqa: S105  # a media type
REMEMBERED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token whose signature is good: who it is for, what it is bound to, from when until when (milliseconds UTC).

    `kid` is that of the key that signed it.
    """

    client_id: str
    scopes: frozenset[str]
    issued: int
    expires: int
    jti: str
    binding: Binding
    kid: object


class AccessTokens:
    """Opens the access tokens of one issuer, signed with one of the keys that `load_keys` gives at that moment.

    Signatures found good are remembered for as long as their key is published; safe to share between threads.
    """

    def __init__(self, issuer: str, load_keys: LoadTokenKeys) -> None:
        self._issuer = issuer
        self._load_keys = load_keys
        self._keys: tuple[tuple[ECKey, ...], KeySet] = ((), {})  # as published, and what verifies; replaced together
        self._good: dict[bytes, AccessToken] = {}

    def open(self, text: str, now: int) -> AccessToken:
        """What the token says, once it has proven to be one of ours and in time.

        Raises:
            AuthenticationError: `token.invalid`, `.expired`, `.wrong-issuer`, `.wrong-audience` or `.unbound`.
        """
        keys = self._published()
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        token = self._good.get(name)
        if token is None or token.kid not in keys:
            token = self._verify(text, keys, now)
        if token.expires <= now:
            raise AuthenticationError("the access token has expired", code="token.expired")
        if len(self._good) >= REMEMBERED_TOKENS:
            self._good.clear()  # a few signatures checked again are cheaper than keeping an order
        self._good[name] = token
        return token

    def _published(self) -> KeySet:
        published = self._load_keys().published
        known, keys = self._keys
        if published is not known:
            keys = {str(key.kid): load_public_key(key.as_dict(private=False)) for key in published}
            self._keys = (published, keys)
        return keys

    def _verify(self, text: str, keys: KeySet, now: int) -> AccessToken:
        try:
            header, claims = read_jwt(text, {TOKEN_TYPE})
            kid = header.get("kid")
            if kid is None:
                raise SignatureError("a token of ours names its key")
            choose_key(keys, kid).verify(text)
            check_begun(claims, now)
            issued, expires, jti = read_instant(claims, "iat"), read_instant(claims, "exp"), read_jti(claims)
        except SignatureError as error:
            raise AuthenticationError("the access token is not one of ours") from error
        if claims.get("iss") != self._issuer:
            raise AuthenticationError("the access token is of another issuer", code="token.wrong-issuer")
        if claims.get("aud") != self._issuer:
            raise AuthenticationError("the access token is for another gateway", code="token.wrong-audience")
        client_id, scope = claims.get("client_id"), claims.get("scope")
        if issued is None or expires is None or not isinstance(client_id, str) or not isinstance(scope, str):
            raise AuthenticationError("the access token lacks claims")
        return AccessToken(client_id, frozenset(scope.split()), issued, expires, jti, read_binding(claims), kid)


IsRevoked = Callable[[AccessToken], bool]
"""Whether a token was ended before its time, as it stands at this moment."""


class Standing(NamedTuple):
    """How a token stands at this moment: its client's record, None where there is none, and whether it was revoked."""

    client: Client | None
    revoked: bool


LoadStanding = Callable[[AccessToken], Standing]
"""Both at once, since they are asked at each request and are one look into the database."""


@dataclass(frozen=True)
class ProtectedResource:
    """What guards the routes of the gateway of `party`; safe to share between threads."""

    party: str
    tokens: AccessTokens
    load_standing: LoadStanding
    proofs: Replay
    nonces: Nonces

    def authenticate(
        self, method: str, uri: str, headers: Headers, *, now: int, certificate: bytes | None = None
    ) -> Principal:
        """Who sends this request; its proof, where it has one, is spent by asking.

        `uri` is the address as the caller sees it: the issuer's origin and the undecoded path, never the Host header.
        `certificate` is the one the caller showed in the handshake (DER). `now` is in milliseconds UTC.

        Raises:
            AuthenticationError: no token, or one that is not good, or not with its binding; `challenge` goes into the
                answer.
            NonceNeededError: the proof has to carry a nonce; it goes into the answer too.
            ClientInactiveError: the client has been suspended or ended.
            LimitError: the proof cannot be remembered now.
        """
        scheme, text = _read_authorization(headers)
        token = self.tokens.open(text, now)
        client, revoked = self.load_standing(token)
        if client is None:
            raise AuthenticationError("the access token is of a client that is no more")
        self._check_binding_kind(token.binding, client, scheme)
        if token.binding.kind == "dpop":
            verify_proof(
                headers, method=method, uri=uri, replay=self.proofs, nonces=self.nonces, now=now, token=text,
                thumbprint=token.binding.thumbprint,
            )  # fmt: skip
        elif token.binding.kind == "mtls":
            _check_certificate(token.binding, client, certificate, now)
        if revoked:
            raise AuthenticationError("the access token was revoked", code="token.revoked", scheme=token.binding.scheme)
        # After the binding: only who holds the key is told of the client's state, and logged as having asked.
        client.require_active()
        return Principal(
            party=client.party,
            client_id=client.client_id,
            kind=client.kind,
            scopes=_allowed(token, client),
            thumbprint=token.binding.thumbprint,
            suspended=client.party_suspended,
        )

    def _check_binding_kind(self, binding: Binding, client: Client, scheme: str) -> None:
        """The token is bound as this client's are at this moment, and is sent as such a token has to be."""
        known: str = client.binding
        if binding.kind == "none" and known != "none":
            raise AuthenticationError("the access token is not bound to a key", code="token.unbound")
        if known != binding.kind or (known == "none" and client.party != self.party):
            detail = "the access token is not bound as those of this client are"
            raise AuthenticationError(detail, code="token.wrong-binding")
        if scheme != binding.scheme.lower():
            if binding.kind == "dpop":
                raise AuthenticationError("this token is bound: send it as DPoP", code="token.sent-as-bearer")
            raise AuthenticationError("send this token as Bearer", code="token.sent-as-dpop", scheme="Bearer")


def _allowed(token: AccessToken, client: Client) -> frozenset[str]:
    scopes = token.scopes & client.scopes
    return scopes.intersection(UNBOUND_SCOPES) if token.binding.kind == "none" else scopes


def _check_certificate(binding: Binding, client: Client, certificate: bytes | None, now: int) -> None:
    """The certificate the token is bound to, and still one that the client may show."""
    shown = "" if certificate is None else certificate_thumbprint(certificate)
    if not hmac.compare_digest(shown, binding.thumbprint) or not client.accepts_certificate(certificate, now):
        detail = "the access token is bound to a certificate that was not shown"
        raise AuthenticationError(detail, code="token.certificate-mismatch", scheme="Bearer")


def _read_authorization(headers: Headers) -> tuple[str, str]:
    """The scheme in lower case, and the token."""
    values = header_values(headers, "authorization")
    if not values:
        raise AuthenticationError("an access token is needed", code="token.missing", error=None)
    scheme, _, text = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() not in {"dpop", "bearer"}:
        raise AuthenticationError("a request carries one access token, as DPoP or Bearer", error="invalid_request")
    if not text.isascii():
        raise AuthenticationError("the access token is not one of ours")
    return scheme.lower(), text.strip()

"""The check before every protected request: a token of ours, a proof of its key, an active client -> a Principal.

RFC 9068 with the type required, RFC 9449 with the binding required: a token that is bound to nothing is refused, and so
is a bound one that comes as a bearer token. The client's record is read each time: suspension and narrower scopes take
effect on the next request, not when the token ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from joserfc.jwk import ECKey

from partners.errors import AuthenticationError
from partners.oauth.clients import LoadClient
from partners.oauth.dpop import Headers, header_values, verify_proof
from partners.oauth.jwt import check_begun, read_instant, read_jwt
from partners.oauth.keys import choose_key, load_public_key
from partners.oauth.replay import Replay
from partners.principal import Principal
from schemas.errors import SignatureError

TOKEN_TYPE = "at+jwt"  # noqa: S105  # a media type
REMEMBERED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token whose signature is good: who it is for, until when (milliseconds UTC), and the key it is bound to."""

    client_id: str
    scopes: frozenset[str]
    expires: int
    thumbprint: str


class AccessTokens:
    """Opens the access tokens of one issuer, signed with one of `keys`; safe to share between threads.

    Signatures found good are remembered, so make a new one whenever the keys change: what an old key signed must not
    outlive it.
    """

    def __init__(self, issuer: str, keys: Iterable[ECKey]) -> None:
        self._issuer = issuer
        self._keys = {key.thumbprint() if key.kid is None else key.kid: load_public_key(key.as_dict()) for key in keys}
        self._good: dict[bytes, AccessToken] = {}

    def open(self, text: str, now: int) -> AccessToken:
        """What the token says, once it has proven to be one of ours and in time.

        Raises:
            AuthenticationError: `token.invalid`, `.expired`, `.wrong-issuer`, `.wrong-audience` or `.unbound`.
        """
        name = hashlib.sha256(text.encode("utf-8")).digest()
        token = self._good.get(name) or self._verify(text, now)
        if token.expires <= now:
            raise AuthenticationError("the access token has expired", code="token.expired")
        if len(self._good) >= REMEMBERED_TOKENS:
            self._good.clear()  # a few signatures checked again are cheaper than keeping an order
        self._good[name] = token
        return token

    def _verify(self, text: str, now: int) -> AccessToken:
        try:
            header, claims = read_jwt(text, {TOKEN_TYPE})
            choose_key(self._keys, header.get("kid")).verify(text)
            check_begun(claims, now)
            expires = read_instant(claims, "exp")
        except SignatureError as error:
            raise AuthenticationError("the access token is not one of ours") from error
        if claims.get("iss") != self._issuer:
            raise AuthenticationError("the access token is of another issuer", code="token.wrong-issuer")
        if claims.get("aud") != self._issuer:
            raise AuthenticationError("the access token is for another gateway", code="token.wrong-audience")
        binding = claims.get("cnf")
        thumbprint = binding.get("jkt") if isinstance(binding, dict) else None
        if not isinstance(thumbprint, str):
            raise AuthenticationError("the access token is not bound to a key", code="token.unbound")
        client_id, scope = claims.get("client_id"), claims.get("scope")
        if expires is None or not isinstance(client_id, str) or not isinstance(scope, str):
            raise AuthenticationError("the access token lacks claims")
        return AccessToken(client_id, frozenset(scope.split()), expires, thumbprint)


def authenticate(
    method: str,
    uri: str,
    headers: Headers,
    *,
    tokens: AccessTokens,
    load_client: LoadClient,
    proofs: Replay,
    now: int,
) -> Principal:
    """Who sends this request; its proof is spent by asking.

    `uri` is the address as the caller sees it: the issuer's origin and the undecoded path, never the Host header.
    `now` is in milliseconds UTC.

    Raises:
        AuthenticationError: no token, no proof, or one that is not good; `challenge` goes into the answer.
        ClientInactiveError: the client has been suspended or ended.
        LimitError: the proof cannot be remembered now.
    """
    text = _read_authorization(headers)
    token = tokens.open(text, now)
    client = load_client(token.client_id)
    if client is None:
        raise AuthenticationError("the access token is of a client that is no more")
    verify_proof(headers, method=method, uri=uri, replay=proofs, now=now, token=text, thumbprint=token.thumbprint)
    # After the proof: only who holds the key is told of the client's state, and logged as having asked.
    client.require_active()
    return Principal(
        party=client.party,
        client_id=client.client_id,
        kind=client.kind,
        scopes=token.scopes & client.scopes,
        jkt=token.thumbprint,
        suspended=client.party_suspended,
    )


def _read_authorization(headers: Headers) -> str:
    values = header_values(headers, "authorization")
    if not values:
        raise AuthenticationError("an access token is needed", code="token.missing", error=None)
    scheme, _, text = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() not in {"dpop", "bearer"}:
        raise AuthenticationError("a request carries one access token of the DPoP scheme", error="invalid_request")
    if scheme.lower() == "bearer":
        raise AuthenticationError("tokens here are bound: send them as DPoP", code="token.sent-as-bearer")
    if not text.isascii():
        raise AuthenticationError("the access token is not one of ours")
    return text.strip()

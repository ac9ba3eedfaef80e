"""Token introspection (RFC 7662): what a token of ours is good for at this moment, told to the client that holds it.

A client is told of its own tokens and of nothing else. Whatever is not an active token of that client is answered with
`{"active": false}` and not a word more: a token of somebody else, one that has ended, garbage. With `Accept:
application/token-introspection+jwt` the answer is signed (RFC 9701), so that it can be kept and shown to others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as AuthlibIntrospection

from partners.errors import AuthenticationError
from partners.oauth.client_auth import Answer, Call, Exchange, Issuer
from partners.oauth.clients import CLIENT_AUTH_METHOD, Client
from partners.oauth.dpop import Headers, header_values
from partners.oauth.jwt import sign_jwt
from partners.oauth.metadata import INTROSPECTION_PATH
from partners.oauth.resource import AccessToken, AccessTokens, IsRevoked

SIGNED_TYPE = "token-introspection+jwt"
SIGNED_MEDIA_TYPE = "application/" + SIGNED_TYPE


@dataclass(frozen=True)
class IntrospectionEndpoint:
    """The introspection endpoint of `issuer`; may be shared between threads."""

    issuer: Issuer
    tokens: AccessTokens
    is_revoked: IsRevoked

    def respond(
        self, headers: Headers, body: bytes, now: int, *, certificate: bytes | None = None, address: str = ""
    ) -> Answer:
        """Answer one POST, as `TokenEndpoint.respond` does."""
        exchange = _Introspection(self, Call(headers, body, now, certificate, address))
        answer = exchange.answer(INTROSPECTION_PATH)
        return exchange.signed(answer) if answer.status == 200 and _wants_signed(headers) else answer


class _Introspection(Exchange):
    """One introspection under way."""

    def __init__(self, endpoint: IntrospectionEndpoint, call: Call) -> None:
        super().__init__(endpoint.issuer, call)
        self.endpoint = endpoint
        self.payload: dict[str, object] = {}
        self.register_endpoint(_Endpoint)

    def respond(self, request: OAuth2Request) -> Answer:
        return cast("Answer", self.create_endpoint_response(_Endpoint.ENDPOINT_NAME, request))

    def active(self, text: str) -> AccessToken | None:
        """The token in `text`, where it is one of ours that has not ended."""
        try:
            token = self.endpoint.tokens.open(text, self.call.now)
        except AuthenticationError:
            return None
        return None if self.endpoint.is_revoked(token) else token

    def signed(self, answer: Answer) -> Answer:
        """`answer` as a JWT for the client that asked (RFC 9701, section 5)."""
        key = self.issuer.load_keys().signing
        claims = {
            "iss": self.issuer.issuer, "aud": answer.client_id, "iat": self.call.now // 1000,
            "token_introspection": self.payload,
        }  # fmt: skip
        text = sign_jwt(key, {"typ": SIGNED_TYPE, "kid": key.kid}, claims)
        headers = [("Content-Type", SIGNED_MEDIA_TYPE), ("Cache-Control", "no-store")]
        return replace(answer, headers=headers, body=text.encode("ascii"))


class _Endpoint(AuthlibIntrospection):  # type: ignore[misc]
    """Authlib's order of steps, over our tokens."""

    CLIENT_AUTH_METHODS = (CLIENT_AUTH_METHOD,)
    server: _Introspection
    scopes: frozenset[str] = frozenset()  # what the client that asks may have at this moment

    def authenticate_endpoint_client(self, request: OAuth2Request) -> Client:
        client = cast("Client", super().authenticate_endpoint_client(request))
        self.server.spend_assertion()
        self.scopes = client.scopes
        return client

    def check_params(self, request: OAuth2Request, client: Client) -> None:  # noqa: ARG002
        if not request.form.get("token"):  # a hint is only that, and ignored (RFC 7662, section 2.1)
            raise InvalidRequestError("there is no token to look at")

    def query_token(self, text: str, hint: str | None) -> AccessToken | None:  # noqa: ARG002
        return self.server.active(text)

    def check_permission(self, token: AccessToken, client: Client, request: OAuth2Request) -> bool:  # noqa: ARG002
        return token.client_id == client.client_id and token.binding.kind == client.binding

    def create_introspection_payload(self, token: AccessToken | None) -> dict[str, object]:
        payload: dict[str, object] = {"active": False} if token is None else self.introspect_token(token)
        self.server.payload = payload
        return payload

    def introspect_token(self, token: AccessToken) -> dict[str, object]:
        issuer = self.server.issuer.issuer
        return {
            "active": True,
            "scope": " ".join(sorted(token.scopes & self.scopes)),  # as a protected resource would have it
            "client_id": token.client_id,
            "token_type": token.binding.scheme,
            "exp": token.expires // 1000,
            "iat": token.issued // 1000,
            "sub": token.client_id,
            "aud": issuer,
            "iss": issuer,
            "jti": token.jti,
            **token.binding.confirmation(),
        }


def _wants_signed(headers: Headers) -> bool:
    ranges = ",".join(header_values(headers, "accept")).split(",")
    return SIGNED_MEDIA_TYPE in {one.partition(";")[0].strip().lower() for one in ranges}

"""Token revocation (RFC 7009): a client gives back a token before it ends, because it may have been stolen.

A client ends its own tokens and no others. The answer is 200 whatever the token was: garbage, ended already, or
somebody else's, which stays as good as it was (section 2.2: there is nothing the caller could do about it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc7009 import RevocationEndpoint as AuthlibRevocation

from partners.errors import AuthenticationError
from partners.oauth.client_auth import Answer, Call, Exchange, Issuer
from partners.oauth.clients import CLIENT_AUTH_METHOD, Client
from partners.oauth.dpop import Headers
from partners.oauth.metadata import REVOCATION_PATH
from partners.oauth.resource import AccessToken, AccessTokens


@dataclass(frozen=True)
class RevocationEndpoint:
    """The revocation endpoint of `issuer`; `revoke` keeps a token's end where every worker sees it."""

    issuer: Issuer
    tokens: AccessTokens
    revoke: Callable[[AccessToken], None]

    def respond(
        self, headers: Headers, body: bytes, now: int, *, certificate: bytes | None = None, address: str = ""
    ) -> Answer:
        """Answer one POST, as `TokenEndpoint.respond` does."""
        return _Revocation(self, Call(headers, body, now, certificate, address)).answer(REVOCATION_PATH)


class _Revocation(Exchange):
    """One revocation under way."""

    def __init__(self, endpoint: RevocationEndpoint, call: Call) -> None:
        super().__init__(endpoint.issuer, call)
        self.endpoint = endpoint
        self.register_endpoint(_Endpoint)

    def respond(self, request: OAuth2Request) -> Answer:
        return cast("Answer", self.create_endpoint_response(_Endpoint.ENDPOINT_NAME, request))


class _Endpoint(AuthlibRevocation):  # type: ignore[misc]
    """Authlib's order of steps, over our tokens."""

    CLIENT_AUTH_METHODS = (CLIENT_AUTH_METHOD,)
    server: _Revocation

    def authenticate_endpoint_client(self, request: OAuth2Request) -> Client:
        client = cast("Client", super().authenticate_endpoint_client(request))
        self.server.spend_assertion()
        return client

    def authenticate_token(self, request: OAuth2Request, client: Client) -> AccessToken | None:
        if not request.form.get("token"):  # a hint is only that, and ignored (section 2.1)
            raise InvalidRequestError("there is no token to revoke")
        try:
            token = self.server.endpoint.tokens.open(request.form["token"], self.server.call.now)
        except AuthenticationError:
            return None
        return token if token.client_id == client.client_id else None

    def revoke_token(self, token: AccessToken, request: OAuth2Request) -> None:  # noqa: ARG002
        self.server.endpoint.revoke(token)

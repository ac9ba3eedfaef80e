"""The token endpoint: client_credentials with private_key_jwt, for tokens bound to a key (RFC 6749, 7523, 9068, 9449,
8705).

Built on Authlib's server, grant and token classes. After `client_auth` has found out who asks, and before anything is
given, each step refusing before the next begins:

    5. the scope: not empty and within the client's, never narrowed
    6. what the token is bound to, as the client's record says: its DPoP proof, with our nonce where one is needed, and
       spent; or the certificate of the connection; or nothing, for a few
    7. the assertion, spent: last, since clients may resend it with a better proof
    8. the token: ES256, five minutes, bound

It must never issue a token that is bound to less than the client's record asks for, nor write one to a log. Times are
milliseconds UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    ClientCredentialsGrant,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc.jwk import KeySet

from partners.errors import AuthenticationError, NonceNeededError
from partners.oauth.bindings import UNBOUND, Binding
from partners.oauth.certificates import certificate_thumbprint
from partners.oauth.client_auth import Answer, Call, Exchange, Issuer, SlowDownError
from partners.oauth.clients import CLIENT_AUTH_METHOD, GRANT_TYPE, Client
from partners.oauth.dpop import Headers, verify_proof
from partners.oauth.metadata import TOKEN_PATH
from partners.oauth.token_keys import TOKEN_LIFETIME
from partners.tables import UNBOUND_SCOPES
from schemas.errors import LimitError

_RETRY_AFTER = 60  # s, where no more proofs can be remembered


@dataclass(frozen=True)
class TokenEndpoint:
    """The token endpoint of `issuer`; holds no state of its own and may be shared between threads."""

    issuer: Issuer

    @property
    def uri(self) -> str:
        return self.issuer.issuer + TOKEN_PATH

    def respond(
        self, headers: Headers, body: bytes, now: int, *, certificate: bytes | None = None, address: str = ""
    ) -> Answer:
        """Answer one POST from `address`, over a connection with `certificate` (DER).

        Refusals are answers too: nothing is raised for what a caller sends.
        """
        return _TokenRequest(self.issuer, Call(headers, body, now, certificate, address)).answer(TOKEN_PATH)


class _InvalidProofError(OAuth2Error):  # type: ignore[misc]
    error = "invalid_dpop_proof"


class _NonceError(OAuth2Error):  # type: ignore[misc]
    error = "use_dpop_nonce"

    def __init__(self, error: NonceNeededError) -> None:
        super().__init__(error.detail)
        self.nonce = error.nonce

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("DPoP-Nonce", self.nonce)]


class _UnsupportedGrantError(OAuth2Error):  # type: ignore[misc]
    error = "unsupported_grant_type"


class _TokenRequest(Exchange):
    """One token request under way."""

    def respond(self, request: OAuth2Request) -> Answer:
        self.register_grant(_ClientCredentials)
        return cast("Answer", self.create_token_response(request))

    def get_token_grant(self, request: OAuth2Request) -> object:
        if request.payload.grant_type != GRANT_TYPE:
            raise _UnsupportedGrantError(f"the only grant type here is {GRANT_TYPE}")
        return super().get_token_grant(request)


class _ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]
    """Steps 3 to 8 in their order."""

    TOKEN_ENDPOINT_AUTH_METHODS = (CLIENT_AUTH_METHOD,)
    server: _TokenRequest

    def validate_token_request(self) -> None:
        super().validate_token_request()  # steps 3 to 5, through the server and the method below
        binding = self._bind()
        self.server.spend_assertion()
        self.server.register_token_generator(GRANT_TYPE, _BoundTokens(self.server, binding))

    def validate_requested_scope(self) -> None:
        allowed = self.client.get_allowed_scope(self.request.payload.scope)
        if allowed is None:
            raise InvalidScopeError("the scope is empty or goes beyond what this client may ask for")
        if self.client.binding == "none" and not set(allowed.split()).issubset(UNBOUND_SCOPES):
            raise InvalidScopeError("a token that is bound to nothing is for handing in and reading records alone")

    def create_token_response(self) -> tuple[int, dict[str, object], list[tuple[str, str]]]:
        # Authlib's own writes the token into its debug log.
        token = self.generate_token(scope=self.request.payload.scope, include_refresh_token=False)
        nonces = self.server.issuer.nonces
        nonce = [("DPoP-Nonce", nonces.current(self.server.call.now))] if nonces.always else []
        return 200, token, [*self.TOKEN_RESPONSE_HEADER, *nonce]

    def _bind(self) -> Binding:
        """Step 6."""
        client, call = self.client, self.server.call
        kind: str = client.binding
        if kind == "dpop":
            return Binding("dpop", self._spend_proof())
        if kind == "mtls":
            if call.certificate is None or not client.accepts_certificate(call.certificate, call.now):
                raise InvalidRequestError("the tokens of this client are bound to its certificate: it was not shown")
            return Binding("mtls", certificate_thumbprint(call.certificate))
        if kind == "none" and client.party == self.server.issuer.party:
            return UNBOUND
        raise UnauthorizedClientError("tokens that are bound to nothing are for clients of this party alone")

    def _spend_proof(self) -> str:
        issuer, call = self.server.issuer, self.server.call
        try:
            return verify_proof(
                call.headers, method="POST", uri=self.request.uri, replay=issuer.proofs, nonces=issuer.nonces,
                now=call.now,
            )  # fmt: skip
        except NonceNeededError as error:
            raise _NonceError(error) from error
        except AuthenticationError as error:
            raise _InvalidProofError(error.detail) from error
        except LimitError as error:
            raise SlowDownError(error.detail, _RETRY_AFTER, status=503) from error


class _BoundTokens(JWTBearerTokenGenerator):  # type: ignore[misc]
    """Step 8. The instants Authlib reads from the clock are overwritten with those of the one decision."""

    def __init__(self, server: _TokenRequest, binding: Binding) -> None:
        super().__init__(server.issuer.issuer, alg="ES256", expires_generator=TOKEN_LIFETIME)
        self.key = server.issuer.load_keys().signing
        self.issued = server.call.now // 1000
        self.binding = binding

    def get_jwks(self) -> KeySet:
        return KeySet([self.key])  # a set, so that the header gets its kid

    def get_audiences(self, client: Client, user: object, scope: str) -> str:  # noqa: ARG002
        return cast("str", self.issuer)

    def get_extra_claims(self, client: Client, grant_type: str, user: object, scope: str) -> dict[str, object]:  # noqa: ARG002
        return {"iat": self.issued, "exp": self.issued + TOKEN_LIFETIME, **self.binding.confirmation()}

    def generate(self, *args: Any, **kwargs: Any) -> dict[str, object]:
        return {**super().generate(*args, **kwargs), "token_type": self.binding.scheme}

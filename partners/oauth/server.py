"""The token endpoint: client_credentials with private_key_jwt, for DPoP-bound tokens (RFC 6749, 7523, 9068, 9449).

Built on Authlib's server, grant, assertion and token classes, with the checks FAPI 2.0 asks for and they leave open.
The order of a request, each step refusing before the next begins:

    1. one form of bounded size, no parameter twice, no shared secret
    2. the assertion: a registered key, its algorithm, issuer and audience, its times
    3. the client: the one the assertion names, and active
    4. the scope: not empty and within the client's, never narrowed
    5. the DPoP proof, spent
    6. the assertion, spent: last, since clients may resend it with a better proof
    7. the token: ES256, five minutes, bound to the proof's key

It must never issue a token that is not bound to a key, nor write one to a log. Times are milliseconds UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc.jwk import ECKey, KeySet

from partners.errors import AuthenticationError, ClientInactiveError
from partners.oauth import jwt, keys
from partners.oauth.clients import CLIENT_AUTH_METHOD, GRANT_TYPE, Client, LoadClient
from partners.oauth.dpop import Headers, header_values, verify_proof
from partners.oauth.metadata import TOKEN_PATH, check_issuer
from partners.oauth.replay import Replay
from schemas.errors import LimitError, SignatureError

MAX_BODY = 16 * 1024  # bytes of a token request
TOKEN_LIFETIME = 300  # s
MAX_ASSERTION_LIFETIME = 3_600_000  # ms; what Authlib's own client asks for
ASSERTION_TYPES = (None, "jwt", "client-authentication+jwt")

_MAX_PARAMETERS = 32
_UNPROVEN = "the client is unknown, or its assertion does not verify"  # one answer for both


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """What to answer; `client_id` is the caller where it was proven, also when it was refused (for the log)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    client_id: str | None


@dataclass(frozen=True)
class TokenEndpoint:
    """The endpoint of one issuer; holds no state of its own and may be shared between threads."""

    issuer: str
    signing_key: ECKey  # private P-256; its kid is published
    load_client: LoadClient
    assertions: Replay  # must hold across workers and restarts
    proofs: Replay

    def __post_init__(self) -> None:
        check_issuer(self.issuer)
        if not self.signing_key.is_private or self.signing_key.curve_name != "P-256" or not self.signing_key.kid:
            raise RuntimeError("tokens are signed with a private P-256 key that has a kid")

    @property
    def uri(self) -> str:
        return self.issuer + TOKEN_PATH

    def respond(self, headers: Headers, body: bytes, now: int) -> TokenResponse:
        """Answer one POST. Refusals are answers too: nothing is raised for what a caller sends."""
        return _Exchange(self, headers, now).answer(body)


class _InvalidProofError(OAuth2Error):  # type: ignore[misc]
    error = "invalid_dpop_proof"


class _UnsupportedGrantError(OAuth2Error):  # type: ignore[misc]
    error = "unsupported_grant_type"


class _BusyError(OAuth2Error):  # type: ignore[misc]
    error = "temporarily_unavailable"
    status_code = 503


class _Exchange(AuthorizationServer):  # type: ignore[misc]
    """One token request under way: Authlib's hooks take neither a clock nor a request's headers, so both live here."""

    def __init__(self, endpoint: TokenEndpoint, headers: Headers, now: int) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.headers = headers
        self.now = now
        self.assertion = _ClientAssertion(endpoint.issuer, now)
        self.client_id: str | None = None
        self.register_grant(_ClientCredentials)
        self.register_client_auth_method(CLIENT_AUTH_METHOD, self.assertion)

    def answer(self, body: bytes) -> TokenResponse:
        request = _Request("POST", self.endpoint.uri)
        try:
            request.payload = BasicOAuth2Payload(_read_form(self.headers, body))
            return cast("TokenResponse", self.create_token_response(request))
        except OAuth2Error as error:
            return cast("TokenResponse", self.handle_error_response(request, error))

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def query_client(self, client_id: str) -> Client:
        client = self.endpoint.load_client(client_id)
        if client is None:
            raise InvalidClientError(_UNPROVEN)
        return client

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def get_token_grant(self, request: OAuth2Request) -> object:
        if request.payload.grant_type != GRANT_TYPE:
            raise _UnsupportedGrantError(f"the only grant type here is {GRANT_TYPE}")
        return super().get_token_grant(request)

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> TokenResponse:
        content = json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        return TokenResponse(status, list(headers), content, self.client_id)


class _Request(OAuth2Request):  # type: ignore[misc]
    @property
    def form(self) -> Mapping[str, str]:
        return cast("Mapping[str, str]", self.payload.data)


class _ClientAssertion(JWTBearerClientAssertion):  # type: ignore[misc]
    """Step 2: who signed, for whom, and when. Spending it is left to the grant: Authlib's own jti check is off."""

    CLIENT_AUTH_METHOD = CLIENT_AUTH_METHOD

    def __init__(self, issuer: str, now: int) -> None:
        super().__init__(validate_jti=False)
        self.issuer = issuer
        self.now = now
        self.header: jwt.Claims = {}
        self.claims: jwt.Claims = {}
        self.jti = ""
        self.expires = 0

    def extract_assertion(self, assertion: str) -> tuple[jwt.Claims, jwt.Claims]:
        try:
            self.header, self.claims = jwt.read_jwt(assertion, ASSERTION_TYPES)
        except SignatureError as error:
            raise InvalidClientError("the client assertion is not a JWT for this purpose") from error
        return self.header, self.claims

    def resolve_client_public_key(self, client: Client) -> keys.PublicKey:
        try:
            return keys.choose_key(client.keys, self.header.get("kid"))
        except SignatureError as error:
            raise InvalidClientError(_UNPROVEN) from error

    def process_assertion_claims(self, assertion: str, resolve_key: keys.PublicKey) -> jwt.Claims:
        try:
            resolve_key.verify(assertion)
        except SignatureError as error:
            raise InvalidClientError(_UNPROVEN) from error
        self.verify_claims(self.claims)
        return self.claims

    def verify_claims(self, claims: jwt.Claims) -> None:
        if claims.get("iss") != claims.get("sub"):
            raise InvalidClientError("the assertion has to name the client as iss and sub")
        if claims.get("aud") != self.issuer:  # a string, not a list, and not the address of this endpoint
            raise InvalidClientError("the assertion is for another audience than this issuer")
        try:
            expires = jwt.read_instant(claims, "exp")
            jwt.check_begun(claims, self.now)
            self.jti = jwt.read_jti(claims)
        except SignatureError as error:
            raise InvalidClientError("the assertion has claims that are missing or not possible") from error
        if expires is None or expires <= self.now - jwt.SKEW:
            raise InvalidClientError("the assertion has expired")
        if expires > self.now + MAX_ASSERTION_LIFETIME + jwt.SKEW:
            raise InvalidClientError("the assertion is valid for more than an hour")
        self.expires = expires


class _ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]
    """Steps 2 to 7 in their order."""

    TOKEN_ENDPOINT_AUTH_METHODS = (CLIENT_AUTH_METHOD,)
    request: _Request
    server: _Exchange

    def validate_token_request(self) -> None:
        super().validate_token_request()  # steps 2 to 4, through the methods below
        thumbprint = self._spend_proof()
        self._spend_assertion()
        generator = _BoundTokens(self.server.endpoint, self.server.now, thumbprint)
        self.server.register_token_generator(GRANT_TYPE, generator)

    def authenticate_token_endpoint_client(self) -> Client:
        if header_values(self.server.headers, "authorization"):
            raise InvalidClientError("clients authenticate with an assertion alone", status_code=401)
        client = cast("Client", super().authenticate_token_endpoint_client())
        self.server.client_id = client.client_id
        named = self.request.payload.client_id
        if named is not None and named != client.client_id:
            raise InvalidClientError("the assertion is of another client than client_id says")
        try:
            client.require_active()
        except ClientInactiveError as error:
            raise InvalidClientError(error.detail) from error
        return client

    def validate_requested_scope(self) -> None:
        if self.client.get_allowed_scope(self.request.payload.scope) is None:
            raise InvalidScopeError("the scope is empty or goes beyond what this client may ask for")

    def create_token_response(self) -> tuple[int, dict[str, object], list[tuple[str, str]]]:
        # Authlib's own writes the token into its debug log.
        token = self.generate_token(scope=self.request.payload.scope, include_refresh_token=False)
        return 200, token, self.TOKEN_RESPONSE_HEADER

    def _spend_proof(self) -> str:
        server = self.server
        replay = server.endpoint.proofs
        try:
            return verify_proof(server.headers, method="POST", uri=server.endpoint.uri, replay=replay, now=server.now)
        except AuthenticationError as error:
            raise _InvalidProofError(error.detail) from error
        except LimitError as error:
            raise _BusyError(error.detail) from error

    def _spend_assertion(self) -> None:
        assertion, replay = self.server.assertion, self.server.endpoint.assertions
        expires = assertion.expires + jwt.SKEW
        if not replay.remember(self.client.client_id, assertion.jti, expires=expires, now=self.server.now):
            raise InvalidClientError("the assertion was used before")


class _BoundTokens(JWTBearerTokenGenerator):  # type: ignore[misc]
    """Step 7. The instants Authlib reads from the clock are overwritten with those of the one decision."""

    def __init__(self, endpoint: TokenEndpoint, now: int, thumbprint: str) -> None:
        super().__init__(endpoint.issuer, alg="ES256", expires_generator=TOKEN_LIFETIME)
        self.key = endpoint.signing_key
        self.issued = now // 1000
        self.thumbprint = thumbprint

    def get_jwks(self) -> KeySet:
        return KeySet([self.key])  # a set, so that the header gets its kid

    def get_audiences(self, client: Client, user: object, scope: str) -> str:  # noqa: ARG002
        return cast("str", self.issuer)

    def get_extra_claims(self, client: Client, grant_type: str, user: object, scope: str) -> dict[str, object]:  # noqa: ARG002
        return {"iat": self.issued, "exp": self.issued + TOKEN_LIFETIME, "cnf": {"jkt": self.thumbprint}}

    def generate(self, *args: Any, **kwargs: Any) -> dict[str, object]:
        return {**super().generate(*args, **kwargs), "token_type": "DPoP"}


def _read_form(headers: Headers, body: bytes) -> dict[str, str]:
    """Step 1."""
    types = [value.partition(";")[0].strip().lower() for value in header_values(headers, "content-type")]
    if types != ["application/x-www-form-urlencoded"] or len(body) > MAX_BODY:
        raise InvalidRequestError("a token request is one urlencoded form of at most 16 KiB")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError as error:
        raise InvalidRequestError("the form cannot be read") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidRequestError("a parameter occurs twice")
    if "client_secret" in form:
        raise InvalidClientError("shared secrets are not accepted")
    return form

"""What the endpoints of an authorization server have in common: one form, one client that proves who it is.

Client authentication is private_key_jwt (RFC 7523) alone, built on Authlib's server and assertion classes with the
checks FAPI 2.0 asks for and they leave open. The order, each step refusing before the next begins:

    1. not too often from this address: before anything is parsed, and long before a signature is checked
    2. one form of bounded size, no parameter twice, no shared secret
    3. the assertion: a registered key, its algorithm, issuer and audience, its times
    4. the client: the one the assertion names, active, and not too often either

The assertion is spent by the endpoint, when nothing else is left that the caller could do better at a second try.
Times are milliseconds UTC.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion

from partners.errors import ClientInactiveError
from partners.oauth import jwt, keys
from partners.oauth.buckets import Buckets
from partners.oauth.clients import CLIENT_AUTH_METHOD, Client, LoadClient
from partners.oauth.dpop import Headers, header_values
from partners.oauth.metadata import check_issuer
from partners.oauth.nonces import Nonces
from partners.oauth.replay import Replay
from partners.oauth.token_keys import LoadTokenKeys
from schemas.errors import LimitError, SignatureError

MAX_BODY = 16 * 1024  # bytes of a request
MAX_ASSERTION_LIFETIME = 3_600_000  # ms; what Authlib's own client asks for
ASSERTION_TYPES = (None, "jwt", "client-authentication+jwt")

_MAX_PARAMETERS = 32
_RETRY_AFTER = 60  # s, where a memory is full
_UNPROVEN = "the client is unknown, or its assertion does not verify"  # one answer for both


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer; `client_id` is the caller where it was proven, also when it was refused (for the log)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    client_id: str | None

    @property
    def error(self) -> str | None:
        """The OAuth error code of a refusal, else None."""
        return None if self.status == 200 else str(json.loads(self.body)["error"])


@dataclass(frozen=True)
class Issuer:
    """One authorization server, that of the gateway of `party`; safe to share between threads.

    `addresses` and `clients` say how often one of each may ask.
    """

    issuer: str
    party: str
    load_keys: LoadTokenKeys
    load_client: LoadClient
    assertions: Replay  # must hold across workers and restarts
    proofs: Replay
    nonces: Nonces
    addresses: Buckets
    clients: Buckets

    def __post_init__(self) -> None:
        check_issuer(self.issuer)


@dataclass(frozen=True, slots=True)
class Call:
    """One POST to one of the endpoints: from which `address`, over a connection with which `certificate` (DER)."""

    headers: Headers
    body: bytes
    now: int
    certificate: bytes | None
    address: str


class SlowDownError(OAuth2Error):  # type: ignore[misc]
    """Too often: `seconds` until it is worth asking again."""

    error = "temporarily_unavailable"

    def __init__(self, description: str, seconds: int, *, status: int = 429) -> None:
        super().__init__(description, status_code=status)
        self.seconds = seconds

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("Retry-After", str(self.seconds))]


class Exchange(AuthorizationServer, ABC):  # type: ignore[misc]
    """One request under way: Authlib's hooks take neither a clock nor a request's headers, so both live here."""

    def __init__(self, issuer: Issuer, call: Call) -> None:
        super().__init__()
        self.issuer = issuer
        self.call = call
        self.assertion = _ClientAssertion(issuer.issuer, call.now)
        self.client_id: str | None = None
        self.register_client_auth_method(CLIENT_AUTH_METHOD, self.assertion)

    def answer(self, path: str) -> Answer:
        """The answer to the whole request. Refusals are answers too: nothing is raised for what a caller sends."""
        request = _Request("POST", self.issuer.issuer + path)
        try:
            self._take_turn(self.issuer.addresses, self.call.address)
            request.payload = BasicOAuth2Payload(_read_form(self.call.headers, self.call.body))
            return self.respond(request)
        except OAuth2Error as error:
            return cast("Answer", self.handle_error_response(request, error))

    @abstractmethod
    def respond(self, request: OAuth2Request) -> Answer:
        """What this endpoint does with a request whose form could be read."""

    def authenticate_client(self, request: OAuth2Request, methods: object, endpoint: str = "token") -> Client:
        """Steps 3 and 4."""
        if header_values(self.call.headers, "authorization"):
            raise InvalidClientError("clients authenticate with an assertion alone", status_code=401)
        client = cast("Client", super().authenticate_client(request, methods, endpoint))
        self.client_id = client.client_id
        named = request.payload.client_id
        if named is not None and named != client.client_id:
            raise InvalidClientError("the assertion is of another client than client_id says")
        try:
            client.require_active()
        except ClientInactiveError as error:
            raise InvalidClientError(error.detail) from error
        self._take_turn(self.issuer.clients, client.client_id)
        return client

    def spend_assertion(self) -> None:
        """Use up the assertion of the client that has proven to be who it is."""
        assertion = self.assertion
        expires = assertion.expires + jwt.SKEW
        try:
            first = self.issuer.assertions.remember(
                str(self.client_id), assertion.jti, expires=expires, now=self.call.now
            )
        except LimitError as error:
            raise SlowDownError(error.detail, _RETRY_AFTER) from error
        if not first:
            raise InvalidClientError("the assertion was used before")

    def _take_turn(self, buckets: Buckets, name: str) -> None:
        wait = buckets.take(name, self.call.now)
        if wait:
            raise SlowDownError("too many requests", (wait + 999) // 1000)

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def query_client(self, client_id: str) -> Client:
        client = self.issuer.load_client(client_id)
        if client is None:
            raise InvalidClientError(_UNPROVEN)
        return client

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> Answer:
        content = json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        return Answer(status, list(headers), content, self.client_id)


class _Request(OAuth2Request):  # type: ignore[misc]
    @property
    def form(self) -> Mapping[str, str]:
        return cast("Mapping[str, str]", self.payload.data)


class _ClientAssertion(JWTBearerClientAssertion):  # type: ignore[misc]
    """Step 3: who signed, for whom, and when. Spending it is left to the endpoint: Authlib's own jti check is off."""

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


def _read_form(headers: Headers, body: bytes) -> dict[str, str]:
    """Step 2."""
    types = [value.partition(";")[0].strip().lower() for value in header_values(headers, "content-type")]
    if types != ["application/x-www-form-urlencoded"] or len(body) > MAX_BODY:
        raise InvalidRequestError("a request is one urlencoded form of at most 16 KiB")
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

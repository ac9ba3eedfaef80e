"""A lean HTTPS client, so that the figures are the server's: one connection, ready-made bodies, a token kept.

It signs a fresh proof for every request (RFC 9449), as any client of a gateway must; `bench.ingest` says what that and
the rest of the client cost. Ours and the peer's servers are called by the same code.
"""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Self
from urllib.parse import urlencode, urlsplit

from joserfc.jwk import ECKey

from bench.gateways import Access
from partners.oauth.dpop import make_proof
from partners.oauth.jwt import sign_jwt
from partners.oauth.metadata import TOKEN_PATH
from schemas.times import now_millis

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_TOKEN_FOR = 240_000  # ms a token is used; it is good for five minutes


class Caller:
    """One connection to `url`. Without `access` it sends no token; `headers` go with every request."""

    def __init__(
        self, url: str, ca_pem: str, access: Access | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        context = ssl.create_default_context(cadata=ca_pem)
        self._connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=120)
        self._url = url
        self._access = access
        self._headers = dict(headers or {})
        self._proof_key = ECKey.generate_key("P-256")
        self._token = ""
        self._nonce: str | None = None  # what the server wants in a proof, if it does
        self._renew_at = 0  # ms UTC

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of the answer, read whole. Anything but 200 and 201 ends the benchmark."""

        def signed() -> dict[str, str]:
            return {**self.sign(method, path), **self._headers, **(headers or {})}

        return self._exchange(method, path, body, signed)

    def sign(self, method: str, path: str) -> dict[str, str]:
        """The token and a fresh proof for one request."""
        if self._access is None:
            return {}
        now = now_millis()
        if now >= self._renew_at:
            self._token, self._renew_at = self.fetch_token(), now + _TOKEN_FOR
        proof = make_proof(self._proof_key, method, self._url + path, now, token=self._token, nonce=self._nonce)
        return {"Authorization": f"DPoP {self._token}", "DPoP": proof}

    def fetch_token(self) -> str:
        """A new access token, for a fresh assertion and a fresh proof."""
        access = self._access
        assert access is not None
        seconds = now_millis() // 1000
        claims = {
            "iss": access.client_id, "sub": access.client_id, "aud": access.url, "jti": secrets.token_urlsafe(24),
            "iat": seconds, "exp": seconds + 120,
        }  # fmt: skip
        form = {
            "grant_type": "client_credentials", "scope": access.scope, "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": sign_jwt(access.key, {"typ": "JWT", "kid": access.key.kid}, claims),
        }  # fmt: skip

        def signed() -> dict[str, str]:
            uri = self._url + TOKEN_PATH
            return {**_FORM, "DPoP": make_proof(self._proof_key, "POST", uri, now_millis(), nonce=self._nonce)}

        answer = self._exchange("POST", TOKEN_PATH, urlencode(form).encode(), signed)
        token: str = json.loads(answer)["access_token"]
        return token

    def _exchange(self, method: str, path: str, body: bytes | None, signed: Callable[[], dict[str, str]]) -> bytes:
        """One request, and once more with a nonce where the server asks for one: the assertion stays good for it."""
        for _ in range(2):
            self._connection.request(method, path, body, signed())
            answer = self._connection.getresponse()
            content = answer.read()
            nonce = answer.headers.get("DPoP-Nonce")
            if answer.status not in (400, 401) or nonce is None:
                break
            self._nonce = nonce
        if answer.status not in (200, 201):
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

"""A gateway under test and two clients of it, as the OpenID Foundation's conformance suite asks for in its
configuration, with hands to send it anything.

The variants of a test plan are the two ways a token is bound, `dpop` and `mtls`. A certificate is shown as a server
would show it to the application: in the scope of the request.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import create_partner_app
from partners.oauth.certificates import certificate_thumbprint
from partners.oauth.clients import GRANT_TYPE, Client
from partners.oauth.dpop import token_hash
from partners.oauth.metadata import TOKEN_PATH
from partners.oauth.store import add_client
from schemas.times import now_millis
from tests.partners.oauth_world import ASSERTION_TYPE, jwks_of, key_of, sign
from tests.world import Node

RESOURCE = "/v1/feeds"
SCOPE = "feeds:read"


@cache
def certificate_of(name: str) -> bytes:
    """A certificate (DER) as a client makes one for itself: who it is, its registered key says."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer_name=subject, subject_name=subject, public_key=key.public_key(), serial_number=1,
        not_valid_before=datetime(2026, 1, 1, tzinfo=UTC), not_valid_after=datetime(2099, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


class Showing:
    """An application whose callers all show one certificate, or none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.certificate: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.certificate is not None:
            tls = {"client_cert_chain": [self.certificate]}
            scope = {**scope, "extensions": {**scope.get("extensions", {}), "tls": tls}}
        await self._app(scope, receive, send)


@dataclass
class SuiteClient:
    """One of the two clients: its registered key, the key its proofs are made with, and its certificate."""

    client_id: str
    algorithm: str
    key: Any = field(init=False)
    proof_key: ECKey = field(init=False)
    certificate: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.key = key_of(self.algorithm, self.client_id)
        self.proof_key = key_of("ES256", f"{self.client_id} proofs")
        self.certificate = certificate_of(self.client_id)


class Suite:
    """A gateway, its two clients, and one of the variants."""

    def __init__(self, node: Node, variant: str) -> None:
        self.node = node
        self.variant = variant
        self.nonce: str | None = None
        self.clients = (SuiteClient("first", "ES256"), SuiteClient("second", "PS256"))
        for client in self.clients:
            shown = {certificate_thumbprint(client.certificate)} if variant == "mtls" else ()
            new = Client(
                client.client_id, node.party, "reader", frozenset({SCOPE}), jwks_of(client.key),
                binding="mtls" if variant == "mtls" else "dpop", certificates=frozenset(shown),
            )  # fmt: skip
            with node.gateway.database.write() as session:
                add_client(session, new, now_millis())
        self.app = Showing(create_partner_app(node.gateway))
        self.http = TestClient(self.app, node.url, follow_redirects=False)

    def assertion(self, client: SuiteClient | None = None, *, algorithm: str = "", **changes: object) -> str:
        """A client assertion; a claim that is None is left out."""
        client = client or self.clients[0]
        seconds = now_millis() // 1000
        claims = {
            "iss": client.client_id, "sub": client.client_id, "aud": self.node.url, "iat": seconds,
            "exp": seconds + 60, "jti": secrets.token_urlsafe(16),
        }  # fmt: skip
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return sign({"alg": algorithm or client.algorithm, "kid": client.key.kid}, claims, client.key)

    def proof_parts(
        self, client: SuiteClient, method: str, path: str, token: str | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of a good proof."""
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": client.proof_key.as_dict(private=False)}
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16), "htm": method, "htu": self.node.url + path, "iat": now_millis() // 1000,
        }  # fmt: skip
        if token is not None:
            claims["ath"] = token_hash(token)
        if self.nonce is not None:
            claims["nonce"] = self.nonce
        return header, claims

    def proof(self, method: str, path: str, token: str | None = None, client: SuiteClient | None = None) -> str:
        client = client or self.clients[0]
        header, claims = self.proof_parts(client, method, path, token)
        return sign(header, claims, client.proof_key)

    def ask(
        self,
        client: SuiteClient | None = None,
        *,
        assertion: str | None = None,
        form: Mapping[str, str | None] | None = None,
        bound: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """A token request of a client, the first by default; again where it is told to come with a nonce.

        A member of `form` that is None is left out. `bound`: with proof or certificate, as the variant has it.
        """
        client = client or self.clients[0]
        fields: dict[str, str | None] = {
            "grant_type": GRANT_TYPE, "scope": SCOPE, "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(client), **(form or {}),
        }  # fmt: skip
        data = {name: value for name, value in fields.items() if value is not None}
        for _ in range(2):
            sent = dict(headers or {})
            if self.variant == "dpop" and bound:
                sent.setdefault("DPoP", self.proof("POST", TOKEN_PATH, client=client))
            self.app.certificate = client.certificate if self.variant == "mtls" and bound else None
            answer = self.http.post(TOKEN_PATH, data=data, headers=sent)
            if answer.headers.get("DPoP-Nonce") is None or answer.status_code == 200 or self.nonce is not None:
                break
            assert answer.json()["error"] == "use_dpop_nonce"
            self.nonce = answer.headers["DPoP-Nonce"]
        return answer

    def token(self, client: SuiteClient | None = None) -> str:
        answer = self.ask(client)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def call(
        self, token: str, client: SuiteClient | None = None, *, headers: list[tuple[str, str]] | None = None,
        certificate: bytes | None = None, path: str = RESOURCE,
    ) -> Any:  # fmt: skip
        """A protected request with a token, bound as the variant has it, or with the `headers` that are given."""
        client = client or self.clients[0]
        if headers is None:
            headers = [("Authorization", f"{'DPoP' if self.variant == 'dpop' else 'Bearer'} {token}")]
            if self.variant == "dpop":
                headers.append(("DPoP", self.proof("GET", path, token, client)))
        self.app.certificate = certificate or (client.certificate if self.variant == "mtls" else None)
        return self.http.get(path, headers=headers)


def error_of(answer: Any, status: int = 400) -> str:
    """The OAuth error code of a refused token request, once its form has been checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    return str(json.loads(answer.content)["error"])

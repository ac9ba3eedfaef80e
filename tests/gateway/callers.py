"""Callers of a gateway's partner listener within the test's process: real tokens and proofs, no sockets."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from gateway.app import create_partner_app
from partners.oauth.clients import GRANT_TYPE, Client
from partners.oauth.dpop import make_proof
from partners.oauth.jwt import sign_jwt
from partners.oauth.keys import public_jwks
from partners.oauth.metadata import TOKEN_PATH
from partners.oauth.store import add_client
from partners.principal import ClientKind
from schemas.times import now_millis
from tests.world import Node

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@contextmanager
def listening(node: Node, *, faults_raise: bool = True) -> Iterator[TestClient]:
    """The node's partner listener, called in process; a fault of ours fails the test unless told not to."""
    app = create_partner_app(node.gateway)
    with TestClient(app, node.url, raise_server_exceptions=faults_raise, follow_redirects=False) as http:
        yield http


@dataclass
class Caller:
    """A registered client with a token for all its scopes."""

    http: TestClient
    node: Node
    client_id: str
    key: ECKey
    scopes: Collection[str]
    proof_key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    token: str = ""
    nonce: str | None = None

    def fetch_token(self, scopes: Collection[str] | None = None) -> str:
        """A fresh token, kept for the calls that follow."""
        answer = self.ask_for_token(self.scopes if scopes is None else scopes)
        if answer.status_code == 400 and answer.json()["error"] == "use_dpop_nonce":
            self.nonce = answer.headers["DPoP-Nonce"]
            answer = self.ask_for_token(self.scopes if scopes is None else scopes)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        return self.token

    def ask_for_token(self, scopes: Collection[str]) -> Any:
        """One token request, with the nonce we know of, if any."""
        now, url = now_millis(), self.node.url
        seconds = now // 1000
        claims = {
            "iss": self.client_id, "sub": self.client_id, "aud": url, "iat": seconds, "exp": seconds + 60,
            "jti": secrets.token_urlsafe(16),
        }  # fmt: skip
        form = {
            "grant_type": GRANT_TYPE,
            "scope": " ".join(scopes),
            "client_assertion_type": ASSERTION,
            "client_assertion": sign_jwt(self.key, {"kid": self.key.kid}, claims),
        }
        proof = make_proof(self.proof_key, "POST", url + TOKEN_PATH, now, nonce=self.nonce)
        return self.http.post(TOKEN_PATH, data=form, headers={"DPoP": proof})

    def headers(self, method: str, path: str) -> dict[str, str]:
        """What proves one request: token and fresh proof."""
        if not self.token:
            self.fetch_token()
        uri = self.node.url + path.partition("?")[0]
        proof = make_proof(self.proof_key, method, uri, now_millis(), token=self.token, nonce=self.nonce)
        return {"Authorization": f"DPoP {self.token}", "DPoP": proof}

    def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> Any:
        headers = {**self.headers(method, path), **(headers or {})}
        return self.http.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def put(self, path: str, **options: Any) -> Any:
        return self.call("PUT", path, **options)


def caller(
    http: TestClient, node: Node, party: str, *scopes: str, kind: ClientKind = "reader", client_id: str = ""
) -> Caller:
    """A client of `party` registered at `node`."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    client_id = client_id or f"{party}-{kind}-{secrets.token_hex(4)}"
    with node.gateway.database.write() as session:
        jwks = json.dumps(public_jwks([key]))
        add_client(session, Client(client_id, party, kind, frozenset(scopes), jwks), now_millis())
    return Caller(http, node, client_id, key, scopes)


def code_of(answer: Any, status: int) -> str:
    """The code of a problem answer, once its form has been checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"] == body["code"]
    assert body["detail"]
    return str(body["code"])

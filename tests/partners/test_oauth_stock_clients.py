"""Clients we did not write get a token and make a call, over HTTP on this host: Authlib's and requests-oauthlib's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from oauthlib.oauth2 import BackendApplicationClient
from requests import Session
from requests_oauthlib import OAuth2Session as RequestsOAuthlibSession
from sqlalchemy import create_engine

from partners import tables
from partners.errors import AuthenticationError
from partners.oauth.clients import Client
from partners.oauth.dpop import make_proof
from partners.oauth.replay import DatabaseReplay, MemoryReplay
from partners.oauth.resource import AccessTokens, authenticate
from partners.oauth.server import TokenEndpoint
from partners.oauth.store import add_client, load_client
from schemas.times import now_millis
from tests.partners.oauth_world import ASSERTION_TYPE, jwks_of, key_of


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    """The origin of a running gateway of two routes, whose clients have an id like their algorithm."""
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    tables.metadata.create_all(engine, tables=[tables.client, tables.client_key, tables.party, tables.assertion_seen])
    with engine.begin() as connection:
        for kind in ("ES256", "PS256", "Ed25519"):
            add_client(
                connection, Client(kind, "320509", "gateway", frozenset({"feeds:read"}), jwks_of(key_of(kind))), 0
            )

    def load(client_id: str) -> Client | None:
        with engine.connect() as connection:
            return load_client(connection, client_id)

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = endpoint.respond(self.headers.items(), body, now_millis())
            self.reply(answer.status, answer.headers, answer.body)

        def do_GET(self) -> None:
            try:
                principal = authenticate(
                    "GET",
                    issuer + self.path,
                    self.headers.items(),
                    tokens=tokens,
                    load_client=load,
                    proofs=endpoint.proofs,
                    now=now_millis(),
                )
            except AuthenticationError as error:
                self.reply(401, [("WWW-Authenticate", error.challenge)], error.code.encode())
            else:
                self.reply(200, [], principal.client_id.encode())

        def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in [*headers, ("Content-Length", str(len(body)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        issuer = f"http://127.0.0.1:{server.server_port}"
        key = key_of("ES256", "qingpu oauth")
        endpoint = TokenEndpoint(
            issuer, key, load, DatabaseReplay(engine.begin, tables.assertion_seen), MemoryReplay(now_millis() - 1000)
        )
        tokens = AccessTokens(issuer, [key])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield issuer
        server.shutdown()
        thread.join()
    engine.dispose()


def call(origin: str, token: dict[str, str]) -> str:
    """What a protected call with `token` answers."""
    uri = origin + "/v1/feeds?wait=0"
    proof = make_proof(key_of("ES256", "proofs"), "GET", uri, now_millis(), token=token["access_token"])
    with Session() as session:
        session.trust_env = False
        return session.get(uri, headers={"Authorization": f"DPoP {token['access_token']}", "DPoP": proof}).text


@pytest.mark.parametrize("kind", ["ES256", "PS256", "Ed25519"])
def test_authlib_gets_a_token_and_makes_a_call(origin: str, kind: str) -> None:
    uri = origin + "/oauth/token"
    with OAuth2Session(kind, key_of(kind), token_endpoint_auth_method="private_key_jwt", scope="feeds:read") as session:
        session.trust_env = False
        session.register_client_auth_method(PrivateKeyJWT(origin, alg=kind))
        for _ in range(2):
            proof = make_proof(key_of("ES256", "proofs"), "POST", uri, now_millis())
            token = session.fetch_token(uri, grant_type="client_credentials", headers={"DPoP": proof})
            assert token["token_type"] == "DPoP"
            assert call(origin, token) == kind


def test_requests_oauthlib_gets_a_token_and_makes_a_call(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    uri = origin + "/oauth/token"
    assertion = private_key_jwt_sign(key_of("PS256"), "PS256", origin, alg="PS256")
    with RequestsOAuthlibSession(client=BackendApplicationClient("PS256", scope=["feeds:read"])) as session:
        session.trust_env = False
        token = session.fetch_token(
            uri,
            include_client_id=True,
            client_assertion_type=ASSERTION_TYPE,
            client_assertion=assertion,
            headers={
                "DPoP": make_proof(key_of("ES256", "proofs"), "POST", uri, now_millis()),
                "Accept": "application/json",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
    assert token["token_type"] == "DPoP"
    assert call(origin, token) == "PS256"


def test_a_client_with_the_habits_of_other_servers_is_told_what_is_wrong(origin: str) -> None:
    """The algorithm and audience Authlib's client takes by default."""
    uri = origin + "/oauth/token"
    for method in (PrivateKeyJWT(), PrivateKeyJWT(uri, alg="PS256"), PrivateKeyJWT(origin, alg="RS256")):
        with OAuth2Session("PS256", key_of("PS256"), token_endpoint_auth_method="private_key_jwt") as session:
            session.trust_env = False
            session.register_client_auth_method(method)
            proof = make_proof(key_of("ES256", "proofs"), "POST", uri, now_millis())
            with pytest.raises(Exception, match="invalid_client"):
                session.fetch_token(uri, grant_type="client_credentials", headers={"DPoP": proof})


def test_the_server_is_not_moved_by_a_call_without_a_token(origin: str) -> None:
    with Session() as session:
        session.trust_env = False
        answer = session.get(origin + "/v1/feeds")
    assert (answer.status_code, answer.text) == (401, "token.missing")
    assert json.dumps(answer.headers["WWW-Authenticate"])

"""Clients we did not write get a token and data over HTTPS: Authlib's, requests-oauthlib's, and oauth4webapi's where
Node is there. They know of us what our metadata say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from oauthlib.oauth2 import BackendApplicationClient
from requests import Session
from requests_oauthlib import OAuth2Session as RequestsOAuthlibSession

from partners.oauth.clients import Client
from partners.oauth.dpop import make_proof
from partners.oauth.metadata import METADATA_PATH
from partners.oauth.store import add_client
from schemas.times import now_millis
from tests.conformance.suite import RESOURCE, SCOPE
from tests.partners.oauth_world import ASSERTION_TYPE, jwks_of, key_of
from tests.world import WUJIANG, Node, make_node, serve

KINDS = ("ES256", "PS256", "Ed25519")
PROOF_KEY = key_of("ES256", "proofs of others")
INSTALL_WITHIN = 120  # s; from whatever registry npm is configured for


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A gateway that serves, and a client for each kind of key, named like it."""
    made = make_node(tmp_path_factory.mktemp("clients"), WUJIANG)
    for kind in KINDS:
        with made.gateway.database.write() as session:
            new = Client(kind, made.party, "reader", frozenset({SCOPE}), jwks_of(key_of(kind)))
            add_client(session, new, now_millis())
    serve(made, duties=False)
    yield made
    made.stop()


def trusting(session: Session, node: Node) -> None:
    """The session trusts the gateway's authority and nothing of the environment."""
    session.trust_env = False
    session.verify = str(node.gateway.settings.tls.ca)


def endpoint_of(node: Node) -> str:
    """The token endpoint, from the metadata."""
    with Session() as session:
        trusting(session, node)
        return str(session.get(node.url + METADATA_PATH).json()["token_endpoint"])


def nonce_of(node: Node, kind: str) -> str:
    """The nonce that a first request is answered with: a gateway that has just started wants one."""
    uri = endpoint_of(node)
    form = {
        "grant_type": "client_credentials", "scope": SCOPE, "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": private_key_jwt_sign(key_of(kind), kind, node.url, alg=kind),
    }  # fmt: skip
    with Session() as session:
        trusting(session, node)
        answer = session.post(uri, data=form, headers={"DPoP": make_proof(PROOF_KEY, "POST", uri, now_millis())})
    assert answer.json()["error"] == "use_dpop_nonce"
    return str(answer.headers["DPoP-Nonce"])


def call(node: Node, token: dict[str, str], nonce: str) -> int:
    """The status of a protected request with `token`."""
    uri = node.url + RESOURCE
    text = token["access_token"]
    headers = {
        "Authorization": f"DPoP {text}",
        "DPoP": make_proof(PROOF_KEY, "GET", uri, now_millis(), token=text, nonce=nonce),
    }
    with Session() as session:
        trusting(session, node)
        return session.get(uri, headers=headers).status_code


@pytest.mark.parametrize("kind", KINDS)
def test_authlib_gets_a_token_and_data(node: Node, kind: str) -> None:
    uri, nonce = endpoint_of(node), nonce_of(node, kind)
    with OAuth2Session(kind, key_of(kind), token_endpoint_auth_method="private_key_jwt", scope=SCOPE) as session:
        trusting(session, node)
        session.register_client_auth_method(PrivateKeyJWT(node.url, alg=kind))
        for _ in range(2):
            proof = make_proof(PROOF_KEY, "POST", uri, now_millis(), nonce=nonce)
            token = session.fetch_token(uri, grant_type="client_credentials", headers={"DPoP": proof})
            assert token["token_type"] == "DPoP"
            assert call(node, token, nonce) == 200


def test_requests_oauthlib_gets_a_token_and_data(node: Node) -> None:
    uri, nonce = endpoint_of(node), nonce_of(node, "PS256")
    with RequestsOAuthlibSession(client=BackendApplicationClient("PS256", scope=[SCOPE])) as session:
        trusting(session, node)
        token = session.fetch_token(
            uri,
            include_client_id=True,
            client_assertion_type=ASSERTION_TYPE,
            client_assertion=private_key_jwt_sign(key_of("PS256"), "PS256", node.url, alg="PS256"),
            verify=session.verify,
            headers={
                "DPoP": make_proof(PROOF_KEY, "POST", uri, now_millis(), nonce=nonce),
                "Accept": "application/json",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
    assert token["token_type"] == "DPoP"
    assert call(node, token, nonce) == 200


def test_a_client_with_the_habits_of_other_servers_is_told_what_is_wrong(node: Node) -> None:
    """The algorithm and audience Authlib's client takes by default."""
    uri, nonce = endpoint_of(node), nonce_of(node, "PS256")
    for method in (PrivateKeyJWT(), PrivateKeyJWT(uri, alg="PS256"), PrivateKeyJWT(node.url, alg="RS256")):
        with OAuth2Session("PS256", key_of("PS256"), token_endpoint_auth_method="private_key_jwt") as session:
            trusting(session, node)
            session.register_client_auth_method(method)
            proof = make_proof(PROOF_KEY, "POST", uri, now_millis(), nonce=nonce)
            with pytest.raises(Exception, match="invalid_client"):
                session.fetch_token(uri, grant_type="client_credentials", headers={"DPoP": proof})


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the library it needs, in a folder of its own."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not here")
    folder = tmp_path_factory.mktemp("node")
    command = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        "oauth4webapi@3",
    ]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_WITHIN)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer in time")
    if done.returncode:
        pytest.skip(f"oauth4webapi cannot be had here: {done.stderr.strip()[:200]}")
    return Path(shutil.copy(Path(__file__).with_name("oauth4webapi.mjs"), folder))


@pytest.mark.parametrize("kind", KINDS)
def test_oauth4webapi_gets_a_token_and_data_and_gives_the_token_back(node: Node, script: Path, kind: str) -> None:
    key = key_of(kind)
    configuration = {
        "issuer": node.url, "resource": node.url + RESOURCE, "clientId": kind, "algorithm": kind, "scope": SCOPE,
        "jwk": {**key.as_dict(private=True), "kid": key.kid},
    }  # fmt: skip
    done = subprocess.run(
        ["node", str(script)], input=json.dumps(configuration), capture_output=True, text=True, timeout=60,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(node.gateway.settings.tls.ca)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["tokenType"].lower() == "dpop"
    assert got["status"] == 200
    assert got["asked"], "a gateway that has just started asks for a nonce, and the library listens"
    for answer in (got["before"], got["signed"]):
        assert answer["active"] is True
        assert (answer["client_id"], answer["scope"]) == (kind, SCOPE)
        assert len(answer["cnf"]["jkt"]) == 43
    assert got["after"] == {"active": False}
    assert got["refused"] == 401

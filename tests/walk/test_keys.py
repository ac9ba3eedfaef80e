"""A gateway as a process of its own: it follows a rotation without a restart, and lets no secret into its log."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.home import open_home
from gateway.key_rotation import ROTATING, rotate
from gateway.service import Gateway
from partners.client import PartnerClient
from partners.oauth.client import GatewayAuth
from schemas.times import now_millis
from tests.gateway.key_hands import keeper_of
from tests.walk.processes import running
from tests.world import WUJIANG, Node, make_node, wait_for


def test_tokens_and_keys_are_in_no_log_and_no_backup_while_a_process_follows_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens/keys in logs, backups; and rotate under load: no 401 for valid."""
    monkeypatch.setenv("TAIPU_LOG_LEVEL", "debug")
    node = make_node(tmp_path, WUJIANG)
    home = node.gateway.settings.home
    reader = node.client(scopes=["feeds:read"])
    with running(node):
        beside = Node(Gateway(open_home(home)), node.document)
        before = kids(node)
        for use in (*ROTATING, *ROTATING):  # made and published; then taken into use
            rotate(beside.gateway, use, by=keeper_of(beside), now=now_millis())
        tokens = {token_after(reader)}
        wait_for(lambda: kids(node)[0] not in before)
        tokens.add(token_after(reader))  # by the old key: it is good until it ends
        fresh = beside.client(scopes=["feeds:read"])
        tokens.add(token_after(fresh))
        fresh.close()
        beside.gateway.close()
    said = (home / "serve.log").read_bytes()
    assert b"gateway.ready" in said
    kept = b"".join(path.read_bytes() for path in home.glob("taipu.db*"))
    secrets = [token.encode() for token in tokens] + private_halves(home / "keys")
    assert len(secrets) > 2 * len(ROTATING)
    assert [secret for secret in secrets if secret in said or secret in kept] == []


def kids(node: Node) -> list[str]:
    """The keys that tokens are signed with, the one in use first, as the process says."""
    with PartnerClient(node.url, node.ca_pem) as anybody:
        return [str(key["kid"]) for key in anybody.get("/oauth/jwks").json()["keys"]]


def token_after(client: PartnerClient) -> str:
    """The access token of a client that has just called, and was not refused."""
    client.feeds()
    auth = client._http.auth
    assert isinstance(auth, GatewayAuth)
    assert auth._token is not None
    return auth._token.text


def private_halves(folder: Path) -> list[bytes]:
    """What must be nowhere else, of every key file: its text, and the key in it as bytes."""
    found = []
    for path in sorted(folder.glob("*.pem")):
        body = b"".join(line for line in path.read_bytes().splitlines() if not line.startswith(b"-----"))
        found += [body, base64.b64decode(body)]
    return found

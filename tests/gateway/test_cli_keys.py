"""`taipu keys` and `/api/keys`: the same acts at a terminal and at the console, by people who may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway import approvals
from gateway.app import create_console_app, create_partner_app
from gateway.console.access import COOKIE
from gateway.expiry import expiries
from gateway.key_rotation import ROTATING
from gateway.proposals import find_proposal
from schemas.times import DAY, beijing_text, now_millis
from tests.gateway.commands import refused, taipu, taipu_json
from tests.gateway.key_hands import keeper_of
from tests.people import person, session_of
from tests.world import Node


@pytest.fixture
def signed_in(wujiang: Node, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home, at a terminal where the security administrator has signed in."""
    monkeypatch.setenv("TAIPU_SESSION", session_of(wujiang, keeper_of(wujiang)))
    return wujiang.gateway.settings.home


@pytest.fixture
def console(wujiang: Node) -> Iterator[TestClient]:
    app = create_console_app(wujiang.gateway, create_partner_app(wujiang.gateway))
    with TestClient(app, "https://console", raise_server_exceptions=True) as http:
        yield http


def test_a_key_is_listed_rotated_and_its_next_step_is_said(wujiang: Node, signed_in: Path) -> None:
    listed = taipu_json("keys", "list", "--home", signed_in)
    assert [(key["use"], key["state"], key["private_half_here"]) for key in listed["keys"]] == [
        (use, "in use", True) for use in ROTATING
    ]
    assert (listed["document"]["serial"], listed["document"]["due"], listed["ending"]) == (1, False, [])
    done = taipu("keys", "rotate", "manifest", "--home", signed_in)
    assert (done.exit_code, "is the next one" in done.stdout) == (0, True), done.output
    after = taipu_json("keys", "list", "--home", signed_in)
    [coming] = [key for key in after["keys"] if key["state"] == "next"]
    assert (coming["step"], coming["waits_for"], coming["published_in"]) == ("take into use", "", 2)
    assert "take into use" in taipu("keys", "list", "--home", signed_in).stdout
    refused(taipu("keys", "retire", "manifest", "--home", signed_in), "keys.waiting")


def test_an_identity_does_not_rotate_and_neither_does_what_is_no_key(signed_in: Path) -> None:
    for use in ("identity", "secret"):
        refused(taipu("keys", "rotate", use, "--home", signed_in), "keys.use-unknown")


def test_a_revocation_is_proposed_and_a_key_stopped_at_the_terminal(wujiang: Node, signed_in: Path) -> None:
    refused(taipu("keys", "revoke", "oauth", "--home", signed_in), "input.needed", 2)
    since = beijing_text(now_millis() - DAY)
    done = taipu("keys", "revoke", "oauth", "--compromised-since", since, "--home", signed_in)
    assert done.exit_code == 0, done.output
    proposal = done.stdout.split()[1]
    with wujiang.gateway.database.read() as session:
        found = find_proposal(session, proposal)
    assert found.content["use"] == "oauth"
    assert taipu("keys", "revoke", "manifest", "--stop", "--home", signed_in).exit_code == 0
    states = {key["use"]: key["state"] for key in taipu_json("keys", "list", "--home", signed_in)["keys"]}
    assert states["manifest"] == "retired"
    assert taipu_json("keys", "doubted", "--home", signed_in) == []


def test_a_document_is_carried_to_the_identity_key_and_back(wujiang: Node, signed_in: Path, tmp_path: Path) -> None:
    identity = signed_in / "keys" / "identity.pem"
    away = identity.rename(tmp_path / "identity.pem")
    taipu("keys", "rotate", "witness", "--home", signed_in)
    refused(taipu("keys", "document", "--home", signed_in), "keys.missing")
    draft, signed = tmp_path / "draft.json", tmp_path / "party.jws"
    assert taipu("keys", "document", "--draft", draft, "--home", signed_in).exit_code == 0
    made = taipu("keys", "document", "--sign", draft, "--identity", away)
    signed.write_text(made.stdout)
    done = taipu("keys", "document", "--install", signed, "--home", signed_in)
    assert done.stdout.startswith("document 2 is in force"), done.output


def test_the_console_says_and_does_the_same_for_whom_it_may(wujiang: Node, console: TestClient) -> None:
    assert console.get("/api/keys").status_code == 401
    console.cookies.set(COOKIE, session_of(wujiang, person(wujiang, "wei", "system")))
    assert console.get("/api/keys").status_code == 200
    json = {"Content-Type": "application/json"}
    assert console.post("/api/keys/manifest/rotate", headers=json).json()["code"] == "person.not-permitted"
    console.cookies.set(COOKIE, session_of(wujiang, keeper_of(wujiang)))
    assert console.post("/api/keys/manifest/rotate").json()["code"] == "request.cross-site"
    assert console.post("/api/keys/manifest/rotate", headers=json).json()["state"] == "next"
    assert console.post("/api/keys/tls/renew", headers=json).status_code == 200
    body = {"compromised_since": beijing_text(now_millis() - DAY), "reason": "a laptop was stolen"}
    proposed = console.post("/api/keys/oauth/revoke", json=body)
    assert proposed.status_code == 201, proposed.text
    approvals.approve(
        wujiang.gateway, proposed.json()["proposal"], by=person(wujiang, "li", "approver"),
        digest=proposed.json()["digest"], now=now_millis(),
    )  # fmt: skip
    shown = console.get("/api/keys").json()
    assert {key["reason"] for key in shown["keys"] if key["use"] == "oauth"} == {"compromised", ""}
    extra = console.post("/api/keys/oauth/revoke", json={"lost": True})
    assert extra.json()["code"] == "request.malformed"
    assert console.post("/api/keys/log/stop", headers=json).json().keys() == {"stopped"}
    assert console.get("/api/keys/doubted").json() == {"batches": []}
    assert '"serial"' in console.get("/api/keys/document").text


def test_what_ends_within_thirty_and_seven_days_is_warned_of(wujiang: Node) -> None:
    now = now_millis()
    found = {one.what: one for one in expiries(wujiang.gateway, now=now)}
    certificate = found["server certificate"]
    levels = [certificate.level(certificate.ends - days * DAY) for days in (31, 30, 8, 7, 0)]
    assert levels == [0, 1, 1, 2, 3]
    assert {"certificate authority", "party document"} <= found.keys()

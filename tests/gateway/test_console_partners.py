"""`/api/partners` on the console: what each role sees and may do; nothing takes one person where it takes two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway import approvals
from gateway.app import create_console_app, create_partner_app
from gateway.console.access import COOKIE
from gateway.people.person import Person
from partners.document import open_document
from schemas.times import now_millis
from tests.gateway.callers import code_of
from tests.gateway.tls_server import TlsServer, reply
from tests.people import person, session_of, two_people
from tests.world import JIASHAN, WUJIANG, Node, free_port, make_node


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    made = make_node(tmp_path, WUJIANG, database_url)
    yield made
    made.stop()


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[str]:
    """Jiashan's party document; nobody serves it."""
    made = make_node(tmp_path / "theirs", JIASHAN)
    yield made.document
    made.stop()


@dataclass
class Browser:
    """Somebody signed in at the console."""

    http: TestClient
    node: Node
    who: Person

    def get(self, path: str) -> Any:
        return self.http.get(path, headers=self._headers())

    def post(self, path: str, **body: object) -> Any:
        return self.http.post(path, json=body, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {
            "Cookie": f"{COOKIE}={session_of(self.node, self.who, 'console')}", "Sec-Fetch-Site": "same-origin"
        }  # fmt: skip


@pytest.fixture
def http(node: Node) -> Iterator[TestClient]:
    app = create_console_app(node.gateway, create_partner_app(node.gateway))
    with TestClient(app, "https://console.example") as client:
        yield client


@pytest.fixture
def wei(node: Node, http: TestClient) -> Browser:
    return Browser(http, node, two_people(node)[0])


@pytest.fixture
def sun(node: Node, http: TestClient) -> Browser:
    """An auditor: reads everything, and does nothing."""
    return Browser(http, node, person(node, "sun", "audit"))


def proposed(browser: Browser, document: str) -> Any:
    answer = browser.post("/api/partners/propose", document=document, url=f"https://127.0.0.1:{free_port()}")
    assert answer.status_code == 201, answer.text
    return answer.json()


def approve(node: Node, said: Any) -> None:
    _, approver = two_people(node)
    approvals.approve(node.gateway, said["proposal"], by=approver, digest=said["digest"], now=now_millis())


def test_a_partner_is_proposed_approved_suspended_resumed_and_ended(
    node: Node, wei: Browser, sun: Browser, theirs: str
) -> None:
    said = proposed(wei, theirs)
    assert said["fingerprint"] == open_document(theirs).fingerprint
    assert said["test"][1]["code"] == "partner.unreachable"
    assert [(one["party"], one["state"]) for one in sun.get("/api/partners").json()["partners"]] == [
        (JIASHAN, "proposed")
    ]
    approve(node, said)
    shown = sun.get(f"/api/partners/{JIASHAN}").json()
    assert (shown["state"], shown["missing"]["code"]) == ("approved", "step.call")
    assert wei.post(f"/api/partners/{JIASHAN}/suspend", reason="their key was lost").json()["state"] == "suspended"
    approve(node, wei.post(f"/api/partners/{JIASHAN}/resume", reason="a new key").json())
    approve(node, wei.post(f"/api/partners/{JIASHAN}/end", reason="the plan has ended").json())
    shown = sun.get(f"/api/partners/{JIASHAN}").json()
    assert shown["state"] == "ended"
    assert [(change["state"], change["reason"]) for change in shown["changes"]] == [
        ("approved", ""), ("suspended", "their key was lost"), ("approved", "a new key"),
        ("ended", "the plan has ended"),
    ]  # fmt: skip


def test_the_fingerprint_is_drawn_before_and_after_the_approval(
    node: Node, wei: Browser, sun: Browser, theirs: str
) -> None:
    said = proposed(wei, theirs)
    before = sun.get(f"/api/partners/{JIASHAN}/fingerprint.svg")
    assert before.headers["content-type"].startswith("image/svg+xml")
    assert open_document(theirs).fingerprint in before.text
    approve(node, said)
    assert sun.get(sun.get(f"/api/partners/{JIASHAN}").json()["qr"]).text == before.text


def test_who_may_only_read_changes_nothing(node: Node, wei: Browser, sun: Browser, theirs: str) -> None:
    approve(node, proposed(wei, theirs))
    for path in ("test", "propose", f"{JIASHAN}/suspend", f"{JIASHAN}/resume", f"{JIASHAN}/end"):
        assert code_of(sun.post(f"/api/partners/{path}", reason="x"), 403) == "person.not-permitted", path
    assert sun.get(f"/api/partners/{JIASHAN}").json()["state"] == "approved"


def test_nobody_who_is_not_signed_in_sees_anything(http: TestClient) -> None:
    for path in ("/api/partners", f"/api/partners/{JIASHAN}", f"/api/partners/{JIASHAN}/fingerprint.svg"):
        assert code_of(http.get(path), 401) == "session.missing"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("propose", {}), ("propose", {"document": "x", "state": "active"}), ("propose", {"url": "http://x.example"}),
        ("propose", {"document": "x" * 70_000}), ("propose", {"document": "e30.e30.x"}),
        ("propose", {"document": "e30.e30.x", "ca": "trust me"}), ("test", {}), ("test", {"url": 7}),
        ("test", {"url": "https://x.example/path"}), (f"{JIASHAN}/suspend", {}), (f"{JIASHAN}/suspend", {"reason": ""}),
        (f"{JIASHAN}/suspend", {"reason": "x", "state": "ended"}),
    ],
)  # fmt: skip
def test_mass_assignment_and_nonsense_are_refused(wei: Browser, path: str, body: dict[str, object]) -> None:
    answer = wei.post(f"/api/partners/{path}", **body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert wei.get("/api/partners").json() == {"partners": []}


@pytest.mark.parametrize("act", ["suspend", "resume", "end"])
@pytest.mark.parametrize("code", ["999999", "%F0%9F%92%A5", "x" * 300])
def test_a_party_that_is_not_there_cannot_be_acted_upon(wei: Browser, act: str, code: str) -> None:
    assert code_of(wei.post(f"/api/partners/{code}/{act}", reason="x"), 404) == "party.unknown"


def test_a_test_answers_200_whatever_the_partner_does(wei: Browser, tmp_path: Path) -> None:
    server = TlsServer(tmp_path / "stranger", now=now_millis())
    server.answer = lambda _path: reply("<script>alert(1)</script>" * 10)
    try:
        answer = wei.post("/api/partners/test", url=server.url)
    finally:
        server.stop()
    assert answer.status_code == 200
    found = {step["name"]: step["code"] for step in answer.json()["steps"]}
    assert (answer.json()["ok"], found["document"]) == (False, "partner.document-invalid")
    assert "script" not in answer.text
    inside = wei.post("/api/partners/test", url="https://10.0.0.1:8443").json()["steps"]
    assert inside[0]["code"] == "partner.address-not-allowed"
    assert code_of(wei.post("/api/partners/test", party=JIASHAN), 404) == "party.unknown"

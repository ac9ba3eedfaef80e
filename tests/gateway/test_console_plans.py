"""`/api/plans` and `/v1/plan`: how plans stand, for people and for parties, and what people do about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_console_app, create_partner_app
from gateway.approvals import approve
from gateway.console.access import COOKIE
from gateway.people.person import Person
from gateway.proposals import open_proposals
from schemas.times import now_millis, utc_text
from tests.gateway.agreement_world import DAY, PLAN
from tests.gateway.callers import caller, code_of, listening
from tests.people import person, session_of, two_people
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    make_node,
    plan_document,
)

ZINC = {"id": "wj-zinc", "select": {"factors": ["w20123"]}}


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    bring_plan(plan_document(SITES, ANTIMONY), node)
    yield node
    node.stop()


@pytest.fixture
def console(node: Node) -> Iterator[TestClient]:
    app = create_console_app(node.gateway, create_partner_app(node.gateway))
    with TestClient(app, "https://console.example") as http:
        yield http


def call(console: TestClient, node: Node, who: Person, method: str, path: str, body: Any = None) -> Any:
    cookies = {"Cookie": f"{COOKIE}={session_of(node, who, 'console')}", "Sec-Fetch-Site": "same-origin"}
    return console.request(method, path, json=body, headers={**cookies, "Content-Type": "application/json"})


def second() -> str:
    document = json.loads(plan_document(SITES, ANTIMONY, ZINC, version=2))
    return json.dumps(document | {"effective": utc_text(now_millis() + 2 * DAY)})


def test_people_propose_confirm_and_see_how_it_stands(console: TestClient, node: Node) -> None:
    wei, li = two_people(node)
    made = call(console, node, wei, "POST", "/api/plans", {"document": second()})
    assert (made.status_code, made.json()["plan"]) == (201, f"{PLAN}@2")
    confirmed = call(console, node, wei, "POST", f"/api/plans/{PLAN}/2/signatures", {"reason": "checked"})
    assert confirmed.status_code == 201
    with node.gateway.database.read() as session:
        (proposal,) = open_proposals(session, now=now_millis())
    assert confirmed.json() == {"proposal": proposal.id, "digest": proposal.digest}
    approve(node.gateway, proposal.id, by=li, digest=proposal.digest, now=now_millis())
    shown = call(console, node, li, "GET", "/api/plans").json()
    assert [(one["plan"], one["state"], one["signed"]) for one in shown["plans"]] == [
        (f"{PLAN}@1", "in force", []), (f"{PLAN}@2", "proposed", [WUJIANG]),
    ]  # fmt: skip
    assert shown["undecided"] == []
    one = call(console, node, li, "GET", f"/api/plans/{PLAN}/2").json()
    assert json.loads(one["document"])["version"] == 2
    assert {note["level"] for note in one["notes"]} >= {"fact"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/plans", {"document": "plan: ["}, 422, "plan.malformed"),
        ("POST", "/api/plans", {"document": "x", "surprise": 1}, 400, "request.malformed"),
        ("GET", f"/api/plans/{PLAN}/99999999999999999999", None, 400, "request.malformed"),
        ("GET", f"/api/plans/{PLAN}/9", None, 404, "plan.unknown"),
        ("GET", "/api/plans/%00/1", None, 400, "request.malformed"),
        ("POST", f"/api/plans/{PLAN}/withdrawals", {"effective": "soon", "reason": "so"}, 400, "request.malformed"),
        ("POST", f"/api/plans/{PLAN}/withdrawals", {"effective": "2026-12-01T00:00:00Z", "reason": "so"}, 422,
         "plan.notice-short"),
        ("POST", f"/api/plans/{PLAN}/disposals", {"destroyed": []}, 409, "plan.not-withdrawn"),
        ("POST", "/api/plans/adoptions", {"document": second()}, 422, "plan.not-first"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_code(
    console: TestClient, node: Node, method: str, path: str, body: Any, status: int, code: str
) -> None:
    who = two_people(node)[1]
    assert code_of(call(console, node, who, method, path, body), status) == code


@pytest.mark.parametrize(
    "name", ["", "/adoptions", f"/{PLAN}/2/signatures", f"/{PLAN}/withdrawals", f"/{PLAN}/disposals"]
)
def test_who_has_no_such_role_changes_nothing(console: TestClient, node: Node, name: str) -> None:
    analyst = person(node, "an", "analyst")
    answer = call(console, node, analyst, "POST", f"/api/plans{name}", {})
    assert code_of(answer, 403) == "person.not-permitted"
    assert code_of(console.get("/api/plans"), 401) == "session.missing"


def test_a_party_sees_the_state_of_its_own_plans_and_no_others(node: Node) -> None:
    document = json.loads(
        plan_document({"id": "wj-q", "recipients": [QINGPU], "kind": "site"}, parties=[WUJIANG, QINGPU])
    )
    bring_plan(json.dumps(document | {"plan": "bilateral"}).encode(), node)
    with listening(node) as http:
        seen = {
            party: [one["plan"] for one in caller(http, node, party, "records:read").get("/v1/plan").json()["versions"]]
            for party in (JIASHAN, QINGPU)
        }
        stranger = caller(http, node, "330503", "records:read").get("/v1/plan")
    assert seen == {JIASHAN: [f"{PLAN}@1"], QINGPU: ["bilateral@1", f"{PLAN}@1"]}
    assert code_of(stranger, 403) == "access.no-plan"

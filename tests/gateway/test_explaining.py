"""`taipu access explain`: every step in words, and at the end yes or no and the one thing to change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from gateway.app import create_console_app, create_partner_app
from gateway.console.access import COOKIE
from gateway.explaining import explain_access
from partners.plans import plans_in_force
from partners.tables import client as client_table
from partners.tables import request_count
from schemas.times import now_millis
from tests.gateway.callers import caller, listening
from tests.gateway.commands import taipu, taipu_json
from tests.gateway.test_access_matrix import ALERTS, DATASETS, GIVEN, NANXUN, NOTHING, PARTIES, SECRET
from tests.people import person, session_of
from tests.world import JIASHAN, QINGPU, WUJIANG, Node, bring_plan, make_node, plan_document

RATED = {
    "id": "wj-rated", "kind": "source", "select": {"categories": ["dyeing"]}, "hide": ["contacts"],
    "recipients": [{"party": JIASHAN, "rate": {"requests": 60, "per": "PT1M"}, "until": "2029-01-01"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("explain"), WUJIANG)
    document = plan_document(*DATASETS, RATED, parties=PARTIES)
    bring_plan(document, node)
    with listening(node) as http:
        for party in (WUJIANG, JIASHAN, QINGPU, NANXUN):
            scopes = ("feeds:read", "feeds:push", "records:read")
            caller(http, node, party, *scopes, kind="gateway", client_id=f"{party}-gw")
        caller(http, node, WUJIANG, "records:submit", kind="station", client_id="station")
    yield node
    node.stop()


def explained(node: Node, client: str, dataset: str, **options: str) -> Any:
    """As a program gets it; the exit code says the same."""
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    told = explain_access(node.gateway, client, dataset, now=now_millis(), **options).as_json()
    code = 0 if told["allowed"] else 1
    home = node.gateway.settings.home
    assert taipu_json("access", "explain", client, dataset, *arguments, "--json", "--home", home, code=code) == told
    return told


def points(told: Any, way: str = "feed") -> dict[str, bool]:
    (found,) = (one for one in told["ways"] if one["way"] == way)
    return {one["point"]: one["holds"] for one in found["points"]}


def change(told: Any, way: str = "feed") -> str:
    return str(next(one["change"] for one in told["ways"] if one["way"] == way)["en"])


def test_a_yes_tells_every_step_and_how_far_it_reaches(node: Node) -> None:
    told = explained(node, f"{JIASHAN}-gw", "wj-rated")
    assert told["allowed"]
    assert list(points(told)) == [
        "client", "party", "scope", "suspension", "restriction", "relay", "plan", "recipient", "period", "purpose",
        "rate", "start", "selection", "projection",
    ]  # fmt: skip
    assert all(points(told).values())
    said = {one["point"]: one["en"] for one in told["ways"][0]["points"]}
    assert said["plan"] == "tri-district-monitoring@1 is in force until 2030-01-01 00:00"
    assert said["period"] == "its period lasts until 2029-01-01 00:00"
    assert said["rate"] == "at most 60 requests in 1 minute"
    assert said["selection"] == "selected: categories: dyeing"
    assert said["projection"] == "hidden members: contacts"
    assert said["start"].startswith("it sees what came since 2026-01-01")
    assert points(told, "records")["projection"]


@pytest.mark.parametrize(
    ("client", "dataset", "decided_by", "remedy"),
    [
        (f"{JIASHAN}-gw", SECRET, "recipient", "make the party a recipient"),
        (f"{JIASHAN}-gw", NOTHING, "recipient", "make the party a recipient"),
        (f"{NANXUN}-gw", GIVEN, "recipient", "make the party a recipient"),
        (f"{QINGPU}-gw", GIVEN, "period", "extend the period"),
        (f"{QINGPU}-gw", f"of-{JIASHAN}", "relay", "name a relay"),
        ("station", GIVEN, "scope", "give the client this scope"),
    ],
)
def test_a_no_ends_with_the_step_that_decided_and_the_one_thing_to_change(
    node: Node, client: str, dataset: str, decided_by: str, remedy: str
) -> None:
    told = explained(node, client, dataset)
    assert not told["allowed"]
    for way in told["ways"]:
        assert not way["points"][-1]["holds"]
        assert [one["point"] for one in way["points"] if not one["holds"]][-1] in (decided_by, "pusher")
    assert remedy in change(told)


def test_a_purpose_is_tried_out_without_saying_it_to_anybody(node: Node) -> None:
    assert change(explained(node, f"{JIASHAN}-gw", GIVEN, purpose="执法")).startswith("ask for the plan's purpose")


def test_a_client_that_is_stopped_is_told_as_such_whatever_the_plan_says(node: Node) -> None:
    update = client_table.update().where(client_table.c.client_id == f"{JIASHAN}-gw")
    with node.gateway.database.write() as session:
        session.execute(update.values(state="suspended"))
    told = explained(node, f"{JIASHAN}-gw", GIVEN)
    with node.gateway.database.write() as session:
        session.execute(update.values(state="active"))
    assert not told["allowed"]
    assert not points(told)["client"]
    assert change(told) == "resume the client, or register another"


@pytest.mark.parametrize("dataset", [GIVEN, ALERTS, SECRET, NOTHING])
@pytest.mark.parametrize("party", [WUJIANG, JIASHAN, QINGPU, NANXUN])
def test_what_is_explained_is_what_happens(node: Node, party: str, dataset: str) -> None:
    with listening(node) as http:
        reader = caller(http, node, party, "feeds:read")
        answer = reader.get(f"/v1/feeds/{WUJIANG}/{dataset}")
    assert explained(node, reader.client_id, dataset)["allowed"] is (answer.status_code == 200)


def test_it_reads_as_sentences_in_both_languages(node: Node) -> None:
    home = node.gateway.settings.home
    english = taipu("access", "explain", f"{QINGPU}-gw", GIVEN, "--home", home)
    chinese = taipu("access", "explain", f"{QINGPU}-gw", GIVEN, "--home", home, "--lang", "zh")
    assert (english.exit_code, chinese.exit_code) == (1, 1)
    assert "  no: extend the period in the plan's next version" in english.stdout.splitlines()
    assert "  不可以: 在方案下一版中延长期限" in chinese.stdout.splitlines()


def test_an_unknown_client_is_said_to_be_unknown(node: Node) -> None:
    done = taipu("access", "explain", "nobody", GIVEN, "--home", node.gateway.settings.home)
    assert done.exit_code != 0
    assert "client.unknown" in done.stderr


def test_the_console_explains_it_to_whoever_may_read_the_registry(node: Node) -> None:
    app = create_console_app(node.gateway, create_partner_app(node.gateway))
    path = "/api/access/explain"
    query = {"client": f"{JIASHAN}-gw", "dataset": "wj-rated"}
    with TestClient(app, "https://127.0.0.1", raise_server_exceptions=False) as http:
        assert http.get(path, params=query).status_code == 401
        cookie = {"Cookie": f"{COOKIE}={session_of(node, person(node, 'ana', 'analyst'))}"}
        answer = http.get(path, params=query, headers=cookie)
        unknown = http.get(path, params=query | {"client": "nobody"}, headers=cookie)
    assert answer.status_code == 200
    assert answer.json()["allowed"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "client.unknown")


def test_explaining_counts_nothing(node: Node) -> None:
    explained(node, f"{JIASHAN}-gw", "wj-rated")
    with node.gateway.database.read() as session:
        assert session.execute(select(func.count()).select_from(request_count)).scalar_one() == 0
        assert plans_in_force(session, now_millis()).plans

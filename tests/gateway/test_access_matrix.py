"""Every kind of client of every sort of party at every route of the partner listener, for every sort of dataset.

What is expected stands in small tables here, not in what decides: a route that is in no table fails the test, and so
does one that answers otherwise. Whoever is let through a door may still hear that there is nothing behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from fastapi import Request
from starlette.testclient import TestClient

from audit.form import REFUSAL
from gateway.api.access import principal_of
from partners.principal import ClientKind, Principal
from tests.gateway.callers import Caller, caller, listening
from tests.gateway.hands import entries, hand_in, publish
from tests.gateway.test_api_access import PUBLIC, routes_of
from tests.world import (
    JIASHAN,
    QINGPU,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

NANXUN, XIUZHOU, TAIHU = "330503", "330411", "TBA"
PARTIES = [WUJIANG, JIASHAN, QINGPU, XIUZHOU, TAIHU]

# Sorts of callers. All but the last are real clients with tokens and proofs; what makes a party suspended, or a token
# a personal one, is other modules' to keep: here it is only seen to.
HOME, GRANTED, UNGRANTED, ENDED, SUSPENDED, PERSONAL, NOBODY = (
    "home", "granted", "ungranted", "ended", "suspended", "personal", "nobody",
)  # fmt: skip
PARTY_OF = {
    HOME: WUJIANG, GRANTED: JIASHAN, UNGRANTED: NANXUN, ENDED: QINGPU, SUSPENDED: XIUZHOU, PERSONAL: WUJIANG,
}  # fmt: skip

KINDS: dict[str, set[str]] = {
    "gateway": {"feeds:read", "feeds:push", "receipts:write"},
    "station": {"records:submit"},
    "reader": {"records:read", "feeds:read"},
    "auditor": {"audit:read"},
}

GIVEN, ALERTS, SECRET, NOTHING = "wj-antimony", "wj-alerts", "wj-secret", "nothing"
OVER = {"party": QINGPU, "until": "2026-06-01"}
EVERYBODY = [JIASHAN, OVER, XIUZHOU]
FACTORS = {"select": {"factors": ["w20004"]}}
DATASETS: list[dict[str, Any]] = [
    {"id": "wj-sites", "kind": "site", "recipients": EVERYBODY},
    {"id": GIVEN, **FACTORS, "recipients": EVERYBODY},
    {
        "id": ALERTS, "kind": "case", "select": {"kinds": ["warning"]}, "recipients": EVERYBODY,
        "despite_suspension": True,
    },
    {"id": SECRET, "select": {"factors": ["w01003"]}, "recipients": [TAIHU]},
    *({"id": f"of-{party}", "provider": party, **FACTORS, "recipients": [WUJIANG]} for party in (JIASHAN, XIUZHOU)),
    {"id": f"of-{QINGPU}", "provider": QINGPU, **FACTORS, "recipients": [{"party": WUJIANG, "until": "2026-06-01"}]},
]  # fmt: skip

OK = ""  # let through; whatever follows is no refusal
SUSPENDED_ = "access.suspended"
NOT_HOME = "access.not-home"
RESTRICTED = "access.client-restricted"
OVER_ = "access.period-over"
NOT_GIVEN = "access.not-granted"
NOT_A_PARTNER = "access.not-a-partner"

# What each sort of caller hears about each sort of dataset, once its scope reaches so far.
BY_DATASET: dict[str, dict[str, str]] = {
    HOME: {GIVEN: OK, ALERTS: OK, SECRET: OK, NOTHING: OK},
    GRANTED: {GIVEN: OK, ALERTS: OK, SECRET: NOT_GIVEN, NOTHING: NOT_GIVEN},
    UNGRANTED: {GIVEN: NOT_GIVEN, ALERTS: NOT_GIVEN, SECRET: NOT_GIVEN, NOTHING: NOT_GIVEN},
    ENDED: {GIVEN: OVER_, ALERTS: OVER_, SECRET: NOT_GIVEN, NOTHING: NOT_GIVEN},
    SUSPENDED: {GIVEN: SUSPENDED_, ALERTS: OK, SECRET: SUSPENDED_, NOTHING: SUSPENDED_},
    PERSONAL: {GIVEN: OK, ALERTS: RESTRICTED, SECRET: RESTRICTED, NOTHING: RESTRICTED},
}
# The same where records are asked for that a dataset of another kind would have: there is none of that name.
AS_OBSERVATIONS = {**BY_DATASET, **{sort: {**BY_DATASET[sort], ALERTS: NOT_GIVEN} for sort in (GRANTED, ENDED)}}
AS_OBSERVATIONS[SUSPENDED] = dict.fromkeys((GIVEN, ALERTS, SECRET, NOTHING), SUSPENDED_)
AS_OBSERVATIONS[PERSONAL] = {**BY_DATASET[PERSONAL], ALERTS: NOT_GIVEN, NOTHING: NOT_GIVEN}

Sorts = dict[str, str]


def all_but(**others: str) -> Sorts:
    """Let through, but for these; a suspended party and a restricted client are kept out unless said otherwise."""
    return {**dict.fromkeys(PARTY_OF, OK), SUSPENDED: SUSPENDED_, PERSONAL: RESTRICTED, **others}


HOME_ONLY = all_but(**dict.fromkeys((GRANTED, UNGRANTED, ENDED), NOT_HOME))
OF_NO_DATASET = all_but(personal=NOT_GIVEN)  # a kind of which the plan has no dataset: one's own records are left

# Routes by scope and by what each sort hears. {dataset} is filled in, and then the table above decides.
ROUTES: dict[str, tuple[str, Sorts]] = {
    "GET /v1/feeds": ("feeds:read", dict.fromkeys(PARTY_OF, OK)),
    "POST /v1/submissions": ("records:submit", HOME_ONLY),
    "GET /v1/findings": ("records:read", HOME_ONLY),
    "GET /v1/plan": ("", all_but(ungranted="access.no-plan", personal=OK)),
    "GET /v1/sites": ("records:read", all_but(ended=OVER_)),
    "GET /v1/sources": ("records:read", OF_NO_DATASET),
    "GET /v1/marks": ("records:read", OF_NO_DATASET),
    "GET /v1/inspections": ("records:read", OF_NO_DATASET),
    "GET /v1/cases": ("records:read", all_but(suspended=OK, ended=OVER_)),
    "GET /v1/receipts/{digest}/report": ("", all_but()),
    "GET /v1/receipts/{digest}/proof": ("", all_but()),
    "GET /log/tile/{path:path}": ("", all_but()),
    "GET /log/{shard}/tile/{path:path}": ("", all_but()),
    "GET /v1/submissions/{submission_id}": ("", all_but()),
    "GET /v1/submissions/{submission_id}/report": ("", all_but()),
    "GET /v1/submissions/{submission_id}/content": ("", all_but()),
    "GET /v1/submissions/{submission_id}/proof": ("", all_but()),
    # A receipt says by itself what it is for: what is no receipt is malformed, whoever sends it.
    "POST /v1/receipts": (
        "receipts:write",
        {**dict.fromkeys(PARTY_OF, NOT_A_PARTNER), GRANTED: OK},
    ),
    "PUT /v1/inbox/{provider}/{dataset}/{seq}": (
        "feeds:push",
        all_but(home=NOT_A_PARTNER, ungranted=NOT_GIVEN, ended=OVER_, personal=RESTRICTED),
    ),
}
BY_DATASET_ROUTES: dict[str, tuple[str, dict[str, dict[str, str]]]] = {
    "GET /v1/feeds/{provider}/{dataset}": ("feeds:read", BY_DATASET),
    "GET /v1/feeds/{provider}/{dataset}/{seq}": ("feeds:read", BY_DATASET),
    "GET /v1/observations": ("records:read", AS_OBSERVATIONS),
}


class World:
    """Wujiang's gateway, the plan above, one submission; and a client of every kind of every sort of party."""

    def __init__(self, node: Node, http: TestClient, submission: str) -> None:
        self.node = node
        self.http = http
        self.submission = submission
        self._callers: dict[tuple[str, str], Caller] = {}

    def caller(self, sort: str, kind: str) -> Caller:
        key = sort, kind
        if key not in self._callers:
            kind_ = cast("ClientKind", kind)
            self._callers[key] = caller(self.http, self.node, PARTY_OF[sort], *sorted(KINDS[kind]), kind=kind_)
        return self._callers[key]

    def call(self, sort: str, kind: str, method: str, path: str) -> Any:
        if sort == NOBODY:
            return self.http.request(method, path)
        if sort not in (SUSPENDED, PERSONAL):
            return self.caller(sort, kind).call(method, path)
        marks: dict[str, Any] = {"suspended": True} if sort == SUSPENDED else {"datasets": frozenset({GIVEN})}
        seen = Principal(
            PARTY_OF[sort], f"{sort}-{kind}", cast("ClientKind", kind), frozenset(KINDS[kind]), "", **marks
        )
        see_as(self.http, seen)
        try:
            return self.http.request(method, path)
        finally:
            self.http.app.dependency_overrides.clear()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    node, jiashan = make_node(folder, WUJIANG), make_node(folder, JIASHAN)
    introduce(node, jiashan)
    bring_plan(plan_document(*DATASETS, parties=PARTIES), node)
    outcome = hand_in(node, site_line(), reading_line())
    publish(node)
    node.gateway.sequencer.step()
    with listening(node) as http:
        yield World(node, http, str(outcome["id"]))
    jiashan.stop()
    node.stop()


def see_as(http: TestClient, seen: Principal) -> None:
    """From now on the application takes whoever calls for `seen`."""

    def principal(request: Request) -> Principal:
        request.state.principal = seen
        return seen

    http.app.dependency_overrides[principal_of] = principal  # type: ignore[attr-defined]


def routes(http: TestClient) -> list[str]:
    found = routes_of(http.app.routes)  # type: ignore[attr-defined]
    return sorted(f"{method} {route.path}" for route in found for method in route.methods)


def filled(world: World, path: str, sort: str) -> str:
    """The address behind a route's pattern, as this sort of caller would ask for its own."""
    party = PARTY_OF.get(sort, WUJIANG)
    own = {"{provider}/{dataset}/{seq}": f"{party}/{'wj-sites' if party == WUJIANG else f'of-{party}'}/1"}
    values = {
        **(own if path.startswith("/v1/inbox") else {}), "{submission_id}": world.submission, "{digest}": "A" * 43,
        "{path:path}": "0/000.p/1", "{shard}": "1", "{provider}": WUJIANG, "{seq}": "1",
    }  # fmt: skip
    for name, value in values.items():
        path = path.replace(name, value)
    return path


def verdict(answer: Any) -> str:
    """The code of a refusal, empty for anything that is none; a fault of ours is never expected."""
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    if answer.status_code not in (401, 403):
        return OK
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["code"])


def expected(sort: str, kind: str, scope: str, heard: str) -> str:
    if sort == NOBODY:
        return "token.missing"
    return heard if not scope or scope in KINDS[kind] else "token.scope-insufficient"


def test_every_route_is_in_one_of_the_tables(world: World) -> None:
    tables = (ROUTES.keys(), BY_DATASET_ROUTES.keys(), PUBLIC)
    known = {route for table in tables for route in table}
    assert sum(map(len, tables)) == len(known)
    assert set(routes(world.http)) == known


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", [*PARTY_OF, NOBODY])
def test_every_client_hears_at_every_route_what_the_table_says(world: World, sort: str, kind: str) -> None:
    heard, wanted = {}, {}
    for route, (scope, sorts) in ROUTES.items():
        method, pattern = route.split(" ", 1)
        heard[route] = verdict(world.call(sort, kind, method, filled(world, pattern, sort)))
        wanted[route] = expected(sort, kind, scope, sorts.get(sort, OK))
    assert heard == wanted


@pytest.mark.parametrize("kind", ["gateway", "reader"])
@pytest.mark.parametrize("sort", [*PARTY_OF, NOBODY])
def test_every_client_hears_about_every_dataset_what_the_table_says(world: World, sort: str, kind: str) -> None:
    heard, wanted = {}, {}
    for route, (scope, sorts) in BY_DATASET_ROUTES.items():
        method, pattern = route.split(" ", 1)
        for dataset in (GIVEN, ALERTS, SECRET, NOTHING):
            path = filled(world, pattern, sort).replace("{dataset}", dataset)
            path = path if "{dataset}" in pattern else f"{path}?dataset={dataset}"
            heard[route, dataset] = verdict(world.call(sort, kind, method, path))
            wanted[route, dataset] = expected(sort, kind, scope, sorts.get(sort, {}).get(dataset, OK))
    assert heard == wanted


@pytest.mark.parametrize("sort", [HOME, GRANTED, UNGRANTED, PERSONAL])
def test_what_is_let_through_has_in_it_what_the_plan_gives_and_nothing_else(world: World, sort: str) -> None:
    counts = {
        name: len(world.call(sort, "reader", "GET", f"/v1/{name}").json()[name])
        for name in ("observations", "sites", "sources")
        if (name, sort) not in {("sites", PERSONAL), ("sources", PERSONAL)}
    }
    given = 0 if sort == UNGRANTED else 1
    assert counts == dict.fromkeys(counts, given) | ({"sources": 0} if "sources" in counts else {})
    listed = {one["dataset"] for one in world.call(sort, "reader", "GET", "/v1/feeds").json()["feeds"]}
    everything = {"wj-sites", GIVEN, ALERTS, SECRET}
    of = {HOME: everything, GRANTED: {"wj-sites", GIVEN, ALERTS}, UNGRANTED: set(), PERSONAL: {GIVEN}}
    assert listed == of[sort]


def test_every_refusal_of_somebody_known_is_in_the_log_with_the_rule_that_decided(world: World) -> None:
    before = len(entries(world.node, REFUSAL))
    for sort, path in ((GRANTED, f"/v1/feeds/{WUJIANG}/{SECRET}"), (ENDED, f"/v1/feeds/{WUJIANG}/{GIVEN}")):
        assert world.call(sort, "gateway", "GET", path).status_code == 403
    rules = [entry["detail"]["rule"] for entry in entries(world.node, REFUSAL)[before:]]
    assert rules == ["default deny", f"tri-district-monitoring@1 {GIVEN} {QINGPU} until"]


def test_a_route_that_nobody_thought_of_would_fail_the_matrix(world: World) -> None:
    app = cast("Any", world.http.app)
    known = set(routes(world.http))
    forgotten: Callable[[], None] = lambda: None  # noqa: E731
    app.add_api_route("/v1/forgotten", forgotten)
    try:
        assert set(routes(world.http)) - known == {"GET /v1/forgotten"}
        with pytest.raises(AssertionError):
            test_every_route_is_in_one_of_the_tables(world)
    finally:
        app.router.routes.pop()

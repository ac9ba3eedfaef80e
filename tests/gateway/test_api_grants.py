"""What the plan's terms do at the door: period, item, purpose and rate, suspension, relays, cases; told and logged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select

from audit.form import READ, REFUSAL
from gateway.api.access import said_purpose
from gateway.errors import RequestError
from gateway.store import feeds
from partners.directory import change_state
from partners.principal import Principal
from partners.tables import delivery
from tests.gateway.callers import Caller, caller, code_of, listening
from tests.gateway.hands import entries, hand_in, publish
from tests.gateway.test_access_matrix import routes, see_as
from tests.world import (
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

PURPOSE = "太浦河水源地预警"
FACTORS = {"select": {"factors": ["w20004"]}}
DATASETS: list[dict[str, Any]] = [
    SITES,
    {"id": "wj-antimony", **FACTORS},
    {"id": "wj-over", **FACTORS, "recipients": [{"party": JIASHAN, "until": "2026-06-01"}]},
    {"id": "wj-other", "select": {"factors": ["w01003"]}, "recipients": [QINGPU]},
    {
        "id": "wj-rated",
        "select": {"factors": ["w21003"]},
        "recipients": [{"party": JIASHAN, "rate": {"requests": 3, "per": "P1D"}}],
    },
    {"id": "wj-cases-js", "kind": "case", "select": {"kinds": ["warning", "dispute"]}, "recipients": [JIASHAN]},
    {"id": "wj-cases-qp", "kind": "case", "select": {"kinds": ["warning", "dispute"]}, "recipients": [QINGPU]},
    {
        "id": "wj-alerts-js",
        "kind": "case",
        "select": {"kinds": ["warning"]},
        "recipients": [JIASHAN],
        "despite_suspension": True,
    },
]


def case_line(case: str, *to: str, kind: str = "warning", **members: Any) -> bytes:
    record = {
        "kind": "case", "case": case, "step": 1, "type": kind, "from": WUJIANG, "to": list(to), "state": "opened",
        "at": "2026-11-20T10:00:00+08:00", "title": f"title of {case}",
    }  # fmt: skip
    return json.dumps(record | members, ensure_ascii=False).encode()


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    bring_plan(plan_document(*DATASETS), node)
    hand_in(node, site_line(), reading_line(), reading_line(1, factor="w21003"))
    publish(node)
    yield node
    node.stop()


@pytest.fixture
def jiashan(node: Node) -> Iterator[Caller]:
    with listening(node) as http:
        yield caller(http, node, JIASHAN, "feeds:read", "records:read", "feeds:push")


def feed(dataset: str) -> str:
    return f"/v1/feeds/{WUJIANG}/{dataset}"


def test_expired_wrong_item_and_wrong_purpose_are_three_denials_in_the_log(node: Node, jiashan: Caller) -> None:
    """EX-04: a grant binds consumer, resource, items, purpose, period and rate."""
    before = len(entries(node, REFUSAL))
    answers = [
        jiashan.get(feed("wj-over")),
        jiashan.get(feed("wj-other")),
        jiashan.get(feed("wj-antimony"), headers={"Taipu-Purpose": quote("执法")}),
    ]
    codes = ["access.period-over", "access.not-granted", "access.purpose-differs"]
    assert [code_of(answer, 403) for answer in answers] == codes
    denials = entries(node, REFUSAL)[before:]
    assert [(one["actor"], one["peer"]) for one in denials] == [(jiashan.client_id, JIASHAN)] * 3
    assert [one["detail"]["code"] for one in denials] == codes
    assert [one["detail"]["rule"] for one in denials] == [answer.json()["rule"] for answer in answers]
    assert all(answer.json()["detail_zh"] for answer in answers)


@pytest.mark.parametrize("said", [quote(PURPOSE).encode(), PURPOSE.encode()], ids=["percent-encoded", "utf-8"])
def test_what_a_read_was_said_to_be_for_is_in_the_log_and_else_what_the_plan_gives_it_for(
    node: Node, jiashan: Caller, said: bytes
) -> None:
    before = len(entries(node, READ))
    assert jiashan.get(feed("wj-antimony"), headers={"Taipu-Purpose": said}).status_code == 200
    assert jiashan.get(feed("wj-antimony")).status_code == 200
    assert jiashan.get("/v1/observations", params={"dataset": "wj-antimony", "purpose": PURPOSE}).status_code == 200
    assert jiashan.get("/v1/sites", headers={"Taipu-Purpose": said}).status_code == 200
    assert [one["detail"]["purpose"] for one in entries(node, READ)[before:]] == [PURPOSE] * 4


@pytest.mark.parametrize("said", [b"%FF", b"a%0Ab", b"x" * 201], ids=["bytes", "lines", "long"])
def test_a_purpose_that_is_no_line_of_text_is_a_malformed_request(node: Node, jiashan: Caller, said: bytes) -> None:
    assert code_of(jiashan.get(feed("wj-antimony"), headers={"Taipu-Purpose": said}), 400) == "request.malformed"


def test_a_purpose_in_another_encoding_is_a_malformed_request() -> None:
    with pytest.raises(RequestError):
        asyncio.run(said_purpose(None, b"\xff\xfe".decode("latin-1")))


def test_two_purposes_for_one_read_are_a_malformed_request(node: Node, jiashan: Caller) -> None:
    answer = jiashan.get("/v1/sites", params={"purpose": PURPOSE}, headers={"Taipu-Purpose": "x"})
    assert code_of(answer, 400) == "request.malformed"


def test_who_asks_more_often_than_the_plan_says_is_told_when_to_come_again(node: Node, jiashan: Caller) -> None:
    another = caller(jiashan.http, node, JIASHAN, "feeds:read", "records:read")
    assert [jiashan.get(feed("wj-rated")).status_code for _ in range(2)] == [200, 200]
    assert jiashan.get("/v1/observations", params={"dataset": "wj-rated"}).status_code == 200  # counts as well
    before = len(entries(node, REFUSAL))
    for path in (feed("wj-rated"), f"{feed('wj-rated')}/1", "/v1/observations"):
        answer = jiashan.get(path)
        assert code_of(answer, 429) == "access.rate-exceeded"
        assert 0 < int(answer.headers["retry-after"]) <= 86_400
    assert len(entries(node, REFUSAL)) == before + 3
    assert jiashan.get("/v1/observations", params={"dataset": "wj-antimony"}).status_code == 200
    assert jiashan.get(feed("wj-antimony")).status_code == 200
    assert jiashan.get("/v1/feeds").status_code == 200
    assert another.get(feed("wj-rated")).status_code == 200  # it has a count of its own


def test_a_refused_request_spends_none_of_the_rate(node: Node, jiashan: Caller) -> None:
    for _ in range(4):
        assert jiashan.get(feed("wj-rated"), headers={"Taipu-Purpose": quote("执法")}).status_code == 403
    assert [jiashan.get(feed("wj-rated")).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_a_rate_holds_for_all_workers_together(node: Node, jiashan: Caller) -> None:
    with listening(node) as other:
        elsewhere = Caller(other, node, jiashan.client_id, jiashan.key, jiashan.scopes)
        statuses = [who.get(feed("wj-rated")).status_code for who in (jiashan, elsewhere) * 2]
    assert statuses == [200, 200, 200, 429]


def test_a_batch_made_after_a_recipient_s_period_owes_it_no_delivery(node: Node) -> None:
    with node.gateway.database.read() as session:
        assert feeds.head(session, WUJIANG, "wj-over").seq == 1
        owed = session.execute(select(delivery.c.dataset, delivery.c.recipient)).all()
    assert ("wj-over", JIASHAN) not in [tuple(one) for one in owed]
    assert ("wj-antimony", JIASHAN) in [tuple(one) for one in owed]


def titles(reader: Caller) -> set[str]:
    return {one["title"] for one in reader.get("/v1/cases").json()["cases"]}


def test_only_the_parties_to_a_case_see_it_and_others_nothing_not_even_how_many(node: Node, jiashan: Caller) -> None:
    """EN-07."""
    lines = [case_line("wj-1", JIASHAN), case_line("wj-2", QINGPU), case_line("wj-3", JIASHAN, QINGPU)]
    assert hand_in(node, *lines)["accepted"] == 3
    qingpu = caller(jiashan.http, node, QINGPU, "records:read")
    stranger = caller(jiashan.http, node, "330503", "records:read")
    home = caller(jiashan.http, node, WUJIANG, "records:read")
    assert titles(jiashan) == {"title of wj-1", "title of wj-3"}
    assert titles(qingpu) == {"title of wj-2", "title of wj-3"}
    assert titles(home) == {"title of wj-1", "title of wj-2", "title of wj-3"}
    answers = [stranger.get("/v1/cases"), qingpu.get("/v1/cases", params={"case": "wj-1"})]
    assert [answer.json() for answer in answers] == [{"cases": [], "next": None}] * 2
    assert all("link" not in answer.headers for answer in answers)
    batches = {batch.manifest.dataset: json.dumps([line.decode() for line in batch.lines]) for batch in publish(node)}
    assert "wj-2" not in batches["wj-cases-js"]
    assert "wj-1" not in batches["wj-cases-qp"]


def seen_as(reader: Caller, party: str = JIASHAN, **marks: Any) -> None:
    """From now on the gateway sees the caller's client so: what other modules keep of it is only seen to here."""
    seen = Principal(party, reader.client_id, "gateway", frozenset(reader.scopes), "", **marks)
    see_as(reader.http, seen)


def test_a_token_for_some_datasets_shows_no_other_record_not_even_of_its_own_party(node: Node, jiashan: Caller) -> None:
    hand_in(node, case_line("wj-1", JIASHAN), case_line("wj-2", QINGPU))
    seen_as(jiashan, WUJIANG, datasets=frozenset({"wj-antimony", "wj-cases-js"}))
    factors = {one["factor"] for one in jiashan.get("/v1/observations").json()["observations"]}
    assert factors == {"w20004"}
    assert titles(jiashan) == {"title of wj-1"}
    assert code_of(jiashan.get("/v1/sites"), 403) == "access.client-restricted"
    seen_as(jiashan, WUJIANG)
    factors = {one["factor"] for one in jiashan.get("/v1/observations").json()["observations"]}
    assert factors == {"w20004", "w21003"}
    assert titles(jiashan) == {"title of wj-1", "title of wj-2"}


def test_revoked_partner_keeps_going_on_keep_alive(node: Node, jiashan: Caller, tmp_path: Path) -> None:
    """The next request of the same connection is refused, but for what the plan lets pass."""
    hand_in(node, case_line("wj-1", JIASHAN), case_line("wj-2", JIASHAN, kind="dispute"))
    publish(node)
    introduce(node, partner := make_node(tmp_path, JIASHAN))
    partner.stop()
    assert jiashan.get(feed("wj-antimony")).status_code == 200
    with node.gateway.database.write() as session:
        change_state(session, JIASHAN, "suspended")
    before = len(entries(node, REFUSAL))
    for path in (feed("wj-antimony"), "/v1/observations", "/v1/plan", f"{feed('wj-cases-js')}/1"):
        assert code_of(jiashan.get(path), 403) == "access.suspended"
    assert len(entries(node, REFUSAL)) == before + 4
    assert [one["dataset"] for one in jiashan.get("/v1/feeds").json()["feeds"]] == ["wj-alerts-js"]
    assert b"wj-1" in jiashan.get(feed("wj-alerts-js")).content
    assert titles(jiashan) == {"title of wj-1"}


def test_partner_reads_outside_its_agreement(node: Node, jiashan: Caller) -> None:
    """BOLA: A asks for B's ids; members outside the agreement are absent."""
    b_feed, b_batch = jiashan.get(feed("wj-other")), jiashan.get(f"{feed('wj-other')}/1")
    assert [code_of(answer, 403) for answer in (b_feed, b_batch)] == ["access.not-granted"] * 2
    assert code_of(jiashan.get("/v1/observations", params={"dataset": "wj-other"}), 403) == "access.not-granted"
    missing = jiashan.get(feed("wj-no-such"))
    told = b_feed.json()["detail"].replace("wj-other", "")
    assert missing.json()["detail"].replace("wj-no-such", "") == told  # whether it exists or not


def test_heavy_queries(node: Node, jiashan: Caller) -> None:
    """Whatever a page is asked to hold, it holds what the settings let it."""
    for path in ("/v1/observations", "/v1/sites", "/v1/cases"):
        assert jiashan.get(path, params={"limit": 10**30}).status_code == 200
        assert code_of(jiashan.get(path, params={"limit": -1}), 400) == "request.malformed"
    assert code_of(jiashan.get("/v1/feeds", params={"wait": 10**9}), 400) == "request.malformed"
    assert code_of(jiashan.get(feed("wj-antimony"), params={"after": 10**30}), 400) == "feed.cursor-beyond-head"
    assert code_of(jiashan.get(f"{feed('wj-antimony')}/{10**30}"), 404) == "batch.not-found"


def test_cross_tenant_cache(node: Node, jiashan: Caller) -> None:
    """No store on the way may give one caller's answer to another."""
    paths = ["/v1/feeds", feed("wj-antimony"), f"{feed('wj-antimony')}/1", "/v1/observations", "/v1/sites", "/v1/plan"]
    for path in [*paths, feed("wj-other"), f"/v1/receipts/{'A' * 43}/report"]:
        answer = jiashan.get(path)
        said = answer.headers["cache-control"]
        assert "private" in said or "no-store" in said, path
        assert "public" not in said


def test_errors_leak(node: Node, jiashan: Caller) -> None:
    """Problems with a stable code: no trace, no driver's text, no table's name; and no documentation of ourselves."""
    hostile = ["%27%20OR%201=1--", "..%2F..%2Fetc", "%F0%9F%92%A9", "a" * 3000, "{{7*7}}"]
    answers = [jiashan.get(feed(text)) for text in hostile]
    answers += [jiashan.get(f"/v1/submissions/{text}") for text in hostile]
    answers += [jiashan.get("/v1/observations", params={"cursor": text, "site": text}) for text in hostile]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert not any(word in answer.text for word in ("Traceback", "sqlalchemy", "SELECT", 'File "', "psycopg"))
    for path in ("/docs", "/redoc", "/openapi.json", "/metrics", "/healthz"):
        assert jiashan.get(path).status_code == 404


def test_no_party_reaches_the_rules_or_users_of_another(node: Node, jiashan: Caller) -> None:
    """AD-01: no route of the partner listener changes either; what is the party's own is refused, and logged."""
    changing = {"POST /oauth/token", "POST /oauth/introspect", "POST /oauth/revoke", "POST /v1/submissions"}
    changing |= {"POST /v1/receipts", "PUT /v1/inbox/{provider}/{dataset}/{seq}"}
    found = routes(jiashan.http)
    assert {one for one in found if not one.startswith("GET ")} <= changing
    before = len(entries(node, REFUSAL))
    for party in (WUJIANG, QINGPU):
        assert code_of(jiashan.get("/v1/findings", params={"party": party}), 403) == "access.not-home"
    assert len(entries(node, REFUSAL)) == before + 2
    for path in ("/api/governance", "/api/people", "/api/proposals", "/api/clients"):
        assert jiashan.get(path).status_code == 404


def test_a_relay_that_the_plan_names_pushes_and_serves_another_s_feed_and_nobody_else_does(tmp_path: Path) -> None:
    relayed = {
        "id": "wj-antimony", **FACTORS, "recipients": [JIASHAN, QINGPU, "330503"], "relay": [JIASHAN, QINGPU],
        "history": "all",
    }  # fmt: skip
    parties = [WUJIANG, JIASHAN, QINGPU, "330503"]
    wujiang, jiashan = make_node(tmp_path, WUJIANG), make_node(tmp_path, JIASHAN)
    introduce(wujiang, jiashan)
    bring_plan(plan_document(SITES | {"recipients": [JIASHAN]}, relayed, parties=parties), wujiang, jiashan)
    hand_in(wujiang, site_line(), reading_line())
    batches = {batch.manifest.dataset: batch for batch in publish(wujiang)}
    with listening(jiashan) as http:
        qingpu, nanxun, outsider = (
            caller(http, jiashan, party, "feeds:push", "feeds:read") for party in (QINGPU, "330503", "330411")
        )
        path, file = f"/v1/inbox/{WUJIANG}/wj-antimony/1", batches["wj-antimony"].file
        as_batch = {"Content-Type": "application/vnd.taipu.batch+ndjson"}
        assert code_of(nanxun.put(path, content=file, headers=as_batch), 403) == "feed.not-provider"
        taken = qingpu.put(path, content=file, headers=as_batch)
        assert (taken.status_code, taken.json()["verdict"]) == (200, "accepted")
        assert nanxun.get(feed("wj-antimony")).content == file
        assert code_of(nanxun.get(feed("wj-sites")), 403) == "access.not-relayed"
        assert code_of(outsider.get(feed("wj-antimony")), 403) == "access.not-granted"
    for one in (wujiang, jiashan):
        one.stop()

"""What was here before a dataset began: queued once, as far back as its recipients may see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.publish import Publisher
from gateway.store import tables
from schemas.times import now_millis
from tests.gateway.hands import hand_in, publish, records_in
from tests.world import ANTIMONY, SITES, WUJIANG, Node, bring_plan, make_node, plan_document, reading_line, site_line


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    """A gateway with a site and three readings of two days, and no plan."""
    node = make_node(tmp_path, WUJIANG, database_url)
    hand_in(node, site_line(), reading_line(0), reading_line(1), reading_line(at="2026-11-22T10:00:00+08:00"))
    yield node
    node.stop()


def begin(node: Node, *datasets: dict[str, Any], version: int = 1) -> list[dict[str, Any]]:
    """Bring a plan with these datasets; what is published because of it."""
    bring_plan(plan_document(*datasets, version=version), node)
    return published(node)


def published(node: Node) -> list[dict[str, Any]]:
    found = []
    while batches := publish(node):
        found += records_in(batches)
    return found


def readings(records: list[dict[str, Any]]) -> int:
    return sum(record["kind"] == "observation" for record in records)


@pytest.mark.parametrize(
    ("history", "expected"), [("all", 3), ("2026-11-21", 1), ("none", 0)], ids=["all", "from a day on", "none"]
)
def test_readings_from_before_are_published_as_far_back_as_anybody_may_see(
    node: Node, history: str, expected: int
) -> None:
    assert readings(begin(node, ANTIMONY | {"history": history})) == expected
    assert published(node) == []


def test_the_widest_reach_of_all_recipients_counts(node: Node) -> None:
    recipients = ["330421", {"party": "310118", "from": "2026-11-21"}]
    assert readings(begin(node, ANTIMONY | {"recipients": recipients})) == 1


def test_sites_are_published_as_they_stand_whatever_the_reach(node: Node) -> None:
    assert [record["id"] for record in begin(node, SITES)] == ["320509-SW-0003"]


def test_what_is_kept_from_everybody_has_no_backlog(node: Node) -> None:
    kept = {"recipients": None, "sharing": "not-shared", "citation": "监测条例第15条", "history": "all"}
    dataset = {name: value for name, value in (ANTIMONY | kept).items() if value is not None}
    document = plan_document(dataset).replace(b'"recipients": ["330421", "310118"], ', b"")
    bring_plan(document, node)
    assert published(node) == []
    with node.gateway.database.read() as session:
        assert session.scalar(select(func.count()).select_from(tables.queue)) == 0


def test_a_version_that_selects_more_brings_only_what_it_adds(node: Node) -> None:
    hand_in(node, reading_line(2, factor="w21003"))
    antimony = ANTIMONY | {"history": "all"}
    assert readings(begin(node, antimony)) == 3
    wider = antimony | {"select": {"programmes": ["water-auto"], "factors": ["w20004", "w21003"]}}
    assert [record["factor"] for record in begin(node, wider, version=2)] == ["w21003"]


def test_a_version_that_reaches_further_back_brings_what_is_older(node: Node) -> None:
    assert readings(begin(node, ANTIMONY | {"history": "2026-11-21"})) == 1
    assert readings(begin(node, ANTIMONY | {"history": "all"}, version=2)) == 3


def test_what_came_in_while_a_dataset_was_away_is_its_backlog_when_it_comes_back(node: Node) -> None:
    antimony = ANTIMONY | {"history": "all"}
    begin(node, antimony)
    assert begin(node, SITES, version=2)
    hand_in(node, reading_line(5))
    ats = {record["at"] for record in begin(node, antimony, version=3) if record["kind"] == "observation"}
    assert "2026-11-20T10:05:00+08:00" in ats


def test_a_stop_between_two_days_loses_neither(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.publish.DAYS_TOGETHER", 1)
    bring_plan(plan_document(ANTIMONY | {"history": "all"}), node)
    first = records_in(publish(node))
    gateway = node.gateway
    again = Publisher(WUJIANG, gateway.database, gateway.heads, gateway.keys, gateway.interning, gateway.sites)
    second = records_in(again.publish_due(now=now_millis()))
    assert (readings(first), readings(second)) == (2, 1)


def test_readings_of_other_parties_are_nobodys_backlog_here(node: Node) -> None:
    dataset = ANTIMONY | {"provider": "330421", "recipients": [WUJIANG], "history": "all"}
    assert begin(node, dataset) == []

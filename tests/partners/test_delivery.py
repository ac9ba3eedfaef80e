"""Deliveries by push: in the order of each feed's numbers, whatever fails in between."""

from __future__ import annotations

import pytest

from gateway.db import Database
from partners.delivery import DEAD_AFTER, Delivery, close_delivery, due_pushes, open_deliveries, record_attempt
from schemas.batch import write_batch
from schemas.plan import parse_plan
from tests.partners.party_world import NOW, new_key
from tests.world import JIASHAN, QINGPU, WUJIANG, plan_document

KEY = new_key()
PLAN = parse_plan(plan_document({"id": "wj-sites", "mode": "push"}, {"id": "wj-antimony", "mode": "push"}))


@pytest.fixture
def three_of_each(database: Database) -> Database:
    """Numbers 1 to 3 of two feeds, on their way to two recipients."""
    with database.write() as session:
        for dataset in PLAN.datasets:
            for seq in (1, 2, 3):
                batch = write_batch(
                    KEY, [], provider=WUJIANG, dataset=dataset.id, plan=PLAN.reference, plan_digest=PLAN.digest,
                    seq=seq, prev="", first="", last="", created="2026-11-23T02:00:00.000Z",
                )  # fmt: skip
                open_deliveries(session, batch, dataset, now=NOW)
    return database


def _due(database: Database, now: int, recipient: str = JIASHAN) -> list[tuple[str, int]]:
    with database.read() as session:
        return [(one.dataset, one.seq) for one in due_pushes(session, recipient, now=now)]


def _fail(database: Database, dataset: str, seq: int, *, times: int = 1) -> None:
    with database.write() as session:
        tried = next(one for one in due_pushes(session, JIASHAN, now=NOW) if (one.dataset, one.seq) == (dataset, seq))
        last = Delivery(**{**vars(tried), "attempts": times - 1})
        record_attempt(session, last, now=NOW, error="partner.unreachable")


def test_pushes_are_due_in_the_order_of_each_feed(three_of_each: Database) -> None:
    assert _due(three_of_each, NOW) == [(name, seq) for name in ("wj-antimony", "wj-sites") for seq in (1, 2, 3)]


def test_a_number_that_waits_to_be_tried_again_holds_back_those_after_it(three_of_each: Database) -> None:
    _fail(three_of_each, "wj-sites", 1)
    assert _due(three_of_each, NOW) == [("wj-antimony", 1), ("wj-antimony", 2), ("wj-antimony", 3)]
    assert _due(three_of_each, NOW, QINGPU)[3:] == [("wj-sites", 1), ("wj-sites", 2), ("wj-sites", 3)]
    assert _due(three_of_each, NOW + 1_000)[3:] == [("wj-sites", 1), ("wj-sites", 2), ("wj-sites", 3)]


def test_a_dead_number_holds_back_those_after_it_until_a_person_has_looked(three_of_each: Database) -> None:
    _fail(three_of_each, "wj-sites", 2, times=DEAD_AFTER)
    assert _due(three_of_each, NOW + 10**9)[3:] == [("wj-sites", 1)]


def test_a_number_that_was_receipted_holds_back_nothing(three_of_each: Database) -> None:
    with three_of_each.write() as session:
        first = next(one for one in due_pushes(session, JIASHAN, now=NOW) if one.dataset == "wj-sites")
        assert close_delivery(
            session, manifest=first.manifest, recipient=JIASHAN, verdict="refused", receipt_hash="r" * 43
        )
    assert _due(three_of_each, NOW)[3:] == [("wj-sites", 2), ("wj-sites", 3)]

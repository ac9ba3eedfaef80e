"""A partner's batch: nothing without its signature over just these bytes; applied or refused whole, in order, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from audit.form import BATCH_RECEIVED, BATCH_REFUSED, FINDING
from audit.receipts import Receipt, open_receipt
from gateway.errors import ConflictError
from gateway.store import evidence, feeds, tables
from gateway.sync.apply import TOLERATED_SKEW, WaitingError
from partners import tables as partner_tables
from schemas import jws
from schemas.batch import MANIFEST_TYPE, Batch, open_batch, write_batch
from schemas.errors import BatchError, SharingError
from schemas.plan import parse_plan
from schemas.times import now_millis, utc_text
from tests.gateway.hands import carry, entries, hand_in, is_logged, publish, rows_of, stored
from tests.world import (
    ANTIMONY,
    JIASHAN,
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

PLAN = plan_document(SITES, ANTIMONY)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Node]:
    """Wujiang's gateway; it publishes nothing by itself, the tests sign with its key."""
    node = make_node(tmp_path, WUJIANG)
    yield node
    node.stop()


@pytest.fixture
def recipient(tmp_path: Path, provider: Node, database_url: str) -> Iterator[Node]:
    """Jiashan's gateway on either database: it knows Wujiang, the plan, and Wujiang's one site."""
    node = make_node(tmp_path, JIASHAN, database_url)
    introduce(node, provider)
    bring_plan(PLAN, node, provider)
    hand_in(provider, site_line())
    (sites,) = publish(provider)
    assert carry(sites, provider, node).verdict == "accepted"
    yield node
    node.stop()


def signed(node: Node, *lines: bytes, seq: int = 1, prev: str = "", **changes: Any) -> Batch:
    """A batch of `wj-antimony` that the node signs, whatever it says."""
    plan = plan_of(changes.pop("document", PLAN))
    place = {
        "provider": node.party, "dataset": "wj-antimony", "plan": plan[0], "plan_digest": plan[1], "seq": seq,
        "prev": prev, "first": "", "last": "", "created": utc_text(now_millis()),
    }  # fmt: skip
    schema = changes.pop("schema", None)
    batch = write_batch(node.gateway.keys.manifest, lines, **(place | changes))
    if schema is None:
        return batch
    key = node.gateway.keys.manifest
    token = jws.sign(key, MANIFEST_TYPE, {**batch.manifest.payload(), "schema": schema})
    return open_batch(b'{"manifest":"' + token.encode() + b'"}\n' + batch.body, {key.kid: key.public})


def plan_of(document: bytes) -> tuple[str, str]:
    plan = parse_plan(document)
    return plan.reference, plan.digest


def shared(minute: int, rev: int = 1, value: str = "0.0021", **members: Any) -> bytes:
    return reading_line(minute, value, rev=rev, **members)


def refusal(kind: type[SharingError], *arguments: Any, **options: Any) -> SharingError:
    with pytest.raises(kind) as caught:
        carry(*arguments, **options)
    return caught.value


def head(node: Node, dataset: str = "wj-antimony") -> feeds.FeedHead:
    with node.gateway.database.read() as session:
        return feeds.head(session, WUJIANG, dataset)


def kept(node: Node) -> list[Any]:
    """The evidence, oldest first."""
    with node.gateway.database.read() as session:
        return list(session.execute(tables.evidence.select().order_by(tables.evidence.c.id)))


def receipt_of(node: Node, token: str) -> Receipt:
    key = node.gateway.keys.manifest
    return open_receipt(token, {key.kid: key.public})


def test_a_good_batch_is_stored_and_the_receipt_promises_an_entry_that_is_in_the_log(
    provider: Node, recipient: Node
) -> None:
    batch = signed(provider, shared(0), shared(1))
    applied = carry(batch, provider, recipient)
    assert (applied.verdict, applied.fresh) == ("accepted", True)
    assert [value for *_, value in stored(recipient)] == ["0.0021"] * 2
    assert (head(recipient).seq, head(recipient).manifest) == (1, batch.hash)
    receipt = receipt_of(recipient, applied.receipt)
    assert (receipt.from_party, receipt.to_party, receipt.manifest) == (JIASHAN, WUJIANG, batch.hash)
    assert (receipt.verdict, receipt.applied, receipt.duplicates, receipt.held) == ("accepted", 2, 0, 0)
    assert is_logged(recipient, jws.b64decode(receipt.entry))
    assert entries(recipient, BATCH_RECEIVED)[-1]["manifest"] == batch.hash


def test_the_same_batch_again_changes_nothing_and_has_the_same_receipt(provider: Node, recipient: Node) -> None:
    batch = signed(provider, shared(0))
    first = carry(batch, provider, recipient)
    before = rows_of(recipient)
    again = carry(batch, provider, recipient)
    assert (again.verdict, again.receipt, again.fresh) == (first.verdict, first.receipt, False)
    assert rows_of(recipient) == before


def test_a_batch_refused_once_stays_refused_when_it_comes_again(provider: Node, recipient: Node) -> None:
    batch = signed(provider, b"{}")
    assert carry(batch, provider, recipient).verdict == carry(batch, provider, recipient).verdict == "refused"


PLACES = {
    "the first brace": 0, "the manifest's name": 4, "the header": 20, "the payload": 200, "the signature": -40,
    "the end of line 1": -2, "its newline": -1,
}  # fmt: skip


@pytest.mark.parametrize("place", [*PLACES, "a record", "a newline", "the last newline"])
def test_one_flipped_byte_changes_nothing_but_the_evidence_and_the_good_batch_still_comes_in(
    provider: Node, recipient: Node, place: str
) -> None:
    batch = signed(provider, shared(0), shared(1))
    size = len(batch.file) - len(batch.body)
    elsewhere = {
        "a record": size + 60,
        "a newline": batch.file.index(b"\n", size),
        "the last newline": len(batch.file) - 1,
    }
    at = elsewhere[place] if place in elsewhere else PLACES[place] % size
    damaged = batch.file[:at] + bytes([batch.file[at] ^ 1]) + batch.file[at + 1 :]
    before = rows_of(recipient)
    error = refusal(BatchError, damaged, provider, recipient)
    assert error.code.startswith("batch.")
    assert rows_of(recipient) == before | {"evidence": 1}
    assert head(recipient).seq == 0
    assert carry(batch, provider, recipient).verdict == "accepted"


def test_the_evidence_of_damaged_batches_is_bounded_in_number_and_size(provider: Node, recipient: Node) -> None:
    batch = signed(provider, *(shared(minute) for minute in range(200)))
    for end in range(1, evidence.KEPT + 6):
        refusal(BatchError, batch.file[:-end], provider, recipient)
    assert len(kept(recipient)) == evidence.KEPT
    assert {len(row.content) for row in kept(recipient)} == {evidence.CUT}


def test_a_batch_of_another_feed_or_number_than_it_came_as_is_not_taken(provider: Node, recipient: Node) -> None:
    batch = signed(provider, shared(0))
    assert refusal(BatchError, batch, provider, recipient, dataset="wj-sites").code == "batch.feed-wrong"
    assert refusal(BatchError, batch, provider, recipient, expected=2).code == "batch.number-wrong"
    foreign = signed(provider, shared(0), provider="310118")
    assert refusal(BatchError, foreign, provider, recipient).code == "batch.feed-wrong"
    assert head(recipient).seq == 0


def test_a_batch_signed_by_somebody_else_is_not_taken(provider: Node, recipient: Node) -> None:
    batch = signed(recipient, shared(0), provider=WUJIANG)
    assert refusal(BatchError, batch, provider, recipient).code == "batch.key-unknown"


def test_a_gap_names_the_number_that_is_expected_and_keeps_no_evidence(provider: Node, recipient: Node) -> None:
    first = signed(provider, shared(0))
    carry(first, provider, recipient)
    before = rows_of(recipient)
    error = refusal(ConflictError, signed(provider, shared(2), seq=3, prev="x" * 43), provider, recipient)
    assert (error.code, error.extra["expected"]) == ("feed.gap", 2)
    assert rows_of(recipient) == before


def test_who_joins_later_begins_with_the_first_batch_it_is_given(provider: Node, recipient: Node) -> None:
    carry(signed(provider, shared(0), seq=41, prev="x" * 43), provider, recipient)
    assert head(recipient).seq == 41
    earlier = refusal(ConflictError, signed(provider, shared(1), seq=40, prev="y" * 43), provider, recipient)
    assert (earlier.code, earlier.extra["expected"]) == ("feed.before-start", 42)
    assert head(recipient).stopped == ""


@pytest.mark.parametrize("place", [{"seq": 1, "prev": "x" * 43}, {"seq": 2, "prev": "x" * 43}])
def test_a_wrong_predecessor_stops_the_feed_and_is_a_finding(
    provider: Node, recipient: Node, place: dict[str, Any]
) -> None:
    first = signed(provider, shared(0))
    if place["seq"] == 2:
        carry(first, provider, recipient)
    error = refusal(ConflictError, signed(provider, shared(1), **place), provider, recipient)
    assert error.code == "feed.predecessor-wrong"
    assert [row.code for row in kept(recipient)] == ["feed.predecessor-wrong"]
    assert entries(recipient, FINDING)[-1]["detail"]["code"] == "feed.predecessor-wrong"
    good = signed(provider, shared(1), seq=2, prev=first.hash) if place["seq"] == 2 else first
    assert refusal(ConflictError, good, provider, recipient).code == "feed.stopped"


def test_a_fork_keeps_both_manifests_for_ever_and_stops_the_feed(provider: Node, recipient: Node) -> None:
    first, other = signed(provider, shared(0)), signed(provider, shared(0, value="0.9"))
    carry(first, provider, recipient)
    error = refusal(ConflictError, other, provider, recipient)
    assert (error.code, error.extra["held"], error.extra["given"]) == ("feed.fork", first.hash, other.hash)
    with recipient.gateway.database.read() as session:
        held = feeds.find_batch(session, WUJIANG, "wj-antimony", 1)
    assert held is not None
    assert feeds.from_frame(held.frame) == first.file
    for end in range(1, evidence.KEPT + 3):
        refusal(BatchError, other.file[:-end], provider, recipient)
    assert [row.content for row in kept(recipient) if row.code == "feed.fork"] == [other.file]
    assert entries(recipient, FINDING)[-1]["detail"]["code"] == "feed.fork"
    following = signed(provider, shared(1), seq=2, prev=first.hash)
    assert refusal(ConflictError, following, provider, recipient).code == "feed.stopped"
    assert carry(first, provider, recipient).fresh is False


def test_a_batch_under_a_plan_not_here_yet_waits_and_is_taken_once_it_is(provider: Node, recipient: Node) -> None:
    newer = plan_document(SITES, ANTIMONY | {"purpose": "第二版"}, version=2)
    batch = signed(provider, shared(0), document=newer)
    before = rows_of(recipient)
    assert refusal(WaitingError, batch, provider, recipient).code == "batch.plan-unknown"
    assert rows_of(recipient) == before
    bring_plan(newer, recipient)
    later = signed(provider, shared(0), document=newer)
    assert carry(later, provider, recipient).verdict == "accepted"


def test_a_batch_that_names_another_text_of_the_plan_waits(provider: Node, recipient: Node) -> None:
    batch = signed(provider, shared(0), plan_digest="x" * 43)
    assert refusal(WaitingError, batch, provider, recipient).code == "batch.plan-unknown"


def test_a_batch_from_the_future_waits_until_its_time_has_come(provider: Node, recipient: Node) -> None:
    now = now_millis()
    batch = signed(provider, shared(0), created=utc_text(now + TOLERATED_SKEW + 1))
    assert refusal(WaitingError, batch, provider, recipient, now=now).code == "batch.from-future"
    assert carry(batch, provider, recipient, now=now + 1).verdict == "accepted"


def test_what_the_plan_does_not_give_us_is_refused_whole_its_number_spent_and_the_next_one_taken(
    provider: Node, recipient: Node
) -> None:
    elsewhere = plan_document(SITES, ANTIMONY | {"recipients": ["310118"]}, version=2)
    bring_plan(elsewhere, recipient)
    batch = signed(provider, shared(0), document=elsewhere)
    assert whole_refusal(batch, provider, recipient) == "batch.not-granted"
    again = plan_document(SITES, ANTIMONY, version=3)
    bring_plan(again, recipient)
    following = signed(provider, shared(0), seq=2, prev=batch.hash, document=again)
    assert carry(following, provider, recipient).verdict == "accepted"


def whole_refusal(batch: Batch, provider: Node, recipient: Node) -> str:
    """The code for which a batch is refused whole, once it is certain that only its number was spent."""
    before = stored(recipient)
    applied = carry(batch, provider, recipient)
    receipt = receipt_of(recipient, applied.receipt)
    assert (applied.verdict, receipt.verdict, receipt.applied, receipt.held) == ("refused", "refused", 0, 0)
    assert (head(recipient).seq, head(recipient).manifest) == (batch.manifest.seq, batch.hash)
    assert (stored(recipient), rows_of(recipient)["held"]) == (before, 0)
    assert entries(recipient, BATCH_REFUSED)[-1]["manifest"] == batch.hash
    assert is_logged(recipient, jws.b64decode(receipt.entry))
    with recipient.gateway.database.read() as session:
        table = partner_tables.receipt
        report = session.execute(table.select().where(table.c.token == applied.receipt)).one().report
    assert receipt.report is not None
    (problem,) = [json.loads(line) for line in report.splitlines()]
    return str(problem["code"])


@pytest.mark.parametrize(
    ("lines", "schema", "code"),
    [
        ([shared(0)], "2.0", "batch.schema-unsupported"),
        ([shared(0)], "1", "batch.schema-unsupported"),
        ([shared(0), b"{}"], None, "record.kind-unknown"),
        ([shared(0), b""], None, "record.not-json"),
        ([shared(0), b" \r"], None, "record.not-json"),
        ([shared(0), shared(1, colour="red")], None, "record.member-unknown"),
        ([shared(0), shared(1, sample="\0")], None, "record.malformed"),
        ([shared(0), shared(1, rev=2**40)], None, "record.rev-invalid"),
        ([shared(0), shared(1, at="2026-11-20")], None, "record.time-invalid"),
        ([shared(0), shared(1, unit=None)], None, "record.unit-missing"),
        ([shared(0, rev=0)], None, "record.rev-missing"),
        ([shared(0, rev=0, site="elsewhere")], None, "record.rev-missing"),
    ],
)
def test_a_batch_that_breaks_the_schema_is_refused_whole(
    provider: Node, recipient: Node, lines: list[bytes], schema: str | None, code: str
) -> None:
    assert whole_refusal(signed(provider, *lines, schema=schema), provider, recipient) == code


def test_a_reading_whose_site_is_missing_is_held_and_counted_in_the_receipt(provider: Node, recipient: Node) -> None:
    applied = carry(signed(provider, shared(0), shared(1, site="320509-SW-0099")), provider, recipient)
    receipt = receipt_of(recipient, applied.receipt)
    assert (applied.verdict, receipt.applied, receipt.held) == ("accepted", 1, 1)
    assert rows_of(recipient)["held"] == 1


def test_revisions_are_applied_in_whatever_order_they_come_and_a_contradiction_is_an_alarm(
    provider: Node, recipient: Node
) -> None:
    batch = signed(provider, shared(0, 3, "0.3"), shared(0, 1, "0.1"), shared(0, 2, "0.2"), shared(0, 2, "9.9"))
    applied = carry(batch, provider, recipient)
    assert [(rev, value) for _, rev, value in stored(recipient)] == [(3, "0.3")]
    assert rows_of(recipient)["observation_history"] == 2
    assert receipt_of(recipient, applied.receipt).applied == 3
    assert (
        entries(recipient, FINDING)[-1]["detail"].items() >= {"code": "record.rev-conflict", "first": "line 5"}.items()
    )


def test_when_the_transaction_fails_at_its_end_nothing_of_it_remains(provider: Node, recipient: Node) -> None:
    batch = signed(provider, shared(0), shared(1, site="320509-SW-0099"))
    before = rows_of(recipient)
    with receipts_impossible(recipient), pytest.raises(DBAPIError):
        carry(batch, provider, recipient)
    assert rows_of(recipient) == before
    assert head(recipient).seq == 0
    assert carry(batch, provider, recipient).verdict == "accepted"


@contextmanager
def receipts_impossible(node: Node) -> Iterator[None]:
    """The database refuses the last statement of the transaction that takes a batch."""
    refuse = {
        "sqlite": "CREATE TRIGGER no_receipt BEFORE INSERT ON receipt BEGIN SELECT RAISE(ABORT, 'no'); END",
        "postgresql": "ALTER TABLE receipt ADD CONSTRAINT no_receipt CHECK (manifest IS NULL) NOT VALID",
    }
    allow = {"sqlite": "DROP TRIGGER no_receipt", "postgresql": "ALTER TABLE receipt DROP CONSTRAINT no_receipt"}
    name = node.gateway.database.engine.dialect.name
    for statement in (refuse, allow):
        with node.gateway.database.write() as session:
            session.execute(text(statement[name]))
        if statement is refuse:
            yield

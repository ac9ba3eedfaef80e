"""Rows in bulk: what is new, what is a duplicate, what is a revision; nothing overwritten, whatever the order."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import func, select

from gateway.db import Database
from gateway.store import tables
from gateway.store.acts import begin_act
from gateway.store.observations import (
    Key,
    Row,
    Taken,
    bucket_of,
    fetch,
    take_received,
    take_submitted,
)

AT = 1_795_420_800_000  # 2026-11-23T08:00Z


def row(value: str | None, *, rev: int = 0, at: int = AT, series: int = 1, state: int = 1, **members: object) -> Row:
    made = Row(bucket_of(at), series, at, "", rev, value, state, None, None, None, None)
    return made._replace(**members)  # type: ignore[arg-type]


def submit(database: Database, *rows: Row, reasons: list[str] | None = None) -> Taken:
    with database.write() as session:
        act = begin_act(session, "submission", "320509", "x", at=AT, submitted=True)
        why = reasons or [""] * len(rows)
        revisions = [one._replace(extra=reason) if reason else None for one, reason in zip(rows, why, strict=True)]
        return take_submitted(session, rows, act.id, revisions=revisions)


def receive(database: Database, *rows: Row) -> Taken:
    with database.write() as session:
        act = begin_act(session, "batch", "320509", "x", at=AT, submitted=False)
        return take_received(session, rows, act.id)


def held(database: Database) -> tuple[list[tuple[int, str | None]], list[tuple[int, str | None]]]:
    """(rev, value) of current rows and of history, each in order."""
    with database.read() as session:
        return tuple(  # type: ignore[return-value]
            [tuple(found) for found in session.execute(select(table.c.rev, table.c.value).order_by(table.c.rev))]
            for table in (tables.observation, tables.observation_history)
        )


def test_new_rows_get_revision_one(database: Database) -> None:
    taken = submit(database, row("0.10"), row(None, at=AT + 60_000))
    assert taken.accepted == {0: 1, 1: 1}
    assert held(database) == ([(1, "0.10"), (1, None)], [])


def test_an_equal_row_is_a_duplicate_and_its_transport_facts_do_not_make_it_different(database: Database) -> None:
    submit(database, row("0.10", sent=AT))
    taken = submit(database, row("0.10", sent=AT + 5_000, extra='{"resent":true}'))
    assert (taken.duplicates, taken.accepted, taken.revised) == ({0}, {}, {})
    assert held(database) == ([(1, "0.10")], [])


@pytest.mark.parametrize("change", [{"value": "0.1"}, {"state_id": 2}, {"link": "lab-1"}, {"value": None}])
def test_another_content_without_a_reason_is_refused_and_changes_nothing(
    database: Database, change: dict[str, object]
) -> None:
    submit(database, row("0.10"))
    taken = submit(database, row("0.10")._replace(**change))  # type: ignore[arg-type]
    assert taken.refused == {0: "record.reason-required"}
    assert held(database) == ([(1, "0.10")], [])


def test_another_content_with_a_reason_is_a_revision_and_the_old_one_is_history(database: Database) -> None:
    submit(database, row("0.10"))
    taken = submit(database, row("0.12"), reasons=["calibration"])
    assert taken.revised == {0: 2}
    assert held(database) == ([(2, "0.12")], [(1, "0.10")])


def test_the_same_key_twice_in_one_submission_meets_its_own_first_value(database: Database) -> None:
    taken = submit(database, row("1"), row("1"), row("2"), row("2", at=AT + 1), reasons=["", "", "device", ""])
    assert taken.accepted == {0: 1, 3: 1}
    assert taken.duplicates == {1}
    assert taken.revised == {2: 2}
    assert held(database) == ([(1, "2"), (2, "2")], [(1, "1")])


def test_received_revisions_give_the_same_end_in_every_order(database: Database) -> None:
    revisions = [row("1", rev=1), row("2", rev=2), row("3", rev=3)]
    for number, order in enumerate(itertools.permutations(revisions)):
        at = AT + number * 60_000
        for one in order:
            receive(database, one._replace(at=at, bucket=bucket_of(at)))
    current, history = held(database)
    assert current == [(3, "3")] * 6
    assert history == [(1, "1")] * 6 + [(2, "2")] * 6


@pytest.mark.parametrize("rev", [1, 2])
def test_a_revision_that_comes_with_two_contents_is_an_alarm_and_changes_nothing(database: Database, rev: int) -> None:
    receive(database, row("1", rev=1), row("2", rev=2, at=AT + 60_000))
    receive(database, row("2", rev=2))
    before = held(database)
    assert receive(database, row("9", rev=rev)).refused == {0: "record.rev-conflict"}
    assert held(database) == before


def test_revisions_are_fetched_whether_current_or_history(database: Database) -> None:
    receive(database, row("1", rev=1), row("5", rev=1, series=2))
    receive(database, row("2", rev=2))
    keys = [Key(bucket_of(AT), 1, AT, "", 1), Key(bucket_of(AT), 1, AT, "", 2), Key(bucket_of(AT), 2, AT, "", 9)]
    with database.read() as session:
        found = fetch(session, keys)
    assert [(one.rev, one.value) for one in found] == [(1, "1"), (2, "2")]


def test_a_row_is_stored_whole(database: Database) -> None:
    full = row("-0.50", sample="top", link="auto-1", sent=AT + 1, received=AT + 2, extra='{"reason":"x"}', rev=1)
    submit(database, full)
    with database.read() as session:
        assert fetch(session, [Key(*full.key, 1)]) == [full]
        assert session.execute(select(func.count()).select_from(tables.observation_history)).scalar_one() == 0

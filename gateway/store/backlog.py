"""Rows of a dataset's backlog, and the records here that it is looked for in, day by day."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import delete, insert, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from gateway.store.observations import Key, bucket_of
from gateway.store.records import Stored
from schemas.records import Retraction

_observation, _record, _backlog = tables.observation, tables.record, tables.backlog
_CHUNK = 500  # series in one statement


class Waiting(NamedTuple):
    """A dataset whose readings are still to be queued from the day `bucket` on, those from `since` (ms UTC) on."""

    dataset: str
    selected_before: str
    since: int
    bucket: int


def add(session: WriteSession, dataset: str, selected_before: str, *, since: int) -> None:
    """Note that the readings from `since` (ms UTC) on are to be looked through for `dataset`."""
    session.execute(delete(_backlog).where(_backlog.c.dataset == dataset))
    session.execute(
        insert(_backlog).values(dataset=dataset, selected_before=selected_before, since=since, bucket=bucket_of(since))
    )


def lock(session: WriteSession, dataset: str) -> Waiting | None:
    """The row of `dataset`, which nobody else works on meanwhile; None where it has just been done."""
    query = select(*(_backlog.c[name] for name in Waiting._fields)).where(_backlog.c.dataset == dataset)
    row = session.execute(query.with_for_update() if session.dialect.name == "postgresql" else query).first()
    return None if row is None else Waiting(*row)


def next_day(session: ReadSession, bucket: int) -> int | None:
    """The first day from `bucket` on with readings."""
    query = select(_observation.c.bucket).where(_observation.c.bucket >= bucket).order_by(_observation.c.bucket)
    found: int | None = session.execute(query.limit(1)).scalar()
    return found


def series_of_day(session: ReadSession, bucket: int) -> list[int]:
    """The series that have readings on a day."""
    query = select(_observation.c.series_id).where(_observation.c.bucket == bucket).distinct()
    return list(session.scalars(query))


def keys_of_day(session: ReadSession, bucket: int, series: Collection[int], *, since: int) -> list[Key]:
    """The current readings of these series on a day, from `since` (ms UTC) on, in key order."""
    found: list[Key] = []
    numbers = sorted(series)
    columns = [_observation.c[name] for name in Key._fields]
    for start in range(0, len(numbers), _CHUNK):
        query = select(*columns).where(
            _observation.c.bucket == bucket,
            _observation.c.series_id.in_(numbers[start : start + _CHUNK]),
            _observation.c.at >= since,
        )
        found += (Key(*row) for row in session.execute(query.order_by(*columns)))
    return found


def current_statements(session: ReadSession, provider: str, kind: str) -> Iterator[Stored]:
    """The records of one kind as they stand, those that were retracted left out."""
    query = select(*(_record.c[name] for name in Stored._fields))
    for row in session.execute(query.where(_record.c.provider == provider, _record.c.kind == kind)):
        stored = Stored(*row)
        if not isinstance(stored.statement, Retraction):
            yield stored

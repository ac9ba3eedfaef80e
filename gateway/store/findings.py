"""What the quality rules found, by value and revision; and the values they have yet to look at.

A finding is added, never changed and never taken back: it says what looked odd at the time, by which version of the
rules, and who said so. The same finding again is no news.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Column, delete, func, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from gateway.store.observations import Key, bucket_of

QUEUED_TOGETHER = 5_000  # keys of one row
_CHUNK = 500  # series or keys asked for in one statement
_finding, _to_judge, _series = tables.finding, tables.to_judge, tables.series
_KEY = (_finding.c.bucket, _finding.c.series_id, _finding.c.at, _finding.c.sample, _finding.c.rev)


class Found(NamedTuple):
    """One finding about one revision of one value. `source` is the party that found it, `found` when (ms UTC)."""

    key: Key
    rule: str
    source: str
    reference: str
    detail: str
    found: int


class Listed(NamedTuple):
    """A finding as it is listed, with what its value is of."""

    finding: Found
    provider: str
    site: str
    factor: str
    origin: str
    stat: str
    period: str

    @property
    def place(self) -> tuple[object, ...]:
        """Where it stands in a list: its value's key, rule and source."""
        return *self.finding.key, self.finding.rule, self.finding.source


class Wanted(NamedTuple):
    """Which findings are asked for; None means any. `since` (included), `until` (excluded): of the values (ms UTC)."""

    provider: str | None = None
    site: str | None = None
    factor: str | None = None
    rule: str | None = None
    since: int | None = None
    until: int | None = None


def add_findings(session: WriteSession, found: Iterable[Found]) -> list[Found]:
    """Keep what is new of `found`; that, in order. Of one finding said twice the first is kept."""
    first: dict[tuple[Key, str, str], Found] = {}
    for one in found:
        first.setdefault((one.key, one.rule, one.source), one)
    held = {(one.key, one.rule, one.source) for one in _held(session, {key for key, _, _ in first})}
    fresh = [one for said, one in first.items() if said not in held]
    if fresh:
        dialect = postgresql if session.dialect.name == "postgresql" else sqlite
        # Sorted, so that two writers that add the same wait for each other instead of for ever.
        rows = [{**one._asdict(), **one.key._asdict()} for one in sorted(fresh)]
        for row in rows:
            del row["key"]
        session.execute(dialect.insert(_finding).on_conflict_do_nothing(), rows)
    return fresh


def codes_of(session: ReadSession, keys: Iterable[Key]) -> Mapping[Key, tuple[str, ...]]:
    """The codes found about exactly these revisions, whoever found them, in order; what has none is absent."""
    codes: dict[Key, set[str]] = defaultdict(set)
    for one in _held(session, set(keys)):
        codes[one.key].add(one.rule)
    return {key: tuple(sorted(rules)) for key, rules in codes.items()}


def read_page(session: ReadSession, wanted: Wanted, *, after: Sequence[Any] | None, limit: int) -> list[Listed]:
    """The next `limit` findings after `after`, in the order of `Listed.place`."""
    order = (*_KEY, _finding.c.rule, _finding.c.source)
    query = select(
        *order, _finding.c.reference, _finding.c.detail, _finding.c.found, _series.c.provider, _series.c.site,
        _series.c.factor, _series.c.origin, _series.c.stat, _series.c.period,
    ).join_from(_finding, _series, _finding.c.series_id == _series.c.id)  # fmt: skip
    columns: Mapping[str, Column[Any]] = {
        "provider": _series.c.provider, "site": _series.c.site, "factor": _series.c.factor, "rule": _finding.c.rule,
    }  # fmt: skip
    for name, column in columns.items():
        value = getattr(wanted, name)
        query = query.where(column == value) if value is not None else query
    if wanted.since is not None:
        query = query.where(_finding.c.at >= wanted.since, _finding.c.bucket >= bucket_of(wanted.since))
    if wanted.until is not None:
        query = query.where(_finding.c.at < wanted.until, _finding.c.bucket <= bucket_of(wanted.until))
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*after))
    rows = session.execute(query.order_by(*order).limit(limit))
    return [Listed(Found(Key(*row[:5]), *row[5:10]), *row[10:16]) for row in rows]


def count_findings(session: ReadSession) -> dict[tuple[str, str, str], int]:
    """How many findings there are, by provider of the value, rule and source."""
    columns = (_series.c.provider, _finding.c.rule, _finding.c.source)
    query = select(*columns, func.count()).join_from(_finding, _series, _finding.c.series_id == _series.c.id)
    return {(row[0], row[1], row[2]): row[3] for row in session.execute(query.group_by(*columns))}


def queue_to_judge(session: WriteSession, keys: Sequence[Key], *, at: int) -> None:
    """Let the rules over series look at these values soon. `at` in ms UTC."""
    for start in range(0, len(keys), QUEUED_TOGETHER):
        packed = msgspec.msgpack.encode(keys[start : start + QUEUED_TOGETHER])
        session.execute(insert(_to_judge).values(keys=packed, at=at))


def next_to_judge(session: ReadSession, limit: int) -> tuple[list[int], list[Key]]:
    """The values that have waited longest, some `limit` of them, with the numbers of their rows."""
    ids: list[int] = []
    keys: list[Key] = []
    with session.execute(select(_to_judge).order_by(_to_judge.c.id).execution_options(yield_per=64)) as rows:
        for row in rows:
            ids.append(row.id)
            keys += [Key(*key) for key in msgspec.msgpack.decode(row.keys)]
            if len(keys) >= limit:
                break
    return ids, list(dict.fromkeys(keys))


def judged(session: WriteSession, ids: Sequence[int]) -> None:
    """The values of these rows have been looked at."""
    for start in range(0, len(ids), _CHUNK):
        session.execute(delete(_to_judge).where(_to_judge.c.id.in_(ids[start : start + _CHUNK])))


def waiting_since(session: ReadSession) -> int | None:
    """Since when (ms UTC) the oldest value waits to be judged; None: nothing waits."""
    found: int | None = session.execute(select(func.min(_to_judge.c.at))).scalar_one()
    return found


def _held(session: ReadSession, keys: set[Key]) -> Iterable[Found]:
    """What is held about these revisions. Findings are few: they are looked for by day and series, not one by one."""
    if not keys:
        return
    first, last = min(key.bucket for key in keys), max(key.bucket for key in keys)
    numbers = sorted({key.series_id for key in keys})
    for start in range(0, len(numbers), _CHUNK):
        here = _finding.c.series_id.in_(numbers[start : start + _CHUNK])
        for row in session.execute(select(_finding).where(_finding.c.bucket.between(first, last), here)):
            key = Key(row.bucket, row.series_id, row.at, row.sample, row.rev)
            if key in keys:
                yield Found(key, row.rule, row.source, row.reference, row.detail, row.found)

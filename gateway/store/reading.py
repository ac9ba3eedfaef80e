"""Queries over records. Every one needs an `Extent`: how much its reader may see, decided in `partners.grants`.

This is the only module that selects records for a reader. Pages follow the tables' keys (observations: day, series,
instant, sample; the others: provider, key), so a page costs the same at the end of a table as at its beginning. What
was retracted is not shown: it is history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, and_, func, or_, select, true, tuple_

from gateway.db import ReadSession
from gateway.store import records, tables
from gateway.store.interning import RETRACTED, Interning, SeriesKey
from gateway.store.observations import Row, bucket_of
from gateway.store.selection import admits, admits_record, site_of
from gateway.store.sites import Sites
from partners.grants import Extent
from schemas.plan import Dataset
from schemas.records import Case, Inspection, Mark, Retraction, Statement, kind_of
from schemas.times import to_millis

_series, _observation = tables.series, tables.observation
_KEY = (_observation.c.bucket, _observation.c.series_id, _observation.c.at, _observation.c.sample)
_COLUMNS = [_observation.c[name] for name in Row._fields]
_TOGETHER = 1_000  # lines read at a time


@dataclass(frozen=True)
class Filter:
    """What is asked for; None means any. `since` (included) and `until` (excluded) in ms UTC."""

    provider: str | None = None
    site: str | None = None
    factor: str | None = None
    dataset: Dataset | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class Visible:
    """The series a reader may see under a filter, and for each the earliest instant (ms UTC; None: all).

    `since` None means every series there is. `hide` has the members that are left out of the records of other parties'
    readers. `retracted` is the state of rows that no longer hold, None where no reading was ever retracted.
    """

    since: dict[int, int | None] | None
    hide: frozenset[str]
    retracted: int | None


@dataclass(frozen=True)
class Shown:
    """A record as a reader sees it: without the members of `hide`."""

    provider: str
    key: str
    record: Statement
    hide: frozenset[str]


def visible_series(session: ReadSession, extent: Extent, wanted: Filter, sites: Sites, interning: Interning) -> Visible:
    """Which series `extent` and `wanted` leave."""
    retracted = interning.find_state(session, RETRACTED)
    if extent.everything and (wanted.provider, wanted.site, wanted.factor, wanted.dataset) == (None, None, None, None):
        return Visible(None, frozenset(), retracted)
    query = select(_series)
    for column, value in ((_series.c.provider, wanted.provider), (_series.c.site, wanted.site)):
        query = query.where(column == value) if value is not None else query
    query = query.where(_series.c.factor == wanted.factor) if wanted.factor is not None else query
    found = {row.id: SeriesKey(*row[1:]) for row in session.execute(query)}
    since: dict[int, int | None] = {}
    by_provider: dict[str, set[str]] = {}
    for key in found.values():
        by_provider.setdefault(key.provider, set()).add(key.site)
    programmes = {name: sites.programmes(session, name, names) for name, names in by_provider.items()}
    for number, key in found.items():
        known = programmes[key.provider]
        if wanted.dataset and not (key.provider == wanted.dataset.provider and admits(wanted.dataset, key, known)):
            continue
        start = _earliest(extent, key, known)
        if start is not False:
            since[number] = start
    hide = frozenset(name for dataset in extent.datasets if dataset.kind == "observation" for name in dataset.hide)
    return Visible(since, hide, retracted)


def read_page(
    session: ReadSession, visible: Visible, wanted: Filter, *, after: Sequence[Any] | None, limit: int
) -> list[Row]:
    """The next `limit` rows after the key `after`, in key order."""
    query = select(*_COLUMNS).where(_reach(visible))
    if visible.retracted is not None:
        query = query.where(_observation.c.state_id != visible.retracted)
    if wanted.since is not None:
        query = query.where(_observation.c.at >= wanted.since, _observation.c.bucket >= bucket_of(wanted.since))
    if wanted.until is not None:
        query = query.where(_observation.c.at < wanted.until, _observation.c.bucket <= bucket_of(wanted.until))
    if after is not None:
        query = query.where(tuple_(*_KEY) > tuple_(*after))
    return [Row(*row) for row in session.execute(query.order_by(*_KEY).limit(limit))]


def read_statements(
    session: ReadSession, extent: Extent, kind: str, sites: Sites, *, provider: str | None,
    after: tuple[str, str] | None, limit: int, matches: Callable[[Statement], bool],
) -> list[Shown]:  # fmt: skip
    """The next `limit` records of a kind (not observations) that the reader may see and that `matches`, in order.

    Few of them exist, so what does not match is read and passed over.
    """
    shown: list[Shown] = []
    while len(shown) < limit:
        stored = records.read_page(session, kind, provider=provider, after=after, limit=_TOGETHER)
        for one in stored:
            record = one.statement
            hide = None if isinstance(record, Retraction) else _hidden(session, extent, one.provider, record, sites)
            if hide is not None and matches(record):
                shown.append(Shown(one.provider, one.key, record, hide))
        if len(stored) < _TOGETHER:
            break
        after = (stored[-1].provider, stored[-1].key)
    return shown[:limit]


def _hidden(
    session: ReadSession, extent: Extent, provider: str, record: Statement, sites: Sites
) -> frozenset[str] | None:
    """The members of `record` that the reader does not see; None where it may not see the record at all."""
    if extent.everything or (extent.own and provider == extent.party):
        return frozenset()
    site = site_of(record)
    programmes = sites.programmes(session, provider, [site]) if site else {}
    for dataset, start in zip(extent.datasets, extent.starts, strict=True):
        if dataset.provider != provider or dataset.kind != kind_of(record):
            continue
        begun = start is None or (at := _time_of(record)) is None or at >= start
        if begun and admits_record(dataset, record, programmes):
            return frozenset(dataset.hide)
    return None


def _time_of(record: Statement) -> int | None:
    """When what the record tells of began (ms UTC); None for sites and sources, which are what there is now."""
    match record:
        case Mark() | Inspection():
            return to_millis(record.from_)
        case Case():
            return to_millis(record.at)
    return None


def count_observations(session: ReadSession) -> dict[str, int]:
    """How many current observations are held, by provider."""
    query: Select[Any] = select(_series.c.provider, func.count()).join_from(
        _observation, _series, _observation.c.series_id == _series.c.id
    )
    return {row[0]: row[1] for row in session.execute(query.group_by(_series.c.provider))}


def _earliest(extent: Extent, key: SeriesKey, programmes: dict[str, frozenset[str]]) -> int | Literal[False] | None:
    """From when on `extent` shows a series (ms UTC; None: from its beginning); False where it does not."""
    if extent.everything or (extent.own and key.provider == extent.party):
        return None
    starts = [
        start
        for dataset, start in zip(extent.datasets, extent.starts, strict=True)
        if dataset.kind == "observation" and dataset.provider == key.provider and admits(dataset, key, programmes)
    ]
    if not starts:
        return False
    return None if None in starts else min(start for start in starts if start is not None)


def _reach(visible: Visible) -> Any:
    """The condition that a row is of a visible series, and not from before it may be seen."""
    if visible.since is None:
        return true()
    whole = [number for number, start in visible.since.items() if start is None]
    parts: list[Any] = [_observation.c.series_id.in_(whole)]
    by_start: dict[int, list[int]] = {}
    for number, start in visible.since.items():
        if start is not None:
            by_start.setdefault(start, []).append(number)
    parts += [
        and_(_observation.c.series_id.in_(numbers), _observation.c.at >= start) for start, numbers in by_start.items()
    ]
    return or_(*parts)

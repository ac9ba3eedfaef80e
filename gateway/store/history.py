"""What was measured around some values: bounded windows of many series at once, for the rules that look back.

For the home party's own duties, not for readers: these ask `gateway.store.reading`, which needs an `Extent`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select

from gateway.db import ReadSession
from gateway.store import tables
from gateway.store.interning import SeriesKey
from gateway.store.observations import bucket_of

_CHUNK = 500  # series of one statement

_observation, _series = tables.observation, tables.series


class Span(NamedTuple):
    """From the first to the last instant (ms UTC) of a series that is looked at, and how far around it (ms)."""

    first: int
    last: int
    around: int


class Held(NamedTuple):
    """A current row, as far as a rule looks at it."""

    bucket: int
    series_id: int
    at: int
    sample: str
    rev: int
    value: str | None
    state_id: int
    extra: str | None


def read_around(session: ReadSession, spans: Mapping[int, Span]) -> dict[int, list[Held]]:
    """The current rows of each series around its span, by series: a statement for those of the same days.

    Series that are read together share the outermost bounds of their instants, so there may be some rows more.
    """
    together: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, (first, last, around) in spans.items():
        together[bucket_of(first - around), bucket_of(last + around)].append(number)
    found: dict[int, list[Held]] = defaultdict(list)
    for (first_day, last_day), numbers in together.items():
        since = min(spans[number].first - spans[number].around for number in numbers)
        until = max(spans[number].last + spans[number].around for number in numbers)
        # Day for day, so that the table's key leads to each series: by a range of days it would lead to the days alone.
        query = select(*(_observation.c[name] for name in Held._fields)).where(
            _observation.c.bucket.in_(range(first_day, last_day + 1)), _observation.c.at.between(since, until)
        )
        for start in range(0, len(numbers), _CHUNK):
            chunk = numbers[start : start + _CHUNK]
            for row in session.execute(query.where(_observation.c.series_id.in_(chunk))).all():
                found[row[1]].append(Held._make(row))
    return found


def series_at(
    session: ReadSession, provider: str, places: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], dict[int, SeriesKey]]:
    """Every series of `provider` at these `places` (site, factor), by place; one without any is empty."""
    wanted = set(places)
    sites: Sequence[str] = sorted({site for site, _ in wanted})
    found: dict[tuple[str, str], dict[int, SeriesKey]] = {place: {} for place in wanted}
    for start in range(0, len(sites), _CHUNK):
        query = select(_series).where(_series.c.provider == provider, _series.c.site.in_(sites[start : start + _CHUNK]))
        for row in session.execute(query):
            if (row.site, row.factor) in wanted:
                found[row.site, row.factor][row.id] = SeriesKey(*row[1:])
    return found

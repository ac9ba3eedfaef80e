"""Three stores, read from their databases and compared record by record with what was handed in.

By full key, revision and content: current records, every earlier revision, sites. Whole records are compared, so a
digit, a unit, a flag or the time of sending that differs is a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import select

from gateway.db import ReadSession
from gateway.demo.workload import Revision, revision_of
from gateway.store import tables
from gateway.store.interning import SeriesKey, State
from gateway.store.lines import record_of
from gateway.store.observations import Row
from schemas.records import Record, decode_line

Store = Mapping[Revision, Record]


@dataclass
class Comparison:
    """What came of it. `replicated` counts revisions found, as they should be, at parties that did not provide them.

    `missing` counts places where a revision is not held, or not with this content; `unexpected` ones that nobody handed
    in. `problems` names the first few of both.
    """

    replicated: int = 0
    missing: int = 0
    unexpected: int = 0
    problems: list[str] = field(default_factory=list)


def read_store(session: ReadSession) -> tuple[dict[Revision, Record], int]:
    """Everything a gateway holds, current and history, and how many revisions it holds twice."""
    series = {row.id: SeriesKey(*row[1:]) for row in session.execute(select(tables.series))}
    states = {row.id: msgspec.json.decode(row.body, type=State) for row in session.execute(select(tables.state))}
    held: dict[Revision, Record] = {}
    times: Counter[Revision] = Counter()
    for table in (tables.observation, tables.observation_history):
        for row in session.execute(select(*(table.c[name] for name in Row._fields))):
            key = series[row.series_id]
            # When a logger's packet came is the gateway's to say, and nobody's to expect.
            record = record_of(Row(*row)._replace(received=None), key, states[row.state_id])
            revision = revision_of(key.provider, record)
            held[revision] = record
            times[revision] += 1
    for table in (tables.record, tables.record_history):
        for row in session.execute(select(table)):
            statement = decode_line(row.line)
            revision = revision_of(row.provider, statement)
            held[revision] = statement
            times[revision] += 1
    return held, sum(count - 1 for count in times.values())


def compare(expected: Store, stores: Mapping[str, Store]) -> Comparison:
    """Whether each of `stores`, by party, holds exactly what is `expected`."""
    found = Comparison()
    for party, store in stores.items():
        for revision, record in expected.items():
            held = store.get(revision)
            if held == record:
                found.replicated += revision.provider != party
                continue
            found.missing += 1
            _tell(found, f"{party} holds {held} instead of {record} of {revision.provider}")
        strangers = [revision for revision in store if revision not in expected]
        found.unexpected += len(strangers)
        for revision in strangers:
            _tell(found, f"{party} holds {revision}, which nobody handed in")
    return found


def _tell(found: Comparison, problem: str) -> None:
    if len(found.problems) < 10:
        found.problems.append(problem)

"""What a dataset selects of the records that were here before it: queued once, when the dataset begins.

The door queues what comes in for the datasets of that moment. A dataset that begins later, or selects more than it did,
has a backlog: sites and sources as they stand, since nobody can start without them, and of what has a time as much as
the widest reach of its recipients. Readings are queued day by day, a transaction for each, so that a large store holds
up nobody. What is queued twice (it came in while we looked) is the same revision again, which changes nothing.

What is true if we stop here: the row says from which day on to go on.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime

import msgspec
from sqlalchemy import delete, insert, select, update

from gateway.db import Database, ReadSession, WriteSession
from gateway.store import backlog as rows
from gateway.store import queue, tables
from gateway.store.interning import Interning
from gateway.store.selection import Programmes, admits, admits_record, site_of
from gateway.store.sites import Sites
from partners.plans import Plans
from schemas.plan import Dataset, Selection
from schemas.times import millis_of

_STANDING = ("site", "source")  # current ones belong to a dataset whatever its reach
_FROM_THE_BEGINNING = 0  # ms UTC


class Backlog:
    """The beginnings of the home party's datasets; one for each publisher, of however many processes."""

    def __init__(self, home: str, database: Database, interning: Interning, sites: Sites) -> None:
        self._home = home
        self._database = database
        self._interning = interning
        self._sites = sites
        self._seen: dict[str, str] = {}  # what each dataset selected when it was looked at last
        self._open = True  # there may be a backlog: after a start, and whenever a dataset has changed

    def follow(self, plans: Plans, *, now: int) -> None:
        """Note which datasets begin, change or have ended under the `plans` in force at `now` (ms UTC)."""
        given = {one.id: one for one in plans.provided_by(self._home) if one.recipients and one.kind != "agreement"}
        selected = {name: _selected(dataset) for name, dataset in given.items()}
        if selected == self._seen:
            return
        with self._database.write() as session:
            begun = {row.dataset: row.selected for row in session.execute(select(tables.begun))}
            for name in begun.keys() - given.keys():
                # Should it come back, what came in meanwhile is its backlog.
                session.execute(delete(tables.begun).where(tables.begun.c.dataset == name))
                session.execute(delete(tables.backlog).where(tables.backlog.c.dataset == name))
            for name, dataset in given.items():
                if begun.get(name) != selected[name]:
                    self._begin(session, dataset, begun.get(name), selected[name], now)
        self._seen, self._open = selected, True

    def work(self, plans: Plans, *, now: int) -> bool:
        """Queue one more day of one dataset's backlog; False when there is none left. `now` in ms UTC."""
        if not self._open:
            return False
        with self._database.read() as session:
            waiting = session.execute(select(tables.backlog.c.dataset).limit(1)).scalar()
        if waiting is None:
            self._open = False
            return False
        with self._database.write() as session:
            row = rows.lock(session, waiting)
            found = plans.dataset(self._home, waiting)
            if row is None:
                return True  # another process has just done it
            bucket = None
            if found is not None:
                before = _dataset_before(found[1], row.selected_before)
                bucket = self._queue_day(session, found[1], before, row, now)
            here = tables.backlog.c.dataset == waiting
            if bucket is None:
                session.execute(delete(tables.backlog).where(here))
            else:
                session.execute(update(tables.backlog).where(here).values(bucket=bucket + 1))
        return True

    def _begin(self, session: WriteSession, dataset: Dataset, before: str | None, selected: str, now: int) -> None:
        session.execute(delete(tables.begun).where(tables.begun.c.dataset == dataset.id))
        session.execute(insert(tables.begun).values(dataset=dataset.id, selected=selected))
        since = _reach(dataset)
        if dataset.kind == "observation":
            if since is not None:
                rows.add(session, dataset.id, before or "", since=since)
            return
        if since is not None or dataset.kind in _STANDING:
            self._queue_statements(session, dataset, _dataset_before(dataset, before or ""), now)

    def _queue_statements(self, session: WriteSession, dataset: Dataset, before: Dataset | None, now: int) -> None:
        chosen = []
        for stored in rows.current_statements(session, self._home, dataset.kind):
            record = stored.statement
            known = self._programmes(session, site_of(record))
            if admits_record(dataset, record, known) and not (before and admits_record(before, record, known)):
                chosen.append((stored.key, stored.rev))
        queue.enqueue(session, dataset.id, dataset.kind, chosen, at=now)

    def _queue_day(
        self, session: WriteSession, dataset: Dataset, before: Dataset | None, row: rows.Waiting, now: int
    ) -> int | None:
        """Queue the next day that has readings; which it was, or None where none is left."""
        bucket = rows.next_day(session, row.bucket)
        if bucket is None:
            return None
        series = self._interning.series(session, rows.series_of_day(session, bucket))
        own = {number: key for number, key in series.items() if key.provider == self._home}
        known = self._sites.programmes(session, self._home, {key.site for key in own.values()})
        wanted = {
            number
            for number, key in own.items()
            if admits(dataset, key, known) and not (before and admits(before, key, known))
        }
        keys = rows.keys_of_day(session, bucket, wanted, since=row.since) if wanted else []
        queue.enqueue(session, dataset.id, "observation", keys, at=now)
        return bucket

    def _programmes(self, session: ReadSession, site: str) -> Programmes:
        return self._sites.programmes(session, self._home, [site]) if site else {}


def _selected(dataset: Dataset) -> str:
    """What decides about a dataset's backlog, as text that can be compared and read again."""
    chosen = {
        one.name: sorted(names) for one in fields(Selection) if (names := getattr(dataset.select, one.name)) is not None
    }
    return msgspec.json.encode({"kind": dataset.kind, "select": chosen, "since": _reach(dataset)}).decode()


def _dataset_before(dataset: Dataset, selected: str) -> Dataset | None:
    """The dataset as far as it had selected before, None where it selected nothing, or did not reach as far back."""
    if not selected:
        return None
    held = msgspec.json.decode(selected)
    reach, reached = _reach(dataset), held["since"]
    if held["kind"] != dataset.kind or (reach is not None and (reached is None or reach < reached)):
        return None
    return replace(dataset, select=Selection(**{name: frozenset(names) for name, names in held["select"].items()}))


def _reach(dataset: Dataset) -> int | None:
    """From when on some recipient may see records (ms UTC); None where all see only what comes."""
    reaches = [dataset.reach(one.party) for one in dataset.recipients]
    if "all" in reaches:
        return _FROM_THE_BEGINNING
    instants = [millis_of(one) for one in reaches if isinstance(one, datetime)]
    return min(instants, default=None)

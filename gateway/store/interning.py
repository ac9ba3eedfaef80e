"""Series and states: repeated text as small integers, remembered by the process.

Both tables only grow and their rows never change, so a process may remember them for ever. A new row is written in a
transaction of its own, before the one that uses it: were it part of that one, a rollback would leave the process
remembering a number that the database never kept. An unused row left behind by a crash harms nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database, ReadSession, WriteSession
from gateway.store import tables
from schemas.records import Observation


class SeriesKey(NamedTuple):
    """What stays the same from one reading to the next."""

    provider: str
    site: str
    factor: str
    origin: str
    stat: str
    period: str


class State(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The content members besides the value, as most readings of a series repeat them.

    `retracted`: the reading no longer holds; then there is nothing else to say of it.
    """

    q: str | None = None
    unit: str | None = None
    flag: str = ""
    profile: str = ""
    review: str = "raw"
    method: str = ""
    instrument: str = ""
    detection: str = ""
    determination: str = ""
    nondetects: str | None = None
    retracted: bool = False

    @classmethod
    def of(cls, record: Observation) -> State:
        return cls(
            record.q, record.unit, record.flag, record.profile, record.review,
            record.method, record.instrument, record.detection, record.determination, record.nondetects,
        )  # fmt: skip

    @property
    def body(self) -> str:
        return msgspec.json.encode(self).decode()


RETRACTED = State(retracted=True)

_CHUNK = 500  # keys asked for in one statement; SQLite takes 32,766 parameters


class Interning:
    """Both tables behind one process-wide memory. Reading it needs no lock: entries are only ever added."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._adding = threading.Lock()  # one thread at a time asks for new numbers
        self._series: dict[SeriesKey, int] = {}
        self._series_by_id: dict[int, SeriesKey] = {}
        self._states: dict[State, int] = {}
        self._states_by_id: dict[int, State] = {}

    def series_ids(self, keys: Sequence[SeriesKey]) -> list[int]:
        """The number of every key, in their order; new ones are given one."""
        known = self._series
        missing = list({key for key in keys if key not in known})
        if missing:
            with self._adding:
                with self._database.write() as session:
                    _insert(session, tables.series, [key._asdict() for key in missing])
                    found = list(_find_series(session, missing))
                for number, key in found:  # committed by now: nobody is given a number that may yet be undone
                    self._remember_series(number, key)
        return [known[key] for key in keys]

    def state_ids(self, states: Sequence[State]) -> list[int]:
        """The number of every state, in their order; new ones are given one."""
        known = self._states
        missing = {state.body: state for state in states if state not in known}
        if missing:
            with self._adding:
                with self._database.write() as session:
                    _insert(session, tables.state, [{"body": body} for body in missing])
                    found = list(_find_states(session, list(missing)))
                for number, body in found:
                    self._remember_state(number, missing[body])
        return [known[state] for state in states]

    def find_state(self, session: ReadSession, state: State) -> int | None:
        """The number of `state`, None where no reading has ever been in it."""
        if state not in self._states:
            for number, _ in _find_states(session, [state.body]):
                self._remember_state(number, state)
        return self._states.get(state)

    def series(self, session: ReadSession, numbers: Iterable[int]) -> dict[int, SeriesKey]:
        """The keys behind `numbers`."""
        wanted = set(numbers)
        missing = [number for number in wanted if number not in self._series_by_id]
        for start in range(0, len(missing), _CHUNK):
            query = select(tables.series).where(tables.series.c.id.in_(missing[start : start + _CHUNK]))
            for row in session.execute(query):
                self._remember_series(row.id, SeriesKey(*row[1:]))
        return {number: self._series_by_id[number] for number in wanted}

    def states(self, session: ReadSession, numbers: Iterable[int]) -> dict[int, State]:
        """The states behind `numbers`."""
        wanted = set(numbers)
        missing = [number for number in wanted if number not in self._states_by_id]
        for start in range(0, len(missing), _CHUNK):
            query = select(tables.state).where(tables.state.c.id.in_(missing[start : start + _CHUNK]))
            for row in session.execute(query):
                self._remember_state(row.id, msgspec.json.decode(row.body, type=State))
        return {number: self._states_by_id[number] for number in wanted}

    def _remember_series(self, number: int, key: SeriesKey) -> None:
        self._series_by_id[number] = key
        self._series[key] = number

    def _remember_state(self, number: int, state: State) -> None:
        self._states_by_id[number] = state
        self._states[state] = number


def _insert(session: WriteSession, table: Table, rows: list[dict[str, str]]) -> None:
    dialect = postgresql if session.dialect.name == "postgresql" else sqlite
    # Sorted, so that two processes adding the same rows wait for each other instead of for ever.
    ordered = sorted(rows, key=lambda row: tuple(row.values()))
    session.execute(dialect.insert(table).on_conflict_do_nothing(), ordered)


def _find_series(session: ReadSession, keys: list[SeriesKey]) -> Iterable[tuple[int, SeriesKey]]:
    columns = [tables.series.c[name] for name in SeriesKey._fields]
    for start in range(0, len(keys), _CHUNK):
        query = select(tables.series).where(tuple_(*columns).in_(keys[start : start + _CHUNK]))
        for row in session.execute(query):
            yield row.id, SeriesKey(*row[1:])


def _find_states(session: ReadSession, bodies: list[str]) -> Iterable[tuple[int, str]]:
    for start in range(0, len(bodies), _CHUNK):
        query = select(tables.state.c.id, tables.state.c.body)
        for row in session.execute(query.where(tables.state.c.body.in_(bodies[start : start + _CHUNK]))):
            yield row.id, row.body

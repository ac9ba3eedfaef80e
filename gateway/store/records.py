"""Records of every kind but observation: the current line of each, and the ones before it.

Few of them, rarely changed, so each is its own statement and is kept as its line. The rules are those of observations:
nothing is overwritten, the highest revision is current. A retraction is the next revision of what it withdraws, and
what is current may therefore be one; then nothing holds under that key. Marks and steps of cases are never revised,
only withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Table, insert, or_, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from gateway.store.acts import Act
from schemas.cases import CaseStates
from schemas.records import (
    IMMUTABLE,
    Case,
    Mark,
    Retraction,
    Statement,
    decode_open_line,
    encode_record,
    key_of,
    kind_of,
)

_CONTENTLESS = {"rev": 0, "reason": ""}  # members that a revision carries but does not consist of
_CHUNK = 500  # keys of one statement
_record, _history = tables.record, tables.record_history


class Stored(NamedTuple):
    """One revision of one record, as its line. `kind` is that of what a retraction withdraws."""

    provider: str
    kind: str
    key: str
    rev: int
    line: bytes

    @property
    def statement(self) -> Statement:
        """The record of the line; members of a later schema version stay in the line."""
        return decode_open_line(self.line)[0]  # type: ignore[return-value]  # no observation is kept as a line


class Outcome(NamedTuple):
    """What became of a record: `verdict` is accepted, revised, duplicate or refused (then `code` says why).

    `before` is what was held under its key, itself perhaps a retraction.
    """

    verdict: str
    rev: int
    code: str = ""
    current: bool = True  # False where a higher revision is held already
    before: Statement | None = None


def stored_as(record: Statement) -> tuple[str, str]:
    """The kind and key under which a record is held: a retraction under those of what it withdraws."""
    kind = record.of if isinstance(record, Retraction) else kind_of(record)
    return kind, key_of(record)


def take_record(session: WriteSession, act: Act, record: Statement, line: bytes) -> Outcome:
    """Store one record of the act's provider, received as `line`.

    Handed in at home its revision is assigned, and a change must say why; a partner's line is kept as it is.
    """
    kind, key = stored_as(record)
    old = _current(session, act.provider, kind, key)
    if old is None:
        if act.submitted and isinstance(record, Retraction):
            return Outcome("refused", 0, "record.nothing-to-retract")
        rev = 1 if act.submitted else record.rev
        new = Stored(act.provider, kind, key, rev, _numbered(record, rev) if act.submitted else line)
        _insert(session, _record, new, act.id)
        return Outcome("accepted", rev)
    before = old.statement
    same = _content(record) == _content(before)
    if act.submitted:
        return _revise_at_home(session, old, before, record, act.id, same=same)
    return _apply(session, old, before, record, line, act.id, same=same)


def fetch(session: ReadSession, provider: str, kind: str, wanted: Sequence[tuple[str, int]]) -> list[Stored]:
    """Exactly these revisions (key, rev), whether current by now or history, in the order asked for."""
    found: dict[tuple[str, int], Stored] = {}
    keys = sorted({key for key, _ in wanted})
    for table in (_record, _history):
        for start in range(0, len(keys), _CHUNK):
            query = _of_kind(table, provider, kind).where(table.c.key.in_(keys[start : start + _CHUNK]))
            found.update(((stored.key, stored.rev), stored) for stored in map(_stored, session.execute(query)))
    return [found[one] for one in wanted if one in found]


def current_record(session: ReadSession, provider: str, kind: str, key: str) -> Statement | None:
    """The record that holds under this key; None where there is none or it was withdrawn."""
    stored = session.execute(_of_kind(_record, provider, kind).where(_record.c.key == key)).first()
    return _holding(_stored(stored)) if stored else None


def withdrawn(session: ReadSession, stored: Stored) -> Statement | None:
    """What the retraction `stored` withdrew: the newest revision before it that is not one itself."""
    query = _of_kind(_history, stored.provider, stored.kind).where(_history.c.key == stored.key)
    query = query.where(_history.c.rev < stored.rev).order_by(_history.c.rev.desc())
    return next((one for row in session.execute(query) if (one := _holding(_stored(row))) is not None), None)


def marks_of(session: ReadSession, provider: str, sites: Sequence[str]) -> dict[str, list[Mark]]:
    """The marks that hold, by site; a site without any is absent."""
    found: dict[str, list[Mark]] = {}
    for start in range(0, len(sites), _CHUNK):
        of_sites = (_record.c.key.startswith(f"{site} ", autoescape=True) for site in sites[start : start + _CHUNK])
        for row in session.execute(_of_kind(_record, provider, "mark").where(or_(*of_sites))):
            mark = _holding(_stored(row))
            if isinstance(mark, Mark):
                found.setdefault(mark.site, []).append(mark)
    return found


def steps_of(session: ReadSession, case: str) -> list[Case]:
    """The steps of a case that hold, whichever party took them, in their order."""
    query = select(*_COLUMNS).where(_record.c.kind == "case", _record.c.key.startswith(f"{case} ", autoescape=True))
    steps = [_holding(_stored(row)) for row in session.execute(query)]
    return sorted((step for step in steps if isinstance(step, Case)), key=lambda step: (step.step, step.at))


def open_cases(session: ReadSession, home: str, others: Collection[str], states: CaseStates) -> list[str]:
    """The cases between `home` and any of `others` that are not over, sorted."""
    query = select(*_COLUMNS).where(_record.c.kind == "case")
    cases: dict[str, list[Case]] = {}
    for row in session.execute(query):
        step = _holding(_stored(row))
        if isinstance(step, Case):
            cases.setdefault(step.case, []).append(step)
    found = []
    for name, steps in cases.items():
        parties = {party for step in steps for party in (step.from_, *step.to)}
        last = max(steps, key=lambda step: (step.step, step.at))
        if home in parties and not parties.isdisjoint({*others} - {home}) and not states.is_over(last.type, last.state):
            found.append(name)
    return sorted(found)


def read_page(
    session: ReadSession, kind: str, *, provider: str | None, after: tuple[str, str] | None, limit: int
) -> list[Stored]:
    """The next `limit` current lines of a kind after `after` (provider, key), in that order; retractions among them.

    For `gateway.store.reading`, which knows how much of it somebody may see.
    """
    query = select(*_COLUMNS).where(_record.c.kind == kind)
    if provider is not None:
        query = query.where(_record.c.provider == provider)
    if after is not None:
        past = (_record.c.provider == after[0]) & (_record.c.key > after[1])
        query = query.where((_record.c.provider > after[0]) | past)
    return [_stored(row) for row in session.execute(query.order_by(_record.c.provider, _record.c.key).limit(limit))]


def _revise_at_home(
    session: WriteSession, old: Stored, before: Statement, record: Statement, act_id: int, *, same: bool
) -> Outcome:
    if same:
        return Outcome("duplicate", old.rev, before=before)
    if old.kind in IMMUTABLE and not isinstance(before, Retraction) and not isinstance(record, Retraction):
        return Outcome("refused", old.rev, "record.immutable", before=before)
    if not record.reason:
        return Outcome("refused", old.rev, "record.reason-required", before=before)
    _replace(session, old, _numbered(record, old.rev + 1), old.rev + 1, act_id)
    return Outcome("revised", old.rev + 1, before=before)


def _apply(
    session: WriteSession, old: Stored, before: Statement, record: Statement, line: bytes, act_id: int, *, same: bool
) -> Outcome:
    if record.rev > old.rev:
        _replace(session, old, line, record.rev, act_id)
        return Outcome("revised", record.rev, before=before)
    if record.rev < old.rev:
        earlier = fetch(session, old.provider, old.kind, [(old.key, record.rev)])
        if not earlier:
            _insert(session, _history, old._replace(rev=record.rev, line=line), act_id)
            return Outcome("revised", record.rev, current=False, before=before)
        same = _content(record) == _content(earlier[0].statement)
    if same:
        return Outcome("duplicate", record.rev, before=before)
    return Outcome("refused", record.rev, "record.rev-conflict", before=before)


def _replace(session: WriteSession, old: Stored, line: bytes, rev: int, act_id: int) -> None:
    here = [_record.c.provider == old.provider, _record.c.kind == old.kind, _record.c.key == old.key]
    columns = [column.name for column in _record.columns]
    session.execute(insert(_history).from_select(columns, select(_record).where(*here)))
    session.execute(_record.update().where(*here).values(rev=rev, line=line, act_id=act_id))


_COLUMNS = [_record.c[name] for name in Stored._fields]


def _of_kind(table: Table, provider: str, kind: str) -> Any:
    columns = (table.c[name] for name in Stored._fields)
    return select(*columns).where(table.c.provider == provider, table.c.kind == kind)


def _stored(row: Any) -> Stored:
    return Stored(*row)


def _holding(stored: Stored) -> Statement | None:
    statement = stored.statement
    return None if isinstance(statement, Retraction) else statement


def _current(session: ReadSession, provider: str, kind: str, key: str) -> Stored | None:
    query = _of_kind(_record, provider, kind).where(_record.c.key == key)
    if session.dialect.name == "postgresql":
        query = query.with_for_update()
    row = session.execute(query).first()
    return _stored(row) if row else None


def _insert(session: WriteSession, table: Table, stored: Stored, act_id: int) -> None:
    session.execute(insert(table).values(**stored._asdict(), act_id=act_id))


def _numbered(record: Statement, rev: int) -> bytes:
    return encode_record(msgspec.structs.replace(record, rev=rev))


def _content(record: Statement) -> Statement:
    return msgspec.structs.replace(record, **_CONTENTLESS)

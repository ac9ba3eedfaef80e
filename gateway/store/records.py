"""Records of every kind but observation: the current line of each, and the lines before it.

There are thousands of these, not millions, so they are kept as the line they came as, one row each. The same rules
hold as for observations: equal content is a duplicate, another content a new revision, the highest revision current.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import insert, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from gateway.store.acts import Act
from schemas.records import Site, encode_record

_CONTENTLESS = {"rev": 0, "reason": ""}  # members that a revision carries but does not consist of


class Stored(NamedTuple):
    """One revision of one record, as its line."""

    provider: str
    kind: str
    key: str
    rev: int
    line: bytes


class Outcome(NamedTuple):
    """What became of a record: `verdict` is accepted, revised, duplicate or refused (then `code` says why)."""

    verdict: str
    rev: int
    code: str = ""
    current: bool = True  # False where a higher revision is held already


def take_record(session: WriteSession, act: Act, record: Site) -> Outcome:
    """Store one record of the act's provider. Handed in at home, its revision is assigned and a change must say why."""
    old = _current(session, act.provider, "site", record.id)
    if old is None:
        rev = 1 if act.submitted else record.rev
        _insert(session, tables.record, Stored(act.provider, "site", record.id, rev, _line(record, rev)), act.id)
        return Outcome("accepted", rev)
    same = _content(record) == _content(msgspec.json.decode(old.line, type=Site))
    if act.submitted:
        return _revise_at_home(session, old, record, act.id, same=same)
    return _apply(session, old, record, act.id, same=same)


def fetch(session: ReadSession, provider: str, kind: str, wanted: list[tuple[str, int]]) -> list[Stored]:
    """Exactly these revisions (key, rev), whether current by now or history, in the order asked for."""
    found = []
    for key, rev in wanted:
        for table in (tables.record, tables.record_history):
            query = select(table).where(
                table.c.provider == provider, table.c.kind == kind, table.c.key == key, table.c.rev == rev
            )
            row = session.execute(query).first()
            if row is not None:
                found.append(Stored(row.provider, row.kind, row.key, row.rev, row.line))
                break
    return found


def _revise_at_home(session: WriteSession, old: Stored, record: Site, act_id: int, *, same: bool) -> Outcome:
    if same:
        return Outcome("duplicate", old.rev)
    if not record.reason:
        return Outcome("refused", old.rev, "record.reason-required")
    _replace(session, old, _line(record, old.rev + 1), old.rev + 1, act_id)
    return Outcome("revised", old.rev + 1)


def _apply(session: WriteSession, old: Stored, record: Site, act_id: int, *, same: bool) -> Outcome:
    if record.rev > old.rev:
        _replace(session, old, _line(record, record.rev), record.rev, act_id)
        return Outcome("revised", record.rev)
    held = old
    if record.rev < old.rev:
        earlier = fetch(session, old.provider, old.kind, [(old.key, record.rev)])
        if not earlier:
            _insert(
                session, tables.record_history, old._replace(rev=record.rev, line=_line(record, record.rev)), act_id
            )
            return Outcome("revised", record.rev, current=False)
        held = earlier[0]
        same = _content(record) == _content(msgspec.json.decode(held.line, type=Site))
    return Outcome("duplicate", held.rev) if same else Outcome("refused", held.rev, "record.rev-conflict")


def _replace(session: WriteSession, old: Stored, line: bytes, rev: int, act_id: int) -> None:
    table = tables.record
    here = [table.c.provider == old.provider, table.c.kind == old.kind, table.c.key == old.key]
    columns = [column.name for column in table.columns]
    session.execute(insert(tables.record_history).from_select(columns, select(table).where(*here)))
    session.execute(table.update().where(*here).values(rev=rev, line=line, act_id=act_id))


def _current(session: ReadSession, provider: str, kind: str, key: str) -> Stored | None:
    table = tables.record
    query = select(table).where(table.c.provider == provider, table.c.kind == kind, table.c.key == key)
    if session.dialect.name == "postgresql":
        query = query.with_for_update()
    row = session.execute(query).first()
    return Stored(row.provider, row.kind, row.key, row.rev, row.line) if row else None


def _insert(session: WriteSession, table: object, stored: Stored, act_id: int) -> None:
    session.execute(insert(table).values(**stored._asdict(), act_id=act_id))  # type: ignore[arg-type]


def _line(record: Site, rev: int) -> bytes:
    return encode_record(msgspec.structs.replace(record, rev=rev))


def _content(record: Site) -> Site:
    return msgspec.structs.replace(record, **_CONTENTLESS)

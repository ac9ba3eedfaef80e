"""Observations in bulk: take a set of rows, keep every revision, hand them out again by key.

One bulk statement a step, never a statement a row in the ordinary case. New rows go in with one INSERT … SELECT from a
staging table; only rows that met another with their key are looked at one by one.

Applying is commutative: the highest revision is current, lower ones become history, whatever order they come in.
A record is never overwritten: what was there goes to history in the statement before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    delete,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from schemas.times import DAY


class Row(NamedTuple):
    """An observation as it is stored; `at`, `sent`, `received` in milliseconds UTC."""

    bucket: int
    series_id: int
    at: int
    sample: str
    rev: int
    value: str | None
    state_id: int
    link: str | None
    sent: int | None
    received: int | None
    extra: str | None

    @property
    def content(self) -> tuple[object, ...]:
        """What a revision changes. Transport facts are outside: a logger's re-send is a duplicate."""
        return self.value, self.state_id, self.link

    @property
    def key(self) -> tuple[int, int, int, str]:
        return self[:4]


class Key(NamedTuple):
    """Which revision of which observation: what the publisher's queue holds."""

    bucket: int
    series_id: int
    at: int
    sample: str
    rev: int


@dataclass
class Taken:
    """What became of each row, by its position in what was given.

    `accepted` and `revised` map to the revision they got. `refused` rows differ from what is there without saying why
    (at home), or contradict a revision we already hold (from a provider): the second is an alarm.
    """

    accepted: dict[int, int] = field(default_factory=dict)
    revised: dict[int, int] = field(default_factory=dict)
    duplicates: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)


_observation, _history = tables.observation, tables.observation_history
_KEY = ("bucket", "series_id", "at", "sample")
_COLUMNS = Row._fields

_stage = Table(
    "stage",
    MetaData(),
    Column("ord", Integer),
    Column("bucket", Integer),
    Column("series_id", BigInteger),
    Column("at", BigInteger),
    Column("sample", Text),
    Column("rev", Integer),
    Column("value", Text),
    Column("state_id", BigInteger),
    Column("link", Text),
    Column("sent", BigInteger),
    Column("received", BigInteger),
    Column("extra", Text),
)


def bucket_of(at: int) -> int:
    """The day an instant (ms UTC) belongs to in the key."""
    return at // DAY


def take_submitted(
    session: WriteSession, rows: Sequence[Row], act_id: int, *, revisions: Sequence[Row | None],
    withdrawing: Collection[int] = (),
) -> Taken:  # fmt: skip
    """Store rows handed in at home: revisions are assigned here.

    Where another value is held, `revisions[i]` takes its place, which says why; None there is a refusal. Rows at the
    positions `withdrawing` are retractions: where nothing is held under their key there is nothing to withdraw.
    """
    taken = Taken()

    def meet(position: int, row: Row, old: Row) -> None:
        if row.content == old.content:
            taken.duplicates.add(position)
        elif (revision := revisions[position]) is None:
            taken.refused[position] = "record.reason-required"
        else:
            _replace(session, old, revision._replace(rev=old.rev + 1), act_id)
            taken.revised[position] = old.rev + 1

    numbered = [row if row.rev == 1 else row._replace(rev=1) for row in rows]
    _take(session, numbered, act_id, taken, meet, withdrawing=withdrawing)
    return taken


def take_received(session: WriteSession, rows: Sequence[Row], act_id: int) -> Taken:
    """Store rows of a provider, whose revisions it assigned: apply them in whatever order they come."""
    taken = Taken()

    def meet(position: int, row: Row, old: Row) -> None:
        if row.rev > old.rev:
            _replace(session, old, row, act_id)
            taken.revised[position] = row.rev
        elif row.rev == old.rev:
            _compare(position, row, old)
        else:
            earlier = _earlier(session, row)
            if earlier is None:
                session.execute(insert(_history), [{**row._asdict(), "act_id": act_id}])
                taken.revised[position] = row.rev
            else:
                _compare(position, row, earlier)

    def _compare(position: int, row: Row, held: Row) -> None:
        if row.content == held.content:
            taken.duplicates.add(position)
        else:
            taken.refused[position] = "record.rev-conflict"

    _take(session, rows, act_id, taken, meet)
    return taken


def fetch(session: ReadSession, keys: Iterable[Key]) -> list[Row]:
    """The rows of exactly these revisions, in key order, whether current by now or history."""
    wanted = list(keys)
    _load_stage(session, [(i, *key, None, None, None, None, None, None) for i, key in enumerate(wanted)])
    return sorted(Row(*found) for table in (_observation, _history) for found in session.execute(_same_revision(table)))


def _take(
    session: WriteSession, rows: Sequence[Row], act_id: int, taken: Taken, meet: Any,
    *, withdrawing: Collection[int] = (),
) -> None:  # fmt: skip
    """New keys go in at once; `meet(position, row, old)` decides where a key is there already."""
    if not rows:
        return
    first: dict[tuple[int, int, int, str], int] = {}
    again: list[int] = []  # a key that comes twice in one submission meets its own first value
    for position, row in enumerate(rows):
        if position in withdrawing or first.setdefault(row.key, position) != position:
            again.append(position)
    positions = list(first.values()) if again else range(len(rows))
    staged = [(position, *rows[position]) for position in positions]
    met: set[int] = set()
    if staged and _insert_new(session, staged, act_id) < len(staged):
        for position, *old in session.execute(_existing(session, act_id)).all():
            met.add(position)
            meet(position, rows[position], Row(*old))
    taken.accepted.update((position, rows[position].rev) for position in positions if position not in met)
    for position in again:  # rare, and in order
        current = session.execute(_by_key(session, rows[position])).first()
        if current is None:
            taken.refused[position] = "record.nothing-to-retract"
        else:
            meet(position, rows[position], Row(*current))


def _load_stage(session: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    on_sqlite = session.dialect.name == "sqlite"
    session.exec_driver_sql(_CREATE_STAGE if on_sqlite else _CREATE_STAGE + " ON COMMIT DELETE ROWS")
    session.execute(delete(_stage))  # a transaction may use it more than once
    if on_sqlite:
        if rows:
            session.exec_driver_sql(f"INSERT INTO stage VALUES ({', '.join('?' * 12)})", list(rows))
        return
    driver = session.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy("COPY stage FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_STAGE_TYPES)
        for row in rows:
            copy.write_row(row)


_INSERT_NEW = (
    f"INSERT INTO observation ({', '.join(_COLUMNS)}, act_id) VALUES ({', '.join('?' * 12)}) ON CONFLICT DO NOTHING"
)
_CREATE_STAGE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS stage (ord integer, bucket integer, series_id bigint, at bigint, sample text,"
    " rev integer, value text, state_id bigint, link text, sent bigint, received bigint, extra text)"
)
_STAGE_TYPES = (
    "int4", "int4", "int8", "int8", "text", "int4", "text", "int8", "text", "int8", "int8", "text",
)  # fmt: skip


def _insert_new(session: Connection, staged: Sequence[tuple[Any, ...]], act_id: int) -> int:
    """Put in the rows whose key is new; how many those were. Where it is fewer than came, all are in the stage."""
    if session.dialect.name == "sqlite":
        # There the stage costs more than the rows themselves, and is only needed to find what they met.
        inserted = session.exec_driver_sql(_INSERT_NEW, [(*row[1:], act_id) for row in staged]).rowcount
        if inserted < len(staged):
            _load_stage(session, staged)
        return inserted
    _load_stage(session, staged)
    # In key order: two writers that meet the same keys then wait for each other instead of for ever.
    source = select(*(_stage.c[name] for name in _COLUMNS), literal(act_id, BigInteger))
    source = source.order_by(*(_stage.c[name] for name in _KEY))
    statement = postgresql.insert(_observation).from_select([*_COLUMNS, "act_id"], source).on_conflict_do_nothing()
    # SQLAlchemy loses the count of an INSERT unless it is asked for, and then every row would be looked for again.
    return session.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def _same_key(table: Table) -> Any:
    return and_(*(table.c[name] == _stage.c[name] for name in _KEY))


def _existing(session: Connection, act_id: int) -> Select[Any]:
    query = (
        select(_stage.c.ord, *(_observation.c[name] for name in _COLUMNS))
        .join_from(_stage, _observation, _same_key(_observation))
        .where(_observation.c.act_id != act_id)
        .order_by(*(_stage.c[name] for name in _KEY))
    )
    # Locked, so that what we decide by is still there when we replace it.
    return query.with_for_update(of=_observation) if session.dialect.name == "postgresql" else query


def _same_revision(table: Table) -> Select[Any]:
    columns = (table.c[name] for name in _COLUMNS)
    return select(*columns).join_from(_stage, table, and_(_same_key(table), table.c.rev == _stage.c.rev))


def _by_key(session: Connection, row: Row) -> Select[Any]:
    query = select(*(_observation.c[name] for name in _COLUMNS))
    query = query.where(*(_observation.c[name] == getattr(row, name) for name in _KEY))
    return query.with_for_update() if session.dialect.name == "postgresql" else query


def _earlier(session: Connection, row: Row) -> Row | None:
    query = select(*(_history.c[name] for name in _COLUMNS)).where(
        *(_history.c[name] == getattr(row, name) for name in (*_KEY, "rev"))
    )
    found = session.execute(query).first()
    return Row(*found) if found else None


def _replace(session: Connection, old: Row, new: Row, act_id: int) -> None:
    here = [_observation.c[name] == getattr(old, name) for name in _KEY]
    columns = [*_COLUMNS, "act_id"]
    keep = select(*(_observation.c[name] for name in columns)).where(*here)
    session.execute(insert(_history).from_select(columns, keep))
    session.execute(_observation.update().where(*here).values(**new._asdict(), act_id=act_id))

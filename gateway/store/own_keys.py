"""Rows of `own_key`, `own_document`, `document_exchange` and `doubted_batch`: what is known of this gateway's own keys.

Only public halves stand here. Instants are ms UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import insert, select, text, update

from gateway.db import ReadSession, WriteSession
from gateway.store import tables

Use = Literal["manifest", "log", "witness", "oauth", "tls"]
Phase = Literal["next", "in use", "retired"]

_keys, _documents, _exchange, _doubted = (
    tables.own_key, tables.own_document, tables.document_exchange, tables.doubted_batch,
)  # fmt: skip


@dataclass(frozen=True)
class OwnKey:
    """One key of ours. It signs from `begins` (None: it is the next one) until before `ends`.

    `published` and `serial` are when and in which party document it first stood. `reason` says why it ended; `since`
    is the instant from which others may have used it. `last` has, by dataset, the last number and manifest hash it
    stands for, once that is known; of a log key, by origin, size and root of the last head. `settled` is when nothing
    was left to be done about its end.
    """

    kid: str
    use: Use
    public: str
    made: int
    published: int | None = None
    serial: int | None = None
    begins: int | None = None
    ends: int | None = None
    reason: str = ""
    since: int | None = None
    last: Mapping[str, tuple[int, str]] | None = None
    settled: int | None = None

    @property
    def over(self) -> bool:
        """Whether others are told that it signs no more: its end is settled, or it was revoked."""
        return self.settled is not None or self.reason in ("lost", "compromised")

    def phase(self, now: int) -> Phase:
        if self.begins is None or now < self.begins:
            return "next"
        return "in use" if self.ends is None or now < self.ends else "retired"


@dataclass(frozen=True)
class Exchange:
    """A partner's document and ours: the serial of ours it holds, when we asked for its own, and what was wrong."""

    party: str
    holds: int | None = None
    told: int | None = None
    asked: int | None = None
    alarm: str = ""
    alarmed: int | None = None


@dataclass(frozen=True)
class Doubted:
    """A batch held that a key signed which others may have used, and that nothing pins from before."""

    provider: str
    dataset: str
    seq: int
    manifest: str
    kid: str
    why: str
    at: int


def all_keys(session: ReadSession) -> list[OwnKey]:
    """Every key there is a row of, oldest first within its use."""
    return [_key(row) for row in session.execute(select(_keys).order_by(_keys.c.use, _keys.c.made, _keys.c.kid))]


def keys_of(session: ReadSession, use: Use) -> list[OwnKey]:
    """The keys of one use, oldest first."""
    return [key for key in all_keys(session) if key.use == use]


def one_at_a_time(session: WriteSession) -> None:
    """Whoever changes keys next waits until this transaction has ended."""
    if session.dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('own_key', 1))"))


def add_key(session: WriteSession, key: OwnKey) -> None:
    session.execute(insert(_keys).values(**vars(key) | {"last": _written(key.last)}))


def change_key(session: WriteSession, kid: str, **values: object) -> None:
    """Set some of the members of one key's row; `last` as `OwnKey` has it."""
    if "last" in values:
        values["last"] = _written(values["last"])  # type: ignore[arg-type]
    session.execute(update(_keys).where(_keys.c.kid == kid).values(**values))


def newest_document(session: ReadSession) -> tuple[int, str] | None:
    """Serial and text of the newest party document published through the database."""
    row = session.execute(select(_documents).order_by(_documents.c.serial.desc()).limit(1)).first()
    return (row.serial, row.token) if row else None


def add_document(session: WriteSession, serial: int, token: str, *, now: int) -> None:
    session.execute(insert(_documents).values(serial=serial, token=token, at=now))


def exchanges(session: ReadSession) -> dict[str, Exchange]:
    """How party documents are exchanged, by partner; one we never dealt with is not there."""
    return {row.party: Exchange(**row._mapping) for row in session.execute(select(_exchange))}


def note_exchange(session: WriteSession, party: str, **values: object) -> None:
    """Set some of the members of a partner's row."""
    here = _exchange.c.party == party
    if session.execute(update(_exchange).where(here).values(**values)).rowcount == 0:
        session.execute(insert(_exchange).values(**{"party": party, "alarm": "", **values}))


def add_doubted(session: WriteSession, found: Doubted) -> bool:
    """Mark a batch as not to be relied on; False where it was marked already."""
    here = (
        _doubted.c.provider == found.provider, _doubted.c.dataset == found.dataset, _doubted.c.seq == found.seq,
        _doubted.c.manifest == found.manifest,
    )  # fmt: skip
    if session.execute(select(_doubted.c.seq).where(*here)).first():
        return False
    session.execute(insert(_doubted).values(**vars(found)))
    return True


def doubted(session: ReadSession) -> list[Doubted]:
    """Every batch that is marked, by feed and number."""
    order = (_doubted.c.provider, _doubted.c.dataset, _doubted.c.seq)
    return [Doubted(**row._mapping) for row in session.execute(select(_doubted).order_by(*order))]


def _written(last: Mapping[str, tuple[int, str]] | None) -> str | None:
    return None if last is None else json.dumps({name: list(pair) for name, pair in last.items()}, sort_keys=True)


def _key(row: Any) -> OwnKey:
    members = dict(row._mapping)
    if members["last"] is not None:
        members["last"] = {name: (seq, manifest) for name, (seq, manifest) in json.loads(members["last"]).items()}
    return OwnKey(**members)

"""What waits to be published: keys and revisions, by dataset. Never finished lines, since the plan may change first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from gateway.store.observations import Key

QUEUED_TOGETHER = 5_000  # keys of one row: half a batch
_queue = tables.queue


class Queued(NamedTuple):
    """Records of one kind that one act brought, by key and revision."""

    kind: str
    keys: list[tuple[object, ...]]


def enqueue(session: WriteSession, dataset: str, kind: str, keys: Sequence[tuple[object, ...]], *, at: int) -> None:
    """Add `keys` for the publisher of `dataset`. `at` in ms UTC."""
    for start in range(0, len(keys), QUEUED_TOGETHER):
        packed = msgspec.msgpack.encode(keys[start : start + QUEUED_TOGETHER])
        session.execute(insert(_queue).values(dataset=dataset, kind=kind, keys=packed, at=at))


def take(session: WriteSession, dataset: str, limit: int) -> list[Queued]:
    """Take the oldest `limit` rows out of the queue. The caller holds the feed's lock, so nobody else takes them."""
    query = select(_queue).where(_queue.c.dataset == dataset).order_by(_queue.c.id).limit(limit)
    rows = session.execute(query).all()
    session.execute(delete(_queue).where(_queue.c.id.in_([row.id for row in rows])))
    return [Queued(row.kind, [tuple(key) for key in msgspec.msgpack.decode(row.keys)]) for row in rows]


def waiting(session: ReadSession) -> dict[str, int]:
    """Datasets with something in the queue, and since when (ms UTC) the oldest of it waits."""
    query = select(_queue.c.dataset, func.min(_queue.c.at)).group_by(_queue.c.dataset)
    return {row[0]: row[1] for row in session.execute(query)}


def observation_keys(queued: Sequence[Queued]) -> list[Key]:
    """The observations among `queued`, each once."""
    return list(dict.fromkeys(Key(*key) for row in queued if row.kind == "observation" for key in row.keys))  # type: ignore[arg-type]


def record_keys(queued: Sequence[Queued], kind: str) -> list[tuple[str, int]]:
    """The records of `kind` among `queued`, each once, as (key, rev)."""
    return list(dict.fromkeys((str(key), int(rev)) for row in queued if row.kind == kind for key, rev in row.keys))  # type: ignore[call-overload]

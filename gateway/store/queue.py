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
MAX_ROWS = 10_000  # rows taken together: as many of one record each make a full batch
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
    """Take the oldest records out of the queue, `limit` of them or a few more.

    Whole rows, each what one act brought. The caller holds the feed's lock, so nobody else takes them.
    """
    query = select(_queue).where(_queue.c.dataset == dataset).order_by(_queue.c.id).limit(MAX_ROWS)
    taken: list[Queued] = []
    ids, count = [], 0
    with session.execute(query.execution_options(yield_per=64)) as rows:
        for row in rows:
            taken.append(Queued(row.kind, [tuple(key) for key in msgspec.msgpack.decode(row.keys)]))
            ids.append(row.id)
            count += len(taken[-1].keys)
            if count >= limit:
                break
    session.execute(delete(_queue).where(_queue.c.id.in_(ids)))
    return taken


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

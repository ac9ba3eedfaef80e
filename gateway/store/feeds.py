"""Feeds and their batches: heads, frames, and the order they come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import zstandard
from sqlalchemy import Select, insert, select, true, update
from sqlalchemy.dialects import postgresql

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from schemas.batch import MAX_FILE, Batch
from schemas.errors import BatchError
from schemas.times import to_millis

_feed, _batch = tables.feed, tables.batch
_STORED = (_batch.c.seq, _batch.c.manifest, _batch.c.token, _batch.c.frame, _batch.c.count)  # as StoredBatch has them
MAX_FRAME = MAX_FILE + 65_536  # bytes; a frame of incompressible lines is a little longer than they are


@dataclass(frozen=True)
class FeedHead:
    """The newest batch of a feed; `seq` 0 and an empty `manifest` before the first. `created` in ms UTC.

    `stopped` says why nothing more of the feed is taken until people have decided.
    """

    provider: str
    dataset: str
    seq: int = 0
    manifest: str = ""
    created: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class StoredBatch:
    """A batch as it is kept and served: `frame` is the batch file as one zstd frame."""

    seq: int
    manifest: str
    token: str
    frame: bytes
    count: int


def head(session: ReadSession, provider: str, dataset: str) -> FeedHead:
    """The newest batch held of a feed."""
    row = session.execute(_head_query(provider, dataset)).first()
    return FeedHead(**row._mapping) if row else FeedHead(provider, dataset)


def lock_head(session: WriteSession, provider: str, dataset: str) -> FeedHead:
    """The feed's head, locked until the transaction ends: only the holder may hand out or take the next number."""
    if session.dialect.name == "postgresql":
        # A row that does not exist yet cannot be locked, so it is made first.
        first = postgresql.insert(_feed).values(
            provider=provider, dataset=dataset, seq=0, manifest="", created=0, stopped=""
        )
        session.execute(first.on_conflict_do_nothing())
        return FeedHead(**session.execute(_head_query(provider, dataset).with_for_update()).one()._mapping)
    return head(session, provider, dataset)


def heads_of(session: ReadSession, provider: str) -> list[FeedHead]:
    """Every feed of `provider` that has a batch here."""
    return [head for head in all_heads(session) if head.provider == provider]


def all_heads(session: ReadSession) -> list[FeedHead]:
    """Every feed that has a batch here, ours and our partners'."""
    return [FeedHead(**row._mapping) for row in session.execute(select(_feed).where(_feed.c.seq > 0))]


def append_batch(
    session: WriteSession, held: FeedHead, batch: Batch, *, at: int, frame: bytes | None = None
) -> FeedHead:
    """Store `batch` as the next of its feed, whose head `held` is locked, in the `frame` it came in if it came in one.

    `at` in ms UTC.
    """
    manifest = batch.manifest
    created = max(held.created, to_millis(manifest.created))
    moved = FeedHead(manifest.provider, manifest.dataset, manifest.seq, batch.hash, created, held.stopped)
    session.execute(
        insert(_batch).values(
            provider=moved.provider, dataset=moved.dataset, seq=moved.seq, manifest=batch.hash, token=batch.token,
            frame=frame or to_frame(batch.file), count=manifest.count, at=at,
        )
    )  # fmt: skip
    _move(session, moved)
    return moved


def stop_feed(session: WriteSession, held: FeedHead, reason: str) -> None:
    """Take nothing more of this feed until people have decided."""
    _move(session, replace(held, stopped=reason))


def manifests(session: ReadSession, provider: str, dataset: str, *, after: int) -> Iterator[tuple[int, str]]:
    """Number and manifest hash of every batch after `after`, in order."""
    query = select(_batch.c.seq, _batch.c.manifest).where(
        _batch.c.provider == provider, _batch.c.dataset == dataset, _batch.c.seq > after
    )
    for row in session.execute(query.order_by(_batch.c.seq)):
        yield row.seq, row.manifest


def signed_down(session: ReadSession, provider: str, dataset: str) -> Iterator[tuple[int, str, str, int]]:
    """Number, manifest hash, compact manifest and instant (ms UTC) of every batch held, newest first."""
    query = select(_batch.c.seq, _batch.c.manifest, _batch.c.token, _batch.c.at)
    query = query.where(_batch.c.provider == provider, _batch.c.dataset == dataset).order_by(_batch.c.seq.desc())
    with session.execute(query.execution_options(yield_per=64)) as rows:
        for row in rows:
            yield row.seq, row.manifest, row.token, row.at


def find_batch(
    session: ReadSession, provider: str, dataset: str, seq: int, *, since: int | None = None
) -> StoredBatch | None:
    """One batch, if it is held, and not from before `since` (ms UTC)."""
    row = session.execute(_batches_query(provider, dataset, seq, seq, since)).first()
    return StoredBatch(*row) if row else None


def batches(
    session: ReadSession, provider: str, dataset: str, *, first: int, last: int, since: int | None = None
) -> Iterator[StoredBatch]:
    """The batches numbered `first` to `last`, not from before `since` (ms UTC), in order, read a few at a time."""
    query = _batches_query(provider, dataset, first, last, since).execution_options(yield_per=4)
    with session.execute(query) as rows:  # closed also where the reader has enough before the end
        for row in rows:
            yield StoredBatch(*row)


def _move(session: WriteSession, head: FeedHead) -> None:
    here = (_feed.c.provider == head.provider, _feed.c.dataset == head.dataset)
    if session.execute(update(_feed).where(*here).values(**asdict(head))).rowcount == 0:
        session.execute(insert(_feed).values(**asdict(head)))


def _batches_query(provider: str, dataset: str, first: int, last: int, since: int | None) -> Select[Any]:
    return (
        select(*_STORED)
        .where(_batch.c.provider == provider, _batch.c.dataset == dataset, _batch.c.seq.between(first, last))
        .where(_batch.c.at >= since if since is not None else true())
        .order_by(_batch.c.seq)
    )


def _head_query(provider: str, dataset: str) -> Select[tuple[str, str, int, str, int, str]]:
    return select(_feed).where(_feed.c.provider == provider, _feed.c.dataset == dataset)


def to_frame(file: bytes) -> bytes:
    """A batch file as the one zstd frame it is kept and served as."""
    return zstandard.ZstdCompressor(level=3, write_content_size=True).compress(file)


def from_frame(frame: bytes) -> bytes:
    """The batch file in one zstd frame.

    Raises:
        BatchError: `batch.frame-invalid`: not a zstd frame, or it would unpack to more than a batch may hold.
    """
    try:
        parameters = zstandard.get_frame_parameters(frame)
        size = parameters.content_size
        if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) or size > MAX_FILE:
            raise BatchError("the frame does not say a size a batch may have", code="batch.frame-invalid")
        return zstandard.ZstdDecompressor(max_window_size=MAX_FILE * 2).decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BatchError("not one zstd frame", code="batch.frame-invalid") from error

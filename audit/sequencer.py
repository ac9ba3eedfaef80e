"""The sequencer: takes entries from the outbox, gives them their places in the tree, and signs the new head.

A step is two transactions. What is true if we stop between any two of these points:

    1. take entries from the outbox, write leaves and full tiles, move the head   nothing happened
       commit                                                                     integrated; 2 comes next
    2. read back what was written, hash it again, recompute the root              the same
       pin (size, root) in the head store                                         the same, and no other root can be
       sign                                                                       the same: again, the same signature
       store the checkpoint, commit                                               published

So one size never gets two signed roots, on whatever copy of the database this runs: the head store is no part of it.
Each transaction locks the head row, so that several sequencers can run at once by mistake without harm.

The transactions must be durable when they commit (on SQLite `synchronous = FULL`): a database that loses its last
commits to a power cut is behind its head store, and stays read-only until a person has decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, tuple_, update

from audit import log
from audit.checkpoint import open_checkpoint, sign_checkpoint
from audit.errors import HeadConflictError, LogBehindError, LogCorruptError, ProofError
from audit.heads import HeadStore
from audit.log import Head
from audit.merkle import CompactRange, empty_root, leaf_hash, subtree_root
from audit.note import NoteSigner
from audit.tables import log_head, log_leaf, log_outbox, log_tile
from audit.tiles import WIDTH

STEP = 1_000  # entries; a step of this size takes some tens of milliseconds

_KNOWN = select(log_leaf.c.leaf_hash).where(log_leaf.c.leaf_hash.in_(bindparam("taken", expanding=True)))

Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens a write transaction: committed, durably, when the context ends, and rolled back when it raises."""


class Sequencer:
    """The one writer of a log. `origin` names the log and is the signer's name."""

    def __init__(self, begin: Begin, heads: HeadStore, signer: NoteSigner, origin: str) -> None:
        if signer.name != origin:
            raise RuntimeError(f"log {origin} cannot be signed by {signer.name}")
        self._begin = begin
        self._heads = heads
        self._signer = signer
        self._origin = origin

    def recover(self) -> None:
        """Compare the database with the head store, before the first step after a start.

        Raises:
            LogBehindError: one of them was set back, or they tell two histories.
            LogCorruptError: the stored tree is not the one that was pinned or signed.
        """
        with self._begin() as connection:
            found = log.head(connection, lock=True)
            pinned_size, pinned_root = self._pinned(found)
            if log.compact_range(connection, pinned_size).root() != pinned_root:
                raise LogBehindError(f"the log at size {pinned_size} is not the one that was pinned", code="log.forked")
            if found.checkpoint is not None:
                signed = open_checkpoint(found.checkpoint, [self._signer.verifier])
                edge = log.compact_range(connection, found.signed_size)
                if (signed.origin, signed.size, signed.root) != (self._origin, edge.size, edge.root()):
                    raise LogCorruptError("the stored checkpoint is not the one of the stored tree")

    def step(self, limit: int = STEP) -> int:
        """Integrate up to `limit` waiting entries (at most 30,000) and sign the new head; returns how many were taken.

        First signs what an earlier step left unsigned. A log's first step signs its empty head.

        Raises:
            LogBehindError, LogCorruptError: sign nothing more and alarm. Nothing wrong has been signed.
        """
        self._publish()
        with self._begin() as connection:
            found = log.head(connection, lock=True)
            taken = _integrate(connection, found, limit)
        if taken:
            self._publish()
        return taken

    def _publish(self) -> None:
        """Sign and store the head, unless it already is."""
        with self._begin() as connection:
            found = log.head(connection, lock=True)
            pinned_size, pinned_root = self._pinned(found)
            if found.checkpoint is not None and found.signed_size == found.size:
                return
            _read_back(connection, found, pinned_size, pinned_root)
            try:
                self._heads.pin_log(self._origin, found.size, found.root)
            except HeadConflictError as error:
                raise LogBehindError(error.detail, code="log.forked", extra=error.extra) from error
            checkpoint = sign_checkpoint(self._signer, found.size, found.root)
            open_checkpoint(checkpoint, [self._signer.verifier])  # a faulty signature must not get out
            _move_head(connection, Head(found.size, found.root, found.hashes, checkpoint, found.size))

    def _pinned(self, found: Head) -> tuple[int, bytes]:
        """The head in the head store, which the database must have reached and must not have been signed beyond."""
        pinned = self._heads.log_head(self._origin)
        if found.checkpoint is not None and (pinned is None or pinned[0] < found.signed_size):
            detail = f"log {self._origin} is signed up to {found.signed_size}, but the head store does not know"
            raise LogBehindError(detail, code="log.head-store-behind")
        size, root = pinned or (0, empty_root())
        if size > found.size:
            detail = f"log {self._origin} was pinned at size {size}, but the database has {found.size} entries"
            raise LogBehindError(detail, code="log.database-behind")
        if size == found.size and root != found.root:
            raise LogBehindError(f"log {self._origin} has two roots for size {size}", code="log.forked")
        return size, root


def _integrate(connection: Connection, found: Head, limit: int) -> int:
    """Move up to `limit` entries from the outbox behind the head `found`; returns how many were taken."""
    taken = _take(connection, limit)
    if any(leaf_hash(row.entry) != row.leaf_hash for row in taken):
        raise LogCorruptError("an entry in the outbox is not the one whose leaf hash was promised")
    # An entry appended twice gets one place; a dict keeps the first of equal keys where it was.
    known = set(connection.scalars(_KNOWN, {"taken": [row.leaf_hash for row in taken]}))
    fresh = {row.leaf_hash: row.entry for row in taken if row.leaf_hash not in known}
    if not fresh:
        return len(taken)

    edge = _edge(found)
    leaves = []
    for promised, entry in fresh.items():
        leaves.append({"idx": edge.size, "leaf_hash": promised, "entry": entry})
        edge.append(promised)
    tiles = _full_tiles(connection, found.size, list(fresh))
    connection.execute(insert(log_leaf), leaves)
    if tiles:
        connection.execute(insert(log_tile), tiles)
    _move_head(connection, Head(edge.size, edge.root(), edge.hashes, found.checkpoint, found.signed_size))
    return len(taken)


def _edge(found: Head) -> CompactRange:
    """The compact range stored with a head, to append to."""
    try:
        edge = CompactRange(found.size, found.hashes)
    except ProofError as error:
        raise LogCorruptError("the stored head has not the hashes of its size") from error
    if edge.root() != found.root:
        raise LogCorruptError("the stored head does not fit its own root")
    return edge


def _take(connection: Connection, limit: int) -> list[Row[Any]]:
    """The `limit` oldest rows of the outbox, which leave it.

    One statement takes and deletes: an entry with a smaller id that commits meanwhile is neither lost nor skipped.
    """
    oldest = select(log_outbox.c.id).order_by(log_outbox.c.id).limit(limit)
    query = delete(log_outbox).where(log_outbox.c.id.in_(oldest)).returning(log_outbox)
    return sorted(connection.execute(query), key=lambda row: int(row.id))


def _full_tiles(connection: Connection, size: int, leaves: list[bytes]) -> list[dict[str, object]]:
    """The rows of all tiles that become full when `leaves` join the tree of `size` leaves already stored."""
    rows: list[dict[str, object]] = []
    level, start, fresh = 0, size, leaves
    while start % WIDTH + len(fresh) >= WIDTH:
        first = start // WIDTH
        hashes = [*log.level_hashes(connection, level, first * WIDTH, start), *fresh]
        full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        roots = [subtree_root(tile) for tile in full]
        rows += [
            {"level": level, "idx": first + offset, "root": root, "hashes": b"".join(tile)}
            for offset, (root, tile) in enumerate(zip(roots, full, strict=True))
        ]
        level, start, fresh = level + 1, first, roots
    return rows


def _read_back(connection: Connection, found: Head, pinned_size: int, pinned_root: bytes) -> None:
    """Check that what the database holds behind the pinned head makes the head `found`, hashing every entry again.

    One flipped bit in a stored leaf, once signed for, ends a log: nobody can prove anything in it any more.

    Raises:
        LogCorruptError: it does not.
    """
    edge = log.compact_range(connection, pinned_size)
    if edge.root() != pinned_root:
        raise LogCorruptError(f"the stored tree of size {pinned_size} is not the one that was pinned")
    query = select(log_leaf).where(log_leaf.c.idx >= pinned_size).order_by(log_leaf.c.idx)
    leaves = []
    for row in connection.execute(query):
        if row.idx != edge.size or leaf_hash(row.entry) != row.leaf_hash:
            raise LogCorruptError(f"entry {edge.size} is not the one that was written")
        leaves.append(row.leaf_hash)
        edge.append(row.leaf_hash)
    if (edge.root(), edge.hashes) != (found.root, found.hashes):
        raise LogCorruptError("the stored entries do not make the stored head")
    tiles = _full_tiles(connection, pinned_size, leaves)
    names = tuple_(log_tile.c.level, log_tile.c.idx).in_([(tile["level"], tile["idx"]) for tile in tiles])
    stored_tiles = connection.execute(select(log_tile).where(names)).mappings().all() if tiles else []
    if sorted(map(dict, stored_tiles), key=_tile_name) != sorted(tiles, key=_tile_name):
        raise LogCorruptError("the stored tiles are not those of the stored entries")


def _move_head(connection: Connection, head: Head) -> None:
    values = {
        "size": head.size,
        "root": head.root,
        "hashes": b"".join(head.hashes),
        "checkpoint": head.checkpoint,
        "signed_size": head.signed_size,
    }
    if connection.execute(update(log_head).where(log_head.c.id == 1).values(values)).rowcount == 0:
        connection.execute(insert(log_head).values(id=1, **values))


def _tile_name(row: Mapping[str, object]) -> tuple[object, object]:
    return row["level"], row["idx"]

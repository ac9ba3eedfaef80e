"""Append to the log and read it: entries, tiles, proofs.

Everything works on the caller's connection and commits nothing. What has been integrated never changes, so that readers
need no locks; what is served (tiles and bundles) never reaches beyond the signed head.

Whatever reads takes a `shard`; without one it reads the shard in force, which is the one appended entries go into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, ScalarSelect, and_, func, insert, select

from audit import merkle
from audit.errors import EntryError, LogCorruptError, ProofError, TileError
from audit.merkle import HASH_SIZE, CompactRange, ReadHash
from audit.tables import log_head, log_leaf, log_outbox, log_tile
from audit.tiles import HEIGHT, MAX_ENTRY, WIDTH, encode_bundle


@dataclass(frozen=True)
class Head:
    """How far the log reaches: `size` entries under `root` are integrated, `signed_size` of them are signed for.

    `hashes` is the compact range at `size`. `checkpoint` is the newest signed note, None before the first signature.
    `frozen` is None while the shard goes on. Once it is frozen nothing is integrated any more; `frozen` says how many
    of the entries under its last head are here: fewer than `size` where the database was set back, which then does not
    know `hashes` either.
    """

    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: bytes | None
    signed_size: int
    shard: int = 1
    frozen: int | None = None

    @property
    def signed(self) -> bool:
        """Whether all that is integrated is signed for."""
        return self.checkpoint is not None and self.signed_size == self.size

    @property
    def held(self) -> int:
        """How many entries under the signed head are here."""
        return self.signed_size if self.frozen is None else min(self.frozen, self.signed_size)


EMPTY_HEAD = Head(size=0, root=merkle.empty_root(), hashes=(), checkpoint=None, signed_size=0)


@dataclass(frozen=True)
class Place:
    """Where an entry is: in which shard, and its index there."""

    shard: int
    index: int


_IN_FORCE = select(func.max(log_head.c.shard)).scalar_subquery()


def append(connection: Connection, entry: bytes) -> bytes:
    """Queue `entry` (made by `audit.entry.make_entry`) in the caller's transaction; returns its leaf hash.

    The act and its entry are committed together or not at all. The leaf hash is what a receipt promises to integrate.
    Appending the same bytes again is harmless: an entry has a place in the log once.

    Raises:
        EntryError: `entry.too-large`.
    """
    return append_many(connection, [entry])[0]


def append_many(connection: Connection, entries: Sequence[bytes]) -> list[bytes]:
    """As `append`, for several entries in one statement; they keep their order."""
    if any(len(entry) > MAX_ENTRY for entry in entries):
        raise EntryError(f"an entry has at most {MAX_ENTRY} bytes", code="entry.too-large")
    rows = [{"entry": entry, "leaf_hash": merkle.leaf_hash(entry)} for entry in entries]
    if rows:
        connection.execute(insert(log_outbox), rows)
    return [row["leaf_hash"] for row in rows]


def head(connection: Connection, shard: int | None = None, *, lock: bool = False) -> Head:
    """A shard's head; with `lock`, nobody else may move it before this transaction ends.

    Of a shard that is not there, and of a log that has not begun: the empty head.
    """
    query = select(log_head).order_by(log_head.c.shard.desc()).limit(1)
    if shard is not None:
        query = query.where(log_head.c.shard == shard)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return replace(EMPTY_HEAD, shard=shard or 1) if row is None else _head(row)


def all_heads(connection: Connection) -> list[Head]:
    """The heads of all shards, oldest first."""
    return [_head(row) for row in connection.execute(select(log_head).order_by(log_head.c.shard))]


def count_waiting(connection: Connection) -> int:
    """How many entries wait in the outbox."""
    return connection.execute(select(func.count()).select_from(log_outbox)).scalar_one()


def entries(connection: Connection, start: int, stop: int, shard: int | None = None) -> list[bytes]:
    """The entries `start` up to, not including, `stop`, in order.

    Raises:
        LogCorruptError: some are not there.
    """
    inside = and_(log_leaf.c.shard == _number(shard), log_leaf.c.idx >= start, log_leaf.c.idx < stop)
    query = select(log_leaf.c.entry).where(inside).order_by(log_leaf.c.idx)
    return _complete(connection.scalars(query).all(), start, stop)


def find_leaf(connection: Connection, leaf_hash: bytes, shard: int | None = None) -> int | None:
    """The index of the entry with this leaf hash; None while it is not integrated."""
    here = and_(log_leaf.c.leaf_hash == leaf_hash, log_leaf.c.shard == _number(shard))
    return connection.scalar(select(log_leaf.c.idx).where(here))


def find_place(connection: Connection, leaf_hash: bytes) -> Place | None:
    """Where the entry with this leaf hash is, in whatever shard; None while it is not integrated.

    What a frozen shard holds beyond its last head does not count.
    """
    query = (
        select(log_leaf.c.shard, log_leaf.c.idx)
        .join(log_head, log_head.c.shard == log_leaf.c.shard)
        .where(log_leaf.c.leaf_hash == leaf_hash, log_leaf.c.idx < log_head.c.size)
    )
    row = connection.execute(query).first()
    return None if row is None else Place(row.shard, row.idx)


def hash_reader(connection: Connection, size: int, shard: int | None = None) -> ReadHash:
    """How `audit.merkle` reads the roots of complete subtrees below `size` leaves: one query for each tile touched."""
    tiles: dict[tuple[int, int], Sequence[bytes]] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        tile, first = divmod(index << height, WIDTH)
        if (tile_level, tile) not in tiles:
            width = min(WIDTH, (size >> HEIGHT * tile_level) - tile * WIDTH)
            tiles[tile_level, tile] = _tile_hashes(connection, tile_level, tile, width, shard)
        return merkle.subtree_root(tiles[tile_level, tile][first : first + (1 << height)])

    return read


def prove_inclusion(connection: Connection, index: int, size: int, shard: int | None = None) -> list[bytes]:
    """The proof that entry `index` is in the tree of the first `size` entries.

    Raises:
        ProofError: `proof.out-of-range`: there is no such entry, or the log is not that large.
    """
    _require_integrated(connection, size, shard)
    return merkle.inclusion_proof(index, size, hash_reader(connection, size, shard))


def prove_consistency(connection: Connection, size1: int, size2: int, shard: int | None = None) -> list[bytes]:
    """The proof that the tree of `size2` entries begins with the one of `size1`.

    Raises:
        ProofError: `proof.out-of-range`: not 0 < size1 <= size2, or the log is not that large.
    """
    _require_integrated(connection, size2, shard)
    return merkle.consistency_proof(size1, size2, hash_reader(connection, size2, shard))


def read_tile(connection: Connection, level: int, index: int, width: int, shard: int | None = None) -> bytes:
    """The hash tile `level`/`index`, its first `width` hashes.

    Raises:
        TileError: `tile.not-found`: the signed tree does not reach that far.
    """
    _require_signed(connection, level, index, width, shard)
    return b"".join(_tile_hashes(connection, level, index, width, shard))


def read_bundle(connection: Connection, index: int, width: int, shard: int | None = None) -> bytes:
    """The entry bundle `index`, its first `width` entries.

    Raises:
        TileError: `tile.not-found`: the signed tree does not reach that far.
    """
    _require_signed(connection, 0, index, width, shard)
    return encode_bundle(entries(connection, index * WIDTH, index * WIDTH + width, shard))


def compact_range(connection: Connection, size: int, shard: int | None = None) -> CompactRange:
    """The compact range of the first `size` entries, from what is stored of the tree."""
    edge = CompactRange()
    for level in reversed(range(-(-size.bit_length() // HEIGHT))):
        reach = size >> HEIGHT * level
        for value in level_hashes(connection, level, reach - reach % WIDTH, reach, shard):
            edge.append(value, level * HEIGHT)
    return edge


def level_hashes(connection: Connection, level: int, start: int, stop: int, shard: int | None = None) -> list[bytes]:
    """The hashes `start` to `stop` of one tile level: of leaves at level 0, else the roots of the full tiles below.

    Raises:
        LogCorruptError: some are not there.
    """
    if level == 0:
        value, number = log_leaf.c.leaf_hash, log_leaf.c.idx
        query = select(value).where(log_leaf.c.shard == _number(shard))
    else:
        value, number = log_tile.c.root, log_tile.c.idx
        query = select(value).where(log_tile.c.shard == _number(shard), log_tile.c.level == level - 1)
    query = query.where(number >= start, number < stop).order_by(number)
    return _complete(connection.scalars(query).all(), start, stop)


def _number(shard: int | None) -> int | ScalarSelect[Any]:
    return _IN_FORCE if shard is None else shard


def _head(row: Row[Any]) -> Head:
    hashes = tuple(row.hashes[at : at + HASH_SIZE] for at in range(0, len(row.hashes), HASH_SIZE))
    return Head(row.size, row.root, hashes, row.checkpoint, row.signed_size, row.shard, row.frozen)


def _tile_hashes(connection: Connection, level: int, index: int, width: int, shard: int | None) -> Sequence[bytes]:
    if width < WIDTH:
        return level_hashes(connection, level, index * WIDTH, index * WIDTH + width, shard)
    here = and_(log_tile.c.shard == _number(shard), log_tile.c.level == level, log_tile.c.idx == index)
    data = connection.scalar(select(log_tile.c.hashes).where(here))
    if data is None or len(data) != WIDTH * HASH_SIZE:
        raise LogCorruptError(f"tile {index} of level {level} is not there")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def _complete(rows: Iterable[bytes], start: int, stop: int) -> list[bytes]:
    found = list(rows)
    if len(found) != max(stop - start, 0):
        raise LogCorruptError(f"{stop - start - len(found)} of the rows {start} to {stop - 1} of the log are not there")
    return found


def _require_integrated(connection: Connection, size: int, shard: int | None) -> None:
    found = head(connection, shard)
    reached = found.size if found.frozen is None else found.frozen
    if size > reached:
        raise ProofError(f"the log has {reached} entries, not {size}", code="proof.out-of-range")


def _require_signed(connection: Connection, level: int, index: int, width: int, shard: int | None) -> None:
    reached = head(connection, shard).held >> HEIGHT * max(level, 0)
    if level < 0 or index < 0 or not 0 < width <= WIDTH or index * WIDTH + width > reached:
        raise TileError("the signed tree has no such tile", code="tile.not-found")

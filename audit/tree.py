"""The stored tree of a shard: how it grows, and whether it still is what was written.

Entries get consecutive places behind a head that the caller has locked. What is written is leaves, the tiles that
become full, and the head; nothing is signed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, insert, select, tuple_, update

from audit import log
from audit.errors import LogCorruptError, ProofError
from audit.log import Head
from audit.merkle import CompactRange, leaf_hash, subtree_root
from audit.tables import log_head, log_leaf, log_tile
from audit.tiles import WIDTH


def grow(connection: Connection, found: Head, fresh: Mapping[bytes, bytes]) -> Head:
    """Write the entries `fresh`, by leaf hash, behind the head `found`; the head they make, which is stored.

    Raises:
        LogCorruptError: the stored head does not fit itself.
    """
    edge = _edge(found)
    leaves = []
    for promised, entry in fresh.items():
        leaves.append({"shard": found.shard, "idx": edge.size, "leaf_hash": promised, "entry": entry})
        edge.append(promised)
    tiles = _full_tiles(connection, found, found.size, list(fresh))
    connection.execute(insert(log_leaf), leaves)
    if tiles:
        connection.execute(insert(log_tile), tiles)
    grown = replace(found, size=edge.size, root=edge.root(), hashes=edge.hashes)
    store_head(connection, grown)
    return grown


def read_back(connection: Connection, found: Head, pinned_size: int, pinned_root: bytes) -> None:
    """Check that what the database holds behind the pinned head makes the head `found`, hashing every entry again.

    One flipped bit in a stored leaf, once signed for, ends a log: nobody can prove anything in it any more.

    Raises:
        LogCorruptError: it does not.
    """
    edge = log.compact_range(connection, pinned_size, found.shard)
    if edge.root() != pinned_root:
        raise LogCorruptError(f"the stored tree of size {pinned_size} is not the one that was pinned")
    behind = select(log_leaf).where(log_leaf.c.shard == found.shard, log_leaf.c.idx >= pinned_size)
    leaves = []
    for row in connection.execute(behind.order_by(log_leaf.c.idx)):
        if row.idx != edge.size or leaf_hash(row.entry) != row.leaf_hash:
            raise LogCorruptError(f"entry {edge.size} is not the one that was written")
        leaves.append(row.leaf_hash)
        edge.append(row.leaf_hash)
    if (edge.root(), edge.hashes) != (found.root, found.hashes):
        raise LogCorruptError("the stored entries do not make the stored head")
    tiles = _full_tiles(connection, found, pinned_size, leaves)
    names = tuple_(log_tile.c.level, log_tile.c.idx).in_([(tile["level"], tile["idx"]) for tile in tiles])
    query = select(log_tile).where(log_tile.c.shard == found.shard, names)
    stored_tiles = connection.execute(query).mappings().all() if tiles else []
    if sorted(map(dict, stored_tiles), key=_tile_name) != sorted(tiles, key=_tile_name):
        raise LogCorruptError("the stored tiles are not those of the stored entries")


def store_head(connection: Connection, head: Head) -> None:
    """Store `head` as its shard's, in place of the one before."""
    values = {
        "size": head.size,
        "root": head.root,
        "hashes": b"".join(head.hashes),
        "checkpoint": head.checkpoint,
        "signed_size": head.signed_size,
        "frozen": head.frozen,
    }
    if connection.execute(update(log_head).where(log_head.c.shard == head.shard).values(values)).rowcount == 0:
        connection.execute(insert(log_head).values(shard=head.shard, **values))


def _edge(found: Head) -> CompactRange:
    """The compact range stored with a head, to append to."""
    try:
        edge = CompactRange(found.size, found.hashes)
    except ProofError as error:
        raise LogCorruptError("the stored head has not the hashes of its size") from error
    if edge.root() != found.root:
        raise LogCorruptError("the stored head does not fit its own root")
    return edge


def _full_tiles(connection: Connection, found: Head, size: int, leaves: list[bytes]) -> list[dict[str, object]]:
    """The rows of all tiles that become full when `leaves` join the `size` leaves already stored."""
    rows: list[dict[str, object]] = []
    level, start, fresh = 0, size, leaves
    while start % WIDTH + len(fresh) >= WIDTH:
        first = start // WIDTH
        hashes = [*log.level_hashes(connection, level, first * WIDTH, start, found.shard), *fresh]
        full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        roots = [subtree_root(tile) for tile in full]
        rows += [
            {"shard": found.shard, "level": level, "idx": first + offset, "root": root, "hashes": b"".join(tile)}
            for offset, (root, tile) in enumerate(zip(roots, full, strict=True))
        ]
        level, start, fresh = level + 1, first, roots
    return rows


def _tile_name(row: Mapping[str, object]) -> tuple[object, object]:
    return row["level"], row["idx"]

"""Replay a log from its evidence: hash every entry again and see whether that makes the signed head.

Two witnesses tell of each leaf: the entry itself, and the hash tile that lists it. Whichever of them makes the signed
root is believed, and the other is judged by it: so entries that were altered or are missing can be named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.checkpoint import Checkpoint
from audit.errors import EntryError
from audit.evidence import ShardFiles
from audit.form import CONTINUED, FREEZE, KEY_CHANGED, match_entry, parse_entry
from audit.merkle import HASH_SIZE, CompactRange, leaf_hash, subtree_root
from audit.report import Finding, Outcome
from audit.tiles import ENTRIES, HEIGHT, WIDTH, Tile, decode_tile, split_bundle, tiles_of_level

_MARKS = frozenset(t.encode() for t in (FREEZE, CONTINUED, KEY_CHANGED))  # what tells of shards and keys


class Tree:
    """A tree folded tile by tile from the left. When a tile is missing it stays too small to be the signed one."""

    def __init__(self, mark: int = 0) -> None:
        """`mark` is a size whose root is asked for later."""
        self.edge = CompactRange()
        self.tile_roots: list[bytes] = []  # of the full tiles
        self._mark = mark
        self._at_mark = CompactRange()

    def add(self, leaves: Sequence[bytes]) -> None:
        """Add the leaves of the next tile; only the last may be partial."""
        start = self.edge.size
        if start <= self._mark < start + len(leaves):
            self._at_mark = self.edge.copy()
            for leaf in leaves[: self._mark - start]:
                self._at_mark.append(leaf)
        if len(leaves) == WIDTH:
            self.tile_roots.append(subtree_root(leaves))
            self.edge.append(self.tile_roots[-1], HEIGHT)
        else:
            for leaf in leaves:
                self.edge.append(leaf)

    def makes(self, head: Checkpoint) -> bool:
        """Whether this is the tree that was signed."""
        return self.edge.size == head.size and self.edge.root() == head.root

    def root_at_mark(self) -> bytes:
        return self.edge.root() if self._mark == self.edge.size else self._at_mark.root()


@dataclass(frozen=True)
class Asked:
    """What to look for on the way: entries about these batches, by dataset and number as an entry spells them, and
    entries of these leaf hashes."""

    batches: frozenset[tuple[bytes, bytes]] = frozenset()
    leaves: frozenset[bytes] = frozenset()


@dataclass
class Replay:
    """What was found. `tree` is the tree that makes the signed root, None when neither witness makes it."""

    tree: Tree | None = None
    entries_proved: bool = False  # every entry is there, and is the one that was signed for
    entries: list[Finding] = field(default_factory=list)
    tiles: list[Finding] = field(default_factory=list)
    form: list[Finding] = field(default_factory=list)
    parties: set[bytes] = field(default_factory=set)  # whose log the entries say this is
    about: list[dict[str, Any]] = field(default_factory=list)  # the entries about batches that were asked for
    present: set[bytes] = field(default_factory=set)  # the leaf hashes asked for that are there
    last_at: str = ""  # when the last entry says it was made
    marks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # the entries of types in `_MARKS`, by index


def replay(files: ShardFiles, head: Checkpoint, *, asked: Asked, mark: int = 0) -> Replay:
    """Replay a shard of the log under `head`, a verified checkpoint; `mark` is an earlier size whose root is wanted."""
    found = Replay()
    by_entries = Tree(mark)
    broken: list[Finding] = []
    about_tiles: list[Finding] = []
    for bundle in _present(files, ENTRIES, head.size):
        entries, whole = _read_bundle(files, bundle)
        leaves = [leaf_hash(entry) for entry in entries]
        if whole:
            by_entries.add(leaves)
            about_tiles += _compare_tile(files, Tile(0, bundle.index, bundle.width), leaves)
        else:
            broken.append(_missing(f"{bundle.path} does not hold its entries whole"))
        found.present |= asked.leaves.intersection(leaves)
        _look_into(entries, bundle.start, asked, found)

    if by_entries.makes(head):
        found.tree, found.entries_proved = by_entries, True
        found.tiles = [*about_tiles, *_missing_tiles(files, head)]
    else:
        _ask_the_tiles(files, head, mark, found)
        if found.tree is None:
            found.entries = [*broken, *_missing_entries(files, head)]
            if not found.entries:
                found.entries = [_altered("the entries do not make the root that was signed")]
            found.tiles += about_tiles
    if found.tree is not None:
        found.tiles += _check_upper_tiles(files, found.tree)
    return found


def _ask_the_tiles(files: ShardFiles, head: Checkpoint, mark: int, found: Replay) -> None:
    """The entries do not make the signed root. If the hash tiles do, they tell which entries are to blame."""
    by_tiles = Tree(mark)
    broken = []
    for tile in _present(files, 0, head.size):
        data = files.read_tile(tile)
        if len(data) == tile.width * HASH_SIZE:
            by_tiles.add(decode_tile(data))
        else:
            broken.append(_missing(f"hash tile {tile.path} does not hold its hashes whole"))
    if by_tiles.makes(head):
        found.tree = by_tiles
        found.entries = [*_missing_entries(files, head), *_compare_entries(files, head)]
    elif by_tiles.edge.size == head.size:
        found.tiles = [_altered("the hash tiles do not make the root that was signed")]
    else:
        found.tiles = [*broken, *_missing_tiles(files, head)]


def _compare_entries(files: ShardFiles, head: Checkpoint) -> Iterator[Finding]:
    """Which entries are not those of the hash tiles, which are known to be the signed ones."""
    for bundle in _present(files, ENTRIES, head.size):
        signed = decode_tile(files.read_tile(Tile(0, bundle.index, bundle.width)))
        entries, whole = _read_bundle(files, bundle)
        for index, (entry, leaf) in enumerate(zip(entries, signed, strict=False), bundle.start):
            if leaf_hash(entry) != leaf:
                yield _altered(f"entry {index:,} is not the one that was signed for")
        if len(entries) < bundle.width:
            yield _missing(f"entries {bundle.start + len(entries):,} to {bundle.stop - 1:,} are missing")
        elif not whole:
            yield _altered(f"{bundle.path} holds more than was signed for")


def _check_upper_tiles(files: ShardFiles, tree: Tree) -> Iterator[Finding]:
    """The hash tiles above level 0, recomputed."""
    level, hashes = 1, tree.tile_roots
    while hashes:
        for tile in tiles_of_level(level, len(hashes)):
            if tile not in files.tiles:
                yield _missing(f"hash tile {tile.path} is missing")
            yield from _compare_tile(files, tile, hashes[tile.start : tile.stop])
        whole = len(hashes) - len(hashes) % WIDTH
        hashes = [subtree_root(hashes[start : start + WIDTH]) for start in range(0, whole, WIDTH)]
        level += 1


def _compare_tile(files: ShardFiles, tile: Tile, hashes: Sequence[bytes]) -> Iterator[Finding]:
    """A hash tile, if it is there, against the hashes it should hold."""
    if tile not in files.tiles:
        return
    data, expected = files.read_tile(tile), b"".join(hashes)
    if data == expected:
        return
    if expected.startswith(data):  # a download that broke off is not a forgery
        yield _missing(f"hash tile {tile.path} is cut short")
    else:
        yield _altered(f"hash tile {tile.path} is not that of its entries")


def _look_into(entries: Sequence[bytes], start: int, asked: Asked, found: Replay) -> None:
    """Whether the entries have the form of entries, and what those that were asked for say."""
    for index, entry in enumerate(entries, start):
        match = match_entry(entry)
        if match is None:
            found.form.append(_missing(f"entry {index:,} does not have the form of an entry"))
            continue
        found.parties.add(match["party"])
        wanted = asked.batches and (match["dataset"], match["seq"]) in asked.batches and match["manifest"]
        if not wanted and match["t"] not in _MARKS:
            continue
        try:
            said = parse_entry(entry)
        except EntryError as error:
            found.form.append(_missing(f"entry {index:,}: {error.detail}"))
            continue
        if wanted:
            found.about.append(said)
        else:
            found.marks.append((index, said))
    last = match_entry(entries[-1]) if entries else None
    if last is not None:
        found.last_at = last["at"].decode("ascii")


def _read_bundle(files: ShardFiles, bundle: Tile) -> tuple[list[bytes], bool]:
    """The entries of a bundle, and whether they are as many as its name says, with nothing left over."""
    entries, rest = split_bundle(files.read_tile(bundle))
    return entries[: bundle.width], len(entries) == bundle.width and not rest


def _present(files: ShardFiles, level: int, size: int) -> list[Tile]:
    """The tiles of one level that a tree of `size` leaves has, as far as they are in the files."""
    return sorted(tile for tile in files.tiles if tile.level == level and tile.belongs_to(size))


def _missing_entries(files: ShardFiles, head: Checkpoint) -> list[Finding]:
    gaps = _gaps(_present(files, ENTRIES, head.size), head.size)
    return [_missing(f"entries {start:,} to {stop - 1:,} are missing") for start, stop in gaps]


def _missing_tiles(files: ShardFiles, head: Checkpoint) -> list[Finding]:
    gaps = _gaps(_present(files, 0, head.size), head.size)
    return [_missing(f"the hash tiles of entries {start:,} to {stop - 1:,} are missing") for start, stop in gaps]


def _gaps(tiles: Iterable[Tile], hashes: int) -> Iterator[tuple[int, int]]:
    """What `tiles`, in order, leave out of the first `hashes` hashes of their level."""
    reached = 0
    for tile in tiles:
        if tile.start > reached:
            yield reached, tile.start
        reached = tile.stop
    if reached < hashes:
        yield reached, hashes


def _altered(text: str) -> Finding:
    return Finding(Outcome.TAMPERED, text)


def _missing(text: str) -> Finding:
    return Finding(Outcome.UNPROVED, text)

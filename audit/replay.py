"""Replay a log from its evidence: hash every entry again and see whether that makes the signed head.

Two witnesses tell of each leaf: the entry itself, and the hash tile that lists it. Whichever of them makes the signed root
is believed, and the other is judged by it: entries that were altered or are missing can then be named one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.checkpoint import Checkpoint
from audit.errors import EntryError, TileError
from audit.evidence import Evidence
from audit.form import ENTRY, parse_entry
from audit.merkle import CompactRange, leaf_hash, subtree_root
from audit.report import Finding, Outcome
from audit.tiles import ENTRIES, HEIGHT, WIDTH, Tile, decode_tile, split_bundle, tiles_of, tiles_of_level


class Tree:
    """A tree folded tile by tile from the left. Leaves that do not follow on are left out, and the tree stays short."""

    def __init__(self, mark: int = 0) -> None:
        """`mark` is a size whose root is asked for later."""
        self.edge = CompactRange()
        self.tile_roots: list[bytes] = []  # of the full tiles
        self._mark = mark
        self._at_mark = CompactRange()

    def add(self, start: int, leaves: Sequence[bytes]) -> None:
        if start != self.edge.size:
            return
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


@dataclass
class Replay:
    """What one pass over a log found. `tree` is the one that makes the signed root, None when nothing does."""

    tree: Tree | None = None
    entries_proved: bool = False
    entries: list[Finding] = field(default_factory=list)
    tiles: list[Finding] = field(default_factory=list)
    form: list[Finding] = field(default_factory=list)
    parties: set[str] = field(default_factory=set)  # whose log the entries say this is
    about: list[dict[str, Any]] = field(default_factory=list)  # the entries on batches that were asked for
    present: set[bytes] = field(default_factory=set)  # those of the leaf hashes asked for that are there
    last_at: str = ""  # when the last entry says it was made


@dataclass(frozen=True)
class Asked:
    """What to look for in the log: entries on these batches, by (dataset, number), and these leaf hashes."""

    batches: frozenset[tuple[str, int]] = frozenset()
    leaves: frozenset[bytes] = frozenset()

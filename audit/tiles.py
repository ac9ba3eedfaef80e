"""C2SP tlog-tiles: how a log is cut into immutable files, 256 hashes or entries wide.

    tile/<L>/<N>[.p/<W>]          hashes N*256 up to N*256 + W of tree level 8*L, 32 bytes each
    tile/entries/<N>[.p/<W>]      the entries below tile/0/<N>, each after its length in two bytes, big-endian

<N> is written in groups of three digits, all but the last after an `x`: 1234067 is `x001/x234/067`. `.p/<W>` stands for
a tile that is not full yet. Pure; `audit.log` reads tiles from the database, `audit.verify` from files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from audit.errors import TileError
from audit.merkle import HASH_SIZE

HEIGHT = 8  # tree levels in a tile
WIDTH = 1 << HEIGHT  # hashes or entries in a full tile
MAX_LEVEL = 63  # of a tile, as the specification bounds it
ENTRIES = -1  # the level of entry bundles
MAX_ENTRY = 65_535  # bytes: what the length prefix can say
MAX_BUNDLE = WIDTH * (2 + MAX_ENTRY)  # bytes

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, order=True)
class Tile:
    """The name of a tile. `level` counts tiles upward from the leaves; a bundle of entries has level `ENTRIES`."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def start(self) -> int:
        """The first hash of its level (or entry) in it."""
        return self.index * WIDTH

    @property
    def stop(self) -> int:
        """One past the last hash of its level (or entry) in it."""
        return self.start + self.width

    def belongs_to(self, size: int) -> bool:
        """Whether this is one of the tiles of a tree of `size` leaves: whole, or partial at its edge."""
        hashes = size if self.level == ENTRIES else size >> HEIGHT * self.level
        return self.width == min(WIDTH, hashes - self.start)

    @property
    def path(self) -> str:
        """Where it is served, relative to the log's URL."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
        return f"tile/{level}/{number}" + ("" if self.width == WIDTH else f".p/{self.width}")


def parse_path(path: str) -> Tile:
    """The tile named by `path`, which must be the one spelling of that name.

    Raises:
        TileError: it names no tile.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise TileError(f"{path[:80]!r} names no tile")
    level = ENTRIES if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or WIDTH)
    tile = Tile(level, index, width)
    # Comparing with the one spelling refuses leading groups of zeros, and `.p/256` for a tile that is full.
    if level > MAX_LEVEL or width > WIDTH or tile.path != path:
        raise TileError(f"{path[:80]!r} names no tile")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """The hash tiles of a tree of `size` leaves, level by level; only the last of a level can be partial."""
    level = 0
    while size:
        yield from tiles_of_level(level, size)
        size >>= HEIGHT
        level += 1


def tiles_of_level(level: int, hashes: int) -> Iterator[Tile]:
    """The tiles that hold `hashes` hashes (or, at level `ENTRIES`, entries) of one level."""
    whole, rest = divmod(hashes, WIDTH)
    for index in range(whole):
        yield Tile(level, index)
    if rest:
        yield Tile(level, whole, rest)


def decode_tile(data: bytes) -> list[bytes]:
    """The hashes of a hash tile.

    Raises:
        TileError: not 1 to 256 hashes of 32 bytes.
    """
    if len(data) % HASH_SIZE or not 0 < len(data) <= WIDTH * HASH_SIZE:
        raise TileError("a hash tile holds 1 to 256 hashes of 32 bytes")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """The entry bundle of `entries`.

    Raises:
        TileError: an entry is longer than its prefix can say.
    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise TileError(f"an entry has at most {MAX_ENTRY} bytes")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def split_bundle(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole entries at the front of `data`, and the bytes left over behind them (none when it is sound)."""
    entries = []
    at, end = 0, len(data)
    while at + 2 <= end:
        stop = at + 2 + (data[at] << 8 | data[at + 1])
        if stop > end:
            break
        entries.append(data[at + 2 : stop])
        at = stop
    return entries, data[at:]


def decode_bundle(data: bytes) -> Sequence[bytes]:
    """The entries of an entry bundle.

    Raises:
        TileError: not 1 to 256 entries, or bytes are left over.
    """
    entries, rest = split_bundle(data)
    if rest or not 0 < len(entries) <= WIDTH:
        raise TileError("an entry bundle holds 1 to 256 entries, each after its length")
    return entries

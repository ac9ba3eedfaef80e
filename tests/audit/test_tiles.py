"""Tile names and contents: C2SP tlog-tiles, and a real log of that form."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle, tiles
from audit.errors import TileError
from audit.tiles import ENTRIES, WIDTH, Tile
from tests.audit.vectors import VECTORS, load, needs_vectors

NAMES = {
    "tile/0/000": Tile(0, 0),
    "tile/0/000.p/1": Tile(0, 0, 1),
    "tile/2/255.p/255": Tile(2, 255, 255),
    "tile/1/x001/x234/067": Tile(1, 1_234_067),
    "tile/63/x001/000.p/7": Tile(63, 1_000, 7),
    "tile/entries/x001/234": Tile(ENTRIES, 1_234),
    "tile/entries/000.p/44": Tile(ENTRIES, 0, 44),
    "tile/0/x999/x999/x999/x999/x999/999": Tile(0, 10**18 - 1),
}

NO_NAMES = {
    "empty": "",
    "no tile": "tile",
    "absolute": "/tile/0/000",
    "level with a zero in front": "tile/00/000",
    "level too high": "tile/64/000",
    "negative level": "tile/-1/000",
    "other word for entries": "tile/data/000",
    "number not in three digits": "tile/0/0",
    "number in four digits": "tile/0/0000",
    "groups without x": "tile/0/001/234",
    "x in the last group": "tile/0/x001/x234",
    "superfluous group": "tile/0/x000/001",
    "too many groups": "tile/0/x001/x001/x001/x001/x001/x001/001",
    "negative number": "tile/0/-01",
    "width 0": "tile/0/000.p/0",
    "width of a full tile": "tile/0/000.p/256",
    "width beyond a full tile": "tile/0/000.p/257",
    "width with a zero in front": "tile/0/000.p/01",
    "width missing": "tile/0/000.p/",
    "something behind": "tile/0/000/",
    "newline behind": "tile/0/000\n",
    "other digits": "tile/0/٠٠٠",
    "climbing out": "tile/0/../../checkpoint",
    "escaped": "tile/0/%30%30%30",
}


@pytest.mark.parametrize(("path", "tile"), NAMES.items(), ids=NAMES.keys())
def test_a_tile_has_one_name_and_the_name_one_tile(path: str, tile: Tile) -> None:
    assert tiles.parse_path(path) == tile
    assert tile.path == path


@pytest.mark.parametrize("path", NO_NAMES.values(), ids=NO_NAMES.keys())
def test_any_other_name_is_refused(path: str) -> None:
    with pytest.raises(TileError) as caught:
        tiles.parse_path(path)
    assert caught.value.code == "tile.malformed"


@needs_vectors
def test_the_paths_of_go_mod_are_taken_or_refused_as_there_without_their_height() -> None:
    seeds = load("golang-mod", "tile-paths.json")["fuzz_seeds"]
    ours = [re.sub(r"^tile/\d+/", "tile/", seed) for seed in seeds]
    assert len(ours) == 8
    taken = []
    for path in ours:
        try:
            taken.append(tiles.parse_path(path).path)
        except TileError:
            continue
    assert taken == [
        "tile/0/001",
        "tile/0/001.p/5",
        "tile/5/x123/x456/078",
        "tile/5/x123/x456/078.p/2",
        # Level 0 of a tree whose tiles are two high is not written otherwise than ours; its height told it apart.
        "tile/0/x003/x057/500",
    ]


@given(st.text(alphabet="tile/entrisx0123456789.p-", max_size=60) | st.text(max_size=60))
def test_a_hostile_path_names_a_tile_by_its_one_name_or_ends_in_our_error(path: str) -> None:
    try:
        tile = tiles.parse_path(path)
    except TileError:
        return
    assert tile.path == path


@given(st.integers(ENTRIES, 63), st.integers(0, 10**18 - 1), st.integers(1, WIDTH))
def test_every_tile_is_found_again_by_its_name(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile


def test_a_tree_of_70_000_leaves_has_the_tiles_of_the_specifications_example() -> None:
    found = list(tiles.tiles_of(70_000))
    assert sum(tile.level == 0 and tile.width == WIDTH for tile in found) == 273
    partial = [tile for tile in found if tile.width != WIDTH]
    assert partial == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert Tile(1, 0) in found
    assert len(found) == 277
    assert all(tile.belongs_to(70_000) for tile in found)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, []),
        (255, ["tile/0/000.p/255"]),
        (256, ["tile/0/000", "tile/1/000.p/1"]),
        (257, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]),
    ],
)
def test_tiles_fill_up_at_256(size: int, expected: list[str]) -> None:
    assert [tile.path for tile in tiles.tiles_of(size)] == expected


@pytest.mark.parametrize("tile", [Tile(0, 1, 112), Tile(0, 2), Tile(1, 0, 2), Tile(3, 0)])
def test_tiles_of_another_size_do_not_belong_to_a_tree(tile: Tile) -> None:
    assert not tile.belongs_to(257)


@pytest.mark.parametrize("entries", [[b""], [b"one", b"", b"three"], [b"x" * 65_535] * 2, [b"e"] * 256])
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    assert list(tiles.decode_bundle(tiles.encode_bundle(entries))) == entries


def test_an_entry_longer_than_its_prefix_can_say_makes_no_bundle() -> None:
    with pytest.raises(TileError):
        tiles.encode_bundle([b"x" * 65_536])


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x00\x01", b"\x00\x02a", b"\x00\x01a\x00", b"\x00\x00" * 257],
    ids=["empty", "half a length", "no entry", "half an entry", "half a length behind", "257 entries"],
)
def test_bytes_that_are_no_bundle_are_refused(data: bytes) -> None:
    with pytest.raises(TileError) as caught:
        tiles.decode_bundle(data)
    assert caught.value.code == "tile.malformed"


@pytest.mark.parametrize("length", [0, 31, 33, 257 * 32])
def test_bytes_that_are_no_hash_tile_are_refused(length: int) -> None:
    with pytest.raises(TileError):
        tiles.decode_tile(b"0" * length)


@given(st.binary(max_size=400))
def test_splitting_loses_no_byte(data: bytes) -> None:
    entries, rest = tiles.split_bundle(data)
    assert tiles.encode_bundle(entries) + rest == data


@needs_vectors
@pytest.mark.parametrize("size", range(1, 16))
def test_a_real_log_rebuilds_from_its_entries_at_every_size(size: int) -> None:
    folder = VECTORS / "tessera-log"
    entries = tiles.decode_bundle((folder / Tile(ENTRIES, 0, size).path).read_bytes())
    assert [entry.decode() for entry in entries] == load("tessera-log", "about.json")["leaves_in_order"][:size]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    assert tiles.decode_tile((folder / Tile(0, 0, size).path).read_bytes()) == leaves
    root = (folder / f"checkpoint.{size}").read_text().split("\n")[2]
    assert merkle.root_of(leaves) == base64.b64decode(root)


@needs_vectors
def test_a_real_mirror_of_300_leaves_rebuilds_from_its_tiles() -> None:
    (folder,) = (VECTORS / "sunlight-witness/witness/mirror").glob("0*")
    read = [tiles.decode_tile((folder / tile.path).read_bytes()) for tile in tiles.tiles_of_level(0, 300)]
    leaves = [leaf for hashes in read for leaf in hashes]
    assert merkle.root_of(leaves) == base64.b64decode((folder / "checkpoint").read_text().split("\n")[2])
    assert tiles.decode_tile((folder / "tile/1/000.p/1").read_bytes()) == [merkle.subtree_root(leaves[:256])]

"""Reading the log: proofs, tiles and bundles from the database, and what the database refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from audit import log, merkle, tables, tiles
from audit.errors import EntryError, LogCorruptError, ProofError, TileError
from audit.tiles import ENTRIES, Tile
from gateway.db import Database
from tests.audit.log_world import World

SIZE = 600


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    """A log of 600 entries, with one more that is integrated but not signed, and one that waits."""
    made = World(database, tmp_path)
    made.append(SIZE)
    made.drain(made.sequencer())
    made.append(1)
    made.fault.point = "pin"
    with pytest.raises(Exception, match="pin"):
        made.sequencer().step()
    made.append(1)
    yield made
    made.heads.close()


def test_an_entry_is_found_by_the_leaf_hash_its_receipt_promised_once_it_is_integrated(world: World) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in world.appended]
    with world.database.read() as session:
        assert [log.find_leaf(session, leaves[at]) for at in (0, 255, 599, 600, 601)] == [0, 255, 599, 600, None]
        assert log.count_waiting(session) == 1
        head = log.head(session)
    assert (head.size, head.signed_size) == (SIZE + 1, SIZE)


def test_appending_gives_the_leaf_hashes_in_order_and_nothing_is_fine(world: World) -> None:
    with world.database.write() as session:
        assert log.append_many(session, [b"one", b"two"]) == [merkle.leaf_hash(b"one"), merkle.leaf_hash(b"two")]
        assert log.append_many(session, []) == []
        with pytest.raises(EntryError) as caught:
            log.append(session, b"x" * 65_536)
    assert caught.value.code == "entry.too-large"


def test_proofs_from_the_database_verify_at_every_size(world: World) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in world.appended]
    with world.database.read() as session:
        for size in (1, 255, 256, 257, 511, 512, 513, SIZE, SIZE + 1):
            root = merkle.root_of(leaves[:size])
            for index in {0, size // 3, size - 1}:
                merkle.verify_inclusion(leaves[index], index, size, log.prove_inclusion(session, index, size), root)
            for earlier in {1, size // 2 or 1, size}:
                proof = log.prove_consistency(session, earlier, size)
                merkle.verify_consistency(earlier, merkle.root_of(leaves[:earlier]), size, root, proof)
            assert log.compact_range(session, size).root() == root


def test_there_is_no_proof_beyond_the_log(world: World) -> None:
    with world.database.read() as session:
        for prove in (log.prove_inclusion, log.prove_consistency):
            for first, size in ((0, SIZE + 2), (SIZE + 1, SIZE), (-1, SIZE), (0, -1)):
                with pytest.raises(ProofError) as caught:
                    prove(session, first, size)
                assert caught.value.code == "proof.out-of-range"


def test_the_tiles_and_bundles_of_the_signed_tree_are_served_whole_and_partial(world: World) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in world.appended[:SIZE]]
    with world.database.read() as session:
        for tile in tiles.tiles_of(SIZE):
            hashes = tiles.decode_tile(log.read_tile(session, tile.level, tile.index, tile.width))
            assert len(hashes) == tile.width
            if tile.level == 0:
                assert hashes == leaves[tile.start : tile.stop]
        assert log.read_tile(session, 1, 0, 1) == merkle.subtree_root(leaves[:256])
        assert log.read_tile(session, 0, 0, 9) == b"".join(leaves[:9])
        for bundle in tiles.tiles_of_level(ENTRIES, SIZE):
            entries = tiles.decode_bundle(log.read_bundle(session, bundle.index, bundle.width))
            assert entries == world.appended[bundle.start : bundle.stop]


NOT_THERE = {
    "integrated but not signed": Tile(0, 2, 89),
    "not full yet": Tile(0, 2),
    "behind": Tile(0, 3, 1),
    "above": Tile(1, 0, 3),
    "far above": Tile(2, 0, 1),
    "before": Tile(0, -1),
    "below": Tile(-1, 0),
    "empty": Tile(0, 0, 0),
}


def test_nothing_is_served_that_the_signed_tree_does_not_have(world: World) -> None:
    with world.database.read() as session:
        for name, tile in NOT_THERE.items():
            with pytest.raises(TileError) as caught:
                log.read_tile(session, tile.level, tile.index, tile.width)
            assert caught.value.code == "tile.not-found", name
            if tile.level == 0:
                with pytest.raises(TileError) as caught:
                    log.read_bundle(session, tile.index, tile.width)
                assert caught.value.code == "tile.not-found", name


def test_a_gap_in_the_database_is_never_passed_over(world: World) -> None:
    with world.database.read() as session, pytest.raises(LogCorruptError):
        log.entries(session, SIZE, SIZE + 2)


def test_a_head_is_empty_before_the_first_step(database: Database) -> None:
    with database.read() as session:
        assert log.head(session) == log.EMPTY_HEAD
        assert log.find_leaf(session, bytes(32)) is None
        with pytest.raises(TileError):
            log.read_tile(session, 0, 0, 1)


CHANGES = [
    "UPDATE log_leaf SET entry = leaf_hash WHERE idx = 1",
    "UPDATE log_tile SET root = hashes",
    "DELETE FROM log_leaf WHERE idx = 599",
    "DELETE FROM log_leaf",
    "DELETE FROM log_tile",
]


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_refuses_to_change_what_was_logged(world: World, statement: str) -> None:
    refuses(world, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO log_leaf (shard, idx, leaf_hash, entry) VALUES (1, 1, x'00', x'00')",
        "INSERT OR REPLACE INTO log_leaf SELECT 1, 999, leaf_hash, x'00' FROM log_leaf LIMIT 1",
        "REPLACE INTO log_tile (shard, level, idx, root, hashes) VALUES (1, 0, 0, x'00', x'00')",
        "UPDATE OR REPLACE log_leaf SET idx = 1 WHERE idx = 2",
    ],
)
def test_sqlite_refuses_to_replace_what_was_logged(world: World, statement: str) -> None:
    if not world.database.is_sqlite:
        pytest.skip("SQLite's own way round a trigger")
    refuses(world, statement)


def test_postgresql_refuses_to_truncate_the_log(world: World) -> None:
    if world.database.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    refuses(world, "TRUNCATE log_leaf")


def refuses(world: World, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), world.database.write() as session:
        session.execute(text(statement))
    world.drain(world.sequencer())
    world.check_log(SIZE + 2)


def test_there_are_no_triggers_for_a_database_we_do_not_know() -> None:
    with pytest.raises(RuntimeError):
        tables.append_only_triggers("oracle")


def test_a_log_of_65_537_entries_has_a_full_tile_of_level_1_and_proves_across_it(
    sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "taipu.db"
    path.write_bytes(sqlite_template.read_bytes())
    world = World(Database(f"sqlite:///{path}"), tmp_path)
    entries = [index.to_bytes(3, "big") for index in range(65_537)]
    with world.database.write() as session:
        log.append_many(session, entries)
    sequencer = world.sequencer()
    world.drain(sequencer, limit=30_000)
    world.appended = entries
    world.check_log(65_537)
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    root = merkle.root_of(leaves)
    with world.database.read() as session:
        assert log.read_tile(session, 2, 0, 1) == merkle.subtree_root(leaves[:65_536])
        for index in (0, 255, 256, 65_535, 65_536):
            merkle.verify_inclusion(leaves[index], index, 65_537, log.prove_inclusion(session, index, 65_537), root)
        for earlier in (1, 257, 65_535, 65_536, 65_537):
            proof = log.prove_consistency(session, earlier, 65_537)
            merkle.verify_consistency(earlier, merkle.root_of(leaves[:earlier]), 65_537, root, proof)
    world.heads.close()
    world.database.close()

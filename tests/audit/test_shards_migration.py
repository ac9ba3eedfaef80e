"""A log from before there were shards becomes the first shard, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from alembic import command
from audit import merkle
from audit.checkpoint import sign_checkpoint
from audit.entry import make_entry
from audit.form import READ
from gateway.db import Database
from gateway.migrations import _config, check, upgrade
from tests.audit.log_world import ORIGIN, World
from tests.audit.test_shards import AT, hand_over

REVISION = "20261124_shards"
SIZE = 300


@pytest.fixture(params=["sqlite", "postgresql"])
def before(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the schema of before, on either engine."""
    url = f"sqlite:///{tmp_path}/before.db"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        name = f"taipu_before_{tmp_path.name}"
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template1'))
        engine.dispose()
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
    database = Database(url)
    script = ScriptDirectory.from_config(_config(None)).get_revision(REVISION)
    with database.write() as session:
        command.upgrade(_config(session), str(script.down_revision))
    yield database
    database.close()


def fill(world: World) -> None:
    """The rows that a sequencer of before wrote for `SIZE` entries, and the head it pinned."""
    entries = [make_entry(READ, at=AT, party="320509", detail={"n": n}) for n in range(SIZE)]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    edge = merkle.CompactRange()
    for leaf in leaves:
        edge.append(leaf)
    note = sign_checkpoint(world.signer, SIZE, edge.root())
    with world.database.write() as session:
        leaf = text("INSERT INTO log_leaf (idx, leaf_hash, entry) VALUES (:idx, :leaf_hash, :entry)")
        rows = zip(leaves, entries, strict=True)
        session.execute(leaf, [{"idx": n, "leaf_hash": one, "entry": entry} for n, (one, entry) in enumerate(rows)])
        session.execute(
            text("INSERT INTO log_tile (level, idx, root, hashes) VALUES (0, 0, :root, :hashes)"),
            {"root": merkle.subtree_root(leaves[:256]), "hashes": b"".join(leaves[:256])},
        )
        session.execute(
            text(
                "INSERT INTO log_head (id, size, hashes, root, checkpoint, signed_size) "
                "VALUES (1, :size, :hashes, :root, :note, :size)"
            ),
            {"size": SIZE, "hashes": b"".join(edge.hashes), "root": edge.root(), "note": note},
        )
    world.heads.pin_log(ORIGIN, SIZE, edge.root())
    world.appended += entries


def test_what_was_logged_before_is_the_first_shard_and_goes_on(before: Database, tmp_path: Path) -> None:
    world = World(before, tmp_path)
    fill(world)
    upgrade(before)
    check(before)
    world.sequencer().recover()
    world.append(5)
    world.drain(world.sequencer())
    world.check_log(SIZE + 5)
    for statement in ("UPDATE log_leaf SET idx = idx + 1000", "DELETE FROM log_tile"):
        with pytest.raises(DBAPIError, match="append-only"), before.write() as session:
            session.execute(text(statement))
    hand_over(world)
    with before.read() as session:
        assert session.execute(text("SELECT shard, size FROM log_head ORDER BY shard")).all() == [(1, SIZE + 6), (2, 1)]
    world.heads.close()

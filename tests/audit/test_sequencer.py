"""The sequencer: broken off at every point, corrupted behind its back, set back in time, and run by several at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, delete, text, update

from audit import form, log, merkle
from audit.entry import make_entry
from audit.errors import LogBehindError, LogCorruptError, LogError
from audit.heads import HeadStore
from audit.note import NoteSigner
from audit.sequencer import Sequencer
from audit.tables import log_head, log_leaf, log_outbox, log_tile
from gateway.db import Database
from tests.audit.log_world import ORIGIN, BrokenError, World

AT = "2026-11-23T02:00:00.000Z"


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = World(database, tmp_path)
    yield made
    made.heads.close()


def test_a_new_log_begins_with_a_signed_empty_head(world: World) -> None:
    sequencer = world.sequencer()
    sequencer.recover()
    assert sequencer.step() == 0
    world.check_log(0)


def test_entries_get_consecutive_places_in_the_order_they_were_appended(world: World) -> None:
    world.append(700)
    sequencer = world.sequencer()
    assert [sequencer.step(300) for _ in range(4)] == [300, 300, 100, 0]
    world.check_log(700)


@pytest.mark.parametrize("size", [255, 256, 257, 511, 513])
def test_tiles_fill_up_whatever_the_steps(world: World, size: int) -> None:
    world.append(size)
    sequencer = world.sequencer()
    world.drain(sequencer, limit=100)
    world.check_log(size)


def test_nothing_is_signed_again_when_nothing_was_appended(world: World) -> None:
    world.append(3)
    sequencer = world.sequencer()
    world.drain(sequencer)
    signed = list(world.signer.signed)
    assert [sequencer.step() for _ in range(3)] == [0, 0, 0]
    assert world.signer.signed == signed
    assert [text.split("\n")[1] for text in signed] == ["0", "3"]


def test_an_entry_that_is_rolled_back_leaves_no_gap(world: World) -> None:
    world.append(2)
    with suppress(BrokenError), world.database.write() as session:
        log.append(session, make_entry(form.READ, at=AT, party="320509"))
        raise BrokenError
    world.append(2)
    world.drain(world.sequencer())
    world.check_log(4)


def test_an_entry_that_is_appended_again_keeps_its_one_place(world: World) -> None:
    entries = world.append(3)
    sequencer = world.sequencer()
    world.drain(sequencer)
    with world.database.write() as session:
        log.append_many(session, [entries[1], entries[1], entries[0]])
    world.append(1)
    world.drain(sequencer)
    world.check_log(4)


def test_a_key_under_another_name_cannot_sign_for_a_log(world: World) -> None:
    stranger = NoteSigner("another", Ed25519PrivateKey.generate())
    for signers in ([stranger], [world.signer, stranger]):
        with pytest.raises(RuntimeError):
            Sequencer(world.database.write, world.heads, lambda _, given=signers: given, ORIGIN).step()
    assert world.signer.signed == []


def test_while_no_key_is_in_use_entries_get_their_places_and_are_signed_later(world: World) -> None:
    world.append(3)
    sequencer, kept = world.sequencer(), world.keys
    world.keys = []
    assert sequencer.step() == 3
    sequencer.recover()
    with world.database.read() as session:
        assert (log.head(session).size, log.head(session).signed_size) == (3, 0)
    assert world.heads.log_head(ORIGIN) is None
    world.keys = kept
    sequencer.step()
    world.check_log(3)


# What happens in a step, in order, and for each whether it had been done when we stopped.
POINTS = ["integrate", "integrate, undone", "pin", "sign", "publish", "publish, undone", "publish before"]


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but not reported"])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("before", [0, 300], ids=["in the first step", "in a later step"])
def test_a_log_goes_on_whatever_point_it_was_broken_off_at(world: World, before: int, point: str, after: bool) -> None:
    if before:
        world.append(before)
        world.drain(world.sequencer())
    world.append(300)
    world.fault.point, world.fault.after = point, after
    with pytest.raises(BrokenError):
        world.drain(world.sequencer())
    assert world.fault.point == "", "this point was never reached"
    world.check_pinned_first()

    restarted = world.sequencer()
    restarted.recover()
    world.append(7)
    world.drain(restarted)
    world.check_log(before + 307)


@pytest.mark.parametrize("second", POINTS[1:])
@pytest.mark.parametrize("first", POINTS[1:])
def test_a_log_goes_on_when_recovery_is_broken_off_too(sqlite_world: World, first: str, second: str) -> None:
    world = sqlite_world
    world.append(260)
    for point in (first, second):
        world.fault.point, world.fault.after = point, True
        world.append(3)
        with pytest.raises(BrokenError):
            world.drain(world.sequencer(), limit=200)
    restarted = world.sequencer()
    restarted.recover()
    world.drain(restarted)
    world.check_log(266)


@pytest.fixture
def sqlite_world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "taipu.db"
    path.write_bytes(sqlite_template.read_bytes())
    made = World(Database(f"sqlite:///{path}"), tmp_path)
    yield made
    made.heads.close()
    made.database.close()


def _flip_entry(session: Connection) -> None:
    session.execute(update(log_leaf).where(log_leaf.c.idx == 259).values(entry=b"{}"))


def _flip_leaf(session: Connection) -> None:
    session.execute(update(log_leaf).where(log_leaf.c.idx == 259).values(leaf_hash=bytes(32)))


def _flip_old_leaf(session: Connection) -> None:
    session.execute(update(log_leaf).where(log_leaf.c.idx == 0).values(leaf_hash=bytes(32)))


def _lose_leaf(session: Connection) -> None:
    session.execute(delete(log_leaf).where(log_leaf.c.idx == 3))


def _flip_tile(session: Connection) -> None:
    session.execute(update(log_tile).values(hashes=bytes(8192)))


def _flip_tile_root(session: Connection) -> None:
    session.execute(update(log_tile).values(root=bytes(32)))


def _lose_tile(session: Connection) -> None:
    session.execute(delete(log_tile))


def _flip_head_root(session: Connection) -> None:
    session.execute(update(log_head).values(root=bytes(32)))


def _flip_head_hashes(session: Connection) -> None:
    session.execute(update(log_head).values(hashes=bytes(64)))


DAMAGES: dict[str, Callable[[Connection], None]] = {
    "a written entry": _flip_entry,
    "a written leaf hash": _flip_leaf,
    "an older leaf hash at the edge": _flip_old_leaf,
    "a lost leaf": _lose_leaf,
    "a written tile": _flip_tile,
    "a written tile's root": _flip_tile_root,
    "a lost tile": _lose_tile,
    "the head's root": _flip_head_root,
    "the head's hashes": _flip_head_hashes,
}


def allow_changes(session: Connection) -> None:
    """What the triggers forbid, whoever owns the database can allow."""
    if session.dialect.name == "postgresql":
        session.execute(text("ALTER TABLE log_leaf DISABLE TRIGGER ALL"))
        session.execute(text("ALTER TABLE log_tile DISABLE TRIGGER ALL"))
        return
    for name in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
        session.execute(text(f"DROP TRIGGER {name}"))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_nothing_is_signed_that_does_not_read_back_as_it_was_written(
    world: World, damage: Callable[[Connection], None]
) -> None:
    world.append(100)
    world.drain(world.sequencer())
    world.append(160)
    world.fault.point, world.fault.after = "integrate", True
    with pytest.raises(BrokenError):
        world.sequencer().step()
    with world.database.write() as session:
        allow_changes(session)
        damage(session)
    signed = list(world.signer.signed)
    with pytest.raises(LogCorruptError) as caught:
        world.sequencer().step()
    assert caught.value.code == "log.corrupt"
    assert world.signer.signed == signed
    assert world.heads.log_head(ORIGIN) is not None
    assert world.heads.log_head(ORIGIN)[0] == 100  # type: ignore[index]


@pytest.mark.parametrize("hashes", [b"", bytes(32), bytes(31)], ids=["none", "wrong", "cut"])
def test_nothing_is_integrated_behind_a_head_that_does_not_fit_itself(world: World, hashes: bytes) -> None:
    world.append(1)
    world.drain(world.sequencer())
    with world.database.write() as session:
        session.execute(update(log_head).values(hashes=hashes))
    world.append(1)
    with pytest.raises(LogCorruptError):
        world.drain(world.sequencer())
    assert [signed.split("\n")[1] for signed in world.signer.signed] == ["0", "1"]
    with world.database.read() as session:
        assert log.count_waiting(session) == 1


def test_an_entry_that_changed_in_the_outbox_is_not_integrated(world: World) -> None:
    world.append(1)
    with world.database.write() as session:
        session.execute(update(log_outbox).values(entry=b"{}"))
    with pytest.raises(LogCorruptError):
        world.drain(world.sequencer())
    with world.database.read() as session:
        assert log.head(session).size == 0
        assert log.count_waiting(session) == 1


def test_a_stored_checkpoint_that_is_not_the_trees_is_found_at_the_start(world: World) -> None:
    world.append(5)
    world.drain(world.sequencer())
    with world.database.write() as session:
        session.execute(update(log_head).values(signed_size=4))
    with pytest.raises(LogCorruptError):
        world.sequencer().recover()


def set_back(world: World, size: int) -> None:
    """Restore the database as it was at `size`; what is outside it stays."""
    world.drain(world.sequencer())
    with world.database.write() as session:
        allow_changes(session)
        edge = log.compact_range(session, size)
        session.execute(delete(log_leaf).where(log_leaf.c.idx >= size))
        session.execute(delete(log_tile).where(log_tile.c.idx >= size // 256))
        hashes = b"".join(edge.hashes)
        session.execute(
            update(log_head).values(size=size, root=edge.root(), hashes=hashes, checkpoint=None, signed_size=0)
        )


def refuses_everything(world: World, code: str) -> None:
    signed = list(world.signer.signed)
    for attempt in (world.sequencer().recover, world.sequencer().step):
        with pytest.raises(LogBehindError) as caught:
            attempt()
        assert caught.value.code == code
    assert world.signer.signed == signed


def test_a_database_that_was_set_back_signs_nothing(world: World) -> None:
    world.append(300)
    set_back(world, 200)
    refuses_everything(world, "log.database-behind")


def test_a_database_that_was_set_back_and_went_on_elsewhere_signs_nothing(world: World, tmp_path: Path) -> None:
    world.append(300)
    set_back(world, 200)
    elsewhere = HeadStore(tmp_path / "other-heads.db")
    with world.database.write() as session:
        log.append_many(session, [make_entry(form.READ, at=AT, party="320509") for _ in range(150)])
    stranger = Ed25519PrivateKey.generate()
    naive = Sequencer(world.database.write, elsewhere, lambda name: [NoteSigner(name, stranger)], ORIGIN)
    while naive.step():
        pass
    elsewhere.close()
    with world.database.write() as session:
        session.execute(update(log_head).values(checkpoint=None, signed_size=0))
    signed = list(world.signer.signed)
    with pytest.raises(LogBehindError) as caught:
        world.sequencer().recover()
    assert caught.value.code == "log.forked"
    with pytest.raises(LogError):
        world.sequencer().step()
    assert world.signer.signed == signed


def test_a_database_with_another_root_for_the_pinned_size_signs_nothing(world: World) -> None:
    world.append(3)
    set_back(world, 2)
    world.append(1)
    with world.database.write() as session:  # the integration of another third entry, unsigned
        entry = world.appended[-1]
        session.execute(delete(log_outbox))
        edge = log.compact_range(session, 2)
        leaf = merkle.leaf_hash(entry)
        edge.append(leaf)
        session.execute(log_leaf.insert().values(shard=1, idx=2, leaf_hash=leaf, entry=entry))
        session.execute(update(log_head).values(size=3, root=edge.root(), hashes=b"".join(edge.hashes)))
    refuses_everything(world, "log.forked")


def test_a_head_store_that_was_lost_signs_nothing(world: World, tmp_path: Path) -> None:
    world.append(3)
    world.drain(world.sequencer())
    world.heads.close()
    for name in ("heads.db", "heads.db-wal", "heads.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    renewed = World(world.database, tmp_path)
    refuses_everything(renewed, "log.head-store-behind")
    renewed.heads.close()


def test_many_writers_and_two_sequencers_lose_nothing_and_leave_no_gap(world: World) -> None:
    writers, each = 6, 40
    done = threading.Event()
    faults: list[Exception] = []

    def write(number: int) -> None:
        for n in range(each):
            with world.database.write() as session:
                log.append(session, make_entry(form.READ, at=AT, party="320509", actor=f"{number}-{n}"))

    def sequence() -> None:
        sequencer = Sequencer(world.database.write, world.heads, world.signers, ORIGIN)
        while not done.is_set() or sequencer.step(25):
            sequencer.step(25)

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a thread must fail the test
            faults.append(error)

    with world.database.write() as session:  # the first step creates the head's row
        assert log.head(session) == log.EMPTY_HEAD
    world.sequencer().step()
    threads = [threading.Thread(target=run, args=(lambda number=n: write(number),)) for n in range(writers)]
    sequencers = [threading.Thread(target=run, args=(sequence,)) for _ in range(2)]
    for thread in (*sequencers, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    for thread in sequencers:
        thread.join()
    assert faults == []
    with world.database.read() as reading:
        world.appended = log.entries(reading, 0, writers * each)
        assert log.count_waiting(reading) == 0
    actors = [form.parse_entry(entry)["actor"] for entry in world.appended]
    for number in range(writers):
        assert [actor for actor in actors if actor.startswith(f"{number}-")] == [f"{number}-{n}" for n in range(each)]
    world.check_log(writers * each)

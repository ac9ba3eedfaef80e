"""A log that is frozen and goes on: by hand, after a compromise, after a restore; broken off at every point."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, update

from audit import form, log, merkle, shards
from audit.checkpoint import open_checkpoint, parse_checkpoint, sign_checkpoint
from audit.entry import make_entry
from audit.errors import LogBehindError, ShardError
from audit.form import parse_entry
from audit.heads import HeadStore
from audit.keys import LogKey, LogKeys
from audit.note import NoteSigner, note_text
from audit.sequencer import Sequencer
from audit.tables import log_head, log_leaf, log_tile
from gateway.db import Database
from schemas.errors import SignatureError
from schemas.jws import b64encode
from tests.audit.log_world import ORIGIN, BrokenError, World
from tests.audit.test_sequencer import allow_changes, set_back

AT = "2026-11-23T02:00:00.000Z"
SECOND = f"{ORIGIN}/2"


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = World(database, tmp_path)
    yield made
    made.heads.close()


def last_entry() -> bytes:
    return make_entry(form.FREEZE, at=AT, party="320509", actor="person:x", detail={"reason": "drill"})


def freeze(world: World) -> None:
    with world.database.write() as session:
        shards.freeze(session, last_entry())


def go_on(world: World) -> None:
    with world.database.write() as session:
        shards.continue_log(session, ORIGIN, at=AT, party="320509", reason="drill")


def head(world: World, shard: int | None = None) -> log.Head:
    with world.database.read() as session:
        return log.head(session, shard)


def all_entries(world: World) -> dict[int, list[bytes]]:
    with world.database.read() as session:
        return {one.shard: log.entries(session, 0, one.size, one.shard) for one in log.all_heads(session)}


def quoted(world: World, shard: int) -> dict[str, Any]:
    """What the first entry of a successor says of the shard before."""
    with world.database.read() as session:
        first = parse_entry(log.entries(session, 0, 1, shard)[0])
    assert first["t"] == form.CONTINUED
    detail: dict[str, Any] = first["detail"]
    return detail


def check_signed(world: World, *, frozen_after: int = 0) -> None:
    """No size of any shard was signed with two roots, and none beyond the last head once it was frozen there.

    `frozen_after` says how many signatures there were before that.
    """
    roots: dict[tuple[str, int], bytes] = {}
    for number, text in enumerate(world.signer.signed):
        signed = parse_checkpoint(text)
        assert roots.setdefault((signed.origin, signed.size), signed.root) == signed.root
        end = world.heads.log_end(signed.origin)
        assert end is None or signed.size <= end[0] or number < frozen_after


def check_handed_over(world: World) -> None:
    """Two shards: the first ends in its freeze, the second quotes its head, and every entry has one place, in order."""
    check_signed(world)
    found = all_entries(world)
    first, second = found[1], found[2]
    assert list(found) == [1, 2]
    assert parse_entry(first[-1])["t"] == form.FREEZE
    assert [*first[:-1], *second[1:]] == world.appended
    old = head(world, 1)
    assert (old.size, old.root) == (len(first), merkle.root_of(map(merkle.leaf_hash, first)))
    assert world.heads.log_end(ORIGIN) == (old.size, old.root)
    assert old.checkpoint is not None
    assert open_checkpoint(old.checkpoint, [signer.verifier for signer in world.signers(ORIGIN)]).size == old.size
    said = quoted(world, 2)
    assert (said["shard"], said["origin"], said["size"]) == (2, ORIGIN, old.size)
    assert (said["root"], said["checkpoint"], said["carried"]) == (b64encode(old.root), old.checkpoint.decode(), 0)
    new = head(world)
    assert (new.shard, new.size, new.signed) == (2, len(second), True)
    assert new.checkpoint is not None
    opened = open_checkpoint(new.checkpoint, [signer.verifier for signer in world.signers(SECOND)])
    assert (opened.origin, opened.size, opened.root) == (
        SECOND,
        len(second),
        merkle.root_of(map(merkle.leaf_hash, second)),
    )
    assert world.heads.log_head(SECOND) == (new.size, new.root)


def hand_over(world: World) -> None:
    """The whole procedure from wherever it stands, as people and the sequencer carry it out."""
    sequencer = world.sequencer()
    sequencer.recover()
    if head(world).frozen is None and head(world).shard == 1:
        with world.fault.at("freeze"):
            freeze(world)
    world.drain(sequencer)
    if head(world).shard == 1:
        with world.fault.at("continue"):
            go_on(world)
    world.drain(sequencer)


def test_a_frozen_log_goes_on_in_a_successor_that_quotes_its_last_head(world: World) -> None:
    world.append(300)
    world.drain(world.sequencer())
    world.append(2)
    hand_over(world)
    world.append(260)
    world.drain(world.sequencer())
    check_handed_over(world)


# What happens, in order: `freeze` and `continue` are people's acts, the others the sequencer's.
POINTS = ["freeze", "end", "sign", "publish", "continue", "pin", "integrate", "publish before"]


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but not reported"])
@pytest.mark.parametrize("point", POINTS)
def test_a_log_is_handed_over_once_whatever_point_it_was_broken_off_at(world: World, point: str, after: bool) -> None:
    world.append(258)
    world.drain(world.sequencer())
    world.append(3)
    world.fault.point, world.fault.after = point, after
    with pytest.raises(BrokenError):
        hand_over(world)
    assert world.fault.point == "", "this point was never reached"
    world.append(2)
    hand_over(world)
    world.append(1)
    world.drain(world.sequencer())
    check_handed_over(world)


@pytest.mark.parametrize("second", POINTS)
@pytest.mark.parametrize("first", ["freeze", "end", "sign", "continue"])
def test_a_log_is_handed_over_once_when_recovery_is_broken_off_too(
    sqlite_template: Path, tmp_path: Path, first: str, second: str
) -> None:
    path = tmp_path / "taipu.db"
    path.write_bytes(sqlite_template.read_bytes())
    world = World(Database(f"sqlite:///{path}"), tmp_path)
    world.append(5)
    for point in (first, second):
        world.fault.point, world.fault.after = point, True
        with suppress(BrokenError):
            hand_over(world)
    world.fault.point = ""
    hand_over(world)
    check_handed_over(world)
    world.heads.close()
    world.database.close()


def test_while_a_log_is_frozen_entries_wait_and_nothing_is_signed(world: World) -> None:
    world.append(3)
    sequencer = world.sequencer()
    world.drain(sequencer)
    freeze(world)
    sequencer.step()
    signed = list(world.signer.signed)
    world.append(2)
    assert [sequencer.step() for _ in range(3)] == [0, 0, 0]
    assert world.signer.signed == signed
    with world.database.read() as session:
        assert log.count_waiting(session) == 2
        assert (log.head(session).size, log.head(session).held) == (4, 4)


def test_a_log_is_frozen_once_and_continued_only_from_a_signed_last_head(world: World) -> None:
    world.append(1)
    world.drain(world.sequencer())
    with pytest.raises(ShardError) as caught:
        go_on(world)
    assert caught.value.code == "log.not-frozen"
    freeze(world)
    with pytest.raises(ShardError) as caught:
        go_on(world)  # its last head is not signed yet
    assert caught.value.code == "log.not-frozen"
    with pytest.raises(ShardError) as caught:
        freeze(world)
    assert caught.value.code == "log.frozen"
    world.drain(world.sequencer())
    go_on(world)
    with pytest.raises(ShardError):
        go_on(world)
    world.drain(world.sequencer())
    check_handed_over(world)


def test_a_copy_of_the_database_from_before_the_freeze_signs_nothing_into_the_frozen_shard(world: World) -> None:
    world.append(3)
    world.drain(world.sequencer())
    hand_over(world)
    with world.database.write() as session:
        allow_changes(session)
        session.execute(delete(log_leaf).where((log_leaf.c.shard == 2) | (log_leaf.c.idx == 3)))
        session.execute(delete(log_head).where(log_head.c.shard == 2))
        edge = log.compact_range(session, 3)
        before = {"size": 3, "root": edge.root(), "hashes": b"".join(edge.hashes), "frozen": None}
        session.execute(update(log_head).values(**before, checkpoint=None, signed_size=0))
    signed = list(world.signer.signed)
    for attempt in (world.sequencer().recover, world.sequencer().step):
        with pytest.raises(LogBehindError) as caught:
            attempt()
        assert caught.value.code == "log.frozen"
    assert world.signer.signed == signed


def test_a_head_store_that_knows_another_end_stops_a_frozen_log(world: World) -> None:
    world.append(3)
    world.drain(world.sequencer())
    world.heads.end_log(ORIGIN, *(world.heads.log_head(ORIGIN) or (0, b"")))
    freeze(world)
    signed = list(world.signer.signed)
    with pytest.raises(LogBehindError):
        world.sequencer().step()
    assert world.signer.signed == signed


# Compromise: the shard ends at an earlier head, and what it held beyond is carried over.


def note_at(world: World, size: int, *, signer: NoteSigner | None = None) -> bytes:
    """The head at `size` as somebody outside keeps it."""
    with world.database.read() as session:
        root = log.compact_range(session, size).root()
    return sign_checkpoint(signer or world.signer, size, root)


def freeze_at(world: World, note: bytes) -> log.Head:
    with world.database.write() as session:
        return shards.freeze_at(session, ORIGIN, note, [world.signer.verifier])


@pytest.mark.parametrize("beyond", [0, 1, 258, 1300])
def test_after_a_compromise_what_was_beyond_the_last_trusted_head_is_carried_over_as_it_was(
    world: World, beyond: int
) -> None:
    world.append(270)
    world.drain(world.sequencer())
    note = note_at(world, 270)
    promised = world.append(beyond)
    world.drain(world.sequencer())
    waiting = world.append(2)
    before = len(world.signer.signed)
    freeze_at(world, note)
    world.drain(world.sequencer())
    world.keys = [Ed25519PrivateKey.generate()]
    go_on(world)
    world.drain(world.sequencer())
    found = all_entries(world)
    assert found[1] == world.appended[:270]
    assert found[2][1:] == [*promised, *waiting]
    assert quoted(world, 2)["carried"] == beyond
    with world.database.read() as session:
        assert shards.disowned(session, log.head(session, 1)) == promised
        for index, entry in enumerate([*promised, *waiting], 1):
            assert log.find_place(session, merkle.leaf_hash(entry)) == log.Place(2, index)
        assert log.find_place(session, merkle.leaf_hash(world.appended[0])) == log.Place(1, 0)
    check_signed(world, frozen_after=before)
    assert world.heads.log_end(ORIGIN) == (270, parse_checkpoint(note_text(note)).root)


def test_an_entry_of_a_trusted_shard_that_is_appended_again_keeps_its_one_place(world: World) -> None:
    entries = world.append(3)
    world.drain(world.sequencer())
    note = note_at(world, 2)
    freeze_at(world, note)
    world.drain(world.sequencer())
    go_on(world)
    with world.database.write() as session:
        log.append_many(session, [entries[0], entries[2]])
    world.drain(world.sequencer())
    assert all_entries(world)[2][1:] == [entries[2]]


@pytest.mark.parametrize(
    "point", ["end", "publish before", "sign", "pin"], ids=["end", "commit of the end", "sign", "pin of the successor"]
)
@pytest.mark.parametrize("after", [False, True])
def test_a_compromised_log_goes_on_whatever_point_it_was_broken_off_at(world: World, point: str, after: bool) -> None:
    world.append(6)
    world.drain(world.sequencer())
    note = note_at(world, 4)
    before = len(world.signer.signed)
    freeze_at(world, note)
    go_on(world)  # both in one go: nothing is signed in between
    world.fault.point, world.fault.after = point, after
    with pytest.raises(BrokenError):
        world.drain(world.sequencer())
    restarted = world.sequencer()
    restarted.recover()
    world.drain(restarted)
    assert all_entries(world)[1] == world.appended[:4]
    assert all_entries(world)[2][1:] == world.appended[4:]
    assert (world.heads.log_end(ORIGIN) or (0,))[0] == 4
    assert head(world).signed
    check_signed(world, frozen_after=before)


def test_a_log_is_not_frozen_at_a_head_it_never_had_or_that_nobody_vouches_for(world: World) -> None:
    world.append(5)
    world.drain(world.sequencer())
    other = NoteSigner(f"{ORIGIN}/3", Ed25519PrivateKey.generate())
    cases: dict[str, tuple[bytes, type[Exception]]] = {
        "another root": (sign_checkpoint(world.signer, 3, bytes(32)), ShardError),
        "a stranger's": (note_at(world, 3, signer=NoteSigner(ORIGIN, Ed25519PrivateKey.generate())), SignatureError),
        "no note": (b"", SignatureError),
    }
    for note, error in cases.values():
        with pytest.raises(error):
            freeze_at(world, note)
    with pytest.raises(ShardError) as caught, world.database.write() as session:
        shards.freeze_at(session, ORIGIN, note_at(world, 3, signer=other), [other.verifier])
    assert caught.value.code == "log.head-unfit"
    assert head(world).frozen is None
    assert freeze_at(world, note_at(world, 3)) == freeze_at(world, note_at(world, 3))
    with pytest.raises(ShardError) as caught:
        freeze_at(world, note_at(world, 2))
    assert caught.value.code == "log.frozen"


# Restore: the database is behind what was signed.


def test_a_database_that_was_set_back_goes_on_behind_the_head_that_was_pinned(world: World) -> None:
    world.append(300)
    set_back(world, 200)
    pinned = world.heads.log_head(ORIGIN)
    assert pinned is not None
    world.append(2)
    frozen = freeze_at(world, sign_checkpoint(world.signer, *pinned))
    assert (frozen.size, frozen.held) == (300, 200)
    restarted = world.sequencer()
    restarted.recover()
    restarted.step()
    go_on(world)
    world.drain(restarted)
    said = quoted(world, 2)
    assert (said["size"], said["root"]) == (300, b64encode(pinned[1]))
    with world.database.read() as session:
        assert log.entries(session, 1, 3) == world.appended[-2:]
        assert log.prove_inclusion(session, 1, 3)
        assert log.read_tile(session, 0, 0, 200, shard=1) == b"".join(map(merkle.leaf_hash, world.appended[:200]))
    check_signed(world)


def test_a_database_set_back_to_before_the_successor_opens_a_third_shard(world: World) -> None:
    world.append(3)
    hand_over(world)
    world.append(4)
    world.drain(world.sequencer())
    pinned = world.heads.log_head(SECOND)
    assert pinned is not None
    with world.database.write() as session:  # what is left is the first shard, frozen
        allow_changes(session)
        session.execute(delete(log_leaf).where(log_leaf.c.shard == 2))
        session.execute(delete(log_tile).where(log_tile.c.shard == 2))
        session.execute(delete(log_head).where(log_head.c.shard == 2))
    (signer,) = world.signers(SECOND)
    with world.database.write() as session:
        shards.freeze_at(session, ORIGIN, sign_checkpoint(signer, *pinned), [signer.verifier])
        shards.continue_log(session, ORIGIN, at=AT, party="320509", reason="restored")
    world.append(1)
    world.drain(world.sequencer())
    assert (head(world).shard, head(world).size) == (3, 2)
    assert quoted(world, 3)["origin"] == SECOND
    assert world.heads.log_end(SECOND) == pinned
    check_signed(world)


def test_a_successor_opened_from_a_copy_is_not_signed_against_the_one_that_was_pinned(world: World) -> None:
    world.append(3)
    world.drain(world.sequencer())
    hand_over(world)
    with world.database.write() as session:
        allow_changes(session)
        session.execute(delete(log_leaf).where(log_leaf.c.shard == 2))
        session.execute(delete(log_head).where(log_head.c.shard == 2))
    signed = list(world.signer.signed)
    for attempt in (world.sequencer().recover, world.sequencer().step):
        with pytest.raises(LogBehindError) as caught:
            attempt()
        assert caught.value.code == "log.database-behind"
    go_on(world)
    with pytest.raises(LogBehindError):
        world.sequencer().step()
    assert world.signer.signed == signed


# Several processes at once.


def test_of_many_that_freeze_and_continue_at_once_one_does_and_no_entry_is_lost(world: World) -> None:
    world.append(1)
    world.drain(world.sequencer())
    done, faults = threading.Event(), list[Exception]()

    def write(number: int) -> None:
        for n in range(30):
            with world.database.write() as session:
                log.append(session, make_entry(form.READ, at=AT, party="320509", actor=f"{number}-{n}"))

    def sequence() -> None:
        sequencer = Sequencer(world.database.write, world.heads, world.signers, ORIGIN)
        while not done.is_set() or sequencer.step(25):
            sequencer.step(25)

    def decide() -> None:
        with suppress(ShardError), world.database.write() as session:
            if log.head(session, lock=True).shard == 1:
                shards.freeze(session, last_entry())
        while head(world).shard == 1:
            with suppress(ShardError):
                go_on(world)

    def run(work: Any, *given: int) -> None:
        try:
            work(*given)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a thread must fail the test
            faults.append(error)

    threads = [threading.Thread(target=run, args=(write, number)) for number in range(3)]
    threads += [threading.Thread(target=run, args=(decide,)) for _ in range(3)]
    sequencers = [threading.Thread(target=run, args=(sequence,)) for _ in range(2)]
    for thread in (*sequencers, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    for thread in sequencers:
        thread.join()
    assert faults == []
    world.drain(world.sequencer())  # one that saw the log frozen a last time has left what waited
    found = all_entries(world)
    world.appended = [*found[1][:-1], *found[2][1:]]
    actors = [parse_entry(entry).get("actor") for entry in world.appended]
    for number in range(3):
        mine = [actor for actor in actors if actor and actor.startswith(f"{number}-")]
        assert mine == [f"{number}-{n}" for n in range(30)]
    check_handed_over(world)


# Keys of one shard.


def test_while_a_key_changes_both_sign_and_then_only_the_new_one(world: World) -> None:
    old, new = world.keys[0], Ed25519PrivateKey.generate()
    sequencer = world.sequencer()
    stages: list[tuple[list[Ed25519PrivateKey], int]] = []
    for keys in ([old], [old, new], [new]):
        world.keys = keys  # as a key ring does, in a running process
        world.append(1)
        world.drain(sequencer)
        checkpoint = head(world).checkpoint or b""
        lines = [line for line in checkpoint.decode().partition("\n\n")[2].splitlines() if line]
        stages.append((keys, len(lines)))
        for key in (old, new):
            verifier = NoteSigner(ORIGIN, key).verifier
            if key in keys:
                assert open_checkpoint(checkpoint, [verifier]).size == head(world).size
            else:
                with pytest.raises(SignatureError):
                    open_checkpoint(checkpoint, [verifier])
    assert [count for _, count in stages] == [1, 2, 1]


def test_an_idle_log_is_signed_again_by_a_key_that_joins_and_not_when_one_leaves(world: World) -> None:
    old, new = world.keys[0], Ed25519PrivateKey.generate()
    world.append(2)
    sequencer = world.sequencer()
    world.drain(sequencer)
    world.keys = [old, new]
    sequencer.step()
    assert open_checkpoint(head(world).checkpoint or b"", [NoteSigner(ORIGIN, new).verifier]).size == 2
    before = head(world).checkpoint
    world.keys = [new]
    sequencer.step()
    assert head(world).checkpoint == before
    world.sequencer().recover()
    check_signed(world)


def test_a_new_key_says_from_which_size_it_signs(world: World) -> None:
    world.append(3)
    world.drain(world.sequencer())
    vkey = NoteSigner(ORIGIN, Ed25519PrivateKey.generate()).vkey
    with world.database.write() as session:
        assert shards.key_detail(session, vkey, "yearly") == {
            "use": "log", "vkey": vkey, "reason": "yearly", "first": 4,
        }  # fmt: skip


OLD, NEW, STRANGER = (NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2, 3))
KEYS = LogKeys((LogKey(OLD.verifier, last=9), LogKey(NEW.verifier, first=5)))


@pytest.mark.parametrize(
    ("signers", "size", "code"),
    [
        ([OLD], 9, None),
        ([OLD], 10, "checkpoint.key-ended"),
        ([NEW], 4, "checkpoint.key-ended"),
        ([NEW], 5, None),
        ([OLD, NEW], 7, None),
        ([OLD, NEW], 10, None),
        ([NEW, OLD], 4, None),
        ([STRANGER], 7, "note.unsigned"),
        ([OLD, STRANGER], 7, None),
    ],
)
def test_a_key_vouches_for_the_sizes_it_may_sign_and_no_others(
    signers: list[NoteSigner], size: int, code: str | None
) -> None:
    note = sign_checkpoint(signers[0], size, bytes(32), also=signers[1:])
    if code is None:
        assert open_checkpoint(note, KEYS).size == size
        return
    with pytest.raises(SignatureError) as caught:
        open_checkpoint(note, KEYS)
    assert caught.value.code == code


def test_a_bad_signature_of_a_retired_key_condemns_the_note_that_the_new_one_signed_well() -> None:
    text, _, lines = sign_checkpoint(NEW, 7, bytes(32)).decode().partition("\n\n")
    forged = OLD.sign("another text\n")
    with pytest.raises(SignatureError) as caught:
        open_checkpoint(f"{text}\n\n{lines}{forged}".encode(), KEYS)
    assert caught.value.code == "note.signature-invalid"


def test_keys_are_read_as_a_party_states_them() -> None:
    keys = LogKeys.parse([NEW.vkey], [(OLD.vkey, 9), (STRANGER.vkey, None)])
    assert [(key.first, key.last) for key in keys.of(ORIGIN)] == [(0, None), (0, 9), (0, -1)]
    assert keys.of(SECOND) == []
    assert not keys.allow([STRANGER.verifier], 0)
    with pytest.raises(SignatureError):
        LogKeys.parse(["nonsense"])


def test_the_end_of_a_shard_is_pinned_for_good(tmp_path: Path) -> None:
    heads = HeadStore(tmp_path / "heads.db")
    one, two = merkle.leaf_hash(b"1"), merkle.leaf_hash(b"2")
    heads.pin_log(ORIGIN, 5, one)
    heads.end_log(ORIGIN, 6, two)
    assert heads.log_end(ORIGIN) == heads.log_head(ORIGIN) == (6, two)
    heads.end_log(ORIGIN, 6, two)
    heads.pin_log(ORIGIN, 6, two)
    for attempt in (heads.end_log, heads.pin_log):
        for size, root in [(6, one), (5, one), (7, two)]:
            with pytest.raises(Exception, match="frozen at size 6"):
                attempt(ORIGIN, size, root)
    heads.pin_log(SECOND, 9, one)
    with pytest.raises(Exception, match="pinned at size 9"):
        heads.end_log(SECOND, 9, two)
    heads.end_log(SECOND, 4, two)  # the last head that others vouch for
    assert (heads.log_end(SECOND), heads.log_head(SECOND)) == ((4, two), (9, one))
    heads.close()

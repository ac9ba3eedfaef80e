"""Shards of a log: freeze the one in force, and go on in a successor. One procedure for all cases.

    by hand       `freeze` appends the last entry; the sequencer signs the last head
    compromise    `freeze_at` ends the shard at the last head that others can vouch for: what was signed later under
                  the key may be a thief's, and is ignored whatever it says
    restore       `freeze_at` with the head the head store pins, which the database no longer reaches

Then `continue_log` opens the successor: a tree of its own from size 0, under an origin of its own, whose first entry
quotes origin, size, root and checkpoint of the shard before. Entries that shard held beyond its last head follow, as
they are, so that whoever was promised one still finds it; then what waits in the outbox.

Each of these is one change of the database, in the caller's transaction; the head store is the sequencer's. What is
true if we stop after any of them:

    freeze, freeze_at       no process integrates anything into the shard any more; entries wait in the outbox
    the sequencer's step    the last head is pinned for good, so that no copy of the database signs another, and signed
    continue_log            the successor is in force; before it is first signed, all ends are pinned
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from audit import log
from audit.checkpoint import Checkpoint, open_checkpoint
from audit.entry import make_entry
from audit.errors import ShardError
from audit.form import CONTINUED
from audit.keys import LogKeys, origin_of
from audit.log import EMPTY_HEAD, Head
from audit.merkle import leaf_hash
from audit.note import NoteVerifier
from audit.tables import log_leaf
from audit.tree import grow, store_head
from schemas.jws import b64encode

_CARRIED = 1_000  # entries written at a time


def freeze(connection: Connection, entry: bytes) -> Head:
    """Freeze the shard in force behind `entry`, which becomes its last; the head that the sequencer is to sign.

    `entry` is a `FREEZE`, saying why and who.

    Raises:
        ShardError: `log.frozen`: it is already.
    """
    found = _open_head(connection)
    grown = grow(connection, found, {leaf_hash(entry): entry})
    frozen = replace(grown, frozen=grown.size)
    store_head(connection, frozen)
    return frozen


def freeze_at(connection: Connection, origin: str, note: bytes, keys: LogKeys | Iterable[NoteVerifier]) -> Head:
    """Freeze the shard that the checkpoint `note` is of at just that head, whatever came after it.

    `origin` names the log, and `keys` are those that vouch for the note. It may lie beyond what the database holds:
    then that was set back, and the entries between are not here. It may also be of the next shard, when the database
    was set back to before there was one. The caller has made sure that the head is one to be trusted.

    Raises:
        SignatureError: `note` is not a head signed with one of `keys`.
        ShardError: `log.frozen`: at another head; `log.head-unfit`: a head of another log or shard, or one that the
            stored tree does not make.
    """
    head = open_checkpoint(note, keys)
    found = log.head(connection, lock=True)
    if head.origin == origin_of(origin, found.shard + 1) and found.frozen is not None:
        found = replace(EMPTY_HEAD, shard=found.shard + 1)
    if head.origin != origin_of(origin, found.shard) or (head.size == 0 and found.shard > 1):
        raise ShardError(f"this is no head at which log {origin} can be frozen", code="log.head-unfit")
    if found.frozen is not None:
        if (found.size, found.root) == (head.size, head.root):
            return found
        raise ShardError(f"the log is frozen at size {found.size} already", code="log.frozen")
    frozen = _cut(connection, found, head, note)
    store_head(connection, frozen)
    return frozen


def continue_log(
    connection: Connection, origin: str, *, at: str, party: str, reason: str, actor: str | None = None
) -> Head:
    """Open the successor of the frozen shard of the log `origin`: its head, which the sequencer signs.

    The members of its first entry are as `audit.entry.make_entry` takes them.

    Raises:
        ShardError: `log.not-frozen`: the shard in force is not, or its last head is not signed yet.
    """
    found = log.head(connection, lock=True)
    if found.frozen is None or not found.signed or found.checkpoint is None:
        raise ShardError("a log that is not frozen under a signed head has no successor", code="log.not-frozen")
    if log.head(connection).shard != found.shard:
        raise ShardError("the log has a successor already", code="log.not-frozen")
    carried = disowned(connection, found)
    detail: dict[str, Any] = {
        "shard": found.shard + 1,
        "origin": origin_of(origin, found.shard),
        "size": found.size,
        "root": b64encode(found.root),
        "checkpoint": found.checkpoint.decode(),
        "reason": reason,
        "carried": len(carried),
    }
    first = make_entry(CONTINUED, at=at, party=party, actor=actor, detail=detail)
    head = grow(connection, replace(EMPTY_HEAD, shard=found.shard + 1), {leaf_hash(first): first})
    for start in range(0, len(carried), _CARRIED):
        some = carried[start : start + _CARRIED]
        head = grow(connection, head, {leaf_hash(entry): entry for entry in some})
    return head


def disowned(connection: Connection, frozen: Head) -> list[bytes]:
    """The entries that a frozen shard held beyond its last head, in order."""
    if frozen.frozen is None:
        return []
    beyond = select(log_leaf.c.entry).where(log_leaf.c.shard == frozen.shard, log_leaf.c.idx >= frozen.size)
    return list(connection.scalars(beyond.order_by(log_leaf.c.idx)))


def key_detail(connection: Connection, vkey: str, reason: str) -> dict[str, object]:
    """What a `KEY_CHANGED` entry says of a new key of the log; it is appended in this transaction.

    `first` is the smallest size that the key will sign: nobody can integrate anything before this transaction ends.
    """
    return {"use": "log", "vkey": vkey, "reason": reason, "first": log.head(connection, lock=True).size + 1}


def _open_head(connection: Connection) -> Head:
    found = log.head(connection, lock=True)
    if found.frozen is not None:
        raise ShardError(f"the log is frozen at size {found.size} already", code="log.frozen")
    return found


def _cut(connection: Connection, found: Head, head: Checkpoint, note: bytes) -> Head:
    """The head `found` as it is once its shard ends at `head`."""
    held = min(head.size, found.size)
    edge = log.compact_range(connection, held, found.shard)
    if held == head.size and edge.root() != head.root:
        raise ShardError(f"the stored tree of size {held} is not that of this head", code="log.head-unfit")
    hashes = edge.hashes if held == head.size else ()
    return Head(head.size, head.root, hashes, note, head.size, found.shard, held)

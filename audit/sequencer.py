"""The sequencer: takes entries from the outbox, gives them their places in the tree, and signs the new head.

A step is two transactions. What is true if we stop between any two of these points:

    1. take entries from the outbox, write leaves and full tiles, move the head   nothing happened
       commit                                                                     integrated; 2 comes next
    2. read back what was written, hash it again, recompute the root              the same
       pin (size, root) in the head store                                         the same, and no other root can be
       sign                                                                       the same: again, the same signature
       store the checkpoint, commit                                               published

So one size never gets two signed roots, on whatever copy of the database this runs: the head store is no part of it.
Each transaction locks the head row, so that several sequencers can run at once by mistake without harm.

A frozen shard (`audit.shards`) is only finished: its last head is pinned for good, and signed if it is not yet. Entries
then wait in the outbox for the successor.

The transactions must be durable when they commit (on SQLite `synchronous = FULL`): a database that loses its last
commits to a power cut is behind its head store, and stays read-only until a person has decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select

from audit import log
from audit.checkpoint import open_checkpoint, parse_checkpoint, sign_checkpoint
from audit.errors import HeadConflictError, LogBehindError, LogCorruptError
from audit.heads import HeadStore
from audit.keys import origin_of
from audit.log import Head
from audit.merkle import empty_root, leaf_hash
from audit.note import NoteSigner, claimed_signers, note_text
from audit.tables import log_leaf, log_outbox
from audit.tree import grow, read_back, store_head
from schemas.errors import SignatureError

STEP = 1_000  # entries; a step of this size takes some tens of milliseconds

_KNOWN = select(log_leaf.c.leaf_hash, log_leaf.c.shard, log_leaf.c.idx).where(
    log_leaf.c.leaf_hash.in_(bindparam("taken", expanding=True))
)

Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens a write transaction: committed, durably, when the context ends, and rolled back when it raises."""

Signers = Callable[[str], Sequence[NoteSigner]]
"""The keys in use at this moment, under the name that is given: the origin of a shard. Asked before each signature.

Where there are none, nothing is signed until there are.
"""


class Sequencer:
    """The one writer of a log. `origin` names the log: it is the origin of its first shard."""

    def __init__(self, begin: Begin, heads: HeadStore, signers: Signers, origin: str) -> None:
        self._begin = begin
        self._heads = heads
        self._signers = signers
        self._origin = origin
        self._ended = 0  # the shards up to this one are known to have their last heads pinned

    def recover(self) -> None:
        """Compare the database with the head store, before the first step after a start.

        Raises:
            LogBehindError: one of them was set back, or they tell two histories.
            LogCorruptError: the stored tree is not the one that was pinned or signed.
        """
        with self._begin() as connection:
            found = log.head(connection, lock=True)
            if found.frozen is None:
                pinned_size, pinned_root = self._pinned(found)
                if log.compact_range(connection, pinned_size, found.shard).root() != pinned_root:
                    detail = f"the log at size {pinned_size} is not the one that was pinned"
                    raise LogBehindError(detail, code="log.forked")
            else:
                self._require_last(found)
            self._check_signed(connection, found)

    def step(self, limit: int = STEP) -> int:
        """Integrate up to `limit` waiting entries (at most 30,000) and sign the new head; returns how many were taken.

        First signs what an earlier step left unsigned, and again what the keys now in use have not signed. A log's
        first step signs its empty head. While the log is frozen nothing is taken.

        Raises:
            LogBehindError, LogCorruptError: sign nothing more and alarm. Nothing wrong has been signed.
        """
        self._publish()
        with self._begin() as connection:
            found = log.head(connection, lock=True)
            taken = _integrate(connection, found, limit) if found.frozen is None else 0
        if taken:
            self._publish()
        return taken

    def _publish(self) -> None:
        """Sign and store the head, unless it already is."""
        with self._begin() as connection:
            found = log.head(connection, lock=True)
            self._end_earlier(connection, found)
            if found.frozen is not None and found.signed:
                self._require_last(found)
                self._end(found)
                return
            pinned_size, pinned_root = self._pinned(found)
            signers = self._signers_of(found)
            if not signers or (found.signed and _signed_by(found, signers)):
                return
            read_back(connection, found, pinned_size, pinned_root)
            self._pin(found)
            checkpoint = sign_checkpoint(signers[0], found.size, found.root, also=signers[1:])
            open_checkpoint(checkpoint, [signer.verifier for signer in signers])  # a faulty signature must not get out
            store_head(connection, replace(found, checkpoint=checkpoint, signed_size=found.size))

    def _signers_of(self, found: Head) -> Sequence[NoteSigner]:
        origin = origin_of(self._origin, found.shard)
        signers = self._signers(origin)
        if any(signer.name != origin for signer in signers):
            raise RuntimeError(f"log {origin} is signed by keys of that name alone")
        return signers

    def _pinned(self, found: Head) -> tuple[int, bytes]:
        """The head in the head store, which the database must have reached and must not have been signed beyond."""
        origin = origin_of(self._origin, found.shard)
        pinned, end = self._heads.log_head(origin), self._heads.log_end(origin)
        if end is not None and (found.frozen is None or end != (found.size, found.root)):
            detail = f"log {origin} is frozen at size {end[0]}, and the database does not know"
            raise LogBehindError(detail, code="log.frozen")
        if found.checkpoint is not None and (pinned is None or pinned[0] < found.signed_size):
            detail = f"log {origin} is signed up to {found.signed_size}, but the head store does not know"
            raise LogBehindError(detail, code="log.head-store-behind")
        size, root = pinned or (0, empty_root())
        if size > found.size:
            detail = f"log {origin} was pinned at size {size}, but the database has {found.size} entries"
            raise LogBehindError(detail, code="log.database-behind")
        if size == found.size and root != found.root:
            raise LogBehindError(f"log {origin} has two roots for size {size}", code="log.forked")
        return size, root

    def _pin(self, found: Head) -> None:
        if found.frozen is not None:
            self._end(found)
            return
        try:
            self._heads.pin_log(origin_of(self._origin, found.shard), found.size, found.root)
        except HeadConflictError as error:
            raise LogBehindError(error.detail, code="log.forked", extra=error.extra) from error

    def _end(self, frozen: Head) -> None:
        """Pin a frozen shard's last head for good."""
        try:
            self._heads.end_log(origin_of(self._origin, frozen.shard), frozen.size, frozen.root)
        except HeadConflictError as error:
            raise LogBehindError(error.detail, code="log.forked", extra=error.extra) from error

    def _require_last(self, frozen: Head) -> None:
        """A frozen shard that the database ends with is the last one that anything was pinned of."""
        later = origin_of(self._origin, frozen.shard + 1)
        if self._heads.log_head(later) is not None:
            detail = f"the log went on in {later}, and the database does not know"
            raise LogBehindError(detail, code="log.database-behind")

    def _end_earlier(self, connection: Connection, found: Head) -> None:
        """Before a successor is signed, all before it are at an end in the head store, too."""
        if self._ended < found.shard - 1:
            for head in log.all_heads(connection)[: found.shard - 1]:
                self._end(head)
            self._ended = found.shard - 1

    def _check_signed(self, connection: Connection, found: Head) -> None:
        """The stored checkpoint is the one of the stored tree.

        Its signature is looked at when a key that is in use made it; one that is not may have made it before.
        """
        if found.checkpoint is None:
            return
        signed = parse_checkpoint(note_text(found.checkpoint))
        known = (origin_of(self._origin, found.shard), found.signed_size)
        whole = found.held == found.signed_size  # a database that was set back has the entries no longer
        root = log.compact_range(connection, found.signed_size, found.shard).root() if whole else found.root
        if (signed.origin, signed.size, signed.root) != (*known, root):
            raise LogCorruptError("the stored checkpoint is not the one of the stored tree")
        ours = [signer.verifier for signer in self._signers_of(found)]
        try:
            open_checkpoint(found.checkpoint, ours)
        except SignatureError as error:
            if error.code != "note.unsigned":
                raise LogCorruptError("the stored checkpoint was not signed by this log") from error


def _signed_by(found: Head, signers: Sequence[NoteSigner]) -> bool:
    """Whether the stored checkpoint bears a line of each of `signers`."""
    claimed = claimed_signers(found.checkpoint or b"")
    return all((signer.name, signer.verifier.key_id) in claimed for signer in signers)


def _integrate(connection: Connection, found: Head, limit: int) -> int:
    """Move up to `limit` entries from the outbox behind the head `found`; returns how many were taken."""
    taken = _take(connection, limit)
    if any(leaf_hash(row.entry) != row.leaf_hash for row in taken):
        raise LogCorruptError("an entry in the outbox is not the one whose leaf hash was promised")
    # An entry appended twice gets one place; a dict keeps the first of equal keys where it was.
    known = _known(connection, found, [row.leaf_hash for row in taken])
    fresh = {row.leaf_hash: row.entry for row in taken if row.leaf_hash not in known}
    if fresh:
        grow(connection, found, fresh)
    return len(taken)


def _known(connection: Connection, found: Head, taken: list[bytes]) -> set[bytes]:
    """Which of these leaf hashes have a place already. What a frozen shard holds beyond its last head has none."""
    rows = connection.execute(_KNOWN, {"taken": taken}).all()
    if all(row.shard == found.shard for row in rows):
        return {row.leaf_hash for row in rows}
    ends = {head.shard: head.size for head in log.all_heads(connection)}
    return {row.leaf_hash for row in rows if row.idx < ends[row.shard]}


def _take(connection: Connection, limit: int) -> list[Row[Any]]:
    """The `limit` oldest rows of the outbox, which leave it.

    One statement takes and deletes: an entry with a smaller id that commits meanwhile is neither lost nor skipped.
    """
    oldest = select(log_outbox.c.id).order_by(log_outbox.c.id).limit(limit)
    query = delete(log_outbox).where(log_outbox.c.id.in_(oldest)).returning(log_outbox)
    return sorted(connection.execute(query), key=lambda row: int(row.id))

"""A log for tests: a migrated database, a head store, a signer, and the means to break any of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from audit import form, log, merkle
from audit.checkpoint import open_checkpoint, parse_checkpoint
from audit.entry import make_entry
from audit.heads import HeadStore
from audit.note import NoteSigner
from audit.sequencer import Sequencer
from gateway.db import Database

ORIGIN = "320509.example/log/2027"


class BrokenError(Exception):
    """The power went."""


@dataclass
class Fault:
    """Breaks at `point`, once: before what happens there, or after it has been done but before anybody is told."""

    point: str = ""
    after: bool = False

    @contextmanager
    def at(self, point: str) -> Iterator[None]:
        due = self.point == point
        if due:
            self.point = ""
            if not self.after:
                raise BrokenError(point)
        yield
        if due:
            raise BrokenError(point)


class BreakableHeads(HeadStore):
    def __init__(self, path: Path, fault: Fault) -> None:
        super().__init__(path)
        self._fault = fault

    def pin_log(self, origin: str, size: int, root: bytes) -> None:
        with self._fault.at("pin"):
            super().pin_log(origin, size, root)

    def end_log(self, origin: str, size: int, root: bytes) -> None:
        with self._fault.at("end"):
            super().end_log(origin, size, root)


class BreakableSigner(NoteSigner):
    """Remembers everything it signed, as the world outside would."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey, fault: Fault, signed: list[str]) -> None:
        super().__init__(name, private_key)
        self._fault = fault
        self.signed = signed

    def sign(self, text: str) -> str:
        with self._fault.at("sign"):
            self.signed.append(text)
            return super().sign(text)
        raise AssertionError


@dataclass
class World:
    """One log. `appended` are all entries whose transaction was committed, in order."""

    database: Database
    folder: Path
    fault: Fault = field(default_factory=Fault)
    appended: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heads = BreakableHeads(self.folder / "heads.db", self.fault)
        self.keys = [Ed25519PrivateKey.from_private_bytes(bytes(range(32)))]
        self.signer = BreakableSigner(ORIGIN, self.keys[0], self.fault, [])
        self._transactions = 0

    def sequencer(self) -> Sequencer:
        """As a process makes one when it starts. A step's transactions are: publish, integrate, publish."""
        self._transactions = 0
        return Sequencer(self._begin, self.heads, self.signers, ORIGIN)

    def signers(self, origin: str) -> list[NoteSigner]:
        """The keys in use, under the name of a shard. What they sign is remembered together."""
        return [BreakableSigner(origin, key, self.fault, self.signer.signed) for key in self.keys]

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        point = ("publish before", "integrate", "publish")[self._transactions % 3]
        self._transactions += 1
        with self.fault.at(point), self.database.write() as session:
            yield session
            if self.fault.point == point + ", undone":
                self.fault.point = ""
                raise BrokenError(point)

    def append(self, count: int) -> list[bytes]:
        entries = [
            make_entry(form.READ, at="2026-11-23T02:00:00.000Z", party="320509", detail={"n": len(self.appended) + n})
            for n in range(count)
        ]
        with self.database.write() as session:
            log.append_many(session, entries)
        self.appended += entries
        return entries

    def drain(self, sequencer: Sequencer, limit: int = 1000) -> None:
        while sequencer.step(limit):
            pass

    def check_pinned_first(self) -> None:
        """Nothing was ever signed that the head store would not know after a restore of the database."""
        pinned = self.heads.log_head(ORIGIN)
        for text in self.signer.signed:
            assert pinned is not None
            assert parse_checkpoint(text).size <= pinned[0], "signed before it was pinned"

    def check_log(self, size: int) -> None:
        """Read the whole log again: entries, tiles, head, head store, and everything that was ever signed."""
        with self.database.read() as session:
            head = log.head(session)
            entries = log.entries(session, 0, size)
            leaves = [merkle.leaf_hash(entry) for entry in entries]
            assert head.size == head.signed_size == size
            assert head.root == merkle.root_of(leaves)
            assert log.level_hashes(session, 0, 0, size) == leaves
            for level in (1, 2):
                below = log.level_hashes(session, level - 1, 0, size >> 8 * level << 8)
                roots = [merkle.subtree_root(below[at : at + 256]) for at in range(0, len(below), 256)]
                assert log.level_hashes(session, level, 0, size >> 8 * level) == roots
        assert entries == self.appended[:size]
        assert head.checkpoint is not None
        opened = open_checkpoint(head.checkpoint, [self.signer.verifier])
        assert (opened.size, opened.root) == (size, head.root) == self.heads.log_head(ORIGIN)
        for text in self.signer.signed:
            signed = parse_checkpoint(text)
            assert signed.root == merkle.root_of(leaves[: signed.size]), "two roots were signed for one size"

"""The head store: what must never move backwards, kept where no backup of the database reaches.

One small SQLite file of its own. It pins the newest head of each log and the newest number of each feed *before* a
signature or a batch is given out, so that a database set back in time is noticed before it can sign a second history.
A frozen shard's last head is pinned for good: whoever asks to sign another one of that shard is refused.

It holds no secrets. It must never be part of a backup, nor be restored: if it is lost, that is an incident, not a
nuisance.

Every change is a compare-and-set in one transaction, on disk before it is reported. Several processes and threads may
share one file; reading waits for no writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from audit.errors import HeadConflictError
from audit.merkle import HASH_SIZE
from schemas.jws import b64encode

BUSY_TIMEOUT = 30.0  # seconds to wait for another process's write

_SCHEMA = """\
CREATE TABLE IF NOT EXISTS log_pin (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_end (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feed_pin (
    provider TEXT NOT NULL, dataset TEXT NOT NULL, seq INTEGER NOT NULL, manifest TEXT NOT NULL,
    PRIMARY KEY (provider, dataset)
) STRICT, WITHOUT ROWID;
"""
_LOG = "SELECT size, root FROM log_pin WHERE origin = ?"
_END = "SELECT size, root FROM log_end WHERE origin = ?"
_FEEDS = "SELECT dataset, seq, manifest FROM feed_pin WHERE provider = ?"
_FEED = "SELECT seq, manifest FROM feed_pin WHERE provider = ? AND dataset = ?"


class HeadStore:
    """The head store in the file at `path`, created when it is not there."""

    def __init__(self, path: Path) -> None:
        # One connection reads and one writes, so that a read never waits while a write goes to disk. Each has a lock,
        # held for one statement by whichever thread uses it.
        self._writer = _connect(path)
        self._write_lock = Lock()
        with self._write_lock:
            self._writer.executescript(_SCHEMA)
        self._reader = _connect(path)
        self._read_lock = Lock()

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def log_head(self, origin: str) -> tuple[int, bytes] | None:
        """The pinned (size, root) of the log `origin`; None when nothing was ever pinned."""
        pinned: tuple[int, bytes] | None = self._read(_LOG, (origin,))
        return pinned

    def log_end(self, origin: str) -> tuple[int, bytes] | None:
        """The (size, root) at which the shard `origin` is frozen for good; None while it may go on."""
        end: tuple[int, bytes] | None = self._read(_END, (origin,))
        return end

    def feed_head(self, provider: str, dataset: str) -> tuple[int, str] | None:
        """The pinned (number, manifest hash) of a feed; None when nothing was ever pinned."""
        pinned: tuple[int, str] | None = self._read(_FEED, (provider, dataset))
        return pinned

    def feed_heads(self, provider: str) -> dict[str, tuple[int, str]]:
        """The pinned (number, manifest hash) of every feed of `provider`, by dataset."""
        with self._read_lock:
            rows = self._reader.execute(_FEEDS, (provider,)).fetchall()
        return {dataset: (seq, manifest) for dataset, seq, manifest in rows}

    def version(self) -> int:
        """A number that differs whenever any process has pinned something in between; cheap enough to poll."""
        version: int = self._read("PRAGMA data_version", ())[0]
        return version

    def pin_log(self, origin: str, size: int, root: bytes) -> None:
        """Pin a log's head before it is signed. The pinned head again is fine, and so is a larger one.

        That the larger tree begins with the smaller is for the caller to have checked.

        Raises:
            HeadConflictError: `head.conflict`: smaller, another root for the pinned size, or the shard is frozen at
                another head. Nothing changed.
        """
        with self._transaction() as connection:
            _require_open(connection, origin, size, root)
            _pin(connection, origin, size, root)

    def end_log(self, origin: str, size: int, root: bytes) -> None:
        """Pin a shard's last head for good, before it is signed. The same end again is fine.

        It may be smaller than the pinned head: heads that a thief of the key could have signed are then signed no
        more. That the pinned tree begins with it is for the caller to have checked.

        Raises:
            HeadConflictError: `head.conflict`: another end, or another root for the pinned size. Nothing changed.
        """
        with self._transaction() as connection:
            _require_open(connection, origin, size, root)
            pinned = connection.execute(_LOG, (origin,)).fetchone()
            if pinned is None or size >= pinned[0]:
                _pin(connection, origin, size, root)
            connection.execute("INSERT OR IGNORE INTO log_end VALUES (?, ?, ?)", (origin, size, root))

    def pin_feed(self, provider: str, dataset: str, seq: int, manifest_hash: str) -> None:
        """Pin a feed's newest batch before it is served. The pinned batch again is fine, and so is the next number.

        A feed never pinned may begin at any number: whoever joins late pins the first batch it is given.

        Raises:
            HeadConflictError: `head.conflict`: another number, or another batch for the pinned one. Nothing changed.
        """
        if seq < 1:
            raise RuntimeError("batches are numbered from 1")
        with self._transaction() as connection:
            pinned = connection.execute(_FEED, (provider, dataset)).fetchone()
            if pinned == (seq, manifest_hash):
                return
            if pinned is not None and seq != pinned[0] + 1:
                raise HeadConflictError(
                    f"feed {provider}/{dataset} is pinned at batch {pinned[0]}; batch {seq} cannot follow",
                    extra={
                        "pinned": {"seq": pinned[0], "manifest": pinned[1]},
                        "offered": {"seq": seq, "manifest": manifest_hash},
                    },
                )
            values = (provider, dataset, seq, manifest_hash)
            connection.execute("INSERT OR REPLACE INTO feed_pin VALUES (?, ?, ?, ?)", values)

    def _read(self, query: str, key: tuple[str, ...]) -> Any:
        with self._read_lock:
            return self._reader.execute(query, key).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The writer, alone among all processes; on disk when this ends, rolled back when it raises."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")


def _require_open(connection: sqlite3.Connection, origin: str, size: int, root: bytes) -> None:
    end = connection.execute(_END, (origin,)).fetchone()
    if end is not None and end != (size, root):
        raise _conflict(f"log {origin} is frozen at size {end[0]}", end, (size, root))


def _pin(connection: sqlite3.Connection, origin: str, size: int, root: bytes) -> None:
    if size < 0 or len(root) != HASH_SIZE:
        raise RuntimeError("a head is a size and a root of 32 bytes")
    pinned = connection.execute(_LOG, (origin,)).fetchone()
    if pinned == (size, root):
        return
    if pinned is not None and size <= pinned[0]:
        detail = f"log {origin} is pinned at size {pinned[0]} and cannot be set to size {size} with this root"
        raise _conflict(detail, pinned, (size, root))
    connection.execute("INSERT OR REPLACE INTO log_pin VALUES (?, ?, ?)", (origin, size, root))


def _conflict(detail: str, pinned: tuple[int, bytes], offered: tuple[int, bytes]) -> HeadConflictError:
    extra: dict[str, object] = {
        "pinned": {"size": pinned[0], "root": b64encode(pinned[1])},
        "offered": {"size": offered[0], "root": b64encode(offered[1])},
    }
    return HeadConflictError(detail, extra=extra)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection

"""The database: one engine, two kinds of session, and who may commit.

`ReadSession` never writes. `WriteSession` on SQLite takes a lock of this process and then BEGIN IMMEDIATE: the lock
makes our own writers queue fairly (SQLite's busy handler does not: 4.4 s worst against 98 ms measured with six
threads), BEGIN IMMEDIATE keeps other processes' writers out from the first statement, so no transaction fails halfway
with a lock it could not upgrade. On PostgreSQL both are plain transactions at READ COMMITTED.

Only the edge commits: a request, a command, one step of a background duty. Code below takes a session and never ends
it. Decode, verify and hash before opening a WriteSession; a writer that does slow work makes everybody wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NewType

from sqlalchemy import Connection, Engine, create_engine, event, make_url

ReadSession = NewType("ReadSession", Connection)
WriteSession = NewType("WriteSession", ReadSession)

STATEMENT_TIMEOUT = 30_000  # ms; `as_of` answers are final once no older write can still commit
_BUSY_TIMEOUT = 30_000  # ms SQLite waits for another process


class Database:
    """An engine and its sessions; safe to share between threads."""

    def __init__(self, url: str, *, pool: int = 48) -> None:
        self.engine = (_sqlite_engine if make_url(url).get_backend_name() == "sqlite" else _postgres)(url, pool)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writer = threading.Lock()  # held for the whole of a SQLite WriteSession
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[ReadSession]:
        """A session that sees one committed state and rolls back at the end."""
        with self._connected() as connection, connection.begin() as transaction:
            yield ReadSession(connection)
            transaction.rollback()

    @contextmanager
    def write(self) -> Iterator[WriteSession]:
        """A session that commits at the end, or rolls back when its block raises."""
        if not self.is_sqlite:
            with self._connected() as connection, connection.begin():
                yield WriteSession(ReadSession(connection))
            return
        with self._writer, self._connected() as connection:
            immediate = connection.execution_options(begin="BEGIN IMMEDIATE")
            with immediate.begin():
                yield WriteSession(ReadSession(immediate))

    def close(self) -> None:
        self._closed = True
        self.engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection of the pool. One that comes back after `close`, of a step that was cut off, is closed here: the
        pool it belongs to is no more."""
        with self.engine.connect() as connection:
            try:
                yield connection
            finally:
                if self._closed:
                    connection.invalidate()


def _sqlite_engine(url: str, pool: int) -> Engine:
    arguments = {"check_same_thread": False, "timeout": _BUSY_TIMEOUT / 1000}
    # A failed statement is written to the log; the records in it must not be.
    engine = create_engine(url, pool_size=pool, max_overflow=8, connect_args=arguments, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver would otherwise begin by itself, and too late
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # a receipt is a promise: NORMAL may lose an acknowledged commit with the power
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-65536",  # KiB
            "wal_autocheckpoint=8000",  # pages; fewer, longer checkpoints: 3.7 times the insert rate measured
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _postgres(url: str, pool: int) -> Engine:
    # Pool ≥ worker threads: fewer connections than threads is the known stall of FastAPI services.
    options = f"-c statement_timeout={STATEMENT_TIMEOUT} -c idle_in_transaction_session_timeout={STATEMENT_TIMEOUT}"
    return create_engine(
        url, pool_size=pool, max_overflow=8, pool_pre_ping=True, connect_args={"options": options}, hide_parameters=True
    )

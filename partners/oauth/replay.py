"""Each assertion and each proof is good for one use: the memory that holds them to it.

`DatabaseReplay` holds across workers, hosts and restarts. `MemoryReplay` is for proofs where the gateway is one process
on SQLite, so that no read becomes a write; what an earlier process saw is lost, hence nothing made before this process
started is taken. Times are milliseconds UTC.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection, Table, delete
from sqlalchemy.dialects import postgresql, sqlite

from partners.tables import assertion_seen, proof_seen
from schemas.errors import LimitError

MEMORY_SPAN = 121_000  # ms one entry can matter: a proof from a clock 60 s ahead is good for 120 s
MEMORY_CAPACITY = 400_000  # entries of about 100 bytes


class Replay(Protocol):
    """What has been used."""

    @property
    def since(self) -> int | None:
        """From when on this memory is complete; None where it always is."""

    def remember(self, subject: str, jti: str, *, expires: int, now: int) -> bool:
        """True the first time `jti` comes from `subject` (a client, or a key's thumbprint), False ever after.

        It is kept until `expires` at least. Raises LimitError where it cannot be kept: then it must not be used.
        """


class MemoryReplay:
    """A bounded memory within one process, safe to share between threads.

    Two generations, turned over every MEMORY_SPAN, so that forgetting costs nothing and an entry lives through one
    whole span. It refuses when full rather than grows.
    """

    def __init__(self, started: int, *, capacity: int = MEMORY_CAPACITY) -> None:
        self.since: int | None = started
        self._capacity = capacity
        self._lock = threading.Lock()  # guards everything below
        self._younger: set[bytes] = set()
        self._older: set[bytes] = set()
        self._turn = started + MEMORY_SPAN

    def remember(self, subject: str, jti: str, *, expires: int, now: int) -> bool:
        if expires > now + MEMORY_SPAN:
            raise RuntimeError("this memory does not reach that far")
        entry = hashlib.sha256(f"{subject} {jti}".encode()).digest()
        with self._lock:
            if now >= self._turn:
                # After a pause of two spans nothing old matters either.
                self._older = self._younger if now < self._turn + MEMORY_SPAN else set()
                self._younger = set()
                self._turn = now + MEMORY_SPAN
            if entry in self._younger or entry in self._older:
                return False
            if len(self._younger) + len(self._older) >= self._capacity:
                raise LimitError("too many requests in too short a time", code="limit.replay-memory-full")
            self._younger.add(entry)
            return True


class DatabaseReplay:
    """A memory in the table `seen`, whose primary key is a subject and a jti.

    `begin` opens a transaction of its own: what was used stays used although the request it came with is refused and
    rolled back.
    """

    since = None

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]], seen: Table) -> None:
        self._begin = begin
        self._seen = seen

    def remember(self, subject: str, jti: str, *, expires: int, now: int) -> bool:  # noqa: ARG002
        subject_column = self._seen.primary_key.columns[0].name
        values = {subject_column: subject, "jti": jti, "expires": expires}
        with self._begin() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            # An expired row that was not yet cleared away refuses too; nobody may use the same jti again anyway.
            statement = dialect.insert(self._seen).values(values).on_conflict_do_nothing()
            # The row that comes back is the verdict: psycopg counts none for such an insert.
            return connection.execute(statement.returning(self._seen.c.jti)).first() is not None


def forget_expired(connection: Connection, now: int) -> int:
    """Clear away what can no longer be replayed; the number of rows that went."""
    tables = (assertion_seen, proof_seen)
    return sum(connection.execute(delete(seen).where(seen.c.expires < now)).rowcount for seen in tables)

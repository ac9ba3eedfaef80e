"""Each assertion and each proof is good for one use: the memory that holds them to it.

`DatabaseReplay` holds across workers, hosts and restarts. `MemoryReplay` is for proofs where the gateway is one process
on SQLite, so that no read becomes a write; what an earlier process saw is lost, hence a proof that may have been made
for it is taken only with a nonce of this process. Times are milliseconds UTC.

Neither grows without bound: each subject has its share, and all of them together have a limit. Who fills its own share
is refused; the others go on.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection, Table, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from partners.oauth.jwt import SKEW
from partners.tables import assertion_seen, proof_seen, token_cut, token_revoked
from schemas.errors import LimitError

MEMORY_SPAN = 121_000  # ms one entry can matter: a proof from a clock 60 s ahead is good for 120 s
MEMORY_CAPACITY = 400_000  # entries of about 100 bytes
MEMORY_SHARE = 100_000  # entries of one key: 800 requests a second, sustained

ASSERTIONS = 500_000  # rows of about 200 bytes
ASSERTIONS_SHARE = 20_000  # rows of one client: a token every 180 ms, where each assertion is good for an hour
PROOFS = 2_000_000  # rows; PostgreSQL serves many workers
PROOFS_SHARE = 200_000

_CROWDED = 0.8  # of the capacity


class Replay(Protocol):
    """What has been used."""

    def remember(self, subject: str, jti: str, *, expires: int, now: int) -> bool:
        """True the first time `jti` comes from `subject` (a client, or a key's thumbprint), False ever after.

        It is kept until `expires` at least. Raises LimitError where it cannot be kept: then it must not be used.
        """

    def needs_nonce(self, issued: int) -> bool:
        """Whether a proof made at `issued` should show by a nonce that it was made just now.

        Either this memory may not know all that was used by then, or it is nearly full: then only callers that listen
        to our answers are served, not whoever sends proofs it made in stock.
        """


class MemoryReplay:
    """A bounded memory within one process, safe to share between threads.

    Two generations, turned over every MEMORY_SPAN, so that forgetting costs nothing and an entry lives through one
    whole span. It refuses when full rather than grows.
    """

    def __init__(self, started: int, *, capacity: int = MEMORY_CAPACITY, share: int = MEMORY_SHARE) -> None:
        self.started = started
        self._capacity = capacity
        self._share = share
        self._lock = threading.Lock()  # guards everything below
        self._younger: set[bytes] = set()
        self._older: set[bytes] = set()
        self._of: tuple[Counter[str], Counter[str]] = (Counter(), Counter())  # entries of each subject, likewise
        self._turn = started + MEMORY_SPAN

    def remember(self, subject: str, jti: str, *, expires: int, now: int) -> bool:
        if expires > now + MEMORY_SPAN:
            raise RuntimeError("this memory does not reach that far")
        entry = hashlib.sha256(f"{subject} {jti}".encode()).digest()
        with self._lock:
            self._forget(now)
            if entry in self._younger or entry in self._older:
                return False
            if self.size >= self._capacity or self._of[0][subject] + self._of[1][subject] >= self._share:
                raise _full()
            self._younger.add(entry)
            self._of[0][subject] += 1
            return True

    def needs_nonce(self, issued: int) -> bool:
        # An earlier process took proofs from clocks ahead of its own, up to the last moment. `iat` has whole seconds.
        return issued <= self.started + SKEW or self.size >= self._capacity * _CROWDED

    @property
    def size(self) -> int:
        """Entries kept at this moment."""
        return len(self._younger) + len(self._older)

    def _forget(self, now: int) -> None:
        if now < self._turn:
            return
        # After a pause of two spans nothing old matters either.
        recent = now < self._turn + MEMORY_SPAN
        self._older, self._younger = self._younger if recent else set(), set()
        self._of = (Counter(), self._of[0] if recent else Counter())
        self._turn = now + MEMORY_SPAN


class DatabaseReplay:
    """A memory in the table `seen`, whose primary key is a subject and a jti.

    `begin` opens a transaction of its own: what was used stays used although the request it came with is refused and
    rolled back. `share` bounds the rows of one subject, `capacity` all of them. Rows are not counted at each use: a
    count says how many more may come before the next one, an eighth of what is free, so that full is never far beyond
    the limit however many workers there are.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[Connection]],
        seen: Table,
        *,
        capacity: int = ASSERTIONS,
        share: int = ASSERTIONS_SHARE,
    ) -> None:
        self._begin = begin
        self._seen = seen
        self._capacity = capacity
        self._share = share
        self._lock = threading.Lock()  # guards everything below
        self._crowded = False  # as it was when all were counted
        self._room = 0  # rows that may come before they are counted again
        self._room_of: dict[str, int] = {}  # the same for each subject

    def remember(self, subject: str, jti: str, *, expires: int, now: int) -> bool:
        subject_column = self._seen.primary_key.columns[0]
        values = {subject_column.name: subject, "jti": jti, "expires": expires}
        with self._begin() as connection:
            self._take_room(connection, subject_column, subject, now)
            # An expired row that was not yet cleared away refuses too; nobody may use the same jti again anyway.
            # The row that comes back is the verdict: psycopg counts none for such an insert.
            statement = _insert_once(connection, self._seen).values(values).returning(self._seen.c.jti)
            return connection.execute(statement).first() is not None

    def needs_nonce(self, issued: int) -> bool:  # noqa: ARG002
        return self._crowded

    def _take_room(self, connection: Connection, column: Any, subject: str, now: int) -> None:
        with self._lock:
            if self._room < 1:
                free = self._free(connection, self._capacity, now)
                self._crowded = free < self._capacity * (1 - _CROWDED)
                self._room = _room(free)
            if self._room_of.get(subject, 0) < 1:
                if len(self._room_of) >= 10_000:  # a few counts made again are cheaper than keeping an order
                    self._room_of.clear()
                self._room_of[subject] = _room(self._free(connection, self._share, now, column == subject))
            self._room -= 1
            self._room_of[subject] -= 1

    def _free(self, connection: Connection, limit: int, now: int, *which: Any) -> int:
        kept = select(self._seen.c.jti).where(self._seen.c.expires >= now, *which).limit(limit).subquery()
        return limit - (connection.scalar(select(func.count()).select_from(kept)) or 0)


def forget_expired(connection: Connection, now: int) -> int:
    """Clear away what can no longer be replayed, and revocations of what has ended; the number of rows that went."""
    tables = (assertion_seen, proof_seen, token_revoked, token_cut)
    return sum(connection.execute(delete(one).where(one.c.expires < now)).rowcount for one in tables)


def _insert_once(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def _room(free: int) -> int:
    if free < 1:
        raise _full()
    return max(1, free // 8)


def _full() -> LimitError:
    return LimitError("too many requests in too short a time", code="limit.replay-memory-full")

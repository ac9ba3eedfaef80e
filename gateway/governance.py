"""Who may change what decides: versions of governed tables are proposed by one person and approved by another.

A version decides from its instant on, or from some seconds after its approval where that is later, so that all
processes change at once and what was in force at some moment is never changed afterwards. Going back proposes the
content of an earlier version anew, so both stay and both are named by what they decided. An approval is of exactly what
was shown: it names the proposal's digest.

As long as a gateway has no version of its own of a table, the one that ships with the program decides; once one is in
force, a new release changes nothing by itself, and its content is proposed like any other (`docs/adr/0005`).

Proposer and approver are accounts. The log keeps them out: an act names a pseudonym there, the same for all acts of one
person at this gateway, which only this gateway can compute.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace

from sqlalchemy import text

from audit.entry import make_entry
from audit.form import TABLE_APPROVED, TABLE_PROPOSED, TABLE_REJECTED
from audit.log import append
from gateway.db import Database, ReadSession, WriteSession
from gateway.errors import GovernanceError
from gateway.home import Home
from gateway.people.person import Person, actor_of
from gateway.store.versions import (
    FIRST_OWN,
    Version,
    add_version,
    approved_keys,
    decide,
    find_version,
    next_number,
)
from schemas.deciding import DECIDING, check_version
from schemas.tables import Row, Table, Tables, in_force, shipped, table_names
from schemas.times import utc_text

MAX_NOTE = 500  # characters
MIN_DIGEST = 8  # characters of a digest that an approval names: 48 bits, against a slip and not against a forger
_KEEP = 2.0  # seconds another process's approval may go unseen; less than the `NOTICE` that an approval gives
_FOR_EVER = 2**63 - 1  # ms


class Governed:
    """The tables in force, remembered by the process. Effective instants count to the millisecond, in every process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()  # one thread at a time looks into the database
        self._read = -math.inf  # when it was looked into last, by the monotonic clock
        self._own: dict[str, list[Table]] = {}
        self._keys: tuple[tuple[str, int], ...] = ()
        self._made: dict[tuple[str, ...], Tables] = {}
        self._now: tuple[int, int, Tables] | None = None  # from, until before, what is in force then

    def at(self, now: int) -> Tables:
        """What decides at `now` (ms UTC). Of one period it is always the same object.

        Raises:
            GovernanceError: `table.changed`: an approved version in the database is not what was approved.
            TableError: this program cannot decide by a version that an earlier one approved.
        """
        if time.monotonic() - self._read > _KEEP:
            with self._lock:
                self._refresh()
        held = self._now
        if held is None or not held[0] <= now < held[1]:
            held = self._now = self._choose(now)
        return held[2]

    def forget(self) -> None:
        """A version was approved: look into the database next time."""
        self._read = -math.inf

    def _refresh(self) -> None:
        with self._database.read() as session:
            keys = approved_keys(session)
            if keys != self._keys:
                known = {(name, table.version): table for name, own in self._own.items() for table in own}
                own: dict[str, list[Table]] = {}
                for name, number in keys:
                    table = known.get((name, number)) or find_version(session, name, number).as_table()
                    own.setdefault(name, []).append(table)
                self._own, self._keys, self._now = own, keys, None
        self._read = time.monotonic()

    def _choose(self, now: int) -> tuple[int, int, Tables]:
        chosen = [in_force(self._own.get(name, ()), now) or shipped(name) for name in table_names()]
        references = tuple(table.reference for table in chosen)
        found = self._made.get(references)
        if found is None:
            found = Tables(chosen)
            for kind in DECIDING:
                found[kind]  # made now, so that a version this program cannot use is seen before a reading is judged
            self._made[references] = found
        instants = [table.effective for own in self._own.values() for table in own]
        since = max((instant for instant in instants if instant <= now), default=-_FOR_EVER)
        return since, min((instant for instant in instants if instant > now), default=_FOR_EVER), found


@dataclass(frozen=True)
class Governance:
    """Acts on the versions of one gateway's tables. Every act that changes something is an entry of the log."""

    home: Home
    database: Database
    governed: Governed

    def propose(
        self, name: str, rows: tuple[Row, ...], *, by: Person, effective: int, note: str = "", now: int
    ) -> Version:
        """Propose `rows` as the next version of a table, to decide from `effective` on. Instants in ms UTC.

        Raises:
            AccessDeniedError: `person.not-permitted`.
            TableError: there is no such table, or its class cannot decide by these rows; all faulty rows are named.
            GovernanceError: `table.note-invalid`.
        """
        by.require("table.propose")
        shipped(name)
        if len(note) > MAX_NOTE or not note.isprintable():
            raise GovernanceError(f"a note has at most {MAX_NOTE} printable characters", code="table.note-invalid")
        draft = Version(name, 0, "proposed", effective, rows, note, by.account, now)
        check_version(draft.as_table(), self.governed.at(max(effective, now)))
        with self.database.write() as session:
            _one_at_a_time(session, name)
            version = replace(draft, version=next_number(session, name))
            add_version(session, version)
            self._log(session, TABLE_PROPOSED, version, by, now)
        return version

    def go_back(self, name: str, number: int, *, by: Person, effective: int, now: int) -> Version:
        """Propose the content of an earlier version anew. Raises as `propose` and `content` do."""
        with self.database.read() as session:
            table = content(session, name, number)
        note = f"goes back to {table.reference}"
        return self.propose(name, table.rows, by=by, effective=effective, note=note, now=now)

    def approve(self, name: str, number: int, *, by: Person, digest: str, now: int) -> Version:
        """Put a proposal in force from its instant, or in some seconds where that has passed.

        `digest` is what the approver was shown: the proposal's digest or its beginning.

        Raises:
            AccessDeniedError: `person.not-permitted`, or `person.confirm-again`.
            GovernanceError: `table.version-unknown`, `table.decided`, `table.own-proposal`, `table.changed`.
            TableError: it has come to contradict what is in force meanwhile.
        """
        by.require("table.approve")
        by.require_recent(now)
        with self.database.write() as session:
            version = _undecided(session, name, number)
            if len(digest) < MIN_DIGEST or not version.digest.startswith(digest):
                detail = f"{version.reference} has the digest {version.digest}: look at it again"
                raise GovernanceError(detail, code="table.changed")
            if by.account.casefold() == version.proposer.casefold():
                detail = f"{version.proposer} proposed {version.reference}: somebody else approves it"
                raise GovernanceError(detail, code="table.own-proposal")
            approved = replace(version, state="approved", decider=by.account, decided_at=now)
            check_version(approved.as_table(), self.governed.at(approved.as_table().effective))
            decide(session, version, "approved", decider=by.account, at=now)
            self._log(session, TABLE_APPROVED, approved, by, now)
        self.governed.forget()
        return approved

    def reject(self, name: str, number: int, *, by: Person, now: int) -> Version:
        """Decide that a proposal never comes into force; its proposer may, to withdraw it. Raises as `approve` does."""
        with self.database.write() as session:
            version = _undecided(session, name, number)
            if by.account != version.proposer:
                by.require("table.approve")
            decide(session, version, "rejected", decider=by.account, at=now)
            rejected = replace(version, state="rejected", decider=by.account, decided_at=now)
            self._log(session, TABLE_REJECTED, rejected, by, now)
        return rejected

    def _log(self, session: WriteSession, kind: str, version: Version, by: Person, now: int) -> None:
        detail = {
            "table": version.reference,
            "digest": version.digest,
            "effective": utc_text(version.as_table().effective),
        }
        actor = actor_of(self.home, by.account)
        entry = make_entry(kind, at=utc_text(now), party=self.home.settings.party, actor=actor, detail=detail)
        append(session, entry)


def content(session: ReadSession, name: str, number: int) -> Table:
    """A version of a table, the one that ships or an own one, whatever was decided about it.

    Raises:
        TableError: `table.unknown`.
        GovernanceError: `table.version-unknown`, or `table.changed`.
    """
    table = shipped(name)
    if number < FIRST_OWN and number == table.version:
        return table
    return find_version(session, name, number).as_table()


def _undecided(session: WriteSession, name: str, number: int) -> Version:
    shipped(name)
    version = find_version(session, name, number, lock=True)
    if version.state != "proposed":
        raise GovernanceError(f"{version.reference} is {version.state} already", code="table.decided")
    return version


def _one_at_a_time(session: WriteSession, name: str) -> None:
    """Two proposals for one table at once would take the same number: the second waits for the first."""
    if session.dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))"), {"name": name})

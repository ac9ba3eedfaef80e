"""Rows of `table_version`: a version of a governed table as it was proposed, and what was decided about it.

The digest covers all that is approved: name, number, instant, proposer, note and rows. It is computed anew whenever a
version is read, so that a row that somebody changed in the database decides nothing.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import rfc8785
import zstandard
from sqlalchemy import insert, select, update

from gateway.db import ReadSession, WriteSession
from gateway.errors import GovernanceError
from gateway.store import tables
from schemas.tables import Row, Table

State = Literal["proposed", "approved", "rejected"]

FIRST_OWN = 1001
"""The first number of a gateway's own versions: those below are the ones that ship, in this release and later ones."""

NOTICE = 3_000
"""Milliseconds from an approval until it may take effect: by then every process knows of it, and all change at once."""

_versions = tables.table_version
_LARGEST = 64 * 1024 * 1024  # bytes of rows as JSON; many times what `schemas.tables` admits as CSV


@dataclass(frozen=True)
class Version:
    """A proposal, and what became of it. Instants in ms UTC; `decider` and `decided_at` None while nobody decided."""

    name: str
    version: int
    state: State
    effective: int
    rows: tuple[Row, ...]
    note: str
    proposer: str
    proposed_at: int
    decider: str | None = None
    decided_at: int | None = None

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """base64url SHA-256 of all that is approved, in RFC 8785 form."""
        content: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "effective": self.effective,
            "proposer": self.proposer,
            "note": self.note,
            "rows": [dict(row) for row in self.rows],
        }
        return base64.urlsafe_b64encode(hashlib.sha256(rfc8785.dumps(content)).digest()).rstrip(b"=").decode()

    def as_table(self) -> Table:
        """What decides from its instant on, or from `NOTICE` after its approval where that is later."""
        effective = self.effective if self.decided_at is None else max(self.effective, self.decided_at + NOTICE)
        return Table(self.name, self.version, effective, self.proposer, self.decider or "", self.rows)


def add_version(session: WriteSession, version: Version) -> None:
    """Keep a proposal."""
    body = zstandard.ZstdCompressor(level=3).compress(msgspec.json.encode([dict(row) for row in version.rows]))
    session.execute(
        insert(_versions).values(
            name=version.name, version=version.version, state="proposed", effective=version.effective, body=body,
            digest=version.digest, note=version.note, proposer=version.proposer, proposed_at=version.proposed_at,
        )
    )  # fmt: skip


def decide(session: WriteSession, version: Version, state: State, *, decider: str, at: int) -> None:
    """Write down what was decided about a proposal that `find_version` has locked."""
    here = (_versions.c.name == version.name, _versions.c.version == version.version)
    session.execute(update(_versions).where(*here).values(state=state, decider=decider, decided_at=at))


def next_number(session: ReadSession, name: str) -> int:
    """The number of the table's next own version."""
    query = select(_versions.c.version).where(_versions.c.name == name)
    last: int | None = session.execute(query.order_by(_versions.c.version.desc()).limit(1)).scalar()
    return FIRST_OWN if last is None else last + 1


def find_version(session: ReadSession, name: str, number: int, *, lock: bool = False) -> Version:
    """One own version of a table; locked until the end of the transaction where it is to be decided.

    Raises:
        GovernanceError: `table.version-unknown`, or `table.changed`: it is not what was proposed.
    """
    query = select(_versions).where(_versions.c.name == name, _versions.c.version == number)
    if lock and session.dialect.name == "postgresql":
        query = query.with_for_update()
    row = session.execute(query).first()
    if row is None:
        raise GovernanceError(f"there is no {name[:40]}@{number}", code="table.version-unknown")
    return _version(row)


def all_versions(session: ReadSession, name: str | None = None) -> list[Version]:
    """Every own version (of one table), by table and number. Raises as `find_version` does."""
    query = select(_versions).order_by(_versions.c.name, _versions.c.version)
    if name is not None:
        query = query.where(_versions.c.name == name)
    return [_version(row) for row in session.execute(query)]


def approved_keys(session: ReadSession) -> tuple[tuple[str, int], ...]:
    """Table and number of every approved version, in order."""
    query = select(_versions.c.name, _versions.c.version).where(_versions.c.state == "approved")
    return tuple((row.name, row.version) for row in session.execute(query.order_by(*query.selected_columns)))


def _version(row: Any) -> Version:
    """The row as a version. Whoever changed it without us is found out here."""
    try:
        body = zstandard.ZstdDecompressor().decompress(row.body, max_output_size=_LARGEST)
        rows = tuple(msgspec.json.decode(body, type=list[dict[str, str]]))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise _changed(row) from error
    version = Version(
        row.name, row.version, row.state, row.effective, rows, row.note, row.proposer, row.proposed_at, row.decider,
        row.decided_at,
    )  # fmt: skip
    if version.digest != row.digest:
        raise _changed(row)
    return version


def _changed(row: Any) -> GovernanceError:
    return GovernanceError(f"{row.name}@{row.version} is not what {row.proposer} proposed", code="table.changed")

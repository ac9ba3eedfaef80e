"""Governed tables: what decides something about a value is a table with a version, a proposer and an approver.

Factors, units, flags, limits, rules, mappings and calendars are such tables. The package ships one version of each
(`data/tables.csv` says which number it is and since when it holds); a gateway may add versions of its own, proposed by
one person and approved by another, in force from an instant, and may go back to an earlier one by approving it again.
Whatever is derived by a table names its `reference`, so that it can be derived again in ten years.

A module that decides by a table makes a class of it (`Factors`, `Limits` …) from a `Table`, and says what a row must
hold by raising `TableError` with the row. Pure: which version is in force somewhere is the gateway's to know.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import rfc8785

from schemas.data import read_table
from schemas.errors import SharingError
from schemas.times import to_millis

Row = Mapping[str, str]


class TableError(SharingError):
    """A table's content cannot be used; `pointers` name the rows (`row 12`)."""

    code = "table.malformed"


@dataclass(frozen=True)
class Table:
    """One version of one table. `effective` is the instant (ms UTC) from which it decides.

    `rows` are text by column name, in order; what the columns mean is said by the module that decides by them.
    """

    name: str
    version: int
    effective: int
    proposer: str
    approver: str
    rows: tuple[Row, ...]

    @cached_property
    def digest(self) -> str:
        """base64url SHA-256 of the rows in RFC 8785 form: two versions with equal content have equal digests."""
        canonical = rfc8785.dumps([dict(row) for row in self.rows])
        return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()

    @property
    def reference(self) -> str:
        """`limits@2`, as what is derived by it names it."""
        return f"{self.name}@{self.version}"


def table_names() -> tuple[str, ...]:
    """Every governed table, in the order of `data/tables.csv`."""
    return tuple(row["name"] for row in _register())


@cache
def shipped(name: str) -> Table:
    """The version of the table `name` that this package ships.

    Raises:
        TableError: `table.unknown`: there is no such table.
    """
    row = next((row for row in _register() if row["name"] == name), None)
    if row is None:
        raise TableError(f"{name[:40]!r} is not a governed table", code="table.unknown")
    return Table(
        name=name,
        version=int(row["version"]),
        effective=to_millis(row["effective"]),
        proposer=row["proposer"],
        approver=row["approver"],
        rows=tuple(read_table(f"{name}.csv")),
    )


def in_force(versions: Iterable[Table], at: int) -> Table | None:
    """Of one table's approved versions, the one that decides at `at` (ms UTC); None before the first.

    The last to take effect; of two with the same instant the higher number.
    """
    begun = [table for table in versions if table.effective <= at]
    return max(begun, key=lambda table: (table.effective, table.version), default=None)


@cache
def _register() -> tuple[Row, ...]:
    return tuple(read_table("tables.csv"))

"""Governed tables: what decides something about a value is a table with a version, a proposer and an approver.

Factors, units, flags, limits, rules, mappings and calendars are such tables. The package ships one version of each
(`data/tables.csv` says which number it is and since when it holds); a gateway may add versions of its own, proposed by
one person and approved by another, in force from an instant, and may go back to an earlier one by approving it again.
Whatever is derived by a table names its `reference`, so that it can be derived again in ten years.

A module that decides by a table makes a class of it (`Factors`, `Limits` …) from a `Table`, and says what a row must
hold by raising `TableError` with the row. `Tables` are the versions that decide together at one instant; whoever has no
gateway uses `shipped_tables()`. Pure: which version is in force somewhere is the gateway's to know.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar, Protocol, TypeVar

import rfc8785

from schemas.data import read_table
from schemas.errors import LimitError, SharingError
from schemas.times import to_millis

Row = Mapping[str, str]
T = TypeVar("T")

MAX_DOCUMENT = 4 * 1024 * 1024  # bytes of a table as CSV; the longest that ships has 60 kB
MAX_ROWS = 50_000
FIRST_ROW = 2  # as a person counts them who has the sheet open: the header is row 1


class TableError(SharingError):
    """A table's content cannot be used; `pointers` name the rows (`row 12`), the header being row 1."""

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


class Deciding(Protocol):
    """A class that decides by one table: made from a version of it, and able to name that version."""

    table: ClassVar[str]
    reference: str

    def __init__(self, table: Table) -> None: ...


D = TypeVar("D", bound=Deciding)


class Tables:
    """The versions that decide together at one instant. Never changes: what is made of it may be remembered by it.

    `tables[Factors]` is what decides by the factors in force, made at its first use.
    """

    def __init__(self, versions: Iterable[Table]) -> None:
        self._versions = {version.name: version for version in versions}
        self._made: dict[type[Any], Any] = {}

    def __getitem__(self, kind: type[D]) -> D:
        made: D | None = self._made.get(kind)
        if made is None:
            made = self._made[kind] = kind(self._versions[kind.table])
        return made

    def __iter__(self) -> Iterator[Table]:
        return iter(self._versions.values())

    def replaced(self, version: Table) -> Tables:
        """These tables with `version` in the place of its table's."""
        return Tables((self._versions | {version.name: version}).values())

    def references(self, *kinds: type[Deciding]) -> tuple[str, ...]:
        """What a derived value names that was decided by `kinds` (by all of them where none is given)."""
        chosen = [self._versions[kind.table] for kind in kinds] if kinds else self._versions.values()
        return tuple(sorted(version.reference for version in chosen))


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
def shipped_tables() -> Tables:
    """What this package ships, for whoever decides without a gateway."""
    return Tables(shipped(name) for name in table_names())


def parse_rows(data: bytes) -> tuple[Row, ...]:
    """The rows of a table as CSV in UTF-8, by the column names of its first line; blank lines are passed over.

    Raises:
        LimitError: `table.too-large`.
        TableError: not a CSV table: no UTF-8, no header, a column named twice, a row with too many or too few cells.
    """
    if len(data) > MAX_DOCUMENT:
        raise LimitError(f"a table has at most {MAX_DOCUMENT} bytes", code="table.too-large")
    try:
        lines = data.decode("utf-8-sig").splitlines()
        header, *rows = [cells for cells in csv.reader(lines, strict=True) if cells] or [[]]
    except UnicodeDecodeError as error:
        raise TableError("the table is not UTF-8 text") from error
    except csv.Error as error:
        raise TableError(f"the table is not CSV: {error}") from error
    if not all(header) or len(set(header)) != len(header):
        raise TableError("the first line names every column, each once", pointers=["row 1"])
    if len(rows) > MAX_ROWS:
        raise LimitError(f"a table has at most {MAX_ROWS} rows", code="table.too-large")
    crooked = [number for number, cells in enumerate(rows, FIRST_ROW) if len(cells) != len(header)]
    if crooked or not rows:
        detail = f"every row has {len(header)} cells" if rows else "a table has rows"
        raise TableError(detail, pointers=[f"row {number}" for number in crooked])
    return tuple(dict(zip(header, cells, strict=True)) for cells in rows)


def read_each(table: Table, columns: Iterable[str], read: Callable[[Row], T]) -> list[T]:
    """What `read` makes of every row, in order; all faulty rows are named at once.

    Raises:
        TableError: a column of `columns` is missing, or `read` raised one for a row.
    """
    wanted = list(columns)
    for row in table.rows[:1]:
        missing = [name for name in wanted if name not in row]
        if missing:
            raise TableError(f"{table.name} lacks the column {', '.join(missing)}", pointers=["row 1"])
    made: list[T] = []
    faults: list[tuple[int, str]] = []
    for number, row in enumerate(table.rows, FIRST_ROW):
        try:
            made.append(read(row))
        except TableError as error:
            faults.append((number, error.detail))
    if faults:
        raise faulty_rows(table.name, faults)
    return made


def faulty_rows(name: str, faults: Iterable[tuple[int, str]]) -> TableError:
    """One error for all faults of the table `name`: each the number of its row and a sentence."""
    listed = sorted(faults)
    shown = "; ".join(f"row {number}: {text}" for number, text in listed[:_SHOWN])
    more = f"; and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return TableError(f"{name}: {shown}{more}", pointers=[f"row {number}" for number, _ in listed])


_SHOWN = 10  # faults that an error's sentence repeats; its pointers name all


@cache
def _register() -> tuple[Row, ...]:
    return tuple(read_table("tables.csv"))

"""A grid through a profile: records, and what there is to say about the cells that became none.

One bad cell costs one value, one bad row one row; only a sheet that lacks a column is refused whole, with the columns
by name. Nothing is filled in that neither the sheet nor the profile says. Pure: the reference instant is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import msgspec

from schemas.errors import RecordError, SharingError, UnresolvedError
from schemas.factors import Factors
from schemas.flags import Flags
from schemas.mappings import check_meaning
from schemas.records import Observation, Record, check_record, decode_line
from schemas.sheets.comma import read_csv
from schemas.sheets.grid import Grid, Note, SheetError, plain
from schemas.sheets.headers import find_columns, unread_columns
from schemas.sheets.moments import read_moment
from schemas.sheets.profile import Finding, Found, FromColumn, Profile, Source, Use
from schemas.sheets.profile_document import shifts
from schemas.sheets.values import narrow, read_value
from schemas.sheets.workbook import read_workbook
from schemas.times import to_millis
from schemas.units import Units

CSV = "text/csv"
_LISTS = ("programmes", "upstream", "downstream", "border")
_SEPARATORS = re.compile(r"[、,，;；|]")
_KEY = ("site", "factor", "origin", "stat", "period", "at", "sample")
_CONTENT = (
    "value", "q", "unit", "flag", "profile", "review", "method", "instrument", "detection", "determination",
    "nondetects", "confirms",
)  # fmt: skip


def read_grid(media_type: str, content: bytes, profile: Profile | None = None) -> Grid:
    """The cells of a CSV file or a workbook, as a profile says they are written. Raises as the two readers do."""
    if media_type == CSV:
        encoding, delimiter = (profile.encoding, profile.delimiter) if profile else (None, None)
        return read_csv(content, encoding=encoding, delimiter=delimiter)
    return read_workbook(content, sheet=profile.sheet if profile else "")


def read_sheet(grid: Grid, profile: Profile, use: Use) -> Iterator[Found | Finding]:
    """The records of `grid` in the order of its cells, and the findings among them; those of the whole sheet first.

    Raises:
        SheetError: `sheet.header-missing`, `sheet.column-missing`, `sheet.column-twice`: it is no sheet of this
            profile.
    """
    columns = find_columns(grid, profile)
    yield from (Finding(0, 0, "noted", note.code, note.detail) for note in grid.notes)
    yield from unread_columns(grid, profile, columns)
    reading = _Rows(grid, profile, use, columns)
    read = reading.observations if profile.kind == "observation" else reading.statement
    for row in range(profile.header + 1, len(grid.rows) + 1):
        if any(not cell.isspace() for cell in grid.rows[row - 1] if cell):
            yield from read(row)


class _CellError(Exception):
    """What is wrong with one cell (or with the row, column 0)."""

    def __init__(self, row: int, column: int, error: SharingError, text: str) -> None:
        super().__init__(error.detail)
        self.finding = Finding(row, column, "refused", error.code, error.detail, error.pointers, text[:200])


@dataclass(frozen=True)
class _Item:
    """One value of a row before it is read: its column, factor, unit and what holds for this factor alone."""

    column: int
    factor: str
    unit: str
    members: Mapping[str, str]


class _Rows:
    """Reads row after row, remembering what was said before: a sheet may say the same thing twice."""

    def __init__(self, grid: Grid, profile: Profile, use: Use, columns: Mapping[str, int]) -> None:
        self._grid = grid
        self._profile = profile
        self._use = use
        self._columns = columns
        self._width = len(grid.rows[profile.header - 1])
        self._missing = {narrow(mark): how for mark, how in profile.missing.items()}
        self._sites = {plain(name): site for name, site in _tables(profile, use).items()}
        self._seen: dict[tuple[str, ...], tuple[int, tuple[Any, ...]]] = {}
        self._wide = [
            _Item(columns[header], one.factor, one.unit, one.members)
            for header, one in profile.factors.items()
            if header in columns
        ]
        table = profile.items.table if profile.items else {}
        self._items = {plain(name): code for name, code in table.items()}

    def observations(self, row: int) -> Iterator[Found | Finding]:
        try:
            self._check_width(row)
            items = self._items_of(row)
            moment = self._moment(row, items)
            if moment is None:
                detail = "neither a time nor a value: the row is left out"
                yield Finding(row, 0, "noted", "sheet.row-empty", detail)
                return
            site = self._site(row, moment.date())
            members = self._members(row)
        except _CellError as error:
            yield error.finding
            return
        for item in items:
            try:
                yield from self._value(row, item, site, moment, members)
            except _CellError as error:
                yield error.finding

    def statement(self, row: int) -> Iterator[Found | Finding]:
        """A row of a sheet of sites: one record of another kind than observation."""
        try:
            self._check_width(row)
            members = self._members(row)
        except _CellError as error:
            yield error.finding
            return
        line = msgspec.json.encode({"kind": self._profile.kind, **_nested(members)})
        yield self._checked(row, 0, lambda: decode_line(line), "")

    def _check_width(self, row: int) -> None:
        """A row that ends early, or goes on past the header, was torn or shifted. Workbooks leave out empty cells."""
        cells = self._grid.rows[row - 1]
        if self._grid.name:
            return
        if len(cells) < self._width or any(cell.strip() for cell in cells[self._width :]):
            error = SheetError(f"the row has {len(cells)} cells, the header {self._width}", code="sheet.row-ragged")
            raise _CellError(row, 0, error, "")

    def _items_of(self, row: int) -> list[_Item]:
        if self._profile.items is None:
            return self._wide
        return [self._long_item(row)]

    def _long_item(self, row: int) -> _Item:
        long = self._profile.items
        assert long is not None
        column = self._columns[long.item]
        text = self._cell(row, column)
        code = self._items.get(plain(text)) or (text if self._use.tables[Factors].known(text) else "")
        try:
            if not code:
                raise SheetError(f"{text[:40]!r} is not in the profile's table", code="sheet.item-unknown")
            check_meaning(text, code, self._use.tables[Factors])
            if long.name:
                check_meaning(self._cell(row, self._columns[long.name]), code, self._use.tables[Factors])
        except SharingError as error:
            raise _CellError(row, column, error, text) from error
        return _Item(self._columns[long.value], code, self._unit(row, long.unit), {})

    def _unit(self, row: int, source: Source) -> str:
        if isinstance(source, str):
            return source
        column = self._columns.get(source.column, 0)
        text = self._translated(row, source)
        try:
            if not text:
                raise SheetError("the row says no unit", code="sheet.unit-missing")
            return self._use.tables[Units].unit(text).code
        except SharingError as error:
            raise _CellError(row, column, error, text) from error

    def _moment(self, row: int, items: list[_Item]) -> datetime | None:
        """When; None where the time is missing and so is every value."""
        time = self._profile.time
        assert time is not None
        columns = [self._columns[name] for name in time.columns]
        text = " ".join(self._cell(row, column) for column in columns).strip()
        year = self._use.year or (int(time.year) if time.year.isdigit() else None)
        try:
            if text == "" or text in self._missing:
                if all(narrow(self._grid.cell(row, item.column)) in self._missing for item in items):
                    return None
                raise SheetError("there are values, but no time", code="sheet.time-missing")
            latest = self._use.now if time.year == "latest" else None
            return _moment(text, time.forms, midnight=time.midnight, latest=latest, year=year)
        except SheetError as error:
            raise _CellError(row, columns[0], error, text) from error

    def _site(self, row: int, day: date) -> str:
        site = self._profile.site
        assert site is not None
        columns = [self._columns[name] for name in site.columns]
        parts = [self._cell(row, column) for column in columns]
        text = site.join.join(parts)
        found = self._sites.get(plain(text)) or self._use.names.find(text, day)
        if found is not None:
            return found
        if site.read == "id" and all(parts):
            return site.prefix + text
        error = SheetError(f"no site is known by {text[:40]!r}", code="sheet.site-unknown", extra={"missing": text})
        raise _CellError(row, columns[0], error, text)

    def _members(self, row: int) -> dict[str, str]:
        """The row's members. A mark for a missing value stands for none; as a flag it says why."""
        found = {name: self._member(row, source) for name, source in self._profile.members.items()}
        return {name: text for name, text in found.items() if text and (text not in self._missing or name == "flag")}

    def _member(self, row: int, source: Source) -> str:
        return source if isinstance(source, str) else self._translated(row, source)

    def _translated(self, row: int, source: FromColumn) -> str:
        column = self._columns.get(source.column, 0)
        text = self._cell(row, column) if column else ""
        if not source.values or text == "":
            return text
        if text not in source.values:
            allowed = ", ".join(list(source.values)[:12])
            error = SheetError(f"{text[:40]!r} is not one of {allowed}", code="sheet.text-unknown")
            raise _CellError(row, column, error, text)
        return source.values[text]

    def _cell(self, row: int, column: int) -> str:
        """The text of a cell that must be what the sheet shows."""
        text = self._grid.cell(row, column)
        if fault := self._grid.faults.get((row, column)):
            raise _CellError(row, column, SheetError(fault.detail, code=fault.code), text)
        return narrow(text) if text else ""

    def _value(
        self, row: int, item: _Item, site: str, moment: datetime, members: Mapping[str, str]
    ) -> Iterator[Found | Finding]:
        given = {**members, **item.members}
        text = self._grid.cell(row, item.column)
        how = self._missing.get(narrow(text)) if self._may_be_missing(row, item.column) else None
        if how == "omit":
            return
        at = self._at(row, item.column, moment, given)
        if how == "null":
            given["flag"] = self._flag_of_missing(given, narrow(text), at)
            value, q = None, None
        else:
            text = self._cell(row, item.column)
            try:
                if not text:
                    raise SheetError(
                        "the cell is empty, and the profile says nothing of that", code="sheet.value-blank"
                    )
                value, q, scientific = read_value(text, unit=item.unit, detection=given.get("detection", ""))
            except SheetError as error:
                raise _CellError(row, item.column, error, text) from error
            if scientific:
                detail = f"{text} was read as {value}; whether more digits were measured, the cell does not say"
                yield Finding(row, item.column, "noted", "sheet.value-scientific", detail, (), text)
        yield from self._remark(row, item.column, text)
        given["detection"] = given.get("detection", "").removesuffix("L").removeprefix("<").strip()
        record = Observation(
            site=site, factor=item.factor, at=at, value=value, q=q, unit=item.unit, **cast("dict[str, Any]", given)
        )
        yield self._once(self._checked(row, item.column, lambda: _typed(record), text))

    def _flag_of_missing(self, given: Mapping[str, str], mark: str, at: str) -> str:
        """Why there is no value: the state of the station where it says so, else the mark in the place of the value."""
        flag, profile = given.get("flag", ""), given.get("profile", "")
        return flag if flag and not self._use.tables[Flags].is_valid(profile, flag, to_millis(at)) else mark

    def _may_be_missing(self, row: int, column: int) -> bool:
        """Whether a mark in this cell is the sheet's own: an error value may be, an unread cell never."""
        fault = self._grid.faults.get((row, column))
        return fault is None or fault.code == "sheet.cell-error"

    def _remark(self, row: int, column: int, text: str) -> Iterator[Finding]:
        remark: Note | None = self._grid.remarks.get((row, column))
        if remark is not None:
            yield Finding(row, column, "noted", remark.code, remark.detail, (), text[:200])

    def _at(self, row: int, column: int, moment: datetime, given: Mapping[str, str]) -> str:
        time = self._profile.time
        assert time is not None
        period = given.get("period", "PT0S")
        try:
            seconds = _shift(period, time.hours)
        except RecordError as error:
            raise _CellError(row, column, error, period) from error
        if seconds is None:
            message = f"{period} has no fixed length, so its start does not follow from its end"
            raise _CellError(row, column, SheetError(message, code="sheet.period-open"), period)
        return _start(moment, seconds)

    def _checked(self, row: int, column: int, make: Callable[[], Record], text: str) -> Found | Finding:
        record: Record | None = None
        try:
            record = make()
            check_record(record, self._use.tables)
        except UnresolvedError as error:
            return Finding(
                row, column, "held", error.code, error.detail, error.pointers, text[:200], record, error.waits_for,
                error.name,
            )  # fmt: skip
        except SharingError as error:
            return Finding(row, column, "refused", error.code, error.detail, error.pointers, text[:200])
        return Found(row, column, record)

    def _once(self, found: Found | Finding) -> Found | Finding:
        """`found`, unless the sheet said something else in its place before and the profile gives no reason for it."""
        if isinstance(found, Finding):
            return found
        record = found.record
        assert isinstance(record, Observation)
        key = tuple(getattr(record, name) for name in _KEY)
        content = tuple(getattr(record, name) for name in _CONTENT)
        before = self._seen.get(key)
        self._seen[key] = (found.row, content)
        if before is None:
            return found
        if before[1] == content:
            return Found(found.row, found.column, record, repeats=before[0])
        if self._profile.repeated:
            revised = msgspec.structs.replace(record, reason=self._profile.repeated)
            return Found(found.row, found.column, revised)
        self._seen[key] = before
        detail = f"row {before[0]} gives another value for the same place and time"
        return Finding(found.row, found.column, "refused", "sheet.contradicts", detail, (), record.value or "")


def _tables(profile: Profile, use: Use) -> dict[str, str]:
    """Sites by name or code: what the profile says goes before what is given at use."""
    return {**use.sites, **(profile.site.table if profile.site else {})}


@lru_cache(maxsize=65_536)
def _moment(text: str, forms: tuple[str, ...], *, midnight: bool, latest: int | None, year: int | None) -> datetime:
    return read_moment(text, forms, midnight=midnight, latest=latest, year=year)


@lru_cache(maxsize=64)
def _shift(period: str, hours: Any) -> int | None:
    return shifts(period, hours)


@lru_cache(maxsize=65_536)
def _start(moment: datetime, seconds: int) -> str:
    return (moment - timedelta(seconds=seconds)).isoformat(timespec="seconds")


_TYPED = ("origin", "stat", "review", "nondetects")


@lru_cache(maxsize=4096)
def _check_types(*texts: str | None) -> None:
    members = {name: text for name, text in zip(_TYPED, texts, strict=True) if text is not None}
    line = {"kind": "observation", "site": "x", "factor": "x", "at": "x", "value": None, **members}
    decode_line(msgspec.json.encode(line))


def _typed(record: Observation) -> Observation:
    """`record`, the members that have few values checked for them: a column may hold anything."""
    _check_types(record.origin, record.stat, record.review, record.nondetects)
    return record


def _nested(members: Mapping[str, str]) -> dict[str, Any]:
    """`name.zh` as a member within a member; lists by the separators that sheets use."""
    nested: dict[str, Any] = {}
    for path, text in members.items():
        name, _, inner = path.partition(".")
        if inner:
            nested.setdefault(name, {})[inner] = text
        else:
            nested[name] = [one.strip() for one in _SEPARATORS.split(text) if one.strip()] if name in _LISTS else text
    return nested

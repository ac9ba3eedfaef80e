"""The breakpoints of the air quality index: the governed table `aqi`, by edition of HJ 633, pollutant and period.

A series is one pollutant over one averaging period; its segments follow each other from 0. All end at index 500 but
two: SO2 over an hour ends at 200 and ozone over eight hours at 300, beyond which each edition has a rule of its own
(`Exceptions`; `schemas.aqi` applies them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from schemas.errors import SharingError
from schemas.rounding import exact
from schemas.tables import Row, Table, TableError, read_each
from schemas.times import to_millis
from schemas.units import unit

SO2, NO2, CO, O3, PM10, PM25 = "a21026", "a21004", "a21005", "a05024", "a34002", "a34004"
HOUR, EIGHT_HOURS, DAY = "PT1H", "PT8H", "P1D"

POLLUTANTS = (SO2, NO2, CO, O3, PM10, PM25)
PARTICLES = (PM10, PM25)
TOP = 500

_NEEDED = (
    *((code, DAY) for code in (SO2, NO2, CO, PM10, PM25)),
    *((code, HOUR) for code in (SO2, NO2, CO, O3)),
    (O3, EIGHT_HOURS),
)
_END_BELOW = {(SO2, HOUR): 200, (O3, EIGHT_HOURS): 300}
_COLUMNS = ("edition", "since", "until", "factor", "period", "unit", "c_lo", "c_hi", "iaqi_lo", "iaqi_hi", "source")
_FOR_EVER = 2**63 - 1  # ms; the edition in force has no last day


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight piece between two breakpoints, in the unit of its series."""

    c_lo: Decimal
    c_hi: Decimal
    iaqi_lo: int
    iaqi_hi: int


@dataclass(frozen=True, slots=True)
class Series:
    """The segments of one pollutant and averaging period, lowest first."""

    unit: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Where an edition leaves its tables. None: the pollutant's other mean gives the index instead."""

    so2_hour_above_top: int | None
    o3_eight_hours_above_top: int | None
    names_over_limit: bool


_EXCEPTIONS = {
    "HJ 633-2012": Exceptions(None, None, names_over_limit=True),
    "HJ 633-2026": Exceptions(200, 300, names_over_limit=False),
}


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition of HJ 633, deciding from `since` until before `until` (ms UTC)."""

    name: str
    since: int
    until: int
    series: Mapping[tuple[str, str], Series]
    exceptions: Exceptions


@dataclass(frozen=True, slots=True)
class _Line:
    """One row, read."""

    edition: str
    since: int
    until: int
    key: tuple[str, str]
    unit: str
    segment: Segment


def read_editions(table: Table) -> tuple[Edition, ...]:
    """The editions of one version of the table, in its order.

    Raises:
        TableError: a row is malformed; an edition whose exceptions are not known; a series that is missing, does not
            rise from 0 without gaps, or does not end where it must.
    """
    lines = read_each(table, _COLUMNS, _line)
    return tuple(_edition(name, lines) for name in dict.fromkeys(line.edition for line in lines))


def _line(row: Row) -> _Line:
    try:
        return _Line(
            edition=row["edition"],
            since=_beijing_midnight(row["since"]),
            until=_beijing_midnight(row["until"]) if row["until"] else _FOR_EVER,
            key=(row["factor"], row["period"]),
            unit=unit(row["unit"]).code,
            segment=Segment(_number(row["c_lo"]), _number(row["c_hi"]), int(row["iaqi_lo"]), int(row["iaqi_hi"])),
        )
    except (SharingError, InvalidOperation, ValueError) as problem:
        raise TableError(f"it cannot be read: {problem}") from None


def _edition(name: str, lines: Iterable[_Line]) -> Edition:
    if name not in _EXCEPTIONS:
        raise TableError(f"the exceptions of {name[:40]!r} are not known")
    mine = [line for line in lines if line.edition == name]
    if len({(line.since, line.until) for line in mine}) != 1:
        raise TableError(f"{name} begins or ends on several days")
    if mine[0].since >= mine[0].until:
        raise TableError(f"{name} ends before it begins")
    keys = dict.fromkeys(line.key for line in mine)
    if set(keys) != set(_NEEDED):
        odd = min(set(keys) ^ set(_NEEDED))
        raise TableError(f"{name} lacks breakpoints, or has too many: {odd[0]} over {odd[1]}")
    series = {key: _series(key, [line for line in mine if line.key == key]) for key in keys}
    return Edition(name, mine[0].since, mine[0].until, series, _EXCEPTIONS[name])


def _series(key: tuple[str, str], lines: list[_Line]) -> Series:
    segments = tuple(line.segment for line in lines)
    starts = segments[0].c_lo == 0 and segments[0].iaqi_lo == 0
    follow = all(a.c_hi == b.c_lo and a.iaqi_hi == b.iaqi_lo for a, b in pairwise(segments))
    rise = all(one.c_lo < one.c_hi and one.iaqi_lo < one.iaqi_hi for one in segments)
    ends = segments[-1].iaqi_hi == _END_BELOW.get(key, TOP)
    if not (starts and follow and rise and ends) or len({line.unit for line in lines}) != 1:
        raise TableError(f"the breakpoints of {key[0]} over {key[1]} do not lead from 0 to their end")
    return Series(lines[0].unit, segments)


def _number(cell: str) -> Decimal:
    value = Decimal(cell)
    exact(value)  # refuses what is no number, or of no size that anything has
    return value


def _beijing_midnight(day: str) -> int:
    return to_millis(f"{day}T00:00:00+08:00")

"""The air quality index of an hour and of a day: HJ 633-2012 and HJ 633-2026.

The breakpoints are the governed table `aqi` (`data/aqi.csv`), which edition holds is a matter of the date. What the
editions say beside their tables, and how the cases were decided where they say nothing:

- Concentrations are rounded first, half to even (GB/T 8170): CO to one decimal, the others to whole µg/m³. Indices
  are rounded up. Both are exact: 21 of PM2.5 is 30, and not 31 as binary fractions make it.
- An hour takes the one-hour means; particles have no breakpoints of their own for an hour and use those of the day.
- SO2 of an hour above 800: by 2012 it has no index and the 24-hour mean's counts where there is one; by 2026 it is 200.
- O3 of eight hours above 800: by 2012 the one-hour index counts; by 2026 it is 300.
- Beyond the last breakpoint the index is 500 and `beyond` names the pollutant.
- Primary pollutants 首要污染物 are those with the largest index, all of them where several tie, if it is above 50.
  Over-limit pollutants 超标污染物, index above 100, belong to the edition of 2012 alone.
- A pollutant without a value takes no part, and is named: an index without it is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import ceil

from schemas.errors import RecordError
from schemas.rounding import rounded
from schemas.tables import Row, Table, TableError, shipped
from schemas.times import to_millis
from schemas.units import convert

SO2, NO2, CO, O3, PM10, PM25 = "a21026", "a21004", "a21005", "a05024", "a34002", "a34004"
HOUR, EIGHT_HOURS, DAY = "PT1H", "PT8H", "P1D"

_POLLUTANTS = (SO2, NO2, CO, O3, PM10, PM25)
_PARTICLES = (PM10, PM25)
_CO_DECIMALS = 1
_TOP = 500
_PRIMARY_ABOVE = 50
_OVER_LIMIT_ABOVE = 100
_FOR_EVER = 2**63 - 1  # ms
_CATEGORIES = (  # HJ 633, both editions: the largest index of each
    (50, "优", "excellent"),
    (100, "良", "good"),
    (150, "轻度污染", "lightly polluted"),
    (200, "中度污染", "moderately polluted"),
    (300, "重度污染", "heavily polluted"),
)
_WORST = ("严重污染", "severely polluted")


@dataclass(frozen=True, slots=True)
class Concentration:
    """A valid mean and its unit."""

    value: Decimal
    unit: str


Means = Mapping[tuple[str, str], Concentration | None]
"""Means by factor code and averaging period: `(PM25, "P1D")`. None, or nothing, is not measured."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index and what it came from; `aqi` is None where nothing was measured.

    `individual` holds the index of each pollutant that has one (IAQI), `missing` those of the six that have none,
    `beyond` those above the last breakpoint. `edition` is the standard, `table` the version of the breakpoints.
    """

    aqi: int | None
    category_zh: str
    category_en: str
    individual: Mapping[str, int]
    primary: tuple[str, ...]
    over_limit: tuple[str, ...]
    missing: tuple[str, ...]
    beyond: tuple[str, ...]
    edition: str
    table: str


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
    """Where an edition leaves its tables. None: the other mean of the pollutant gives the index (see the module)."""

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


class AirIndices:
    """Both editions, by one version of the table of breakpoints.

    Raises:
        TableError: `table.malformed`: an edition without rules, or breakpoints that do not follow each other.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        names = dict.fromkeys(row["edition"] for row in table.rows)
        self.editions = tuple(_edition(name, table.rows) for name in names)

    def edition(self, at: int) -> Edition:
        """The edition that holds at `at` (ms UTC).

        Raises:
            RecordError: `aqi.no-edition`: it is before the first.
        """
        for edition in self.editions:
            if edition.since <= at < edition.until:
                return edition
        raise RecordError("no edition of HJ 633 is in the table for this date", code="aqi.no-edition")

    def hourly(self, means: Means, at: int) -> Index:
        """The index of the hour that begins at `at` (ms UTC), by one-hour means.

        Of 2012, an SO2 mean above 800 needs the 24-hour mean of SO2 beside it.

        Raises:
            RecordError: `aqi.no-edition`; `record.value-invalid`: a mean is negative or no number;
                `record.unit-mismatch`.
            UnresolvedError: a unit is not known.
        """
        return self._index(means, dict.fromkeys(_POLLUTANTS, HOUR), self.edition(at))

    def daily(self, means: Means, at: int) -> Index:
        """The index of the day that begins at `at` (ms UTC), by 24-hour means and the largest eight-hour mean of ozone.

        Of 2012, an eight-hour mean above 800 needs the day's largest one-hour mean of ozone beside it. Raises as
        `hourly` does.
        """
        return self._index(means, dict.fromkeys(_POLLUTANTS, DAY) | {O3: EIGHT_HOURS}, self.edition(at))

    def _index(self, means: Means, periods: Mapping[str, str], edition: Edition) -> Index:
        found = {code: _individual(edition, code, period, means) for code, period in periods.items()}
        individual = {code: one.iaqi for code, one in found.items() if one.iaqi is not None}
        largest = max(individual.values(), default=None)
        category_zh, category_en = category(largest) if largest is not None else ("", "")
        over = [code for code, iaqi in individual.items() if iaqi > _OVER_LIMIT_ABOVE]
        return Index(
            aqi=largest,
            category_zh=category_zh,
            category_en=category_en,
            individual=individual,
            primary=tuple(code for code, iaqi in individual.items() if iaqi == largest and iaqi > _PRIMARY_ABOVE),
            over_limit=tuple(over) if edition.exceptions.names_over_limit else (),
            missing=tuple(code for code in periods if code not in individual),
            beyond=tuple(code for code, one in found.items() if one.beyond),
            edition=edition.name,
            table=self.table.reference,
        )


@cache
def shipped_indices() -> AirIndices:
    """The indices by the table this package ships."""
    return AirIndices(shipped("aqi"))


def category(aqi: int) -> tuple[str, str]:
    """The category of an index, Chinese and English: 优 to 严重污染."""
    return next(((zh, en) for largest, zh, en in _CATEGORIES if aqi <= largest), _WORST)


@dataclass(frozen=True, slots=True)
class _Individual:
    iaqi: int | None
    beyond: bool = False


def _individual(edition: Edition, code: str, period: str, means: Means) -> _Individual:
    """The index of one pollutant, with the exceptions of the edition."""
    series = edition.series[code, DAY if code in _PARTICLES else period]
    concentration = _rounded(means.get((code, period)), code, series)
    if concentration is None:
        return _Individual(None)
    last = series.segments[-1]
    if concentration <= last.c_hi:
        return _Individual(_on(series, concentration))
    if last.iaqi_hi == _TOP:
        return _Individual(_TOP, beyond=True)
    fixed, instead = _above_top(edition, code)
    if fixed is not None:
        return _Individual(fixed, beyond=True)
    return _Individual(_individual(edition, code, instead, means).iaqi, beyond=True)


def _above_top(edition: Edition, code: str) -> tuple[int | None, str]:
    """Above the end of a series that ends below 500: the index, or else the period whose mean gives it."""
    if code == SO2:
        return edition.exceptions.so2_hour_above_top, DAY
    return edition.exceptions.o3_eight_hours_above_top, HOUR


def _rounded(mean: Concentration | None, code: str, series: Series) -> Decimal | None:
    if mean is None:
        return None
    value = rounded(convert(mean.value, mean.unit, series.unit), _CO_DECIMALS if code == CO else 0)
    if value < 0:
        raise RecordError("a concentration is negative", code="record.value-invalid")
    return value


def _on(series: Series, concentration: Decimal) -> int:
    """The index on the first segment that reaches the concentration, rounded up."""
    segment = next(one for one in series.segments if concentration <= one.c_hi)
    share = Fraction(concentration - segment.c_lo) / Fraction(segment.c_hi - segment.c_lo)
    return ceil((segment.iaqi_hi - segment.iaqi_lo) * share + segment.iaqi_lo)


def _edition(name: str, rows: tuple[Row, ...]) -> Edition:
    if name not in _EXCEPTIONS:
        raise TableError(f"the exceptions of {name[:40]!r} are not known")
    mine = [row for row in rows if row["edition"] == name]
    series = {key: _series(key, mine) for key in dict.fromkeys((row["factor"], row["period"]) for row in mine)}
    needed = [*((code, DAY) for code in _POLLUTANTS if code != O3), (O3, EIGHT_HOURS), (O3, HOUR), (SO2, HOUR)]
    if lacking := [key for key in [*needed, (NO2, HOUR), (CO, HOUR)] if key not in series]:
        raise TableError(f"{name} has no breakpoints for {lacking[0][0]} over {lacking[0][1]}")
    since, until = mine[0]["since"], mine[0]["until"]
    end = to_millis(f"{until}T00:00:00+08:00") if until else _FOR_EVER
    return Edition(name, to_millis(f"{since}T00:00:00+08:00"), end, series, _EXCEPTIONS[name])


def _series(key: tuple[str, str], rows: list[Row]) -> Series:
    mine = [row for row in rows if (row["factor"], row["period"]) == key]
    segments = tuple(_segment(row) for row in mine)
    follow = all(a.c_hi == b.c_lo and a.iaqi_hi == b.iaqi_lo for a, b in pairwise(segments))
    rise = all(one.c_lo < one.c_hi and one.iaqi_lo < one.iaqi_hi for one in segments)
    if segments[0].c_lo != 0 or segments[0].iaqi_lo != 0 or not follow or not rise:
        raise TableError(f"the breakpoints of {key[0]} over {key[1]} do not follow each other from 0")
    return Series(mine[0]["unit"], segments)


def _segment(row: Row) -> Segment:
    try:
        return Segment(Decimal(row["c_lo"]), Decimal(row["c_hi"]), int(row["iaqi_lo"]), int(row["iaqi_hi"]))
    except (InvalidOperation, ValueError):
        raise TableError(f"a breakpoint of {row['factor'][:20]} is no number") from None

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
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import ClassVar

from schemas.breakpoints import (
    CO,
    DAY,
    EIGHT_HOURS,
    HOUR,
    NO2,
    O3,
    PARTICLES,
    PM10,
    PM25,
    POLLUTANTS,
    SO2,
    TOP,
    Edition,
    Series,
    read_editions,
)
from schemas.errors import RecordError
from schemas.rounding import rounded
from schemas.tables import Table
from schemas.units import convert

__all__ = [
    "CO", "DAY", "EIGHT_HOURS", "HOUR", "NO2", "O3", "PM10", "PM25", "SO2",
    "AirIndices", "Concentration", "Index", "Means", "category",
]  # fmt: skip

_CO_DECIMALS = 1
_PRIMARY_ABOVE = 50
_OVER_LIMIT_ABOVE = 100
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


class AirIndices:
    """Both editions, by one version of the table of breakpoints.

    Raises:
        TableError: as `breakpoints.read_editions`.
    """

    table: ClassVar[str] = "aqi"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        self.editions = read_editions(table)

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
        return self._index(means, dict.fromkeys(POLLUTANTS, HOUR), self.edition(at))

    def daily(self, means: Means, at: int) -> Index:
        """The index of the day that begins at `at` (ms UTC), by 24-hour means and the largest eight-hour mean of ozone.

        Of 2012, an eight-hour mean above 800 needs the day's largest one-hour mean of ozone beside it. Raises as
        `hourly` does.
        """
        return self._index(means, dict.fromkeys(POLLUTANTS, DAY) | {O3: EIGHT_HOURS}, self.edition(at))

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
            table=self.reference,
        )


def category(aqi: int) -> tuple[str, str]:
    """The category of an index, Chinese and English: 优 to 严重污染."""
    return next(((zh, en) for largest, zh, en in _CATEGORIES if aqi <= largest), _WORST)


@dataclass(frozen=True, slots=True)
class _Individual:
    iaqi: int | None
    beyond: bool = False


def _individual(edition: Edition, code: str, period: str, means: Means) -> _Individual:
    """The index of one pollutant, with the exceptions of the edition."""
    series = edition.series[code, DAY if code in PARTICLES else period]
    concentration = _rounded(means.get((code, period)), code, series)
    if concentration is None:
        return _Individual(None)
    last = series.segments[-1]
    if concentration <= last.c_hi:
        return _Individual(_on(series, concentration))
    if last.iaqi_hi == TOP:
        return _Individual(TOP, beyond=True)
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

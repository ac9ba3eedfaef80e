"""Means of air concentrations, and how many values they need to count: GB 3095-2026 table 4.

A mean of too few values is not a mean of the day or the year: the answer is then None, with how many there were. None
among the values is an hour that was not measured or is not valid. The sum is exact; the mean is rounded once, half to
even (GB/T 8170), to `decimals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from schemas.rounding import exact, rounded

HOURS_OF_A_DAY = 20  # of 24
HOURS_OF_EIGHT = 6  # of 8, of ozone
MINUTES_OF_AN_HOUR = 45
DAYS_OF_A_YEAR = 324
DAYS_OF_A_MONTH = 27
DAYS_OF_A_FEBRUARY = 25


@dataclass(frozen=True, slots=True)
class Mean:
    """`value` is None where fewer than `needed` values were there."""

    value: Decimal | None
    count: int
    needed: int


def day_mean(hours: Sequence[Decimal | None], decimals: int = 0) -> Mean:
    """The mean of a day's 24 hours. `hours` has one place for each, whatever was measured."""
    return _mean(_exactly(hours, 24), HOURS_OF_A_DAY, decimals)


def eight_hour_mean(hours: Sequence[Decimal | None], decimals: int = 0) -> Mean:
    """The mean of eight hours that follow each other, as ozone is judged by."""
    return _mean(_exactly(hours, 8), HOURS_OF_EIGHT, decimals)


def hour_counts(minutes: int) -> bool:
    """Whether an hour measured for so many minutes counts."""
    return minutes >= MINUTES_OF_AN_HOUR


def year_mean(days: Mapping[date, Decimal | None], year: int, decimals: int = 0) -> Mean:
    """The mean of a year's day means: enough in the year, and in each month.

    `count` and `needed` are those of the year, or of the first month that has too few.
    """
    kept = {day: value for day, value in days.items() if day.year == year and value is not None}
    for month in range(1, 13):
        count = sum(day.month == month for day in kept)
        needed = DAYS_OF_A_FEBRUARY if month == 2 else DAYS_OF_A_MONTH
        if count < needed:
            return Mean(None, count, needed)
    return _mean(list(kept.values()), DAYS_OF_A_YEAR, decimals)


def _mean(values: Sequence[Decimal | None], needed: int, decimals: int) -> Mean:
    there = [exact(value) for value in values if value is not None]
    if len(there) < needed:
        return Mean(None, len(there), needed)
    return Mean(rounded(sum(there, Fraction(0)) / len(there), decimals), len(there), needed)


def _exactly(hours: Sequence[Decimal | None], number: int) -> Sequence[Decimal | None]:
    if len(hours) != number:
        raise RuntimeError(f"{len(hours)} hours where {number} belong")
    return hours

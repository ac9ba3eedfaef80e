"""The class of surface water, I to V and 劣Ⅴ, by GB 3838-2002 table 1: the worst factor decides.

Rivers are classed without total nitrogen, water temperature and faecal coliform; lakes and reservoirs have limits of
their own for total phosphorus. Which rows take part for which water is a column of the limits table. A release that
leaves out more says so with `leave_out`: the national one classes lakes without total nitrogen too.

A value below detection or above range may leave a factor's class open. The answer is then the worst class it can have,
with the best beside it: a class is never better than what is known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from schemas.errors import RecordError
from schemas.limits.judge import Qualifier, keeps
from schemas.limits.place import CLASS_ZH, CLASSES, WaterClass
from schemas.limits.table import Limit, Limits
from schemas.records.site import WaterType
from schemas.rounding import rounded
from schemas.tables import shipped_tables
from schemas.units import convert

Class = Literal["I", "II", "III", "IV", "V", "worse-than-V"]

ORDER: tuple[Class, ...] = (*CLASSES, "worse-than-V")
NAMES_ZH: Mapping[Class, str] = dict(zip(ORDER, (*CLASS_ZH.values(), "劣Ⅴ"), strict=True))


@dataclass(frozen=True, slots=True)
class Reading:
    """A valid value of one factor; values that are not valid take no part in a class."""

    value: Decimal
    unit: str
    q: Qualifier = ""


@dataclass(frozen=True, slots=True)
class FactorClass:
    """The class of one factor: the worst and the best it can have, which differ where `<` or `>` leaves it open."""

    factor: str
    worst: Class
    best: Class


@dataclass(frozen=True, slots=True)
class Classing:
    """The class of a set of readings.

    `deciding` are the factors whose class it is; `factors` every factor that took part, in the order of the readings;
    `left_out` those that did not, having no class at this type of water. `table` is the version that decided.
    """

    water_class: Class
    best: Class
    deciding: tuple[str, ...]
    factors: tuple[FactorClass, ...]
    left_out: tuple[str, ...]
    standard: str
    table: str

    @property
    def name_zh(self) -> str:
        """`Ⅲ`, `劣Ⅴ`: as reports print it."""
        return NAMES_ZH[self.water_class]


def classify(
    readings: Mapping[str, Reading],
    water_type: WaterType,
    at: int,
    *,
    leave_out: Collection[str] = (),
    limits: Limits | None = None,
) -> Classing:
    """The class of the water that these readings, by factor code, are of. `at` is in ms UTC.

    Raises:
        RecordError: `class.no-factor`: none of them takes part in a class there; or as `units.convert` does.
    """
    limits = limits or shipped_tables()[Limits]
    found: list[FactorClass] = []
    left_out: list[str] = []
    standards: dict[str, None] = {}
    for factor, reading in readings.items():
        rows = () if factor in leave_out else _rows(limits, factor, water_type, at)
        if not rows:
            left_out.append(factor)
            continue
        standards[rows[0].standard] = None
        found.append(_class_of(factor, reading, rows))
    if not found:
        raise RecordError(f"none of the factors takes part in the class of a {water_type}", code="class.no-factor")
    worst = max((one.worst for one in found), key=ORDER.index)
    return Classing(
        water_class=worst,
        best=max((one.best for one in found), key=ORDER.index),
        deciding=tuple(one.factor for one in found if one.worst == worst),
        factors=tuple(found),
        left_out=tuple(left_out),
        standard=", ".join(standards),
        table=limits.reference,
    )


def meets(found: Class, target: WaterClass) -> bool:
    """Whether water of class `found` is at least as good as `target`."""
    return ORDER.index(found) <= ORDER.index(target)


def _class_of(factor: str, reading: Reading, rows: Sequence[Limit]) -> FactorClass:
    """The first class whose limit is surely kept, and the first whose limit is not surely missed."""
    worst: Class = "worse-than-V"
    best: Class | None = None
    for row in rows:
        if row.water_class is None:
            continue
        measured, rounds = convert(reading.value, reading.unit, row.unit), row.rule == "rounded"
        kept = keeps(rounded(measured, row.decimals) if rounds else measured, reading.q, row, rounded_span=rounds)
        if kept is not False and best is None:
            best = row.water_class
        if kept:
            worst = row.water_class
            break
    return FactorClass(factor, worst, best or "worse-than-V")


def _rows(limits: Limits, factor: str, water_type: WaterType, at: int) -> tuple[Limit, ...]:
    """The rows of a factor that class this water at `at`, class I first; empty where there are none."""
    rows = [one for one in limits.of(factor) if one.since <= at < one.until and water_type in one.classed]
    return tuple(sorted(rows, key=_class_number))


def _class_number(limit: Limit) -> int:
    return CLASSES.index(limit.water_class) if limit.water_class else len(CLASSES)

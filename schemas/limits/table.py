"""The governed table of limits: `data/limits.csv`, and what each of its rows must hold.

A row is one value of one standard: for whom (kind of site, water, district, area, category of the enterprise, kind of
discharge, class or zone), for which averaging period, from which day until before which, how to compare (full value
unless the standard says rounded, GB/T 8170) and how far to trust it:

- `confirmed`: the standard's own text, two independent sources, or one that measured agreement confirms;
- `single`: one source;
- `unconfirmed`: secondary sources only, or a part of it (its first day, say) is not known.

A `limit` can be exceeded 超标. A `reference` 参考限值 is for comparison where no limit binds, and is never exceeded.
What no source gave has no row: water temperature (a limit of change), table 3 of GB 3838-2002 beyond ten items, and
the antimony limits of Shanghai and Zhejiang.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal, cast, get_args

from schemas.errors import SharingError
from schemas.limits.place import WaterClass, Zone
from schemas.records.site import Discharge
from schemas.rounding import decimals_of, exact
from schemas.tables import FIRST_ROW, Row, Table, TableError, faulty_rows, read_each
from schemas.times import to_millis
from schemas.units import unit

Level = Literal["national", "local"]
Kind = Literal["limit", "reference"]
Direction = Literal["<=", ">=", "range"]
Rule = Literal["full", "rounded"]
Confidence = Literal["confirmed", "single", "unconfirmed"]

_ALWAYS = -(2**63)  # ms; a row without a first day
_FOR_EVER = 2**63 - 1  # ms; a row without a last day
_MAX_DECIMALS = 18  # as many as a value can have


@dataclass(frozen=True, slots=True)
class Limit:
    """One row. In force from `since` until before `until` (ms UTC); empty conditions are met by every place.

    `low` and `high` bound what is allowed, both included; `decimals` are those a value is rounded to before it is
    compared as a rounded value. `classed` are the types of water whose class this row takes part in.
    """

    id: str
    level: Level
    kind: Kind
    standard: str
    clause_zh: str
    clause_en: str
    factor: str
    direction: Direction
    low: Decimal | None
    high: Decimal | None
    unit: str
    water_class: WaterClass | None
    zone: Zone | None
    period: str
    site_types: tuple[str, ...]
    water_types: tuple[str, ...]
    districts: tuple[str, ...]
    areas: tuple[str, ...]
    categories: tuple[str, ...]
    discharge: Discharge | None
    classed: tuple[str, ...]
    since: int
    until: int
    rule: Rule
    decimals: int
    confidence: Confidence
    source: str
    note_zh: str
    note_en: str

    @property
    def bound(self) -> str:
        """`≤ 0.10 mg/L`, `≥ 5 mg/L`, `6–9`, with the digits of the standard."""
        shown = "" if self.unit in ("1", "[pH]") else f" {self.unit}"
        if self.direction == "range":
            return f"{self.low}–{self.high}{shown}"
        return f"≤ {self.high}{shown}" if self.direction == "<=" else f"≥ {self.low}{shown}"


_COLUMNS = (
    "id", "level", "kind", "standard", "clause_zh", "clause_en", "factor", "direction", "low", "high", "unit", "class",
    "zone", "period", "site_types", "water_types", "districts", "areas", "categories", "discharge", "classed", "from",
    "until", "compare", "decimals", "confidence", "source", "note_zh", "note_en",
)  # fmt: skip


class Limits:
    """Every row of one version of the table: `rows` in its order, and by factor.

    Raises:
        TableError: a row is malformed, or stands twice.
    """

    table: ClassVar[str] = "limits"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        self.rows = tuple(read_each(table, _COLUMNS, _limit))
        self._by_factor: dict[str, tuple[Limit, ...]] = {}
        faults: list[tuple[int, str]] = []
        seen: set[str] = set()
        for number, limit in enumerate(self.rows, FIRST_ROW):
            if limit.id in seen:
                faults.append((number, f"{limit.id!r} stands twice"))
            seen.add(limit.id)
            self._by_factor[limit.factor] = (*self._by_factor.get(limit.factor, ()), limit)
        if faults:
            raise faulty_rows(table.name, faults)

    def of(self, factor: str) -> tuple[Limit, ...]:
        """Every limit of this factor code, whatever its place and date; empty where the table has none."""
        return self._by_factor.get(factor, ())

    def factors(self) -> tuple[str, ...]:
        """The factor codes that have limits, in the order of the table."""
        return tuple(self._by_factor)

    def periods(self, factor: str) -> tuple[str, ...]:
        """The averaging periods that limits of this factor are for; `""` is a limit for values of any period."""
        return tuple(dict.fromkeys(limit.period for limit in self.of(factor)))


def _limit(row: Row) -> Limit:
    try:
        limit = _read(row)
    except (ValueError, InvalidOperation, SharingError) as problem:
        raise TableError(f"it cannot be read: {problem}") from None
    wanted = {"<=": (False, True), ">=": (True, False), "range": (True, True)}[limit.direction]
    if (limit.low is not None, limit.high is not None) != wanted:
        raise TableError(f"the bounds do not fit {limit.direction!r}")
    if not limit.source:
        raise TableError("it has no source")
    if limit.since >= limit.until:
        raise TableError("it ends before it begins")
    if not 0 <= limit.decimals <= _MAX_DECIMALS:
        raise TableError(f"values are rounded to at most {_MAX_DECIMALS} decimals")
    return limit


def _read(row: Row) -> Limit:
    low, high = _number(row["low"]), _number(row["high"])
    written = [decimals_of(bound) for bound in (low, high) if bound is not None]
    return Limit(
        id=row["id"],
        level=cast("Level", _one_of(Level, row["level"])),
        kind=cast("Kind", _one_of(Kind, row["kind"])),
        standard=row["standard"],
        clause_zh=row["clause_zh"],
        clause_en=row["clause_en"],
        factor=row["factor"],
        direction=cast("Direction", _one_of(Direction, row["direction"])),
        low=low,
        high=high,
        unit=unit(row["unit"]).code,
        water_class=cast("WaterClass | None", _one_of(WaterClass, row["class"]) if row["class"] else None),
        zone=cast("Zone | None", _one_of(Zone, row["zone"]) if row["zone"] else None),
        period=row["period"],
        site_types=_several(row["site_types"]),
        water_types=_several(row["water_types"]),
        districts=_several(row["districts"]),
        areas=_several(row["areas"]),
        categories=_several(row["categories"]),
        discharge=cast("Discharge | None", _one_of(Discharge, row["discharge"]) if row["discharge"] else None),
        classed=_several(row["classed"]),
        since=_beijing_midnight(row["from"]) if row["from"] else _ALWAYS,
        until=_beijing_midnight(row["until"]) if row["until"] else _FOR_EVER,
        rule=cast("Rule", _one_of(Rule, row["compare"])),
        decimals=int(row["decimals"]) if row["decimals"] else max(written, default=0),
        confidence=cast("Confidence", _one_of(Confidence, row["confidence"])),
        source=row["source"],
        note_zh=row["note_zh"],
        note_en=row["note_en"],
    )


def _one_of(words: object, text: str) -> str:
    if text not in get_args(words):
        raise ValueError(f"{text[:20]!r} is not one of {', '.join(get_args(words))}")
    return text


def _several(cell: str) -> tuple[str, ...]:
    return tuple(filter(None, cell.split("|")))


def _number(cell: str) -> Decimal | None:
    if not cell:
        return None
    value = Decimal(cell)
    exact(value)  # refuses what is no number, or of no size that anything has
    return value


def _beijing_midnight(day: str) -> int:
    return to_millis(f"{day}T00:00:00+08:00")

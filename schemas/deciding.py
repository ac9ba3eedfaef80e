"""Every governed table with the class that decides by it, and what must hold between them.

A new deciding table is a row of `data/tables.csv`, its first version as `data/<name>.csv`, a class with `table =
"<name>"`, and that class here. What one table's rows ask of another's (a mapping leads to a factor that exists) is a
check here, so that a version of either is refused that would break it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from schemas.aqi import AirIndices
from schemas.calendar import Calendar
from schemas.cases import CaseStates
from schemas.factors import Factors
from schemas.flags import Flags
from schemas.limits import Limits
from schemas.mappings import Mappings
from schemas.quality import QualityRules
from schemas.tables import FIRST_ROW, Deciding, Table, TableError, Tables, faulty_rows, shipped
from schemas.units import Units
from schemas.validity import MarkTypes

DECIDING: tuple[type[Deciding], ...] = (
    Factors, Units, Flags, MarkTypes, Mappings, Calendar, CaseStates, Limits, AirIndices, QualityRules,
)  # fmt: skip


def _factors_without_unit(tables: Tables) -> Iterator[tuple[int, str]]:
    units = tables[Units]
    for number, factor in enumerate(tables[Factors].by_code.values(), FIRST_ROW):
        if factor.unit is not None and factor.unit not in units.by_code:
            yield number, f"the unit {factor.unit!r} of {factor.code} is not a UCUM code of {units.reference}"


def _mappings_that_fail(tables: Tables) -> Iterator[tuple[int, str]]:
    yield from tables[Mappings].contradictions(tables)


def _limits_of_nothing(tables: Tables) -> Iterator[tuple[int, str]]:
    factors, units = tables[Factors], tables[Units]
    for number, limit in enumerate(tables[Limits].rows, FIRST_ROW):
        if not factors.known(limit.factor):
            yield number, f"{limit.factor} is not a factor of {factors.reference}"
        elif limit.unit not in units.by_code:
            yield number, f"the unit {limit.unit!r} is not a UCUM code of {units.reference}"


def _rules_about_nothing(tables: Tables) -> Iterator[tuple[int, str]]:
    yield from tables[QualityRules].contradictions(tables)


_BETWEEN: dict[str, Callable[[Tables], Iterator[tuple[int, str]]]] = {
    Factors.table: _factors_without_unit,
    Mappings.table: _mappings_that_fail,
    Limits.table: _limits_of_nothing,
    QualityRules.table: _rules_about_nothing,
}
"""By the table whose rows it names: what its rows ask of other tables."""


def check_version(version: Table, tables: Tables) -> Tables:
    """`tables` with `version` in force among them, which is fit to be.

    Raises:
        TableError: a row is malformed, the columns are not those of the version that ships, or a row of this table or
            of another contradicts what the others say.
    """
    columns = list(shipped(version.name).rows[0])
    if set(version.rows[0]) != set(columns):
        raise TableError(f"{version.name} has the columns {', '.join(columns)}", pointers=["row 1"])
    decided = tables.replaced(version)
    for kind in DECIDING:
        if kind.table == version.name:
            decided[kind]
    for name, contradictions in _BETWEEN.items():
        faults = list(contradictions(decided))
        if faults:
            raise faulty_rows(name, faults)
    return decided

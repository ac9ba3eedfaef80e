"""Units of measurement: UCUM codes, how sheets spell them, and exact conversion between them.

A governed table (`units`; `data/units.csv` is the version that ships): a code, its dimension, and how many of the
dimension's base unit it is, as an exact decimal. mg/L and µg/L never meet silently: two values are compared only after
`convert`, which multiplies by an exact decimal factor or refuses. In 2014 the difference between them stopped an
industry for days.

Letter case is kept, since in UCUM it carries meaning (`mPa`, `MPa`): `MG/L` is held until a person maps it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from typing import ClassVar

from schemas.errors import RecordError, UnresolvedError
from schemas.tables import FIRST_ROW, Row, Table, TableError, faulty_rows, read_each, shipped_tables

MAX_TEXT = 64  # characters; the longest spelling in the table has 12, and normalising is quadratic at worst
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_SUPERSCRIPT_POWER = re.compile("(?<=10)[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_FACTOR = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_SPACE_AND_TIMES_SIGN = re.compile(r"\s|^[×x*](?=10)")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: `factor` says how many of its dimension's base unit it is, exactly."""

    code: str
    dimension: str
    factor: Decimal
    name_zh: str
    name_en: str


_COLUMNS = ("code", "dimension", "factor", "name_zh", "name_en", "aliases", "source", "note")


class Units:
    """The units of one version of the table.

    Raises:
        TableError: a row is malformed, or a spelling stands for two units.
    """

    table: ClassVar[str] = "units"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        rows = read_each(table, _COLUMNS, _unit)
        self._by_spelling = _spellings(table.name, rows)
        self.by_code: Mapping[str, Unit] = {one.code: one for one, _ in rows}
        # Sheets repeat few pairs; an unknown unit raises and is not kept.
        self._conversion = lru_cache(maxsize=4096)(self._find_conversion)

    def unit(self, text: str) -> Unit:
        """The unit that `text` names: a UCUM code, or a spelling from sheets (`μg/L`, `ug/l`, `℃`, `无量纲`, `万个/L`).

        Raises:
            UnresolvedError: `record.unit-unknown`; the record is held until somebody maps it.
        """
        found = self._by_spelling.get(text)
        if found is None and len(text) <= MAX_TEXT:
            found = self._by_spelling.get(_plain(text))
        if found is None:
            raise UnresolvedError(f"{text[:40]!r} is not a known unit", waits_for="unit", name=text[:MAX_TEXT])
        return found

    def known(self, text: str) -> bool:
        """Whether `unit(text)` would answer."""
        return text in self._by_spelling or (len(text) <= MAX_TEXT and _plain(text) in self._by_spelling)

    def convert(self, value: Decimal, from_: str, to: str) -> Decimal:
        """`value` in unit `from_`, expressed in unit `to`; exact, with its significant digits kept.

        Raises:
            UnresolvedError: a unit is not known.
            RecordError: `record.unit-mismatch` where the dimensions differ or no exact decimal factor exists (m3/h to
                m3/s); `record.value-invalid` where `value` is not a finite number of at most 100 digits.
        """
        factor = self._conversion(from_, to)
        if not value.is_finite():
            raise RecordError(f"{value} is not a number that can be converted", code="record.value-invalid")
        try:
            result = _EXACT.multiply(value, factor)
            exponent = result.as_tuple().exponent
            scientific = isinstance(exponent, int) and exponent > 0  # 1.0E+2 is right, but no sheet reads it
            return _EXACT.quantize(result, Decimal(1)) if scientific else result
        except DecimalException:
            message = "the value has too many digits to convert exactly"
            raise RecordError(message, code="record.value-invalid") from None

    def _find_conversion(self, from_: str, to: str) -> Decimal:
        """The exact factor from one unit to another, without trailing zeros so that it adds no false digits."""
        source, target = self.unit(from_), self.unit(to)
        if source.dimension != target.dimension:
            message = f"{source.code} measures {source.dimension}, {target.code} measures {target.dimension}"
            raise RecordError(message, code="record.unit-mismatch")
        try:
            return _EXACT.normalize(_EXACT.divide(source.factor, target.factor))
        except Inexact:
            message = f"no exact decimal factor leads from {source.code} to {target.code}"
            raise RecordError(message, code="record.unit-mismatch") from None


def unit(text: str) -> Unit:
    """The unit that `text` names in the table that ships. Raises as `Units.unit` does."""
    return shipped_tables()[Units].unit(text)


def convert(value: Decimal, from_: str, to: str) -> Decimal:
    """`value` converted by the table that ships. Raises as `Units.convert` does."""
    return shipped_tables()[Units].convert(value, from_, to)


def _unit(row: Row) -> tuple[Unit, list[str]]:
    """The unit of a row, and its other spellings."""
    if not (row["code"] and row["dimension"].strip() and row["name_zh"].strip() and row["source"].strip()):
        raise TableError("a unit has a code, a dimension, a Chinese name and a source")
    if max(map(len, (row["code"], *row["aliases"].split("|")))) > MAX_TEXT:
        raise TableError(f"a spelling has at most {MAX_TEXT} characters")
    if _FACTOR.fullmatch(row["factor"]) is None or not Decimal(row["factor"]):
        raise TableError(f"{row['factor'][:40]!r} is not a positive decimal of at most 18 digits before and after")
    found = Unit(row["code"], row["dimension"], Decimal(row["factor"]), row["name_zh"], row["name_en"])
    return found, [alias for alias in row["aliases"].split("|") if alias]


def _spellings(name: str, rows: list[tuple[Unit, list[str]]]) -> Mapping[str, Unit]:
    """Every code and, in plain form, every code and alias."""
    by_spelling = {one.code: one for one, _ in rows}
    faults: list[tuple[int, str]] = []
    for number, (one, aliases) in enumerate(rows, FIRST_ROW):
        if by_spelling[one.code] is not one:
            faults.append((number, f"{one.code} stands twice"))
        faults += [
            (number, f"{alias!r} stands for two units")
            for alias in (one.code, *aliases)
            if by_spelling.setdefault(_plain(alias), one) is not one
        ]
    if faults:
        raise faulty_rows(name, faults)
    return by_spelling


def _plain(text: str) -> str:
    """One spelling for the many a unit has: no blanks, no full-width or superscript characters, `u` for micro."""
    powers_kept = _SUPERSCRIPT_POWER.sub(lambda match: "^" + match[0], text)
    compatible = unicodedata.normalize("NFKC", powers_kept).replace("μ", "u").replace("−", "-")
    return _SPACE_AND_TIMES_SIGN.sub("", compatible)

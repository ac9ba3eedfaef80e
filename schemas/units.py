"""Units of measurement: UCUM codes, how sheets spell them, and exact conversion between them.

The table is `data/units.csv`: a code, its dimension, and how many of the dimension's base unit it is, as an exact
decimal. mg/L and µg/L never meet silently: two values are compared only after `convert`, which multiplies by an exact
decimal factor or refuses. In 2014 the difference between them stopped an industry for days.

Letter case is kept, since in UCUM it carries meaning (`mPa`, `MPa`): `MG/L` is held until a person maps it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import cache, lru_cache

from schemas.data import read_table
from schemas.errors import RecordError, UnresolvedError

MAX_TEXT = 64  # characters; the longest spelling in the table has 12, and normalising is quadratic at worst
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_SUPERSCRIPT_POWER = re.compile("(?<=10)[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SPACE_AND_TIMES_SIGN = re.compile(r"\s|^[×x*](?=10)")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: `factor` says how many of its dimension's base unit it is, exactly."""

    code: str
    dimension: str
    factor: Decimal
    name_zh: str
    name_en: str


def unit(text: str) -> Unit:
    """The unit that `text` names: a UCUM code, or a spelling from sheets (`μg/L`, `ug/l`, `℃`, `无量纲`, `万个/L`).

    Raises:
        UnresolvedError: `record.unit-unknown`; the record is held until somebody maps it.
    """
    by_spelling = _spellings()
    found = by_spelling.get(text)
    if found is None and len(text) <= MAX_TEXT:
        found = by_spelling.get(_plain(text))
    if found is None:
        raise UnresolvedError(f"{text[:40]!r} is not a known unit", waits_for="unit", name=text[:MAX_TEXT])
    return found


def convert(value: Decimal, from_: str, to: str) -> Decimal:
    """`value` in unit `from_`, expressed in unit `to`; exact, with its significant digits kept.

    Raises:
        UnresolvedError: a unit is not known.
        RecordError: `record.unit-mismatch` where the dimensions differ or no exact decimal factor exists (m3/h to
            m3/s); `record.value-invalid` where `value` is not a finite number of at most 100 digits.
    """
    factor = _conversion(from_, to)
    if not value.is_finite():
        raise RecordError(f"{value} is not a number that can be converted", code="record.value-invalid")
    try:
        result = _EXACT.multiply(value, factor)
        exponent = result.as_tuple().exponent
        scientific = isinstance(exponent, int) and exponent > 0  # 1.0E+2 is right, but no sheet reads it
        return _EXACT.quantize(result, Decimal(1)) if scientific else result
    except DecimalException:
        raise RecordError("the value has too many digits to convert exactly", code="record.value-invalid") from None


def all_units() -> Mapping[str, Unit]:
    """Every unit by its UCUM code, in table order."""
    return {one.code: one for one in _spellings().values()}


@lru_cache(maxsize=4096)  # sheets repeat few pairs; an unknown unit raises and is not kept
def _conversion(from_: str, to: str) -> Decimal:
    """The exact factor from one unit to another, without trailing zeros so that it adds no false digits."""
    source, target = unit(from_), unit(to)
    if source.dimension != target.dimension:
        message = f"{source.code} measures {source.dimension}, {target.code} measures {target.dimension}"
        raise RecordError(message, code="record.unit-mismatch")
    try:
        return _EXACT.normalize(_EXACT.divide(source.factor, target.factor))
    except Inexact:
        message = f"no exact decimal factor leads from {source.code} to {target.code}"
        raise RecordError(message, code="record.unit-mismatch") from None


@cache
def _spellings() -> Mapping[str, Unit]:
    """Every code and, in plain form, every code and alias."""
    by_spelling: dict[str, Unit] = {}
    for row in read_table("units.csv"):
        one = Unit(row["code"], row["dimension"], Decimal(row["factor"]), row["name_zh"], row["name_en"])
        by_spelling[one.code] = one
        for alias in (one.code, *filter(None, row["aliases"].split("|"))):
            if by_spelling.setdefault(_plain(alias), one) is not one:
                raise RuntimeError(f"units.csv: {alias!r} stands for two units")
    return by_spelling


def _plain(text: str) -> str:
    """One spelling for the many a unit has: no blanks, no full-width or superscript characters, `u` for micro."""
    powers_kept = _SUPERSCRIPT_POWER.sub(lambda match: "^" + match[0], text)
    compatible = unicodedata.normalize("NFKC", powers_kept).replace("μ", "u").replace("−", "-")
    return _SPACE_AND_TIMES_SIGN.sub("", compatible)

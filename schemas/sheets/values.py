"""The value in a cell: `0.0002L`, `＜0.0002`, `ND`, `未检出`, `>1000`, full-width digits → decimal text and qualifier.

The digits are kept as they stand: `0.10` stays `0.10`. What could be read in two ways is refused with the reason and
never guessed: `0,12` (a decimal comma, or thousands?), `12.5%` of something that is not a per cent, `1.2×10^5`. An
undetected value without a detection limit is refused as well, since it is neither 0 nor a number.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal, NamedTuple

from schemas.sheets.grid import SheetError

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x00A0: " ", 0x2212: "-"}
_NUMBER = r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?"
_VALUE = re.compile(rf"(?P<sign>[<>])?\s*(?P<number>{_NUMBER})\s*(?P<below>[Ll])?(?P<percent>%)?", re.ASCII)
_UNDETECTED = re.compile(rf"(?:N\.?D\.?|未检出)(?:\s*\(?\s*<?\s*({_NUMBER})\s*L?\s*\)?)?", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"-?\d(?:\.\d{1,14})?[eE][+-]?\d{1,2}", re.ASCII)
_COMMA = re.compile(r"[<>]?\s*-?\d[\d,]*,\d[\d.]*\s*[Ll]?", re.ASCII)
_ERRORS = frozenset({"#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"})


class Value(NamedTuple):
    """A decimal as text, and `<` (below the detection limit) or `>` (above range) where the cell says so.

    `scientific` tells that the cell wrote it with an exponent: whether its digits are all there, only a person knows.
    """

    value: str
    q: Literal["<", ">"] | None = None
    scientific: bool = False


def narrow(text: str) -> str:
    """`text` with plain characters for full-width ones, without blanks around it. Superscripts stay: 10⁵ is not 105."""
    return text.translate(_WIDE).strip()


def read_value(text: str, *, unit: str, detection: str = "") -> Value:
    """The value that a cell says. `unit` is its UCUM code; `detection` the limit, decimal text in that unit.

    Raises:
        SheetError: `sheet.value-unread`, `sheet.value-comma`, `sheet.percent`, `sheet.detection-missing`,
            `sheet.cell-error`.
    """
    bare = narrow(text)
    match = _VALUE.fullmatch(bare)
    if match is not None:
        return _plain(match, unit)
    undetected = _UNDETECTED.fullmatch(bare)
    if undetected is not None:
        return _undetected(undetected[1] or detection, bare)
    if _SCIENTIFIC.fullmatch(bare):
        return Value(f"{Decimal(bare):f}", scientific=True)
    if bare.upper() in _ERRORS:
        raise SheetError(f"the cell holds the error {bare}", code="sheet.cell-error")
    if _COMMA.fullmatch(bare):
        raise SheetError(f"{bare[:40]!r}: a comma may part decimals or thousands", code="sheet.value-comma")
    raise SheetError(f"{text[:40]!r} is not a value", code="sheet.value-unread")


def _plain(match: re.Match[str], unit: str) -> Value:
    sign, number = match["sign"], match["number"]
    if match["percent"] and unit != "%":
        raise SheetError(f"{match[0]!r} is a per cent, the unit is {unit}", code="sheet.percent")
    if match["below"]:
        if sign == ">":
            raise SheetError(f"{match[0]!r} is above and below at once", code="sheet.value-unread")
        sign = "<"
    if sign == "<":
        return Value(number, "<")
    return Value(number, ">") if sign == ">" else Value(number)


def _undetected(detection: str, text: str) -> Value:
    if not detection:
        raise SheetError(f"{text[:40]!r} without a detection limit", code="sheet.detection-missing")
    limit = narrow(detection).lstrip("<").rstrip("Ll").strip()
    if re.fullmatch(_NUMBER, limit, re.ASCII) is None:
        raise SheetError(f"the detection limit {detection[:40]!r} is not a decimal", code="sheet.detection-missing")
    return Value(limit, "<")

"""Factor codes: what is measured, by HJ 525 (water, `w…`) and HJ 524 (air, `a…`).

A governed table (`factors`; `data/factors.csv` is the version that ships). A code is looked up exactly as it stands:
older codes (`011`, `B01`) and a party's own codes are mapped by `schemas.mappings` and never guessed here. Antimony in
water is `w20004`.

An air quality index is not a factor: it is derived from several, and every reader can derive it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, cast, get_args

from schemas.errors import UnresolvedError
from schemas.tables import FIRST_ROW, Row, Table, TableError, faulty_rows, read_each, shipped_tables

Medium = Literal["water", "air"]
Confidence = Literal["standard", "agreed", "single", "doubtful"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that is measured.

    `unit` is the usual UCUM code and `decimals` the usual number of decimals; None where no source says. Both are for
    display and forms: neither ever fills in a unit that a record lacks, nor rounds a value that is stored.

    `confidence` tells how far to trust the row: `standard` (in a table of HJ 212-2017), `agreed` (independent sources
    agree), `single` (one source), `doubtful` (the name occurs under a second code, or its meaning is disputed). `note`
    says what is doubtful or was decided. `cas` is the CAS number, empty where the reference has none.
    """

    code: str
    name_zh: str
    name_en: str
    cas: str
    medium: Medium
    unit: str | None
    decimals: int | None
    source: str
    confidence: Confidence
    note: str


_COLUMNS = ("code", "name_zh", "name_en", "cas", "medium", "unit", "decimals", "confidence", "source", "note")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,31}", re.ASCII)
_DECIMALS = re.compile(r"[0-9]?", re.ASCII)


class Factors:
    """The factors of one version of the table: `by_code` in the order of the codes.

    Raises:
        TableError: a row is malformed, or a code stands twice.
    """

    table: ClassVar[str] = "factors"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        rows = read_each(table, _COLUMNS, _factor)
        by_code = {one.code: one for one in rows}
        if len(by_code) < len(rows):
            codes = [one.code for one in rows]
            twice = [(number, f"{code} stands twice") for number, code in enumerate(codes, FIRST_ROW)
                     if code in codes[: number - FIRST_ROW]]  # fmt: skip
            raise faulty_rows(table.name, twice)
        self.by_code: Mapping[str, Factor] = MappingProxyType(by_code)

    def factor(self, code: str) -> Factor:
        """The factor with this code.

        Raises:
            UnresolvedError: no such code (`record.factor-unknown`); the record waits until somebody maps it.
        """
        found = self.by_code.get(code)
        if found is None:
            raise UnresolvedError(f"{code[:40]!r} is not a known factor code", waits_for="factor", name=code[:40])
        return found

    def known(self, code: str) -> bool:
        """Whether `factor(code)` would answer."""
        return code in self.by_code


def factor(code: str) -> Factor:
    """The factor with this code in the table that ships. Raises as `Factors.factor` does."""
    return shipped_tables()[Factors].factor(code)


def known(code: str) -> bool:
    """Whether `factor(code)` would answer."""
    return shipped_tables()[Factors].known(code)


def all_factors() -> Mapping[str, Factor]:
    """Every factor that ships by its code: water before air, each in the order of the codes."""
    return shipped_tables()[Factors].by_code


def _factor(row: Row) -> Factor:
    if _CODE.fullmatch(row["code"]) is None:
        raise TableError(f"{row['code'][:40]!r} is not a code of letters, digits, `.`, `_`, `:` and `-`")
    if not (row["name_zh"].strip() and row["name_en"].strip() and row["source"].strip()):
        raise TableError("a factor has a Chinese name, an English name and a source")
    if row["medium"] not in get_args(Medium):
        raise TableError(f"`medium` is one of {', '.join(get_args(Medium))}")
    if row["confidence"] not in get_args(Confidence):
        raise TableError(f"`confidence` is one of {', '.join(get_args(Confidence))}")
    if _DECIMALS.fullmatch(row["decimals"]) is None:
        raise TableError("`decimals` is a digit or empty")
    return Factor(
        code=row["code"],
        name_zh=row["name_zh"],
        name_en=row["name_en"],
        cas=row["cas"],
        medium=cast("Medium", row["medium"]),
        unit=row["unit"] or None,
        decimals=int(row["decimals"]) if row["decimals"] else None,
        source=row["source"],
        confidence=cast("Confidence", row["confidence"]),
        note=row["note"],
    )

"""Factor codes: what is measured, by HJ 525 (water, `w…`) and HJ 524 (air, `a…`).

The table is `data/factors.csv`. A code is looked up exactly as it stands: older codes (`011`, `B01`) and a party's own
codes are mapped by a governed table elsewhere and never guessed here. Antimony in water is `w20004`.

An air quality index is not a factor: it is derived from several, and every reader can derive it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal, cast

from schemas.data import read_table
from schemas.errors import UnresolvedError

Medium = Literal["water", "air"]
Confidence = Literal["standard", "agreed", "single", "doubtful"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that is measured.

    `unit` is the usual UCUM code and `decimals` the usual number of decimals; None where no source says. Both are for
    display and forms: neither ever fills in a unit that a record lacks, nor rounds a value that is stored.

    `confidence` tells how far to trust the row: `standard` (in a table of HJ 212-2017), `agreed` (independent sources
    agree), `single` (one source), `doubtful` (the name occurs under a second code, or its meaning is disputed). `note`
    says what is doubtful or was decided.
    """

    code: str
    name_zh: str
    name_en: str
    medium: Medium
    unit: str | None
    decimals: int | None
    source: str
    confidence: Confidence
    note: str


def factor(code: str) -> Factor:
    """The factor with this code.

    Raises:
        UnresolvedError: no such code (`record.factor-unknown`); the record waits until somebody maps it.
    """
    found = all_factors().get(code)
    if found is None:
        raise UnresolvedError(f"{code[:40]!r} is not a known factor code", waits_for="factor", name=code[:40])
    return found


def known(code: str) -> bool:
    """Whether `factor(code)` would answer."""
    return code in all_factors()


@cache
def all_factors() -> Mapping[str, Factor]:
    """Every factor by its code: water before air, each in the order of the codes."""
    return MappingProxyType({row["code"]: _factor(row) for row in read_table("factors.csv")})


def _factor(row: Mapping[str, str]) -> Factor:
    return Factor(
        code=row["code"],
        name_zh=row["name_zh"],
        name_en=row["name_en"],
        medium=cast("Medium", row["medium"]),
        unit=row["unit"] or None,
        decimals=int(row["decimals"]) if row["decimals"] else None,
        source=row["source"],
        confidence=cast("Confidence", row["confidence"]),
        note=row["note"],
    )

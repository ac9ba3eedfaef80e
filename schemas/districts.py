"""The districts that Taipu was made for, with their GB/T 2260 names.

A party of a plan need not stand here: the basin authority, the zone's executive committee and a waterworks are parties
without a division of their own, and any other district may join. The table only lends known parties their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from schemas.data import read_table


@dataclass(frozen=True, slots=True)
class District:
    """A party with an administrative division.

    `id` is ours and names the party; `division` is the GB/T 2260 code, an attribute that may change while the party
    stays. `credit_code` is the unified social credit code of its bureau, None while nobody has told us.
    """

    id: str
    division: str
    name_zh: str
    name_en: str
    within_zh: str
    within_en: str
    credit_code: str | None
    source: str


def find_district(party: str) -> District | None:
    """The district with this party id, or None: then the party brings its own names."""
    return all_districts().get(party)


@cache
def all_districts() -> Mapping[str, District]:
    """Every district by party id, in the order of the codes."""
    return {row["id"]: _district(row) for row in read_table("districts.csv")}


def _district(row: Mapping[str, str]) -> District:
    return District(
        id=row["id"],
        division=row["division"],
        name_zh=row["name_zh"],
        name_en=row["name_en"],
        within_zh=row["within_zh"],
        within_en=row["within_en"],
        credit_code=row["credit_code"] or None,
        source=row["source"],
    )

"""What a party's codes mean: the governed table that turns `011` or `XS-07` into a factor's code, or does not.

Two systems of codes are mapped. `hj212-2005`: the codes of HJ/T 212-2005, which old loggers go on speaking; HJ 212-2017
tables B.1 and B.2 give each beside the new one. `own`: what one party calls things; such a row may also correct a
party that uses a factor's code for something else. A row with a party goes before one without, and a row of `own`
before one of a standard. Two codes may mean one factor; a code without a row is never guessed, the record waits.

Antimony is what this network was made for, and public dictionaries give it two codes that are wrong (w20141 is arsenic,
w21025 free chlorine). So whatever by its name is antimony leads to w20004 in water or a20004 in air, or is refused
(`check_meaning`), and so does every name that the table of factors gives to another factor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, cast, get_args

from schemas.factors import Factors
from schemas.tables import FIRST_ROW, Row, Table, TableError, Tables, faulty_rows, read_each
from schemas.units import Units

System = Literal["own", "hj212-2005"]

ANTIMONY = ("w20004", "a20004")
"""Antimony in water (HJ 525) and in air (HJ 524)."""

_COLUMNS = ("party", "system", "code", "name", "factor", "unit", "note", "source")
_CODE = re.compile(r"[^\x00-\x20\x7f]{1,40}")  # one word; no longer than what a held record keeps of its code
_PARTY = re.compile(r"[0-9]{6}|", re.ASCII)
# `Sb`, `Sb3+`, `TSb`, `总Sb`, and `SB` alone; but not `SB001`, the first equipment (设备) of HJ 212.
_SYMBOL = re.compile(r"(?<![A-Za-z])T?Sb(?![a-z])|(?<![A-Za-z])(?:SB|sb)(?![A-Za-z0-9])")


class MeaningError(TableError):
    """A name and the factor it is mapped to contradict each other."""

    code = "mapping.contradicts"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One code of one party (of every party where `party` is empty) and the factor it means.

    `unit` is the UCUM code its values are in where a record says none; None: the record, or the registration of its
    device, says it.
    """

    party: str
    system: System
    code: str
    name: str
    factor: str
    unit: str | None


class Codes:
    """The codes of one party that some row speaks of: `words`, to ask about a code before a record is looked into."""

    def __init__(self, reference: str, rows: list[Meaning]) -> None:
        self.reference = reference
        self._rows: dict[str, dict[System, Meaning]] = {}
        # A row of the party itself is put in last, over the one that holds for everybody.
        for row in sorted(rows, key=lambda row: row.party):
            self._rows.setdefault(row.code, {})[row.system] = row
        self.words = frozenset(self._rows)

    def find(self, code: str, *, hj212: bool) -> Meaning | None:
        """The row that decides about `code`; None: the code stands as it is.

        The codes of HJ/T 212-2005 mean something only in what an HJ 212 device sent (`hj212`): `02` in a laboratory's
        sheet may be anything, and only that party's own row can say what.
        """
        rows = self._rows.get(code)
        if rows is None:
            return None
        return rows.get("own") or (rows.get("hj212-2005") if hj212 else None)


class Mappings:
    """The mappings of one version of the table.

    Raises:
        TableError: a row is malformed, or a code of a party stands twice. Whether a row's factor and unit are known and
            its name fits is seen beside the tables of those (`contradictions`).
    """

    table: ClassVar[str] = "mappings"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        self.rows = tuple(read_each(table, _COLUMNS, _mapping))
        known: set[tuple[str, str, str]] = set()
        faults = []
        for number, row in enumerate(self.rows, FIRST_ROW):
            key = (row.party, row.system, row.code)
            if key in known:
                faults.append((number, f"{row.code} of {row.party or 'every party'} stands twice in {row.system}"))
            known.add(key)
        if faults:
            raise faulty_rows(table.name, faults)
        self.codes_of = lru_cache(maxsize=256)(self._codes_of)

    def _codes_of(self, party: str) -> Codes:
        return Codes(self.reference, [row for row in self.rows if row.party in ("", party)])

    def contradictions(self, tables: Tables) -> Iterator[tuple[int, str]]:
        """The rows that cannot hold beside the factors and units of `tables`: their numbers, and why."""
        factors, units = tables[Factors], tables[Units]
        for number, row in enumerate(self.rows, FIRST_ROW):
            if not factors.known(row.factor):
                yield number, f"{row.factor} is not a factor of {factors.reference}"
                continue
            try:
                check_meaning(row.name, row.factor, factors)
                check_meaning(row.code, row.factor, factors)
            except MeaningError as error:
                yield number, error.detail
            if row.unit is not None and row.unit not in units.by_code:
                yield number, f"{row.unit!r} is not a UCUM code of {units.reference}"


def check_meaning(name: str, code: str, factors: Factors) -> None:
    """That what somebody calls `name` may lead to the factor `code`.

    Raises:
        MeaningError: the name is antimony and the factor is not, or the name is the Chinese or English name of another
            factor of the same medium. Names that the table itself doubts refuse nothing.
    """
    target = factors.by_code.get(code)
    called = f"{code} ({target.name_zh}, {target.name_en})" if target else code
    if says_antimony(name) and code not in ANTIMONY:
        raise MeaningError(
            f"{name[:40]!r} is antimony, and {called} is not: antimony is w20004 in water, a20004 in air. "
            "Public dictionaries that say w20141 (arsenic) or w21025 (free chlorine) are wrong"
        )
    named = _codes_named(factors).get(_plain(name), ())
    # 砷 is a factor of air, and 总砷 what a laboratory means by it in water.
    others = [other for other in named if target is None or factors.by_code[other].medium == target.medium]
    if others and code not in others:
        raise MeaningError(f"{name[:40]!r} is {' or '.join(others)} by {factors.reference}, not {called}")


def says_antimony(name: str) -> bool:
    """Whether a name, a column's heading or a device's code says antimony: 锑, antimony, stibium, Sb, or its code."""
    folded = name.casefold()
    return (
        "锑" in name
        or "antimony" in folded
        or "stibium" in folded
        or folded.strip() in ANTIMONY
        or _SYMBOL.search(name) is not None
    )


@lru_cache(maxsize=16)
def _codes_named(factors: Factors) -> Mapping[str, tuple[str, ...]]:
    """The codes that bear each name, without the rows that the table doubts."""
    named: dict[str, tuple[str, ...]] = {}
    for one in factors.by_code.values():
        if one.confidence != "doubtful":
            for name in {_plain(one.name_zh), _plain(one.name_en)}:
                named[name] = (*named.get(name, ()), one.code)
    return named


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()


def _mapping(row: Row) -> Meaning:
    if _PARTY.fullmatch(row["party"]) is None:
        raise TableError(f"{row['party'][:40]!r} is no party (six digits), nor empty for every party")
    if row["system"] not in get_args(System):
        raise TableError(f"`system` is one of {', '.join(get_args(System))}")
    if row["system"] == "own" and not row["party"]:
        raise TableError("a code of `own` is some party's")
    if _CODE.fullmatch(row["code"]) is None:
        raise TableError(f"{row['code'][:50]!r} is not a code: one word of at most 40 characters")
    if not (row["name"].strip() and row["factor"] and row["source"].strip()):
        raise TableError("a mapping has a name, a factor and a source")
    return Meaning(
        party=row["party"],
        system=cast("System", row["system"]),
        code=row["code"],
        name=row["name"],
        factor=row["factor"],
        unit=row["unit"] or None,
    )

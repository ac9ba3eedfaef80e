"""Validity: whether a value may be judged, by its flag and by what people marked afterwards.

Derived each time it is asked for and never stored with the value: a mark may come days later, and a version of a table
may be replaced. Values that are not valid are stored, shared and shown; they are never judged and never alarmed on.

A mark makes a value invalid if any part of the value's period lies in its span: which part of an average stems from the
marked time, nobody can tell afterwards. An instant belongs to a span from its beginning until just before its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, get_args

from schemas.flags import Flags
from schemas.periods import seconds
from schemas.records.mark import Mark, MarkType
from schemas.tables import FIRST_ROW, Row, Table, TableError, Tables, faulty_rows, read_each
from schemas.times import DAY, to_millis

_LONGEST_MONTH = 31 * DAY  # ms; a monthly value is touched by a mark anywhere in its month


@dataclass(frozen=True, slots=True)
class Validity:
    """`valid`, and why not: `flag:M` (the flag says so), `flag-unknown:Q`, `mark:maintenance`. Empty where valid.

    `references` are the table versions it was decided by.
    """

    valid: bool
    why: tuple[str, ...]
    references: tuple[str, ...]


class MarkTypes:
    """What each type of mark does to validity, in one version of the table.

    Raises:
        TableError: a row is malformed, or a type stands in it twice or not at all.
    """

    table: ClassVar[str] = "marks"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        self._valid: dict[str, bool] = {}
        faults: list[tuple[int, str]] = []
        for number, (type_, valid) in enumerate(read_each(table, _COLUMNS, _row), FIRST_ROW):
            if type_ in self._valid:
                faults.append((number, f"{type_} stands here twice"))
            self._valid[type_] = valid
        if missing := set(get_args(MarkType)) - self._valid.keys():
            faults.append((FIRST_ROW, f"{', '.join(sorted(missing))} stands nowhere"))
        if faults:
            raise faulty_rows(table.name, faults)

    def leaves_valid(self, type_: str) -> bool:
        """Whether a value under a mark of this type may still be judged."""
        return self._valid[type_]


def judge(
    profile: str, flag: str, factor: str, period: str, at: int, marks: Iterable[Mark], tables: Tables
) -> Validity:
    """Whether a value of `factor` over `period` from `at` (ms UTC) may be judged; `marks` are those of its site."""
    flags, mark_types = tables[Flags], tables[MarkTypes]
    why: list[str] = []
    found = flags.find(profile, flag, at)
    if found is None:
        why.append(f"flag-unknown:{flag}")
    elif not found.valid:
        why.append(f"flag:{flag}")
    why += sorted(
        {
            f"mark:{mark.type}"
            for mark in marks
            if not mark_types.leaves_valid(mark.type) and touches(mark, factor, period, at)
        }
    )
    return Validity(not why, tuple(why), (flags.reference, mark_types.reference))


def touches(mark: Mark, factor: str, period: str, at: int) -> bool:
    """Whether the mark is about a value of `factor` over `period` from `at` (ms UTC)."""
    if mark.factors and factor not in mark.factors:
        return False
    fixed = seconds(period)
    end = at + (fixed * 1000 if fixed is not None else _LONGEST_MONTH)
    begins, ends = to_millis(mark.from_), to_millis(mark.to) if mark.to else None
    if ends is not None and ends <= at:
        return False
    return begins <= at or begins < end


_COLUMNS = ("type", "valid", "meaning_zh", "meaning_en", "confidence", "source")


def _row(row: Row) -> tuple[str, bool]:
    if row["type"] not in get_args(MarkType):
        raise TableError(f"{row['type'][:40]!r} is not a type of mark")
    if row["valid"] not in ("yes", "no") or not (row["meaning_zh"].strip() and row["source"].strip()):
        raise TableError("a mark has `valid` yes or no, a Chinese meaning and a source")
    return row["type"], row["valid"] == "yes"

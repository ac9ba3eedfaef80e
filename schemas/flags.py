"""Data flags: what an instrument's mark on a value means, by profile and date.

The same letter means different things to different devices (`F` is a stopped instrument in HJ 212-2017 and a broken
line in surface-water stations), so the raw flag is kept with its profile and validity is looked up in
`data/flags.csv`. Values that are not valid are stored and shared, never judged.

Decided here, with the reason:

- An unknown profile, an unknown flag, or a flag before its row begins is *not valid*. A device whose profile has flags
  and that sends none is not valid either: nothing says that the instrument was working.
- Profiles without flags have one row, the empty flag, and it is valid: `manual` (a person answers for the value) and
  `hourly-air` (what is not valid is not published).
- `T`, above the measuring range, is valid with qualifier `>`: the true value is at least as high, and a spill must not
  hide behind the end of a scale. `L` of surface-water stations is valid with `<`.
- `S`, set by hand, is not valid: it is not a measurement.
- A row does not end when its standard is replaced, since devices go on speaking it: the profile says what a device
  speaks. The flag table of HJ 212-2025 was not found, so that of 2017 is carried over and marked `inferred`.
- Lower-case qualifiers of surface-water stations have no confirmed meaning and so are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

from schemas.data import read_table
from schemas.times import to_millis

_ALWAYS = -(2**63)  # ms; a row without a first day
_FOR_EVER = 2**63 - 1  # ms; a row without a last day


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of one profile, in force from `since` until before `until` (milliseconds UTC).

    `qualifier` is what the flag says of the value: `>` above range, `<` below detection, or empty.
    """

    profile: str
    flag: str
    meaning_zh: str
    meaning_en: str
    valid: bool
    qualifier: Literal["", "<", ">"]
    since: int
    until: int
    confidence: str
    source: str


def is_valid(profile: str, flag: str, at: int) -> bool:
    """Whether a value measured at `at` (milliseconds UTC) and marked so may be judged. Unknown is not valid."""
    found = find_flag(profile, flag, at)
    return found is not None and found.valid


def find_flag(profile: str, flag: str, at: int) -> Flag | None:
    """The meaning of a flag at `at` (milliseconds UTC), or None if this gateway does not know it."""
    for row in _rows().get((profile, flag), ()):
        if row.since <= at < row.until:
            return row
    return None


def profiles() -> frozenset[str]:
    """The profiles that the table knows."""
    return frozenset(profile for profile, _ in _rows())


@cache
def _rows() -> Mapping[tuple[str, str], tuple[Flag, ...]]:
    rows: dict[tuple[str, str], tuple[Flag, ...]] = {}
    for row in read_table("flags.csv"):
        key = (row["profile"], row["flag"])
        rows[key] = (*rows.get(key, ()), _flag(row))
    return rows


def _flag(row: Mapping[str, str]) -> Flag:
    return Flag(
        profile=row["profile"],
        flag=row["flag"],
        meaning_zh=row["meaning_zh"],
        meaning_en=row["meaning_en"],
        valid=row["valid"] == "yes",
        qualifier=cast("Literal['', '<', '>']", row["qualifier"]),
        since=_beijing_midnight(row["from"]) if row["from"] else _ALWAYS,
        until=_beijing_midnight(row["to"]) if row["to"] else _FOR_EVER,
        confidence=row["confidence"],
        source=row["source"],
    )


def _beijing_midnight(day: str) -> int:
    return to_millis(f"{day}T00:00:00+08:00")

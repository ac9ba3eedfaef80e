"""Reading a document strictly, and telling all its faults at once.

A `Place` is one value with its JSON pointer. A reader takes a place and returns what stands there; what it cannot read
it reports to the list that all places of a document share, and returns a stand-in of the right type so that reading
goes on. Whoever owns the list raises once the end is reached: a stand-in must never be used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias, TypeVar

from schemas.errors import RecordError
from schemas.periods import Duration, parse_duration
from schemas.plan.document import Value, step
from schemas.times import to_millis

T = TypeVar("T")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TEXT = 2000  # characters in one text
_END_OF_DAY = re.compile("T24:00:00(?=Z|[+-])")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Fault(NamedTuple):
    """What is wrong, and where (a JSON pointer, RFC 6901)."""

    pointer: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Place:
    """One value of a document, where it stands, and the faults found in the document so far."""

    value: Value
    pointer: str
    faults: list[Fault]

    def fault(self, sentence: str, stand_in: T) -> T:
        self.faults.append(Fault(self.pointer, sentence))
        return stand_in


Reader: TypeAlias = Callable[[Place], T]


class Members:
    """The members of the mapping at one place; any that is not in `known` is a fault."""

    def __init__(self, place: Place, known: Collection[str]) -> None:
        self._place = place
        self._is_mapping = isinstance(place.value, dict)
        self._values = place.value if isinstance(place.value, dict) else {}
        if not self._is_mapping:
            place.fault("must be a mapping of members", None)
        for name in self._values:
            if name not in known:
                self._at(name).fault(f"unknown member {name[:64]!r}", None)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def required(self, name: str, read: Reader[T], stand_in: T) -> T:
        """The member, or a fault where it is missing."""
        if name not in self._values:
            return self._place.fault(f"needs the member {name!r}", stand_in) if self._is_mapping else stand_in
        return read(self._at(name))

    def optional(self, name: str, read: Reader[T], otherwise: T) -> T:
        """The member, or `otherwise` where it is missing."""
        return read(self._at(name)) if name in self._values else otherwise

    def marked(self, name: str) -> bool:
        """Whether the member says true; false where it is missing."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            self._at(name).fault("must be true or false", None)
        return value is True

    def fault(self, sentence: str) -> None:
        """A fault of the mapping as a whole."""
        self._place.fault(sentence, None)

    def _at(self, name: str) -> Place:
        return Place(self._values[name], step(self._place.pointer, name), self._place.faults)


def text(place: Place) -> str:
    value = place.value
    if isinstance(value, str) and value.strip() and len(value) <= MAX_TEXT:
        return value
    hint = "; put the number in quotes" if isinstance(value, int) and not isinstance(value, bool) else ""
    return place.fault(f"must be text of 1 to {MAX_TEXT} characters{hint}", "")


def matching(pattern: str, what: str) -> Reader[str]:
    """Text that matches `pattern` as a whole; `what` names it for a person."""
    compiled = re.compile(pattern, re.ASCII)

    def read(place: Place) -> str:
        value = text(place)
        return value if not value or compiled.fullmatch(value) else place.fault(f"is not {what}", "")

    return read


def one_of(allowed: Collection[str]) -> Reader[str]:
    """Text that is one of `allowed`."""

    def read(place: Place) -> str:
        value = text(place)
        return value if not value or value in allowed else place.fault(f"must be one of {', '.join(allowed)}", "")

    return read


def whole_number(place: Place) -> int:
    """A whole number from 1 to a million."""
    value = place.value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000:
        return value
    return place.fault("must be a whole number from 1 to 1000000", 1)


def each(read: Reader[T], *, distinct: bool = True) -> Reader[tuple[T, ...]]:
    """A list with at least one item, and none twice where `distinct`; each is read by `read`."""

    def read_all(place: Place) -> tuple[T, ...]:
        if not isinstance(place.value, list) or not place.value:
            return place.fault("must be a list with at least one item", ())
        places = [Place(item, step(place.pointer, i), place.faults) for i, item in enumerate(place.value)]
        before = len(place.faults)
        items = tuple(read(one) for one in places)
        if distinct and len(place.faults) == before and len(set(items)) < len(items):
            place.fault("must not name anything twice", None)
        return items

    return read_all


def duration(place: Place) -> Duration:
    """An ISO 8601 duration, with months in it or not."""
    try:
        return parse_duration(text(place) or "PT0S")
    except RecordError as error:
        return place.fault(error.detail, Duration(0, 0))


def fixed_duration(place: Place) -> timedelta:
    """An ISO 8601 duration whose length the calendar does not decide."""
    fixed = duration(place).fixed
    return fixed if fixed is not None else place.fault("must be a fixed length of time, without months", timedelta(0))


def instant(place: Place) -> datetime:
    """An instant with its offset (RFC 3339), in UTC; `24:00:00` is the end of the day it names (ISO 8601)."""
    value = text(place)
    if not value:
        return EPOCH
    beginning_of_day, days_later = _END_OF_DAY.subn("T00:00:00", value)
    try:
        return EPOCH + timedelta(milliseconds=to_millis(beginning_of_day), days=days_later)
    except RecordError:
        return place.fault("must be an instant with an offset, such as 2027-01-01T00:00:00+08:00", EPOCH)
    except OverflowError:
        return place.fault("lies outside the calendar", EPOCH)


def day_or_instant(place: Place) -> datetime:
    """An instant, or a date: the beginning of that day in Beijing."""
    if isinstance(place.value, str) and _DAY.fullmatch(place.value):
        return instant(Place(f"{place.value}T00:00:00+08:00", place.pointer, place.faults))
    return instant(place)

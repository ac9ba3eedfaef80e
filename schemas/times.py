"""Instants: RFC 3339 text on the wire, integer milliseconds UTC inside.

Written text is Beijing time (`+08:00`) for record times, since that is what the people who read them live by, and UTC
(`Z`) for what gateways say of themselves. Text without an offset is refused: HJ 212 and sheets have none, and their
profile says what they mean before a record is made.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from schemas.errors import RecordError

BEIJING = timezone(timedelta(hours=8))
DAY = 86_400_000  # ms
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Years 1800 to 2999: nothing was measured before, and every offset and duration stays within what `datetime` holds.
_TEXT = re.compile(r"((?:1[89]|2\d)\d\d)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,3}))?(Z|[+-]\d\d:\d\d)", re.ASCII)


@lru_cache(maxsize=65_536)  # a station's packet repeats one instant for every factor
def to_millis(text: str) -> int:
    """Milliseconds since 1970-01-01T00:00Z of an RFC 3339 `text`.

    Raises:
        RecordError: `record.time-invalid`: no offset, finer than a millisecond, no such instant, or beyond the years
            1800 to 2999.
    """
    match = _TEXT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        zone = match[8]
        offset = 0 if zone == "Z" else (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 60 + int(zone[4:6]))
        if abs(offset) > 14 * 60 or (zone != "Z" and int(zone[4:6]) > 59):
            raise ValueError
    except ValueError:
        message = f"{text[:40]!r} is not an instant with an offset, to the millisecond at most (RFC 3339)"
        raise RecordError(message, code="record.time-invalid") from None
    whole = (local - _EPOCH) // timedelta(seconds=1) - offset * 60
    return whole * 1000 + int((match[7] or "0").ljust(3, "0"))


@lru_cache(maxsize=65_536)
def beijing_text(millis: int) -> str:
    """`millis` as Beijing time: `2026-11-23T10:00:00+08:00`, with milliseconds only where there are some."""
    instant = (_EPOCH + timedelta(milliseconds=millis)).astimezone(BEIJING)
    return instant.isoformat(timespec="milliseconds" if millis % 1000 else "seconds")


def utc_text(millis: int) -> str:
    """`millis` as UTC with milliseconds: `2026-11-23T02:00:00.000Z`."""
    return (_EPOCH + timedelta(milliseconds=millis)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis_of(instant: datetime) -> int:
    """An `instant` with its offset as milliseconds UTC; what is finer is cut off."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def now_millis() -> int:
    """The clock, read once for a decision and handed on."""
    return millis_of(datetime.now(UTC))

"""ISO 8601 durations as we use them: averaging periods (`PT1H`) and the plan's terms (`P90D`).

Weeks, fractions and signs are left out: a period is part of an observation's key, so each has one spelling. An hour is
`PT1H`, never `PT60M`; a day is `P1D`, never `PT24H`. Spot samples and instants are `PT0S`.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from schemas.errors import RecordError

PERIODS = (
    "PT0S",
    *(f"PT{minutes}M" for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),  # the minute intervals of HJ 212-2017
    *(f"PT{hours}H" for hours in (1, 2, 3, 4, 6, 8, 12)),
    *("P1D", "P7D", "P10D", "P1M", "P3M", "P1Y"),
)
_PERIODS = frozenset(PERIODS)
_DURATION = re.compile(
    r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?"
    r"(?:T(?=.)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: whole `months`, whose length the calendar decides, and `seconds`, whose length is fixed."""

    months: int
    seconds: int

    @property
    def fixed(self) -> timedelta | None:
        """The length where it is fixed, None where it has months in it."""
        return None if self.months else timedelta(seconds=self.seconds)

    def after(self, instant: datetime) -> datetime:
        """The end of this duration begun at `instant`, on the calendar of `instant`'s own offset.

        A month that ends early ends the duration early: one month after 31 January is the end of February. Raises
        OverflowError beyond the year 9999.
        """
        months = instant.year * 12 + instant.month - 1 + self.months
        year, month = divmod(months, 12)
        if year > 9999:
            raise OverflowError("the duration ends after the year 9999")
        day = min(instant.day, monthrange(year, month + 1)[1])
        return instant.replace(year=year, month=month + 1, day=day) + timedelta(seconds=self.seconds)


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> Duration:
    """The duration that `text` says.

    Raises:
        RecordError: `record.period-invalid`: not an ISO 8601 duration of whole years, months, days, hours, minutes and
            seconds.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise RecordError(f"{text[:40]!r} is not a duration such as PT1H, P7D or P1M", code="record.period-invalid")
    years, months, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return Duration(years * 12 + months, ((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def is_period(text: str) -> bool:
    """Whether `text` is a period an observation may carry: one of `PERIODS`, in its one spelling."""
    return text in _PERIODS


def seconds(text: str) -> int | None:
    """The seconds in a duration; None where the calendar decides (`P1M`).

    Raises:
        RecordError: `record.period-invalid`.
    """
    duration = parse_duration(text)
    return None if duration.months else duration.seconds

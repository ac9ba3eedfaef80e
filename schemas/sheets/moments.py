"""The time in a row: `04-01 04:00`, `2026-05-01`, `2026-02-26T2000`, Excel's dates → an instant, in Beijing time.

A profile says the forms its sheets use, in the letters of a calendar: `YYYY-MM-DD hh:mm`. Two things a sheet may leave
out are read by rule, and only where the profile says so: the year (the latest in which the instant is not after the
reference instant that is handed in), and the hour (midnight of that date). An hour 24 is the next day's midnight.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from schemas.sheets.grid import SheetError
from schemas.sheets.values import narrow
from schemas.times import BEIJING

_TOKENS = {"YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d{1,2})", "DD": r"(?P<day>\d{1,2})",
           "hh": r"(?P<hour>\d{1,2})", "mm": r"(?P<minute>\d{1,2})", "ss": r"(?P<second>\d{1,2})"}  # fmt: skip
_FIXED = {name: re.sub(r"\{1,2\}", "{2}", pattern) for name, pattern in _TOKENS.items()}
_TOKEN = re.compile("|".join(_TOKENS))
_LEAP = 9  # years back at most until 29 February has been; 1900 was not a leap year
EXCEL = ("YYYY-MM-DD hh:mm:ss", "YYYY-MM-DD hh:mm", "YYYY-MM-DD")
"""How a workbook's own dates are written down here, whatever the profile says."""


@lru_cache(maxsize=256)
def time_form(form: str) -> re.Pattern[str]:
    """What text has the form `YYYY-MM-DD hh:mm`.

    Raises:
        SheetError: it lacks month or day, or repeats a part.
    """
    names = _TOKEN.findall(form)
    literals = _TOKEN.split(form)
    if len(set(names)) != len(names) or not {"MM", "DD"} <= set(names) or re.search("[A-SU-Za-z]", "".join(literals)):
        raise SheetError(f"{form!r} is not made of YYYY, MM, DD, hh, mm, ss, each at most once")
    adjoining = "" in literals[1:-1]  # `hhmm`: without a mark between them, parts have their full width
    tokens = _FIXED if adjoining else _TOKENS
    pattern = _literal(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        pattern += tokens[name] + _literal(literal)
    return re.compile(pattern, re.ASCII)


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\ ", r"\s+")


def read_moment(
    text: str, forms: Sequence[str], *, midnight: bool, latest: int | None = None, year: int | None = None
) -> datetime:
    """The instant, with Beijing's offset, that `text` says in one of `forms`, or in the form of a workbook's dates.

    `midnight`: a date alone is 00:00 of that date. Without a year in the text it is `year`, or else the latest year in
    which the instant is not after `latest` (ms UTC).

    Raises:
        SheetError: `sheet.time-unread`; `sheet.hour-missing`, `sheet.year-missing` where no rule fills it in.
    """
    bare = narrow(text)
    match = next((found for form in (*forms, *EXCEL) if (found := time_form(form).fullmatch(bare))), None)
    if match is None:
        raise SheetError(
            f"{text[:40]!r} is not a time such as {forms[0] if forms else EXCEL[1]}", code="sheet.time-unread"
        )
    parts = match.groupdict()
    if parts.get("hour") is None and not midnight:
        raise SheetError(f"{text[:40]!r} says no hour", code="sheet.hour-missing")
    if parts.get("year") is not None:
        moment = _instant(parts, int(parts["year"]))
    elif year is not None:
        moment = _instant(parts, year)
    elif latest is not None:
        moment = _latest(parts, datetime.fromtimestamp(latest // 1000, UTC).astimezone(BEIJING))
    else:
        raise SheetError(f"{text[:40]!r} says no year", code="sheet.year-missing")
    if moment is None:
        raise SheetError(f"there is no such time as {text[:40]!r}", code="sheet.time-unread")
    return moment


def _latest(parts: dict[str, str | None], reference: datetime) -> datetime | None:
    for year in range(reference.year, reference.year - _LEAP, -1):
        found = _instant(parts, year)
        if found is not None and found <= reference:
            return found
    return None


def _instant(parts: dict[str, str | None], year: int) -> datetime | None:
    month, day, hour, minute, second = (
        int(parts.get(name) or 0) for name in ("month", "day", "hour", "minute", "second")
    )
    next_day = hour == 24 and minute == second == 0
    try:
        found = datetime(year, month, day, 0 if next_day else hour, minute, second, tzinfo=BEIJING)
    except ValueError:
        return None
    return found + timedelta(days=1) if next_day else found

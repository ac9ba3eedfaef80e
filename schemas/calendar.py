"""Working days: deadlines of the law count them, and in China each year's are set by a notice of the State Council.

A notice names days off and weekend days that are worked in exchange (调休). Both are rows of a governed table
(`calendar`; `data/calendar.csv` is the version that ships); every other day is what its weekday says. A year is known
once its notice is in the table: a due date that would need another year is a visible error and never guessed, since a
guess is wrong by up to a week around the Spring Festival.

Days are Beijing days; turning an instant into one is the caller's to do.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import ClassVar, Literal, cast, get_args

from schemas.errors import SharingError
from schemas.tables import FIRST_ROW, Row, Table, TableError, faulty_rows, read_each

Kind = Literal["off", "working"]

_COLUMNS = ("year", "day", "kind", "name_zh", "source")
_YEAR = re.compile(r"20\d\d", re.ASCII)
_SATURDAY = 5  # as `date.weekday` counts
_DAY = timedelta(days=1)


class CalendarError(SharingError):
    """A due date needs a year whose notice is not in the table; `extra["year"]` says which."""

    code = "calendar.year-missing"


class Calendar:
    """The working days of one version of the table.

    Raises:
        TableError: a row is malformed, a day stands twice, or a working day is no weekend day.
    """

    table: ClassVar[str] = "calendar"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        rows = read_each(table, _COLUMNS, _exception)
        self.years = frozenset(year for year, _, _ in rows)
        self._kinds: dict[date, Kind] = {}
        faults = []
        for number, (_, day, kind) in enumerate(rows, FIRST_ROW):
            if day in self._kinds:
                faults.append((number, f"{day} stands twice"))
            self._kinds[day] = kind
        if faults:
            raise faulty_rows(table.name, faults)

    def is_working_day(self, day: date) -> bool:
        """Whether `day` is worked.

        Raises:
            CalendarError: the notice of its year is not in the table.
        """
        if day.year not in self.years:
            detail = f"the working days of {day.year} are not in {self.reference}; somebody has to propose them"
            raise CalendarError(detail, extra={"year": day.year})
        kind = self._kinds.get(day)
        return day.weekday() < _SATURDAY if kind is None else kind == "working"

    def add_working_days(self, day: date, count: int) -> date:
        """The `count`-th working day after `day`, which itself is not counted; `day` itself for 0.

        Raises:
            CalendarError: a day on the way is in a year that is not in the table.
        """
        if count < 0:
            raise RuntimeError("a period of working days does not end before it begins")
        while count:
            day += _DAY
            count -= self.is_working_day(day)
        return day


def _exception(row: Row) -> tuple[int, date, Kind]:
    """The year of the notice, the day, and what it is."""
    if _YEAR.fullmatch(row["year"]) is None:
        raise TableError(f"{row['year'][:40]!r} is not the year of a notice")
    try:
        day = date.fromisoformat(row["day"])
    except ValueError:
        raise TableError(f"{row['day'][:40]!r} is not a day (YYYY-MM-DD)") from None
    year = int(row["year"])
    if day.isoformat() != row["day"] or not date(year - 1, 12, 1) <= day <= date(year + 1, 1, 31):
        raise TableError(f"{row['day'][:40]!r} is not a day that the notice of {year} speaks of")
    if row["kind"] not in get_args(Kind):
        raise TableError(f"`kind` is one of {', '.join(get_args(Kind))}")
    if row["kind"] == "working" and day.weekday() < _SATURDAY:
        raise TableError(f"{day} is no weekend day: it is worked anyway")
    if not row["source"].strip():
        raise TableError("a day has a source")
    return year, day, cast("Kind", row["kind"])

"""Working days: due dates counted by hand over holidays and make-up days, and no guess of an unpublished year."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.calendar import Calendar, CalendarError
from schemas.tables import Table, TableError, shipped, shipped_tables

CALENDAR = shipped_tables()[Calendar]


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "worked"),
    [
        ("2026-02-13", True),  # Friday before the Spring Festival
        ("2026-02-14", True),  # Saturday, made up for
        ("2026-02-15", False),
        ("2026-02-23", False),  # Monday, ninth day off
        ("2026-02-24", True),
        ("2026-02-28", True),  # Saturday, made up for
        ("2026-03-01", False),  # an ordinary Sunday
        ("2026-01-04", True),  # Sunday, made up for
        ("2025-01-26", True),  # Sunday, made up for
        ("2025-10-06", False),
        ("2026-10-08", True),
    ],
)
def test_a_day_is_what_the_notice_of_its_year_says_or_else_what_its_weekday_says(text: str, worked: bool) -> None:
    assert CALENDAR.is_working_day(day(text)) is worked


@pytest.mark.parametrize(
    ("after", "count", "due", "how"),
    [
        ("2026-02-12", 10, "2026-03-04", "13, Sat 14 | 24-27, Sat 28 | Mar 2-4"),
        ("2026-02-12", 2, "2026-02-14", "Fri 13, Sat 14, a make-up day"),
        ("2026-02-14", 1, "2026-02-24", "over the whole festival"),
        ("2026-02-12", 15, "2026-03-11", "ten and five more with consent: 5, 6, 9-11"),
        ("2025-01-24", 10, "2025-02-13", "Sun 26, 27 | Feb 5-7, Sat 8 | 10-13"),
        ("2026-09-18", 5, "2026-09-24", "Sun 20, a make-up day, 21-24"),
        ("2026-09-24", 5, "2026-10-09", "28-30 | Oct 8, 9: over Mid-autumn and the National Day"),
        ("2026-11-24", 10, "2026-12-08", "no holiday: two weeks"),
        ("2026-11-21", 1, "2026-11-23", "from a Saturday to Monday"),
        ("2026-11-21", 0, "2026-11-21", "no day at all"),
        ("2025-12-31", 3, "2026-01-06", "Sun 4, a make-up day of the next year's notice, 5, 6"),
    ],
)
def test_a_due_date_is_the_one_counted_by_hand(after: str, count: int, due: str, how: str) -> None:
    assert CALENDAR.add_working_days(day(after), count) == day(due), how


@pytest.mark.parametrize(("after", "count"), [("2026-12-28", 10), ("2026-12-31", 1), ("2027-03-01", 1)])
def test_a_year_that_is_not_in_the_table_is_an_error_and_no_date(after: str, count: int) -> None:
    with pytest.raises(CalendarError) as caught:
        CALENDAR.add_working_days(day(after), count)
    assert (caught.value.code, caught.value.extra["year"]) == ("calendar.year-missing", 2027)


@given(st.dates(date(2025, 1, 1), date(2026, 6, 1)), st.integers(0, 60), st.integers(0, 60))
def test_two_periods_after_each_other_end_where_their_sum_does(after: date, one: int, other: int) -> None:
    twice = CALENDAR.add_working_days(CALENDAR.add_working_days(after, one), other)
    assert twice == CALENDAR.add_working_days(after, one + other)


def test_each_year_has_the_days_off_and_make_up_days_of_its_notice() -> None:
    rows = shipped("calendar").rows
    counted = {(year, kind): sum(row["year"] == year and row["kind"] == kind for row in rows)
               for year in ("2025", "2026") for kind in ("off", "working")}  # fmt: skip
    assert counted == {("2025", "off"): 28, ("2025", "working"): 5, ("2026", "off"): 33, ("2026", "working"): 6}
    assert CALENDAR.years == {2025, 2026}


@pytest.mark.parametrize(
    "change",
    [
        {"day": "2026-02-30"},
        {"day": "20260101"},
        {"day": "2024-01-01"},
        {"year": "26"},
        {"kind": "half"},
        {"kind": "working"},
        {"source": " "},
        {"day": "2026-01-02"},
    ],
    ids=str,
)
def test_a_malformed_calendar_is_refused(change: dict[str, str]) -> None:
    first = {"year": "2026", "day": "2026-01-01", "kind": "off", "name_zh": "元旦", "source": "a notice"}
    second = first | {"day": "2026-01-02"}
    with pytest.raises(TableError) as caught:
        Calendar(Table("calendar", 2, 0, "li", "wang", (first | change, second)))
    assert caught.value.pointers

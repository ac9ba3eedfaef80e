from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.periods import PERIODS, Duration, is_period, parse_duration, seconds
from schemas.times import BEIJING


@pytest.mark.parametrize(
    ("text", "months", "length"),
    [
        ("PT0S", 0, 0),
        ("PT1M", 0, 60),
        ("PT30M", 0, 1800),
        ("PT1H", 0, 3600),
        ("PT4H", 0, 14_400),
        ("P1D", 0, 86_400),
        ("P7D", 0, 604_800),
        ("P90D", 0, 7_776_000),
        ("P1M", 1, 0),
        ("P5Y", 60, 0),
        ("P1Y2M3DT4H5M6S", 14, 3 * 86_400 + 4 * 3600 + 5 * 60 + 6),
    ],
)
def test_a_duration_is_months_and_seconds(text: str, months: int, length: int) -> None:
    assert parse_duration(text) == Duration(months, length)
    assert seconds(text) == (None if months else length)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1DT",
        "1H",
        "PT1.5H",
        "-PT1H",
        "+PT1H",
        "P1W",
        "pt1h",
        "PT1H ",
        "PT1S1M",
        "P१D",
        "PT" + "9" * 99 + "S",
    ],
)
def test_what_is_not_a_whole_duration_is_refused(text: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_duration(text)
    assert caught.value.code == "record.period-invalid"


@pytest.mark.parametrize("text", ["PT60M", "PT24H", "P0D", "PT3600S", "P1W", "PT7M", "P90D", "PT01H", ""])
def test_a_period_in_a_key_has_one_spelling(text: str) -> None:
    assert not is_period(text)


def test_every_period_of_an_observation_is_a_duration_and_no_two_are_equal() -> None:
    assert all(map(is_period, PERIODS))
    assert len({parse_duration(text) for text in PERIODS}) == len(PERIODS)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("PT1H", "2026-12-31T23:00:00+08:00", "2027-01-01T00:00:00+08:00"),
        ("P1M", "2026-12-01T00:00:00+08:00", "2027-01-01T00:00:00+08:00"),
        ("P1M", "2027-01-31T00:00:00+08:00", "2027-02-28T00:00:00+08:00"),
        ("P1Y", "2028-02-29T00:00:00+08:00", "2029-02-28T00:00:00+08:00"),
        ("P3M", "2026-11-30T00:00:00+08:00", "2027-02-28T00:00:00+08:00"),
    ],
)
def test_a_period_ends_on_the_calendar_of_its_own_offset(text: str, start: str, end: str) -> None:
    assert parse_duration(text).after(datetime.fromisoformat(start)) == datetime.fromisoformat(end)


def test_a_duration_beyond_the_calendar_overflows_and_a_fixed_one_is_a_timedelta() -> None:
    with pytest.raises(OverflowError):
        parse_duration("P9999Y").after(datetime(2026, 1, 1, tzinfo=BEIJING))
    assert parse_duration("PT90M").fixed == timedelta(minutes=90)
    assert parse_duration("P1M").fixed is None


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with suppress(RecordError):
        assert parse_duration(text).seconds >= 0

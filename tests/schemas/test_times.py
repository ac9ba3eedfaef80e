"""Instants: one reading of a text, two ways to write, and nothing without an offset."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.times import beijing_text, now_millis, to_millis, utc_text

TEN = 1_795_399_200_000  # 2026-11-23T02:00:00Z


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("2026-11-23T10:00:00+08:00", TEN),
        ("2026-11-23T02:00:00Z", TEN),
        ("2026-11-22T18:30:00-07:30", TEN),
        ("2026-11-23T02:00:00.007Z", TEN + 7),
        ("2026-11-23T02:00:00.1Z", TEN + 100),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_an_instant_with_an_offset_is_so_many_milliseconds(text: str, millis: int) -> None:
    assert to_millis(text) == millis


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-11-23", "2026-11-23T10:00:00", "2026-11-23 10:00:00+08:00", "2026-11-23T10:00+08:00",
        "2026-11-23t10:00:00z", "2026-11-23T10:00:00.1234Z", "2026-11-23T24:00:00+08:00", "2026-11-23T23:59:60Z",
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-23T10:00:00+15:00", "2026-11-23T10:00:00+08:60",
        "2026-11-23T10:00:00+0800", "２０２６-11-23T10:00:00Z", "2026-11-23T10:00:00Z\n", "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59Z", "1795399200000",
    ],
)  # fmt: skip
def test_what_is_no_such_instant_is_refused_with_a_code(text: str) -> None:
    with pytest.raises(RecordError) as caught:
        to_millis(text)
    assert caught.value.code == "record.time-invalid"


def test_beijing_time_is_written_with_milliseconds_only_where_there_are_some() -> None:
    assert beijing_text(TEN) == "2026-11-23T10:00:00+08:00"
    assert beijing_text(TEN + 7) == "2026-11-23T10:00:00.007+08:00"


def test_utc_is_always_written_with_milliseconds() -> None:
    assert utc_text(TEN) == "2026-11-23T02:00:00.000Z"


@given(st.integers(min_value=to_millis("1800-01-02T00:00:00Z"), max_value=to_millis("2999-12-30T00:00:00Z")))
def test_whatever_is_written_reads_as_the_same_instant(millis: int) -> None:
    assert to_millis(beijing_text(millis)) == to_millis(utc_text(millis)) == millis


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    try:
        beijing_text(to_millis(text))
    except RecordError as error:
        assert error.code == "record.time-invalid"  # noqa: PT017 - most texts are refused, not all


def test_the_clock_tells_milliseconds_of_now() -> None:
    assert abs(now_millis() - datetime.now(UTC).timestamp() * 1000) < 5_000

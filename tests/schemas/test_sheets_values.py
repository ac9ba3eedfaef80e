"""The text of a cell as a value, and the text of a time as an instant: what is read, and what is refused, and how."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SharingError
from schemas.sheets import SheetError
from schemas.sheets.moments import read_moment, time_form
from schemas.sheets.values import Value, read_value
from schemas.times import to_millis


@pytest.mark.parametrize(
    ("text", "value", "q"),
    [
        ("0.10", "0.10", None),
        (" 7.3 ", "7.3", None),
        ("０．１２", "0.12", None),
        ("-0.5", "-0.5", None),
        ("−0.5", "-0.5", None),
        ("0.0002L", "0.0002", "<"),
        ("0.0002 L", "0.0002", "<"),
        ("０．０００２Ｌ", "0.0002", "<"),
        ("<0.0002", "0.0002", "<"),
        ("＜0.0002", "0.0002", "<"),
        ("<0.0002L", "0.0002", "<"),
        (">1000", "1000", ">"),
        ("＞ 1000", "1000", ">"),
        ("ND", "0.004", "<"),
        ("nd", "0.004", "<"),
        ("N.D.", "0.004", "<"),
        ("n.d.", "0.004", "<"),
        ("未检出", "0.004", "<"),
        ("未检出(0.002)", "0.002", "<"),
        ("ND（<0.002L）", "0.002", "<"),
    ],
)
def test_a_value_keeps_its_digits_and_says_what_it_is(text: str, value: str, q: str | None) -> None:
    assert read_value(text, unit="mg/L", detection="0.004") == Value(value, q)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0,12", "sheet.value-comma"),
        ("1,234.5", "sheet.value-comma"),
        ("12.5%", "sheet.percent"),
        ("#N/A", "sheet.cell-error"),
        ("#DIV/0!", "sheet.cell-error"),
        ("ND", "sheet.detection-missing"),
        ("未检出", "sheet.detection-missing"),
        ("无", "sheet.value-unread"),
        ("1.2×10^5", "sheet.value-unread"),
        ("10⁵", "sheet.value-unread"),
        ("≤0.05", "sheet.value-unread"),
        (">0.05L", "sheet.value-unread"),
        ("0.1-0.2", "sheet.value-unread"),
        ("007", "sheet.value-unread"),
        (".5", "sheet.value-unread"),
        ("NaN", "sheet.value-unread"),
        ("1" * 19, "sheet.value-unread"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(SheetError) as caught:
        read_value(text, unit="mg/L")
    assert caught.value.code == code


def test_a_per_cent_is_read_where_the_unit_is_one_and_an_exponent_is_told() -> None:
    assert read_value("12.5%", unit="%") == Value("12.5")
    assert read_value("1.20E-3", unit="mg/L") == Value("0.00120", scientific=True)
    assert read_value("1.2E+07", unit="{cells}/L").value == "12000000"


@given(st.text(max_size=60), st.sampled_from(["mg/L", "%"]), st.text(max_size=12))
def test_no_text_ends_in_anything_but_a_value_or_our_error(text: str, unit: str, detection: str) -> None:
    with suppress(SheetError):  # anything else fails the test
        value = read_value(text, unit=unit, detection=detection)
        assert value.value.lstrip("-").replace(".", "", 1).isdigit()


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_a_plain_decimal_comes_through_digit_by_digit(number: object) -> None:
    text = f"{number:f}"
    if not text.startswith("-0.0000"):
        assert read_value(text, unit="mg/L").value == text


NOW = to_millis("2026-11-24T12:00:00+08:00")


@pytest.mark.parametrize(
    ("text", "form", "read"),
    [
        ("2026-04-01 04:00", "YYYY-MM-DD hh:mm", "2026-04-01T04:00:00+08:00"),
        ("2026-02-26T2000", "YYYY-MM-DDThhmm", "2026-02-26T20:00:00+08:00"),
        ("2026/4/1 4:00", "YYYY/MM/DD hh:mm", "2026-04-01T04:00:00+08:00"),
        ("2026年4月1日 4时", "YYYY年MM月DD日 hh时", "2026-04-01T04:00:00+08:00"),
        ("2026-04-01 24:00", "YYYY-MM-DD hh:mm", "2026-04-02T00:00:00+08:00"),
        ("20260401040000", "YYYYMMDDhhmmss", "2026-04-01T04:00:00+08:00"),
        ("２０２６-０４-０１ ０４:００", "YYYY-MM-DD hh:mm", "2026-04-01T04:00:00+08:00"),
        ("2026-04-01 04:00:00", "YYYY/MM/DD hh:mm", "2026-04-01T04:00:00+08:00"),  # as a workbook's own dates come
        ("2026-05-01", "YYYY-MM-DD hh:mm:ss", "2026-05-01T00:00:00+08:00"),
        ("04-01 04:00", "MM-DD hh:mm", "2026-04-01T04:00:00+08:00"),
        ("11-24 12:00", "MM-DD hh:mm", "2026-11-24T12:00:00+08:00"),
        ("11-24 12:01", "MM-DD hh:mm", "2025-11-24T12:01:00+08:00"),  # this year's has not been yet
        ("12-31 23:00", "MM-DD hh:mm", "2025-12-31T23:00:00+08:00"),
        ("02-29 00:00", "MM-DD hh:mm", "2024-02-29T00:00:00+08:00"),  # the last year that had one
    ],
)
def test_a_time_is_read_as_its_form_and_the_rules_say(text: str, form: str, read: str) -> None:
    assert read_moment(text, [form], midnight=True, latest=NOW) == datetime.fromisoformat(read)


def test_a_year_given_at_use_goes_before_the_rule_and_a_year_in_the_text_before_both() -> None:
    forms = ["MM-DD hh:mm", "YYYY-MM-DD hh:mm"]
    assert read_moment("04-01 04:00", forms, midnight=False, latest=NOW, year=2021).year == 2021
    assert read_moment("2019-04-01 04:00", forms, midnight=False, latest=NOW, year=2021).year == 2019


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("04-01 04:00", "sheet.year-missing"),
        ("2026-04-01", "sheet.hour-missing"),
        ("2026-02-30 04:00", "sheet.time-unread"),
        ("2026-04-01 24:30", "sheet.time-unread"),
        ("2026-04-01 25:00", "sheet.time-unread"),
        ("01/04/2026", "sheet.time-unread"),
        ("*", "sheet.time-unread"),
    ],
)
def test_what_no_rule_fills_in_is_refused(text: str, code: str) -> None:
    with pytest.raises(SheetError) as caught:
        read_moment(text, ["MM-DD hh:mm", "YYYY-MM-DD hh:mm"], midnight=False)
    assert caught.value.code == code


@pytest.mark.parametrize("form", ["", "YYYY", "hh:mm", "YYYY-MM-DD YYYY", "yyyy-MM-DD", "YYYY-MM-DD h:mm"])
def test_a_form_that_names_no_day_or_another_alphabet_is_refused(form: str) -> None:
    with pytest.raises(SheetError):
        time_form(form)


@given(st.text(max_size=40))
def test_no_time_ends_in_anything_but_an_instant_or_our_error(text: str) -> None:
    with suppress(SharingError):  # anything else fails the test
        read_moment(text, ["MM-DD hh:mm", "YYYYMMDDhh", "YYYY年MM月DD日"], midnight=True, latest=NOW)

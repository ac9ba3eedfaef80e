"""Rounding by GB/T 8170, and means of values below detection."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.averages import Measured, average
from schemas.errors import RecordError
from schemas.rounding import decimals_of, rounded

DECIMALS = st.decimals(min_value=-(10**9), max_value=10**9, places=9)


@pytest.mark.parametrize(
    ("value", "decimals", "result"),
    [
        ("12.1498", 1, "12.1"),
        ("1268", -2, "1300"),
        ("10.502", 0, "11"),
        ("1.050", 1, "1.0"),
        ("0.35", 1, "0.4"),
        ("2500", -3, "2000"),
        ("3500", -3, "4000"),
        ("0.0325", 3, "0.032"),
        ("32500", -3, "32000"),
        ("-355", -1, "-360"),
        ("-0.0365", 3, "-0.036"),
        ("15.4546", 0, "15"),
        ("5.02", 0, "5"),
        ("2", 2, "2.00"),
    ],
)
def test_half_goes_to_the_even_digit_and_everything_else_to_the_nearer(value, decimals, result):
    assert str(rounded(Decimal(value), decimals)) == result


@given(DECIMALS, st.integers(-3, 9))
def test_rounding_is_never_off_by_more_than_half_a_digit_and_a_tie_is_even(value, decimals):
    result = rounded(value, decimals)
    digit = Fraction(10) ** -decimals
    off = abs(Fraction(result) - Fraction(value))
    assert off <= digit / 2
    assert off < digit / 2 or (Fraction(result) / digit) % 2 == 0


@given(DECIMALS, st.integers(-3, 9))
def test_a_fraction_rounds_as_the_decimal_that_it_equals(value, decimals):
    assert rounded(Fraction(value), decimals) == rounded(value, decimals)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+999999", "-sNaN"])
def test_what_cannot_be_rounded_is_refused_with_our_own_error(value):
    with pytest.raises(RecordError) as caught:
        rounded(Decimal(value), 2)
    assert caught.value.code == "record.value-invalid"


def test_decimals_are_counted_as_written():
    assert [decimals_of(Decimal(text)) for text in ("0.10", "250", "1E+3", "0.005")] == [2, 0, 0, 3]


SAMPLES = [Measured(Decimal("0.0004")), Measured(Decimal("0.0002"), "<"), Measured(Decimal("0.0006"))]


@pytest.mark.parametrize(
    ("treatment", "mean", "count"),
    [("half", "0.0004", 3), ("zero", "0.0003", 3), ("limit", "0.0004", 3), ("excluded", "0.0005", 2)],
)
def test_a_mean_says_what_stands_for_values_below_detection_and_how_many_they_were(treatment, mean, count):
    result = average(SAMPLES, treatment)
    assert (str(result.value), result.q, result.treatment) == (mean, "", treatment)
    assert (result.given, result.count, result.below) == (3, count, 1)


def test_half_the_detection_limit_is_what_stands_where_nobody_says_otherwise():
    assert average(SAMPLES) == average(SAMPLES, "half")
    assert average([Measured(Decimal("0.2"), "<"), Measured(Decimal("0.4"))], decimals=2).value == Decimal("0.25")


def test_a_mean_of_values_all_below_detection_is_below_the_largest_of_their_limits_and_never_zero():
    result = average([Measured(Decimal("0.0002"), "<"), Measured(Decimal("0.0005"), "<")], "zero")
    assert (str(result.value), result.q, result.below) == ("0.0005", "<", 2)


def test_leaving_out_every_value_leaves_no_mean():
    result = average([Measured(Decimal("0.0002"), "<")], "excluded")
    assert (result.value, result.q, result.count) == (None, "", 0)


def test_a_value_above_range_makes_the_mean_a_lower_bound():
    result = average([Measured(Decimal(10), ">"), Measured(Decimal(2))])
    assert (result.value, result.q, result.above) == (Decimal(6), ">", 1)


def test_a_mean_is_rounded_once_and_half_to_even():
    assert str(average([Measured(Decimal("0.1")), Measured(Decimal("0.2"))]).value) == "0.2"  # 0.15
    assert str(average([Measured(Decimal("0.2")), Measured(Decimal("0.3"))]).value) == "0.2"  # 0.25
    assert (
        str(average([Measured(Decimal(1)), Measured(Decimal(1)), Measured(Decimal(2))], decimals=4).value) == "1.3333"
    )


@given(st.lists(DECIMALS, min_size=1, max_size=20))
def test_a_mean_lies_between_the_least_and_the_largest_value(values):
    result = average([Measured(value) for value in values]).value
    assert result is not None
    assert min(values) <= result <= max(values)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([], "average.empty"),
        ([Measured(Decimal("NaN"))], "record.value-invalid"),
        ([Measured(Decimal("1E+999999999"))], "record.value-invalid"),
    ],
)
def test_what_cannot_be_averaged_is_refused(values, code):
    with pytest.raises(RecordError) as caught:
        average(values)
    assert caught.value.code == code

from __future__ import annotations

import csv
import re
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import units
from schemas.errors import RecordError, UnresolvedError
from schemas.tables import shipped_tables

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "testdata" / "real"
CODES = sorted(shipped_tables()[units.Units].by_code)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mg/L", "mg/L"),
        ("μg/L", "ug/L"),
        ("µg/L", "ug/L"),
        ("ug/l", "ug/L"),
        ("㎍/L", "ug/L"),
        ("μg·L⁻¹", "ug/L"),
        (" mg / L ", "mg/L"),
        ("ｍｇ／Ｌ", "mg/L"),
        ("毫克/升", "mg/L"),
        ("℃", "Cel"),
        ("°C", "Cel"),
        ("degC", "Cel"),
        ("无量纲", "1"),
        ("pH", "[pH]"),
        ("μS/cm", "uS/cm"),
        ("NTU", "[NTU]"),
        ("cells/L", "{cells}/L"),
        ("个/L", "{count}/L"),
        ("万个/L", "10*4/L"),
        ("×10⁴个/L", "10*4/L"),
        ("10^4/L", "10*4/L"),
        ("μg/m³", "ug/m3"),
        ("ug/m3", "ug/m3"),
        ("m³/s", "m3/s"),
        ("％", "%"),
        ("dB(A)", "dB"),
        ("百帕", "hPa"),
        ("°", "deg"),
        ("color degree", "{color}"),
    ],
)
def test_a_unit_is_known_as_sheets_spell_it(text: str, code: str) -> None:
    assert units.unit(text).code == code


@pytest.mark.parametrize(
    "text", ["", "-", "MG/L", "Mg/L", "g/l/l", "度", "倍", "ppm/L", " " * 64 + "mg/L", "mg/L" * 1000, "\ud800"]
)
def test_a_unit_that_is_not_in_the_table_waits_and_letter_case_is_never_guessed(text: str) -> None:
    with pytest.raises(UnresolvedError) as caught:
        units.unit(text)
    assert caught.value.code == "record.unit-unknown"
    assert caught.value.waits_for == "unit"


@pytest.mark.parametrize(
    ("value", "from_", "to", "expected"),
    [
        ("0.00502", "mg/L", "ug/L", "5.02"),
        ("5.02", "ug/L", "mg/L", "0.00502"),
        ("5", "ug/L", "mg/L", "0.005"),
        ("0.10", "mg/L", "ug/L", "100"),
        ("0.10", "mg/L", "mg/L", "0.10"),
        ("-3.0", "mV", "V", "-0.0030"),
        ("12", "ug/m3", "mg/m3", "0.012"),
        ("1", "mg/L", "mg/m3", "1000"),
        ("1", "m3/s", "m3/h", "3600"),
        ("1.5", "m3/s", "L/s", "1500"),
        ("3", "10*4/L", "{cells}/L", "30000"),
        ("350", "uS/cm", "mS/m", "35.0"),
        ("1013.2", "hPa", "kPa", "101.32"),
        ("7.9", "无量纲", "[pH]", "7.9"),
        ("0", "mg/L", "ug/L", "0"),
    ],
)
def test_conversion_is_exact_and_keeps_significant_digits(value: str, from_: str, to: str, expected: str) -> None:
    assert str(units.convert(Decimal(value), from_, to)) == expected


@pytest.mark.parametrize(
    ("from_", "to"),
    [("mg/L", "Cel"), ("%", "[pH]"), ("mg/L", "mg/kg"), ("[NTU]", "mg/L"), ("dB", "1"), ("m3/h", "m3/s"), ("h", "d")],
)
def test_units_that_measure_different_things_or_have_no_exact_factor_do_not_convert(from_: str, to: str) -> None:
    with pytest.raises(RecordError) as caught:
        units.convert(Decimal(1), from_, to)
    assert caught.value.code == "record.unit-mismatch"


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+999999", "1" * 101])
def test_what_cannot_be_converted_exactly_is_refused_as_a_value(value: str) -> None:
    with pytest.raises(RecordError) as caught:
        units.convert(Decimal(value), "ug/L", "ng/L")
    assert caught.value.code == "record.value-invalid"


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9),
    st.sampled_from(CODES),
    st.sampled_from(CODES),
)
@settings(max_examples=300, deadline=None)
def test_conversion_there_and_back_gives_the_same_number_or_is_refused(value: Decimal, one: str, other: str) -> None:
    try:
        there = units.convert(value, one, other)
        back = units.convert(there, other, one)
    except RecordError:
        return
    assert units.unit(one).dimension == units.unit(other).dimension
    assert back == value
    assert there * units.unit(other).factor == value * units.unit(one).factor


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_unit_or_waits_for_one(text: str) -> None:
    with suppress(UnresolvedError):
        assert units.unit(text).code in shipped_tables()[units.Units].by_code


def test_mg_and_ug_per_litre_differ_by_exactly_a_thousand() -> None:
    assert units.unit("mg/L").factor / units.unit("ug/L").factor == 1000


def test_the_units_in_the_headers_of_real_sheets_are_known() -> None:
    sheets = sorted(REAL.glob("water_*.csv"))
    if not sheets:
        pytest.skip("the real data are not on this machine")
    for sheet in sheets:
        with sheet.open(encoding="utf-8") as file:
            header = next(csv.reader(file))
        written = {match[1] for column in header if (match := re.search(r"\((.+)\)", column))}
        assert written == {"℃", "无量纲", "mg/L", "μS/cm", "NTU", "cells/L"}
        for text in written:
            units.unit(text)

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from schemas import factors, units
from schemas.data import read_table
from schemas.errors import UnresolvedError

REFERENCE = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "factors.csv"


@pytest.mark.parametrize(
    ("code", "name", "unit"),
    [
        ("w20004", "锑", "mg/L"),
        ("w01010", "水温", "Cel"),
        ("w01001", "pH值", "[pH]"),
        ("w01009", "溶解氧", "mg/L"),
        ("w01014", "电导率", "uS/cm"),
        ("w01003", "浑浊度", "[NTU]"),
        ("w01019", "高锰酸盐指数", "mg/L"),
        ("w21003", "氨氮", "mg/L"),
        ("w21011", "总磷", "mg/L"),
        ("w21001", "总氮", "mg/L"),
        ("w01016", "叶绿素", "mg/L"),
        ("w19011", "藻密度", "{cells}/L"),
        ("a34004", "细微颗粒物PM2.5", "ug/m3"),
        ("a34002", "可吸入颗粒物PM10", "ug/m3"),
        ("a21026", "二氧化硫", "ug/m3"),
        ("a21004", "二氧化氮", "ug/m3"),
        ("a21005", "一氧化碳", "mg/m3"),
        ("a05024", "臭氧", "ug/m3"),
    ],
)
def test_the_factors_of_the_real_data_have_their_codes_and_usual_units(code: str, name: str, unit: str) -> None:
    found = factors.factor(code)
    assert (found.name_zh, found.unit) == (name, unit)
    assert found.medium == {"w": "water", "a": "air"}[code[0]]


def test_antimony_in_water_is_w20004_and_neither_of_the_codes_that_public_lists_confuse_with_it() -> None:
    assert factors.factor("w20004").name_en == "Antimony"
    assert factors.factor("w20141").name_en == "Arsenic"
    assert factors.factor("w21025").name_en == "Free Chlorine"
    assert [one.code for one in factors.all_factors().values() if "锑" in one.name_zh] == ["w20004", "a20004"]


@pytest.mark.parametrize("code", ["", "011", "B01", "W20004", " w20004", "w20004 ", "aqi", "AQI", "w" * 5000, "\x00"])
def test_a_code_that_is_not_in_the_table_waits_for_its_factor_and_is_never_guessed(code: str) -> None:
    with pytest.raises(UnresolvedError) as caught:
        factors.factor(code)
    assert caught.value.code == "record.factor-unknown"
    assert caught.value.waits_for == "factor"
    assert len(caught.value.name) <= 40
    assert not factors.known(code)


def test_every_code_stands_once_in_the_table_and_every_row_is_complete() -> None:
    assert len(read_table("factors.csv")) == len(factors.all_factors())
    for one in factors.all_factors().values():
        assert one.name_zh
        assert one.name_en
        assert one.source
        assert one.confidence in {"standard", "agreed", "single", "doubtful"}
        assert one.unit is None or units.unit(one.unit).code == one.unit, f"{one.code} has a unit nobody knows"
        assert one.decimals is None or 0 <= one.decimals <= 6


def test_a_second_code_for_the_same_name_is_marked_doubtful_and_points_to_the_first() -> None:
    doubtful = {one.code: one.note for one in factors.all_factors().values() if one.confidence == "doubtful"}
    assert doubtful.keys() == {f"w201{number}" for number in range(38, 45)}
    assert "w20119" in doubtful["w20141"]
    assert "w20141" in factors.factor("w20119").note


def test_no_name_occurs_twice_in_one_medium() -> None:
    names = [(one.medium, one.name_zh) for one in factors.all_factors().values()]
    assert len(names) == len(set(names))


def test_the_table_agrees_with_the_reference_on_codes_names_and_dimensions() -> None:
    if not REFERENCE.exists():
        pytest.skip("the reference tables are not on this machine")
    with REFERENCE.open(encoding="utf-8") as file:
        reference = {row["code"]: row for row in csv.DictReader(file)}
    assert reference.keys() == factors.all_factors().keys()
    for code, row in reference.items():
        ours = factors.factor(code)
        assert ours.name_zh == row["name_zh"] or "_" in row["name_zh"]
        if row["unit"]:
            assert ours.unit is not None
            assert units.unit(ours.unit).dimension == units.unit(row["unit"]).dimension

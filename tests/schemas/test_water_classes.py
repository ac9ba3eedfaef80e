"""The class of surface water, alone and against what the national release published."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest

from schemas.errors import RecordError
from schemas.times import to_millis
from schemas.water_classes import NAMES_ZH, Reading, classify, meets

NOW = to_millis("2026-11-24T00:00:00+08:00")
IN_2021 = to_millis("2021-04-03T00:00:00+08:00")
OXYGEN, PERMANGANATE, AMMONIA, PHOSPHORUS, NITROGEN, COLIFORM, ACIDITY = (
    "w01009", "w01019", "w21003", "w21011", "w21001", "w02003", "w01001",
)  # fmt: skip
GOOD = {ACIDITY: Reading(Decimal("7.5"), "[pH]"), OXYGEN: Reading(Decimal(8), "mg/L")}


def with_(**readings: str) -> dict[str, Reading]:
    """Good water with further values in mg/L."""
    return GOOD | {code: Reading(Decimal(value), "mg/L") for code, value in readings.items()}


@pytest.mark.parametrize(
    ("readings", "water", "result", "deciding"),
    [
        (with_(), "river", "I", (ACIDITY, OXYGEN)),
        (with_(w21003="0.15"), "river", "I", (ACIDITY, OXYGEN, AMMONIA)),
        (with_(w21003="0.1501"), "river", "II", (AMMONIA,)),
        (with_(w21003="1.2", w21011="0.25"), "river", "IV", (AMMONIA, PHOSPHORUS)),
        (with_(w21003="2.01"), "river", "worse-than-V", (AMMONIA,)),
        (with_(w21011="0.05"), "river", "II", (PHOSPHORUS,)),
        (with_(w21011="0.05"), "lake", "III", (PHOSPHORUS,)),
        (with_(w21011="0.05"), "reservoir", "III", (PHOSPHORUS,)),
        (with_(w01009="2.9"), "river", "V", (OXYGEN,)),
        (with_(w01009="1.9"), "river", "worse-than-V", (OXYGEN,)),
        (with_(w21001="5"), "river", "I", (ACIDITY, OXYGEN)),
        (with_(w21001="5"), "lake", "worse-than-V", (NITROGEN,)),
        (GOOD | {ACIDITY: Reading(Decimal("9.01"), "[pH]")}, "river", "worse-than-V", (ACIDITY,)),
        (GOOD | {COLIFORM: Reading(Decimal(90000), "{count}/L")}, "river", "I", (ACIDITY, OXYGEN)),
        (GOOD | {AMMONIA: Reading(Decimal(600), "ug/L")}, "river", "III", (AMMONIA,)),
    ],
)
def test_the_worst_factor_decides_and_is_named(readings, water, result, deciding):
    found = classify(readings, water, NOW)
    assert (found.water_class, found.best, found.deciding) == (result, result, deciding)
    assert (found.standard, found.table) == ("GB 3838-2002", "limits@1")


def test_what_takes_no_part_in_the_class_of_a_river_is_named():
    readings = with_(w21001="5", w01010="30") | {COLIFORM: Reading(Decimal(9), "{count}/L")}
    assert classify(readings, "river", NOW).left_out == (NITROGEN, "w01010", COLIFORM)


def test_a_release_may_leave_out_more():
    found = classify(with_(w21001="5"), "lake", NOW, leave_out=(NITROGEN,))
    assert (found.water_class, found.left_out) == ("I", (NITROGEN,))


@pytest.mark.parametrize(
    ("reading", "worst", "best"),
    [
        (Reading(Decimal("0.025"), "mg/L", "<"), "I", "I"),
        (Reading(Decimal("0.4"), "mg/L", "<"), "II", "I"),
        (Reading(Decimal("1.2"), "mg/L", ">"), "worse-than-V", "IV"),
        (Reading(Decimal(25), "mg/L", ">"), "worse-than-V", "worse-than-V"),
    ],
)
def test_a_value_below_detection_or_above_range_gets_the_worst_class_it_can_have_and_the_best(reading, worst, best):
    found = classify({AMMONIA: reading}, "river", NOW)
    assert (found.water_class, found.best) == (worst, best)


def test_without_a_factor_that_is_classed_there_is_no_class():
    for readings, at in (({NITROGEN: Reading(Decimal(1), "mg/L")}, NOW), (GOOD, to_millis("2001-01-01T00:00:00Z"))):
        with pytest.raises(RecordError) as caught:
            classify(readings, "river", at)
        assert caught.value.code == "class.no-factor"


def test_classes_are_named_as_reports_print_them_and_compared_with_a_target():
    assert classify(with_(w21003="9"), "river", NOW).name_zh == "劣Ⅴ"
    assert meets("II", "III")
    assert meets("III", "III")
    assert not meets("worse-than-V", "V")


# Against the national release of April 2021, whose rows say neither river nor lake.

COLUMNS = {
    ACIDITY: ("pH(无量纲)", "[pH]"),
    OXYGEN: ("溶解氧(mg/L)", "mg/L"),
    PERMANGANATE: ("高锰酸盐指数(mg/L)", "mg/L"),
    AMMONIA: ("氨氮(mg/L)", "mg/L"),
    PHOSPHORUS: ("总磷(mg/L)", "mg/L"),
    NITROGEN: ("总氮(mg/L)", "mg/L"),
}


def published(shared: Path) -> Iterator[tuple[str, str, dict[str, Reading]]]:
    """Station, class and readings of every row that has a class and values."""
    classes = {name: one for one, name in NAMES_ZH.items()}
    with (shared / "testdata/real/water_4h_national.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            readings = {}
            for code, (column, unit) in COLUMNS.items():
                try:
                    readings[code] = Reading(Decimal(row[column]), unit)
                except InvalidOperation:
                    continue  # `--` and `*` are not measured
            if row["水质类别"] in classes and readings.keys() - {NITROGEN}:
                yield row["断面名称"], classes[row["水质类别"]], readings


def test_published_classes_are_ours_by_river_limits_and_nearly_all_others_by_those_of_lakes(
    shared, record_testsuite_property
):
    rows = river = lake = lake_with_nitrogen = 0
    for _, wanted, readings in published(shared):
        rows += 1
        if classify(readings, "river", IN_2021).water_class == wanted:
            river += 1
        elif classify(readings, "lake", IN_2021, leave_out=(NITROGEN,)).water_class == wanted:
            lake += 1
            lake_with_nitrogen += classify(readings, "lake", IN_2021).water_class == wanted
    report = f"{rows} rows, river {river / rows:.4f}, lake as well {(river + lake) / rows:.4f}"
    record_testsuite_property("water classes", report)
    assert rows > 40_000
    assert river / rows >= 0.94, report
    assert (river + lake) / rows >= 0.985, report
    assert lake_with_nitrogen / lake < 0.5, "the release classes lakes without total nitrogen"

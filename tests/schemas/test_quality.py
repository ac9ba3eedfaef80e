"""The quality rules: one planted fault each is caught, and nothing is said of what is in order."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deciding import check_version
from schemas.quality import CODES, RULES, DoorChecks, Point, QualityRules, SeriesChecks, as_document
from schemas.quality.door import significant_digits
from schemas.quality.rules import parameters
from schemas.records import Observation, check_record
from schemas.tables import FIRST_ROW, Table, TableError, shipped, shipped_tables
from schemas.times import DAY, beijing_text, to_millis

TABLES = shipped_tables()
DOOR, SERIES = DoorChecks(TABLES), SeriesChecks(TABLES)
HOUR = DAY // 24
NOW = to_millis("2026-11-20T11:00:00+08:00")


def reading(**members: Any) -> Observation:
    """An hour of ammonia, in order."""
    members = {
        "site": "320509-SW-0003", "factor": "w21003", "stat": "avg", "period": "PT1H",
        "at": "2026-11-20T10:00:00+08:00", "value": "0.386", "unit": "mg/L",
        "profile": "hj212-2017", "flag": "N", **members,
    }  # fmt: skip
    record = Observation(**members)
    check_record(record)
    return record


def found(*records: Observation, now: int = NOW) -> list[str]:
    """Codes of what the door finds in a submission."""
    codes = [finding.rule for record in records for finding in DOOR.check(record, now=now)]
    return codes + [finding.rule for _, finding in DOOR.check_together(records)]


def points(*values: str | None, step: int = HOUR, unit: str = "mg/L", **changes: Any) -> list[Point]:
    """Valid values one `step` (ms) after the other."""
    first = Point(0, None, unit, None, valid=True, confirmed=False)._replace(**changes)
    return [first._replace(at=number * step, value=value) for number, value in enumerate(values)]


def in_last(series: list[Point], factor: str = "w21003", period: str = "PT1H") -> list[str]:
    """Codes of what the rules over series find in the last value."""
    return [finding.rule for _, finding in SERIES.judge(factor, period, series, [len(series) - 1])]


STEADY = ["0.38", "0.39", "0.40", "0.39", "0.37", "0.38", "0.41", "0.39", "0.38", "0.40", "0.38", "0.39"]

FAULTS_AT_THE_DOOR = {
    "pH beyond its scale": ("range", {"factor": "w01001", "value": "14.01", "unit": "[pH]"}),
    "a concentration below zero": ("range", {"value": "-0.001"}),
    "a negative value of a factor without a row of its own": ("range", {"factor": "w21016", "value": "-0.001"}),
    "conductivity of a probe in air": ("range", {"factor": "w01014", "value": "0.4", "unit": "uS/cm"}),
    "the same in another unit": ("range", {"factor": "w01014", "value": "0.04", "unit": "mS/m"}),
    "at least above a range": ("range", {"factor": "w01001", "q": ">", "value": "15", "unit": "[pH]"}),
    "mg/L for pH": ("unit", {"factor": "w01001", "value": "7.8"}),
    "a mass for an average": ("unit", {"unit": "kg"}),
    "an hour that has not ended": ("future", {"at": "2026-11-20T11:00:00+08:00"}),
    "an instant of tomorrow": ("future", {"at": "2026-11-21T10:00:00+08:00", "stat": "inst", "period": "PT0S"}),
    "a clock that was reset": ("ancient", {"at": "2010-01-01T00:00:00+08:00"}),
    "a laboratory value of 1890": ("ancient", {"at": "1890-01-01T00:00:00+08:00", "origin": "lab"}),
    "an instant with a period": ("period-wrong", {"stat": "inst"}),
    "an average without one": ("period-wrong", {"period": "PT0S"}),
    "an hour from half past": ("period-wrong", {"at": "2026-11-20T09:30:00+08:00"}),
    "a day from eight o'clock": ("period-wrong", {"at": "2026-11-18T08:00:00+08:00", "period": "P1D"}),
}  # fmt: skip


@pytest.mark.parametrize(("code", "members"), FAULTS_AT_THE_DOOR.values(), ids=FAULTS_AT_THE_DOOR)
def test_a_planted_fault_is_found_at_the_door_and_nothing_else(code: str, members: dict[str, Any]) -> None:
    assert found(reading(**members)) == [code]


IN_ORDER = {
    "a usual value": {},
    "both ends of a range belong to it": {"factor": "w01001", "value": "14", "unit": "[pH]"},
    "below detection, whatever the limit": {"q": "<", "value": "9999"},
    "not measured": {"value": None, "flag": "D"},
    "what is not valid is not judged by its value": {"value": "-5", "flag": "D"},
    "what has no known flag is not valid": {"value": "-5", "flag": "?"},
    "a total is a mass": {"stat": "total", "unit": "kg"},
    "a gas as a mixing ratio": {"factor": "a05024", "unit": "[ppb]", "value": "40"},
    "a stack in its own unit and range": {"factor": "a21026", "unit": "mg/m3", "value": "180"},
    "a clock a little ahead": {"at": "2026-11-20T11:05:00+08:00", "stat": "inst", "period": "PT0S"},
    "a laboratory value of long ago": {
        "at": "1998-06-01T00:00:00+08:00", "origin": "lab", "stat": "sample", "period": "PT0S",
    },
    "a day from midnight in Beijing": {"at": "2026-11-18T00:00:00+08:00", "period": "P1D"},
    "four hours from ten": {"at": "2026-11-20T06:00:00+08:00", "period": "PT4H"},
    "a composite sample": {"stat": "sample", "period": "P1D", "at": "2026-11-18T00:00:00+08:00"},
    "a factor of which no unit is known": {"factor": "w21002", "unit": "mg/L"},
}  # fmt: skip


@pytest.mark.parametrize("members", IN_ORDER.values(), ids=IN_ORDER)
def test_nothing_is_said_of_what_is_in_order(members: dict[str, Any]) -> None:
    assert found(reading(**members)) == []


@pytest.mark.parametrize("members", [{"value": "-0.001"}, {"factor": "w01001", "value": "7.8"}])
def test_a_value_its_provider_has_confirmed_raises_no_query(members: dict[str, Any]) -> None:
    record = reading(**members)
    assert found(record)
    assert found(msgspec.structs.replace(record, remark="仪器已现场核实")) == []


def test_a_bound_that_a_float_cannot_decide_is_decided_exactly() -> None:
    over = reading(factor="w01001", unit="[pH]", value="14.00000000000000001")
    assert float(over.value or "") == 14.0
    assert found(over) == ["range"]
    assert found(reading(factor="w01001", unit="[pH]", value="13.99999999999999999")) == []


@given(value=st.decimals(-20, 20, places=6, allow_nan=False), q=st.sampled_from([None, "<", ">"]))
def test_the_range_is_what_plain_comparison_says(value: Any, q: Any) -> None:
    expected = (value < 0 and q != ">") or (value > 14 and q != "<")
    record = reading(factor="w01001", unit="[pH]", value=f"{value:f}", q=q)
    assert bool(DOOR.check(record, now=NOW)) == expected


SIBLINGS = {
    "ammonia above total nitrogen": (
        {"factor": "w21003", "value": "2.83"}, {"factor": "w21001", "value": "2.10"}, True,
    ),
    "within what two instruments differ": (
        {"factor": "w21003", "value": "2.30"}, {"factor": "w21001", "value": "2.10"}, False,
    ),
    "in another unit": (
        {"factor": "w21003", "value": "2830", "unit": "ug/L"}, {"factor": "w21001", "value": "2.10"}, True,
    ),
    "PM2.5 above PM10": (
        {"factor": "a34004", "value": "43", "unit": "ug/m3"},
        {"factor": "a34002", "value": "30", "unit": "ug/m3"}, True,
    ),
    "a part below detection": (
        {"factor": "w21003", "value": "5", "q": "<"}, {"factor": "w21001", "value": "2.10"}, False,
    ),
    "a whole above its range": (
        {"factor": "w21003", "value": "5"}, {"factor": "w21001", "value": "2.10", "q": ">"}, False,
    ),
    "a whole below detection": (
        {"factor": "w21003", "value": "5"}, {"factor": "w21001", "value": "0.05", "q": "<"}, True,
    ),
    "a part that is not valid": (
        {"factor": "w21003", "value": "5", "flag": "M"}, {"factor": "w21001", "value": "2.10"}, False,
    ),
    "another hour": (
        {"factor": "w21003", "value": "5", "at": "2026-11-20T09:00:00+08:00"},
        {"factor": "w21001", "value": "2"}, False,
    ),
    "a whole that was not measured": ({"factor": "w21003", "value": "5"}, {"factor": "w21001", "value": None}, False),
}  # fmt: skip


@pytest.mark.parametrize(("part", "whole", "caught"), SIBLINGS.values(), ids=SIBLINGS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_part_is_not_more_than_its_whole(part: Any, whole: Any, caught: bool, turned: bool) -> None:
    records = [reading(**part), reading(**whole)]
    place = int(turned)
    together = DOOR.check_together(records[::-1] if turned else records)
    assert [(position, finding.rule) for position, finding in together] == ([(place, "sibling")] if caught else [])


TWICE = {
    "under another origin": ({"origin": "manual"}, True),
    "with a sample's id and without": ({"sample": "S-1"}, True),
    "two layers that agree": ({"sample": "bottom"}, False),
    "another value": ({"origin": "manual", "value": "0.387"}, False),
    "in two digits anything agrees": ({"origin": "manual", "value": "0.39"}, False),
    "both below detection": ({"origin": "manual", "q": "<"}, False),
}


@pytest.mark.parametrize(("members", "caught"), TWICE.values(), ids=TWICE)
def test_one_measurement_under_two_keys_is_a_duplicate(members: dict[str, Any], caught: bool) -> None:
    base = {name: members[name] for name in ("q",) if name in members}
    if members.get("sample") == "bottom":
        base["sample"] = "top"
    if members.get("value") == "0.39":
        base["value"] = "0.39"
    together = DOOR.check_together([reading(**base), reading(**members)])
    assert [(place, finding.rule) for place, finding in together] == ([(1, "duplicate")] if caught else [])


def test_a_spike_is_a_jump_and_a_slow_rise_is_none() -> None:
    assert in_last(points(*STEADY, "1.34")) == ["jump"]
    assert in_last(points(*STEADY, "0.55")) == []
    rise = [f"{0.4 * 1.4**number:.2f}" for number in range(12)]
    assert [in_last(points(*STEADY, *rise[: number + 1])) for number in range(12)] == [[]] * 12


def test_a_new_level_is_asked_about_once() -> None:
    series = points(*STEADY, *["1.34", "1.36", "1.33", "1.35"])
    assert [place for place, _ in SERIES.judge("w21003", "PT1H", series, range(len(series)))] == [len(STEADY)]


def test_a_fall_is_a_jump_too() -> None:
    conductivity = ["724.0", "731.0", "728.0", "735.0", "722.0", "729.0", "731.0", "724.0", "727.0"]
    assert in_last(points(*conductivity, "158.0", unit="uS/cm"), "w01014", "PT0S") == ["jump"]


def test_no_jump_is_seen_without_enough_history_or_after_a_silence() -> None:
    assert in_last(points(*STEADY[:7], "1.34")) == []
    series = points(*STEADY, "1.34")
    assert in_last([*series[:-1], series[-1]._replace(at=series[-2].at + 6 * HOUR)]) == ["jump"]
    assert in_last([*series[:-1], series[-1]._replace(at=series[-2].at + 7 * HOUR)]) == []


def test_what_is_not_valid_is_neither_judged_nor_history() -> None:
    series = points(*STEADY, "1.34")
    assert in_last([*series[:-1], series[-1]._replace(valid=False)]) == []
    assert in_last([one._replace(valid=False) for one in series[:-1]] + series[-1:]) == []


def test_a_confirmed_value_raises_no_query_and_is_history_for_the_next() -> None:
    series = points(*STEADY, "1.34", "1.36")
    series[-2] = series[-2]._replace(confirmed=True)
    assert SERIES.judge("w21003", "PT1H", series, range(len(series))) == []
    frozen = points(*["0.381"] * 30)
    assert in_last(frozen) == ["frozen"]
    assert in_last([one._replace(confirmed=True) for one in frozen]) == []


def test_above_range_is_a_jump_up_and_below_detection_is_none_unless_it_is_a_fall() -> None:
    assert in_last([*points(*STEADY), Point(12 * HOUR, "10", "mg/L", ">", valid=True, confirmed=False)]) == ["jump"]
    assert in_last([*points(*STEADY), Point(12 * HOUR, "10", "mg/L", "<", valid=True, confirmed=False)]) == []
    assert in_last([*points(*STEADY), Point(12 * HOUR, "0.02", "mg/L", "<", valid=True, confirmed=False)]) == ["jump"]


def test_a_value_after_many_below_detection_is_compared_with_their_limit() -> None:
    below = points(*["0.0002"] * 12, q="<")
    spill = Point(12 * HOUR, "0.0150", "mg/L", None, valid=True, confirmed=False)
    assert in_last([*below, spill], "w20004") == ["jump"]


FROZEN = {
    "three digits, eight hours are not twenty": (["0.381"] * 8, "w21003", []),
    "three digits for twenty hours": (["0.381"] * 21, "w21003", ["frozen"]),
    "one other value between": (["0.381"] * 15 + ["0.382"] + ["0.381"] * 6, "w21003", []),
    "two digits": (["0.38"] * 21, "w21003", ["frozen"]),
    "one digit": (["0.4"] * 60, "w21003", []),
    "zero": (["0.000"] * 60, "w21003", []),
    "at the detection limit": (["0.025"] * 60, "w21003", []),
    "whole micrograms of dust": (["24"] * 15, "a34002", []),
    "whole micrograms of dust for long": (["24"] * 16, "a34002", ["frozen"]),
    "sulphur dioxide stays for days": (["12"] * 96, "a21026", []),
}


@pytest.mark.parametrize(("values", "factor", "codes"), FROZEN.values(), ids=FROZEN)
def test_a_value_is_frozen_when_it_is_the_same_for_too_long(values: list[str], factor: str, codes: list[str]) -> None:
    unit = "ug/m3" if factor.startswith("a") else "mg/L"
    assert in_last(points(*values, unit=unit), factor) == codes


def test_below_detection_is_not_frozen() -> None:
    assert in_last(points(*["0.381"] * 30, q="<")) == []


SUSPECTS = {
    "mg declared for ug": ("386", "mg/L", ["unit-suspect"]),
    "ug declared for mg": ("0.00041", "mg/L", ["unit-suspect"]),
    "at the edge of the tolerance": ("1100", "mg/L", ["unit-suspect"]),
    "beyond the tolerance": ("1300", "mg/L", ["jump"]),
    "a spill, a hundredfold": ("39", "mg/L", ["jump"]),
    "the same amount in its own unit": ("386", "ug/L", []),
    "zero": ("0.00", "mg/L", ["jump"]),
}


@pytest.mark.parametrize(("value", "unit", "codes"), SUSPECTS.values(), ids=SUSPECTS)
def test_a_thousandfold_value_has_a_suspect_unit(value: str, unit: str, codes: list[str]) -> None:
    last = Point(12 * HOUR, value, unit, None, valid=True, confirmed=False)
    assert in_last([*points(*STEADY), last]) == codes


def test_the_case_of_2014_read_as_mg_is_suspect() -> None:
    """5.02 ug/L of antimony is usual there; 5.02 mg/L would be a thousand times as much."""
    usual = points("4.81", "4.93", "5.02", "5.11", "4.97", "5.05", "4.88", unit="ug/L")
    told = [*usual, Point(7 * HOUR, "5.02", "mg/L", None, valid=True, confirmed=False)]
    assert in_last(told, "w20004") == ["unit-suspect"]
    assert in_last([*usual, told[-1]._replace(value="0.00502")], "w20004") == []


COMPLETENESS = {
    "45 minutes of an hour": ("PT1H", "PT1M", 45, False),
    "44 minutes of an hour": ("PT1H", "PT1M", 44, True),
    "20 hours of a day": ("P1D", "PT1H", 20, False),
    "19 hours of a day": ("P1D", "PT1H", 19, True),
    "nothing is said about a month": ("P1M", "P1D", 0, False),
    "what does not divide it": ("PT1H", "P1D", 0, False),
}


@pytest.mark.parametrize(("period", "shorter", "valid", "caught"), COMPLETENESS.values(), ids=COMPLETENESS)
def test_an_average_rests_on_enough_shorter_values(period: str, shorter: str, valid: int, caught: bool) -> None:
    finding = SERIES.judge_completeness("w21003", period, shorter, valid)
    assert (finding is not None and finding.rule == "completeness") == caught


@given(st.lists(st.sampled_from(["0.38", "0.39", "0.381", "1.34", "400", "0.025", None]), max_size=60), st.randoms())
def test_values_are_judged_by_those_before_them_alone(values: list[str | None], random: Any) -> None:
    """So the order in which they arrived cannot matter."""
    series = points(*values)
    whole = SERIES.judge("w21003", "PT1H", series, range(len(series)))
    place = random.randrange(len(series) + 1)
    assert SERIES.judge("w21003", "PT1H", series[:place], range(place)) == [one for one in whole if one[0] < place]


def with_row(rule: str, parameters: str, **members: str) -> Table:
    """The next version of the table: the shipped rows, and one more."""
    first = shipped(QualityRules.table)
    row = {
        "rule": rule,
        "subject": "w21003",
        "period": "*",
        "unit": "",
        "parameters": parameters,
        "basis": "",
        **members,
    }
    return replace(first, version=2, rows=(*first.rows, row))


UNFIT = {
    "no such rule": with_row("wish", "low=0"),
    "no such period": with_row("range", "low=0", period="PT60M"),
    "no name": with_row("range", "=0"),
    "no value": with_row("range", "low="),
    "a bound that is no number": with_row("range", "low=<script>"),
    "a bound without end": with_row("range", "high=9999999999999999"),
    "an exponent": with_row("jump", "times=1e5"),
    "half a value": with_row("frozen", "count=1.5"),
    "history of one value": with_row("jump", "least=1"),
    "nothing to divide by": with_row("unit-suspect", "tolerance=0"),
    "a part without its whole": with_row("sibling", "times=1.1 plus=0 in=mg/L"),
}


@pytest.mark.parametrize("table", UNFIT.values(), ids=UNFIT)
def test_a_row_that_says_nothing_usable_is_refused_by_its_number(table: Table) -> None:
    with pytest.raises(TableError) as caught:
        QualityRules(table)
    assert caught.value.pointers == (f"row {FIRST_ROW + len(table.rows) - 1}",)


def test_a_version_without_what_a_rule_needs_is_refused() -> None:
    first = shipped(QualityRules.table)
    with pytest.raises(TableError) as caught:
        QualityRules(replace(first, rows=tuple(row for row in first.rows if row["rule"] != "jump")))
    assert "jump" in caught.value.detail


def test_a_version_that_speaks_of_what_other_tables_do_not_know_is_refused() -> None:
    check_version(with_row("range", "high=10", unit="mg/L"), TABLES)
    for members in ({"subject": "w99999"}, {"unit": "mg per litre"}):
        with pytest.raises(TableError):
            check_version(with_row("range", "high=10", **members), TABLES)


def test_every_rule_is_published_with_its_table_and_in_both_languages() -> None:
    document = as_document(TABLES[QualityRules])
    assert document["table"] == "quality-rules@1"
    rules: Any = document["rules"]
    assert {rule["code"] for rule in rules} == CODES == {rule.code for rule in RULES}
    for rule in rules:
        assert all(rule[name][language] for name in ("title", "about") for language in ("zh", "en"))
        assert rule["parameters"]
        assert rule["where"] in ("door", "commit")


def test_the_page_about_the_rules_names_each_with_its_place_and_title() -> None:
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `([a-z-]+)` \| (\S+) \| (door|commit) \|", page, re.MULTILINE)
    assert shown == [(rule.code, rule.title_zh, rule.where) for rule in RULES]


def test_the_shipped_table_speaks_of_what_exists_and_gives_each_figure_a_reason() -> None:
    assert list(TABLES[QualityRules].contradictions(TABLES)) == []
    assert all(row["basis"] or row["rule"] == "jump" for row in shipped(QualityRules.table).rows)


def test_a_new_version_of_the_table_decides_and_its_findings_name_it() -> None:
    first = shipped(QualityRules.table)
    row = {
        "rule": "range",
        "subject": "w21003",
        "period": "*",
        "unit": "mg/L",
        "parameters": "high=0.3",
        "basis": "test",
    }
    second = DoorChecks(TABLES.replaced(replace(first, version=2, rows=(*first.rows, row))))
    [finding] = second.check(reading(), now=NOW)
    assert (finding.rule, finding.table) == ("range", "quality-rules@2")


def test_the_more_particular_row_goes_before_and_bounds_are_converted_exactly() -> None:
    assert parameters(TABLES, "jump", "w20004", "PT1H", "ug/L")["floor"] == "2"
    assert parameters(TABLES, "jump", "w21016", "PT1H", "mg/L")["relative"] == "0.8"
    assert parameters(TABLES, "range", "a21026", "PT1H", "mg/m3")["high"] == "20000"
    assert parameters(TABLES, "range", "a21026", "PT1H", "ng/m3")["high"] == "20000000000"


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["0.38", "0.381", "1.34", "400"])), max_size=80))
@pytest.mark.parametrize("period", ["PT1H", "PT0S"])
def test_a_window_of_history_decides_as_all_of_it_would(period: str, steps: list[tuple[int, str]]) -> None:
    """So it does not matter how much more of a series was read with it."""
    series, at = [], 0
    for hours, value in steps:
        at += hours * HOUR
        series.append(Point(at, value, "mg/L", None, valid=True, confirmed=False))
    window, reach = SERIES.window("w21003", period), SERIES.reach("w21003", period)
    for place, last in enumerate(series):
        read = [one for one in series[max(0, place - window) : place + 1] if one.at >= last.at - reach]
        alone = [finding for _, finding in SERIES.judge("w21003", period, read, [len(read) - 1])]
        assert alone == [finding for _, finding in SERIES.judge("w21003", period, series, [place])]


@pytest.mark.parametrize(
    ("text", "digits"),
    [("0.025", 2), ("0", 0), ("0.000", 0), ("12.30", 4), ("-0.5", 1), ("100", 3), ("0.0200", 3), ("5", 1)],
)
def test_significant_digits_are_those_printed(text: str, digits: int) -> None:
    assert significant_digits(text) == digits


def test_findings_read_as_sentences() -> None:
    [finding] = DOOR.check(reading(value="-0.001"), now=NOW)
    assert finding.detail == "-0.001 mg/L is less than 0"
    [(_, finding)] = SERIES.judge("w21003", "PT1H", points(*["0.381"] * 21), [20])
    assert finding.detail == f"0.381 mg/L again and again since {beijing_text(0)}"

"""Limits: which applies where and when, and how a value stands to it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deciding import check_version
from schemas.errors import RecordError, UnresolvedError
from schemas.factors import factor, known
from schemas.limits import Limits, Place, Verdict, explain, judge, water_class_named, zone_named
from schemas.limits.table import Limit
from schemas.records.parts import Name
from schemas.records.site import Site
from schemas.records.source import Source
from schemas.tables import Table, TableError, shipped, shipped_tables
from schemas.times import to_millis
from schemas.units import convert

ANTIMONY = "w20004"
PHOSPHORUS = "w21011"
FINE_PARTICLES = "a34004"
DRINKING = Place("drinking-source", "310118", target="II")
STATION = Place("water-station", "320509", water_type="river", target="III")
DYEING = Place("outlet", "320509", categories=("dyeing",))


def day(text: str) -> int:
    return to_millis(f"{text}T00:00:00+08:00")


NOW = day("2026-11-24")
IN_2014 = day("2014-07-10")


def binding(place: Place, code: str, at: int = NOW, period: str = "") -> Limit:
    limit = explain(place, code, at, period).limit
    assert limit is not None
    return limit


def judged(value: str, q: str, unit: str, limit: Limit, *, valid: bool = True) -> Verdict:
    return judge(Decimal(value), q, unit, limit, valid=valid)  # type: ignore[arg-type]


# The table


def test_every_limit_names_its_source_a_known_factor_and_a_unit_that_the_factor_can_have():
    limits = shipped_tables()[Limits]
    for code in limits.factors():
        assert known(code)
        usual = factor(code).unit
        for limit in limits.of(code):
            assert limit.source
            assert usual is None or convert(Decimal(1), limit.unit, usual)


def test_classes_never_get_stricter_from_one_to_five():
    limits = shipped_tables()[Limits]
    for code in limits.factors():
        for water in ("river", "lake"):
            rows = [one for one in limits.of(code) if one.water_class and water in (one.water_types or (water,))]
            upper = [one.high for one in rows if one.high is not None and one.direction == "<="]
            lower = [one.low for one in rows if one.low is not None and one.direction == ">="]
            assert upper == sorted(upper)
            assert lower == sorted(lower, reverse=True)
            assert len(rows) in (0, 5)


def test_local_rows_that_rest_on_secondary_sources_are_marked():
    local = [
        one
        for code in shipped_tables()[Limits].factors()
        for one in shipped_tables()[Limits].of(code)
        if one.level == "local"
    ]
    assert {(one.standard, str(one.high), one.confidence) for one in local} == {
        ("DB32/3432-2018", "0.08", "unconfirmed"),
        ("DB32/3432-2018", "0.05", "unconfirmed"),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"high": ""},
        {"low": "1"},
        {"high": "NaN"},
        {"high": "much"},
        {"unit": "buckets"},
        {"source": ""},
        {"kind": "wish"},
        {"direction": "=="},
        {"class": "VI"},
        {"from": "yesterday"},
        {"decimals": "two"},
        {"decimals": "99"},
        {"high": "1E+99999"},
        {"until": "2015-03-27"},
    ],
    ids=str,
)
def test_a_table_with_a_row_that_decides_nothing_is_refused_with_the_row(change):
    good = next(row for row in shipped("limits").rows if row["id"] == "gb4287-w20004")
    Limits(Table("limits", 2, 0, "li", "wang", (good,)))
    with pytest.raises(TableError) as caught:
        Limits(Table("limits", 2, 0, "li", "wang", (good | change,)))
    assert caught.value.pointers == ("row 2",)


def test_a_limit_that_stands_twice_is_refused():
    row = shipped("limits").rows[0]
    with pytest.raises(TableError):
        Limits(Table("limits", 2, 0, "li", "wang", (row, row)))


@pytest.mark.parametrize("change", [{"factor": "w99999"}, {"unit": "g/m3"}], ids=str)
def test_a_version_whose_limits_have_no_factor_or_no_unit_in_the_other_tables_is_refused(change):
    good = next(row for row in shipped("limits").rows if row["id"] == "gb4287-w20004")
    units = shipped("units")
    without = replace(units, rows=tuple(row for row in units.rows if row["code"] != "g/m3"))
    others = shipped_tables().replaced(without)
    check_version(Table("limits", 2, 0, "li", "wang", (good,)), shipped_tables())
    with pytest.raises(TableError) as caught:
        check_version(Table("limits", 2, 0, "li", "wang", (good, good | {"id": "other"} | change)), others)
    assert (caught.value.code, caught.value.pointers) == ("table.malformed", ("row 3",))


@pytest.mark.parametrize("name", ["limits", "aqi"])
def test_both_tables_are_among_those_that_a_new_version_is_checked_for(name):
    rows = shipped(name).rows
    broken = rows[0] | {"unit": "buckets"}
    with pytest.raises(TableError):
        check_version(Table(name, 2, 0, "li", "wang", (broken, *rows[1:])), shipped_tables())


# Which one applies


def test_antimony_is_limited_at_drinking_water_sources_and_only_compared_elsewhere():
    assert (binding(DRINKING, ANTIMONY).kind, binding(DRINKING, ANTIMONY).bound) == ("limit", "≤ 0.005 mg/L")
    elsewhere = explain(STATION, ANTIMONY, NOW)
    assert elsewhere.limit is not None
    assert (elsewhere.limit.kind, elsewhere.limit.bound) == ("reference", "≤ 0.005 mg/L")
    assert "参考限值" in elsewhere.why.zh
    assert "never exceeded" in elsewhere.why.en


@pytest.mark.parametrize(
    ("place", "at", "bound", "standard"),
    [
        (DYEING, NOW, "≤ 0.10 mg/L", "GB 4287-2012"),
        (replace(DYEING, areas=("taihu",)), NOW, "≤ 0.08 mg/L", "DB32/3432-2018"),
        (
            replace(DYEING, areas=("taihu", "special-protection"), discharge="direct"),
            NOW,
            "≤ 0.05 mg/L",
            "DB32/3432-2018",
        ),
        (
            replace(DYEING, areas=("taihu", "special-protection"), discharge="indirect"),
            NOW,
            "≤ 0.08 mg/L",
            "DB32/3432-2018",
        ),
        (replace(DYEING, areas=("taihu", "special-protection")), NOW, "≤ 0.08 mg/L", "DB32/3432-2018"),
        (replace(DYEING, district="330421", areas=("taihu",)), NOW, "≤ 0.10 mg/L", "GB 4287-2012"),
        (replace(DYEING, areas=("taihu",)), day("2016-01-01"), "≤ 0.10 mg/L", "GB 4287-2012"),
        (DYEING, day("2015-03-27"), "≤ 0.10 mg/L", "GB 4287-2012"),
    ],
)
def test_of_textile_antimony_the_local_and_closer_limit_goes_first_where_and_when_it_holds(place, at, bound, standard):
    limit = binding(place, ANTIMONY, at)
    assert (limit.bound, limit.standard) == (bound, standard)


@pytest.mark.parametrize(
    ("place", "at"),
    [(DYEING, day("2015-03-26")), (replace(DYEING, categories=("electroplating",)), NOW)],
    ids=["a day before the amendment", "another trade"],
)
def test_where_and_before_no_standard_limits_antimony_nothing_applies(place, at):
    found = explain(place, ANTIMONY, at)
    assert found.limit is None
    assert found.why.en == "No limit and no reference value applies."
    assert len(found.others) == len(shipped_tables()[Limits].of(ANTIMONY))


def test_an_unconfirmed_limit_says_so_and_names_the_one_behind_it():
    found = explain(replace(DYEING, areas=("taihu",)), ANTIMONY, NOW)
    assert found.limit is not None
    assert found.fallback is not None
    assert (found.limit.confidence, found.fallback.id) == ("unconfirmed", "gb4287-w20004")
    assert "未经核实" in found.why.zh
    assert "unconfirmed" in found.why.en
    assert explain(DYEING, ANTIMONY, NOW).fallback is None


def test_every_other_limit_of_the_factor_is_named_once_with_its_reason():
    found = explain(replace(DYEING, areas=("taihu",)), ANTIMONY, NOW)
    assert found.limit is not None
    named = {one.limit.id for one in found.others} | {found.limit.id}
    assert named == {one.id for one in shipped_tables()[Limits].of(ANTIMONY)}
    reasons = {one.limit.id: one.reason for one in found.others}
    assert reasons["gb4287-w20004"].zh == "地方标准优先于国家标准。"
    assert "discharge" in reasons["db32-3432-special-w20004"].en or "special" in reasons["db32-3432-special-w20004"].en
    assert "drinking-water source" in reasons["gb3838-w20004"].en
    assert found.table == "limits@1"


@pytest.mark.parametrize(
    ("water", "target", "bound"),
    [
        ("river", "III", "≤ 0.2 mg/L"),
        ("lake", "III", "≤ 0.05 mg/L"),
        ("reservoir", "I", "≤ 0.01 mg/L"),
        ("river", "I", "≤ 0.02 mg/L"),
    ],
)
def test_phosphorus_has_a_series_for_rivers_and_one_for_lakes_and_reservoirs(water, target, bound):
    assert binding(replace(STATION, water_type=water, target=target), PHOSPHORUS).bound == bound


def test_a_site_that_does_not_say_its_water_or_its_class_comes_under_no_limit_of_either():
    for unsaid in (replace(STATION, water_type=None), replace(STATION, target=None)):
        assert explain(unsaid, PHOSPHORUS, NOW).limit is None


def test_total_nitrogen_limits_lakes_and_not_rivers():
    assert explain(STATION, "w21001", NOW).limit is None
    assert binding(replace(STATION, water_type="lake"), "w21001").bound == "≤ 1.0 mg/L"


@pytest.mark.parametrize(
    ("at", "period", "bound"),
    [
        ("2026-02-28", "P1D", "≤ 75 ug/m3"),
        ("2026-03-01", "P1D", "≤ 60 ug/m3"),
        ("2030-12-31", "P1D", "≤ 60 ug/m3"),
        ("2031-01-01", "P1D", "≤ 50 ug/m3"),
        ("2031-01-01", "P1Y", "≤ 25 ug/m3"),
    ],
)
def test_the_day_decides_which_ambient_air_standard_holds(at, period, bound):
    assert binding(Place("air-station", "320509"), FINE_PARTICLES, day(at), period).bound == bound


def test_the_last_millisecond_before_a_standard_still_belongs_to_the_one_before():
    place = Place("air-station", "320509")
    assert binding(place, FINE_PARTICLES, day("2026-03-01") - 1, "P1D").standard == "GB 3095-2012"


def test_at_the_instant_a_row_ends_it_no_longer_applies():
    found = explain(Place("air-station"), FINE_PARTICLES, day("2026-03-01"), "P1D")
    reasons = {one.limit.id: one.reason.en for one in found.others}
    assert reasons["gb3095-2012-a34004-P1D-2"] == "It no longer applies from 2026-03-01 on."


GENERAL = next(row for row in shipped("limits").rows if row["id"] == "gb4287-w20004") | {
    "categories": "",
    "high": "0.10",
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"kind": "limit", "high": "0.20"}, {"kind": "reference", "level": "local", "categories": "dyeing"}),
        ({"level": "local", "high": "0.20"}, {"categories": "dyeing", "districts": "32"}),
        ({"categories": "dyeing", "high": "0.20"}, {}),
        ({"high": "0.05"}, {}),
        ({"high": "90", "unit": "ug/L"}, {}),
    ],
    ids=[
        "limit before reference",
        "local before national",
        "closer before general",
        "stricter",
        "stricter in its unit",
    ],
)
def test_what_goes_first_is_fixed_whatever_else_speaks_for_the_other(first, second):
    rows = (GENERAL | second | {"id": "second"}, GENERAL | first | {"id": "first"})
    found = explain(DYEING, ANTIMONY, NOW, limits=Limits(Table("limits", 7, 0, "li", "wang", rows)))
    assert found.limit is not None
    assert (found.limit.id, [one.limit.id for one in found.others]) == ("first", ["second"])
    assert found.table == "limits@7"


def test_of_two_lower_bounds_the_higher_goes_first():
    oxygen = GENERAL | {"factor": "w01009", "direction": ">=", "high": ""}
    rows = (oxygen | {"id": "lax", "low": "3"}, oxygen | {"id": "strict", "low": "5"})
    found = explain(DYEING, "w01009", NOW, limits=Limits(Table("limits", 2, 0, "li", "wang", rows)))
    assert found.limit is not None
    assert found.limit.id == "strict"


def test_an_air_station_without_a_zone_is_in_class_two_and_that_is_said():
    found = explain(Place("air-station"), FINE_PARTICLES, NOW, "P1D")
    assert "zone class 2" in found.why.en
    assert "names no zone" in found.why.en
    first = binding(Place("air-station", zone="1"), FINE_PARTICLES, NOW, "P1D")
    assert first.bound == "≤ 35 ug/m3"


def test_a_limit_of_a_day_does_not_judge_an_hour():
    assert explain(Place("air-station"), FINE_PARTICLES, NOW, "PT1H").limit is None
    assert explain(Place("air-station"), FINE_PARTICLES, NOW).limit is None


def test_a_factor_without_limits_says_so():
    found = explain(STATION, "w01003", NOW)
    assert (found.limit, found.others) == (None, ())
    assert found.why.zh == "限值表中没有该因子。"


@pytest.mark.parametrize("text", ["III", "Ⅲ", "Ⅲ类", "3", "三类", "III类水质", "class III", "Ⅲ 类"])
def test_a_class_is_known_in_every_way_that_people_write_it(text):
    assert water_class_named(text) == "III"


@pytest.mark.parametrize("text", ["", "VI", "good", "劣Ⅴ", "Ⅲ" * 30])
def test_what_is_no_class_is_none(text):
    assert water_class_named(text) is None


def test_zones_are_known_as_classes_and_grades():
    assert [zone_named(text) for text in ("一级", "2", "二类区", "3", "")] == ["1", "2", "2", None, None]


def test_a_place_is_made_of_a_site_and_the_source_behind_it():
    name = Name("甲")
    outlet = Site(
        id="o", type="outlet", name=name, district="320509", areas=("taihu",), source="s", outlet="DW001",
        discharge="direct",
    )  # fmt: skip
    source = Source(id="s", name=name, district="320509", categories=("dyeing", "voc"))
    assert Place.of(outlet, source) == Place(
        "outlet", "320509", areas=("taihu",), categories=("dyeing", "voc"), discharge="direct"
    )
    air = Site(id="a", type="air-station", name=name, district="320509", target="二级")
    assert (Place.of(air).zone, Place.of(air).target) == ("2", None)
    lake = Site(id="l", type="lake-point", name=name, district="320509", target="Ⅲ类")
    assert (Place.of(lake).water_type, Place.of(lake).target) == ("lake", "III")


# How a value stands to it


def test_the_reading_of_2014_exceeds_by_full_value_and_keeps_the_limit_by_rounded_value():
    limit = binding(DRINKING, ANTIMONY, IN_2014)
    full = judged("5.02", "", "ug/L", limit)
    assert (full.outcome, full.by_full, full.by_rounded) == ("exceeded", False, True)
    assert (str(full.value), str(full.rounded)) == ("0.00502", "0.005")
    by_rounding = judged("5.02", "", "ug/L", replace(limit, rule="rounded"))
    assert (by_rounding.outcome, by_rounding.by_full, by_rounding.by_rounded) == ("within", False, True)
    assert "全数值" in full.why.zh
    assert "修约值" in by_rounding.why.zh


def test_the_reading_of_2014_at_a_section_is_above_a_reference_and_never_exceeds():
    verdict = judged("5.02", "", "ug/L", binding(STATION, ANTIMONY, IN_2014))
    assert (verdict.outcome, verdict.by_full, verdict.by_rounded) == ("above-reference", False, True)


@pytest.mark.parametrize(
    ("value", "unit", "outcome"),
    [
        ("5", "ug/L", "within"),
        ("5.0001", "ug/L", "exceeded"),
        ("0.005", "mg/L", "within"),
        ("5.02", "mg/L", "exceeded"),
        ("5000", "ng/L", "within"),
    ],
)
def test_units_are_converted_exactly_before_anything_is_compared(value, unit, outcome):
    assert judged(value, "", unit, binding(DRINKING, ANTIMONY)).outcome == outcome


UPPER = binding(DRINKING, ANTIMONY)  # ≤ 0.005
LOWER = binding(STATION, "w01009")  # ≥ 5
RANGE = binding(STATION, "w01001")  # 6 to 9


@pytest.mark.parametrize(
    ("limit", "q", "value", "outcome", "by_rounded"),
    [
        (UPPER, "<", "0.0002", "within", True),
        (UPPER, "<", "0.005", "within", True),
        (UPPER, "<", "0.006", "not-judged", None),
        (UPPER, ">", "0.006", "exceeded", False),
        (UPPER, ">", "0.005", "exceeded", None),  # just above 0.005 rounds to it
        (UPPER, ">", "0.004", "not-judged", None),
        (LOWER, ">", "20", "within", True),
        (LOWER, ">", "4", "not-judged", None),
        (LOWER, "<", "2", "exceeded", False),
        (LOWER, "<", "5", "exceeded", None),
        (LOWER, "<", "6", "not-judged", None),
        (RANGE, "", "9", "within", True),
        (RANGE, "", "9.01", "exceeded", True),
        (RANGE, "", "5.4", "exceeded", False),
        (RANGE, "<", "5", "exceeded", False),
        (RANGE, ">", "14", "exceeded", False),
        (RANGE, "<", "7", "not-judged", None),
        (RANGE, ">", "7", "not-judged", None),
    ],
)
def test_a_value_below_detection_or_above_range_is_judged_only_where_its_whole_span_agrees(
    limit, q, value, outcome, by_rounded
):
    verdict = judged(value, q, limit.unit, limit)
    assert (verdict.outcome, verdict.by_rounded) == (outcome, by_rounded)


@given(
    st.decimals(min_value=0, max_value=20, places=4),
    st.sampled_from(["<", ">"]),
    st.decimals(min_value=0, max_value=20, places=5),
    st.sampled_from([UPPER, LOWER, RANGE]),
    st.sampled_from(["full", "rounded"]),
)
def test_no_number_within_a_span_gets_another_answer_than_the_span(end, q, inside, limit, rule):
    limit = replace(limit, rule=rule)
    of_span = judge(end, q, limit.unit, limit, valid=True).outcome
    if of_span != "not-judged" and ((q == "<" and inside < end) or (q == ">" and inside > end)):
        assert judge(inside, "", limit.unit, limit, valid=True).outcome == of_span


def test_values_not_valid_or_not_measured_are_never_judged():
    assert judged("500", "", "mg/L", UPPER, valid=False).outcome == "not-judged"
    verdict = judge(None, "", "mg/L", UPPER, valid=True)
    assert (verdict.outcome, verdict.by_full, verdict.value) == ("not-judged", None, None)


def test_a_value_in_a_unit_that_cannot_be_converted_is_refused():
    with pytest.raises(RecordError) as caught:
        judged("5", "", "mg/kg", UPPER)
    assert caught.value.code == "record.unit-mismatch"
    with pytest.raises(UnresolvedError):
        judged("5", "", "buckets", UPPER)

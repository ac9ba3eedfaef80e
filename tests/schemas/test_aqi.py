"""The air quality index by both editions, alone and against what two networks published."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.air_means import day_mean, eight_hour_mean, hour_counts, year_mean
from schemas.aqi import CO, DAY, EIGHT_HOURS, HOUR, NO2, O3, PM10, PM25, SO2, AirIndices, Concentration
from schemas.errors import RecordError
from schemas.tables import Table, TableError, shipped, shipped_tables
from schemas.times import to_millis

IN_2025 = to_millis("2025-06-01T00:00:00+08:00")
IN_2026 = to_millis("2026-03-01T00:00:00+08:00")
AN_HOUR = 3_600_000  # ms
UNITS = dict.fromkeys((SO2, NO2, O3, PM10, PM25), "ug/m3") | {CO: "mg/m3"}


def means(period: str, **values: str) -> dict[tuple[str, str], Concentration | None]:
    """Means of one period by pollutant, in the usual units."""
    codes = {"so2": SO2, "no2": NO2, "co": CO, "o3": O3, "pm10": PM10, "pm25": PM25}
    return {(codes[name], period): Concentration(Decimal(value), UNITS[codes[name]]) for name, value in values.items()}


def hourly(at: int, **values: str):
    return shipped_tables()[AirIndices].hourly(means(HOUR, **values), at)


@pytest.mark.parametrize(
    ("at", "values", "aqi"),
    [
        (IN_2025, {"pm25": "75"}, 100),
        (IN_2026, {"pm25": "60"}, 100),
        (IN_2026, {"pm25": "61"}, 101),
        (IN_2026, {"pm25": "75"}, 114),  # 100 + 50 * 15 / 55 = 113.6
        (IN_2025, {"pm10": "150"}, 100),
        (IN_2026, {"pm10": "120"}, 100),
        (IN_2026, {"pm25": "21"}, 30),  # exactly, where binary fractions give 31
        (IN_2026, {"pm25": "28"}, 40),
        (IN_2026, {"pm25": "20.5"}, 29),  # to 20, the even one
        (IN_2026, {"pm25": "21.5"}, 32),  # to 22
        (IN_2026, {"co": "0.25"}, 2),  # to 0.2
        (IN_2026, {"co": "5"}, 50),
        (IN_2026, {"o3": "200"}, 100),
        (IN_2026, {"so2": "650"}, 150),
        (IN_2026, {"no2": "0"}, 0),
        (IN_2026, {"pm25": "500"}, 500),
    ],
)
def test_an_index_follows_the_breakpoints_of_its_edition_and_rounds_up(at, values, aqi):
    assert hourly(at, **values).aqi == aqi


def test_the_edition_changes_at_the_first_of_march_2026_in_beijing():
    assert hourly(IN_2026 - 1, pm25="70").edition == "HJ 633-2012"
    found = hourly(IN_2026, pm25="70")
    assert (found.edition, found.table) == ("HJ 633-2026", "aqi@1")
    with pytest.raises(RecordError) as caught:
        hourly(0, pm25="70")
    assert caught.value.code == "aqi.no-edition"


def test_an_hour_of_sulphur_dioxide_above_800_is_200_by_2026_and_by_2012_the_day_counts():
    assert hourly(IN_2026, so2="801").individual[SO2] == 200
    assert hourly(IN_2026, so2="801").beyond == (SO2,)
    alone = hourly(IN_2025, so2="801", no2="40")
    assert (SO2 in alone.individual, alone.missing, alone.beyond) == (False, (SO2, CO, O3, PM10, PM25), (SO2,))
    with_day = shipped_tables()[AirIndices].hourly(means(HOUR, so2="801") | means(DAY, so2="475"), IN_2025)
    assert with_day.individual[SO2] == 150


def test_eight_hours_of_ozone_above_800_are_300_by_2026_and_by_2012_the_hour_counts():
    day = means(EIGHT_HOURS, o3="801")
    assert shipped_tables()[AirIndices].daily(day, IN_2026).individual[O3] == 300
    assert O3 in shipped_tables()[AirIndices].daily(day, IN_2025).missing
    assert shipped_tables()[AirIndices].daily(day | means(HOUR, o3="1000"), IN_2025).individual[O3] == 400


def test_an_index_beyond_the_last_breakpoint_is_500_and_named():
    found = hourly(IN_2026, pm10="1200")
    assert (found.aqi, found.beyond, found.category_zh) == (500, (PM10,), "严重污染")


def test_a_day_takes_day_means_and_the_eight_hours_of_ozone_alone():
    day = means(DAY, so2="150", no2="40", co="2", pm10="50", pm25="35") | means(EIGHT_HOURS, o3="100")
    found = shipped_tables()[AirIndices].daily(day | means(HOUR, pm25="400"), IN_2026)
    assert found.individual == {SO2: 100, NO2: 50, CO: 50, O3: 50, PM10: 50, PM25: 50}
    assert (found.aqi, found.primary, found.missing) == (100, (SO2,), ())


def test_primary_pollutants_are_all_that_tie_and_none_up_to_fifty():
    assert hourly(IN_2026, pm25="60", pm10="120", o3="10").primary == (PM10, PM25)
    assert hourly(IN_2026, pm25="35").primary == ()
    assert hourly(IN_2026, pm25="36").primary == (PM25,)


def test_over_limit_pollutants_are_named_by_the_edition_of_2012_alone():
    assert hourly(IN_2025, pm25="120", o3="210").over_limit == (O3, PM25)
    assert hourly(IN_2026, pm25="120", o3="210").over_limit == ()


@pytest.mark.parametrize(
    ("aqi", "name"),
    [("35", "优"), ("36", "良"), ("61", "轻度污染"), ("116", "中度污染"), ("151", "重度污染"), ("251", "严重污染")],
)
def test_the_index_has_its_category(aqi, name):
    assert hourly(IN_2026, pm25=aqi).category_zh == name


def test_pollutants_without_a_value_are_named_and_nothing_measured_is_no_index():
    found = hourly(IN_2026, pm25="30")
    assert found.missing == (SO2, NO2, CO, O3, PM10)
    nothing = shipped_tables()[AirIndices].hourly({(PM25, HOUR): None}, IN_2026)
    assert (nothing.aqi, nothing.category_zh, nothing.primary) == (None, "", ())


def test_units_are_converted_and_never_assumed():
    in_micrograms = {(CO, HOUR): Concentration(Decimal(5000), "ug/m3")}
    assert shipped_tables()[AirIndices].hourly(in_micrograms, IN_2026).aqi == 50
    with pytest.raises(RecordError) as caught:
        shipped_tables()[AirIndices].hourly({(O3, HOUR): Concentration(Decimal(50), "[ppb]")}, IN_2026)
    assert caught.value.code == "record.unit-mismatch"


def test_a_negative_concentration_is_refused():
    with pytest.raises(RecordError) as caught:
        hourly(IN_2026, pm25="-3")
    assert caught.value.code == "record.value-invalid"


def test_sulphur_dioxide_of_a_day_has_breakpoints_of_its_own():
    for edition in shipped_tables()[AirIndices].editions:
        upper = {period: [str(one.c_hi) for one in edition.series[SO2, period].segments] for period in (HOUR, DAY)}
        assert upper[DAY][:4] == ["50", "150", "475", "800"]
        assert upper[HOUR] == ["150", "500", "650", "800"]


@pytest.mark.parametrize("dropped", [0, 1, 5])
def test_a_table_whose_breakpoints_do_not_follow_each_other_is_refused(dropped):
    rows = list(shipped("aqi").rows)
    del rows[dropped]
    with pytest.raises(TableError):
        AirIndices(Table("aqi", 2, 0, "li", "wang", tuple(rows)))


def test_a_table_by_which_some_index_could_not_be_computed_is_refused():
    rows = shipped("aqi").rows
    for changed in (
        tuple({**row, "edition": "HJ 633-2099"} for row in rows),
        tuple(row for row in rows if row["factor"] != PM25),
        ({**rows[0], "c_hi": "fifty"}, *rows[1:]),
        ({**rows[0], "c_hi": "NaN"}, *rows[1:]),
        ({**rows[0], "unit": "buckets"}, *rows[1:]),
        ({**rows[0], "since": "2015-01-01"}, *rows[1:]),
        (*rows, {**rows[0], "factor": "a34001"}),
        tuple(row for row in rows if row["iaqi_hi"] != "500"),
    ):
        with pytest.raises(TableError):
            AirIndices(Table("aqi", 2, 0, "li", "wang", changed))


# Means, and how many values they need


def hours(count: int, of: int = 24) -> list[Decimal | None]:
    return [Decimal(10)] * count + [None] * (of - count)


def test_a_day_needs_twenty_hours_and_eight_hours_of_ozone_six():
    assert day_mean(hours(20)).value == 10
    assert (day_mean(hours(19)).value, day_mean(hours(19)).count, day_mean(hours(19)).needed) == (None, 19, 20)
    assert eight_hour_mean(hours(6, 8)).value == 10
    assert eight_hour_mean(hours(5, 8)).value is None
    assert [hour_counts(minutes) for minutes in (44, 45)] == [False, True]


def test_hours_that_are_no_numbers_are_refused():
    for value in ("NaN", "1E+999999999"):
        with pytest.raises(RecordError) as caught:
            day_mean([*hours(23, 23), Decimal(value)])
        assert caught.value.code == "record.value-invalid"


def test_a_year_needs_enough_days_in_all_and_in_each_month():
    days: dict[date, Decimal | None] = {date(2026, 1, 1) + timedelta(number): Decimal(20) for number in range(365)}
    assert year_mean(days, 2026).value == 20
    short = days | {date(2026, 2, day): None for day in range(1, 5)}
    found = year_mean(short, 2026)
    assert (found.value, found.count, found.needed) == (None, 24, 25)
    scattered = days | {date(2026, month, day): None for month in range(1, 13) for day in (1, 2, 3)} | {
        date(2026, month, 4): None for month in (1, 3, 5, 7, 8, 10)
    }  # fmt: skip
    assert year_mean(scattered, 2026).count == 323
    assert year_mean(scattered, 2026).value is None
    assert year_mean({}, 2026).needed == 27


# Against published indices. Hours are labelled by their end, and the edition is that of the hour's beginning.

CNEMC = {SO2: "so2", NO2: "no2", CO: "co", O3: "o3", PM10: "pm10", PM25: "pm2_5"}
ZJEMC = {SO2: "SO2", NO2: "NO2", CO: "CO", O3: "O3", PM10: "PM10", PM25: "PM25"}
NAMES = {
    "二氧化硫(SO2)": SO2,
    "二氧化氮(NO2)": NO2,
    "一氧化碳(CO)": CO,
    "臭氧1小时(O3_1h)": O3,
    "颗粒物(PM10)": PM10,
    "细颗粒物(PM2.5)": PM25,
}


def published(path: Path, columns: dict[str, str], index: str) -> Iterator[tuple[dict[str, str], dict]]:
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row[index] not in ("", "NA", "--"):
                yield (
                    row,
                    {
                        (code, HOUR): Concentration(Decimal(row[column]), UNITS[code])
                        for code, column in columns.items()
                        if row[column] not in ("", "NA", "--")
                    },
                )


def test_indices_and_primary_pollutants_of_the_national_network_are_ours(shared, record_testsuite_property):
    rows = same = primaries = same_primaries = 0
    for row, values in published(shared / "testdata/real/air_hourly_cnemc_districts.csv", CNEMC, "aqi"):
        label = row["timepoint"]
        found = shipped_tables()[AirIndices].hourly(values, to_millis(f"{label[:13]}:{label[13:]}:00+08:00") - AN_HOUR)
        rows += 1
        same += found.aqi == int(row["aqi"])
        if row["primarypollutant"] not in ("", "NA"):
            primaries += 1
            same_primaries += set(found.primary) == {NAMES[name] for name in row["primarypollutant"].split(",")}
    report = f"{rows} rows, index {same / rows:.5f}, primary pollutants {same_primaries / primaries:.5f}"
    record_testsuite_property("air quality indices", report)
    assert rows > 8_000
    assert same / rows >= 0.999, report
    assert same_primaries == primaries, report


def test_the_national_network_changed_edition_with_the_hour_that_began_on_the_first_of_march(shared):
    counts = {"HJ 633-2012": 0, "HJ 633-2026": 0}
    first, last = "2026-02-28T0100", "2026-03-01T0000"  # the hours of 28 February
    for row, values in published(shared / "testdata/real/air_hourly_cnemc_four_cities.csv", CNEMC, "aqi"):
        if first <= row["timepoint"] <= last:
            for at in (IN_2025, IN_2026):
                found = shipped_tables()[AirIndices].hourly(values, at)
                counts[found.edition] += found.aqi == int(row["aqi"])
    assert counts["HJ 633-2012"] > 800
    assert counts["HJ 633-2026"] < counts["HJ 633-2012"] * 0.95


def test_indices_of_the_provincial_network_are_ours_without_exception(shared):
    rows = 0
    for row, values in published(shared / "testdata/real/air_hourly_zjemc_jiashan.csv", ZJEMC, "AQI"):
        found = shipped_tables()[AirIndices].hourly(values, to_millis(f"{row['time'][:10]}T00:00:00+08:00"))
        assert found.aqi == int(row["AQI"]), row
        rows += 1
    assert rows > 2_500

"""The rate of findings on real months: fewer than one value in a thousand gets one that a person would call false."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quality_rate import NEAR, Rate, measure


@pytest.fixture(scope="module")
def rate(shared: Path) -> Rate:
    return measure(shared / "testdata" / "real", NEAR)


def test_fewer_than_one_value_in_a_thousand_gets_a_false_finding(rate: Rate) -> None:
    assert sum(rate.values.values()) > 85_000
    for name, values in rate.values.items():
        assert sum(one.false for one in rate.found if one.file == name) / values < 0.001, name


def test_each_known_oddity_of_the_border_stations_is_found(rate: Rate) -> None:
    """Those of April 2021 that have a history of eight values before them."""
    found = {(one.site.split()[-1], one.factor, one.at[5:13], one.finding.rule) for one in rate.found}
    assert found >= {
        ("急水港桥", "w01014", "04-03T16", "jump"),
        ("急水港桥", "w21003", "04-04T20", "jump"),
        ("急水港桥", "w21011", "04-05T16", "jump"),
    }


def test_air_of_a_clean_month_is_found_in_order(rate: Rate) -> None:
    """Of March 2026 in the districts: all that is found stands alone, or is an event."""
    march = [one for one in rate.found if one.file.startswith("air") and one.at.startswith("2026-03")]
    assert {one.finding.rule for one in march} <= {"jump"}
    assert sum(one.false for one in march) <= 2

"""Validity is derived from the flag and from marks entered afterwards, and never touches the value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.records import Mark
from schemas.tables import TableError, shipped, shipped_tables
from schemas.times import to_millis
from schemas.validity import MarkTypes, judge

HOUR = "2026-11-20T10:00:00+08:00"


def mark(begins: str, ends: str = "", **members: Any) -> Mark:
    given = {"site": "a", "type": "maintenance", "author": "李", "entered": HOUR, **members}
    return Mark(from_=f"2026-11-20T{begins}+08:00", to=f"2026-11-20T{ends}+08:00" if ends else "", **given)


def why(*marks: Mark, flag: str = "N", period: str = "PT1H", factor: str = "w20004") -> tuple[str, ...]:
    found = judge("hj212-2017", flag, factor, period, to_millis(HOUR), marks, shipped_tables())
    assert found.valid is (not found.why)
    return found.why


@pytest.mark.parametrize(
    ("given", "touched"),
    [
        (mark("09:00:00", "10:00:00"), False),
        (mark("09:00:00", "10:00:01"), True),
        (mark("10:59:59", "12:00:00"), True),
        (mark("11:00:00", "12:00:00"), False),
        (mark("10:20:00", "10:25:00"), True),
        (mark("08:00:00", "20:00:00"), True),
        (mark("08:00:00"), True),
        (mark("10:30:00"), True),
        (mark("11:30:00"), False),
    ],
)
def test_a_mark_on_any_part_of_an_averages_period_makes_it_invalid(given: Mark, touched: bool) -> None:
    assert why(given) == (("mark:maintenance",) if touched else ())


def test_an_instant_belongs_to_a_span_from_its_beginning_until_before_its_end() -> None:
    assert why(mark("10:00:00", "10:00:01"), period="PT0S") == ("mark:maintenance",)
    assert why(mark("09:00:00", "10:00:00"), period="PT0S") == ()


def test_a_mark_may_be_about_some_factors_only() -> None:
    given = mark("10:00:00", factors=("w01001",))
    assert why(given) == ()
    assert why(given, factor="w01001") == ("mark:maintenance",)


def test_flag_and_marks_are_all_named() -> None:
    both = why(mark("10:00:00", type="fault"), mark("10:00:00", type="calibration"), flag="M")
    assert both == ("flag:M", "mark:calibration", "mark:fault")


def test_an_unknown_flag_is_not_valid() -> None:
    assert why(flag="Q") == ("flag-unknown:Q",)
    assert why(flag="") == ("flag-unknown:",)


def test_a_monthly_value_is_touched_by_a_mark_in_its_month() -> None:
    later = Mark(site="a", type="stop", from_="2026-12-15T00:00:00+08:00", author="李", entered=HOUR)
    assert why(later, period="P1M") == ("mark:stop",)
    assert why(later, period="P1D") == ()


def test_what_was_decided_names_the_versions_it_was_decided_by() -> None:
    found = judge("manual", "", "w20004", "PT0S", 0, (), shipped_tables())
    assert found.references == (shipped("flags").reference, shipped("marks").reference)


def test_another_version_of_the_table_decides_otherwise() -> None:
    rows = tuple({**row, "valid": "yes"} for row in shipped("marks").rows)
    tables = shipped_tables().replaced(replace(shipped("marks"), version=2, rows=rows))
    found = judge("manual", "", "w20004", "PT0S", to_millis(HOUR), [mark("09:00:00")], tables)
    assert (found.valid, found.references[1]) == (True, "marks@2")


@pytest.mark.parametrize("broken", [{"type": "lunch"}, {"valid": "perhaps"}, {"source": ""}, {"type": "fault"}])
def test_a_malformed_table_is_refused(broken: dict[str, str]) -> None:
    first, *others = shipped("marks").rows
    with pytest.raises(TableError):
        MarkTypes(replace(shipped("marks"), rows=({**first, **broken}, *others)))

"""A drafted profile: what a header says for certain is filled in, and no guess ever reads a sheet."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas.sheets import CSV, Grid, ProfileError, SheetError, parse_profile, read_grid, shipped_profile
from schemas.sheets.draft import draft_profile


def drafted(sheet: str) -> dict[str, object]:
    document: dict[str, object] = yaml.load(draft_profile(read_grid(CSV, sheet.encode()), "draft"), yaml.BaseLoader)
    return document


def undecided(document: str) -> set[str]:
    with pytest.raises(ProfileError) as caught:
        parse_profile(document.encode())
    return {one["pointer"] for one in caught.value.extra["faults"] if "decided by a person" in one["text"]}  # type: ignore[attr-defined]


def test_the_columns_of_the_national_page_are_recognised_and_meaning_is_asked_for(shared: Path) -> None:
    content = (shared / "testdata" / "real" / "water_4h_border_stations.csv").read_bytes()
    document = draft_profile(read_grid(CSV, content), "draft")
    ours = shipped_profile("water-national")
    found = yaml.load(document, yaml.BaseLoader)
    assert {header: entry["factor"] for header, entry in found["factors"].items()} == {
        header: column.factor for header, column in ours.factors.items()
    }
    assert found["time"]["forms"] == ["MM-DD hh:mm"]
    assert found["ignore"] == ["省份", "流域", "水质类别"]
    asked = {"/site/read", "/time/hours", "/time/year", "/missing/--", "/missing/*", "/members/period"}
    assert asked <= undecided(document)


def test_a_draft_that_a_person_decided_reads_its_sheet() -> None:
    document = draft_profile(read_grid(CSV, "站点,时间,氨氮(mg/L)\nA,2026-01-01 00:00,1\n".encode()), "draft")
    answers = {
        'title: {zh: "?", en: "?"}': "title: {zh: 氨氮}", 'read: "?"': "read: id", 'hours: "?"': "hours: instant",
        '"": "?"': '"": omit', 'origin: "?"': "origin: auto", 'stat: "?"': "stat: inst",
        'period: "?"': "period: PT0S", 'profile: "?"': "profile: manual",
    }  # fmt: skip
    for asked, answer in answers.items():
        assert asked in document
        document = document.replace(asked, answer)
    assert parse_profile(document.encode()).factors["氨氮(mg/L)"].factor == "w21003"


@pytest.mark.parametrize(
    ("header", "factor", "unit"),
    [
        ("溶解氧(mg/L)", "w01009", "mg/L"),
        ("锑(μg/L)", "?", "ug/L"),  # two factors have the name: in water and in air
        ("溶解氧", "?", "?"),  # no unit
        ("溶解氧(℃)", "?", "Cel"),  # a unit that is none of oxygen's
        ("氨氮(勺)", "?", "?"),
        ("某物(mg/L)", "?", "mg/L"),
    ],
)
def test_only_a_name_and_a_unit_that_fit_each_other_are_certain(header: str, factor: str, unit: str) -> None:
    factors = drafted(f"站点,时间,{header}\nA,2026-01-01 00:00,1\n")["factors"]
    assert factors == {header: {"factor": factor, "unit": unit}}


def test_a_long_sheet_gets_a_table_of_its_items() -> None:
    rows = "A,2026-01-01 00:00,氨氮,1,mg/L\nA,2026-01-01 00:00,怪物,1,mg/L\n"
    document = drafted("点位,监测时间,监测项目,结果,单位\n" + rows)
    assert document["layout"] == "long"
    assert document["items"] == {
        "item": "监测项目", "value": "结果", "unit": {"column": "单位"}, "table": {"氨氮": "w21003", "怪物": "?"},
    }  # fmt: skip


def test_a_header_is_found_below_a_title_and_two_candidates_are_asked_about() -> None:
    document = drafted("某市水质月报,,,\n,,,\n站点,日期,时间,氨氮(mg/L)\nA,2026-01-01,00:00,1\n")
    assert document["header"] == "3"
    assert document["time"]["column"] == "?"  # type: ignore[index]


def test_a_sheet_without_a_header_is_refused() -> None:
    with pytest.raises(SheetError) as caught:
        drafted("1,2,3\n4,5,6\n")
    assert caught.value.code == "sheet.header-missing"


@given(st.lists(st.text(max_size=10), max_size=6))
def test_whatever_stands_in_a_header_the_draft_is_a_document_that_still_asks(headers: list[str]) -> None:
    document = draft_profile(Grid([["时间", *headers], ["2026-01-01 00:00"]]), "draft")
    with pytest.raises(ProfileError):
        parse_profile(document.encode())
    assert isinstance(yaml.load(document, yaml.BaseLoader), dict) or "given twice" in document

"""A sheet through a profile: cells become records, and what becomes none is told with its code at its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas.records
import schemas.sheets
from schemas.records import Observation, Site
from schemas.sheets import (
    CSV,
    XLSX,
    Finding,
    Found,
    SheetError,
    Use,
    parse_profile,
    read_grid,
    read_sheet,
    shipped_profile,
)
from schemas.sheets.advice import all_advice
from schemas.times import to_millis
from tests.schemas.workbooks import cell, sheet_part, text, workbook

NOW = to_millis("2026-11-24T12:00:00+08:00")
WIDE = """\
profile: own
version: 1
site: {column: 断面, read: name, table: {急水港桥: QP-1}}
time: {column: 时间, forms: ["MM-DD hh:mm", "YYYY-MM-DD hh:mm"], hours: end, date-only: midnight, year: latest}
missing: {"--": "null", "*": omit}
members: {origin: auto, stat: avg, period: PT1H, profile: water-4h, flag: {column: 状态}}
factors:
  锑(μg/L): {factor: w20004, unit: ug/L, detection: "0.2"}
  pH: {factor: w01001, unit: "[pH]", period: PT0S, stat: inst}
ignore: [备注]
"""
HEADER = "断面,时间,锑(μg/L),pH,状态,备注\n"


def read(rows: str, profile: str = WIDE, *, header: str = HEADER, **use: object) -> tuple[list[Found], list[Finding]]:
    parsed = parse_profile(profile.encode())
    grid = read_grid(CSV, (header + rows).encode(), parsed)
    found = list(read_sheet(grid, parsed, Use(NOW, **use)))  # type: ignore[arg-type]
    return [one for one in found if isinstance(one, Found)], [one for one in found if isinstance(one, Finding)]


def told(rows: str, profile: str = WIDE, **options: object) -> list[tuple[int, int, str, str]]:
    return [(one.row, one.column, one.verdict, one.code) for one in read(rows, profile, **options)[1]]  # type: ignore[arg-type]


def test_a_row_is_a_record_for_each_factor_with_everything_the_profile_says() -> None:
    found, findings = read("急水港桥,04-01 04:00,0.10,7.30,正常,x\n")
    assert findings == []
    assert [(one.row, one.column) for one in found] == [(2, 3), (2, 4)]
    assert found[0].record == Observation(
        site="QP-1", factor="w20004", origin="auto", stat="avg", period="PT1H", at="2026-04-01T03:00:00+08:00",
        value="0.10", unit="ug/L", flag="正常", profile="water-4h", detection="0.2",
    )  # fmt: skip
    assert (found[1].record.period, found[1].record.at) == ("PT0S", "2026-04-01T04:00:00+08:00"), (
        "an instant has no end"
    )  # type: ignore[union-attr]


def test_an_hour_labelled_by_its_end_at_midnight_began_on_the_day_before() -> None:
    found, _ = read("急水港桥,2026-05-01,0.1,*,正常,\n")
    assert found[0].record.at == "2026-04-30T23:00:00+08:00"  # type: ignore[union-attr]


def test_missing_marks_are_null_with_the_reason_or_left_out_as_the_profile_says() -> None:
    found, _ = read("急水港桥,04-01 04:00,--,*,正常,\n急水港桥,04-01 05:00,--,--,维护,\n")
    assert [(one.record.value, one.record.flag, one.record.factor) for one in found] == [  # type: ignore[union-attr]
        (None, "--", "w20004"),
        (None, "维护", "w20004"),
        (None, "维护", "w01001"),
    ]


def test_below_detection_keeps_its_sign_and_limit() -> None:
    found, _ = read("急水港桥,04-01 04:00,未检出,>14,正常,\n")
    assert [(one.record.value, one.record.q) for one in found] == [("0.2", "<"), ("14", ">")]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "place", "code"),
    [
        ("无名桥,04-01 04:00,1,7,正常,", (2, 1), "sheet.site-unknown"),
        ("急水港桥,4月1日,1,7,正常,", (2, 2), "sheet.time-unread"),
        ("急水港桥,--,1,7,正常,", (2, 2), "sheet.time-missing"),
        ("急水港桥,04-01 04:00,1", (2, 0), "sheet.row-ragged"),
        ("急水港桥,04-01 04:00,1,7,正常,,x", (2, 0), "sheet.row-ragged"),
        ("急水港桥,04-01 04:00,一,*,正常,", (2, 3), "sheet.value-unread"),
        ("急水港桥,04-01 04:00,,*,正常,", (2, 3), "sheet.value-blank"),
        ('急水港桥,04-01 04:00,"1,5",*,正常,', (2, 3), "sheet.value-comma"),
        ("急水港桥,04-01 04:00,1%,*,正常,", (2, 3), "sheet.percent"),
        ("急水港桥,04-01 04:00,#N/A,*,正常,", (2, 3), "sheet.cell-error"),
        ("急水港桥,04-01 04:00,*,ND,正常,", (2, 4), "sheet.detection-missing"),
        ("急水港桥,04-01 04:00,*,7,正\x01常,", (2, 4), "record.malformed"),
    ],
)
def test_a_bad_cell_is_refused_at_its_place_and_the_next_row_is_read(
    row: str, place: tuple[int, int], code: str
) -> None:
    good = "急水港桥,04-02 04:00,1,7,正常,\n"
    found, findings = read(f"{row}\n{good}")
    assert [(one.row, one.column, one.verdict, one.code) for one in findings] == [(*place, "refused", code)]
    assert [one.row for one in found] == [3, 3]


def test_a_bad_cell_costs_that_value_alone() -> None:
    found, findings = read("急水港桥,04-01 04:00,一,7.3,正常,\n")
    assert [one.record.factor for one in found] == ["w01001"]  # type: ignore[union-attr]
    assert [one.text for one in findings] == ["一"]


def test_a_row_without_time_and_values_is_left_out_and_noted() -> None:
    assert told("急水港桥,--,--,*,维护,\n\n,,,,,\n") == [(2, 0, "noted", "sheet.row-empty")]


def test_sites_given_at_use_are_known_and_the_profile_goes_before_them() -> None:
    sites = {"无名桥": "QP-9", "急水港桥": "QP-8"}
    found, _ = read("无名桥,04-01 04:00,1,*,正常,\n急水港桥,04-01 04:00,1,*,正常,\n", sites=sites)
    assert [one.record.site for one in found] == ["QP-9", "QP-1"]  # type: ignore[union-attr]


def test_the_same_line_again_is_told_and_another_value_needs_a_reason() -> None:
    rows = "急水港桥,04-01 04:00,1,*,正常,\n" * 2 + "急水港桥,04-01 04:00,2,*,正常,\n"
    found, findings = read(rows)
    assert [(one.row, one.repeats) for one in found] == [(2, 0), (3, 2)]
    assert [(one.row, one.column, one.code) for one in findings] == [(4, 3, "sheet.contradicts")]
    found, findings = read(rows, WIDE + "repeated: published-again\n")
    assert ([one.record.reason for one in found], findings) == (["", "", "published-again"], [])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("header", "code", "words"),
    [
        ("断面,时间,pH,状态,备注\n", "sheet.column-missing", "锑(μg/L)"),
        ("断面,时间,锑(mg/L),pH,状态,备注\n", "sheet.column-missing", "锑(μg/L)"),
        ("断面,时间,锑(μg/L),pH,pH,状态\n", "sheet.column-twice", "pH"),
        ("", "sheet.header-missing", "row 1"),
    ],
)
def test_a_sheet_whose_columns_are_not_the_profiles_is_refused_whole(header: str, code: str, words: str) -> None:
    with pytest.raises(SheetError) as caught:
        read("", header=header)
    assert caught.value.code == code
    assert words in caught.value.detail


def test_a_new_column_is_noted_and_headers_may_be_written_otherwise() -> None:
    header = "断面 ,时间,锑（µg/L）,pH,状态,备注,锰(mg/L)\n"
    assert told("急水港桥,04-01 04:00,1,7,正常,,3\n", header=header) == [(1, 7, "noted", "sheet.column-unread")]


def test_a_workbook_reads_as_the_same_sheet_in_csv_does() -> None:
    headers = "".join(text(f"{letter}1", word) for letter, word in zip("ABCDE", HEADER.split(",")[:5], strict=True))
    row = (
        text("A2", "急水港桥") + cell("B2", "46113.166666666664", style=2) + cell("C2", "0.1", style=1)
        + cell("D2", "7.2999999999999998") + text("E2", "正常")
    )  # fmt: skip
    content = workbook(sheet_part(headers, row), formats=("0.00", "mm-dd hh:mm"))
    profile = parse_profile(WIDE.encode())
    found = list(read_sheet(read_grid(XLSX, content, profile), profile, Use(NOW)))
    assert found == read("急水港桥,04-01 04:00,0.10,7.3,正常,\n")[0]


def test_a_merged_or_uncomputed_cell_is_refused_and_not_taken_for_a_missing_value() -> None:
    headers = "".join(text(f"{letter}1", word) for letter, word in zip("ABCDE", HEADER.split(",")[:5], strict=True))
    rows = [text(f"A{n}", "急水港桥") + text(f"B{n}", f"04-0{n} 04:00") + (cell(f"C{n}", "1") if n == 2 else "")
            + cell(f"D{n}", formula="1+1") + text(f"E{n}", "正常") for n in (2, 3)]  # fmt: skip
    profile = parse_profile((WIDE.replace('"*": omit', '"*": omit, "": omit')).encode())
    found = list(read_sheet(read_grid(XLSX, workbook(sheet_part(headers, *rows, merged="C2:C3"))), profile, Use(NOW)))
    assert [one.code for one in found if isinstance(one, Finding)] == [
        "sheet.formula-uncomputed", "sheet.cell-merged", "sheet.formula-uncomputed",
    ]  # fmt: skip


LONG_HEADER = "企业名称,排污单位编号,排放口编号,监测时间,监测项目,监测结果,单位,检出限,监测方法,样品编号\n"


def test_enterprise_monitoring_is_a_value_a_row_with_unit_limit_and_method() -> None:
    profile = shipped_document_text("enterprise")
    rows = (
        "某印染厂,91320509MA1MABCD0X001P,DW001,2026-03-02 09:30,总锑,0.0002L,mg/L,0.0002,HJ 694-2014,S1\n"
        "某印染厂,91320509MA1MABCD0X001P,DW001,2026-03-02 09:30,总锑,未检出,μg/L,0.2,HJ 694-2014,S2\n"
        "某印染厂,91320509MA1MABCD0X001P,DW001,2026/3/2 9:30,化学需氧量,45,毫克/升,,HJ 828-2017,S1\n"
    )
    found, findings = read(rows, profile, header=LONG_HEADER)
    assert findings == []
    assert [(one.record.factor, one.record.value, one.record.q, one.record.unit) for one in found] == [  # type: ignore[union-attr]
        ("w20004", "0.0002", "<", "mg/L"),
        ("w20004", "0.2", "<", "ug/L"),
        ("w01018", "45", None, "mg/L"),
    ]
    first = found[0].record
    assert isinstance(first, Observation)
    assert (first.site, first.origin, first.stat, first.sample, first.method, first.detection) == (
        "91320509MA1MABCD0X001P-DW001", "lab", "sample", "S1", "HJ 694-2014", "0.0002",
    )  # fmt: skip


def test_a_mark_in_the_place_of_a_limit_is_no_limit_and_half_an_id_is_none() -> None:
    rows = (
        "厂,91320509MA1MABCD0X001P,DW001,2026-03-02 09:30,总锑,0.01,mg/L,/,HJ 694-2014,--\n"
        "厂,91320509MA1MABCD0X001P,,2026-03-02 09:30,总锑,0.01,mg/L,/,HJ 694-2014,--\n"
    )
    found, findings = read(rows, shipped_document_text("enterprise"), header=LONG_HEADER)
    record = found[0].record
    assert isinstance(record, Observation)
    assert (record.value, record.detection, record.sample) == ("0.01", "", "")
    assert [(one.row, one.column, one.code) for one in findings] == [(3, 2, "sheet.site-unknown")]


@pytest.mark.parametrize(
    ("item", "unit", "place", "code"),
    [
        ("不明物质", "mg/L", (2, 5), "sheet.item-unknown"),
        ("总锑", "", (2, 7), "sheet.unit-missing"),
        ("总锑", "勺/桶", (2, 7), "record.unit-unknown"),
    ],
)
def test_an_item_or_unit_that_nobody_knows_is_refused(item: str, unit: str, place: tuple[int, int], code: str) -> None:
    row = f"厂,91320509MA1MABCD0X001P,DW001,2026-03-02 09:30,{item},1,{unit},,HJ,S1\n"
    assert told(row, shipped_document_text("enterprise"), header=LONG_HEADER) == [(*place, "refused", code)]


def test_antimony_under_another_code_is_refused_in_a_row_too() -> None:
    profile = """\
profile: by-code
version: 1
layout: long
site: {column: 点位, read: id}
time: {column: 时间, forms: ["YYYY-MM-DD hh:mm"], hours: instant}
items: {item: 代码, name: 名称, value: 结果, unit: mg/L}
"""
    header = "点位,时间,代码,名称,结果\n"
    rows = "A,2026-01-01 00:00,w20004,锑,1\nA,2026-01-01 00:00,w20141,总锑,1\nA,2026-01-01 00:00,w21025,Sb,1\n"
    found, findings = read(rows, profile, header=header)
    assert [one.record.factor for one in found] == ["w20004"]  # type: ignore[union-attr]
    assert [(one.row, one.code) for one in findings] == [(3, "mapping.contradicts"), (4, "mapping.contradicts")]


def test_a_list_of_stations_becomes_sites() -> None:
    profile = """\
profile: stations
version: 1
kind: site
members:
  id: {column: 编号}
  name.zh: {column: 名称}
  type: {column: 类型, values: {自动站: water-station, 断面: section}}
  district: "320509"
  programmes: {column: 方案}
  position.x: {column: 经度}
  position.y: {column: 纬度}
  position.datum: CGCS2000
"""
    header = "编号,名称,类型,方案,经度,纬度\n"
    rows = "WJ-1,平望,自动站,water-auto、border,120.64,30.98\nWJ 2,芦墟,断面,,120.8,31.0\nWJ-3,金泽,浮标,,120.9,31.0\n"
    found, findings = read(rows, profile, header=header)
    site = found[0].record
    assert isinstance(site, Site)
    assert (site.id, site.name.zh, site.type, site.programmes) == (
        "WJ-1",
        "平望",
        "water-station",
        ("water-auto", "border"),
    )
    assert [(one.row, one.column, one.code) for one in findings] == [
        (3, 0, "record.identifier-invalid"),
        (4, 3, "sheet.text-unknown"),
    ]


def shipped_document_text(name: str) -> str:
    from schemas.sheets.profile import shipped_document

    return shipped_document(name).decode()


_CELLS = st.text(max_size=12) | st.sampled_from(["急水港桥", "04-01 04:00", "0.1", "--", "正常"])


@given(st.lists(st.lists(_CELLS, min_size=6, max_size=6), max_size=6))
def test_no_texts_in_the_cells_end_in_anything_but_records_and_findings(rows: list[list[str]]) -> None:
    profile = parse_profile(WIDE.encode())
    grid = read_grid(CSV, HEADER.encode(), profile)
    grid.rows += rows
    for one in read_sheet(grid, profile, Use(NOW)):
        assert isinstance(one, Found | Finding)
        assert 0 <= one.row <= len(grid.rows)


def test_every_code_that_a_sheet_can_end_in_has_advice_in_both_languages() -> None:
    folders = [Path(schemas.sheets.__file__).parent, Path(schemas.records.__file__).parent]
    root = Path(schemas.sheets.__file__).parents[2]
    sources = [*(path for folder in folders for path in folder.glob("*.py")), root / "gateway/ingest/door.py",
               root / "gateway/cli/check.py", root / "schemas/times.py", root / "schemas/units.py"]  # fmt: skip
    codes = {
        code for path in sources for code in re.findall(r'"((?:sheet|record|mapping)\.[a-z-]+)"', path.read_text())
    }
    assert len(codes) > 50
    assert codes - all_advice().keys() == set()
    for advice in all_advice().values():
        assert re.search("[一-鿿]", advice.problem_zh + advice.advice_zh)
        assert advice.problem_en
        assert advice.advice_en


@pytest.mark.parametrize("name", ["water-national", "air-hourly"])
def test_a_profile_of_the_package_reads_the_header_of_its_sheets_whatever_their_order(name: str) -> None:
    profile = shipped_profile(name)
    needed, may = profile.columns()
    grid = read_grid(CSV, ",".join(reversed([*needed, *may])).encode(), profile)
    assert list(read_sheet(grid, profile, Use(NOW))) == []

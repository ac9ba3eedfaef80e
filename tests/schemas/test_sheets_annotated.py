"""The same sheet back: everything that was in it, and beside the cells what is wrong and what to do."""

from __future__ import annotations

import csv
import io

import pytest
from openpyxl import Workbook, load_workbook

from schemas.sheets import CSV, XLSX, Finding, Use, annotated, parse_profile, read_grid
from schemas.sheets.annotated import COLUMN, Remark, annotated_csv, annotated_workbook, harmless
from schemas.sheets.reading import read_sheet

REMARKS = [
    Remark(0, 0, "noted", "sheet.encoding-found", "the file is GB18030"),
    Remark(3, 2, "refused", "sheet.value-unread", "'一' is not a value", "一"),
    Remark(3, 0, "noted", "sheet.row-empty", "neither a time nor a value"),
]
SHEET = "断面,锑(mg/L)\r\n急水港桥,0.10\r\n平望,一\r\n".encode("gbk")


def test_a_csv_sheet_comes_back_with_a_column_of_reasons() -> None:
    back = annotated_csv(read_grid(CSV, SHEET), REMARKS)
    rows = list(csv.reader(io.StringIO(back.decode("utf-8-sig"), newline="")))
    assert [row[:2] for row in rows] == [["断面", "锑(mg/L)"], ["急水港桥", "0.10"], ["平望", "一"]]
    assert [row[2] for row in rows[:2]] == [COLUMN, ""]
    for words in ("【锑(mg/L)】", "“一”", "数值无法识别", "请只写数字", "is not a value", "sheet.value-unread"):
        assert words in rows[2][2]
    assert "sheet.row-empty" in rows[2][2], "what concerns the row stands there too"


@pytest.mark.parametrize(
    ("cell_text", "written"),
    [("=1+1", "'=1+1"), ("+86 512", "'+86 512"), ("-x", "'-x"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
     ("-0.5", "-0.5"), ("--", "--"), ("-", "-"), ("0.1", "0.1"), ("a=b", "a=b")],
)  # fmt: skip
def test_a_cell_that_a_spreadsheet_would_run_is_put_behind_an_apostrophe(cell_text: str, written: str) -> None:
    assert harmless(cell_text) == written
    grid = read_grid(CSV, b"a\n" + f'"{cell_text}"\n'.encode())
    assert list(csv.reader(io.StringIO(annotated_csv(grid, []).decode("utf-8-sig"), newline="")))[1][0] == written


def kept_by_a_laboratory() -> bytes:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "数据"
    for row in (["断面", "锑(mg/L)"], ["急水港桥", 0.1], ["平望", "一"], ["=1+1"]):
        sheet.append(row)
    sheet["B2"].number_format = "0.00"
    book.create_sheet("说明")
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_workbook_comes_back_as_it_was_with_cells_coloured_and_commented() -> None:
    content = kept_by_a_laboratory()
    back = load_workbook(io.BytesIO(annotated_workbook(content, read_grid(XLSX, content), REMARKS)))
    assert back.sheetnames == ["数据", "说明"]
    sheet = back["数据"]
    assert (sheet["B2"].value, sheet["B2"].number_format, sheet["A4"].value) == (0.1, "0.00", "=1+1")
    assert sheet["B3"].fill.fgColor.rgb == "FFFFC7CE"
    assert sheet["B3"].comment is not None
    assert "请只写数字" in sheet["B3"].comment.text
    assert sheet["B2"].comment is None
    assert (sheet["C1"].value, sheet["C2"].value) == (COLUMN, None)
    assert "sheet.row-empty" in sheet["C3"].value


def test_a_csv_sheet_may_come_back_as_a_workbook_in_which_nothing_runs() -> None:
    grid = read_grid(CSV, b"a,b\n=1+1,x\x01y\n")
    back = load_workbook(io.BytesIO(annotated_workbook(None, grid, [Remark(2, 1, "held", "sheet.formula", "x")])))
    sheet = back.active
    assert sheet is not None
    assert (sheet["A2"].value, sheet["A2"].data_type) == ("=1+1", "s")
    assert sheet["B2"].value == "x\N{REPLACEMENT CHARACTER}y"
    assert sheet["A2"].fill.fgColor.rgb == "FFFFEB9C"
    assert "sheet.formula" in str(sheet["C2"].value)


def test_a_workbook_too_large_to_be_opened_again_comes_back_as_its_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    content = kept_by_a_laboratory()
    grid = read_grid(XLSX, content)
    monkeypatch.setattr(annotated, "MAX_KEPT", 1_000)
    back = load_workbook(io.BytesIO(annotated_workbook(content, grid, REMARKS)))
    assert back.sheetnames == ["数据"]
    assert back["数据"]["B2"].value == "0.10"


def test_a_workbook_that_cannot_be_opened_again_comes_back_as_its_texts() -> None:
    grid = read_grid(CSV, SHEET)
    back = load_workbook(io.BytesIO(annotated_workbook(b"PK no workbook", grid, REMARKS)))
    assert [row[:2] for row in back.worksheets[0].iter_rows(values_only=True)] == [
        ("断面", "锑(mg/L)"), ("急水港桥", "0.10"), ("平望", "一"),
    ]  # fmt: skip


def test_what_comes_back_can_be_corrected_and_handed_in_again() -> None:
    document = """\
profile: own
version: 1
site: {column: 断面, read: id}
time: {column: 时间, forms: ["YYYY-MM-DD hh:mm"], hours: instant}
factors: {锑(mg/L): {factor: w20004, unit: mg/L}}
"""
    profile = parse_profile(document.encode())
    sheet = "断面,时间,锑(mg/L)\nA-1,2026-01-01 00:00,一\n".encode()
    findings = [one for one in read_sheet(read_grid(CSV, sheet), profile, Use(2**41)) if isinstance(one, Finding)]
    remarks = [Remark(one.row, one.column, one.verdict, one.code, one.detail, one.text) for one in findings]
    back = annotated_csv(read_grid(CSV, sheet), remarks).replace("一,".encode(), b"0.10,")
    again = list(read_sheet(read_grid(CSV, back, profile), profile, Use(2**41)))
    assert [getattr(one, "code", "read") for one in again] == ["sheet.encoding-found", "read"]

"""CSV files and workbooks as grids of texts: what is shown is what is read, and hostile files end in our own errors."""

from __future__ import annotations

import io
import random
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import LimitError, SharingError
from schemas.sheets import CSV, XLSX, SheetError, place, read_grid, read_place
from schemas.sheets import grid as grid_module
from schemas.sheets.comma import read_csv
from schemas.sheets.grid import column_number, letters, plain
from schemas.sheets.shown import shown
from schemas.sheets.workbook import read_workbook
from tests.schemas.workbooks import cell, sheet_part, text, workbook

HEADERS = "断面名称,溶解氧(mg/L)\r\n急水港桥,0.10\r\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (HEADERS.encode(), None),
        (HEADERS.encode("utf-8-sig"), "sheet.encoding-found"),
        (HEADERS.encode("gbk"), "sheet.encoding-found"),
        (HEADERS.encode("gb18030"), "sheet.encoding-found"),
        (HEADERS.encode("utf-16"), "sheet.encoding-found"),
        (HEADERS.replace(",", ";").encode(), "sheet.delimiter"),
        (HEADERS.replace(",", "\t").encode(), "sheet.delimiter"),
        (HEADERS.replace("\r\n", "\n").encode(), None),
        ('"断面名称","溶解氧(mg/L)"\n"急水港桥","0.10"'.encode(), None),
    ],
    ids=["utf-8", "bom", "gbk", "gb18030", "utf-16", "semicolon", "tab", "lf", "quoted"],
)
def test_a_csv_file_gives_its_texts_in_whatever_encoding_and_says_which(content: bytes, note: str | None) -> None:
    grid = read_csv(content)
    assert grid.rows == [["断面名称", "溶解氧(mg/L)"], ["急水港桥", "0.10"]]
    assert [one.code for one in grid.notes] == ([note] if note else [])


def test_quotes_hold_delimiters_line_ends_and_quotes() -> None:
    assert read_csv(b'a,b\n"1,2\n3","say ""x"""\n').rows[1] == ["1,2\n3", 'say "x"']


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a,b\n\x00,1\n", "sheet.nul"),
        (b"a,b\n\xff\xff,1\n", "sheet.encoding"),
        (b'a,b\n"open,1\n', "sheet.quotes"),
        (b'a,b\n"x"y,1\n', "sheet.quotes"),
        (b"a,b\n" + b"x" * 40_000 + b",1\n", "sheet.cell-too-long"),
        (b"," * 2_000, "sheet.too-large"),
    ],
)
def test_a_csv_file_that_is_none_is_refused_with_its_code(content: bytes, code: str) -> None:
    with pytest.raises(SharingError) as caught:
        read_csv(content)
    assert caught.value.code == code


def test_more_rows_cells_or_bytes_than_agreed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "MAX_ROWS", 3)
    monkeypatch.setattr(grid_module, "MAX_CELLS", 8)
    assert len(read_csv(b"a\nb\nc\n").rows) == 3
    for content in (b"a\nb\nc\nd\n", b"a,b,c\n" * 3):
        with pytest.raises(LimitError):
            read_csv(content)


@pytest.mark.parametrize(
    ("raw", "number_format", "read"),
    [
        ("0.1", "General", "0.1"),
        ("0.1", "0.00", "0.10"),
        ("0.30000000000000004", "General", "0.3"),  # what 0.1+0.2 is stored as
        ("0.30000000000000004", "0.00", "0.30"),
        ("7.2999999999999998", "0.0", "7.3"),
        ("7", "0.0", "7.0"),
        ("1234.5", "#,##0.00", "1234.50"),
        ("-3", "0.0;[Red]-0.0", "-3.0"),
        ("1E-4", "General", "0.0001"),
        ("1.2E-3", "0.00E+00", "0.00120"),
        ("120000000", "General", "120000000"),
        ("0.125", "0.0%", "12.5%"),
        ("46113", "yyyy-mm-dd", "2026-04-01"),
        ("46113.166666666664", "yyyy/m/d h:mm", "2026-04-01 04:00"),
        ("46113.16666666666", 'm"月"d"日" h:mm', "2026-04-01 04:00"),
        ("46113", "yyyy-mm-dd hh:mm", "2026-04-01 00:00"),
        ("0.1666666666666", "h:mm", "04:00"),
    ],
)
def test_a_stored_number_is_the_text_that_the_cell_shows(raw: str, number_format: str, read: str) -> None:
    assert shown(raw, number_format)._replace(hidden=False) == (read, "", False)


@pytest.mark.parametrize(
    "number_format",
    ['"<"0.000', '0.00"mg/L"', "0.00,", "[<0.005]0.000;0.00", '0.00;-0.00;"ND"', "# ?/?"],
)
def test_a_format_that_shows_something_else_than_the_number_is_a_fault(number_format: str) -> None:
    assert shown("0", number_format).fault


def test_digits_that_a_format_hides_are_kept_and_told() -> None:
    assert shown("0.125", "0.00") == ("0.125", "", True)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-9, max_value=1e12))
def test_no_double_is_read_with_the_digits_of_its_spelling(number: float) -> None:
    read = shown(repr(number), "General").text
    assert len(read.replace(".", "").strip("0")) <= 15
    assert float(read) == pytest.approx(number, rel=1e-14)


def one_sheet(*rows: str, **options: object) -> bytes:
    return workbook(sheet_part(*rows), **options)  # type: ignore[arg-type]


def test_a_workbook_gives_the_texts_it_shows() -> None:
    content = one_sheet(
        text("A1", "断面") + text("C1", "锑"),
        text("A2", "急水港桥") + cell("B2", "1", kind="b") + cell("C2", "0.1", style=1),
        "",
        cell("A4", "46113.5", style=2),
        formats=("0.00", "yyyy-mm-dd h:mm"),
    )
    grid = read_workbook(content)
    assert grid.rows == [["断面", "", "锑"], ["急水港桥", "TRUE", "0.10"], [], ["2026-04-01 12:00"]]
    assert (grid.name, grid.faults, grid.notes) == ("Sheet1", {}, [])


def test_dates_of_a_1904_workbook_are_counted_from_there() -> None:
    content = one_sheet(cell("A1", "44651", style=1), formats=("yyyy-mm-dd",), date1904=True)
    assert read_workbook(content).rows == [["2026-04-01"]]


def test_cells_that_are_not_what_they_seem_are_faults_of_their_own() -> None:
    content = one_sheet(
        cell("A1", "#N/A", kind="e") + cell("B1", "2.5", formula="1+1.5") + cell("C1", formula="1+1"),
        text("A2", "x"),
        "",
        cell("A4", "0.1234", style=1) + cell("B4", "0.05", style=2),
        formats=("0.00", '"<"0.00'),
    )
    grid = read_workbook(content)
    assert {where: fault.code for where, fault in grid.faults.items()} == {
        (1, 1): "sheet.cell-error", (1, 3): "sheet.formula-uncomputed", (4, 2): "sheet.number-format",
    }  # fmt: skip
    assert {where: remark.code for where, remark in grid.remarks.items()} == {
        (1, 2): "sheet.formula", (4, 1): "sheet.digits-hidden",
    }  # fmt: skip


def test_the_empty_cells_of_a_merged_range_are_no_missing_values() -> None:
    grid = read_workbook(workbook(sheet_part(text("A1", "a"), text("A2", "b"), text("A3", "c"), merged="A2:B3")))
    assert {where: fault.code for where, fault in grid.faults.items()} == {
        (2, 2): "sheet.cell-merged", (3, 1): "sheet.cell-merged", (3, 2): "sheet.cell-merged",
    }  # fmt: skip


def test_the_first_visible_sheet_is_read_unless_one_is_named() -> None:
    content = workbook(
        sheet_part(text("A1", "old")), sheet_part(text("A1", "new")), names=("旧", "新"), hidden=("旧",)
    )  # fmt: skip
    assert read_workbook(content).rows == [["new"]]
    assert [note.code for note in read_workbook(content).notes] == ["sheet.others-unread"]
    assert read_workbook(content, sheet="旧").rows == [["old"]]
    with pytest.raises(SheetError) as caught:
        read_workbook(content, sheet="无")
    assert caught.value.code == "sheet.worksheet-missing"


def packed(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return out.getvalue()


ROW = text("A1", "x")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04 not really", "sheet.not-xlsx"),
        (packed(hello=b"world"), "sheet.not-xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "sheet.old-excel"),
        (one_sheet(ROW, more={"xl/vbaProject.bin": b"x"}), "sheet.macros"),
        (workbook("<!DOCTYPE x [<!ENTITY a 'b'>]><worksheet/>"), "sheet.not-xlsx"),
        (workbook("<worksheet><sheetData><row r='1'>"), "sheet.not-xlsx"),
        (one_sheet(cell("A1", "9", kind="s")), "sheet.not-xlsx"),
        (one_sheet(cell("A1", "9", style=77)), "sheet.not-xlsx"),
        (one_sheet(cell("B2", "9")), "sheet.not-xlsx"),
        (one_sheet(cell("B1", "9") + cell("A1", "9")), "sheet.not-xlsx"),
        (one_sheet(cell("ZZZ1", "9")), "sheet.too-large"),
        (one_sheet(ROW, more={"xl/media/bomb": b"\0" * 4_000_000}), "sheet.too-large"),
        (workbook("<worksheet><row>" + "<c/>" * 210_000 + "</row></worksheet>"), "sheet.too-large"),
        (workbook("<worksheet>" + "<x/>" * 210_000 + "</worksheet>"), "sheet.too-large"),
        (one_sheet(ROW, more={f"xl/{n}": b"" for n in range(2_100)}), "sheet.too-large"),
    ],
    ids=["torn", "other zip", "old excel", "macros", "entities", "cut xml", "no text", "no style", "wrong row",
         "wrong order", "far column", "bomb", "cells", "elements", "parts"],
)  # fmt: skip
def test_a_workbook_that_is_not_sound_or_not_safe_is_refused_with_its_code(content: bytes, code: str) -> None:
    with pytest.raises(SharingError) as caught:
        read_workbook(content)
    assert caught.value.code == code


def test_a_part_gives_no_more_than_the_directory_was_checked_for() -> None:
    content = bytearray(workbook("<worksheet>" + " " * 100_000 + "</worksheet>"))
    start = content.index(b"xl/worksheets/sheet1.xml", content.index(b"PK\x01\x02")) - 46
    content[start + 24 : start + 28] = (50).to_bytes(4, "little")  # says that it unpacks to 50 bytes
    with pytest.raises(SheetError) as caught:
        read_workbook(bytes(content))
    assert caught.value.code == "sheet.not-xlsx"


def test_links_to_other_files_are_noted_and_not_followed() -> None:
    content = one_sheet(ROW, more={"xl/externalLinks/externalLink1.xml": b"<x/>"})
    assert [note.code for note in read_workbook(content).notes] == ["sheet.links-ignored"]


SOUND = {
    XLSX: one_sheet(
        text("A1", "断面") + text("B1", "锑(mg/L)"),
        text("A2", "急水港桥") + cell("B2", "0.1", style=1),
        cell("A3", "46113.5", style=2) + cell("B3", "2", formula="1+1"),
        formats=("0.00", "yyyy-mm-dd h:mm"),
    ),
    CSV: HEADERS.encode("gbk"),
}


@settings(max_examples=400)
@given(st.sampled_from(list(SOUND)), st.integers(0, 2**32))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(media_type: str, seed: int) -> None:
    dice = random.Random(seed)
    content = bytearray(SOUND[media_type])
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(content))
        choice = dice.random()
        if choice < 0.6:
            content[at] = dice.randrange(256)
        elif choice < 0.8:
            del content[at : at + dice.randint(1, 40)]
        else:
            content[at:at] = dice.randbytes(dice.randint(1, 40))
        if not content:
            break
    with suppress(SharingError):  # anything else fails the test
        read_grid(media_type, bytes(content))


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_a_worksheet_of_damaged_xml_in_a_sound_archive_is_read_or_refused(seed: int) -> None:
    dice = random.Random(seed)
    part = bytearray(sheet_part(text("A1", "a") + cell("B1", "0.1", style=1), merged="A1:B2").encode())
    for _ in range(dice.randint(1, 5)):
        part[dice.randrange(len(part))] = dice.choice(b"<>/\"'&;0123456789ABZabz= \x00\xff")
    with suppress(SharingError):  # anything else fails the test
        read_workbook(workbook(bytes(part), formats=("0.00",)))  # type: ignore[arg-type]


@given(st.integers(1, 16_384), st.integers(0, 16_384))
def test_a_place_is_read_back_as_it_was_written(row: int, column: int) -> None:
    assert read_place(place(row, column)) == (row, column)
    assert column_number(letters(column)) == column


def test_places_of_other_reports_are_none_and_the_sheet_is_row_0() -> None:
    assert [read_place(one) for one in ("line 12", "packet 1, w20004", "sheet", "row 1, column c")] == [
        None, None, (0, 0), None,
    ]  # fmt: skip


def test_headers_meet_in_one_form() -> None:
    assert plain("PM₂.₅") == "PM2.5"
    assert plain("溶解氧（mg/L）\n") == plain(" 溶解氧(mg/L)")
    assert plain("µg/L") == plain("μg/L") == "ug/L"

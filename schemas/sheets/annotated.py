"""The same sheet back, with what is wrong beside the cells: CSV → CSV, XLSX → XLSX, or CSV → XLSX.

A column `问题 / Problem` is added at the end; in a workbook the cells are coloured and carry the words as a comment
too. Nothing else is changed: the workbook is the one that came, formulas, formats and other sheets included, unless
it is larger than a person corrects by hand or cannot be opened again; then its cells are copied as texts. In CSV, text
that a spreadsheet would run as a formula is put behind an apostrophe.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.sheets.advice import advice_on
from schemas.sheets.grid import MAX_CELL, Grid

if TYPE_CHECKING:  # it takes a third of a second to import, and most sheets are right
    from openpyxl.workbook.workbook import Workbook

COLUMN = "问题 / Problem"
MAX_KEPT = 16 * 1024 * 1024  # bytes unpacked of a workbook that is given back as it came; open it takes twenty-fold
_COLOURS = {"refused": "FFFFC7CE", "held": "FFFFEB9C", "revised": "FFDDEBF7", "noted": "FFDDEBF7"}
_HARMLESS = re.compile(r"-?\d+(?:\.\d+)?%?|-+", re.ASCII)
_RUNS = ("=", "+", "-", "@", "\t", "\r")
_COMMENT = 1_000  # characters; more than a person reads in a bubble
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ORDER = ("refused", "held", "revised", "noted")


@dataclass(frozen=True)
class Remark:
    """One problem of a report, where it stands: row 0 is the whole sheet, column 0 the whole row."""

    row: int
    column: int
    verdict: str
    code: str
    detail: str
    text: str = ""

    def words(self, field: str = "") -> str:
        """Field, rule, offending text and what to do, in Chinese and English, in one line."""
        advice = advice_on(self.code)
        where = f"【{field}】" if field else ""
        said = f"“{self.text[:60]}” " if self.text else ""
        return (
            f"{where}{said}{advice.problem_zh}：{advice.advice_zh} / {advice.problem_en}: {self.detail}. "
            f"{advice.advice_en} ({self.code})"
        )


def annotated_csv(grid: Grid, remarks: Iterable[Remark], *, header: int = 1) -> bytes:
    """The rows of `grid` with their remarks in a last column; UTF-8 with a byte order mark, which Excel needs."""
    words = _words(grid, remarks, header)
    width = _width(grid)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for number, row in enumerate(grid.rows, 1):
        cells = [*row, *[""] * (width - len(row)), COLUMN if number == header else words.get(number, "")]
        writer.writerow([harmless(cell) for cell in cells])
    return out.getvalue().encode("utf-8-sig", "replace")


def annotated_workbook(content: bytes | None, grid: Grid, remarks: Iterable[Remark], *, header: int = 1) -> bytes:
    """The workbook `content` with its remarks, or a new one of the cells of `grid` where there is none to keep."""
    listed = list(remarks)
    words = _words(grid, listed, header)
    book = _reopened(content) if content is not None else None
    if book is None or grid.name not in book.sheetnames:
        book = _copied(grid, listed, words, header)
    else:
        _annotate(book[grid.name], grid, listed, words, header)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def harmless(text: str) -> str:
    """`text` so that no spreadsheet runs it: behind an apostrophe if it begins as a formula does. Numbers stay."""
    return f"'{text}" if text.startswith(_RUNS) and not _HARMLESS.fullmatch(text) else text


def _words(grid: Grid, remarks: Iterable[Remark], header: int) -> dict[int, str]:
    """What is said in each row's last cell. What concerns the whole sheet is said beside the header's own row."""
    by_row: dict[int, list[str]] = defaultdict(list)
    for one in remarks:
        if 0 < one.row <= len(grid.rows) and one.row != header:
            by_row[one.row].append(one.words(_field(grid, one.column, header)))
    return {row: "\n".join(said)[:MAX_CELL] for row, said in by_row.items()}


def _field(grid: Grid, column: int, header: int) -> str:
    return grid.cell(header, column).strip() if column and header <= len(grid.rows) else ""


def _width(grid: Grid) -> int:
    return max((len(row) for row in grid.rows), default=0)


def _reopened(content: bytes) -> Workbook | None:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            if sum(part.file_size for part in package.infolist()) > MAX_KEPT:
                return None
        return load_workbook(io.BytesIO(content), keep_links=False)
    except Exception:  # noqa: BLE001 - whatever a library says of a stranger's file: its cells are copied then
        return None


def _annotate(sheet: Any, grid: Grid, remarks: Sequence[Remark], words: Mapping[int, str], header: int) -> None:
    from openpyxl.comments import Comment
    from openpyxl.styles import PatternFill

    fills = {verdict: PatternFill("solid", fgColor=colour) for verdict, colour in _COLOURS.items()}
    last = max(_width(grid), sheet.max_column) + 1
    for (row, column), (verdict, said) in _by_cell(grid, remarks, header).items():
        cell = sheet.cell(row, column)
        cell.fill = fills[verdict]
        if type(cell).__name__ != "MergedCell":
            cell.comment = Comment(_legal(said)[:_COMMENT], "Taipu", width=420, height=160)
    _put(sheet.cell(header, last), COLUMN)
    for row, said in words.items():
        _put(sheet.cell(row, last), said)
    sheet.column_dimensions[sheet.cell(header, last).column_letter].width = 80


def _by_cell(grid: Grid, remarks: Sequence[Remark], header: int) -> dict[tuple[int, int], tuple[str, str]]:
    """The gravest verdict on each cell and everything said of it; a remark on a row or sheet has no cell of its own."""
    said: dict[tuple[int, int], list[Remark]] = defaultdict(list)
    for one in remarks:
        if one.column and 0 < one.row <= len(grid.rows):
            said[one.row, one.column].append(one)
    return {
        place: (
            min((one.verdict for one in ones), key=_ORDER.index),
            "\n".join(one.words(_field(grid, one.column, header)) for one in ones),
        )
        for place, ones in said.items()
    }


def _copied(grid: Grid, remarks: Sequence[Remark], words: Mapping[int, str], header: int) -> Workbook:
    """A new workbook of the texts of `grid`: the cells coloured, the words in the last column."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import PatternFill

    book = Workbook(write_only=True)
    sheet = book.create_sheet(re.sub(r"[\\/*?:\[\]]", "_", grid.name)[:31] or "data")
    fills = {verdict: PatternFill("solid", fgColor=colour) for verdict, colour in _COLOURS.items()}
    marked = _by_cell(grid, remarks, header)
    width = _width(grid)
    for number, row in enumerate(grid.rows, 1):
        texts = [*row, *[""] * (width - len(row)), COLUMN if number == header else words.get(number, "")]
        cells = []
        for column, text in enumerate(texts, 1):
            cell = WriteOnlyCell(sheet)
            _put(cell, text)
            if (number, column) in marked:
                cell.fill = fills[marked[number, column][0]]
            cells.append(cell)
        sheet.append(cells)
    return book


def _put(cell: Any, text: str) -> None:
    """`text` as text: openpyxl would make a formula of one that begins with `=`."""
    cell.value = _legal(text)[:MAX_CELL]
    if cell.value:
        cell.data_type = "s"


def _legal(text: str) -> str:
    """`text` without what XML cannot hold."""
    return _CONTROL.sub("�", text.encode("utf-8", "replace").decode())

"""XLSX (ISO/IEC 29500): bytes → grid, straight from the parts of the package.

The parts are read here rather than through a library since a library gives floats: the digits of a value would be
those of a double's spelling. Only what holds texts is opened, and never more of it than the directory of the archive
was checked for. Links to other files are not followed, macros and entities refused.

- A formula gives the value that was last computed, with a remark; one that was never computed is a fault of its cell.
- Of merged cells the first has the value; the others say so, since an empty cell would mean "not measured".
- Hidden sheets are not read unless named; what was left unread is a note.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from schemas.errors import LimitError
from schemas.sheets.grid import (
    MAX_BYTES,
    MAX_CELL,
    MAX_COLUMNS,
    MAX_ROWS,
    Grid,
    Note,
    SheetError,
    check_size,
    column_number,
)
from schemas.sheets.shown import shown

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_PARTS = 2_000  # of one package
MAX_UNPACKED = 256 * 1024 * 1024  # bytes of all parts together; four million cells need some 160 MiB
MAX_BETWEEN = 200_000  # elements; a row of a thousand cells has some five thousand
MAX_RATIO = 200  # unpacked to packed, of a part above a mebibyte; sheets of numbers stay below 50
MAX_SMALL = 32 * 1024 * 1024  # bytes of one part that is held whole: texts, styles, relations
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an .xls of before 2007, or an .xlsx with a password
_CHUNK = 65_536
_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})", re.ASCII)
_BUILTIN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm",
    21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 41: "#,##0",
    42: "#,##0", 43: "#,##0.00", 44: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss", 48: "0.0E+0", 49: "@",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((32, 33, 34, 35, 55, 56), "h:mm"),
}  # fmt: skip
"""Number formats that a workbook names by number alone (ECMA-376 18.8.30), the East Asian ones among them."""


def read_workbook(content: bytes, *, sheet: str = "") -> Grid:
    """The cells of one worksheet: the one named `sheet`, or the first that is not hidden.

    Raises:
        LimitError: `sheet.too-large`, also of what the archive would unpack to.
        SheetError: `sheet.not-xlsx`, `sheet.old-excel`, `sheet.macros`, `sheet.encrypted`, `sheet.worksheet-missing`.
    """
    if len(content) > MAX_BYTES:
        raise LimitError(f"a sheet has at most {MAX_BYTES} bytes", code="sheet.too-large")
    if content.startswith(_OLE):
        message = "this is an .xls of before 2007, or a workbook with a password"
        raise SheetError(message, code="sheet.old-excel")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            return _read(package, sheet)
    except _DAMAGE as error:
        raise SheetError("the file is not a sound .xlsx workbook", code="sheet.not-xlsx") from error


_DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, ParseError, KeyError, ValueError, IndexError, EOFError,
    NotImplementedError, OSError, UnicodeDecodeError, LookupError, RecursionError,
)  # fmt: skip
"""What the standard library says of an archive or XML that is not what it claims to be."""


def _read(package: zipfile.ZipFile, wanted: str) -> Grid:
    _check_package(package)
    book = _book(package)
    names = [one.name for one in book.sheets]
    visible = [one for one in book.sheets if one.visible]
    found = next((one for one in (book.sheets if wanted else visible) if not wanted or one.name == wanted), None)
    if found is None:
        message = f"there is no worksheet {wanted!r}, only {', '.join(names[:20])}" if wanted else "no sheet is visible"
        raise SheetError(message, code="sheet.worksheet-missing")
    notes = [Note("sheet.others-unread", f"the worksheet {found.name!r} was read")] if len(names) > 1 else []
    if any(part.startswith("xl/externalLinks/") for part in package.namelist()):
        notes.append(Note("sheet.links-ignored", "links to other files were not followed"))
    return _Worksheet(package, book, Grid([], found.name, notes=notes)).read(found.part)


def _check_package(package: zipfile.ZipFile) -> None:
    """What the directory of the archive says, before anything is unpacked; no part can give more than it says."""
    parts = package.infolist()
    if len(parts) > MAX_PARTS or sum(one.file_size for one in parts) > MAX_UNPACKED:
        raise LimitError("the workbook unpacks to more than we agree to read", code="sheet.too-large")
    for one in parts:
        if one.flag_bits & 1:
            raise SheetError("the workbook is encrypted", code="sheet.encrypted")
        if one.file_size > 1024 * 1024 and one.file_size > MAX_RATIO * max(one.compress_size, 1):
            raise LimitError("a part of the workbook is packed too tightly to be a sheet", code="sheet.too-large")
        if one.filename.lower().endswith(("vbaproject.bin", "/macrosheets/sheet1.xml")):
            raise SheetError("the workbook holds macros", code="sheet.macros")


@dataclass(frozen=True)
class _Listed:
    """One worksheet as the workbook lists it."""

    name: str
    part: str
    visible: bool


@dataclass
class _Book:
    """What all worksheets of a workbook share."""

    sheets: list[_Listed] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    from_1904: bool = False


def _book(package: zipfile.ZipFile) -> _Book:
    targets = {
        one.get("Id", ""): _part(one.get("Target", ""))
        for one in _elements(package, "xl/_rels/workbook.xml.rels", "Relationship")
    }
    book = _Book()
    for one in _elements(package, "xl/workbook.xml", "sheet", "workbookPr"):
        if _tag(one) == "workbookPr":
            book.from_1904 = one.get("date1904") in ("1", "true")
            continue
        relation = next((value for name, value in one.items() if name.endswith("}id")), "")
        if relation in targets and targets[relation].startswith("xl/worksheets/"):  # a chart sheet has no cells
            book.sheets.append(
                _Listed(one.get("name", ""), targets[relation], one.get("state", "visible") == "visible")
            )
    parts = package.namelist()
    if "xl/sharedStrings.xml" in parts:
        book.texts = [_text(one) for one in _elements(package, "xl/sharedStrings.xml", "si")]
    if "xl/styles.xml" in parts:
        book.formats = _formats(package)
    return book


def _part(target: str) -> str:
    return target[1:] if target.startswith("/") else f"xl/{target}"


def _formats(package: zipfile.ZipFile) -> list[str]:
    """The number format of each cell style, by its index."""
    own: dict[str, str] = {}
    formats: list[str] = []
    for one in _elements(package, "xl/styles.xml", "numFmt", "cellXfs"):
        if _tag(one) == "numFmt":
            own[one.get("numFmtId", "")] = one.get("formatCode", "")[:256]
        else:
            for style in one:
                number = style.get("numFmtId", "0")
                formats.append(own.get(number) or _BUILTIN.get(int(number), "General"))
    return formats


class _Worksheet:
    """One pass over a worksheet's part, filling its grid."""

    def __init__(self, package: zipfile.ZipFile, book: _Book, grid: Grid) -> None:
        self._package = package
        self._book = book
        self._grid = grid
        self._cells = 0

    def read(self, part: str) -> Grid:
        with self._package.open(part) as file:
            for element in _stream(file, ("row", "mergeCell")):
                if _tag(element) == "row":
                    self._row(element)
                else:
                    self._merge(element.get("ref", ""))
        return self._grid

    def _row(self, element: Element) -> None:
        rows = self._grid.rows
        number = int(element.get("r") or len(rows) + 1)
        if not len(rows) < number <= MAX_ROWS:
            raise SheetError("the rows of the worksheet are not in order", code="sheet.not-xlsx")
        while len(rows) < number - 1:
            rows.append([])
        row: list[str] = []
        rows.append(row)
        for cell in element:
            if _tag(cell) != "c":
                continue
            column = self._column(cell, number, len(row))
            while len(row) < column - 1:
                row.append("")
            row.append(self._cell(cell, number, column))
        self._cells += len(row)
        check_size(number, len(row), self._cells)

    def _column(self, cell: Element, row: int, before: int) -> int:
        reference = cell.get("r")
        if reference is None:
            return before + 1
        match = _REFERENCE.fullmatch(reference)
        if match is None or int(match[2]) != row or column_number(match[1]) <= before:
            raise SheetError("the cells of the worksheet are not in order", code="sheet.not-xlsx")
        column = column_number(match[1])
        check_size(row, column, self._cells)
        return column

    def _cell(self, cell: Element, row: int, column: int) -> str:
        kind = cell.get("t", "n")
        raw = next((one.text or "" for one in cell if _tag(one) == "v"), "")
        formula = any(_tag(one) == "f" for one in cell)
        if formula:
            self._formula(row, column, computed=bool(raw) or kind == "str")
        match kind:
            case "s":
                text = self._book.texts[_index(raw, len(self._book.texts))]
            case "inlineStr":
                text = "".join(_text(one) for one in cell if _tag(one) == "is")
            case "e":
                self._grid.faults[row, column] = Note("sheet.cell-error", f"the cell shows the error {raw[:20]}")
                text = raw
            case "b":
                text = "TRUE" if raw == "1" else "FALSE"
            case "n":
                text = self._number(cell, raw, row, column) if raw else ""
            case _:
                text = raw
        if len(text) > MAX_CELL:
            raise SheetError(f"a cell holds at most {MAX_CELL} characters", code="sheet.cell-too-long")
        return text

    def _formula(self, row: int, column: int, *, computed: bool) -> None:
        if computed:
            self._grid.remarks[row, column] = Note("sheet.formula", "the value is what a formula last gave")
        else:
            self._grid.faults[row, column] = Note("sheet.formula-uncomputed", "the formula here was never computed")

    def _number(self, cell: Element, raw: str, row: int, column: int) -> str:
        formats = self._book.formats
        style = cell.get("s")
        number_format = formats[_index(style, len(formats))] if style and formats else "General"
        found = shown(raw, number_format, from_1904=self._book.from_1904)
        if found.fault:
            self._grid.faults[row, column] = Note("sheet.number-format", found.fault)
        elif found.hidden:
            self._grid.remarks[row, column] = Note("sheet.digits-hidden", "the cell holds more digits than it shows")
        return found.text

    def _merge(self, reference: str) -> None:
        """Every cell of a merged range but the first is a fault: nobody wrote anything there, yet it is not empty."""
        start, _, end = reference.partition(":")
        first, last = _REFERENCE.fullmatch(start), _REFERENCE.fullmatch(end)
        if first is None or last is None:
            return
        rows = range(int(first[2]), min(int(last[2]), len(self._grid.rows)) + 1)
        columns = range(column_number(first[1]), min(column_number(last[1]), MAX_COLUMNS) + 1)
        self._cells += len(rows) * len(columns)
        check_size(0, 0, self._cells)
        for row in rows:
            for column in columns:
                if (row, column) != (rows[0], columns[0]):
                    self._grid.faults[row, column] = Note("sheet.cell-merged", f"the cell is merged into {start}")


def _index(text: str, length: int) -> int:
    index = int(text)
    if not 0 <= index < length:
        raise IndexError(text)
    return index


def _text(element: Element) -> str:
    """The text of a rich or plain string, without the phonetic hints beside it."""
    if _tag(element) in ("rPh", "phoneticPr"):
        return ""
    own = (element.text or "") if _tag(element) == "t" else ""
    return own + "".join(_text(child) for child in element)


def _elements(package: zipfile.ZipFile, part: str, *tags: str) -> Iterator[Element]:
    if package.getinfo(part).file_size > MAX_SMALL:
        raise LimitError(f"{part} is larger than {MAX_SMALL} bytes", code="sheet.too-large")
    with package.open(part) as file:
        yield from _stream(file, tags)


def _stream(file: IO[bytes], tags: tuple[str, ...]) -> Iterator[Element]:
    """The elements with these local names, each once it is complete; what was handed out is let go of afterwards.

    A document type is refused, since it makes entities. Were elements between those handed out not counted, a part of
    a few hundred kilobytes could fill the memory with them.
    """
    parser: XMLPullParser[Any] = XMLPullParser(("start", "end"))
    open_: list[Element] = []
    tail, between = b"", 0
    while chunk := file.read(_CHUNK):
        window = tail + chunk
        if b"<!" in window and re.search(rb"<!(DOCTYPE|ENTITY)", window):
            raise SheetError("the workbook declares entities", code="sheet.not-xlsx")
        tail = chunk[-16:]
        parser.feed(chunk)
        for event, element in cast("Iterator[tuple[str, Element]]", parser.read_events()):
            if event == "start":
                open_.append(element)
                between += 1
                if between > MAX_BETWEEN:
                    raise LimitError("a part of the workbook holds too much that is no cell", code="sheet.too-large")
                continue
            open_.pop()
            if _tag(element) in tags:
                yield element
                between = 0
                if open_:
                    open_[-1].clear()
    parser.close()


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]

"""CSV (RFC 4180 and what Excel makes of it): bytes → grid.

The encoding is UTF-8, with or without BOM, or GB18030 (which GBK is part of), or UTF-16 with BOM as Excel's "Unicode
text" has it; what was found is a note unless it is plain UTF-8. A byte that fits none refuses the file: a guess would
turn one name into another.
"""

from __future__ import annotations

import codecs
import csv
import io
from typing import Literal

from schemas.errors import LimitError
from schemas.sheets.grid import MAX_BYTES, MAX_CELL, Grid, Note, SheetError, check_size

Encoding = Literal["utf-8", "gb18030"]
DELIMITERS = (",", ";", "\t")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}


def read_csv(content: bytes, *, encoding: Encoding | None = None, delimiter: str | None = None) -> Grid:
    """The cells of a CSV file. Without `encoding` or `delimiter` they are found out, and noted.

    Raises:
        LimitError: larger than we agree to read.
        SheetError: `sheet.encoding`, `sheet.nul`, `sheet.quotes`, `sheet.cell-too-long`.
    """
    if len(content) > MAX_BYTES:
        raise LimitError(f"a sheet has at most {MAX_BYTES} bytes", code="sheet.too-large")
    notes: list[Note] = []
    text = _decode(content, encoding, notes)
    if "\0" in text:
        raise SheetError("the file holds NUL characters, so it is not text", code="sheet.nul")
    if delimiter is None:
        delimiter = _delimiter(text)
        if delimiter != ",":
            notes.append(Note("sheet.delimiter", f"cells are separated by {_NAMES[delimiter]}"))
    return Grid(_rows(text, delimiter), notes=notes)


def _decode(content: bytes, encoding: Encoding | None, notes: list[Note]) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and encoding is None:
        notes.append(Note("sheet.encoding-found", "the file is UTF-16"))
        return _strictly(content, "utf-16")
    if content.startswith(codecs.BOM_UTF8):
        notes.append(Note("sheet.encoding-found", "the file is UTF-8 with a byte order mark"))
        return _strictly(content, "utf-8-sig")
    if encoding is not None:
        return _strictly(content, encoding)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        text = _strictly(content, "gb18030")
        notes.append(Note("sheet.encoding-found", "the file is not UTF-8 and was read as GB18030 (GBK)"))
        return text


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        message = f"byte {error.start + 1} is not {encoding.upper().removesuffix('-SIG')} text"
        raise SheetError(message, code="sheet.encoding") from error


def _delimiter(text: str) -> str:
    """The delimiter that occurs most often outside quotes in the first line that has one; comma where none does."""
    for line in text[:MAX_CELL].splitlines()[:20]:
        outside = "".join(line.split('"')[::2])
        count = {one: outside.count(one) for one in DELIMITERS}
        found = max(DELIMITERS, key=lambda one: count[one])
        if count[found]:
            return found
    return ","


def _rows(text: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    cells = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            cells += len(row)
            check_size(len(rows) + 1, len(row), cells)
            if any(len(cell) > MAX_CELL for cell in row):
                message = f"row {len(rows) + 1}: a cell holds at most {MAX_CELL} characters"
                raise SheetError(message, code="sheet.cell-too-long")
            rows.append(row)
    except csv.Error as error:
        message = f"row {len(rows) + 1}: the quotes do not match ({error})"
        raise SheetError(message, code="sheet.quotes", pointers=[f"row {len(rows) + 1}"]) from error
    return rows

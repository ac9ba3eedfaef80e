"""A sheet as a grid of texts, whatever file it came in, with what the file itself says of single cells.

Rows and columns are numbered from 1, as a spreadsheet shows them. What is wrong with one cell (`#N/A`, a formula that
was never computed) belongs to that cell and costs nothing else; what is worth knowing of the whole file is a note.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from schemas.errors import LimitError, RecordError

MAX_BYTES = 64 * 1024 * 1024  # of one file
MAX_ROWS = 1_048_576  # what one sheet of Excel holds
MAX_COLUMNS = 1_024
MAX_CELLS = 4_000_000  # as texts some 300 MB
MAX_CELL = 32_767  # characters; what one cell of Excel holds


class SheetError(RecordError):
    """A file cannot be read as a sheet, or not through this profile; `sheet.…` codes, with a row of advice each."""

    code = "sheet.malformed"


@dataclass(frozen=True)
class Note:
    """What a cell or the file says beyond its texts. `code` has a row in the table of advice."""

    code: str
    detail: str


@dataclass
class Grid:
    """One sheet. `rows[0]` is row 1; a row may be shorter than the others.

    `faults` are cells whose text is not what the sheet says, `remarks` cells that were read and deserve a word, both by
    (row, column). `name` is the worksheet's, empty for CSV.
    """

    rows: list[list[str]]
    name: str = ""
    faults: dict[tuple[int, int], Note] = field(default_factory=dict)
    remarks: dict[tuple[int, int], Note] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def cell(self, row: int, column: int) -> str:
        """The text of a cell, empty where the row ends before it."""
        cells = self.rows[row - 1]
        return cells[column - 1] if column <= len(cells) else ""


def place(row: int, column: int = 0) -> str:
    """Where something stands, as a report says it: `row 12, column C`; `row 12`; `sheet` for all of it."""
    if not row:
        return "sheet"
    return f"row {row}, column {letters(column)}" if column else f"row {row}"


_PLACE = re.compile(r"row (\d{1,7})(?:, column ([A-Z]{1,3}))?", re.ASCII)


def read_place(text: str) -> tuple[int, int] | None:
    """Row and column (0: the whole row) of a `place`, or None where it names none."""
    if text == "sheet":
        return 0, 0
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    return int(match[1]), column_number(match[2]) if match[2] else 0


def letters(column: int) -> str:
    """The name a spreadsheet gives a column: 1 is A, 27 is AA."""
    name = ""
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def column_number(name: str) -> int:
    """The number of a column by its letters."""
    number = 0
    for letter in name:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def plain(text: str) -> str:
    """One form for the many a header or a name is written in: no blanks or line breaks, no full-width characters."""
    return "".join(unicodedata.normalize("NFKC", text).split()).replace("\u03bc", "u")


def check_size(rows: int, columns: int, cells: int) -> None:
    """That a sheet being read stays within what we agree to read.

    Raises:
        LimitError: `sheet.too-large`.
    """
    if rows > MAX_ROWS or columns > MAX_COLUMNS or cells > MAX_CELLS:
        message = f"a sheet holds at most {MAX_ROWS} rows, {MAX_COLUMNS} columns and {MAX_CELLS} cells"
        raise LimitError(message, code="sheet.too-large")

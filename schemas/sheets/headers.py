"""Which columns a sheet has of those that its profile reads, found by their headers and in whatever order they stand.

Formats drift and nobody announces it, so what is missing refuses the sheet by name and what is new is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schemas.sheets.annotated import COLUMN
from schemas.sheets.grid import Grid, SheetError, plain
from schemas.sheets.profile import Finding, Profile


def find_columns(grid: Grid, profile: Profile) -> dict[str, int]:
    """The number of each column that the profile reads and the sheet has, by the header as the profile writes it.

    Raises:
        SheetError: `sheet.header-missing`, `sheet.column-missing`, `sheet.column-twice`: no sheet of this profile.
    """
    if len(grid.rows) < profile.header:
        raise SheetError(f"there is no row {profile.header} with headers", code="sheet.header-missing")
    numbers: dict[str, int] = {}
    twice: list[str] = []
    for number, text in enumerate(grid.rows[profile.header - 1], 1):
        header = plain(text)
        if header in numbers:
            twice.append(text.strip()[:60])
        if header:
            numbers.setdefault(header, number)
    needed, may = profile.columns()
    missing = [name for name in needed if plain(name) not in numbers]
    if missing:
        pointers = [f"row {profile.header}"]
        message = f"the sheet lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}"
        raise SheetError(message, code="sheet.column-missing", pointers=pointers, extra={"missing": missing})
    ours = {plain(name) for name in (*needed, *may)} - {plain(name) for name in profile.ignore}
    if any(plain(text) in ours for text in twice):
        raise SheetError(f"the sheet has these columns twice: {', '.join(twice)}", code="sheet.column-twice")
    return {name: numbers[plain(name)] for name in (*needed, *may) if plain(name) in numbers}


def unread_columns(grid: Grid, profile: Profile, columns: Mapping[str, int]) -> Iterator[Finding]:
    """The columns of the sheet that nobody reads and nobody ignores: a new one may hold values."""
    known = set(columns.values()) | {0}
    for number, text in enumerate(grid.rows[profile.header - 1], 1):
        if number not in known and text.strip() not in ("", COLUMN):
            detail = f"{profile.reference} does not read the column {text.strip()[:60]!r}"
            yield Finding(profile.header, number, "noted", "sheet.column-unread", detail, (), text[:60])

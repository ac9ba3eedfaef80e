"""Spreadsheets: bytes ↔ cells ↔ records, through a profile that says what the columns mean.

grid.py        a sheet as texts by row and column, and what the file says of single cells
comma.py       CSV → grid: encodings, delimiters, quotes
workbook.py    XLSX → grid, without a float in between; shown.py: a stored number as the text it is
values.py      the text of a cell → a value with its qualifier; moments.py: the text of a time → an instant
profile.py     what a profile is; profile_document.py reads one, strictly; `data/profiles/` has those that ship
reading.py     grid + profile → records and findings
annotated.py   the same sheet back, with what is wrong beside the cells; advice.py: what a clerk can do about it
draft.py       a first profile for a sheet, with what a person must decide left open
"""

from __future__ import annotations

from schemas.sheets.advice import Advice, advice_on
from schemas.sheets.grid import Grid, SheetError, place, read_place
from schemas.sheets.profile import Finding, Found, Profile, ProfileError, Through, Use, shipped_names
from schemas.sheets.profile_document import parse_profile, parse_sites, shipped_profile
from schemas.sheets.reading import CSV, read_grid, read_sheet
from schemas.sheets.workbook import MEDIA_TYPE as XLSX

SHEETS = (CSV, XLSX)
"""The media types of sheets."""

__all__ = [
    "CSV",
    "SHEETS",
    "XLSX",
    "Advice",
    "Finding",
    "Found",
    "Grid",
    "Profile",
    "ProfileError",
    "SheetError",
    "Through",
    "Use",
    "advice_on",
    "parse_profile",
    "parse_sites",
    "place",
    "read_grid",
    "read_place",
    "read_sheet",
    "shipped_names",
    "shipped_profile",
]

"""Code tables as package data: one CSV file each, UTF-8, with a `source` column.

The tables hold facts (codes, names, factors), no texts of others. A wrong table is a fault of ours, found by the tests;
nothing here reads what a partner sent.
"""

from __future__ import annotations

import csv
from importlib.resources import files


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of `schemas/data/<name>`, in file order, each by column name. Callers cache what they make of it."""
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))

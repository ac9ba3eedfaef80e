"""The shared schema as others read it: JSON Schema (2020-12) and Frictionless Table Schema, in Chinese and English.

Generated from the record structs, so that what is published and what is read cannot part ways:

    titles.py         what every member is called and what it means, by `data/titles.csv`
    forms.py          the forms of texts and numbers that the strict reader checks, as JSON Schema
    rules.py          what two members say of each other, as JSON Schema
    json_schema.py    a kind → JSON Schema
    table_schema.py   a kind → Frictionless Table Schema, for spreadsheets

A line that a schema refuses, the reader refuses too. What JSON Schema cannot say, the reader alone knows: whether a
check character is right, a date exists, a span ends after it begins, a factor or unit is known.
"""

from __future__ import annotations

from schemas.publication.json_schema import example, json_schema, kinds
from schemas.publication.table_schema import table_schema

__all__ = ["example", "json_schema", "kinds", "table_schema"]

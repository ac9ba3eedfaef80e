"""Record kinds of the shared schema 1.0, one module each, and the strict reader of a line.

A record is one JSON object with a `kind`. Submissions are strict: an unknown member is refused by its name.

    site, source, observation, mark, inspection, case, agreement, retraction    a struct and what makes sense in it
    parts.py    what several kinds are made of, and the checks of single members
    keys.py     what tells records of one kind apart
    reader.py   a line → a record, checked
"""

from __future__ import annotations

from schemas.records.agreement import Agreement, AgreementAct, Disposed, Figure
from schemas.records.case import Case
from schemas.records.inspection import Inspection
from schemas.records.keys import IMMUTABLE, KEYS, key_of, kind_of
from schemas.records.mark import Mark
from schemas.records.observation import Observation
from schemas.records.reader import (
    Record,
    Statement,
    check_record,
    decode_line,
    decode_open_line,
    encode_record,
)
from schemas.records.retraction import Retraction
from schemas.records.site import Site
from schemas.records.source import Source

__all__ = [
    "IMMUTABLE",
    "KEYS",
    "Agreement",
    "AgreementAct",
    "Case",
    "Disposed",
    "Figure",
    "Inspection",
    "Mark",
    "Observation",
    "Record",
    "Retraction",
    "Site",
    "Source",
    "Statement",
    "check_record",
    "decode_line",
    "decode_open_line",
    "encode_record",
    "key_of",
    "kind_of",
]

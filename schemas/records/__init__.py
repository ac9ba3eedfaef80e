"""Record kinds of the shared schema 1.0, one module each, and the strict reader of a line.

A record is one JSON object with a `kind`. Submissions are strict: an unknown member is refused by its name.
"""

from __future__ import annotations

from schemas.records.observation import Observation
from schemas.records.reader import check_record, decode_line, encode_record
from schemas.records.site import Site

Record = Observation | Site
"""Every kind a line may carry."""

__all__ = ["Observation", "Record", "Site", "check_record", "decode_line", "encode_record"]

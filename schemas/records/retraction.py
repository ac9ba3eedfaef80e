"""`retraction` 作废: the revision of a record that says it no longer holds.

It is the next revision of what it withdraws: it carries that record's key and the revision number that follows, so it
is applied like any revision, in whatever order it arrives, and a still later revision brings the record back. What was
withdrawn stays readable as history.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.errors import RecordError
from schemas.records.parts import check_texts

RetractedKind = Literal["site", "source", "observation", "mark", "inspection", "case"]


class Retraction(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="retraction",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """The record of kind `of` with this `key` (its members by name) no longer holds; `reason` says why."""

    of: RetractedKind
    key: dict[str, str | int]
    rev: int = 0
    reason: str
    author: str = ""


def check(retraction: Retraction) -> None:
    """That a retraction makes sense by itself; its key is checked by the kind it names. Raises RecordError."""
    check_texts(reason=retraction.reason, author=retraction.author)
    if not retraction.reason.strip():
        message = "a retraction says why"
        raise RecordError(message, code="record.reason-required", pointers=["/reason"])

"""`mark`: a working condition that a person entered, often after the values it is about.

Key within its provider: `site, type, from, author`. A mark is part of the validity of the values in its span and never
of their text. It is immutable, since a mark that could be changed afterwards would be no evidence: what was entered by
mistake is withdrawn by a retraction, which says why and by whom, and entered anew.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.errors import RecordError
from schemas.records.parts import check_identifier, check_identifiers, check_prose, check_span, check_texts, check_time

MarkType = Literal["maintenance", "calibration", "stop", "fault"]
"""维护, 校准, 停运, 故障; what each does to validity stands in the table of marks."""


class Mark(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="mark",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """A condition at a site from `from` (included) until before `to`; empty `to`: until it is withdrawn.

    `factors` narrows it to some of the site's factors; empty: all. `entered` is when `author` entered it.
    """

    site: str
    type: MarkType
    from_: str = msgspec.field(name="from")
    to: str = ""
    author: str
    entered: str
    factors: tuple[str, ...] = ()
    text: str = ""
    rev: int = 0
    reason: str = ""


def check(mark: Mark) -> None:
    """That a mark makes sense. Raises RecordError."""
    check_identifier(mark.site, "/site")
    check_identifiers(factors=mark.factors)
    check_time(mark.from_, "/from")
    check_time(mark.entered, "/entered")
    if mark.to:
        check_time(mark.to, "/to")
        check_span(mark.from_, mark.to, "/to")
    check_texts(author=mark.author)
    check_prose(text=mark.text)
    if not mark.author.strip():
        raise RecordError("a mark has an author", pointers=["/author"])

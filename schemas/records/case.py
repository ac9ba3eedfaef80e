"""`case`: one step of a matter between parties: a warning, a challenge, a referral and what else `schemas.cases` lists.

Key within its provider: `case, step`. A case is its steps, each in the feed of the party that took it; `case` is the
same text at every party, so its opener puts its own id into it. Steps are immutable: the next one says more. Which
state may follow which, and who may bring it about, stands in the table of `schemas.cases`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.errors import RecordError
from schemas.records.parts import (
    Attachment,
    Reference,
    check_attachments,
    check_identifier,
    check_identifiers,
    check_prose,
    check_texts,
    check_time,
)

CaseType = Literal["warning", "information", "search", "drill", "challenge", "dispute", "referral", "access-request"]
MAX_STEP = 10_000


class Case(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="case",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Step `step` (from 1) of `case`, taken at `at` by `author` of the party `from`, for the parties `to`.

    `state` is what the case is in from then on. `due` is when an answer is owed, empty where none is. `about` names
    the records in question; `attachments` files, by digest.
    """

    case: str
    step: int
    type: CaseType
    from_: str = msgspec.field(name="from")
    to: tuple[str, ...]
    state: str
    at: str
    author: str = ""
    level: str = ""
    title: str = ""
    text: str = ""
    due: str = ""
    about: tuple[Reference, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    rev: int = 0
    reason: str = ""


def check(case: Case) -> None:
    """That a step makes sense by itself. Raises RecordError."""
    check_identifier(case.case, "/case")
    check_identifier(case.from_, "/from")
    if not 1 <= case.step <= MAX_STEP:
        raise RecordError(f"steps are numbered from 1 to {MAX_STEP}", pointers=["/step"])
    if not case.to:
        raise RecordError("a step is for somebody", pointers=["/to"])
    check_identifiers(to=case.to)
    check_time(case.at, "/at")
    if case.due:
        check_time(case.due, "/due")
    check_texts(state=case.state, author=case.author, level=case.level, title=case.title)
    check_prose(text=case.text)
    check_attachments(attachments=case.attachments)

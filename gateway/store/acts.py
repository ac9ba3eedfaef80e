"""Acts: what brought records in. An act's time is when its records were known here, which `as_of` asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import insert

from gateway.db import WriteSession
from gateway.store import tables


@dataclass(frozen=True)
class Act:
    """One submission, one partner's batch, one release of what was held, or one act of governance. `at` in ms UTC.

    `submitted`: the records are handed in at home, so revisions are assigned here; otherwise the provider did that.
    `governs`: people of this gateway did it, or it follows from what they did.
    """

    id: int
    provider: str
    at: int
    submitted: bool
    governs: bool = False


def begin_act(
    session: WriteSession, kind: Literal["submission", "batch", "release", "governance"], provider: str, ref: str, *,
    at: int, submitted: bool,
) -> Act:  # fmt: skip
    """A new act; `ref` is the submission's id or the batch's manifest hash."""
    statement = insert(tables.act).values(at=at, kind=kind, provider=provider, ref=ref)
    number = session.execute(statement.returning(tables.act.c.id)).scalar_one()
    return Act(int(number), provider, at, submitted, governs=kind == "governance")

"""A bounded memory of what was wrong: batches that were not what their provider signed, forks, contradictions.

What comes from strangers must not fill the disk: of each feed the newest few pieces are kept, each cut short. A fork is
kept for ever and whole, since both manifests are signed by the provider: there cannot be many, and each is proof.
"""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables

KEPT = 20  # pieces of one feed, forks apart
CUT = 4_096  # bytes of each
FORK = "feed.fork"

_evidence = tables.evidence


def keep_evidence(
    session: WriteSession, *, provider: str, dataset: str, seq: int | None, code: str, detail: str, content: bytes,
    now: int,
) -> None:  # fmt: skip
    """Keep what came and why it was not taken. `now` in ms UTC."""
    kept = content if code == FORK else content[:CUT]
    values = {"at": now, "provider": provider, "dataset": dataset, "seq": seq, "code": code, "detail": detail}
    session.execute(insert(_evidence).values(**values, content=kept))
    here = (_evidence.c.provider == provider, _evidence.c.dataset == dataset, _evidence.c.code != FORK)
    newest = select(_evidence.c.id).where(*here).order_by(_evidence.c.id.desc()).limit(KEPT)
    session.execute(delete(_evidence).where(*here, _evidence.c.id.not_in(newest)))


def evidence_counts(session: ReadSession) -> dict[tuple[str, str], int]:
    """How many pieces there are, by provider and code."""
    query = select(_evidence.c.provider, _evidence.c.code, func.count())
    rows = session.execute(query.group_by(_evidence.c.provider, _evidence.c.code))
    return {(row[0], row[1]): row[2] for row in rows}

"""Records handed in at home: the bytes kept, each line judged, a signed receipt given.

The same bytes from the same client get the same answer and the same receipt, however often and however concurrently
they come, as long as nothing of them was refused; what was refused is judged anew, since a plan or a table may have
changed in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import zstandard
from sqlalchemy import insert, select, text

from audit.entry import make_entry
from audit.form import SUBMISSION
from audit.log import append
from gateway.db import ReadSession, WriteSession
from gateway.errors import ConflictError, NotFoundError
from gateway.ingest.door import Prepared
from gateway.ingest.parcel import HJ212, Problem, unpack
from gateway.ingest.profiles import reading_through
from gateway.ingest.tally import Tally
from gateway.ingest.terms import Terms
from gateway.receipts import give_submission_receipt
from gateway.service import Gateway
from gateway.store import tables
from gateway.store.acts import begin_act
from partners.plans import plans_in_force
from partners.principal import Principal
from schemas import jws
from schemas.sheets import SHEETS, Through
from schemas.times import utc_text

_submission = tables.submission
MAX_KEY = 256  # characters of an Idempotency-Key


@dataclass(frozen=True)
class Submitted:
    """The answer to a submission. `fresh` is False where it had been given before."""

    outcome: dict[str, Any]
    fresh: bool

    @property
    def acceptable(self) -> bool:
        """Whether anything at all could be taken, now or later."""
        return not self.outcome["refused"] or any(
            self.outcome[name] for name in ("accepted", "duplicates", "revised", "held")
        )


@dataclass(frozen=True)
class _Arrival:
    """What came, from whom and when (ms UTC)."""

    id: str
    client: str
    media_type: str
    content: bytes
    digest: str  # base64url SHA-256 of the content
    key: str | None
    at: int
    profile: str | None = None  # of a sheet: what it is read through


def submit(
    gateway: Gateway, principal: Principal, media_type: str, content: bytes, *, now: int,
    idempotency_key: str | None = None, dry_run: bool = False, profile: str = "", year: int | None = None,
    received: Sequence[int] = (),
) -> Submitted:  # fmt: skip
    """Take `content` from a client that may submit. `now` in ms UTC. With `dry_run` nothing is kept.

    `profile` names what a sheet is read through, `year` is that of dates which say none. `received` says when each
    packet of a logger came, where that was before `now` (see `unpack`).

    Raises:
        NotFoundError: `profile.unknown`.
        RecordError, LimitError: the whole cannot be read as `media_type`.
        ConflictError: `submission.key-reused`: the key came with other content before.
    """
    digest = jws.b64encode(hashlib.sha256(content).digest())
    through = _through(gateway, media_type, profile, year, now)
    read_as = through.reference if through else None
    arrival = _Arrival(uuid4().hex, principal.client_id, media_type, content, digest, idempotency_key, now, read_as)
    with gateway.database.read() as session:
        known = _known(session, arrival)
        devices = gateway.devices.of(session) if media_type == HJ212 else {}
    if known is not None:
        return Submitted(known, fresh=False)
    # Reading and numbering need no transaction, so nobody waits for them.
    terms = Terms.at_home(gateway.governed.at(now), gateway.party)
    parcel = unpack(media_type, content, devices, terms, through, received=received or (now,))
    prepared = gateway.door.prepare(gateway.party, parcel, now=now)
    with gateway.database.write() as session:
        _one_at_a_time(session, arrival)
        known = _known(session, arrival)
        if known is not None:
            return Submitted(known, fresh=False)
        if dry_run:
            return Submitted(_rehearse(gateway, session, arrival, prepared), fresh=True)
        tally = _store(gateway, session, arrival, prepared)
        outcome = _keep(gateway, session, arrival, tally, terms)
    gateway.settle(gateway.party, tally)
    return Submitted(outcome, fresh=True)


def _through(gateway: Gateway, media_type: str, profile: str, year: int | None, now: int) -> Through | None:
    if media_type not in SHEETS or not profile:
        return None
    with gateway.database.read() as session:
        return reading_through(session, profile, gateway.governed.at(now), party=gateway.party, now=now, year=year)


def find_submission(session: ReadSession, submission_id: str) -> Any:
    """The row of one submission.

    Raises:
        NotFoundError: there is none.
    """
    row = session.execute(select(_submission).where(_submission.c.id == submission_id)).first()
    if row is None:
        raise NotFoundError("there is no such submission")
    return row


def report_lines(problems: list[Problem]) -> bytes:
    """A report as NDJSON: a line for each place that was refused, held or revised."""
    return b"".join(msgspec.json.encode(problem.as_json()) + b"\n" for problem in problems)


def _known(session: ReadSession, arrival: _Arrival) -> dict[str, Any] | None:
    """The answer given before to the same key, or to the same bytes where nothing of them was refused."""
    mine = _submission.c.client == arrival.client
    if arrival.key is not None:
        row = session.execute(select(_submission).where(mine, _submission.c.idempotency_key == arrival.key)).first()
        if row is not None:
            if (row.sha256, row.profile) != (arrival.digest, arrival.profile):
                raise ConflictError("this key came with other content before", code="submission.key-reused")
            return _outcome(row)
    same = (
        mine,
        _submission.c.sha256 == arrival.digest,
        _submission.c.media_type == arrival.media_type,
        _submission.c.profile.is_not_distinct_from(arrival.profile),
        _submission.c.final == 1,
    )
    row = session.execute(select(_submission).where(*same).limit(1)).first()
    return _outcome(row) if row is not None else None


def _outcome(row: Any) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(row.outcome)
    return outcome


def _one_at_a_time(session: WriteSession, arrival: _Arrival) -> None:
    """Let the same bytes or the same key of one client in one after the other: the second finds the first one's answer.

    Were the locks absent, values would still be stored once, by their keys; but same bytes would get two receipts, and
    a key used twice would be the database's error instead of ours.
    """
    if session.dialect.name == "postgresql":
        names = [f"{arrival.client} {arrival.digest}"]
        if arrival.key is not None:
            names.append(f"{arrival.client} key {arrival.key}")
        # In one order for everybody, or two who want both would wait for each other.
        for name in sorted(names):
            session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def _store(gateway: Gateway, session: WriteSession, arrival: _Arrival, prepared: Prepared) -> Tally:
    act = begin_act(session, "submission", gateway.party, arrival.id, at=arrival.at, submitted=True)
    return gateway.door.take(session, prepared, act, plans_in_force(session, arrival.at))


def _rehearse(gateway: Gateway, session: WriteSession, arrival: _Arrival, prepared: Prepared) -> dict[str, Any]:
    """What would become of the arrival; everything is rolled back to before."""
    with session.begin_nested() as savepoint:
        tally = _store(gateway, session, arrival, prepared)
        savepoint.rollback()
    problems = [problem.as_json() for problem in tally.problems]
    return {"dry_run": True, "sha256": arrival.digest, **tally.counts(), "problems": problems}


def _keep(gateway: Gateway, session: WriteSession, arrival: _Arrival, tally: Tally, terms: Terms) -> dict[str, Any]:
    """The submission's row, its log entry and its receipt, in the transaction of its records."""
    report = report_lines(tally.problems)
    entry = make_entry(
        SUBMISSION, at=utc_text(arrival.at), party=gateway.party, actor=arrival.client,
        detail={"id": arrival.id, "sha256": arrival.digest, "tables": terms.references(), **tally.counts()},
    )  # fmt: skip
    promised = append(session, entry)
    outcome = {
        "id": arrival.id,
        "sha256": arrival.digest,
        **tally.counts(),
        "report": f"/v1/submissions/{arrival.id}/report",
        "receipt": give_submission_receipt(
            gateway, arrival.client, arrival.digest, tally, report, promised, arrival.at
        ),
    }
    compress = zstandard.ZstdCompressor(level=3).compress
    session.execute(
        insert(_submission).values(
            id=arrival.id, client=arrival.client, media_type=arrival.media_type, sha256=arrival.digest,
            idempotency_key=arrival.key, at=arrival.at, content=compress(arrival.content), report=compress(report),
            outcome=json.dumps(outcome), final=int(tally.refused == 0), profile=arrival.profile,
        )
    )  # fmt: skip
    return outcome

"""What the parties did about plans, what was decided about each version, and the signature that anybody can check.

An act counts as published when the batch that carries it was made: a party's own act has neither batch nor instant
until it has left. A decision is taken once, kept with the batch that decided it, and never changed; the database
refuses to.

A signature is a compact JWS of a party's manifest key, `typ: taipu-agreement+jws`, over the plan, the version, its
digest, the party, the instant and the datasets of its own that it confirms: the whole of them, or it signs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, insert, select, update

from partners import tables
from partners.plans import Known, Verdict
from schemas import jws
from schemas.errors import RecordError, SignatureError
from schemas.plan import Plan
from schemas.records import Agreement, decode_line, encode_record
from schemas.times import to_millis, utc_text

SIGNATURE_TYPE = "taipu-agreement+jws"
REFUSED = "refused"  # in place of an act: a proposal that was not taken here, so that signatures of it are none either


@dataclass(frozen=True)
class Act:
    """An act of governance, and the batch it came in: None where it is ours and has not left yet. `seen` in ms UTC."""

    record: Agreement
    manifest: str | None
    created: int | None
    seen: int


def keep_act(
    session: Connection, record: Agreement, *, manifest: str | None = None, created: int | None = None, seen: int
) -> bool:
    """Keep an act, ours or a partner's; False where the party has done this already. Instants in ms UTC."""
    if find_act(session, record.plan, record.version, record.party, record.act) is not None:
        return False
    session.execute(
        insert(tables.plan_act).values(
            plan=record.plan, version=record.version, party=record.party, act=record.act, digest=record.digest,
            line=encode_record(record), manifest=manifest, created=created, seen=seen,
        )
    )  # fmt: skip
    return True


def note_published(session: Connection, record: Agreement, *, manifest: str, created: int) -> None:
    """An act of ours has left, in this batch."""
    table = tables.plan_act
    here = (
        table.c.plan == record.plan, table.c.version == record.version, table.c.party == record.party,
        table.c.act == record.act,
    )  # fmt: skip
    session.execute(update(table).where(*here).values(manifest=manifest, created=created))


def find_act(session: Connection, plan: str, version: int, party: str, act: str) -> Act | None:
    """One act of one party about one version."""
    table = tables.plan_act
    query = select(table).where(
        table.c.plan == plan, table.c.version == version, table.c.party == party, table.c.act == act
    )
    row = session.execute(query).first()
    return _act(row) if row else None


def acts_of(session: Connection, plan: str, *acts: str, version: int | None = None) -> list[Act]:
    """The acts of these sorts about a plan (or one version of it), by version and party."""
    table = tables.plan_act
    query = select(table).where(table.c.plan == plan, table.c.act.in_(acts))
    if version is not None:
        query = query.where(table.c.version == version)
    return [_act(row) for row in session.execute(query.order_by(table.c.version, table.c.party, table.c.act))]


def note_refused(session: Connection, record: Agreement, *, seen: int) -> None:
    """Remember a proposal that was not taken here, by its digest and no more."""
    table = tables.plan_act
    here = (table.c.plan == record.plan, table.c.version == record.version, table.c.party == record.party)
    if session.execute(select(table.c.digest).where(*here, table.c.act == REFUSED)).first() is None:
        session.execute(
            insert(table).values(
                plan=record.plan, version=record.version, party=record.party, act=REFUSED, digest=record.digest,
                line=b"", seen=seen,
            )
        )  # fmt: skip


def was_refused(session: Connection, plan: str, version: int, digest: str) -> bool:
    """Whether a proposal of this version with this digest was not taken here."""
    table = tables.plan_act
    here = (table.c.plan == plan, table.c.version == version, table.c.digest == digest, table.c.act == REFUSED)
    return session.execute(select(table.c.party).where(*here)).first() is not None


def decide(
    session: Connection, known: Known, verdict: Verdict, ground: str, *, act: Act | None = None, now: int
) -> None:
    """Write down, once and for good, what became of a version, and the act that decided it. `now` in ms UTC."""
    session.execute(
        insert(tables.plan_decision).values(
            plan=known.plan.id, version=known.plan.version, digest=known.plan.digest, verdict=verdict, ground=ground,
            manifest=act.manifest if act else None, created=act.created if act else None, decided=now,
        )
    )  # fmt: skip


def note_look(session: Connection, party: str, dataset: str, *, at: int) -> None:
    """At this instant (ms UTC) we had all there was of one of the party's feeds."""
    table = tables.plan_look
    here = (table.c.party == party, table.c.dataset == dataset)
    if session.execute(update(table).where(*here).values(at=at)).rowcount == 0:
        session.execute(insert(table).values(party=party, dataset=dataset, at=at))


def last_look(session: Connection, party: str, dataset: str) -> int:
    """When we last had all of one of the party's feeds (ms UTC); 0: not since it mattered."""
    table = tables.plan_look
    found = session.execute(select(table.c.at).where(table.c.party == party, table.c.dataset == dataset)).scalar()
    return int(found or 0)


def own_entries(plan: Plan, party: str) -> list[str]:
    """The datasets that a party confirms by signing: all that it provides, sorted."""
    return sorted(dataset.id for dataset in plan.provided_by(party))


def sign_plan(key: jws.SigningKey, plan: Plan, party: str, *, now: int) -> str:
    """The party's signature of a version, as compact JWS. `now` in ms UTC."""
    payload: dict[str, object] = {
        "v": 1, "plan": plan.id, "version": plan.version, "digest": plan.digest, "party": party, "at": utc_text(now),
        "entries": own_entries(plan, party),
    }  # fmt: skip
    return jws.sign(key, SIGNATURE_TYPE, payload)


def signer_of(token: str) -> str:
    """The party that a signature says it is of, *unverified*: good for finding its keys.

    Raises:
        SignatureError: not a compact JWS.
    """
    party = jws.peek(token)[1].get("party")
    return party if isinstance(party, str) else ""


def open_signature(token: str, keys: Mapping[str, Ed25519PublicKey], plan: Plan, party: str) -> int:
    """When (ms UTC) `party`, with one of its manifest `keys`, signed just this version and all entries of its own.

    Raises:
        SignatureError: it did not; `signature.subject` where what it signed is another version or other entries.
    """
    payload = jws.open_jws(token, keys, SIGNATURE_TYPE)
    signed = {name: payload.get(name) for name in ("v", "plan", "version", "digest", "party", "entries")}
    expected = {
        "v": 1, "plan": plan.id, "version": plan.version, "digest": plan.digest, "party": party,
        "entries": own_entries(plan, party),
    }  # fmt: skip
    if signed != expected or type(payload["version"]) is not int:
        raise SignatureError(f"this does not sign {plan.reference} for {party}", code="signature.subject")
    try:
        return to_millis(cast("str", payload["at"]))
    except (KeyError, TypeError, AttributeError, RecordError) as error:
        raise SignatureError("a signature says when it was made", code="signature.subject") from error


def _act(row: Any) -> Act:
    record = decode_line(row.line)
    assert isinstance(record, Agreement)
    return Act(record, row.manifest, row.created, row.seen)

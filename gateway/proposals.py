"""What takes two persons: one proposes, another approves exactly what was proposed, and then it is done, once.

A proposal holds all that will be done. Its digest is over that and over who proposed it and when; whoever approves
names the digest of what they were shown, so nothing can change between looking and approving. The act and the entry
that records who approved it are one transaction. An undecided proposal ends by itself after some days.

A `Kind` says what sort of act it is: who may propose and who may approve it, and how it is carried out. `gateway.
approvals` has all kinds. Nobody approves what they proposed: not here, and not in the database.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import rfc8785
from sqlalchemy import insert, select, update

from audit.entry import make_entry
from audit.form import APPROVED, PROPOSED, REJECTED
from audit.log import append
from gateway.db import ReadSession, WriteSession
from gateway.errors import ProposalError
from gateway.people.person import Person, actor_of
from gateway.people.roles import Permission
from gateway.service import Gateway
from gateway.store import tables
from schemas.jws import b64encode
from schemas.times import utc_text

LIFE = 72 * 3_600_000  # ms; what nobody decides about in three days has to be looked at anew
MAX_REASON = 500  # characters
MIN_DIGEST = 8  # characters of a digest that an approval names: 48 bits, against a slip and not against a forger

State = Literal["proposed", "approved", "rejected"]


@dataclass(frozen=True)
class Proposal:
    """A proposal, and what was decided about it. Instants in ms UTC; proposer and decider are accounts."""

    id: str
    kind: str
    subject: str
    content: Mapping[str, Any]
    reason: str
    proposer: str
    proposed_at: int
    expires: int
    state: State = "proposed"
    decider: str | None = None
    decided_at: int | None = None

    @property
    def digest(self) -> str:
        """base64url SHA-256 of the RFC 8785 form of all that is approved."""
        approved = {name: value for name, value in vars(self).items() if name not in ("state", "decider", "decided_at")}
        return b64encode(hashlib.sha256(rfc8785.dumps({**approved, "content": dict(self.content)})).digest())


@dataclass(frozen=True)
class Kind:
    """A sort of act that takes two persons.

    `carry_out` does it, in the transaction of the approval, given the person who approves and the instant; it raises
    what keeps it from being done, and then nothing has happened. `settle` is called after the commit. `says` tells
    whoever is to approve what will be done, in a sentence.
    """

    name: str
    propose: Permission
    approve: Permission
    carry_out: Callable[[Gateway, WriteSession, Proposal, Person, int], None]
    settle: Callable[[Gateway, Proposal], None] = lambda _gateway, _proposal: None
    says: Callable[[Proposal], str] = lambda proposal: f"{proposal.kind}: {proposal.subject}"


def propose(
    gateway: Gateway, kind: Kind, subject: str, content: Mapping[str, Any], *, by: Person, reason: str = "", now: int
) -> Proposal:
    """Propose an act of `kind`, to be approved by somebody else. `content` is JSON without fractions; `now` in ms UTC.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        ProposalError: `proposal.reason-invalid`, or `proposal.open`: the same is proposed already.
    """
    with gateway.database.write() as session:
        return propose_within(gateway, session, kind, subject, content, by=by, reason=reason, now=now)


def propose_within(
    gateway: Gateway, session: WriteSession, kind: Kind, subject: str, content: Mapping[str, Any], *, by: Person,
    reason: str = "", now: int,
) -> Proposal:  # fmt: skip
    """As `propose`, in the caller's transaction."""
    by.require(kind.propose)
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise ProposalError(f"a reason has at most {MAX_REASON} printable characters", code="proposal.reason-invalid")
    identifier = secrets.token_hex(4)
    new = Proposal(identifier, kind.name, subject, content, reason, by.account, now, now + LIFE)
    if any(one.content == new.content for one in open_proposals(session, now=now, kind=kind.name, subject=subject)):
        raise ProposalError(f"{kind.name} {subject} is proposed already", code="proposal.open")
    session.execute(
        insert(tables.proposal).values(
            id=new.id, kind=new.kind, subject=new.subject, content=rfc8785.dumps(dict(content)), digest=new.digest,
            reason=reason, proposer=new.proposer, proposed_at=now, expires=new.expires, state=new.state,
        )
    )  # fmt: skip
    _log(gateway, session, PROPOSED, new, by, now)
    return new


def approve(
    gateway: Gateway, kinds: Mapping[str, Kind], identifier: str, *, by: Person, digest: str, now: int
) -> Proposal:
    """Carry out what was proposed. `digest` is what the approver was shown: the proposal's digest or its beginning.

    Raises:
        AccessDeniedError: `person.not-permitted`, or `person.confirm-again`: the second factor was not shown just now.
        ProposalError: `proposal.unknown`, `.decided`, `.expired`, `.changed`, `.own`.
        SharingError: what keeps the act from being done; nothing has changed, and it can be approved again.
    """
    by.require_recent(now)
    with gateway.database.write() as session:
        proposal = find_proposal(session, identifier, lock=True)
        kind = kinds[proposal.kind]
        by.require(kind.approve)
        _require_open(proposal, now)
        if len(digest) < MIN_DIGEST or not proposal.digest.startswith(digest):
            detail = f"proposal {proposal.id} has the digest {proposal.digest}: look at it again"
            raise ProposalError(detail, code="proposal.changed")
        if by.account.casefold() == proposal.proposer.casefold():
            raise ProposalError("whoever proposed this cannot approve it: somebody else does", code="proposal.own")
        approved = _decide(session, proposal, "approved", by, now)
        kind.carry_out(gateway, session, approved, by, now)
        _log(gateway, session, APPROVED, approved, by, now)
    kind.settle(gateway, approved)
    gateway.signals.logged.send()
    return approved


def reject(gateway: Gateway, kinds: Mapping[str, Kind], identifier: str, *, by: Person, now: int) -> Proposal:
    """Decide that this is never done; whoever proposed it may, to take it back. Raises as `approve` does."""
    with gateway.database.write() as session:
        proposal = find_proposal(session, identifier, lock=True)
        if by.account != proposal.proposer:
            by.require(kinds[proposal.kind].approve)
        _require_open(proposal, now)
        rejected = _decide(session, proposal, "rejected", by, now)
        _log(gateway, session, REJECTED, rejected, by, now)
    gateway.signals.logged.send()
    return rejected


def reject_all_of(gateway: Gateway, session: WriteSession, account: str, *, by: Person, now: int) -> int:
    """Decide that nothing is done that `account` proposed and that still waits: its owner is no longer let in. How
    many there were; whoever keeps somebody out needs no permission for each kind."""
    rejected = 0
    for waiting in open_proposals(session, now=now):
        proposal = find_proposal(session, waiting.id, lock=waiting.proposer == account)
        if proposal.proposer == account and proposal.state == "proposed":
            _log(gateway, session, REJECTED, _decide(session, proposal, "rejected", by, now), by, now)
            rejected += 1
    return rejected


def find_proposal(session: ReadSession, identifier: str, *, lock: bool = False) -> Proposal:
    """One proposal, decided or not; locked until the end of the transaction where it is to be decided.

    Raises:
        ProposalError: `proposal.unknown`, or `proposal.changed`: the row is not what was proposed.
    """
    query = select(tables.proposal).where(tables.proposal.c.id == identifier[:64])
    if lock and session.dialect.name == "postgresql":
        query = query.with_for_update()
    row = session.execute(query).first()
    if row is None:
        raise ProposalError("there is no such proposal", code="proposal.unknown")
    return _proposal(row)


def open_proposals(
    session: ReadSession, *, now: int, kind: str | None = None, subject: str | None = None
) -> list[Proposal]:
    """What waits for a decision at `now` (ms UTC), oldest first. Raises as `find_proposal` does."""
    table = tables.proposal
    query = select(table).where(table.c.state == "proposed", table.c.expires > now)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    return [_proposal(row) for row in session.execute(query.order_by(table.c.proposed_at, table.c.id))]


def all_proposals(session: ReadSession, limit: int = 1_000) -> list[Proposal]:
    """The newest proposals, decided ones too, newest first."""
    table = tables.proposal
    return [
        _proposal(row)
        for row in session.execute(select(table).order_by(table.c.proposed_at.desc(), table.c.id).limit(limit))
    ]


def _require_open(proposal: Proposal, now: int) -> None:
    if proposal.state != "proposed":
        raise ProposalError(f"proposal {proposal.id} is {proposal.state} already", code="proposal.decided")
    if proposal.expires <= now:
        raise ProposalError(f"proposal {proposal.id} has waited too long: propose it anew", code="proposal.expired")


def _decide(session: WriteSession, proposal: Proposal, state: State, by: Person, now: int) -> Proposal:
    table = tables.proposal
    values = {"state": state, "decider": by.account, "decided_at": now}
    session.execute(update(table).where(table.c.id == proposal.id).values(**values))
    return replace(proposal, state=state, decider=by.account, decided_at=now)


def _log(gateway: Gateway, session: WriteSession, t: str, proposal: Proposal, by: Person, now: int) -> None:
    detail = {
        "kind": proposal.kind, "subject": proposal.subject, "proposal": proposal.id, "digest": proposal.digest,
    }  # fmt: skip
    actor = actor_of(gateway.home, by.account)
    append(session, make_entry(t, at=utc_text(now), party=gateway.party, actor=actor, detail=detail))


def _proposal(row: Any) -> Proposal:
    """The row as a proposal. Whoever changed it without us is found out here."""
    found = Proposal(
        row.id, row.kind, row.subject, json.loads(row.content), row.reason, row.proposer, row.proposed_at, row.expires,
        row.state, row.decider, row.decided_at,
    )  # fmt: skip
    if found.digest != row.digest:
        raise ProposalError(f"proposal {row.id} is not what {row.proposer} proposed", code="proposal.changed")
    return found

"""How each partner stands: one state, the one step that is missing, and what will soon need somebody.

Registered is not yet exchanging: a partner that was approved here counts as active once a call of ours has gone well
there and its gateway has called here, both since the approval. Until then this says which of the two has not happened,
and why. Read from the database alone, for the command line, the console and the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit.entry import make_entry
from audit.form import PARTNER_CHANGED
from audit.log import append
from gateway.db import ReadSession
from gateway.proposals import Proposal, open_proposals
from gateway.service import Gateway
from gateway.sync.contacts import Contact, contacts
from partners.directory import Change, Party, change_state, note_change, parties, party_changes, party_states
from schemas.times import DAY, to_millis, utc_text

NOTICE = 30  # days before its end that a partner's document is spoken of
URGENT = 7  # days
KINDS = ("partner", "partner-resume", "partner-end", "partner-identity")
"""The acts about partners that take two persons; `gateway.registry` carries them out."""


@dataclass(frozen=True)
class Missing:
    """The one step that keeps a partner from being active."""

    code: str
    text: str


@dataclass(frozen=True)
class Standing:
    """A partner, or one that is only proposed: then `state` is `proposed` and `party` None.

    `missing` is None where nothing is. `since` (ms UTC) is when it came to its state. `changes` are all there were,
    oldest first; `proposals` are about it and wait for a decision.
    """

    code: str
    state: str
    party: Party | None
    contact: Contact
    missing: Missing | None
    since: int
    changes: tuple[Change, ...] = ()
    proposals: tuple[Proposal, ...] = ()

    @property
    def expires(self) -> int | None:
        """When (ms UTC) its document ends."""
        return None if self.party is None else to_millis(self.party.document.expires)

    @property
    def fingerprint(self) -> str:
        """Of the pinned identity, or of the proposed one where none is."""
        return self.party.fingerprint if self.party is not None else str(self.proposals[0].content["fingerprint"])

    def days_left(self, now: int) -> int | None:
        """Whole days until then at `now` (ms UTC), negative after it."""
        return None if self.expires is None else (self.expires - now) // DAY


def standings(session: ReadSession, now: int) -> list[Standing]:
    """How all partners stand at `now` (ms UTC), proposed ones too, by their codes."""
    known, changes, called = parties(session), party_changes(session), contacts(session)
    waiting: dict[str, list[Proposal]] = {}
    for kind in KINDS:
        for proposal in open_proposals(session, now=now, kind=kind):
            waiting.setdefault(proposal.subject, []).append(proposal)
    found = [
        _standing(party, changes.get(party.code, []), called.get(party.code, Contact()), waiting.pop(party.code, []))
        for party in known
    ]
    for code, proposals in waiting.items():
        missing = Missing("step.approve", f"somebody else approves it: taipu partner approve {code}")
        new = Standing(code, "proposed", None, Contact(), missing, proposals[0].proposed_at, (), tuple(proposals))
        found.append(new)
    return sorted(found, key=lambda one: one.code)


def as_members(one: Standing, now: int) -> dict[str, Any]:
    """A standing as the members of a JSON object; instants are RFC 3339 text, and the document is left out."""
    party, offered = one.party, one.proposals[0].content if one.proposals else {}
    contact = one.contact
    return {
        "party": one.code,
        "name": party.document.names.zh if party else offered.get("name"),
        "name_in_english": party.document.names.en if party else offered.get("name_in_english"),
        "state": one.state,
        "since": utc_text(one.since),
        "missing": None if one.missing is None else vars(one.missing),
        "url": party.url if party else offered.get("url"),
        "fingerprint": one.fingerprint,
        "serial": party.document.serial if party else None,
        "document_expires": _text(one.expires),
        "document_expires_days": one.days_left(now),
        "last_call": _text(contact.succeeded),
        "last_failure": _text(contact.failed),
        "last_error": contact.error,
        "last_called_us": _text(contact.called),
        "clock_skew_ms": contact.skew,
        "changes": [
            {
                "state": change.state, "at": utc_text(change.at), "actor": change.actor, "reason": change.reason,
                "proposal": change.proposal, "new_identity": change.replaced is not None,
            }
            for change in one.changes
        ],
        "proposals": [
            {
                "id": proposal.id, "kind": proposal.kind, "digest": proposal.digest, "proposer": proposal.proposer,
                "proposed_at": utc_text(proposal.proposed_at), "expires": utc_text(proposal.expires),
                "reason": proposal.reason,
                "content": dict(proposal.content),
            }
            for proposal in one.proposals
        ],
    }  # fmt: skip


def _text(instant: int | None) -> str | None:
    return None if instant is None else utc_text(instant)


def days_left(session: ReadSession, now: int) -> dict[str, int]:
    """Whole days until each partner's document expires, negative after that; ended partners are left out."""
    return {
        party.code: (to_millis(party.document.expires) - now) // DAY
        for party in parties(session)
        if party.state != "ended"
    }


def activate(gateway: Gateway, *, now: int) -> list[str]:
    """Make partners active with which the exchange has gone both ways since they were approved; which ones."""
    with gateway.database.read() as session:
        approved = [code for code, state in party_states(session).items() if state == "approved"]
        ready = _ready(session, approved) if approved else []
    if not ready:
        return []
    with gateway.database.write() as session:
        states = party_states(session)  # another process may have been quicker, or somebody has suspended it
        ready = [code for code in ready if states.get(code) == "approved"]
        for code in ready:
            change_state(session, code, "active")
            note_change(session, code, "active", now=now, reason="the exchange has gone both ways")
            detail = {"state": "active"}
            append(
                session,
                make_entry(PARTNER_CHANGED, at=utc_text(now), party=gateway.party, peer=code, detail=detail),
            )
    return ready


def _ready(session: ReadSession, codes: list[str]) -> list[str]:
    changes, called = party_changes(session), contacts(session)
    return [
        code for code in codes if all(_gone(called.get(code, Contact()), _since(changes.get(code, []), "approved", 0)))
    ]


def _gone(contact: Contact, since: int) -> tuple[bool, bool]:
    """Whether a call of ours has gone well since then, and whether they have called."""
    return (contact.succeeded or -1) >= since, (contact.called or -1) >= since


def _since(changes: list[Change], state: str, otherwise: int) -> int:
    return next((change.at for change in reversed(changes) if change.state == state), otherwise)


def _standing(party: Party, changes: list[Change], contact: Contact, proposals: list[Proposal]) -> Standing:
    since = _since(changes, party.state, party.added)
    missing = _missing(party, contact, since, proposals)
    return Standing(party.code, party.state, party, contact, missing, since, tuple(changes), tuple(proposals))


def _missing(party: Party, contact: Contact, since: int, proposals: list[Proposal]) -> Missing | None:
    if party.state == "suspended":
        if any(one.kind == "partner-resume" for one in proposals):
            return Missing("step.approve", f"somebody else approves it: taipu partner approve {party.code}")
        return Missing("step.resume", f"one proposes that it is resumed: taipu partner resume {party.code}")
    if party.state != "approved":
        return None
    ours, theirs = _gone(contact, since)
    if ours:
        return None if theirs else Missing("step.they-call", "their gateway has not called here yet")
    if (contact.failed or -1) < since:
        return Missing("step.call", "this gateway has not called them yet: is it serving?")
    if contact.error.startswith("partner.token-refused"):
        return Missing("step.they-register", "they have not registered us yet: they approve us at their gateway")
    return Missing("step.reach", f"they do not answer as they should: {contact.error}")

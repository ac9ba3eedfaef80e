"""Bringing partners in, suspending, resuming and ending them: who may, and what is written down.

A partner comes in by two persons, of whom the one who approves compares the fingerprint by telephone. Suspending one is
a single person's act and works on the next request; taking it up again, ending it for good and pinning another identity
take two. Each change stands in the log, and with its reason in the directory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.entry import make_entry
from audit.form import PARTNER_CHANGED, PARTNER_REGISTERED
from audit.log import append
from gateway.connection_test import Report
from gateway.db import WriteSession
from gateway.errors import ProposalError
from gateway.people.person import Person, actor_of
from gateway.proposals import MAX_REASON, Kind, Proposal, propose
from gateway.service import Gateway
from gateway.sync.links import SCOPES, gateway_client_id
from partners.directory import (
    Party,
    PartyState,
    change_state,
    find_party,
    note_change,
    register_party,
    replace_identity,
)
from partners.document import PartyError, claimed_party, open_document
from partners.oauth.clients import Client
from partners.oauth.store import add_client
from schemas.times import utc_text


def add_partner(
    gateway: Gateway, token: str, *, url: str, ca_pem: str | None, fingerprint: str, now: int, by: Person | None = None
) -> Party:
    """Register a party under the fingerprint that was compared, and its gateway as a client here. `now` in ms UTC.

    For networks that one process makes with all their ends; elsewhere two persons decide (`propose_partner`).

    Raises:
        PartyDocumentError, PartyError, RegistrationError: it cannot be registered; nothing has changed.
    """
    with gateway.database.write() as session:
        return _register(
            gateway,
            session,
            token,
            url=url,
            ca_pem=ca_pem,
            fingerprint=fingerprint,
            actor=by.account if by is not None else None,
            now=now,
        )


def propose_partner(
    gateway: Gateway, report: Report, *, by: Person, fingerprint: str | None = None, new_identity: bool = False,
    reason: str = "", now: int,
) -> Proposal:  # fmt: skip
    """Propose the party whose document a connection test has read, with all that the test said.

    With `new_identity` the party is registered, and another identity is to be pinned for it. `fingerprint` is what its
    administrator has read out already, if so.

    Raises:
        PartnerError: the test found no document, or another identity than that fingerprint's.
        PartyError: `party.own`, `party.exists` (registered, and no new identity asked for), `party.unknown`.
        AccessDeniedError, ProposalError: as `proposals.propose` does.
    """
    document = open_document(report.require_token(), pinned=fingerprint)
    if document.party == gateway.party:
        raise PartyError("a party is no partner of its own", code="party.own")
    with gateway.database.read() as session:
        known = find_party(session, document.party)
    if new_identity and (known is None or known.state == "ended"):
        raise PartyError("no party of this code is registered", code="party.unknown")
    if known is not None and not (new_identity and known.fingerprint != document.fingerprint):
        detail = f"party {known.code} is registered already, and is {known.state}"
        raise PartyError(detail, code="party.exists")
    content = {
        "document": report.token,
        "url": report.url,
        "ca": report.ca_pem or document.tls.ca,
        "fingerprint": document.fingerprint,
        "name": document.names.zh,
        "name_in_english": document.names.en,
        "test": [vars(step) for step in report.steps],
        **({"fingerprint_before": known.fingerprint} if known is not None else {}),
    }
    kind = IDENTITY if new_identity else PARTNER
    return propose(gateway, kind, document.party, content, by=by, reason=reason, now=now)


def suspend_partner(gateway: Gateway, code: str, *, by: Person, reason: str, now: int) -> None:
    """Stop the exchange with a party at once: its next request is refused, and we call it no more. `now` in ms UTC.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        PartyError: `party.unknown`, or `party.state-wrong`: it is suspended or ended already.
        ProposalError: `proposal.reason-invalid`: it needs a reason.
    """
    by.require("partner.suspend")
    _require_reason(reason)
    with gateway.database.write() as session:
        change_state(session, code, "suspended")
        _note(gateway, session, code, "suspended", by=by, reason=reason, now=now)
    _tell(gateway)


def propose_resumption(gateway: Gateway, code: str, *, by: Person, reason: str, now: int) -> Proposal:
    """Propose that a suspended party is taken up again. Raises as `propose_end` does."""
    return _propose_change(gateway, RESUME, code, ("suspended",), by=by, reason=reason, now=now)


def propose_end(gateway: Gateway, code: str, *, by: Person, reason: str, now: int) -> Proposal:
    """Propose that nothing is exchanged with a party ever again under this registration.

    Raises:
        PartyError: `party.unknown`, or `party.state-wrong`.
        AccessDeniedError, ProposalError: as `proposals.propose` does; `proposal.reason-invalid` also without a reason.
    """
    return _propose_change(gateway, END, code, ("approved", "active", "suspended"), by=by, reason=reason, now=now)


def _propose_change(
    gateway: Gateway, kind: Kind, code: str, states: tuple[PartyState, ...], *, by: Person, reason: str, now: int
) -> Proposal:
    _require_reason(reason)
    with gateway.database.read() as session:
        known = find_party(session, code)
    if known is None:
        raise PartyError("no party of this code is registered", code="party.unknown")
    if known.state not in states:
        raise PartyError(f"party {code} is {known.state}", code="party.state-wrong")
    content = {"fingerprint": known.fingerprint, "state": known.state}
    return propose(gateway, kind, code, content, by=by, reason=reason, now=now)


def _require_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        detail = f"say why, in at most {MAX_REASON} printable characters"
        raise ProposalError(detail, code="proposal.reason-invalid")


def _register_proposed(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    content = proposal.content
    _register(
        gateway, session, content["document"], url=content["url"], ca_pem=content["ca"],
        fingerprint=content["fingerprint"], actor=by.account, reason=proposal.reason, proposal=proposal.id, now=now,
    )  # fmt: skip


def _register(
    gateway: Gateway, session: WriteSession, token: str, *, url: str, ca_pem: str | None, fingerprint: str, now: int,
    actor: str | None, reason: str = "", proposal: str = "",
) -> Party:  # fmt: skip
    if claimed_party(token) == gateway.party:
        raise PartyError("a party is no partner of its own", code="party.own")
    party = register_party(session, token, url=url, ca_pem=ca_pem, fingerprint=fingerprint, now=now)
    note_change(session, party.code, party.state, now=now, actor=actor or "", reason=reason, proposal=proposal)
    client = Client(
        client_id=gateway_client_id(party.code),
        party=party.code,
        kind="gateway",
        scopes=frozenset(SCOPES),
        jwks="",  # those of its document, whichever is in force
    )
    add_client(session, client, now)
    detail = {"fingerprint": party.fingerprint, "serial": party.document.serial, "url": party.url}
    _log(gateway, session, PARTNER_REGISTERED, party.code, detail, actor, now)
    return party


def _resume(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    """It is approved, not active: that it is once the exchange has gone both ways again."""
    change_state(session, proposal.subject, "approved")
    _note(gateway, session, proposal.subject, "approved", by=by, reason=proposal.reason, proposal=proposal.id, now=now)


def _end(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    """Its clients end with it, since they are loaded with its state. What it signed stays, and so do its keys."""
    change_state(session, proposal.subject, "ended")
    _note(gateway, session, proposal.subject, "ended", by=by, reason=proposal.reason, proposal=proposal.id, now=now)


def _pin_anew(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    """The former identity's document stays in the party's history, and its gateway shows the new keys from now on."""
    content = proposal.content
    before = replace_identity(
        session, content["document"], url=content["url"], ca_pem=content["ca"], fingerprint=content["fingerprint"],
        now=now,
    )  # fmt: skip
    if before.fingerprint != content["fingerprint_before"]:
        detail = f"party {before.code} has got another identity since this was proposed"
        raise PartyError(detail, code="party.state-wrong")
    document = open_document(content["document"])
    note_change(
        session, before.code, before.state, now=now, actor=by.account, reason=proposal.reason, proposal=proposal.id,
        replaced=before.token,
    )  # fmt: skip
    said = {"state": before.state, "fingerprint": document.fingerprint, "fingerprint_before": before.fingerprint}
    _log(gateway, session, PARTNER_CHANGED, before.code, said, by.account, now)


def _note(
    gateway: Gateway, session: WriteSession, code: str, state: PartyState, *, by: Person, reason: str, now: int,
    proposal: str = "",
) -> None:  # fmt: skip
    note_change(session, code, state, now=now, actor=by.account, reason=reason, proposal=proposal)
    _log(gateway, session, PARTNER_CHANGED, code, {"state": state, "reason": reason}, by.account, now)


def _log(
    gateway: Gateway, session: WriteSession, t: str, peer: str, detail: dict[str, Any], account: str | None, now: int
) -> None:
    actor = actor_of(gateway.home, account) if account else None
    append(session, make_entry(t, at=utc_text(now), party=gateway.party, peer=peer, actor=actor, detail=detail))


def _tell(gateway: Gateway, _proposal: Proposal | None = None) -> None:
    """Whoever exchanges with partners looks again, in this process; others look every second."""
    gateway.heads_watch.nudge()
    gateway.signals.partners.send()
    gateway.signals.logged.send()


def _says(sentence: str) -> Callable[[Proposal], str]:
    """What is approved, in a sentence over the subject and the members of the content."""
    return lambda proposal: sentence.format(party=proposal.subject, **proposal.content)


_TELEPHONE = "compare by telephone: {fingerprint}"
PARTNER = Kind(
    "partner",
    "partner.propose",
    "partner.approve",
    _register_proposed,
    _tell,
    _says("{party} ({name}) becomes a partner, at {url}; " + _TELEPHONE),
)
RESUME = Kind(
    "partner-resume",
    "partner.propose",
    "partner.approve",
    _resume,
    _tell,
    _says("the exchange with {party} is resumed"),
)
END = Kind(
    "partner-end", "partner.propose", "partner.approve", _end, _tell, _says("the exchange with {party} ends for good")
)
IDENTITY = Kind(
    "partner-identity",
    "partner.propose",
    "partner.approve",
    _pin_anew,
    _tell,
    _says("{party} has another identity than {fingerprint_before}; " + _TELEPHONE),
)
KINDS = (PARTNER, RESUME, END, IDENTITY)

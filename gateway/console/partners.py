"""`/api/partners`: the partners, how each stands, and what one person may do about them.

What takes two persons is proposed here and approved where everything is that waits for a second person. Reads take
`registry.read`. A partner's answer is never passed on as it came: a test says in our own words what was wrong.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway import registry
from gateway.api.access import Home
from gateway.connection_test import Report, try_address, try_document, try_partner
from gateway.console.access import may
from gateway.errors import NotFoundError, RequestError
from gateway.fingerprints import svg_qr
from gateway.people.person import Person
from gateway.proposals import MAX_REASON, Proposal
from gateway.service import Gateway
from gateway.standing import Standing, as_members, standings
from partners.directory import find_party
from partners.document import MAX_DOCUMENT, check_ca
from schemas.times import now_millis

router = APIRouter(prefix="/api/partners")

Reader = Annotated[Person, Depends(may("registry.read"))]
Proposer = Annotated[Person, Depends(may("partner.propose"))]
Suspender = Annotated[Person, Depends(may("partner.suspend"))]


class Candidate(BaseModel):
    """Whom to try or propose: an address, a document that came by another way, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=MAX_DOCUMENT)

    url: str | None = None
    document: str | None = None
    ca: str | None = None


class Trial(Candidate):
    """A registered party, or a candidate."""

    party: str | None = None


class Offer(Candidate):
    """A candidate to be proposed."""

    fingerprint: str | None = None
    new_identity: bool = False
    reason: str = Field(default="", max_length=MAX_REASON)


class Why(BaseModel):
    """The reason for a change of state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field(min_length=1, max_length=MAX_REASON)


@router.get("", summary="The partners and how each stands")
def list_partners(gateway: Home, _reader: Reader) -> dict[str, Any]:
    """Each with its state, the one missing step, the last contacts, clock skew and expiry of its document."""
    now = now_millis()
    with gateway.database.read() as session:
        return {"partners": [as_members(one, now) for one in standings(session, now)]}


@router.get("/{code}", summary="One partner")
def read_partner(gateway: Home, _reader: Reader, code: str) -> dict[str, Any]:
    """As in the list; `qr` is where its fingerprint is drawn."""
    now = now_millis()
    return {**as_members(_standing(gateway, code, now), now), "qr": f"/api/partners/{code}/fingerprint.svg"}


@router.get("/{code}/fingerprint.svg", summary="A partner's fingerprint as a QR code")
def draw_fingerprint(gateway: Home, _reader: Reader, code: str) -> Response:
    """Of the pinned identity, or of the proposed one where none is."""
    found = _standing(gateway, code, now_millis())
    return Response(svg_qr(code, found.fingerprint), media_type="image/svg+xml", headers={"Cache-Control": "no-store"})


@router.post("/test", summary="Try a partner's gateway step by step")
def try_candidate(gateway: Home, _proposer: Proposer, trial: Trial) -> dict[str, Any]:
    """Every step with its result, a sentence and a code; 200 whatever the partner does."""
    if trial.party is None:
        report = _try(gateway, trial)
    else:
        with gateway.database.read() as session:
            party = find_party(session, trial.party)
        if party is None:
            raise NotFoundError("no party of this code is registered", code="party.unknown")
        report = try_partner(gateway, party, now=now_millis())
    return {"ok": report.ok, "url": report.url, "steps": [vars(step) for step in report.steps]}


@router.post("/propose", status_code=201, summary="Propose a partner, or another identity for one")
def propose(gateway: Home, proposer: Proposer, offer: Offer) -> dict[str, Any]:
    """The proposal with its digest and what the connection test said; somebody else approves it."""
    proposal = registry.propose_partner(
        gateway, _try(gateway, offer), by=proposer, fingerprint=offer.fingerprint, new_identity=offer.new_identity,
        reason=offer.reason, now=now_millis(),
    )  # fmt: skip
    return {**_proposed(proposal), "fingerprint": proposal.content["fingerprint"], "test": proposal.content["test"]}


@router.post("/{code}/suspend", summary="Suspend a partner at once")
def suspend(gateway: Home, suspender: Suspender, code: str, why: Why) -> dict[str, Any]:
    """One person's act: its next request is refused."""
    registry.suspend_partner(gateway, code, by=suspender, reason=why.reason, now=now_millis())
    return {"party": code, "state": "suspended"}


@router.post("/{code}/resume", status_code=201, summary="Propose that a suspended partner is resumed")
def resume(gateway: Home, proposer: Proposer, code: str, why: Why) -> dict[str, Any]:
    """The proposal; somebody else approves it."""
    return _proposed(registry.propose_resumption(gateway, code, by=proposer, reason=why.reason, now=now_millis()))


@router.post("/{code}/end", status_code=201, summary="Propose that a partner is ended for good")
def end(gateway: Home, proposer: Proposer, code: str, why: Why) -> dict[str, Any]:
    """The proposal; somebody else approves it."""
    return _proposed(registry.propose_end(gateway, code, by=proposer, reason=why.reason, now=now_millis()))


def _try(gateway: Gateway, candidate: Candidate) -> Report:
    now = now_millis()
    ca_pem = check_ca(candidate.ca) if candidate.ca is not None else None
    if candidate.document is not None:
        return try_document(gateway, candidate.document.strip(), url=candidate.url, ca_pem=ca_pem, now=now)
    if candidate.url is None:
        raise RequestError("give an address or a document")
    return try_address(gateway, candidate.url, ca_pem=ca_pem, now=now)


def _standing(gateway: Gateway, code: str, now: int) -> Standing:
    with gateway.database.read() as session:
        found = next((one for one in standings(session, now) if one.code == code), None)
    if found is None:
        raise NotFoundError("no party of this code is registered or proposed", code="party.unknown")
    return found


def _proposed(proposal: Proposal) -> dict[str, Any]:
    return {"proposal": proposal.id, "kind": proposal.kind, "party": proposal.subject, "digest": proposal.digest}

"""`/api/plans`: how every version stands, and what people of this gateway do about plans."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from gateway.agreements.acts import find_version, propose_adoption, propose_plan, propose_signature
from gateway.agreements.leaving import dispose, propose_withdrawal
from gateway.agreements.standing import standings, undecided_plans
from gateway.api.access import Home
from gateway.console.access import may
from gateway.console.forms import Form
from gateway.errors import RequestError
from gateway.people.person import Person
from gateway.proposals import Proposal
from schemas.errors import RecordError
from schemas.plan import check_plan, parse_plan
from schemas.plan.document import MAX_BYTES
from schemas.records import Disposed
from schemas.records.agreement import MAX_VERSION
from schemas.times import now_millis, to_millis

router = APIRouter()

Reader = Annotated[Person, Depends(may("registry.read"))]
Proposer = Annotated[Person, Depends(may("plan.propose"))]
Signer = Annotated[Person, Depends(may("plan.sign"))]


PlanName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Version = Annotated[int, Path(ge=1, le=MAX_VERSION)]


class Document(Form):
    """A plan document, in YAML or JSON."""

    document: str = Field(max_length=MAX_BYTES)
    reason: str = ""


class Why(Form):
    """For whoever approves."""

    reason: str = ""


class Withdrawal(Form):
    """From when on (RFC 3339), and why: the other parties read it."""

    effective: str = Field(max_length=40)
    reason: str


class Destroyed(Form):
    """What was destroyed of one dataset, and when (RFC 3339)."""

    provider: str
    dataset: str
    count: int
    at: str


class Certificate(Form):
    """All that was received under the plan, as it was destroyed."""

    destroyed: list[Destroyed] = Field(max_length=1000)
    text: str = ""


@router.get("/api/plans", summary="Every plan version known here, and how it stands")
def read_plans(gateway: Home, _person: Reader) -> dict[str, Any]:
    """With the plans under which nothing is published, since it is not known here which version is in force."""
    now = now_millis()
    with gateway.database.read() as session:
        found = standings(session, gateway.party, now=now)
        undecided = undecided_plans(session, now)
    return {"plans": [one.as_json() for one in found], "undecided": undecided}


@router.get("/api/plans/{plan}/{version}", summary="One version, with its document and its sentences")
def read_plan(gateway: Home, _person: Reader, plan: PlanName, version: Version) -> dict[str, Any]:
    """The canonical text, and what it says in both languages."""
    with gateway.database.read() as session:
        known = find_version(session, plan, version)
        found = standings(session, gateway.party, now=now_millis(), plan=plan)
    standing = next(one for one in found if one.known.plan.version == version)
    notes = [
        {"level": note.level, "pointer": note.pointer, "zh": note.sentence("zh"), "en": note.sentence("en")}
        for note in check_plan(known.plan)
    ]
    return {**standing.as_json(), "document": known.plan.canonical.decode(), "notes": notes}


@router.post("/api/plans", summary="Propose a version to the parties it names", status_code=201)
def propose(gateway: Home, person: Proposer, body: Document) -> dict[str, str]:
    """Nothing comes of it until all have signed."""
    plan = propose_plan(gateway, body.document.encode(), by=person, now=now_millis())
    return {"plan": plan.reference, "digest": plan.digest}


@router.post("/api/plans/adoptions", summary="Propose to record a first version agreed elsewhere", status_code=201)
def adopt(gateway: Home, person: Proposer, body: Document) -> dict[str, str]:
    """Somebody else approves."""
    plan = parse_plan(body.document.encode())
    return _proposed(
        propose_adoption(gateway, plan.canonical, by=person, reason=body.reason, now=now_millis())
    )  # fmt: skip


@router.post("/api/plans/{plan}/{version}/signatures", summary="Confirm this party's entries", status_code=201)
def sign(gateway: Home, person: Proposer, body: Why, plan: PlanName, version: Version) -> dict[str, str]:
    """The data authority then approves, which signs."""
    return _proposed(propose_signature(gateway, plan, version, by=person, reason=body.reason, now=now_millis()))


@router.post("/api/plans/{plan}/withdrawals", summary="Propose that this party leaves a plan", status_code=201)
def withdraw(gateway: Home, person: Proposer, body: Withdrawal, plan: PlanName) -> dict[str, str]:
    """The data authority then approves, and the others are told."""
    try:
        effective = to_millis(body.effective)
    except RecordError as error:
        raise RequestError(error.detail, pointers=["/effective"]) from error
    return _proposed(
        propose_withdrawal(gateway, plan, effective=effective, by=person, reason=body.reason, now=now_millis())
    )  # fmt: skip


@router.post("/api/plans/{plan}/disposals", summary="Certify what was destroyed", status_code=201)
def certify(gateway: Home, person: Signer, body: Certificate, plan: PlanName) -> dict[str, bool]:
    """Once this party has left, its cases are closed, and both sides have said their last figures."""
    destroyed = [Disposed(one.provider, one.dataset, one.count, one.at) for one in body.destroyed]
    dispose(gateway, plan, destroyed, text=body.text, by=person, now=now_millis())
    return {"certified": True}


def _proposed(proposal: Proposal) -> dict[str, str]:
    return {"proposal": proposal.id, "digest": proposal.digest}

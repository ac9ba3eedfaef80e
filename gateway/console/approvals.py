"""What waits for a second person: shown with all that will be done and its digest, and decided about.

Which permission an approval takes, the kind of act says (`gateway.approvals`); the route asks for somebody signed in.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from gateway import approvals
from gateway.api.access import Home
from gateway.approvals import KINDS
from gateway.console.access import SignedIn, may
from gateway.console.forms import Form, Nothing
from gateway.people.person import Person
from gateway.proposals import Proposal, all_proposals, find_proposal, open_proposals
from schemas.times import now_millis, utc_text

router = APIRouter(prefix="/api")

Reader = Annotated[Person, Depends(may("registry.read"))]


class Approval(Form):
    """The digest of what was shown, or its beginning."""

    digest: str = Field(max_length=64)


@router.get("/proposals", summary="What waits for a decision, or everything")
def list_proposals(person: Reader, gateway: Home, which: Literal["open", "all"] = "open") -> list[dict[str, Any]]:
    """What waits, oldest first; or all, newest first."""
    with gateway.database.read() as session:
        found = open_proposals(session, now=now_millis()) if which == "open" else all_proposals(session)
    return [described(proposal, person) for proposal in found]


@router.get("/proposals/{identifier}", summary="One proposal")
def read_proposal(identifier: str, person: Reader, gateway: Home) -> dict[str, Any]:
    """All that is approved with it."""
    with gateway.database.read() as session:
        return described(find_proposal(session, identifier), person)


@router.post("/proposals/{identifier}/approve", summary="Have it done")
def approve(identifier: str, form: Approval, person: SignedIn, gateway: Home) -> dict[str, Any]:
    """Exactly what the digest names, by somebody else than who proposed it, who has just shown the second factor."""
    decided = approvals.approve(gateway, identifier, by=person, digest=form.digest, now=now_millis())
    return described(decided, person)


@router.post("/proposals/{identifier}/reject", summary="Have it never done")
def reject(identifier: str, _form: Nothing, person: SignedIn, gateway: Home) -> dict[str, Any]:
    """Whoever proposed it takes it back so."""
    return described(approvals.reject(gateway, identifier, by=person, now=now_millis()), person)


def described(proposal: Proposal, person: Person | None = None) -> dict[str, Any]:
    """A proposal with what it will do in words, and whether `person` may approve it."""
    kind = KINDS[proposal.kind]
    others = person is not None and person.account != proposal.proposer
    return {
        "id": proposal.id,
        "kind": proposal.kind,
        "subject": proposal.subject,
        "says": kind.says(proposal),
        "content": dict(sorted(proposal.content.items())),
        "reason": proposal.reason,
        "digest": proposal.digest,
        "proposer": proposal.proposer,
        "proposed_at": utc_text(proposal.proposed_at),
        "expires": utc_text(proposal.expires),
        "state": proposal.state,
        "decider": proposal.decider,
        "decided_at": None if proposal.decided_at is None else utc_text(proposal.decided_at),
        "may_approve": others and proposal.state == "proposed" and person is not None and person.may(kind.approve),
    }

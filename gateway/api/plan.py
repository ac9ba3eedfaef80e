"""`/v1/plan`: the plans the caller's party takes part in: those in force as documents, and how each version stands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateway.agreements.standing import standings
from gateway.api.access import PRIVATE, Caller, Home, allow
from partners.grants import ReadPlans
from partners.plans import plans_in_force
from schemas.times import now_millis

router = APIRouter()
_SHOWN = ("plan", "digest", "state", "effective", "signatures_due", "proposer", "signed", "missing")


@router.get("/v1/plan", summary="The plans that the caller's party takes part in")
def read_plans(gateway: Home, caller: Caller, response: Response) -> dict[str, Any]:
    """Reference, digest, instant and canonical text (RFC 8785) of what is in force; `versions` has the state of each.

    Others' plans are not shown.
    """
    now = now_millis()
    response.headers.update(PRIVATE)
    with gateway.database.read() as session:
        allow(session, gateway, caller, ReadPlans(), now=now)
        plans = plans_in_force(session, now).plans
        known = standings(session, gateway.party, now=now)
    return {
        "plans": [
            {
                "plan": plan.reference,
                "digest": plan.digest,
                "effective": plan.effective.isoformat(),
                "document": plan.canonical.decode(),
            }
            for plan in plans
            if caller.party in plan.parties
        ],
        "versions": [
            {name: member for name, member in one.as_json().items() if name in _SHOWN}
            for one in known
            if caller.party in one.known.plan.parties
        ],
    }

"""`/v1/plan`: the plans in force, as the documents they were given as."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateway.api.access import PRIVATE, Caller, Home, allow
from partners.grants import ReadPlans
from partners.plans import plans_in_force
from schemas.times import now_millis

router = APIRouter()


@router.get("/v1/plan", summary="The plans in force that the caller's party takes part in")
def read_plans(gateway: Home, caller: Caller, response: Response) -> dict[str, Any]:
    """Reference, digest, instant and canonical text (RFC 8785) of each; others' plans are not shown."""
    now = now_millis()
    response.headers.update(PRIVATE)
    with gateway.database.read() as session:
        allow(session, gateway, caller, ReadPlans(), now=now)
        plans = plans_in_force(session, now).plans
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
        ]
    }

"""`/v1/plan`: the plans in force, as the documents they were given as."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gateway.api.access import Caller, Home
from partners.plans import plans_in_force
from schemas.times import now_millis

router = APIRouter()


@router.get("/v1/plan", summary="The plans in force that the caller's party takes part in")
def read_plans(gateway: Home, caller: Caller) -> dict[str, Any]:
    """Reference, digest, instant and canonical text (RFC 8785) of each; others' plans are not shown."""
    with gateway.database.read() as session:
        plans = plans_in_force(session, now_millis()).plans
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

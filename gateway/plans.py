"""The shared-data plans of this gateway: taken in, and from when on they decide."""

from __future__ import annotations

from audit.entry import make_entry
from audit.form import PLAN_IN_FORCE
from audit.log import append
from gateway.service import Gateway
from partners.plans import add_plan
from schemas.plan import Plan
from schemas.times import utc_text


def bring_plan(gateway: Gateway, document: bytes, *, now: int) -> Plan:
    """Keep a plan document; it is in force from its own instant on. `now` in ms UTC.

    Raises:
        PlanError: not valid, or other content for a version known already.
    """
    with gateway.database.write() as session:
        plan = add_plan(session, document, now=now)
        detail = {"plan": plan.reference, "digest": plan.digest, "effective": plan.effective.isoformat()}
        append(session, make_entry(PLAN_IN_FORCE, at=utc_text(now), party=gateway.party, detail=detail))
    return plan

"""Founding a network: the plan that is there from the beginning, as agreed outside the program.

For tests, benchmarks and the demonstration, where one process holds all ends. People record the same by a proposal that
two of them decide (`gateway.agreements.acts.ADOPTION`), and only for the first version of a plan.
"""

from __future__ import annotations

from gateway.agreements.acts import adopt_within, wake
from gateway.service import Gateway
from schemas.plan import Plan


def bring_plan(gateway: Gateway, document: bytes, *, now: int) -> Plan:
    """Keep a plan as adopted by agreement outside the program; it is in force from its own instant on.

    `now` in ms UTC. Raises PlanError as `adopt_within` does.
    """
    with gateway.database.write() as session:
        plan = adopt_within(gateway, session, document, now=now, first=False)
    wake(gateway)
    return plan

"""Nanxun joins: registered by two people at each end, under a plan that both parties sign over the running gateways.

What takes hours between bureaus takes seconds here, and every step is the one that people take: the connection is
tried, one person proposes the partner and another approves it under the fingerprint that was compared, at both ends;
Wujiang proposes the plan, both sign it in two steps, and it comes into force at its instant.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gateway import approvals, party_document
from gateway.agreements.acts import propose_plan, propose_signature
from gateway.connection_test import try_document
from gateway.demo.errors import DemoError
from gateway.demo.network import BILATERAL_FILE, NANXUN, WUJIANG, add_client_of, dated_plan, let_people_in, opened
from gateway.demo.people import APPROVER, SYSTEM, acting
from gateway.home import open_home
from gateway.proposals import Proposal
from gateway.registry import propose_partner
from gateway.service import Gateway
from partners.document import open_document
from partners.plans import find_plan, plans_in_force
from schemas.plan import Plan
from schemas.times import now_millis

NOTICE = 12_000  # ms from the proposal to the plan's instant; its `lead` is two seconds of that
_WITHIN = 60.0  # seconds for any one step
_LOOK = 0.1  # seconds


def join_nanxun(root: Path, *, now: int) -> None:
    """Let Nanxun and Wujiang, both running, register each other and bring their bilateral plan into force.

    Raises:
        DemoError: `demo.not-agreed`: a step did not come about in time.
    """
    let_people_in(root, now=now)
    homes = [open_home(root / party) for party in (WUJIANG, NANXUN)]
    with opened(homes) as (wujiang, nanxun):
        _register(wujiang, nanxun)
        _register(nanxun, wujiang)
        text = _agree(wujiang, nanxun)
        add_client_of(root, [wujiang, nanxun], NANXUN, "reader", now)
    (root / BILATERAL_FILE).write_text(text, encoding="utf-8")


def _register(gateway: Gateway, other: Gateway) -> None:
    now = now_millis()
    token = party_document.own_document(other.home)
    report = try_document(gateway, token, now=now)
    fingerprint = open_document(token).fingerprint  # what the other administrator reads out
    proposal = propose_partner(
        gateway, report, by=acting(gateway, SYSTEM, now=now), fingerprint=fingerprint, now=now
    )  # fmt: skip
    _approve(gateway, proposal)


def _agree(wujiang: Gateway, nanxun: Gateway) -> str:
    """Propose, sign and see into force; the plan's text."""
    now = now_millis()
    text = dated_plan(BILATERAL_FILE, now + NOTICE)
    plan = propose_plan(wujiang, text.encode(), by=acting(wujiang, SYSTEM, now=now), now=now)
    _wait("the proposal to reach Nanxun", lambda: _knows(nanxun, plan))
    for gateway in (wujiang, nanxun):
        now = now_millis()
        by = acting(gateway, SYSTEM, now=now)
        _approve(gateway, propose_signature(gateway, plan.id, plan.version, by=by, now=now))
    for gateway in (wujiang, nanxun):
        _wait("the plan to come into force", lambda gateway=gateway: _in_force(gateway, plan))  # type: ignore[misc]
    return text


def _approve(gateway: Gateway, proposal: Proposal) -> None:
    now = now_millis()
    approvals.approve(
        gateway, proposal.id, by=acting(gateway, APPROVER, now=now), digest=proposal.digest, now=now
    )  # fmt: skip


def _knows(gateway: Gateway, plan: Plan) -> bool:
    with gateway.database.read() as session:
        return find_plan(session, plan.id, plan.version) is not None


def _in_force(gateway: Gateway, plan: Plan) -> bool:
    with gateway.database.read() as session:
        return plan.id in {one.id for one in plans_in_force(session, now_millis()).plans}


def _wait(what: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN
    while not reached():
        if time.monotonic() > deadline:
            raise DemoError(f"waited {_WITHIN:.0f} s in vain for {what}", code="demo.not-agreed")
        time.sleep(_LOOK)

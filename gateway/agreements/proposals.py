"""What a version must keep to be proposed. Its proposer's gateway asks before it is published, and every receiver
again: so nobody is ever asked to sign what ends a dataset without notice, or drops a party that has not left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gateway.db import ReadSession
from partners.plans import Known, check_fit, known_plans, lead_of, plans_in_force
from schemas.errors import PlanError
from schemas.plan import Plan
from schemas.plan.changes import short_of_notice
from schemas.times import millis_of

MAX_OPEN = 16  # proposals of one party that nobody has decided about


def check_proposal(session: ReadSession, plan: Plan, *, proposer: str, home: str, at: int) -> None:
    """That `proposer` may propose `plan` at the instant `at` (ms UTC).

    Raises:
        PlanError: `plan.refused`, `.version-taken`, `.dataset-taken`, `.not-party`, `.too-late`, `.too-many`,
            `.undecided`, `.version-older`, `.drops-party`, `.notice-short`.
    """
    if not {proposer, home} <= set(plan.parties):
        raise PlanError("a plan is between parties that it names", code="plan.not-party", pointers=["/parties"])
    check_fit(session, plan)
    if millis_of(plan.effective) - lead_of(plan) <= at:
        detail = "its instant comes before all could have signed in time"
        raise PlanError(detail, code="plan.too-late", pointers=["/effective"])
    versions = known_plans(session, plan.id)
    undecided = [one for one in known_plans(session) if one.verdict is None]
    if sum(one.proposer == proposer for one in undecided) >= MAX_OPEN:
        raise PlanError(f"{MAX_OPEN} proposals of {proposer} are not decided", code="plan.too-many")
    if waiting := next((one for one in undecided if one.plan.id == plan.id), None):
        raise PlanError(f"{waiting.plan.reference} has to be decided first", code="plan.undecided")
    if versions and plan.version <= versions[-1].plan.version:
        detail = f"version {versions[-1].plan.version + 1} comes next"
        raise PlanError(detail, code="plan.version-older", pointers=["/version"])
    before = next((one for one in reversed(versions) if one.verdict == "in-force"), None)
    if before is not None:
        _check_successor(session, before, plan, proposer, at)


def _check_successor(session: ReadSession, before: Known, plan: Plan, proposer: str, at: int) -> None:
    old = before.plan
    if proposer not in old.parties:
        raise PlanError(f"{proposer} is no party of {old.reference}", code="plan.not-party", pointers=["/parties"])
    if plan.effective <= old.effective:
        raise PlanError(f"it begins before {old.reference} does", code="plan.too-late", pointers=["/effective"])
    # Who has left by then, and what ended with them, was given notice of by their withdrawal.
    then = plans_in_force(session, millis_of(plan.effective))
    left = then.withdrawn.get(plan.id, frozenset())
    if dropped := sorted(set(old.parties) - set(plan.parties) - left):
        detail = f"{', '.join(dropped)} would be put out of the plan: a party leaves it by its own withdrawal"
        raise PlanError(detail, code="plan.drops-party", pointers=["/parties"])
    standing = next((one for one in then.plans if one.id == plan.id), None)
    if standing is None:
        return  # its term is over by then
    kept = tuple(one for one in standing.datasets if (one.provider, one.id) not in then.drained)
    standing = replace(standing, datasets=kept, parties=tuple(one for one in old.parties if one not in left))
    short = short_of_notice(standing, plan, datetime.fromtimestamp(at / 1000, UTC))
    if short:
        sentences = " ".join(note.sentence("en") for note in short)
        raise PlanError(sentences, code="plan.notice-short", pointers=[note.pointer for note in short])

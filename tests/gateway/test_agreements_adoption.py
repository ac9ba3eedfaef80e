"""A plan that was agreed outside the program: its first version, recorded by two persons, and nothing later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.form import APPROVED, PLAN_IN_FORCE
from gateway.agreements.acts import propose_adoption
from gateway.approvals import approve
from gateway.errors import AccessDeniedError, ProposalError
from partners.plans import find_plan, known_plans, plans_in_force
from schemas.errors import PlanError
from schemas.times import now_millis
from tests.gateway.hands import entries
from tests.people import person, two_people
from tests.world import ANTIMONY, JIASHAN, QINGPU, SITES, WUJIANG, Node, make_node, plan_document

PLAN = plan_document(SITES, ANTIMONY)


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    yield node
    node.stop()


def adopt(node: Node, document: bytes) -> None:
    proposer, approver = two_people(node)
    proposal = propose_adoption(node.gateway, document, by=proposer, reason="signed on paper", now=now_millis())
    approve(node.gateway, proposal.id, by=approver, digest=proposal.digest, now=now_millis())


def test_two_persons_record_a_first_version_and_it_is_in_force(node: Node) -> None:
    adopt(node, PLAN)
    with node.gateway.database.read() as session:
        known = find_plan(session, "tri-district-monitoring", 1)
        in_force = plans_in_force(session, now_millis()).plans
    assert known is not None
    assert (known.verdict, known.ground, known.proposer) == ("in-force", "adopted", "")
    assert [plan.reference for plan in in_force] == ["tri-district-monitoring@1"]
    (entry,) = entries(node, PLAN_IN_FORCE)
    assert entry["detail"]["ground"] == "adopted"
    assert entries(node, APPROVED)[0]["detail"]["kind"] == "plan-adoption"


def test_what_one_person_proposed_is_not_in_force(node: Node) -> None:
    approver = person(node, "li", "approver")
    proposal = propose_adoption(node.gateway, PLAN, by=approver, now=now_millis())
    with pytest.raises(ProposalError) as caught:
        approve(node.gateway, proposal.id, by=approver, digest=proposal.digest, now=now_millis())
    assert caught.value.code == "proposal.own"
    with node.gateway.database.read() as session:
        assert known_plans(session) == []


def test_who_may_not_propose_a_plan_adopts_none(node: Node) -> None:
    with pytest.raises(AccessDeniedError):
        propose_adoption(node.gateway, PLAN, by=person(node, "an", "analyst"), now=now_millis())


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (plan_document(SITES, ANTIMONY, version=2), "plan.not-first"),
        (plan_document(SITES, parties=[JIASHAN, QINGPU]), "plan.not-party"),
        (plan_document(SITES, SITES), "plan.refused"),
        (plan_document({**SITES, "id": "governance-x"}), "plan.refused"),
        (plan_document(ANTIMONY).replace(b'"tri-district-monitoring"', b'"another"'), "plan.dataset-taken"),
    ],
)
def test_nothing_later_and_nothing_unfit_is_adopted(node: Node, document: bytes, code: str) -> None:
    proposer, _ = two_people(node)
    adopt(node, PLAN)
    if code == "plan.not-party":
        document = document.replace(b'"tri-district-monitoring"', b'"another"')
    if code == "plan.refused":
        document = document.replace(b'"tri-district-monitoring"', b'"another"').replace(b'"wj-sites"', b'"x"')
    with pytest.raises(PlanError) as caught:
        propose_adoption(node.gateway, document, by=proposer, now=now_millis())
    assert caught.value.code == code

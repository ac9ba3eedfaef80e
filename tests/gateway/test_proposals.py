"""What takes two persons: proposed by one, approved by another, exactly as it was shown, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from audit.form import APPROVED, PROPOSED, REJECTED
from gateway import proposals
from gateway.errors import AccessDeniedError, ConflictError, ProposalError
from gateway.proposals import LIFE, Kind, Proposal
from gateway.store import tables
from schemas.times import now_millis
from tests.gateway.hands import entries
from tests.people import person, two_people
from tests.world import WUJIANG, Node, make_node


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    yield node
    node.stop()


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def kind(done: list[str]) -> Kind:
    return Kind("deed", "partner.propose", "partner.approve", lambda _g, _s, proposal, _b, _n: done.append(proposal.id))


def propose(node: Node, kind: Kind, **content: object) -> Proposal:
    proposer, _ = two_people(node)
    return proposals.propose(node.gateway, kind, "x", content or {"what": "this"}, by=proposer, now=now_millis())


def approve(node: Node, kind: Kind, proposal: Proposal, **changes: object) -> Proposal:
    _, approver = two_people(node)
    given = {"by": approver, "digest": proposal.digest, "now": now_millis()} | changes
    return proposals.approve(node.gateway, {kind.name: kind}, proposal.id, **given)  # type: ignore[arg-type]


def refused(node: Node, kind: Kind, proposal: Proposal, **changes: object) -> str:
    with pytest.raises((ProposalError, AccessDeniedError)) as caught:
        approve(node, kind, proposal, **changes)
    return caught.value.code


def test_a_second_person_has_it_done_once_and_both_are_in_the_log(node: Node, kind: Kind, done: list[str]) -> None:
    proposal = propose(node, kind)
    approve(node, kind, proposal, digest=proposal.digest[:8])
    assert done == [proposal.id]
    assert refused(node, kind, proposal) == "proposal.decided"
    assert done == [proposal.id]
    proposed, approved = entries(node, PROPOSED), entries(node, APPROVED)
    assert proposed[0]["detail"] == approved[0]["detail"]
    assert proposed[0]["detail"]["digest"] == proposal.digest
    assert proposed[0]["actor"] != approved[0]["actor"]


def test_nobody_approves_their_own_proposal_whatever_their_roles(node: Node, kind: Kind, done: list[str]) -> None:
    both = person(node, "both", "system", "approver")
    proposal = proposals.propose(node.gateway, kind, "x", {"what": "this"}, by=both, now=now_millis())
    assert refused(node, kind, proposal, by=both) == "proposal.own"
    assert refused(node, kind, proposal, by=replace(both, account="BOTH")) == "proposal.own"
    assert done == []


def test_the_database_refuses_it_too(node: Node, kind: Kind) -> None:
    proposal = propose(node, kind)
    table = tables.proposal
    with pytest.raises(DBAPIError, match="two_persons"), node.gateway.database.write() as session:
        session.execute(
            update(table).where(table.c.id == proposal.id).values(state="approved", decider="WEI", decided_at=1)
        )


def test_what_was_decided_stays_decided_in_the_database(node: Node, kind: Kind) -> None:
    proposal = propose(node, kind)
    approve(node, kind, proposal)
    table = tables.proposal
    with pytest.raises(DBAPIError, match="a decided proposal stays"), node.gateway.database.write() as session:
        session.execute(update(table).where(table.c.id == proposal.id).values(reason="another"))


def test_an_approval_is_of_what_was_shown(node: Node, kind: Kind, done: list[str]) -> None:
    shown, other = propose(node, kind), propose(node, kind, what="that")
    assert refused(node, kind, other, digest=shown.digest) == "proposal.changed"
    assert refused(node, kind, shown, digest=shown.digest[:7]) == "proposal.changed"
    with node.gateway.database.write() as session:
        table = tables.proposal
        session.execute(update(table).where(table.c.id == shown.id).values(content=b'{"what":"something else"}'))
    assert refused(node, kind, shown) == "proposal.changed"
    assert done == []


def test_an_approval_takes_the_role_and_the_second_factor_just_shown(node: Node, kind: Kind, done: list[str]) -> None:
    proposal, (_, approver) = propose(node, kind), two_people(node)
    assert refused(node, kind, proposal, by=person(node, "zhao", "operator")) == "person.not-permitted"
    stale = replace(approver, confirmed=now_millis() - 6 * 60_000)
    assert refused(node, kind, proposal, by=stale) == "person.confirm-again"
    assert done == []


def test_proposing_takes_its_role(node: Node, kind: Kind) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        proposals.propose(node.gateway, kind, "x", {}, by=person(node, "sun", "audit"), now=now_millis())
    assert caught.value.code == "person.not-permitted"


def test_a_proposal_that_waited_too_long_has_to_be_made_anew(node: Node, kind: Kind) -> None:
    proposal = propose(node, kind)
    later, (_, approver) = proposal.proposed_at + LIFE, two_people(node)
    assert refused(node, kind, proposal, by=replace(approver, confirmed=later), now=later) == "proposal.expired"
    with node.gateway.database.read() as session:
        assert proposals.open_proposals(session, now=later - 1) == [proposal]
        assert proposals.open_proposals(session, now=later) == []


def test_the_same_is_not_proposed_twice_while_it_waits(node: Node, kind: Kind) -> None:
    propose(node, kind)
    with pytest.raises(ProposalError) as caught:
        propose(node, kind)
    assert caught.value.code == "proposal.open"


def test_what_cannot_be_done_leaves_the_proposal_open_and_nothing_in_the_log(node: Node, kind: Kind) -> None:
    def fail(*_: object) -> None:
        raise ConflictError("not now", code="deed.impossible")

    proposal = propose(node, kind)
    with pytest.raises(ConflictError):
        approve(node, replace(kind, carry_out=fail), proposal)
    assert entries(node, APPROVED) == []
    assert approve(node, kind, proposal).state == "approved"


def test_whoever_proposed_may_take_it_back_and_an_approver_may_reject_it(
    node: Node, kind: Kind, done: list[str]
) -> None:
    proposer, approver = two_people(node)
    kinds = {kind.name: kind}
    first, second, third = (propose(node, kind, what=what) for what in "abc")
    for proposal, by in ((first, proposer), (second, approver)):
        assert proposals.reject(node.gateway, kinds, proposal.id, by=by, now=now_millis()).state == "rejected"
        assert refused(node, kind, proposal) == "proposal.decided"
    with pytest.raises(AccessDeniedError):
        proposals.reject(node.gateway, kinds, third.id, by=person(node, "zhao", "operator"), now=now_millis())
    assert len(entries(node, REJECTED)) == 2
    assert done == []

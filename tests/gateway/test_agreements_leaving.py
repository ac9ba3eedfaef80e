"""A party leaves a plan alone: with notice, drained, reconciled, and with a certificate of what it destroyed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from audit.form import DISPOSAL, PLAN_WITHDRAWN
from gateway.agreements.acts import act_of
from gateway.agreements.leaving import differences, dispose, own_figures, propose_withdrawal
from gateway.approvals import approve
from gateway.errors import ConflictError
from partners.agreements import Act, find_act
from partners.grants import ReadFeed, decide
from partners.plans import plans_in_force
from partners.principal import Principal
from schemas.errors import PlanError, RecordError
from schemas.plan import parse_plan
from schemas.records import Disposed
from schemas.times import beijing_text
from tests.gateway.agreement_world import DAY, PLAN, Network, head_of, started, version
from tests.gateway.hands import entries, hand_in
from tests.gateway.test_agreements import crafted, refused
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

LAKE = {"id": "qp-sites", "provider": QINGPU, "recipients": [WUJIANG, JIASHAN], "kind": "site"}
CASES = [
    {"id": "wj-cases-qp", "recipients": [QINGPU], "kind": "case"},
    {"id": "qp-cases-wj", "provider": QINGPU, "recipients": [WUJIANG], "kind": "case"},
]
DOCUMENT = plan_document(SITES, ANTIMONY, LAKE, *CASES)


@pytest.fixture
def net(tmp_path: Path, database_url: str) -> Iterator[Network]:
    nodes = (make_node(tmp_path, WUJIANG), make_node(tmp_path, JIASHAN), make_node(tmp_path, QINGPU, database_url))
    introduce(*nodes)
    bring_plan(DOCUMENT, *nodes)
    net = Network(nodes, started())
    hand_in(net[WUJIANG], site_line(), reading_line(0))
    hand_in(net[QINGPU], site_line("310118-SW-0001"))
    net.exchange()
    yield net
    for node in nodes:
        node.stop()


def step(party: str, to: str, number: int, state: str) -> bytes:
    record = {
        "kind": "case", "case": "320509-1", "step": number, "type": "information", "from": party, "to": [to],
        "state": state, "at": "2026-11-20T12:00:00+08:00",
    }  # fmt: skip
    return json.dumps(record).encode()


def leave(net: Network, party: str = QINGPU, days: int = 91) -> int:
    """Two persons withdraw their party; the instant."""
    node, effective = net[party], net.now + days * DAY
    wei, li = net.person(node, "wei", "system"), net.person(node, "li", "approver")
    proposal = propose_withdrawal(node.gateway, PLAN, effective=effective, by=wei, reason="moves", now=net.now)
    approve(node.gateway, proposal.id, by=li, digest=proposal.digest, now=net.now)
    net.exchange()
    return effective


def withdrawal(net: Network, party: str) -> Act:
    with net[party].gateway.database.read() as session:
        found = find_act(session, PLAN, 1, QINGPU, "withdrawal")
    assert found is not None
    return found


def readable(net: Network, at: str, by: str, provider: str, dataset: str) -> bool:
    node = net[at]
    with node.gateway.database.read() as session:
        plans = plans_in_force(session, net.now)
    reader = Principal(by, f"{by}-gateway", "gateway", frozenset({"feeds:read"}), "")
    return decide(reader, ReadFeed(provider, dataset), plans, at, now=net.now).allow


def disposed(count: int = 1) -> list[Disposed]:
    at = "2027-03-01T10:00:00+08:00"
    return [Disposed(WUJIANG, name, count, at) for name in ("wj-sites", "wj-antimony", "wj-cases-qp")]


def end(net: Network) -> None:
    dispose(
        net[QINGPU].gateway, PLAN, disposed(), by=net.person(net[QINGPU], "li", "approver"), now=net.now
    )  # fmt: skip


def test_until_its_instant_everything_flows_and_then_what_it_gave_and_got_ends(net: Network) -> None:
    effective = leave(net)
    hand_in(net[WUJIANG], reading_line(1))
    net.exchange()
    assert head_of(net[QINGPU], WUJIANG, "wj-antimony") == 2
    net.now = effective
    hand_in(net[WUJIANG], reading_line(2))
    hand_in(net[QINGPU], site_line("310118-SW-0002"))
    net.exchange()
    assert (head_of(net[JIASHAN], WUJIANG, "wj-antimony"), head_of(net[QINGPU], WUJIANG, "wj-antimony")) == (3, 2)
    assert head_of(net[WUJIANG], QINGPU, "qp-sites") == head_of(net[JIASHAN], QINGPU, "qp-sites") == 1
    assert not readable(net, WUJIANG, QINGPU, WUJIANG, "wj-antimony")
    assert readable(net, WUJIANG, JIASHAN, WUJIANG, "wj-antimony")
    assert readable(net, QINGPU, WUJIANG, QINGPU, "qp-sites")  # what it published can still be fetched
    for node in net.nodes:
        assert len(entries(node, PLAN_WITHDRAWN)) == 1


def test_who_remains_is_what_a_quorum_is_counted_of(net: Network) -> None:
    effective = leave(net)
    for node in net.nodes:
        with node.gateway.database.read() as session:
            before, after = plans_in_force(session, effective - 1), plans_in_force(session, effective)
        assert before.remaining(before.plans[0]) == (QINGPU, WUJIANG, JIASHAN)
        assert after.remaining(after.plans[0]) == (WUJIANG, JIASHAN)


def test_what_lingers_leaves_before_the_instant(net: Network) -> None:
    net.nodes[0].stop()
    document = json.loads(version(2, SITES, ANTIMONY, LAKE | {"linger": "PT10M"}, *CASES, effective=net.now))
    bring_plan(json.dumps(document).encode(), net[JIASHAN], net[QINGPU])
    net.nodes = net.nodes[1:]
    effective = leave(net)
    net.now = effective - 30_000
    hand_in(net[QINGPU], site_line("310118-SW-0002"), at=net.now)
    net.exchange(rounds=1)
    assert head_of(net[JIASHAN], QINGPU, "qp-sites") == 2


@pytest.mark.parametrize("days", [0, 89])
def test_nobody_leaves_without_the_plans_notice(net: Network, days: int) -> None:
    with pytest.raises(PlanError) as caught:
        leave(net, days=days)
    assert caught.value.code == "plan.notice-short"
    record = msgspec.structs.replace(
        act_of(net[QINGPU].gateway, parse_plan(DOCUMENT), "withdrawal", now=net.now), text="so"
    )
    batch = crafted(
        net[QINGPU], parse_plan(DOCUMENT), "withdrawal", net.now, effective=beijing_text(net.now + days * DAY),
        text=record.text,
    )  # fmt: skip
    assert refused(net, WUJIANG, QINGPU, batch) == "plan.notice-short"


def test_nobody_leaves_twice_or_while_a_version_is_undecided(net: Network) -> None:
    net.propose(net[WUJIANG], version(2, SITES, ANTIMONY, LAKE, *CASES, effective=net.now + 3 * DAY))
    net.exchange()
    with pytest.raises(ConflictError) as undecided:
        leave(net)
    assert undecided.value.code == "plan.undecided"
    net.now = net.known(net[WUJIANG], 2).deadline + 1
    net.exchange()
    leave(net)
    with pytest.raises(PlanError) as caught:
        leave(net)
    assert caught.value.code == "plan.withdrawn"


def test_both_sides_say_the_same_last_figures_and_the_certificate_ends_all_access(net: Network) -> None:
    net.now = leave(net) + 1_000
    net.exchange()
    for one, other in ((WUJIANG, QINGPU), (QINGPU, WUJIANG), (JIASHAN, QINGPU), (QINGPU, JIASHAN)):
        with net[one].gateway.database.read() as session:
            figures = own_figures(session, one, withdrawal(net, one))
            assert differences(session, one, withdrawal(net, one), other) == []
        assert {figure.count for figure in figures if figure.dataset != "wj-cases-qp"} >= {1}
    end(net)
    net.exchange()
    assert not readable(net, QINGPU, WUJIANG, QINGPU, "qp-sites")
    for node in net.nodes:
        assert len(entries(node, DISPOSAL)) == 1
        with node.gateway.database.read() as session:
            plans = plans_in_force(session, net.now)
        assert [one.id for plan in plans.plans for one in plan.datasets] == ["wj-sites", "wj-antimony"]
        governed = plans.dataset(WUJIANG, f"governance-{PLAN}")
        assert governed is not None
        assert not governed[1].received_by(QINGPU)


def test_a_batch_that_one_side_does_not_have_shows_in_the_figures(net: Network) -> None:
    effective = leave(net)
    hand_in(net[WUJIANG], reading_line(1))
    net.exchange(cut=[QINGPU])
    net.now = effective + 1_000
    net.exchange()
    with net[WUJIANG].gateway.database.read() as session:
        (difference,) = differences(session, WUJIANG, withdrawal(net, WUJIANG), QINGPU)
    assert (difference.dataset, difference.ours and difference.ours.count) == ("wj-antimony", 2)
    assert difference.theirs is not None
    assert difference.theirs.count == 1


def test_open_cases_stay_reachable_and_nothing_is_certified_before_they_are_closed(net: Network) -> None:
    hand_in(net[WUJIANG], step(WUJIANG, QINGPU, 1, "sent"))
    net.exchange()
    net.now = leave(net) + 1_000
    net.exchange()
    assert readable(net, WUJIANG, QINGPU, WUJIANG, "wj-cases-qp")
    with pytest.raises(ConflictError) as caught:
        end(net)
    assert caught.value.code == "plan.cases-open"
    hand_in(net[QINGPU], step(QINGPU, WUJIANG, 2, "acknowledged"))
    net.exchange()
    hand_in(net[WUJIANG], step(WUJIANG, QINGPU, 3, "closed"))
    net.exchange()
    assert head_of(net[WUJIANG], QINGPU, "qp-cases-wj") == 1
    end(net)
    net.exchange()
    assert not readable(net, WUJIANG, QINGPU, WUJIANG, "wj-cases-qp")


def test_a_certificate_names_everything_received_and_nothing_else(net: Network) -> None:
    li = net.person(net[QINGPU], "li", "approver")
    with pytest.raises(ConflictError) as early:
        dispose(net[QINGPU].gateway, PLAN, disposed(), by=li, now=net.now)
    assert early.value.code == "plan.not-withdrawn"
    net.now = leave(net)
    with pytest.raises(ConflictError) as alone:
        end(net)
    assert alone.value.code == "plan.not-reconciled"
    net.exchange()
    li = net.person(net[QINGPU], "li", "approver")
    for wrong in (disposed()[:2], [*disposed(), Disposed(WUJIANG, "wj-other", 1, "2027-03-01T10:00:00+08:00")]):
        with pytest.raises(RecordError) as caught:
            dispose(net[QINGPU].gateway, PLAN, wrong, by=li, now=net.now)
        assert caught.value.code == "agreement.disposal-wrong"

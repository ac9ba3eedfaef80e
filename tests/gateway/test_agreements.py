"""Plans by agreement: in force for all at one instant or for nobody, whoever is cut off, whatever somebody claims."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from audit.form import FINDING, PLAN_IN_FORCE, PLAN_LAPSED, PLAN_PROPOSED, PLAN_SIGNED
from gateway.agreements.acts import act_of, propose_plan, propose_signature
from gateway.agreements.watching import govern
from gateway.approvals import approve
from gateway.errors import AccessDeniedError, ConflictError, ProposalError
from gateway.store import feeds, tables
from partners import tables as partner_tables
from partners.agreements import sign_plan
from partners.plans import governance_feed, plans_in_force
from schemas import jws
from schemas.batch import Batch, write_batch
from schemas.errors import PlanError, SharingError
from schemas.plan import Plan, parse_plan
from schemas.records import Agreement, encode_record
from schemas.times import beijing_text, utc_text
from tests.gateway.agreement_world import (
    DAY,
    FEED,
    HOUR,
    PLAN,
    Network,
    batch_of,
    head_of,
    started,
    version,
)
from tests.gateway.hands import entries, hand_in, report
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

NANXUN = "330503"
ZINC = {"id": "wj-zinc", "select": {"factors": ["w20123"]}}
FIRST = plan_document(SITES, ANTIMONY)


@pytest.fixture
def net(tmp_path: Path, database_url: str) -> Iterator[Network]:
    """Three districts under the first version; Qingpu's database is of either engine."""
    nodes = (make_node(tmp_path, WUJIANG), make_node(tmp_path, JIASHAN), make_node(tmp_path, QINGPU, database_url))
    introduce(*nodes)
    bring_plan(FIRST, *nodes)
    net = Network(nodes, started())
    hand_in(net[WUJIANG], site_line())
    net.exchange()
    yield net
    for node in nodes:
        node.stop()


def second(net: Network, **members: Any) -> bytes:
    """The next version: it adds a dataset, in two days."""
    return version(2, SITES, ANTIMONY, ZINC, effective=net.now + 2 * DAY, **members)


def proposed(net: Network, by: str = WUJIANG) -> Plan:
    """The next version, proposed and known to all."""
    plan = net.propose(net[by], second(net))
    net.exchange()
    return plan


def crafted(node: Node, plan: Plan, act: str, created: int, **members: Any) -> Batch:
    """The next batch of the node's governance feed, signed by it, whatever it says and whenever it says it was made."""
    at = members.pop("at", beijing_text(created))
    record = msgspec.structs.replace(act_of(node.gateway, plan, act, now=created), at=at, rev=1, **members)
    return signed(node, created, record)


def signed(node: Node, created: int, *records: Agreement, seq: int = 0, prev: str = "") -> Batch:
    feed = governance_feed(records[0].plan)
    with node.gateway.database.read() as session:
        head = feeds.head(session, node.party, feed)
    plan = parse_plan(FIRST)
    return write_batch(
        node.gateway.keys.manifest, [encode_record(record) for record in records], provider=node.party, dataset=feed,
        plan=plan.reference, plan_digest=plan.digest, seq=seq or head.seq + 1, prev=prev or head.manifest, first="",
        last="", created=utc_text(created),
    )  # fmt: skip


def refused(net: Network, recipient: str, provider: str, batch: Batch) -> str:
    """The code for which a batch is refused whole."""
    applied = net.take(net[recipient], net[provider], batch)
    assert applied.verdict == "refused"
    with net[recipient].gateway.database.read() as session:
        table = partner_tables.receipt
        text = session.execute(select(table.c.report).where(table.c.token == applied.receipt)).scalar_one()
    return str(json.loads(text.splitlines()[0])["code"])


def published(node: Node, now: int) -> list[str]:
    """Datasets and plan versions of what the node publishes now, governance apart."""
    made = node.gateway.publisher.publish_due(now=now)
    return [f"{one.manifest.dataset} {one.manifest.plan}" for one in made if one.manifest.dataset != FEED]


def kept_evidence(node: Node) -> list[str]:
    with node.gateway.database.read() as session:
        return list(session.scalars(select(tables.evidence.c.code)))


def stopped(node: Node, now: int) -> bool:
    with node.gateway.database.read() as session:
        return PLAN in plans_in_force(session, now).undecided


def test_when_all_have_signed_every_gateway_switches_at_the_same_instant(net: Network) -> None:
    plan = proposed(net)
    for node in net.nodes:
        net.sign(node, 2)
    net.exchange()
    assert net.verdicts(2) == {("in-force", "signed-by-all")}
    effective = net.known(net[WUJIANG], 2).effective
    assert set(map(tuple, net.in_force(effective - 1).values())) == {(f"{PLAN}@1",)}
    assert set(map(tuple, net.in_force(effective).values())) == {(f"{PLAN}@2",)}
    for node in net.nodes:
        assert {entry["detail"]["digest"] for entry in entries(node, PLAN_PROPOSED)} == {plan.digest}
        assert len(entries(node, PLAN_SIGNED)) == 3
        assert entries(node, PLAN_IN_FORCE)[-1]["detail"]["ground"] == "signed-by-all"


def test_what_decided_is_kept_with_its_batch_and_never_changed(net: Network) -> None:
    proposed(net)
    for node in net.nodes:
        net.sign(node, 2)
    net.exchange()
    table = partner_tables.plan_decision
    completion = batch_of(net[WUJIANG], FEED, head_of(net[WUJIANG], WUJIANG, FEED))
    for node in net.nodes:
        with node.gateway.database.read() as session:
            row = session.execute(select(table).where(table.c.version == 2)).one()
        assert (row.manifest, utc_text(row.created)) == (completion.hash, completion.manifest.created)
        for statement in (update(table).values(verdict="lapsed"), delete(table)):
            with pytest.raises(DBAPIError), node.gateway.database.write() as session:
                session.execute(statement)


def test_records_go_out_under_the_version_in_force_when_their_batch_is_made(net: Network) -> None:
    proposed(net)
    for node in net.nodes:
        net.sign(node, 2)
    net.exchange()
    effective = net.known(net[WUJIANG], 2).effective
    hand_in(net[WUJIANG], reading_line(0))
    assert published(net[WUJIANG], effective - 1) == [f"wj-antimony {PLAN}@1"]
    hand_in(net[WUJIANG], reading_line(1))
    assert published(net[WUJIANG], effective) == [f"wj-antimony {PLAN}@2"]
    net.now = effective
    assert net.exchange() == []
    assert head_of(net[QINGPU], WUJIANG, "wj-antimony") == 2


def test_where_one_does_not_sign_the_version_lapses_everywhere_and_the_one_before_stays(net: Network) -> None:
    proposed(net)
    for party in (WUJIANG, QINGPU):
        net.sign(net[party], 2)
    net.exchange()
    assert net.verdicts(2) == {(None, "")}
    net.now = net.known(net[WUJIANG], 2).deadline + 1
    net.exchange()
    grounds = {node.party: net.known(node, 2).ground for node in net.nodes}
    assert grounds == {WUJIANG: "not-signed-by-all", QINGPU: "said-by-proposer", JIASHAN: "not-signed-here"}
    net.now += 2 * DAY
    assert set(map(tuple, net.in_force().values())) == {(f"{PLAN}@1",)}
    assert all(entries(node, PLAN_LAPSED)[-1]["detail"]["plan"] == f"{PLAN}@2" for node in net.nodes)
    hand_in(net[WUJIANG], reading_line(0))
    assert published(net[WUJIANG], net.now) == [f"wj-antimony {PLAN}@1"]


def test_a_version_that_lapsed_is_proposed_again_under_the_next_number(net: Network) -> None:
    proposed(net)
    net.now = net.known(net[WUJIANG], 2).deadline + 1
    net.exchange()
    with pytest.raises(PlanError) as caught:
        net.propose(net[WUJIANG], second(net))
    assert caught.value.code == "plan.version-taken"
    net.propose(net[JIASHAN], version(3, SITES, ANTIMONY, ZINC, effective=net.now + 2 * DAY))
    net.exchange()
    for node in net.nodes:
        net.sign(node, 3)
    net.exchange()
    assert net.verdicts(3) == {("in-force", "signed-by-all")}


def test_a_gateway_that_is_cut_off_at_the_instant_stops_publishing_and_goes_on_when_it_has_learnt(net: Network) -> None:
    proposed(net, by=QINGPU)
    for node in net.nodes:
        net.sign(node, 2)
    net.exchange(cut=[JIASHAN], rounds=1)  # all signatures reach Qingpu but those of Jiashan, which knows of none
    wujiang, qingpu = net[WUJIANG], net[QINGPU]
    net.carry(net[JIASHAN], qingpu)
    net.exchange(cut=[WUJIANG])
    assert net.known(qingpu, 2).verdict == "in-force"
    assert net.known(wujiang, 2).verdict is None
    hand_in(wujiang, reading_line(0))
    net.now = net.known(qingpu, 2).effective
    assert stopped(wujiang, net.now)
    assert not stopped(wujiang, net.now - 1)
    assert published(wujiang, net.now) == []
    govern(wujiang.gateway, now=net.now + DAY)
    assert net.known(wujiang, 2).verdict is None
    net.exchange()
    assert net.verdicts(2) == {("in-force", "signed-by-all")}
    assert not stopped(wujiang, net.now)
    net.exchange()
    assert head_of(qingpu, WUJIANG, "wj-antimony") == 1
    assert batch_of(wujiang, "wj-antimony", 1).manifest.plan == f"{PLAN}@2"


def test_what_others_publish_under_a_version_not_decided_here_waits_and_is_not_refused(net: Network) -> None:
    proposed(net)
    for node in net.nodes:
        net.sign(node, 2)
    net.exchange(cut=[QINGPU])
    net.carry(net[QINGPU], net[WUJIANG])
    net.exchange(cut=[QINGPU])
    net.now = net.known(net[WUJIANG], 2).effective
    hand_in(net[WUJIANG], reading_line(0))
    net.exchange(cut=[QINGPU])
    (batch,) = [batch_of(net[WUJIANG], "wj-antimony", 1)]
    with pytest.raises(SharingError) as caught:
        net.take(net[QINGPU], net[WUJIANG], batch)
    assert caught.value.code == "batch.plan-undecided"
    net.exchange()
    assert head_of(net[QINGPU], WUJIANG, "wj-antimony") == 1


def test_a_proposal_that_a_gateway_has_not_signed_never_stops_it(net: Network) -> None:
    proposed(net)
    net.sign(net[WUJIANG], 2)
    known = net.known(net[JIASHAN], 2)
    govern(net[JIASHAN].gateway, now=known.deadline + 1)
    assert net.known(net[JIASHAN], 2).ground == "not-signed-here"
    assert not stopped(net[JIASHAN], known.effective)


def silent(net: Network) -> Plan:
    """All have signed, and the proposer says nothing: the others look after the instant and find that it lapsed."""
    plan = proposed(net)
    for node in net.nodes:
        net.sign(node, 2)
    for provider in (JIASHAN, QINGPU):
        net[provider].gateway.publisher.publish_due(now=net.now)
    net.now = net.known(net[JIASHAN], 2).effective + 120_000
    for recipient in (JIASHAN, QINGPU):
        for provider in (WUJIANG, JIASHAN, QINGPU):
            if provider != recipient:
                net.carry(net[provider], net[recipient])
    assert {net.known(net[party], 2).ground for party in (JIASHAN, QINGPU)} == {"not-seen-in-time"}
    return plan


def tokens(net: Network, plan: Plan, at: int, **instead: str) -> tuple[str, ...]:
    """The signatures of all parties, by the keys they have, unless one is given instead."""
    made = {node.party: sign_plan(node.gateway.keys.manifest, plan, node.party, now=at) for node in net.nodes}
    return tuple((made | {name.removeprefix("of_"): token for name, token in instead.items()}).values())


def test_a_batch_that_claims_to_have_been_made_in_time_after_we_looked_is_evidence_and_never_in_force(
    net: Network,
) -> None:
    plan = silent(net)
    known = net.known(net[QINGPU], 2)
    batch = crafted(
        net[WUJIANG], plan, "completion", known.deadline - 1, signatures=tokens(net, plan, known.deadline - HOUR)
    )
    assert refused(net, QINGPU, WUJIANG, batch) == "agreement.backdated"
    assert kept_evidence(net[QINGPU]) == ["agreement.backdated"]
    assert entries(net[QINGPU], FINDING)[-1]["manifest"] == batch.hash
    assert net.known(net[QINGPU], 2).verdict == "lapsed"
    assert net.in_force()[QINGPU] == [f"{PLAN}@1"]


def test_a_completion_made_after_the_deadline_lapses(net: Network) -> None:
    plan = proposed(net)
    net.sign(net[QINGPU], 2)
    known = net.known(net[QINGPU], 2)
    net.now = known.deadline + 1
    batch = crafted(net[WUJIANG], plan, "completion", net.now, signatures=tokens(net, plan, known.deadline - HOUR))
    assert net.take(net[QINGPU], net[WUJIANG], batch).verdict == "accepted"
    assert (net.known(net[QINGPU], 2).verdict, net.known(net[QINGPU], 2).ground) == ("lapsed", "signed-too-late")


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("a signature made after the batch that carries it", "agreement.backdated"),
        ("a forged signature", "agreement.signature-invalid"),
        ("a signature of another party's in its place", "agreement.signature-invalid"),
        ("a signature of another digest", "agreement.signature-invalid"),
        ("a signature of fewer entries", "agreement.signature-invalid"),
        ("no signature of one party", "agreement.incomplete"),
        ("one party's signature twice", "agreement.incomplete"),
        ("no signature at all", "agreement.signature-invalid"),
    ],
)
def test_a_completion_whose_signatures_do_not_hold_is_refused_whole(net: Network, case: str, code: str) -> None:
    plan = proposed(net)
    at = net.now
    wujiang, jiashan = net[WUJIANG].gateway, net[JIASHAN].gateway
    other = parse_plan(second(net, notice="P91D"))
    payload = {"v": 1, "plan": PLAN, "version": 2, "digest": plan.digest, "party": WUJIANG, "at": utc_text(at)}
    good = tokens(net, plan, at)
    given = {
        "a signature made after the batch that carries it": tokens(net, plan, at + HOUR),
        "a forged signature": tokens(
            net, plan, at, of_330421=sign_plan(wujiang.keys.manifest, plan, JIASHAN, now=at)
        ),
        "a signature of another party's in its place": tokens(
            net, plan, at, of_330421=sign_plan(jiashan.keys.log, plan, JIASHAN, now=at)
        ),
        "a signature of another digest": tokens(
            net, plan, at, of_330421=sign_plan(jiashan.keys.manifest, other, JIASHAN, now=at)
        ),
        "a signature of fewer entries": tokens(
            net, plan, at,
            of_320509=jws.sign(wujiang.keys.manifest, "taipu-agreement+jws", {**payload, "entries": ["wj-sites"]}),
        ),
        "no signature of one party": good[:2],
        "one party's signature twice": (*good, good[0]),
        "no signature at all": ("a.b.c",),
    }[case]  # fmt: skip
    batch = crafted(net[WUJIANG], plan, "completion", at, signatures=given)
    assert refused(net, QINGPU, WUJIANG, batch) == code
    assert net.known(net[QINGPU], 2).verdict is None


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("signed with another's key", "agreement.signature-invalid"),
        ("of another digest", "agreement.digest-differs"),
        ("for another party", "agreement.party-wrong"),
        ("after its batch", "agreement.backdated"),
        ("twice in one", "agreement.signature-invalid"),
    ],
)
def test_a_partners_signature_that_is_none_is_refused(net: Network, case: str, code: str) -> None:
    plan = proposed(net)
    jiashan, at = net[JIASHAN], net.now
    other = parse_plan(second(net, notice="P91D"))
    token = sign_plan(jiashan.gateway.keys.manifest, plan, JIASHAN, now=at)
    forged = sign_plan(net[QINGPU].gateway.keys.manifest, plan, JIASHAN, now=at)
    batch = {
        "signed with another's key": lambda: crafted(jiashan, plan, "signature", at, signatures=(forged,)),
        "of another digest": lambda: crafted(
            jiashan, other, "signature", at,
            signatures=(sign_plan(jiashan.gateway.keys.manifest, other, JIASHAN, now=at),),
        ),
        "for another party": lambda: crafted(jiashan, plan, "signature", at, signatures=(token,), party=QINGPU),
        "after its batch": lambda: crafted(
            jiashan, plan, "signature", at,
            signatures=(sign_plan(jiashan.gateway.keys.manifest, plan, JIASHAN, now=at + HOUR),),
        ),
        "twice in one": lambda: crafted(jiashan, plan, "signature", at, signatures=(token, token)),
    }[case]()  # fmt: skip
    assert refused(net, WUJIANG, JIASHAN, batch) == code


@pytest.mark.parametrize("act", ["completion", "lapse"])
def test_only_the_proposer_completes_a_version_or_lets_it_lapse(net: Network, act: str) -> None:
    plan = proposed(net)
    batch = crafted(net[JIASHAN], plan, act, net.now, signatures=tokens(net, plan, net.now), text="so")
    assert refused(net, QINGPU, JIASHAN, batch) == "agreement.party-wrong"


def test_of_two_proposals_for_one_version_a_gateway_takes_the_first_and_signs_no_other(net: Network) -> None:
    net.propose(net[WUJIANG], second(net))
    net.propose(net[JIASHAN], version(2, SITES, ANTIMONY, ZINC | {"id": "wj-zn"}, effective=net.now + 2 * DAY))
    net.exchange()
    net.sign(net[WUJIANG], 2)
    net.sign(net[JIASHAN], 2)
    net.sign(net[QINGPU], 2)
    net.exchange()
    assert net.known(net[WUJIANG], 2).plan.digest != net.known(net[JIASHAN], 2).plan.digest
    assert net.verdicts(2) == {(None, "")}
    net.now = net.known(net[WUJIANG], 2).deadline + 60_000
    net.exchange()
    assert {verdict for verdict, _ in net.verdicts(2)} == {"lapsed"}
    net.now += 2 * DAY
    assert set(map(tuple, net.in_force().values())) == {(f"{PLAN}@1",)}
    net.propose(net[QINGPU], version(3, SITES, ANTIMONY, ZINC, effective=net.now + 2 * DAY))
    net.exchange()
    for node in net.nodes:
        net.sign(node, 3)
    net.exchange()
    assert net.verdicts(3) == {("in-force", "signed-by-all")}


def test_a_fork_of_the_proposers_feed_stops_it_and_nothing_is_decided_by_what_it_says(net: Network) -> None:
    plan = proposed(net)
    for node in net.nodes:
        net.sign(node, 2)
    net.exchange(cut=[QINGPU])
    net.carry(net[QINGPU], net[WUJIANG])
    net.exchange(cut=[QINGPU])
    head = head_of(net[QINGPU], WUJIANG, FEED)
    first = batch_of(net[WUJIANG], FEED, head)
    lapse = msgspec.structs.replace(act_of(net[WUJIANG].gateway, plan, "lapse", now=net.now), text="so", rev=1)
    fork = signed(net[WUJIANG], net.now, lapse, seq=head, prev=first.manifest.prev or "x")
    with pytest.raises(ConflictError) as caught:
        net.take(net[QINGPU], net[WUJIANG], fork)
    assert caught.value.code == "feed.fork"
    net.now = net.known(net[WUJIANG], 2).effective + 120_000
    with pytest.raises(ConflictError) as caught:
        net.carry(net[WUJIANG], net[QINGPU])
    assert caught.value.code == "feed.stopped"
    assert net.known(net[QINGPU], 2).verdict is None
    assert stopped(net[QINGPU], net.now)


def test_a_first_version_comes_about_with_no_plan_before_it_and_only_its_parties_see_its_governance(
    net: Network, tmp_path: Path
) -> None:
    nanxun = make_node(tmp_path, NANXUN)
    net.nodes = (*net.nodes, nanxun)
    try:
        for other in net.nodes[:3]:
            introduce(nanxun, other)
        levels = {"id": "wj-levels", "recipients": [NANXUN], "select": {"factors": ["w01014"]}}
        document = json.loads(plan_document(levels, parties=[WUJIANG, NANXUN]))
        document |= {"plan": "wujiang-nanxun", "effective": utc_text(net.now + 2 * DAY)}
        net.propose(net[WUJIANG], json.dumps(document).encode())
        net.exchange()
        for party in (WUJIANG, NANXUN):
            net.sign(net[party], 1, "wujiang-nanxun")
        net.exchange()
        assert net.known(nanxun, 1, "wujiang-nanxun").verdict == "in-force"
        proposed(net)
        net.now = net.known(nanxun, 1, "wujiang-nanxun").effective
        assert net.in_force()[NANXUN] == ["wujiang-nanxun@1"]
        assert sorted(net.in_force()[WUJIANG]) == [f"{PLAN}@1", "wujiang-nanxun@1"]
        for node in (net[JIASHAN], net[QINGPU]):
            with node.gateway.database.read() as session:
                assert plans_in_force(session, net.now).dataset(WUJIANG, "governance-wujiang-nanxun") is None
        with nanxun.gateway.database.read() as session:
            assert all(head.dataset != FEED for head in feeds.all_heads(session))
        assert refused(net, NANXUN, WUJIANG, batch_of(net[WUJIANG], FEED, 1)) == "plan.not-party"
    finally:
        nanxun.stop()


def test_a_dataset_belongs_to_one_plan(net: Network) -> None:
    document = json.loads(version(1, ANTIMONY, effective=net.now + 2 * DAY)) | {"plan": "another"}
    with pytest.raises(PlanError) as caught:
        net.propose(net[WUJIANG], json.dumps(document).encode())
    assert caught.value.code == "plan.dataset-taken"


@pytest.mark.parametrize(
    ("code", "days", "change"),
    [
        ("plan.notice-short", 30, lambda plan: plan["datasets"].pop()),
        ("plan.notice-short", 30, lambda plan: plan["datasets"][1].update(recipients=[JIASHAN])),
        ("plan.notice-short", 30, lambda plan: plan["datasets"][1].update(hide=["method"])),
        ("plan.drops-party", 200, lambda plan: drop(plan, JIASHAN)),
        ("plan.too-late", 1, lambda plan: None),
        ("plan.version-older", 200, lambda plan: plan.update(version=1, notice="P60D")),
    ],
)
def test_no_gateway_proposes_or_takes_what_ends_a_dataset_without_notice_or_comes_too_late(
    net: Network, code: str, days: int, change: Any
) -> None:
    document = json.loads(version(2, SITES, ANTIMONY, effective=net.now + days * DAY))
    change(document)
    text = json.dumps(document).encode()
    with pytest.raises(PlanError) as caught:
        net.propose(net[WUJIANG], text)
    assert caught.value.code in (code, "plan.version-taken")
    plan = parse_plan(text)
    batch = crafted(net[WUJIANG], plan, "proposal", net.now, document=plan.canonical.decode())
    assert refused(net, QINGPU, WUJIANG, batch) == caught.value.code
    # Who signs what was refused here is not waited for.
    token = sign_plan(net[JIASHAN].gateway.keys.manifest, plan, JIASHAN, now=net.now)
    signature = crafted(net[JIASHAN], plan, "signature", net.now, signatures=(token,))
    assert refused(net, QINGPU, JIASHAN, signature) in ("agreement.refused-here", "agreement.digest-differs")


def drop(plan: dict[str, Any], party: str) -> None:
    plan["parties"].remove(party)
    for dataset in plan["datasets"]:
        dataset["recipients"].remove(party)


def test_what_ends_with_the_plans_notice_is_proposed_and_signed(net: Network) -> None:
    net.propose(net[WUJIANG], version(2, SITES, effective=net.now + 91 * DAY))
    net.exchange()
    for node in net.nodes:
        net.sign(node, 2)
    net.exchange()
    assert net.verdicts(2) == {("in-force", "signed-by-all")}


def test_a_signature_takes_the_head_of_the_unit_and_the_data_authority(net: Network) -> None:
    proposed(net)
    qingpu = net[QINGPU]
    with pytest.raises(AccessDeniedError):
        propose_plan(qingpu.gateway, second(net), by=net.person(qingpu, "an", "analyst"), now=net.now)
    net.sign(qingpu, 2)
    with pytest.raises(ConflictError) as caught:
        net.sign(qingpu, 2)
    assert caught.value.code == "plan.signed"
    (entry,) = entries(qingpu, PLAN_SIGNED)
    assert entry["actor"].startswith("person:")


def test_one_person_alone_signs_nothing(net: Network) -> None:
    proposed(net)
    li = net.person(net[WUJIANG], "li", "approver")  # who may confirm and may approve, but not both
    proposal = propose_signature(net[WUJIANG].gateway, PLAN, 2, by=li, now=net.now)
    with pytest.raises(ProposalError) as caught:
        approve(net[WUJIANG].gateway, proposal.id, by=li, digest=proposal.digest, now=net.now)
    assert caught.value.code == "proposal.own"
    net.exchange()
    assert head_of(net[JIASHAN], WUJIANG, FEED) == 1  # the proposal alone


def test_after_the_deadline_nobody_signs_any_more(net: Network) -> None:
    proposed(net)
    net.now = net.known(net[JIASHAN], 2).deadline + 1
    with pytest.raises(ConflictError) as caught:
        net.sign(net[JIASHAN], 2)
    assert caught.value.code == "plan.too-late"


def test_no_client_hands_in_an_act_of_governance(net: Network) -> None:
    record = msgspec.structs.replace(act_of(net[WUJIANG].gateway, parse_plan(FIRST), "lapse", now=net.now), text="so")
    outcome = hand_in(net[WUJIANG], encode_record(record))
    assert [line["code"] for line in report(net[WUJIANG], outcome)] == ["agreement.not-handed-in"]


def test_an_act_of_governance_in_a_feed_of_records_is_refused(net: Network) -> None:
    plan, node = parse_plan(FIRST), net[WUJIANG]
    record = msgspec.structs.replace(act_of(node.gateway, plan, "lapse", now=net.now), text="so", rev=1)
    batch = write_batch(
        node.gateway.keys.manifest, [encode_record(record)], provider=WUJIANG, dataset="wj-antimony",
        plan=plan.reference, plan_digest=plan.digest, seq=1, prev="", first="", last="", created=utc_text(net.now),
    )  # fmt: skip
    assert refused(net, QINGPU, WUJIANG, batch) == "agreement.kind-wrong"


def test_a_record_in_a_feed_of_governance_is_refused(net: Network) -> None:
    plan, node = parse_plan(FIRST), net[WUJIANG]
    batch = write_batch(
        node.gateway.keys.manifest, [site_line(rev=1)], provider=WUJIANG, dataset=FEED, plan=plan.reference,
        plan_digest=plan.digest, seq=1, prev="", first="", last="", created=utc_text(net.now),
    )  # fmt: skip
    assert refused(net, QINGPU, WUJIANG, batch) == "agreement.kind-wrong"

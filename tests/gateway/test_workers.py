"""Gateways that run: what is published arrives and is receipted, whatever is down, damaged or restarted meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client.exposition import generate_latest
from sqlalchemy import text

from gateway import approvals, party_document, registry
from gateway.health import check_health
from gateway.home import open_home
from gateway.metrics import collect
from gateway.proposals import Proposal
from gateway.service import Gateway
from gateway.store import feeds, tables
from gateway.sync.contacts import contacts
from gateway.sync.links import Links
from gateway.sync.pull import Puller
from gateway.sync.push import push_due
from gateway.workers import Duties
from partners import tables as partner_tables
from partners.directory import party_states, refresh_party
from schemas.times import DAY, now_millis
from tests.gateway.hands import hand_in, party_at, stored
from tests.people import person, two_people
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
    serve,
    site_line,
    wait_for,
)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Node]:
    """Wujiang's gateway, not serving yet."""
    node = make_node(tmp_path, WUJIANG)
    bring_plan(plan_document(SITES, ANTIMONY), node)
    yield node
    node.stop()


@pytest.fixture
def recipient(tmp_path: Path, provider: Node, database_url: str) -> Iterator[Node]:
    """Jiashan's gateway on either database, not serving yet."""
    node = make_node(tmp_path, JIASHAN, database_url)
    introduce(node, provider)
    bring_plan(plan_document(SITES, ANTIMONY), node)
    yield node
    node.stop()


def restarted(node: Node) -> Node:
    """The same gateway in a new process: nothing but its home and its database is left of the old one."""
    home = node.gateway.settings.home
    node.stop()
    gateway = Gateway(open_home(home))
    return Node(gateway, node.document, _stop=[gateway.close])


def has(node: Node, count: int) -> bool:
    return len(stored(node)) == count


def error_at(node: Node, other: Node) -> str:
    """Why the last call of `node` to `other` failed; empty when it did not."""
    with node.gateway.database.read() as session:
        found = contacts(session).get(other.party)
    return found.error if found else ""


def deliveries(node: Node, dataset: str = "wj-antimony") -> list[tuple[int, str]]:
    """Number and state of every delivery of the dataset to Jiashan."""
    table = partner_tables.delivery
    query = table.select().where(table.c.recipient == JIASHAN, table.c.dataset == dataset).order_by(table.c.seq)
    with node.gateway.database.read() as session:
        return [(row.seq, row.state) for row in session.execute(query)]


def change(node: Node, statement: str, **values: Any) -> None:
    with node.gateway.database.write() as session:
        session.execute(text(statement), values)


def test_what_is_handed_in_arrives_and_its_receipt_comes_back(provider: Node, recipient: Node) -> None:
    serve(provider)
    serve(recipient)
    hand_in(provider, site_line(), *(reading_line(minute) for minute in range(30)))
    wait_for(lambda: has(recipient, 30))
    wait_for(
        lambda: deliveries(provider) == [(1, "delivered")] and deliveries(provider, "wj-sites") == [(1, "delivered")]
    )


def test_a_partner_that_is_down_is_waited_for_until_it_is_back(provider: Node, recipient: Node) -> None:
    serve(recipient)
    wait_for(lambda: error_at(recipient, provider).startswith("partner.unreachable"))
    serve(provider)
    hand_in(provider, site_line(), reading_line(0))
    wait_for(lambda: has(recipient, 1))
    wait_for(lambda: error_at(recipient, provider) == "")
    provider = restarted(provider)
    wait_for(lambda: error_at(recipient, provider).startswith("partner.unreachable"))
    try:
        serve(provider)
        hand_in(provider, reading_line(1))
        wait_for(lambda: has(recipient, 2))
    finally:
        provider.stop()


def test_a_recipient_that_restarts_goes_on_where_it_was(provider: Node, recipient: Node) -> None:
    serve(provider)
    serve(recipient)
    hand_in(provider, site_line(), reading_line(0))
    wait_for(lambda: has(recipient, 1))
    recipient = restarted(recipient)
    try:
        hand_in(provider, reading_line(1))
        wait_for(lambda: len(deliveries(provider)) == 2)
        serve(recipient)
        wait_for(lambda: has(recipient, 2))
        wait_for(lambda: deliveries(provider) == [(1, "delivered"), (2, "delivered")])
    finally:
        recipient.stop()


def test_a_damaged_batch_is_asked_for_until_the_good_one_comes_and_holds_up_no_other_feed(
    provider: Node, recipient: Node
) -> None:
    zinc = {"id": "wj-zinc", "select": {"factors": ["w21003"]}}
    for node in (provider, recipient):
        bring_plan(plan_document(SITES, ANTIMONY, zinc, version=2), node)
    serve(provider)
    hand_in(provider, site_line(), reading_line(0))
    wait_for(lambda: deliveries(provider) != [])
    good = swap_frame(provider, b"")
    serve(recipient)
    wait_for(lambda: "batch.digest-mismatch" in error_at(recipient, provider))
    for minute in (1, 2):
        hand_in(provider, reading_line(minute, factor="w21003"))
        wait_for(lambda count=minute: has(recipient, count))  # type: ignore[misc]
    swap_frame(provider, good)
    wait_for(lambda: has(recipient, 3))
    wait_for(lambda: error_at(recipient, provider) == "")


def swap_frame(node: Node, frame: bytes) -> bytes:
    """Put `frame` in the place of the first antimony batch, or damage that where it is empty; what was there before."""
    here = (tables.batch.c.dataset == "wj-antimony", tables.batch.c.seq == 1)
    with node.gateway.database.write() as session:
        held: bytes = session.execute(tables.batch.select().where(*here)).one().frame
        file = feeds.from_frame(held)
        damaged = feeds.to_frame(file[:-10] + bytes([file[-10] ^ 1]) + file[-9:])
        session.execute(tables.batch.update().where(*here).values(frame=frame or damaged))
    return held


def test_a_receipt_that_is_refused_is_sent_again_until_it_is_taken(provider: Node, recipient: Node) -> None:
    serve(provider)
    serve(recipient)
    hand_in(provider, site_line())
    wait_for(lambda: deliveries(provider, "wj-sites") == [(1, "delivered")])
    change(provider, "UPDATE client SET scope = 'feeds:read' WHERE party = :party", party=JIASHAN)
    hand_in(provider, reading_line(0))
    wait_for(lambda: has(recipient, 1))
    assert deliveries(provider) == [(1, "pending")]
    restored = "feeds:read feeds:push receipts:write"
    change(provider, "UPDATE client SET scope = :scope WHERE party = :party", scope=restored, party=JIASHAN)
    wait_for(lambda: deliveries(provider) == [(1, "delivered")])


def test_an_urgent_dataset_is_pushed_in_order_once_the_recipient_is_there(provider: Node, recipient: Node) -> None:
    for node in (provider, recipient):
        bring_plan(plan_document(SITES, ANTIMONY | {"mode": "push"}, version=2), node)
    serve(provider)
    hand_in(provider, site_line(), reading_line(0))
    wait_for(lambda: pushes_failed(provider))
    hand_in(provider, reading_line(1))
    wait_for(lambda: len(deliveries(provider)) == 2)
    serve(recipient)
    wait_for(lambda: has(recipient, 2))
    wait_for(lambda: deliveries(provider) == [(1, "delivered"), (2, "delivered")])
    hand_in(provider, reading_line(2))
    wait_for(lambda: has(recipient, 3), seconds=2)


def pushes_failed(node: Node) -> bool:
    table = partner_tables.delivery
    with node.gateway.database.read() as session:
        return session.execute(table.select().where(table.c.mode == "push", table.c.attempts > 0)).first() is not None


def test_a_duty_that_fails_is_tried_again(provider: Node) -> None:
    change(provider, "CREATE TRIGGER full BEFORE INSERT ON batch BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    serve(provider)
    hand_in(provider, site_line())
    time.sleep(0.3)
    assert deliveries(provider, "wj-sites") == []
    change(provider, "DROP TRIGGER full")
    wait_for(lambda: deliveries(provider, "wj-sites") == [(1, "pending")])


def test_a_log_that_was_altered_while_it_runs_makes_the_gateway_read_only(provider: Node) -> None:
    serve(provider)
    gateway = provider.gateway
    hand_in(provider, site_line())
    wait_for(lambda: (gateway.heads.log_head(gateway.settings.log_origin) or (0, b""))[0] > 0)
    with gateway.database.write() as session:
        session.execute(text("UPDATE log_head SET root = :root"), {"root": bytes(32)})
    hand_in(provider, reading_line())
    wait_for(lambda: gateway.read_only is not None)
    assert gateway.read_only is not None
    assert gateway.read_only.code.startswith("log.")
    assert [check.ok for check in check_health(gateway) if check.name == "publish"] == [False]


def test_what_waited_when_the_process_ended_is_published_by_the_next_one(provider: Node) -> None:
    hand_in(provider, site_line(), reading_line(0))
    provider = restarted(provider)
    try:
        serve(provider)
        wait_for(lambda: deliveries(provider) == [(1, "pending")])
    finally:
        provider.stop()


def test_stopping_ends_every_duty_within_seconds_also_while_a_partner_holds_our_request(
    provider: Node, recipient: Node
) -> None:
    serve(provider)
    serve(recipient)
    hand_in(provider, site_line())
    wait_for(lambda: deliveries(provider, "wj-sites") == [(1, "delivered")])
    assert recipient.duties is not None
    begun = time.monotonic()
    recipient.duties.stop()
    assert time.monotonic() - begun < 4
    assert f"pull {WUJIANG}" not in {thread.name for thread in threading.enumerate()}


def suspend(node: Node, other: Node) -> None:
    registry.suspend_partner(
        node.gateway, other.party, by=person(node, "zhao", "operator"), reason="a key was lost", now=now_millis()
    )


def decide(node: Node, proposal: Proposal) -> None:
    _, approver = two_people(node)
    approvals.approve(node.gateway, proposal.id, by=approver, digest=proposal.digest, now=now_millis())


def duties_for(node: Node, other: Node) -> set[str]:
    """The duties for `other` that run in this process, of whichever node."""
    assert node.duties is not None
    names = (f"pull {other.party}", f"push {other.party}")
    return {thread.name for thread in node.duties._threads if thread.is_alive() and thread.name in names}


def state_at(node: Node, other: Node) -> str:
    with node.gateway.database.read() as session:
        return party_states(session)[other.party]


def test_partners_are_active_once_both_have_called_each_other(provider: Node, recipient: Node) -> None:
    serve(provider)
    wait_for(lambda: error_at(provider, recipient).startswith("partner.unreachable"))
    assert state_at(provider, recipient) == "approved"
    serve(recipient)
    wait_for(lambda: state_at(provider, recipient) == state_at(recipient, provider) == "active")


def test_the_exchange_stops_with_a_suspension_and_goes_on_with_the_resumption(provider: Node, recipient: Node) -> None:
    serve(provider)
    serve(recipient)
    hand_in(provider, site_line(), reading_line(0))
    wait_for(lambda: has(recipient, 1))
    suspend(recipient, provider)
    wait_for(lambda: duties_for(recipient, provider) == set())
    hand_in(provider, reading_line(1))
    wait_for(lambda: len(deliveries(provider)) == 2)
    assert has(recipient, 1)
    proposer, _ = two_people(recipient)
    again = registry.propose_resumption(
        recipient.gateway, provider.party, by=proposer, reason="a new key", now=now_millis()
    )
    decide(recipient, again)
    wait_for(lambda: has(recipient, 2))
    assert len(duties_for(recipient, provider)) == 2


def test_a_suspension_while_our_request_waits_lets_nothing_in_that_comes_after_it(
    provider: Node, recipient: Node
) -> None:
    """The partner holds our request for its feeds; what it answers with is not taken any more."""
    serve(provider)
    serve(recipient, duties=False)
    hand_in(provider, site_line(), reading_line(0))
    wait_for(lambda: deliveries(provider) != [])
    links = Links(recipient.gateway)
    puller = Puller(recipient.gateway, links, provider.party)
    party = party_at(recipient, provider)
    assert puller.round(party, wait=0) == 2
    taken: list[int] = []
    waiting = threading.Thread(target=lambda: taken.append(puller.round(party, wait=20)))
    waiting.start()
    wait_for(lambda: provider.gateway.heads_watch._moved is not None)
    suspend(recipient, provider)
    hand_in(provider, reading_line(1))
    waiting.join(15)
    links.close()
    assert taken == [0]
    assert has(recipient, 1)


def test_pushes_stop_with_a_suspension(provider: Node, recipient: Node) -> None:
    for node in (provider, recipient):
        bring_plan(plan_document(SITES, ANTIMONY | {"mode": "push"}, version=2), node)
    serve(recipient)
    hand_in(provider, site_line(), reading_line(0))
    provider.gateway.publisher.publish_due(now=now_millis())
    links = Links(provider.gateway)
    suspend(provider, recipient)
    assert push_due(provider.gateway, links, party_at(provider, recipient)) == 0
    assert deliveries(provider) == [(1, "pending")]
    links.close()


def test_a_partner_that_comes_later_is_met_and_one_that_is_ended_is_left(provider: Node, tmp_path: Path) -> None:
    serve(provider)
    later = make_node(tmp_path / "later", QINGPU)
    bring_plan(plan_document(SITES, ANTIMONY), later)
    try:
        introduce(provider, later)
        serve(later)
        hand_in(provider, site_line(), reading_line(0))
        wait_for(lambda: has(later, 1))
        wait_for(lambda: state_at(provider, later) == "active")
        proposer, _ = two_people(provider)
        gone = registry.propose_end(provider.gateway, QINGPU, by=proposer, reason="it is over", now=now_millis())
        decide(provider, gone)
        wait_for(lambda: duties_for(provider, later) == set())
        wait_for(lambda: "client.ended" in error_at(later, provider))
    finally:
        later.stop()


def test_one_partner_down_blocks_us_not(provider: Node, recipient: Node, tmp_path: Path) -> None:
    """A dead peer that takes every connection and never says a word; the other one gets its records all the same."""
    dead = make_node(tmp_path / "dead", QINGPU)
    port = int(dead.url.rpartition(":")[2])
    introduce(provider, dead)
    dead.stop()
    with socket.create_server(("127.0.0.1", port)):
        serve(provider)
        serve(recipient)
        for minute in range(3):
            hand_in(provider, site_line(), reading_line(minute))
            wait_for(lambda count=minute + 1: has(recipient, count), seconds=5)  # type: ignore[misc]
        assert state_at(provider, dead) == "approved"


def test_a_document_that_is_about_to_expire_is_told_of_once(provider: Node, recipient: Node) -> None:
    now = now_millis()
    soon = party_document.sign_document(recipient.gateway.home, now=now - 395 * DAY, serial=2)
    with provider.gateway.database.write() as session:
        refresh_party(session, soon, now=now)
    duties = Duties(provider.gateway)
    with structlog.testing.capture_logs() as told:
        duties._tidy()
        duties._tidy()
    near = [(one["what"], one["days"]) for one in told if one["event"] == "expiry.near"]
    assert near == [(f"party document of {JIASHAN}", 4)]
    figures = generate_latest(collect(provider.gateway)).decode()
    assert f'taipu_partner_document_expiry_days{{party="{JIASHAN}"}} 4.0' in figures
    assert f'taipu_partner_state{{party="{JIASHAN}",state="approved"}} 1.0' in figures

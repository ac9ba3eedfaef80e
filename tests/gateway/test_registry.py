"""Partners come in by two persons, are suspended by one at once, resumed or ended by two; all of it is written down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from sqlalchemy import update

from audit.form import APPROVED, PARTNER_CHANGED, PARTNER_REGISTERED, PROPOSED, REFUSAL
from gateway import approvals, registry
from gateway.connection_test import Report, Step, try_document
from gateway.errors import AccessDeniedError, ProposalError
from gateway.people.person import Person, actor_of
from gateway.proposals import Proposal
from gateway.standing import Standing, activate, days_left, standings
from gateway.store import tables
from gateway.sync.contacts import note_contact
from gateway.sync.links import may_pass
from partners.client import PartnerClient
from partners.directory import find_party, party_changes, party_states
from partners.document import PartyDocumentError, PartyError, open_document
from partners.errors import PartnerRefusedError
from partners.plans import plans_in_force
from schemas.batch import open_batch
from schemas.errors import SharingError
from schemas.times import DAY, now_millis
from tests.gateway.callers import Caller, caller, code_of, listening
from tests.gateway.hands import carry, entries, hand_in, party_at, publish
from tests.partners.party_world import World
from tests.people import person, two_people
from tests.world import (
    ANTIMONY,
    JIASHAN,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    free_port,
    introduce,
    make_node,
    plan_document,
    reading_line,
    serve,
    site_line,
    wait_for,
)

WHY = "their key was lost"


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    """Wujiang's gateway, which knows nobody."""
    made = make_node(tmp_path, WUJIANG, database_url)
    yield made
    made.stop()


@pytest.fixture
def people(node: Node) -> tuple[Person, Person]:
    return two_people(node)


def report(world: World, **changed: Any) -> Report:
    """What a connection test says of the party of `world`, as far as it was read."""
    return Report(
        "https://gateway.jiashan.example:8443", None, (Step("address", "ok", "found"),), world.token(**changed)
    )


def propose(node: Node, world: World, by: Person, **options: Any) -> Proposal:
    return registry.propose_partner(node.gateway, report(world), by=by, now=now_millis(), **options)


def approve(node: Node, proposal: Proposal, by: Person, **changes: Any) -> Proposal:
    given = {"by": by, "digest": proposal.digest, "now": now_millis()} | changes
    return approvals.approve(node.gateway, proposal.id, **given)


def standing(node: Node, code: str = JIASHAN, *, now: int | None = None) -> Standing:
    with node.gateway.database.read() as session:
        return next(one for one in standings(session, now or now_millis()) if one.code == code)


def states(node: Node) -> dict[str, str]:
    with node.gateway.database.read() as session:
        return dict(party_states(session))


def refused(act: Any) -> str:
    with pytest.raises(SharingError) as caught:
        act()
    return caught.value.code


def test_a_partner_comes_in_by_two_persons_and_both_are_in_the_log(node: Node, people: tuple[Person, Person]) -> None:
    proposer, approver = people
    world = World()
    proposal = propose(node, world, proposer, reason="joins the zone")
    assert standing(node).state == "proposed"
    assert standing(node).missing.code == "step.approve"  # type: ignore[union-attr]
    assert proposal.content["fingerprint"] == world.document().fingerprint
    assert proposal.content["test"] == [{"name": "address", "result": "ok", "text": "found", "code": ""}]
    approve(node, proposal, approver)
    with node.gateway.database.read() as session:
        party = find_party(session, JIASHAN)
        (change,) = party_changes(session)[JIASHAN]
    assert party is not None
    assert (party.state, party.fingerprint) == ("approved", world.document().fingerprint)
    assert (change.state, change.actor, change.reason, change.proposal) == (
        "approved", approver.account, "joins the zone", proposal.id,
    )  # fmt: skip
    (registered,) = entries(node, PARTNER_REGISTERED)
    assert registered["actor"] == actor_of(node.gateway.home, approver.account)
    assert entries(node, PROPOSED)[0]["actor"] == actor_of(node.gateway.home, proposer.account)
    client = node.gateway.load_client(f"{JIASHAN}-gateway")
    assert client is not None
    assert client.kind == "gateway"


def test_one_admin_registers_a_rogue_partner_self_approval(node: Node) -> None:
    both = person(node, "both", "system", "approver")
    proposal = propose(node, World(), both)
    assert refused(lambda: approve(node, proposal, both)) == "proposal.own"
    assert states(node) == {}


def test_one_admin_registers_a_rogue_partner_without_the_role(node: Node, people: tuple[Person, Person]) -> None:
    for role in ("security", "audit", "operator", "analyst"):
        somebody = person(node, f"some-{role}", role)  # type: ignore[arg-type]
        assert refused(lambda by=somebody: propose(node, World(), by)) == "person.not-permitted"
    proposal = propose(node, World(), people[0])
    operator = person(node, "zhao", "operator")
    assert refused(lambda: approve(node, proposal, operator)) == "person.not-permitted"
    assert states(node) == {}


def test_one_admin_registers_a_rogue_partner_changed_between_show_and_approval(
    node: Node, people: tuple[Person, Person]
) -> None:
    """The approver was shown the real party; what is approved then is another one under its name."""
    proposer, approver = people
    shown, rogue = propose(node, World(), proposer), propose(node, World(), proposer)
    assert refused(lambda: approve(node, rogue, approver, digest=shown.digest)) == "proposal.changed"
    assert states(node) == {}


def test_approved_change_edited_before_application_is_void(node: Node, people: tuple[Person, Person]) -> None:
    proposer, approver = people
    proposal, rogue = propose(node, World(), proposer), World()
    table = tables.proposal
    content = {**proposal.content, "document": rogue.token(), "fingerprint": rogue.document().fingerprint}
    with node.gateway.database.write() as session:
        session.execute(update(table).where(table.c.id == proposal.id).values(content=rfc8785.dumps(content)))
    assert refused(lambda: approve(node, proposal, approver)) == "proposal.changed"
    assert states(node) == {}


def test_a_fingerprint_that_was_read_out_already_is_held_against_the_document(
    node: Node, people: tuple[Person, Person]
) -> None:
    other = World().document().fingerprint
    with pytest.raises(PartyDocumentError) as caught:
        propose(node, World(), people[0], fingerprint=other)
    assert caught.value.code == "partner.fingerprint-differs"


def test_what_cannot_come_in_is_not_proposed(node: Node, people: tuple[Person, Person]) -> None:
    proposer, approver = people
    own = try_document(node.gateway, node.document, url=f"https://127.0.0.1:{free_port()}", now=now_millis())
    assert refused(lambda: registry.propose_partner(node.gateway, own, by=proposer, now=now_millis())) == "party.own"
    nothing = Report("https://x.example", None, (Step("document", "failed", "no document", "partner.refused"),))
    with pytest.raises(PartnerRefusedError):
        registry.propose_partner(node.gateway, nothing, by=proposer, now=now_millis())
    world = World()
    assert refused(lambda: propose(node, world, proposer, new_identity=True)) == "party.unknown"
    approve(node, propose(node, world, proposer), approver)
    assert refused(lambda: propose(node, world, proposer)) == "party.exists"
    assert refused(lambda: propose(node, World(), proposer)) == "party.exists"  # a new identity has to be asked for
    assert refused(lambda: propose(node, world, proposer, new_identity=True)) == "party.exists"


def test_a_partner_is_active_once_the_exchange_has_gone_both_ways_since_it_was_approved(
    node: Node, people: tuple[Person, Person]
) -> None:
    proposer, approver = people
    before = now_millis() - 60_000
    with node.gateway.database.write() as session:  # of an earlier registration, say
        note_contact(session, JIASHAN, now=before)
    approve(node, propose(node, World(), proposer), approver)
    gateway, now = node.gateway, now_millis()
    steps = [standing(node).missing]
    for error in ("partner.unreachable: nobody there", "partner.token-refused: 401"):
        with gateway.database.write() as session:
            note_contact(session, JIASHAN, now=now, error=error)
        steps.append(standing(node).missing)
    with gateway.database.write() as session:
        note_contact(session, JIASHAN, now=now, skew=-2_000)
    steps.append(standing(node).missing)
    assert [step.code for step in steps if step] == [
        "step.call", "step.reach", "step.they-register", "step.they-call",
    ]  # fmt: skip
    assert activate(gateway, now=now) == []
    gateway.calls.note(replace(node.station(), party=JIASHAN, kind="gateway"), now=now)
    assert standing(node).missing is None
    assert activate(gateway, now=now) == [JIASHAN]
    assert activate(gateway, now=now) == []
    assert (standing(node).state, standing(node).since) == ("active", now)
    assert standing(node).contact.skew == -2_000
    assert [entry["detail"] for entry in entries(node, PARTNER_CHANGED)] == [{"state": "active"}]


def test_suspension_is_one_persons_act_and_resumption_takes_two(node: Node, people: tuple[Person, Person]) -> None:
    proposer, approver = people
    approve(node, propose(node, World(), proposer), approver)
    gateway, operator = node.gateway, person(node, "zhao", "operator")
    registry.suspend_partner(gateway, JIASHAN, by=operator, reason=WHY, now=now_millis())
    assert (standing(node).state, standing(node).changes[-1].reason) == ("suspended", WHY)
    assert standing(node).missing.code == "step.resume"  # type: ignore[union-attr]
    now = now_millis()
    assert refused(lambda: registry.suspend_partner(gateway, JIASHAN, by=operator, reason=WHY, now=now)) == (
        "party.state-wrong"
    )
    assert refused(lambda: registry.propose_resumption(gateway, JIASHAN, by=operator, reason=WHY, now=now)) == (
        "person.not-permitted"
    )
    proposal = registry.propose_resumption(gateway, JIASHAN, by=approver, reason="a new key", now=now)
    assert refused(lambda: approve(node, proposal, approver)) == "proposal.own"
    assert states(node) == {JIASHAN: "suspended"}
    approve(node, proposal, person(node, "chen", "approver"))
    assert states(node) == {JIASHAN: "approved"}
    changed = entries(node, PARTNER_CHANGED)
    assert [(entry["detail"]["state"], entry["actor"]) for entry in changed] == [
        ("suspended", actor_of(gateway.home, "zhao")), ("approved", actor_of(gateway.home, "chen")),
    ]  # fmt: skip
    assert entries(node, APPROVED)[-1]["detail"]["kind"] == "partner-resume"


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\nb", "\x1b[2J"])
def test_a_suspension_has_a_reason(node: Node, people: tuple[Person, Person], reason: str) -> None:
    approve(node, propose(node, World(), people[0]), people[1])
    with pytest.raises(ProposalError) as caught:
        registry.suspend_partner(node.gateway, JIASHAN, by=people[0], reason=reason, now=now_millis())
    assert caught.value.code == "proposal.reason-invalid"
    assert states(node) == {JIASHAN: "approved"}


def test_whoever_may_not_suspend_does_not(node: Node, people: tuple[Person, Person]) -> None:
    approve(node, propose(node, World(), people[0]), people[1])
    for role in ("audit", "analyst"):
        somebody = person(node, f"some-{role}", role)  # type: ignore[arg-type]
        with pytest.raises(AccessDeniedError):
            registry.suspend_partner(node.gateway, JIASHAN, by=somebody, reason=WHY, now=now_millis())
    with pytest.raises(PartyError):
        registry.suspend_partner(node.gateway, "999999", by=people[0], reason=WHY, now=now_millis())


def test_another_identity_is_pinned_by_two_and_the_old_document_stays(
    node: Node, people: tuple[Person, Person]
) -> None:
    proposer, approver = people
    old, new = World(), World()
    approve(node, propose(node, old, proposer), approver)
    proposal = propose(node, new, proposer, new_identity=True, reason="their identity key was stolen")
    assert proposal.kind == "partner-identity"
    assert proposal.content["fingerprint_before"] == old.document().fingerprint
    approve(node, proposal, approver)
    with node.gateway.database.read() as session:
        party = find_party(session, JIASHAN)
        change = party_changes(session)[JIASHAN][-1]
    assert party is not None
    assert party.fingerprint == new.document().fingerprint
    assert open_document(change.replaced or "", pinned=old.document().fingerprint) == old.document()
    client = node.gateway.load_client(f"{JIASHAN}-gateway")
    assert client is not None
    assert set(client.keys) == {new.document().keys.oauth["keys"][0]["kid"]}  # type: ignore[index]
    assert entries(node, PARTNER_CHANGED)[-1]["detail"]["fingerprint"] == new.document().fingerprint


def test_an_identity_that_changed_since_is_not_replaced_by_what_was_proposed_before(
    node: Node, people: tuple[Person, Person]
) -> None:
    proposer, approver = people
    approve(node, propose(node, World(), proposer), approver)
    first, second = (propose(node, World(), proposer, new_identity=True) for _ in range(2))
    approve(node, first, approver)
    assert refused(lambda: approve(node, second, approver)) == "party.state-wrong"
    assert standing(node).party.fingerprint == first.content["fingerprint"]  # type: ignore[union-attr]


def test_how_long_a_document_is_good_is_counted_in_days(node: Node, people: tuple[Person, Person]) -> None:
    approve(node, propose(node, World(), people[0]), people[1])
    expires = standing(node).expires
    assert expires is not None
    with node.gateway.database.read() as session:
        assert [days_left(session, expires - days * DAY) for days in (30, 7, 0, -1)] == [
            {JIASHAN: days} for days in (30, 7, 0, -1)
        ]


# Two gateways, of which one suspends or ends the other.

ALERTS = {
    "id": "wj-alerts", "kind": "case", "select": {"kinds": ["warning"]}, "recipients": [JIASHAN],
    "despite_suspension": True,
}  # fmt: skip
WARNING = json.dumps(
    {
        "kind": "case", "case": "320509-2026-0001", "step": 1, "type": "warning", "from": WUJIANG, "to": [JIASHAN],
        "state": "opened", "at": "2026-11-20T10:05:00+08:00", "text": "antimony 0.0061 mg/L",
    }
).encode()  # fmt: skip


@pytest.fixture
def pair(tmp_path: Path, node: Node) -> Iterator[tuple[Node, Node]]:
    """Wujiang's and Jiashan's, with a plan of which one dataset passes while a party is suspended."""
    plan = plan_document(SITES, ANTIMONY, ALERTS)
    other = make_node(tmp_path / "other", JIASHAN)
    introduce(node, other)
    bring_plan(plan, node, other)
    hand_in(node, site_line(), reading_line(0), WARNING)
    yield node, other
    other.stop()


def suspend(node: Node, code: str = JIASHAN) -> None:
    registry.suspend_partner(node.gateway, code, by=person(node, "zhao", "operator"), reason=WHY, now=now_millis())


def end(node: Node, code: str = JIASHAN) -> None:
    proposer, approver = two_people(node)
    approve(node, registry.propose_end(node.gateway, code, by=proposer, reason=WHY, now=now_millis()), approver)


def feed_of(node: Node, dataset: str = "wj-antimony") -> str:
    return f"/v1/feeds/{node.party}/{dataset}"


@pytest.fixture
def jiashan(pair: tuple[Node, Node]) -> Iterator[Caller]:
    """Jiashan's client at Wujiang's gateway."""
    with listening(pair[0]) as http:
        yield caller(http, pair[0], JIASHAN, "feeds:read", kind="gateway")


def test_revoked_partner_keeps_going_on_keep_alive(pair: tuple[Node, Node]) -> None:
    """One TLS connection over a socket: the request after the suspension is refused, whatever token it bears."""
    node, other = pair
    publish(node)
    serve(node, duties=False)
    client = node.client(JIASHAN, scopes=["feeds:read"])
    assert client.feed_page(WUJIANG, "wj-antimony", after=0)
    connections = client._http._transport._pool.connections  # type: ignore[attr-defined]
    assert len(connections) == 1
    suspend(node)
    with pytest.raises(PartnerRefusedError) as caught:
        client.feed_page(WUJIANG, "wj-antimony", after=0)
    assert caught.value.extra["status"] == 403
    assert client.feed_page(WUJIANG, "wj-alerts", after=0)  # what the plan lets pass
    assert client._http._transport._pool.connections == connections  # type: ignore[attr-defined]
    assert [entry["detail"]["path"] for entry in entries(node, REFUSAL)] == [feed_of(node)]
    del other


def test_a_suspended_partner_gets_a_token_but_only_what_the_plan_lets_pass(
    pair: tuple[Node, Node], jiashan: Caller
) -> None:
    node, _ = pair
    publish(node)
    suspend(node)
    listed = jiashan.get("/v1/feeds").json()["feeds"]
    assert [feed["dataset"] for feed in listed] == ["wj-alerts"]
    code_of(jiashan.get(feed_of(node)), 403)


def test_an_ended_partner_gets_nothing_with_the_token_it_had(pair: tuple[Node, Node], jiashan: Caller) -> None:
    node, _ = pair
    publish(node)
    assert jiashan.get(feed_of(node)).status_code == 200
    end(node)
    for path in ("/v1/feeds", feed_of(node), feed_of(node, "wj-alerts")):
        assert code_of(jiashan.get(path), 403) == "client.ended"


@pytest.mark.parametrize("act", [suspend, end])
def test_a_request_that_waits_is_asked_again_whether_it_may(pair: tuple[Node, Node], act: Any) -> None:
    node, _ = pair
    publish(node)
    serve(node, duties=False)
    client = node.client(JIASHAN, scopes=["feeds:read"])
    heads, seen = client.feeds()
    assert {head.dataset for head in heads} == {"wj-sites", "wj-antimony", "wj-alerts"}
    answered: list[Any] = []

    def wait() -> None:
        begun = time.monotonic()
        try:
            answered.append(client.feeds(wait=30, seen=seen)[0])
        except PartnerRefusedError as error:
            answered.append(error.extra["partner_code"])
        answered.append(time.monotonic() - begun)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: node.gateway.heads_watch._moved is not None)
    act(node)
    waiting.join(10)
    assert answered[1] < 8
    if act is suspend:
        assert [head.dataset for head in answered[0]] == ["wj-alerts"]
    else:
        assert answered[0] == "client.ended"


def test_what_an_ended_party_signed_still_verifies_with_the_keys_that_stay(pair: tuple[Node, Node]) -> None:
    node, other = pair
    batches = publish(node)
    for batch in batches:
        carry(batch, node, other)
    end(other, WUJIANG)
    party = party_at(other, node)
    assert party.state == "ended"
    for batch in batches:
        assert open_batch(batch.file, party.manifest_keys).hash == batch.hash
    proposer, _ = two_people(other)
    again = Report(node.url, None, (), node.document)
    assert refused(lambda: registry.propose_partner(other.gateway, again, by=proposer, now=now_millis())) == (
        "party.exists"
    )
    for act in (registry.propose_end, registry.propose_resumption):
        assert refused(lambda act=act: act(other.gateway, WUJIANG, by=proposer, reason=WHY, now=now_millis())) == (  # type: ignore[misc]
            "party.state-wrong"
        )


@pytest.mark.parametrize(
    ("state", "passing"),
    [("approved", [True, True, True]), ("active", [True, True, True]), ("suspended", [False, True, False]),
     ("ended", [False, False, False])],
)  # fmt: skip
def test_what_may_pass_in_which_state(pair: tuple[Node, Node], state: Any, passing: list[bool]) -> None:
    node, other = pair
    party = replace(party_at(node, other), state=state)
    with node.gateway.database.read() as session:
        datasets = {one.id: one for one in plans_in_force(session, now_millis()).provided_by(WUJIANG)}
    asked = [datasets["wj-antimony"], datasets["wj-alerts"], None]
    assert [may_pass(party, dataset) for dataset in asked] == passing


def test_a_client_that_is_never_told_stays_a_partner_client() -> None:
    """The kept-alive test reaches into the connection pool: this says what it relies on."""
    with PartnerClient("https://gateway.example", None) as client:
        assert client._http._transport._pool.connections == []  # type: ignore[attr-defined]

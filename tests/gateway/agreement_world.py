"""Districts that agree on plans, with a clock that the test moves: real gateways, databases, keys and batches.

Batches are carried by hand, so a test says who is cut off and until when; `test_agreements_network.py` has them over
HTTPS.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from gateway.agreements.acts import propose_plan, propose_signature
from gateway.agreements.watching import govern, note_looks
from gateway.approvals import approve
from gateway.errors import WaitingError
from gateway.store import feeds
from gateway.sync.apply import Applied, apply_batch
from gateway.sync.receive import take_receipt
from partners.plans import Known, find_plan, plans_in_force
from schemas.batch import Batch, open_batch
from schemas.plan import Plan
from schemas.times import now_millis, utc_text
from tests.gateway.hands import party_at
from tests.people import person
from tests.world import Node, plan_document

HOUR = 3_600_000
DAY = 24 * HOUR
PLAN = "tri-district-monitoring"
FEED = f"governance-{PLAN}"


@dataclass
class Network:
    """Gateways that know each other, and one clock (ms UTC) for all of them."""

    nodes: tuple[Node, ...]
    now: int

    def __getitem__(self, party: str) -> Node:
        return next(node for node in self.nodes if node.party == party)

    def exchange(self, *, cut: Collection[str] = (), rounds: int = 3) -> list[str]:
        """Let all publish and take what the others have, but for those that are `cut` off; codes of what waited."""
        waited = []
        for _ in range(rounds):
            self.now += 1_000
            for node in self.nodes:
                node.gateway.publisher.publish_due(now=self.now)
            for provider in self.nodes:
                for recipient in self.nodes:
                    if provider is not recipient and not {provider.party, recipient.party} & set(cut):
                        waited += self.carry(provider, recipient)
            for node in self.nodes:
                govern(node.gateway, now=self.now)
        return waited

    def carry(self, provider: Node, recipient: Node) -> list[str]:
        """All that `provider` lets `recipient` read and it does not have yet, in order; then it has looked."""
        with provider.gateway.database.read() as session:
            plans = plans_in_force(session, self.now)
            names = [
                one.dataset for one in feeds.heads_of(session, provider.party)
                if (found := plans.dataset(provider.party, one.dataset)) and found[1].received_by(recipient.party)
            ]  # fmt: skip
        waited, heads = [], {}
        for name in sorted(names, key=lambda name: "sites" not in name):
            heads[name] = head_of(provider, provider.party, name)
            for seq in range(head_of(recipient, provider.party, name) + 1, heads[name] + 1):
                try:
                    self.take(recipient, provider, batch_of(provider, name, seq))
                except WaitingError as error:
                    waited.append(error.code)
                    break
        note_looks(recipient.gateway, provider.party, heads, at=self.now)
        return waited

    def take(self, recipient: Node, provider: Node, batch: Batch) -> Applied:
        """One batch, whoever made it up, and its receipt back where the provider knows it."""
        name, now = batch.manifest.dataset, self.now
        applied = apply_batch(recipient.gateway, party_at(recipient, provider), name, batch.file, now=now)
        with provider.gateway.database.read() as session:
            own = feeds.find_batch(session, provider.party, name, batch.manifest.seq)
        if own is not None and own.manifest == batch.hash:
            take_receipt(provider.gateway, party_at(provider, recipient), applied.receipt, now=now)
        return applied

    def propose(self, node: Node, document: bytes) -> Plan:
        return propose_plan(node.gateway, document, by=self.person(node, "wei", "system"), now=self.now)

    def sign(self, node: Node, version: int, plan: str = PLAN) -> None:
        """Two persons of the party sign."""
        wei, li = self.person(node, "wei", "system"), self.person(node, "li", "approver")
        proposal = propose_signature(node.gateway, plan, version, by=wei, now=self.now)
        approve(node.gateway, proposal.id, by=li, digest=proposal.digest, now=self.now)

    def person(self, node: Node, name: str, *roles: Any) -> Any:
        """Somebody of the party whose second factor was shown just now, by this clock."""
        return replace(person(node, name, *roles), confirmed=self.now)

    def known(self, node: Node, version: int, plan: str = PLAN) -> Known:
        with node.gateway.database.read() as session:
            known = find_plan(session, plan, version)
        assert known is not None
        return known

    def verdicts(self, version: int) -> set[tuple[str | None, str]]:
        return {(self.known(node, version).verdict, self.known(node, version).ground) for node in self.nodes}

    def in_force(self, at: int | None = None) -> dict[str, list[str]]:
        """By party the versions in force at an instant, now by default."""
        found = {}
        for node in self.nodes:
            with node.gateway.database.read() as session:
                plans = plans_in_force(session, self.now if at is None else at)
            found[node.party] = [plan.reference for plan in plans.plans]
        return found


def version(number: int, *datasets: dict[str, Any], effective: int, **members: Any) -> bytes:
    """A version of the tri-district plan with these datasets, in force from an instant (ms UTC)."""
    document = json.loads(plan_document(*datasets, version=number))
    document |= {"effective": utc_text(effective)} | members
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def head_of(node: Node, provider: str, dataset: str) -> int:
    with node.gateway.database.read() as session:
        return feeds.head(session, provider, dataset).seq


def batch_of(node: Node, dataset: str, seq: int) -> Batch:
    """A batch of the node's own feed."""
    with node.gateway.database.read() as session:
        stored = feeds.find_batch(session, node.party, dataset, seq)
    assert stored is not None
    key = node.gateway.keys.manifest
    return open_batch(feeds.from_frame(stored.frame), {key.kid: key.public})


def started() -> int:
    """An instant to begin at: people's accounts are made by the real clock."""
    return now_millis()

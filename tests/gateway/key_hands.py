"""What tests of keys do again and again: rotate and revoke, tell a partner, and forge what a thief would."""

from __future__ import annotations

from gateway import approvals, party_document
from gateway.key_revocation import propose_revocation
from gateway.key_rotation import SETTLE, rotate, settle
from gateway.people.person import Person
from gateway.store import own_keys
from gateway.sync.refresh import take_document
from partners.document import PartyDocument, open_document
from partners.keys import Rotating
from schemas import jws
from schemas.batch import Batch, write_batch
from schemas.times import now_millis
from tests.people import person
from tests.world import Node, reading_line, wait_for


def keeper_of(node: Node) -> Person:
    """The node's security administrator, who has just shown the second factor."""
    return person(node, "chen", "security")


def own(node: Node) -> PartyDocument:
    """The node's party document in force."""
    return open_document(party_document.published_document(node.gateway))


def holds(node: Node, party: str, serial: int) -> None:
    """`party` says that it holds this document of the node's."""
    with node.gateway.database.write() as session:
        own_keys.note_exchange(session, party, holds=serial, told=now_millis())


def told(node: Node, other: Node) -> None:
    """`other` takes the node's newest party document."""
    assert take_document(other.gateway, party_document.published_document(node.gateway), now=now_millis())


def rotated(node: Node, use: Rotating) -> tuple[str, str]:
    """Rotate a key until the new one is in use, all partners saying that they know it; the old `kid` and the new."""
    gateway = node.gateway
    before = gateway.keys.in_use(use, now_millis()).kid
    made = rotate(gateway, use, by=keeper_of(node), now=now_millis())
    for party in made.missing:
        holds(node, party, made.key.serial or 0)
    rotate(gateway, use, by=keeper_of(node), now=now_millis())
    wait_for(lambda: gateway.keys.in_use(use, now_millis()).kid == made.key.kid)
    return before, made.key.kid


def settled(node: Node) -> None:
    """Write down the end of a manifest key that was rotated out just now."""
    assert settle(node.gateway, now=now_millis() + SETTLE)


def revoked(node: Node, use: Rotating, *, since: int | None, kid: str = "") -> None:
    """Two persons revoke a key of the node's."""
    proposal = propose_revocation(node.gateway, use, since=since, kid=kid, by=keeper_of(node), now=now_millis())
    approver = person(node, "li", "approver")
    approvals.approve(node.gateway, proposal.id, by=approver, digest=proposal.digest, now=now_millis())


def forged(key: jws.SigningKey, after: Batch, *, seq: int | None = None) -> Batch:
    """What a thief of the key makes: the next batch of a feed, with content of his own."""
    manifest = after.manifest
    return write_batch(
        key, [reading_line(59, "9.9", rev=1)], provider=manifest.provider, dataset=manifest.dataset,
        plan=manifest.plan, plan_digest=manifest.plan_digest, seq=seq or manifest.seq + 1, prev=after.hash,
        first=manifest.first, last=manifest.last, created=manifest.created,
    )  # fmt: skip

"""Push: hand batches to recipients where the plan names that mode, in order, until a receipt closes each."""

from __future__ import annotations

import structlog

from gateway.service import Gateway
from gateway.store import feeds
from gateway.sync.links import Links, may_pass
from gateway.sync.receive import read_receipt, take_receipt
from partners.delivery import Delivery, due_pushes, record_attempt
from partners.directory import Party, party_states
from partners.errors import PartnerRefusedError
from partners.plans import plans_in_force
from schemas.errors import SharingError
from schemas.times import now_millis

log = structlog.get_logger()


def push_due(gateway: Gateway, links: Links, party: Party) -> int:
    """Push what is due to `party`; how many batches it has now. A feed whose batch fails waits with all that follow."""
    now = now_millis()
    with gateway.database.read() as session:
        provided = plans_in_force(session, now).provided_by(gateway.party)
        passing = None if party.exchanges else {dataset.id for dataset in provided if may_pass(party, dataset)}
        due = due_pushes(session, party.code, now=now, datasets=passing)
    done = 0
    blocked: set[str] = set()
    for delivery in due:
        if delivery.dataset in blocked:
            continue
        if _state_of(gateway, party) != party.state:
            break  # somebody has just suspended it, or taken it up again: the next round knows
        try:
            if _push(gateway, links, party, delivery):
                done += 1
            else:
                blocked.add(delivery.dataset)
        except SharingError as error:
            blocked.add(delivery.dataset)
            log.warning("push.failed", party=party.code, dataset=delivery.dataset, seq=delivery.seq, code=error.code)
            with gateway.database.write() as session:
                record_attempt(session, delivery, now=now_millis(), error=error.diagnostics())
    return done


def _state_of(gateway: Gateway, party: Party) -> str | None:
    with gateway.database.read() as session:
        return party_states(session).get(party.code)


def _push(gateway: Gateway, links: Links, party: Party, delivery: Delivery) -> bool:
    """Push one batch; False where it is not pinned yet, for it must not leave before that."""
    with gateway.database.read() as session:
        batch = feeds.find_batch(session, gateway.party, delivery.dataset, delivery.seq)
    if batch is None:
        raise RuntimeError("a delivery without its batch: both are written in one transaction")
    pinned = gateway.heads.feed_head(gateway.party, delivery.dataset)
    if pinned is None or pinned[0] < delivery.seq:
        return False
    token = links.to(party).push_batch(gateway.party, delivery.dataset, delivery.seq, batch.frame)
    receipt = read_receipt(gateway, party, token)
    if receipt.manifest != delivery.manifest:
        raise PartnerRefusedError("the receipt is for another batch", code="receipt.mismatch")
    take_receipt(gateway, party, token, now=now_millis())
    return True

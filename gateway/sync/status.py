"""How the exchange with every partner stands, read from the database alone: for `taipu sync status` and the console."""

from __future__ import annotations

from dataclasses import dataclass

from audit import log as exchange_log
from gateway.db import ReadSession
from gateway.ingest.release import held_counts
from gateway.store import feeds, queue
from gateway.store.evidence import evidence_counts
from gateway.store.feeds import FeedHead
from gateway.sync.contacts import Contact, contacts
from partners.delivery import delivery_counts, pending_receipts
from partners.directory import Party, parties

DELIVERY_STATES = ("pending", "delivered", "refused", "dead")


@dataclass(frozen=True)
class PartnerStatus:
    """One partner: our last call to it, its feeds as far as we hold them, and what is open between us.

    `deliveries` counts our batches for it by state; `receipts` are those of ours it does not have yet; `held` are its
    records that wait for something; `evidence` counts what was wrong with its batches, by code.
    """

    party: Party
    contact: Contact
    feeds: tuple[FeedHead, ...]
    deliveries: dict[str, int]
    receipts: int
    held: int
    evidence: dict[str, int]


@dataclass(frozen=True)
class SyncStatus:
    """The whole: our own feeds, datasets with records that wait to be published and since when (ms UTC), the log.

    `unregistered` counts batches for parties that a plan names and nobody has registered here.
    """

    own: tuple[FeedHead, ...]
    waiting: dict[str, int]
    log_size: int
    log_signed: int
    log_waiting: int
    unregistered: dict[str, int]
    partners: tuple[PartnerStatus, ...]


def read_status(session: ReadSession, home: str) -> SyncStatus:
    """How everything stands at the gateway of `home`."""
    heads = sorted(feeds.all_heads(session), key=lambda head: (head.provider, head.dataset))
    log = exchange_log.head(session)
    known = contacts(session)
    known_parties = parties(session)
    codes = {party.code for party in known_parties}
    deliveries, receipts = delivery_counts(session), pending_receipts(session)
    held, evidence = held_counts(session), evidence_counts(session)
    return SyncStatus(
        own=tuple(head for head in heads if head.provider == home),
        waiting=queue.waiting(session),
        log_size=log.size,
        log_signed=log.signed_size,
        log_waiting=exchange_log.count_waiting(session),
        unregistered={
            party: count for (party, state), count in deliveries.items() if party not in codes and state == "pending"
        },
        partners=tuple(
            PartnerStatus(
                party=party,
                contact=known.get(party.code, Contact()),
                feeds=tuple(head for head in heads if head.provider == party.code),
                deliveries={state: deliveries.get((party.code, state), 0) for state in DELIVERY_STATES},
                receipts=receipts.get(party.code, 0),
                held=sum(count for provider, _, _, count, _ in held if provider == party.code),
                evidence={code: count for (provider, code), count in evidence.items() if provider == party.code},
            )
            for party in known_parties
        ),
    )

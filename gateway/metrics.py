"""Figures for Prometheus, read from the database when asked for: a restart loses none, and workers agree.

Collected into a registry of its own each time, so that nothing is kept at module level and two gateways in one process
do not meet.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from audit import log as exchange_log
from gateway.db import ReadSession
from gateway.expiry import expiries
from gateway.ingest.release import held_counts
from gateway.loggers.figures import CONNECTIONS, WAITING, all_figures
from gateway.loggers.strangers import strangers_of
from gateway.service import Gateway
from gateway.standing import days_left, standings
from gateway.store import feeds, findings, queue
from gateway.store.evidence import evidence_counts
from gateway.store.own_keys import doubted, exchanges
from partners.delivery import delivery_counts, receipt_counts
from schemas.times import now_millis


def collect(gateway: Gateway) -> CollectorRegistry:
    """A registry with the figures of this moment."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"taipu_{name}", text, labels, registry=registry)

    now = now_millis()
    with gateway.database.read() as session:
        head = exchange_log.head(session)
        gauge("log_entries", "entries in the log").set(head.size)
        gauge("log_signed_entries", "entries under the newest checkpoint").set(head.signed_size)
        gauge("log_shard", "number of the shard in force").set(head.shard)
        gauge("log_frozen", "1 while the log is frozen and has no successor").set(head.frozen is not None)
        gauge("log_waiting_entries", "entries that wait for the sequencer").set(exchange_log.count_waiting(session))
        batches = gauge("feed_head", "number of the newest batch", ("provider", "dataset"))
        for feed in feeds.all_heads(session):
            batches.labels(feed.provider, feed.dataset).set(feed.seq)
        oldest = gauge("queue_age_seconds", "how long the oldest record waits to be published", ("dataset",))
        for dataset, since in queue.waiting(session).items():
            oldest.labels(dataset).set((now - since) / 1000)
        held = gauge("held", "records that wait for something unknown", ("provider", "waits_for"))
        for provider, waits_for, _, count, _ in held_counts(session):
            held.labels(provider, waits_for).inc(count)
        judging = findings.waiting_since(session)
        gauge("judge_age_seconds", "how long the oldest value waits for the rules over series").set(
            0 if judging is None else (now - judging) / 1000
        )
        found = gauge("findings", "findings of the quality rules", ("provider", "rule", "source"))
        for labels, count in findings.count_findings(session).items():
            found.labels(*labels).set(count)
        deliveries = gauge("deliveries", "batches on their way or arrived", ("recipient", "state"))
        for (recipient, state), count in delivery_counts(session).items():
            deliveries.labels(recipient, state).set(count)
        receipts = gauge("receipts", "receipts given and got", ("direction",))
        for direction, count in receipt_counts(session).items():
            receipts.labels(direction).set(count)
        evidence = gauge("evidence", "pieces of evidence of what was wrong", ("provider", "code"))
        for (provider, code), count in evidence_counts(session).items():
            evidence.labels(provider, code).set(count)
        _collect_partners(session, gauge, now)
        _collect_loggers(session, gauge, now)
        alarms = gauge("partner_document_alarm", "1 where something is wrong with a partner's document", ("party",))
        for party, exchange in exchanges(session).items():
            alarms.labels(party).set(bool(exchange.alarm))
        gauge("doubted_batches", "batches held that a stolen key signed").set(len(doubted(session)))
    ends = gauge("expires_seconds", "seconds until something ends that this gateway lives by", ("what",))
    for one in expiries(gateway, now=now):
        ends.labels(one.what).set((one.ends - now) / 1000)
    return registry


def _collect_partners(session: ReadSession, gauge: Callable[..., Gauge], now: int) -> None:
    """Until when their documents are good, how they stand, and how their clocks go."""
    expiry = gauge("partner_document_expiry_days", "whole days until the partner's document expires", ("party",))
    for party, days in days_left(session, now).items():
        expiry.labels(party).set(days)
    states = gauge("partner_state", "1 for the state the partner is in", ("party", "state"))
    skew = gauge("partner_clock_skew_seconds", "by how much its clock is ahead of ours", ("party",))
    for one in standings(session, now):
        states.labels(one.code, one.state).set(1)
        if one.contact.skew is not None:
            skew.labels(one.code).set(one.contact.skew / 1000)


def _collect_loggers(session: ReadSession, gauge: Callable[..., Gauge], now: int) -> None:
    """What listeners for data loggers have written down, every few seconds."""
    age = gauge("loggers_figures_age_seconds", "how old a listener's figures are", ("listener",))
    connections = gauge("loggers_connections", "connections of data loggers", ("listener",))
    waiting = gauge("loggers_waiting_packets", "packets that wait for their commit", ("listener",))
    refused = gauge("loggers_refused", "packets and connections that were not taken", ("listener", "reason"))
    counted = gauge("loggers_counted", "packets, answers, commits and other counts", ("listener", "what"))
    for listener, figures in all_figures(session).items():
        for name, value in figures.items():
            sort, _, reason = name.partition(".")
            if name == "at":
                age.labels(listener).set((now - value) / 1000)
            elif name in (CONNECTIONS, WAITING):
                (connections if name == CONNECTIONS else waiting).labels(listener).set(value)
            elif sort == "refused":
                refused.labels(listener, reason).set(value)
            else:
                counted.labels(listener, name).set(value)
    gauge("loggers_strangers", "devices that send and are not registered").set(len(strangers_of(session)))

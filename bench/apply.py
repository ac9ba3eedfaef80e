"""Applying a partner's batches of 10,000 lines: signature, digest, order and grant checked, stored, logged, receipted.

The limit is the one of ingest, with 10,000 rows to a commit.
"""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count
from pathlib import Path

from bench.databases import new_database
from bench.feed import make_batches
from bench.gateways import DATASET, PROVIDER, make_provider, make_recipient
from bench.raw import open_raw
from bench.readings import SIZE, raw_rows
from bench.rounds import Contestant, Measure, Ratio, Work, play, timed
from gateway.service import Gateway
from gateway.store import records
from gateway.store.acts import begin_act
from gateway.sync.apply import apply_batch
from partners.directory import Party, find_party
from schemas.batch import MAX_RECORDS, Batch
from schemas.times import now_millis

OURS = "apply_batch in process"
LIMIT = "limit: the rows alone"
_BODIES = MAX_RECORDS // SIZE  # of one batch


def measure_apply(engine: str, folder: Path, server: str, *, rounds: int, batches: int) -> Measure:
    """Lines a second of `batches` batches a turn, on one engine."""
    with ExitStack() as stack:
        provider = make_provider(folder / "provider", f"sqlite:///{folder}/provider.db")
        stack.callback(provider.close)
        recipient = make_recipient(folder / "recipient", new_database(engine, folder, server), provider)
        stack.callback(recipient.close)
        contestants = {
            OURS: _applying(provider, recipient, batches),
            LIMIT: _raw(new_database(engine, folder, server), batches),
        }
        rates = play(contestants, rounds)
    return Measure(f"Applying batches on {engine}", "lines/s", rates, [Ratio(OURS, LIMIT)])


def _applying(provider: Gateway, recipient: Gateway, batches: int) -> Contestant:
    _bring_sites(provider, recipient)
    with recipient.database.read() as session:
        party: Party | None = find_party(session, PROVIDER)
    assert party is not None
    last: Batch | None = None
    done = count(step=batches)

    def turn(_round: int) -> Work:
        nonlocal last
        ready = list(make_batches(provider, batches, after=last, first=next(done) * _BODIES))
        last = ready[-1]
        with timed(batches * MAX_RECORDS) as work:
            for batch in ready:
                applied = apply_batch(recipient, party, DATASET, batch.file, now=now_millis())
                if applied.verdict != "accepted":
                    raise RuntimeError("a batch was refused")
        return work

    return turn


def _raw(url: str, batches: int) -> Contestant:
    store, numbers = open_raw(url), count()

    def turn(_round: int) -> Work:
        ready = [[row for _ in range(_BODIES) for row in raw_rows(next(numbers))] for _ in range(batches)]
        with timed(batches * MAX_RECORDS) as work:
            for rows in ready:
                store(rows)
        return work

    return turn


def _bring_sites(provider: Gateway, recipient: Gateway) -> None:
    """What the feed `wj-sites` would have brought: readings of unknown sites are held, not stored."""
    wanted = [(f"320509-SW-{number:04}", 1) for number in range(1, 51)]
    with provider.database.read() as session:
        found = records.fetch(session, PROVIDER, "site", wanted)
    with recipient.database.write() as session:
        act = begin_act(session, "batch", PROVIDER, "bench", at=now_millis(), submitted=False)
        for stored in found:
            records.take_record(session, act, stored.statement, stored.line)

"""The log: appending and integrating entries against putting them into the outbox alone; an audit against hashing.

An entry is what an ingest writes, some 400 bytes. Integrating means what the sequencer does: leaves, tiles and head
written, read back and hashed again, the head pinned and signed, 1,000 entries a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from audit.entry import make_entry
from audit.form import SUBMISSION
from audit.log import append_many
from audit.merkle import CompactRange, leaf_hash, subtree_root
from audit.report import Outcome
from audit.sequencer import STEP
from audit.tiles import HEIGHT, WIDTH
from audit.verify import verify_directory
from bench.databases import new_database
from bench.gateways import PROVIDER, make_gateway
from bench.rounds import Contestant, Measure, Ratio, Work, play, timed
from gateway.evidence_export import write_evidence
from gateway.service import Gateway
from schemas.times import now_millis, utc_text

OURS = "appended and integrated"
LIMIT = "limit: the outbox alone"
AUDIT = "audited"
HASHED = "limit: hashed into the same tree"


def measure_log(engine: str, folder: Path, server: str, *, rounds: int, steps: int) -> Measure:
    """Entries a second on one engine, `steps` times 1,000 a turn, one commit for each 1,000."""
    with ExitStack() as stack:
        gateways = [
            make_gateway(folder / name, PROVIDER, new_database(engine, folder, server)) for name in ("log", "outbox")
        ]
        for gateway in gateways:
            stack.callback(gateway.close)
            while gateway.sequencer.step():
                pass
        rates = play(
            {OURS: _appending(gateways[0], steps, integrate=True), LIMIT: _appending(gateways[1], steps)}, rounds
        )
    return Measure(f"Log on {engine}", "entries/s", rates, [Ratio(OURS, LIMIT, 0.5)])


def measure_audit(folder: Path, *, rounds: int, entries: int) -> Measure:
    """Entries a second of the offline verifier over an evidence directory of `entries` entries and little else."""
    gateway = make_gateway(folder / "audited", PROVIDER, f"sqlite:///{folder}/audited.db")
    made = list(_entries(count(), entries))
    for start in range(0, entries, STEP):
        with gateway.database.write() as session:
            append_many(session, made[start : start + STEP])
    while gateway.sequencer.step():
        pass
    write_evidence(gateway, folder / "evidence")
    vkey = gateway.log_signer.vkey
    gateway.close()

    def audit(_round: int) -> Work:
        with timed(entries) as work:
            report = verify_directory(folder / "evidence", vkey=vkey)
        if report.exit_code != Outcome.PROVED:
            raise RuntimeError(report.sentence)
        return work

    def hash_all(_round: int) -> Work:
        with timed(entries) as work:
            _root(made)
        return work

    rates = play({AUDIT: audit, HASHED: hash_all}, rounds)
    note = f"{entries:,} entries; the limit has them in memory, the auditor reads them and everything else from files"
    return Measure("Audit of a log", "entries/s", rates, [Ratio(AUDIT, HASHED, 0.5)], [note])


def _appending(gateway: Gateway, steps: int, *, integrate: bool = False) -> Contestant:
    numbers = count()

    def turn(_round: int) -> Work:
        ready = [list(_entries(numbers, STEP)) for _ in range(steps)]
        with timed(steps * STEP) as work:
            for entries in ready:
                with gateway.database.write() as session:
                    append_many(session, entries)
                if integrate and gateway.sequencer.step() != STEP:
                    raise RuntimeError("the sequencer left entries behind")
        return work

    return turn


def _entries(numbers: Iterator[int], how_many: int) -> Iterator[bytes]:
    at = utc_text(now_millis())
    for _ in range(how_many):
        detail = {"id": f"{next(numbers):032x}", "sha256": "A" * 43, "accepted": 1000, "duplicates": 0, "held": 0}
        yield make_entry(SUBMISSION, at=at, party=PROVIDER, actor="bench-station", detail=detail)


def _root(entries: Sequence[bytes]) -> bytes:
    edge = CompactRange()
    for start in range(0, len(entries), WIDTH):
        leaves = [leaf_hash(entry) for entry in entries[start : start + WIDTH]]
        if len(leaves) == WIDTH:
            edge.append(subtree_root(leaves), HEIGHT)
        else:
            for leaf in leaves:
                edge.append(leaf)
    return edge.root()

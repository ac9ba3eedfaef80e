"""Is everything that was exchanged proved: every batch, every receipt, every log, with the keys of who signed it.

Reads the gateways' databases when they have stopped. What it finds wrong it returns in sentences; it raises nothing for
what a gateway did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from audit import log as exchange_log
from audit.merkle import leaf_hash
from audit.receipts import Receipt, open_receipt
from audit.verify import verify_directory
from gateway.db import ReadSession
from gateway.evidence_export import write_evidence
from gateway.service import Gateway
from gateway.store import feeds, tables
from partners.tables import receipt as receipt_table
from schemas import jws
from schemas.batch import open_batch
from schemas.errors import SharingError


@dataclass
class Proofs:
    """How many distinct batches and receipts there are, how many log entries, and what is wrong with any of them."""

    batches: int = 0
    receipts: int = 0
    log_entries: int = 0
    problems: list[str] = field(default_factory=list)


def verify_all(gateways: Mapping[str, Gateway], folder: Path) -> Proofs:
    """Check the gateways, by party, against each other. Evidence for the logs is written under `folder`."""
    found = Proofs()
    _check_batches(gateways, found)
    _check_receipts(gateways, found)
    for gateway in gateways.values():
        _check_log(gateway, folder / f"evidence-{gateway.party}", found)
    return found


def _check_batches(gateways: Mapping[str, Gateway], found: Proofs) -> None:
    """Signed by its provider, whole, in order without gaps, each naming the one before; everywhere the same."""
    provided: dict[tuple[str, str], list[str]] = {}
    for holder in sorted(gateways.values(), key=lambda gateway: gateway.party):
        with holder.database.read() as session:
            heads = feeds.all_heads(session)
            for head in sorted(heads, key=lambda head: (head.provider, head.dataset)):
                chain = list(_chain(session, holder.party, head, gateways[head.provider], found))
                name = (head.provider, head.dataset)
                if provided.setdefault(name, chain) != chain:
                    found.problems.append(f"{holder.party} holds another chain of {name} than others do")
    found.batches = sum(len(chain) for chain in provided.values())


def _chain(session: ReadSession, holder: str, head: feeds.FeedHead, provider: Gateway, found: Proofs) -> Iterator[str]:
    previous, expected = "", 1
    key = provider.keys.manifest
    for stored in feeds.batches(session, head.provider, head.dataset, first=1, last=head.seq):
        place = f"batch {stored.seq} of {head.provider}/{head.dataset} at {holder}"
        try:
            batch = open_batch(feeds.from_frame(stored.frame), {key.kid: key.public})
        except SharingError as error:
            found.problems.append(f"{place}: {error.diagnostics()}")
            continue
        manifest = batch.manifest
        named = (manifest.provider, manifest.dataset, manifest.seq, manifest.prev)
        if named != (head.provider, head.dataset, expected, previous) or batch.hash != stored.manifest:
            found.problems.append(f"{place} does not follow on the one before")
        previous, expected = batch.hash, manifest.seq + 1
        yield batch.hash
    if previous != head.manifest:
        found.problems.append(f"{head.provider}/{head.dataset} at {holder} does not end at its head")


def _check_receipts(gateways: Mapping[str, Gateway], found: Proofs) -> None:
    """Signed by who gave it, its promise kept in that party's log, and the same text at both ends.

    Of a submission the receipt is in the answer that was given.
    """
    given: set[str] = set()
    got: set[str] = set()
    for gateway in gateways.values():
        with gateway.database.read() as session:
            for row in session.execute(select(receipt_table.c.direction, receipt_table.c.party, receipt_table.c.token)):
                (given if row.direction == "out" else got).add(row.token)
                if row.direction == "out":
                    _check_promise(session, gateway, row.token, found)
            answers = session.execute(select(tables.submission.c.outcome)).scalars()
            tokens = [json.loads(answer)["receipt"] for answer in answers]
            for token in tokens:
                _check_promise(session, gateway, token, found)
        found.receipts += len(tokens)
    found.receipts += len(given | got)
    if given != got:
        found.problems.append(f"{len(given ^ got)} receipts are held at one end only")


def _check_promise(session: ReadSession, signer: Gateway, token: str, found: Proofs) -> None:
    key = signer.keys.manifest
    try:
        receipt = open_receipt(token, {key.kid: key.public})
    except SharingError as error:
        found.problems.append(f"a receipt of {signer.party}: {error.diagnostics()}")
        return
    if receipt.from_party != signer.party or not _is_kept(session, receipt):
        found.problems.append(f"{signer.party} promised an entry for {receipt.manifest} that is not in its log")


def _is_kept(session: ReadSession, receipt: Receipt) -> bool:
    promised = jws.b64decode(receipt.entry)
    place = exchange_log.find_place(session, promised)
    if place is None or place.index >= exchange_log.head(session, place.shard).held:
        return False
    return leaf_hash(exchange_log.entries(session, place.index, place.index + 1, place.shard)[0]) == promised


def _check_log(gateway: Gateway, folder: Path, found: Proofs) -> None:
    """Written out as evidence and verified as an auditor would, who knows the log's key."""
    write_evidence(gateway, folder)
    report = verify_directory(folder, vkey=gateway.log_signer.vkey)
    if report.exit_code != 0:
        found.problems.append(f"the log of {gateway.party}: {report.as_text()}")
    with gateway.database.read() as session:
        found.log_entries += exchange_log.head(session).signed_size

"""Receipts this gateway gives: to those who hand in records, and to providers whose batches it took or refused.

A receipt promises the log entry it names, so both are made in one transaction with what they speak of.
"""

from __future__ import annotations

import hashlib

from audit.receipts import Receipt, Verdict, sign_receipt
from gateway.ingest.tally import Tally
from gateway.service import Gateway
from schemas import jws
from schemas.batch import Batch
from schemas.times import utc_text


def give_submission_receipt(
    gateway: Gateway, client: str, digest: str, tally: Tally, report: bytes, promised: bytes, now: int
) -> str:
    """The receipt for a submission: `manifest` is the digest of the bytes as they were handed in. `now` in ms UTC."""
    return _sign(gateway, client, "", 0, digest, "accepted", tally, report, promised, now)


def give_batch_receipt(
    gateway: Gateway, batch: Batch, verdict: Verdict, tally: Tally, report: bytes, promised: bytes, now: int
) -> str:
    """The receipt for a provider's batch, applied or refused whole."""
    manifest = batch.manifest
    return _sign(
        gateway, manifest.provider, manifest.dataset, manifest.seq, batch.hash, verdict, tally, report, promised, now
    )


def _sign(
    gateway: Gateway, to: str, dataset: str, seq: int, manifest: str, verdict: Verdict, tally: Tally, report: bytes,
    promised: bytes, now: int,
) -> str:  # fmt: skip
    receipt = Receipt(
        from_party=gateway.party,
        to_party=to,
        manifest=manifest,
        dataset=dataset,
        seq=seq,
        provider=to if dataset else gateway.party,
        log=gateway.settings.log_origin,
        verdict=verdict,
        applied=tally.accepted + tally.revised,
        duplicates=tally.duplicates,
        held=tally.held,
        report=jws.b64encode(hashlib.sha256(report).digest()),
        at=utc_text(now),
        entry=jws.b64encode(promised),
    )
    return sign_receipt(gateway.keys.manifest, receipt)

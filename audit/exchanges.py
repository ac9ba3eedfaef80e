"""What batch files and receipts prove about an exchange, by themselves and against the log (checks 6 to 10).

Pure but for reading the evidence. Each function returns findings; no finding means that the check holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from audit.errors import ReceiptError
from audit.evidence import BatchFile, Evidence, read_file
from audit.form import BATCH_PUBLISHED, BATCH_RECEIVED, BATCH_REFUSED
from audit.receipts import PROMISE, Receipt, open_receipt, receipt_hash
from audit.replay import Replay
from audit.report import Finding, Outcome
from schemas import jws
from schemas.batch import open_batch
from schemas.errors import BatchError, RecordError, SignatureError
from schemas.times import to_millis

# What a failed signature says. All other codes mean that this was never a batch file or a receipt.
_FAILED: Mapping[str, Outcome] = {
    "batch.key-unknown": Outcome.UNPROVED,
    "batch.signature-invalid": Outcome.TAMPERED,
    "batch.digest-mismatch": Outcome.TAMPERED,
    "signature.key-unknown": Outcome.UNPROVED,
    "signature.invalid": Outcome.TAMPERED,
}


@dataclass(frozen=True)
class HeldBatch:
    """A batch file that verified: where it is filed, its identity, and its predecessor's (empty for number 1)."""

    file: BatchFile
    hash: str
    prev: str


def read_batches(evidence: Evidence) -> tuple[list[HeldBatch], list[Finding]]:
    """Check 6. The batch files that verify, by feed and number, and what is wrong with the others."""
    held, findings = [], []
    for file in evidence.batches:
        try:
            batch = open_batch(read_file(file.path) or b"", evidence.keys.get(file.provider, {}))
        except BatchError as error:
            findings.append(_failed(file.name, error))
            continue
        manifest = batch.manifest
        if (manifest.provider, manifest.dataset, manifest.seq) == (file.provider, file.dataset, file.seq):
            held.append(HeldBatch(file, batch.hash, manifest.prev))
        else:
            signed = f"batch {manifest.seq} of {manifest.provider}/{manifest.dataset}"
            findings.append(Finding(Outcome.TAMPERED, f"{file.name} was signed as {signed}"))
    return held, findings


def check_order(held: Sequence[HeldBatch]) -> Iterator[Finding]:
    """Check 7. Of the first batch held of each feed, the predecessor may be unknown."""
    for batch in held:
        if batch.file.seq == 1 and batch.prev:
            yield Finding(Outcome.TAMPERED, f"{batch.file.name} names a predecessor")
    for last, batch in pairwise(held):
        if last.file.feed != batch.file.feed:
            continue
        if batch.file.seq != last.file.seq + 1:
            missing = f"batches {last.file.seq + 1} to {batch.file.seq - 1} of {'/'.join(batch.file.feed)} are not here"
            yield Finding(Outcome.UNPROVED, missing)
        elif batch.prev != last.hash:
            yield Finding(Outcome.TAMPERED, f"{batch.file.name} follows on another batch than the one that is here")


def check_logged(held: Iterable[HeldBatch], log: Replay) -> Iterator[Finding]:
    """Check 8. In the log, once proved, a batch of its own party is published; a partner's is received or refused."""
    named = defaultdict(set)
    for entry in log.about:
        if entry["t"] == BATCH_PUBLISHED:
            named[entry["party"], entry["dataset"], entry["seq"]].add(entry["manifest"])
        elif entry["t"] in (BATCH_RECEIVED, BATCH_REFUSED):
            named[entry.get("peer"), entry["dataset"], entry["seq"]].add(entry["manifest"])
    for batch in held:
        manifests = named[*batch.file.feed, batch.file.seq]
        if not manifests:
            yield Finding(Outcome.UNPROVED, f"{batch.file.name} is not in the log")
        elif batch.hash not in manifests:
            yield Finding(Outcome.TAMPERED, f"{batch.file.name} is another one than the log names")


def read_receipts(evidence: Evidence) -> tuple[list[Receipt], list[Finding]]:
    """Check 9. The receipts that verify, and what is wrong with the others."""
    receipts, findings = [], []
    for path in evidence.receipts:
        name = f"receipt {path.stem}"
        try:
            token = _text(path)
            party = jws.peek(token)[1].get("from")  # unverified: it only says whose keys to try
            receipt = open_receipt(token, evidence.keys.get(party, {}) if isinstance(party, str) else {})
        except (SignatureError, ReceiptError) as error:
            findings.append(_failed(name, error))
            continue
        if receipt_hash(token) == path.stem:
            receipts.append(receipt)
        else:
            findings.append(Finding(Outcome.TAMPERED, f"{name} is filed under another receipt's hash"))
    return receipts, findings


def check_promises(promised: Iterable[Receipt], origins: Collection[str], log: Replay) -> Iterator[Finding]:
    """Check 10. `promised` are the receipts that the party gave whose log was proved, `origins` those of its shards.

    A promise is kept wherever in the log the entry is: one that was given in a shard's last moments, in its successor.
    """
    for receipt in promised:
        name = f"the entry promised to {receipt.to_party} at {receipt.at}"
        if receipt.log not in origins:
            yield Finding(Outcome.UNPROVED, f"{name} belongs to the log {receipt.log}, which is not here")
        elif jws.b64decode(receipt.entry) in log.present:
            continue
        elif _overdue(receipt, log.last_at):
            yield Finding(Outcome.TAMPERED, f"{name} is not in the log, which has long gone on without it")
        else:
            yield Finding(Outcome.UNPROVED, f"{name} is not in the log yet")


def _overdue(receipt: Receipt, last_at: str) -> bool:
    """Whether the log's last entry was made after the promise had to be kept."""
    try:
        return to_millis(last_at) > to_millis(receipt.at) + PROMISE
    except RecordError:
        return False  # what does not tell its time proves nothing


def _text(path: Path) -> str:
    try:
        return (read_file(path) or b"").decode("ascii")
    except UnicodeDecodeError as error:
        raise SignatureError("not a compact JWS", code="signature.malformed") from error


def _failed(name: str, error: BatchError | SignatureError | ReceiptError) -> Finding:
    return Finding(_FAILED.get(error.code, Outcome.UNREADABLE), f"{name}: {error.detail}")

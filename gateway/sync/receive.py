"""What partners hand us of their own accord: receipts for our batches, and batches pushed into the inbox."""

from __future__ import annotations

from audit.entry import make_entry
from audit.form import BATCH_DELIVERED, RECEIPT_IN
from audit.log import append
from audit.receipts import open_receipt, receipt_hash
from gateway.errors import AccessDeniedError, NotFoundError
from gateway.service import Gateway
from gateway.store import feeds
from partners.delivery import close_delivery, keep_receipt
from partners.directory import Party
from schemas.times import utc_text


def take_receipt(gateway: Gateway, party: Party, token: str, *, now: int) -> bool:
    """Keep a partner's receipt for a batch of ours and close its delivery; False when it was here already.

    Raises:
        SignatureError, ReceiptError: it is not a receipt that `party` signed.
        AccessDeniedError: `receipt.not-sender`: it speaks for another party, or to another.
        NotFoundError: `receipt.batch-unknown`: we never gave out such a batch.
    """
    receipt = open_receipt(token, party.manifest_keys)
    if receipt.from_party != party.code or receipt.to_party != gateway.party:
        raise AccessDeniedError("a receipt is handed over by the party that gives it", code="receipt.not-sender")
    digest = receipt_hash(token)
    with gateway.database.write() as session:
        batch = feeds.find_batch(session, gateway.party, receipt.dataset, receipt.seq)
        if batch is None or batch.manifest != receipt.manifest or receipt.provider != gateway.party:
            raise NotFoundError("there is no batch with this manifest", code="receipt.batch-unknown")
        fresh = keep_receipt(
            session, receipt_hash=digest, manifest=receipt.manifest, direction="in", party=party.code, token=token,
            report=None, now=now,
        )  # fmt: skip
        if not fresh:
            return False
        common = {
            "at": utc_text(now), "party": gateway.party, "peer": party.code, "dataset": receipt.dataset,
            "seq": receipt.seq, "manifest": receipt.manifest, "verdict": receipt.verdict,
        }  # fmt: skip
        append(session, make_entry(RECEIPT_IN, receipt=digest, **common))  # type: ignore[arg-type]
        closed = close_delivery(
            session, manifest=receipt.manifest, recipient=party.code, verdict=receipt.verdict, receipt_hash=digest
        )
        if closed and receipt.verdict == "accepted":
            append(session, make_entry(BATCH_DELIVERED, **common))  # type: ignore[arg-type]
    gateway.signals.logged.send()
    return True

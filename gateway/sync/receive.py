"""What partners hand us of their own accord: receipts for our batches, and batches pushed into the inbox."""

from __future__ import annotations

from audit.entry import make_entry
from audit.errors import ReceiptError
from audit.form import BATCH_DELIVERED, RECEIPT_IN
from audit.log import append
from audit.receipts import Receipt, open_receipt, receipt_hash
from gateway.errors import AccessDeniedError, NotFoundError
from gateway.service import Gateway
from gateway.store import evidence, feeds
from partners.delivery import close_delivery, is_kept, keep_receipt
from partners.directory import Party
from schemas import jws
from schemas.errors import SignatureError
from schemas.times import to_millis, utc_text


def read_receipt(gateway: Gateway, party: Party, token: str) -> Receipt:
    """The receipt in `token`, which `party` signed. A key we do not know has its party document asked for.

    Raises:
        SignatureError, ReceiptError: it is not a receipt that `party` signed.
    """
    try:
        return open_receipt(token, party.manifest_keys)
    except SignatureError as error:
        if error.code == "signature.key-unknown":
            gateway.ask_document(party.code)
        raise


def take_receipt(gateway: Gateway, party: Party, token: str, *, now: int) -> bool:
    """Keep a partner's receipt for a batch of ours and close its delivery; False when it was here already.

    Raises:
        SignatureError, ReceiptError: it is not a receipt that `party` signed; or it did with a key it does not stand by
            (`receipt.key-retired`, `receipt.key-revoked`), and then it is kept as evidence.
        AccessDeniedError: `receipt.not-sender`: it speaks for another party, or to another.
        NotFoundError: `receipt.batch-unknown`: we never gave out such a batch.
    """
    receipt = read_receipt(gateway, party, token)
    if receipt.from_party != party.code or receipt.to_party != gateway.party:
        raise AccessDeniedError("a receipt is handed over by the party that gives it", code="receipt.not-sender")
    digest = receipt_hash(token)
    vouched = party.document.vouches_receipt(jws.kid_of(token), at=to_millis(receipt.at))
    if vouched != "good":
        return _doubt(gateway, party, receipt, token, f"receipt.{vouched}", now)
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


def _doubt(gateway: Gateway, party: Party, receipt: Receipt, token: str, code: str, now: int) -> bool:
    """A receipt with a key that signs no more: False where it has been here since before, refused otherwise."""
    with gateway.database.write() as session:
        if is_kept(session, receipt_hash(token)):
            return False
        detail = "the receipt is signed with a key that its party does not stand by"
        evidence.keep_evidence(
            session, provider=party.code, dataset=receipt.dataset, seq=receipt.seq, code=code, detail=detail,
            content=token.encode(), now=now,
        )  # fmt: skip
    raise ReceiptError(detail, code=code)

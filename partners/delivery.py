"""The state of every exchange with every partner: deliveries of our batches, and receipts in both directions.

A delivery closes with the recipient's signed receipt and with nothing else: that bytes were served, or a push answered
200, proves nothing. Retries back off with the number of attempts; a delivery that has been tried for days is `dead`,
which is a person's to look at, and can be opened again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, true, update

from partners.errors import PartnerUnreachableError
from partners.tables import delivery, receipt
from schemas.batch import Batch
from schemas.plan import Dataset
from schemas.times import millis_of

FIRST_RETRY = 1_000  # ms
LONGEST_RETRY = 300_000  # ms
DEAD_AFTER = 2_000  # attempts: about a week at the longest interval


@dataclass(frozen=True)
class Delivery:
    """One batch on its way to one recipient."""

    dataset: str
    seq: int
    recipient: str
    manifest: str
    state: str
    attempts: int
    error: str


@dataclass(frozen=True)
class OutgoingReceipt:
    """A receipt of ours that its provider does not have yet."""

    hash: str
    party: str
    token: str
    attempts: int


@dataclass(frozen=True)
class ReceiptGiven:
    """A receipt of ours, sent or not, with the line report its digest is over."""

    hash: str
    manifest: str
    party: str
    token: str
    report: bytes | None


def open_deliveries(session: Connection, batch: Batch, dataset: Dataset, *, now: int) -> None:
    """A pending delivery of `batch` for every recipient of its dataset whose period is not over. `now` in ms UTC."""
    manifest = batch.manifest
    recipients = [one for one in dataset.recipients if one.until is None or now < millis_of(one.until)]
    if not recipients:
        return
    session.execute(
        insert(delivery),
        [
            {
                "dataset": manifest.dataset, "seq": manifest.seq, "recipient": recipient.party, "manifest": batch.hash,
                "mode": dataset.mode, "state": "pending", "opened": now, "attempts": 0, "next_at": now, "error": "",
            }
            for recipient in recipients
        ],
    )  # fmt: skip


def due_pushes(
    session: Connection, recipient: str, *, now: int, datasets: Collection[str] | None = None, limit: int = 20
) -> list[Delivery]:
    """The oldest deliveries to push to `recipient` now, in order; of each feed a number only after those before it.

    With `datasets` only of these, so that what may not pass does not stand before what may.

    A number whose turn has not come again, or that a person must look at, holds back those that follow: a recipient
    that has nothing of the feed yet would take the later one for its beginning.
    """
    earlier = delivery.alias()
    held_back = exists().where(
        earlier.c.recipient == recipient, earlier.c.dataset == delivery.c.dataset, earlier.c.seq < delivery.c.seq,
        or_(and_(earlier.c.state == "pending", earlier.c.next_at > now), earlier.c.state == "dead"),
    )  # fmt: skip
    query = (
        select(delivery)
        .where(
            delivery.c.recipient == recipient, delivery.c.state == "pending", delivery.c.mode == "push",
            delivery.c.next_at <= now, ~held_back,
            true() if datasets is None else delivery.c.dataset.in_(datasets),
        )
        .order_by(delivery.c.dataset, delivery.c.seq)
        .limit(limit)
    )  # fmt: skip
    return [_delivery(row) for row in session.execute(query)]


def hasten_pushes(session: Connection, recipient: str, *, now: int) -> bool:
    """`recipient` can be reached again: what waited for that is tried at once; whether there was any."""
    waiting = (
        delivery.c.recipient == recipient, delivery.c.state == "pending", delivery.c.next_at > now,
        delivery.c.error.startswith(PartnerUnreachableError.code),
    )  # fmt: skip
    return session.execute(update(delivery).where(*waiting).values(next_at=now)).rowcount > 0


def is_owed_receipt(session: Connection, manifest: str, recipient: str) -> bool:
    """Whether there is, or was, a delivery of this batch to `recipient`."""
    query = select(delivery.c.seq).where(delivery.c.manifest == manifest, delivery.c.recipient == recipient)
    return session.execute(query).first() is not None


def record_attempt(session: Connection, tried: Delivery, *, now: int, error: str) -> None:
    """A push that failed: when to try again, and why it failed."""
    attempts = tried.attempts + 1
    state = "dead" if attempts >= DEAD_AFTER else "pending"
    values = {"attempts": attempts, "next_at": now + retry_delay(attempts), "error": error[:500], "state": state}
    session.execute(update(delivery).where(_same(tried)).values(**values))


def close_delivery(session: Connection, *, manifest: str, recipient: str, verdict: str, receipt_hash: str) -> bool:
    """Close the delivery of `manifest` to `recipient` by its receipt; whether there was one to close.

    A second receipt, after the recipient was restored, supersedes the first.
    """
    state = "delivered" if verdict == "accepted" else "refused"
    here = and_(delivery.c.manifest == manifest, delivery.c.recipient == recipient)
    changed = session.execute(update(delivery).where(here).values(state=state, receipt=receipt_hash, error=""))
    return changed.rowcount == 1


def keep_receipt(
    session: Connection, *, receipt_hash: str, manifest: str, direction: str, party: str, token: str,
    report: bytes | None, now: int,
) -> bool:  # fmt: skip
    """Keep a receipt, given (`out`: to be sent) or got (`in`); False when it was here already."""
    if is_kept(session, receipt_hash):
        return False
    session.execute(
        insert(receipt).values(
            hash=receipt_hash, manifest=manifest, direction=direction, party=party, token=token, report=report,
            state="pending" if direction == "out" else "held", at=now, attempts=0, next_at=now, error="",
        )
    )  # fmt: skip
    return True


def is_kept(session: Connection, receipt_hash: str) -> bool:
    """Whether this receipt is here."""
    return session.execute(select(receipt.c.hash).where(receipt.c.hash == receipt_hash)).first() is not None


def due_receipts(session: Connection, party: str, *, now: int, limit: int = 200) -> list[OutgoingReceipt]:
    """The oldest receipts of ours to send to `party` now."""
    query = (
        select(receipt.c.hash, receipt.c.party, receipt.c.token, receipt.c.attempts)
        .where(receipt.c.party == party, receipt.c.state == "pending", receipt.c.next_at <= now)
        .order_by(receipt.c.at)
        .limit(limit)
    )
    return [OutgoingReceipt(*row) for row in session.execute(query)]


def mark_sent(session: Connection, hashes: list[str]) -> None:
    """The provider has these receipts."""
    session.execute(update(receipt).where(receipt.c.hash.in_(hashes)).values(state="sent", error=""))


def mark_unsent(session: Connection, tried: OutgoingReceipt, *, now: int, error: str) -> None:
    """A receipt could not be sent: when to try again, and why it failed."""
    attempts = tried.attempts + 1
    values = {"attempts": attempts, "next_at": now + retry_delay(attempts), "error": error[:500]}
    session.execute(update(receipt).where(receipt.c.hash == tried.hash).values(**values))


def receipt_given(session: Connection, manifest: str) -> str | None:
    """The newest receipt (compact JWS) we gave for a batch."""
    query = select(receipt.c.token).where(receipt.c.manifest == manifest, receipt.c.direction == "out")
    return session.execute(query.order_by(receipt.c.at.desc()).limit(1)).scalar()


def receipts_for(session: Connection, manifest: str, direction: str) -> list[tuple[str, str]]:
    """The other party and the compact JWS of every receipt for a batch that was given (`out`) or got (`in`)."""
    query = select(receipt.c.party, receipt.c.token).where(
        receipt.c.manifest == manifest, receipt.c.direction == direction
    )
    return [(row.party, row.token) for row in session.execute(query.order_by(receipt.c.at, receipt.c.hash))]


def receipts_since(session: Connection, direction: str, party: str | None, since: int) -> Iterator[str]:
    """Every receipt for a batch that was given or got from `since` (ms UTC) on, of one `party` or of all."""
    query = select(receipt.c.token).where(receipt.c.direction == direction, receipt.c.at >= since)
    if party is not None:
        query = query.where(receipt.c.party == party)
    yield from session.scalars(query.order_by(receipt.c.at).execution_options(yield_per=200))


def receipts_given(session: Connection, since: int) -> list[ReceiptGiven]:
    """The receipts we gave from `since` (ms UTC) on, and those that their provider does not have yet."""
    columns = (receipt.c.hash, receipt.c.manifest, receipt.c.party, receipt.c.token, receipt.c.report)
    query = select(*columns).where(
        receipt.c.direction == "out", or_(receipt.c.at >= since, receipt.c.state == "pending")
    )
    return [ReceiptGiven(*row) for row in session.execute(query.order_by(receipt.c.at, receipt.c.hash))]


def receipt_token(session: Connection, receipt_hash: str, *, party: str, home: str) -> str | None:
    """A receipt we gave to `party`, or any we gave where `home` itself asks."""
    query = select(receipt.c.token, receipt.c.party).where(receipt.c.hash == receipt_hash, receipt.c.direction == "out")
    row = session.execute(query).first()
    return row.token if row is not None and party in (row.party, home) else None


def every_receipt(session: Connection) -> Iterator[tuple[str, str]]:
    """Hash and compact JWS of every receipt, given and got, read a few at a time."""
    query = select(receipt.c.hash, receipt.c.token).order_by(receipt.c.hash).execution_options(yield_per=200)
    for row in session.execute(query):
        yield row.hash, row.token


def report_of(session: Connection, receipt_hash: str) -> tuple[str, bytes] | None:
    """The other party and the line report of a receipt we gave."""
    query = select(receipt.c.party, receipt.c.report).where(receipt.c.hash == receipt_hash)
    row = session.execute(query.where(receipt.c.report.is_not(None))).first()
    return (row.party, row.report) if row else None


def delivery_counts(session: Connection) -> dict[tuple[str, str], int]:
    """How many deliveries there are by recipient and state."""
    query = select(delivery.c.recipient, delivery.c.state, func.count()).group_by(
        delivery.c.recipient, delivery.c.state
    )
    return {(row[0], row[1]): row[2] for row in session.execute(query)}


def count_pending(session: Connection, dataset: str, recipient: str) -> int:
    """How many batches of a dataset are still on their way to `recipient`."""
    query = select(func.count()).where(
        delivery.c.dataset == dataset, delivery.c.recipient == recipient, delivery.c.state == "pending"
    )
    return int(session.execute(query).scalar_one())


def pending_receipts(session: Connection) -> dict[str, int]:
    """How many receipts of ours each party does not have yet."""
    query = select(receipt.c.party, func.count()).where(receipt.c.state == "pending").group_by(receipt.c.party)
    return {row[0]: row[1] for row in session.execute(query)}


def receipt_counts(session: Connection) -> dict[str, int]:
    """How many receipts there are by direction: in, out."""
    query = select(receipt.c.direction, func.count()).group_by(receipt.c.direction)
    return {row[0]: row[1] for row in session.execute(query)}


def retry_delay(attempts: int) -> int:
    """Milliseconds to wait after so many failed attempts: doubling, up to five minutes."""
    return min(FIRST_RETRY << min(attempts - 1, 20), LONGEST_RETRY)


def _same(one: Delivery) -> ColumnElement[bool]:
    return and_(delivery.c.dataset == one.dataset, delivery.c.seq == one.seq, delivery.c.recipient == one.recipient)


def _delivery(row: object) -> Delivery:
    names = ("dataset", "seq", "recipient", "manifest", "state", "attempts", "error")
    return Delivery(*(getattr(row, name) for name in names))

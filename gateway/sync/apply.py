"""A partner's batch → our store: verified, in order, granted, then through the same door as everything else.

No state changes without the provider's valid signature over exactly these bytes. What is validly signed is applied or
refused whole, its number is spent, and a signed receipt says which. Records, cursor, batch, log entry and receipt are
one transaction: the cursor is never ahead of its data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit.entry import make_entry
from audit.form import BATCH_RECEIVED, BATCH_REFUSED, FINDING
from audit.log import append
from audit.receipts import Verdict, receipt_hash
from gateway.agreements.receiving import BackdatedError, Judge, remember_refused, take_acts
from gateway.db import ReadSession, WriteSession
from gateway.errors import ConflictError, WaitingError
from gateway.ingest.door import Prepared
from gateway.ingest.parcel import Parcel, Problem, unpack_lines
from gateway.ingest.submissions import report_lines
from gateway.ingest.tally import Tally
from gateway.ingest.terms import Terms
from gateway.receipts import give_batch_receipt
from gateway.service import Gateway
from gateway.store import evidence, feeds
from gateway.store.acts import begin_act
from gateway.store.feeds import FeedHead
from partners.delivery import keep_receipt, receipt_given
from partners.directory import Party
from partners.plans import Plans, governed_plan, plans_in_force
from schemas import jws
from schemas.batch import SCHEMA_VERSION, Batch, open_batch
from schemas.errors import BatchError, SharingError
from schemas.plan import Dataset
from schemas.records import Agreement, Case
from schemas.times import to_millis, utc_text

_STOPPING = (evidence.FORK, "feed.predecessor-wrong")  # the provider signed two histories: people decide
STOLEN = "batch.key-revoked"
TOLERATED_SKEW = 60_000  # ms a partner's clock may be ahead of ours


@dataclass(frozen=True)
class Applied:
    """What became of a batch. `fresh` is False where it had been taken before; the receipt is then the old one."""

    verdict: str
    receipt: str
    fresh: bool

    @property
    def receipt_hash(self) -> str:
        return receipt_hash(self.receipt)


def apply_batch(
    gateway: Gateway, party: Party, dataset: str, file: bytes, *, now: int, expected: int | None = None,
    frame: bytes | None = None, passed_over: bool = False,
) -> Applied:  # fmt: skip
    """Take one batch file of a feed of `party`, as number `expected` if that was said. `now` in ms UTC.

    `frame` is the zstd frame that `file` came in, if it came in one: it is kept as it is. A batch under a stolen key,
    which the provider does not stand by, is refused whole and spends its number where it is `passed_over`: where later
    batches of the feed, under a key that is good, follow on it (`is_passed_over`).

    Raises:
        BatchError: it is not what the provider signed, or is signed with a key it does not stand by that far
            (`batch.key-retired`, `batch.key-revoked`); nothing has changed, bounded evidence is kept.
        ConflictError: `feed.gap` or `feed.before-start` (with the number expected), `feed.fork` or
            `feed.predecessor-wrong` (evidence kept, the feed stops), `feed.stopped`.
        WaitingError: the plan version it names is not here yet, or it comes from the future.
    """
    # 1. The provider signed exactly these bytes, as a batch of this feed.
    batch = _open(gateway, party, dataset, file, expected, now)
    # 2. It is the next of the feed, or one we have; looked at first without the lock, to be quick about old ones. What
    #    is new must be signed with a key that the provider still stands by.
    with gateway.database.read() as session:
        known = _find_known(session, batch)
    if known is not None:
        return known
    doubted = _doubt(gateway, party, batch, now, passed_over=passed_over)
    with gateway.database.read() as session:
        granted = _granted(session, gateway.party, batch, now)
    governs = governed_plan(dataset) is not None
    # 3. Its records, through the one door. Decoding and numbering need no lock.
    refusal = doubted or _judge(granted or governs, batch)
    parcel = Parcel() if refusal else _unpack(batch, Terms(gateway.governed.at(now)))
    refusal = refusal or _malformed(parcel, party.code, batch.manifest.count, governs=governs)
    prepared = gateway.door.prepare(party.code, Parcel(problems=parcel.problems) if refusal else parcel, now=now)
    try:
        with gateway.database.write() as session:
            head = feeds.lock_head(session, party.code, dataset)
            known = _find_known(session, batch)
            if known is not None:
                return known
            _check_order(session, head, batch)
            if governs and refusal is None:
                refusal = Judge(gateway, session, party, batch, now=now).refusal(parcel.items, batch)
            applied, tally = _store(gateway, session, head, batch, frame, prepared, refusal, now)
            if governs:
                _heed(gateway, session, batch, parcel, refusal, now)
    except ConflictError as error:
        if error.code in _STOPPING:
            _keep(gateway, party.code, dataset, batch.manifest.seq, error, file, now)
        raise
    gateway.settle(party.code, tally)
    return applied


def _open(gateway: Gateway, party: Party, dataset: str, file: bytes, expected: int | None, now: int) -> Batch:
    """The batch in `file`; evidence is kept of what is none, and a key we do not know may be in a newer document."""
    try:
        batch = open_batch(file, party.manifest_keys)
        _check_feed(batch, party.code, dataset, expected)
    except BatchError as error:
        if error.code == "batch.key-unknown":
            gateway.ask_document(party.code)
        _keep(gateway, party.code, dataset, None, error, file, now)
        raise
    return batch


def _doubt(gateway: Gateway, party: Party, batch: Batch, now: int, *, passed_over: bool) -> Problem | None:
    """Why a batch that is passed over is refused: its provider does not stand by the key. Any other one is no batch."""
    try:
        _check_vouched(batch, party)
    except BatchError as error:
        _keep(gateway, party.code, batch.manifest.dataset, batch.manifest.seq, error, batch.file, now)
        if not passed_over or error.code != STOLEN:
            raise
        return Problem("line 1", "refused", error.code, error.detail)
    return None


def _heed(
    gateway: Gateway, session: WriteSession, batch: Batch, parcel: Parcel, refusal: Problem | None, now: int
) -> None:
    """What acts of governance bring about, or that they were refused."""
    if refusal is None:
        take_acts(gateway, session, batch, parcel.items, now=now)
    else:
        remember_refused(session, parcel.items, now=now)
        _log_backdated(gateway, session, batch, refusal, now)


def is_passed_over(party: Party, files: Sequence[bytes]) -> bool:
    """Whether the provider's feed goes on behind the first of `files`, each the next batch, under a key that is good.

    Then it is the provider's own although a stolen key signed it, and the number is spent: its content is not relied
    on, and the records come again in a batch of their own.
    """
    before: Batch | None = None
    for file in files:
        try:
            batch = open_batch(file, party.manifest_keys)
        except BatchError:
            return False
        if before is not None:
            if batch.manifest.prev != before.hash:
                return False
            if any(jwk.kid == jws.kid_of(batch.token) for jwk in party.document.keys.manifest):
                return True
        before = batch
    return False


def _check_feed(batch: Batch, provider: str, dataset: str, expected: int | None) -> None:
    manifest = batch.manifest
    if manifest.provider != provider or manifest.dataset != dataset:
        raise BatchError("the batch is of another feed than it came as", code="batch.feed-wrong", pointers=["line 1"])
    if expected is not None and manifest.seq != expected:
        detail = f"the batch is number {manifest.seq}, not {expected}"
        raise BatchError(detail, code="batch.number-wrong", pointers=["line 1"])


def _check_vouched(batch: Batch, party: Party) -> None:
    manifest = batch.manifest
    vouched = party.document.vouches(
        jws.kid_of(batch.token), dataset=manifest.dataset, seq=manifest.seq, manifest=batch.hash
    )
    if vouched != "good":
        detail = f"party {party.code} does not stand by what this key signed as number {manifest.seq}"
        raise BatchError(detail, code=f"batch.{vouched}", pointers=["line 1"])


def _find_known(session: ReadSession, batch: Batch) -> Applied | None:
    """The answer we gave to exactly this batch."""
    manifest = batch.manifest
    held = feeds.find_batch(session, manifest.provider, manifest.dataset, manifest.seq)
    if held is None or held.manifest != batch.hash:
        return None
    receipt = receipt_given(session, batch.hash)
    if receipt is None:
        raise RuntimeError("a batch without its receipt: both are written in one transaction")
    return Applied(str(jws.peek(receipt)[1]["verdict"]), receipt, fresh=False)


def _check_order(session: ReadSession, head: FeedHead, batch: Batch) -> None:
    manifest = batch.manifest
    if head.stopped:
        raise ConflictError(f"this feed is stopped: {head.stopped}", code="feed.stopped")
    if manifest.seq <= head.seq:
        held = feeds.find_batch(session, manifest.provider, manifest.dataset, manifest.seq)
        if held is None:
            detail = f"number {manifest.seq} is from before this party joined; {head.seq + 1} comes next"
            raise ConflictError(detail, code="feed.before-start", extra={"expected": head.seq + 1})
        raise ConflictError(
            f"number {manifest.seq} is held with another manifest", code=evidence.FORK,
            extra={"expected": head.seq + 1, "held": held.manifest, "given": batch.hash},
        )  # fmt: skip
    if head.seq and manifest.seq != head.seq + 1:
        detail = f"number {head.seq + 1} comes next"
        raise ConflictError(detail, code="feed.gap", extra={"expected": head.seq + 1})
    # A recipient that joined later has never seen the first predecessor: it pins what comes as its start.
    if (head.seq or manifest.seq == 1) and manifest.prev != head.manifest:
        raise ConflictError("the batch follows another one than we hold", code="feed.predecessor-wrong")


def _granted(session: ReadSession, home: str, batch: Batch, now: int) -> Dataset | None:
    """The dataset under the plan the batch names, None where that does not give it to us."""
    manifest = batch.manifest
    created = to_millis(manifest.created)
    if created > now + TOLERATED_SKEW:
        raise WaitingError("the batch is from the future; it is waited for", code="batch.from-future")
    if governed_plan(manifest.dataset) is not None:
        return None  # what it may say depends on what it says
    plans = plans_in_force(session, created)
    if manifest.plan.rpartition("@")[0] in plans.undecided:
        detail = "which version of its plan was in force when it was made is not known here yet"
        raise WaitingError(detail, code="batch.plan-undecided")
    if not any(plan.reference == manifest.plan and plan.digest == manifest.plan_digest for plan in plans.plans):
        raise WaitingError(f"{manifest.plan} as the batch names it is not in force here", code="batch.plan-unknown")
    return _dataset(plans, manifest.provider, manifest.dataset, home)


def _dataset(plans: Plans, provider: str, dataset: str, home: str) -> Dataset | None:
    found = plans.dataset(provider, dataset)
    return found[1] if found is not None and found[1].received_by(home) else None


def _judge(granted: object, batch: Batch) -> Problem | None:
    """Why the batch is refused whole before its records are looked at."""
    if not granted:
        return Problem("line 1", "refused", "batch.not-granted", "the plan does not give this dataset to this party")
    if not batch.manifest.schema.startswith("1."):
        return Problem("line 1", "refused", "batch.schema-unsupported", "records of schema 1.x are understood here")
    return None


def _unpack(batch: Batch, terms: Terms) -> Parcel:
    """The batch's records; places count the file's lines, of which the manifest is the first."""
    return unpack_lines(batch.lines, terms, first=2, later=batch.manifest.schema != SCHEMA_VERSION)


def _malformed(parcel: Parcel, provider: str, count: int, *, governs: bool) -> Problem | None:
    """The first record that breaks the schema: a provider that signs such a batch has to send it again."""
    for item in parcel.items:
        if item.record.rev < 1:
            return Problem(item.place, "refused", "record.rev-missing", "a shared record carries its revision")
        if isinstance(item.record, Agreement) and not governs:
            return Problem(item.place, "refused", "agreement.kind-wrong", "acts of governance have their own feeds")
        if isinstance(item.record, Case) and item.record.from_ != provider:
            return Problem(item.place, "refused", "case.from-wrong", "a party takes its own steps, nobody else's")
    refused = next((problem for problem in parcel.problems if problem.verdict == "refused"), None)
    if refused is None and len(parcel.items) + len(parcel.waiting) != count:
        return Problem("the file", "refused", "record.not-json", "an empty line is no record")
    return refused


def _store(
    gateway: Gateway, session: WriteSession, head: FeedHead, batch: Batch, frame: bytes | None, prepared: Prepared,
    refusal: Problem | None, now: int,
) -> tuple[Applied, Tally]:  # fmt: skip
    """Everything the batch changes, in one transaction, and the receipt that says so."""
    manifest = batch.manifest
    act = begin_act(session, "batch", manifest.provider, batch.hash, at=now, submitted=False)
    if refusal is None:
        tally = gateway.door.take(session, prepared, act, Plans(()))
    else:
        tally = Tally(refused=manifest.count, problems=[refusal])
    verdict: Verdict = "accepted" if refusal is None else "refused"
    report = report_lines(tally.problems)
    entry = make_entry(
        BATCH_RECEIVED if refusal is None else BATCH_REFUSED, at=utc_text(now), party=gateway.party,
        peer=manifest.provider, dataset=manifest.dataset, seq=manifest.seq, manifest=batch.hash, verdict=verdict,
        detail={"count": manifest.count, **tally.counts()},
    )  # fmt: skip
    promised = append(session, entry)
    _log_conflicts(gateway, session, batch, tally, now)
    feeds.append_batch(session, head, batch, at=now, frame=frame)
    token = give_batch_receipt(gateway, batch, verdict, tally, report, promised, now)
    keep_receipt(
        session, receipt_hash=receipt_hash(token), manifest=batch.hash, direction="out", party=manifest.provider,
        token=token, report=report, now=now,
    )  # fmt: skip
    return Applied(verdict, token, fresh=True), tally


def _log_conflicts(gateway: Gateway, session: WriteSession, batch: Batch, tally: Tally, now: int) -> None:
    """A revision that comes with two contents is an alarm: the provider contradicts itself."""
    places = [problem.place for problem in tally.problems if problem.code == "record.rev-conflict"]
    if places:
        detail = {"code": "record.rev-conflict", "count": len(places), "first": places[0]}
        entry = make_entry(
            FINDING, at=utc_text(now), party=gateway.party, peer=batch.manifest.provider,
            dataset=batch.manifest.dataset, seq=batch.manifest.seq, manifest=batch.hash, detail=detail,
        )  # fmt: skip
        append(session, entry)


def _log_backdated(gateway: Gateway, session: WriteSession, batch: Batch, refusal: Problem, now: int) -> None:
    """A batch that says it was made when it was not there is an alarm, and is kept whole as every refused one."""
    if refusal.code == BackdatedError.code:
        manifest = batch.manifest
        evidence.keep_evidence(
            session, provider=manifest.provider, dataset=manifest.dataset, seq=manifest.seq, code=refusal.code,
            detail=refusal.detail, content=batch.file, now=now,
        )  # fmt: skip
        entry = make_entry(
            FINDING, at=utc_text(now), party=gateway.party, peer=manifest.provider, dataset=manifest.dataset,
            seq=manifest.seq, manifest=batch.hash, detail={"code": refusal.code},
        )  # fmt: skip
        append(session, entry)


def _keep(
    gateway: Gateway, provider: str, dataset: str, seq: int | None, error: SharingError, content: bytes, now: int
) -> None:
    """Bounded evidence of what could not be taken; a fork also stops the feed."""
    with gateway.database.write() as session:
        evidence.keep_evidence(
            session, provider=provider, dataset=dataset, seq=seq, code=error.code, detail=error.detail,
            content=content, now=now,
        )  # fmt: skip
        if error.code in _STOPPING:
            feeds.stop_feed(session, feeds.lock_head(session, provider, dataset), error.code)
            detail = {"code": error.code}
            entry = make_entry(
                FINDING, at=utc_text(now), party=gateway.party, peer=provider, dataset=dataset, detail=detail
            )
            append(session, entry)

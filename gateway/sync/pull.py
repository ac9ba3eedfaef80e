"""Pull: ask a partner for the feeds we receive, take what is new, send the receipts.

One waiting request covers all feeds of a partner. A round is at-least-once and may stop anywhere: the cursor moves with
the data, so the next round goes on from what was stored.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from gateway.service import Gateway
from gateway.store import evidence, feeds
from gateway.sync.apply import STOLEN, Applied, WaitingError, apply_batch, is_passed_over
from gateway.sync.contacts import note_contact
from gateway.sync.links import Links, may_pass
from partners.client import PartnerClient, RemoteHead
from partners.delivery import due_receipts, hasten_pushes, mark_sent, mark_unsent
from partners.directory import Party, find_party
from partners.errors import PartnerError, PartnerRefusedError, PartnerUnreachableError
from partners.plans import plans_in_force
from schemas.errors import BatchError, SharingError
from schemas.times import now_millis

log = structlog.get_logger()


@dataclass(frozen=True)
class Rest:
    """A feed whose next batch could not be taken: until when (monotonic seconds) it rests, for how long, and why."""

    until: float
    pause: float
    error: str


@dataclass
class Puller:
    """Pulls from one partner. `seen` is what the last answer looked like, to wait for another; `rests` by dataset."""

    gateway: Gateway
    links: Links
    code: str
    seen: str | None = None
    rests: dict[str, Rest] = field(default_factory=dict)

    def round(self, party: Party, *, wait: float) -> int:
        """One request for the heads, held open up to `wait` seconds, and all that is new; how many batches came.

        A feed whose next batch cannot be taken rests, longer each time, and holds up no other one.

        Raises:
            PartnerError: the partner could not be asked, or refused; what was taken before stays.
        """
        client = self.links.to(party)
        self.send_receipts(party, client)
        started = time.monotonic()
        patience = min([wait, *(rest.until - started for rest in self.rests.values())])
        # What rests is asked for again although its head has not moved.
        heads, seen = client.feeds(wait=max(patience, 0), seen=self.seen if patience > 0 else None)
        resting = {name for name, rest in self.rests.items() if rest.until > started}
        taken = 0
        for head in heads:
            if head.provider == self.code and head.dataset not in resting:
                taken += self._try(party, client, head)
        self.seen = seen  # only now: had we stopped before, the same answer must come again
        self._note_success(client.skew)
        return taken

    def _try(self, party: Party, client: PartnerClient, head: RemoteHead) -> int:
        """Follow one feed, or let it rest."""
        try:
            taken = self._follow(party, client, head)
        except PartnerUnreachableError:
            raise
        except SharingError as error:
            retry, before = self.gateway.settings.retry, self.rests.get(head.dataset)
            pause = min(before.pause * 2, retry.max) if before else retry.min
            self.rests[head.dataset] = Rest(time.monotonic() + pause, pause, error.diagnostics())
            report = log.warning if isinstance(error, PartnerError | WaitingError) else log.error
            report("feed.rests", party=self.code, dataset=head.dataset, code=error.code, detail=error.detail)
            return 0
        self.rests.pop(head.dataset, None)
        return taken

    def _note_success(self, skew: int | None) -> None:
        """The partner answered; what rests is still shown as a fault. Whoever answers is there to be pushed to."""
        now = now_millis()
        with self.gateway.database.write() as session:
            error = "; ".join(rest.error for rest in self.rests.values())
            note_contact(session, self.code, now=now, error=error, skew=skew)
            hastened = hasten_pushes(session, self.code, now=now)
        if hastened:
            self.gateway.signals.published.send()

    def send_receipts(self, party: Party, client: PartnerClient) -> None:
        """Hand over the receipts this partner does not have yet; one it refuses waits for a person."""
        now = now_millis()
        with self.gateway.database.read() as session:
            due = due_receipts(session, party.code, now=now)
        sent = []
        for receipt in due:
            try:
                client.send_receipt(receipt.token)
                sent.append(receipt.hash)
            except PartnerRefusedError as error:
                with self.gateway.database.write() as session:
                    mark_unsent(session, receipt, now=now, error=error.detail)
        if sent:
            with self.gateway.database.write() as session:
                mark_sent(session, sent)

    def _follow(self, party: Party, client: PartnerClient, head: RemoteHead) -> int:
        """Take everything between our cursor and the partner's head of one feed."""
        taken, moved = 0, False
        while True:
            now = now_millis()
            with self.gateway.database.read() as session:
                held = feeds.head(session, self.code, head.dataset)
                found = plans_in_force(session, now).dataset(self.code, head.dataset)
                known = find_party(session, self.code)  # while we waited, somebody may have suspended it
            dataset = found[1] if found is not None else None
            if held.stopped or (dataset is not None and dataset.mode == "push"):
                return taken
            if known is None or not may_pass(known, dataset):
                return taken
            if held.seq >= head.seq:
                # Pages may bring more than the head told of; only what was held before it can contradict it.
                if not moved and (held.seq > head.seq or held.manifest != head.manifest):
                    self._report_set_back(head, held, now)
                return taken
            frames = client.feed_page(self.code, head.dataset, after=held.seq)
            for place, frame in enumerate(frames):
                applied = self._apply(party, head.dataset, frame, frames[place:])
                taken += applied.fresh
                log.info("batch.applied", provider=self.code, dataset=head.dataset, verdict=applied.verdict)
            self.send_receipts(party, client)
            with self.gateway.database.read() as session:
                if feeds.head(session, self.code, head.dataset).seq == held.seq:
                    return taken  # an empty page: whatever the head said, there is nothing for us
            moved = True

    def _apply(self, party: Party, dataset: str, frame: bytes, following: Sequence[bytes]) -> Applied:
        """Take a batch; pass over one that a stolen key signed where those `following` show that the feed goes on."""
        file = feeds.from_frame(frame)
        try:
            return apply_batch(self.gateway, party, dataset, file, now=now_millis(), frame=frame)
        except BatchError as error:
            if error.code != STOLEN or not is_passed_over(party, [feeds.from_frame(one) for one in following]):
                raise
        return apply_batch(self.gateway, party, dataset, file, now=now_millis(), frame=frame, passed_over=True)

    def _report_set_back(self, head: RemoteHead, held: feeds.FeedHead, now: int) -> None:
        """The partner's head is behind ours, or differs: it was restored from a backup, or shows us another history."""
        detail = f"we hold {held.seq} {held.manifest}, the provider says {head.seq} {head.manifest}"
        log.error("feed.head-differs", provider=self.code, dataset=head.dataset, detail=detail)
        with self.gateway.database.write() as session:
            evidence.keep_evidence(
                session, provider=self.code, dataset=head.dataset, seq=head.seq, code="feed.head-differs",
                detail=detail, content=detail.encode(), now=now,
            )  # fmt: skip


def pull_once(puller: Puller, party: Party, *, wait: float) -> bool:
    """One round with its failure noted instead of raised; whether the partner answered."""
    try:
        puller.round(party, wait=wait)
    except SharingError as error:
        log.warning("pull.failed", party=party.code, code=error.code, detail=error.detail)
        with puller.gateway.database.write() as session:
            note_contact(session, party.code, now=now_millis(), error=error.diagnostics())
        return False
    return True

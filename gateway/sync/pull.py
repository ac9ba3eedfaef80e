"""Pull: ask a partner for the feeds we receive, take what is new, send the receipts.

One waiting request covers all feeds of a partner. A round is at-least-once and may stop anywhere: the cursor moves with
the data, so the next round goes on from what was stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from gateway.service import Gateway
from gateway.store import evidence, feeds
from gateway.sync.apply import WaitingError, apply_batch
from gateway.sync.links import Links, note_contact
from partners.client import PartnerClient, RemoteHead
from partners.delivery import due_receipts, hasten_pushes, mark_sent, mark_unsent
from partners.directory import Party
from partners.errors import PartnerError, PartnerRefusedError
from partners.plans import plans_in_force
from schemas.errors import SharingError
from schemas.times import now_millis

log = structlog.get_logger()


@dataclass
class Puller:
    """Pulls from one partner. `seen` is what the last answer looked like, to wait for another."""

    gateway: Gateway
    links: Links
    code: str
    seen: str | None = None
    stalled: bool = False

    def round(self, party: Party, *, wait: float) -> int:
        """One request for the heads, held open up to `wait` seconds, and all that is new; how many batches came.

        Raises:
            PartnerError: the partner could not be asked, or refused.
            SharingError: a batch could not be taken; those before it were.
        """
        client = self.links.to(party)
        self.send_receipts(party, client)
        # After a batch that could not be taken there is no point in waiting for another head: the old one is still due.
        heads, self.seen = client.feeds(wait=0 if self.stalled else wait, seen=None if self.stalled else self.seen)
        self.stalled = True
        taken = sum(self._follow(party, client, head) for head in heads if head.provider == self.code)
        self.stalled = False
        now = now_millis()
        with self.gateway.database.write() as session:
            note_contact(session, self.code, now=now)
            hastened = hasten_pushes(session, self.code, now=now)
        if hastened:
            self.gateway.signals.published.send()
        return taken

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
            if held.stopped or (found is not None and found[1].mode == "push"):
                return taken
            if held.seq >= head.seq:
                # Pages may bring more than the head told of; only what was held before it can contradict it.
                if not moved and (held.seq > head.seq or held.manifest != head.manifest):
                    self._report_set_back(head, held, now)
                return taken
            for frame in client.feed_page(self.code, head.dataset, after=held.seq):
                applied = apply_batch(self.gateway, party, head.dataset, feeds.from_frame(frame), now=now_millis())
                taken += applied.fresh
                log.info("batch.applied", provider=self.code, dataset=head.dataset, verdict=applied.verdict)
            self.send_receipts(party, client)
            with self.gateway.database.read() as session:
                if feeds.head(session, self.code, head.dataset).seq == held.seq:
                    return taken  # an empty page: whatever the head said, there is nothing for us
            moved = True

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
    """One round with its failure noted instead of raised; whether it went well."""
    try:
        puller.round(party, wait=wait)
    except SharingError as error:
        expected = isinstance(error, PartnerError | WaitingError)
        (log.warning if expected else log.error)("pull.failed", party=party.code, code=error.code, detail=error.detail)
        problem = error
    else:
        return True
    with puller.gateway.database.write() as session:
        note_contact(session, party.code, now=now_millis(), error=problem.diagnostics())
    return False

"""Accepted records → signed batches of a dataset.

One step takes what waits for one dataset, under the lock of that feed's head: so numbers are handed out in the order
of commits, and two publishers can never give one number twice. Selection and projection happen here, under the plan in
force at the batch's `created`; what a newer plan version no longer shares simply leaves the queue.

A batch is served only once its number is pinned in the head store, after the commit. If we stop between the two, the
next start pins what was committed: nobody has seen it, so nothing can differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from audit.entry import make_entry
from audit.errors import HeadConflictError
from audit.form import BATCH_PUBLISHED
from audit.heads import HeadStore
from audit.log import append
from gateway.backlog import Backlog
from gateway.db import Database, ReadSession, WriteSession
from gateway.errors import RolledBackError
from gateway.store import feeds, findings, observations, queue, records
from gateway.store.feeds import FeedHead
from gateway.store.interning import Interning
from gateway.store.lines import extra_of, project, record_of
from gateway.store.observations import Key
from gateway.store.selection import Programmes, admits, admits_record, site_of
from gateway.store.sites import Sites
from partners.agreements import note_published
from partners.delivery import open_deliveries
from partners.plans import find_plan, plans_in_force
from schemas import jws
from schemas.batch import MAX_BYTES, MAX_RECORDS, Batch, write_batch
from schemas.errors import SharingError
from schemas.plan import Dataset, Plan
from schemas.records import Agreement, Retraction, decode_line
from schemas.times import beijing_text, utc_text

DAYS_TOGETHER = 30  # of a backlog, a transaction each, before what is urgent gets its turn
TAKEN_TOGETHER = MAX_RECORDS  # records of one step, which are in memory together; a step ends with a full row

DRAINING = 60_000  # ms before the end of a dataset in which nothing lingers


@dataclass(frozen=True)
class Line:
    """A record as it leaves, and its time (ms UTC; None for a kind that has none)."""

    content: bytes
    at: int | None


class Signer(Protocol):
    """What knows the key that signs manifests at this moment."""

    @property
    def manifest(self) -> jws.SigningKey: ...


class Publisher:
    """Publishes the home party's datasets. Asks `keys` under the lock of a feed's head, each time it signs."""

    def __init__(
        self, home: str, database: Database, heads: HeadStore, keys: Signer, interning: Interning, sites: Sites
    ) -> None:
        self._home = home
        self._database = database
        self._heads = heads
        self._keys = keys
        self._interning = interning
        self._sites = sites
        self._backlog = Backlog(home, database, interning, sites)

    def recover(self) -> None:
        """Pin what was committed but not yet pinned when a process last stopped.

        Raises:
            RolledBackError: the database is behind the head store. It was restored from a backup; numbers already
                given out must not be given to other content, so nothing may be published.
            HeadConflictError: it holds another manifest for a number that was given out.
        """
        pinned = self._heads.feed_heads(self._home)
        with self._database.read() as session:
            held = self._not_behind(session, pinned)
            for name in held:
                last = pinned[name][0] if name in pinned else 0
                for seq, manifest in feeds.manifests(session, self._home, name, after=max(last - 1, 0)):
                    self._heads.pin_feed(self._home, name, seq, manifest)

    def check_pinned(self) -> int:
        """How many feeds are pinned, all of them as the database has them; changes nothing.

        Raises:
            RolledBackError: as `recover`, or the database holds another batch for a number that was given out.
        """
        pinned = self._heads.feed_heads(self._home)
        with self._database.read() as session:
            self._not_behind(session, pinned)
            for name, (seq, manifest) in pinned.items():
                if next(feeds.manifests(session, self._home, name, after=seq - 1)) != (seq, manifest):
                    raise RolledBackError(f"batch {seq} of {name} is not the one that was given out")
        return len(pinned)

    def _not_behind(self, session: ReadSession, pinned: dict[str, tuple[int, str]]) -> dict[str, FeedHead]:
        held = {head.dataset: head for head in feeds.heads_of(session, self._home)}
        behind = [name for name, (seq, _) in pinned.items() if name not in held or held[name].seq < seq]
        if behind:
            raise RolledBackError(f"the database is behind what was given out of {', '.join(sorted(behind))}")
        return held

    def publish_due(self, *, now: int) -> list[Batch]:
        """Publish every dataset whose oldest waiting record has waited its `linger`. `now` in ms UTC.

        Raises:
            SharingError: a dataset could not be published; all others were.
        """
        with self._database.read() as session:
            plans = plans_in_force(session, now)
        self._backlog.follow(plans, now=now)
        for _ in range(DAYS_TOGETHER):
            if not self._backlog.work(plans, now=now):
                break
        with self._database.read() as session:
            waiting = queue.waiting(session)
            soon = plans_in_force(session, now + DRAINING) if waiting else plans
        made: list[Batch] = []
        failed: SharingError | None = None
        found_by_name = {name: plans.dataset(self._home, name) for name in waiting}
        # Sites first: what arrives before its site has to wait for it.
        for name in sorted(waiting, key=lambda name: (not _is_of_sites(found_by_name[name]), name)):
            found, since = found_by_name[name], waiting[name]
            # Without a plan that knows the dataset its queue stays: the next version may share it again.
            if found is None or plans.stopped(*found):
                continue
            # What ends before its linger does leaves now.
            lasting = soon.dataset(self._home, name)
            ending = lasting is None or soon.stopped(*lasting)
            if ending or now >= since + found[1].linger.total_seconds() * 1000:
                try:
                    made += self.publish(name, now=now)
                except SharingError as error:
                    failed = error
        if failed is not None:
            raise failed
        return made

    def publish(self, name: str, *, now: int) -> list[Batch]:
        """Publish what waits for the dataset `name`: the batches made, oldest first, served when this returns.

        Raises:
            RolledBackError: the database is behind what was given out of it.
        """
        with self._database.write() as session:
            head = feeds.lock_head(session, self._home, name)
            pinned = self._heads.feed_head(self._home, name)
            if pinned is not None and pinned[0] > head.seq:
                raise RolledBackError(f"the database is behind what was given out of {name}")
            # Within a feed time never runs backwards, whatever was done to our clock.
            created = max(now, head.created)
            plans = plans_in_force(session, created)
            found = plans.dataset(self._home, name)
            if found is None or plans.stopped(*found):
                return []
            plan, dataset = found
            queued = queue.take(session, name, TAKEN_TOGETHER)
            # What the plan keeps from everybody has no feed.
            lines = self._lines(session, dataset, queued) if dataset.recipients else []
            batches = self._write(session, head, plan, dataset, lines, created)
        if batches:
            self._pin(name)
        return batches

    def _pin(self, name: str) -> None:
        """Pin every batch of the feed that is committed and not pinned yet, in order, whoever made it."""
        pinned = self._heads.feed_head(self._home, name)
        with self._database.read() as session:
            unpinned = list(feeds.manifests(session, self._home, name, after=pinned[0] if pinned else 0))
        for seq, manifest in unpinned:
            try:
                self._heads.pin_feed(self._home, name, seq, manifest)
            except HeadConflictError:
                newest = self._heads.feed_head(self._home, name)
                if newest is None or newest[0] <= seq:
                    raise
                # Another publisher was quicker with this one and the next.

    def _lines(self, session: ReadSession, dataset: Dataset, queued: Sequence[queue.Queued]) -> list[Line]:
        """The queued records that the dataset still selects, each as it leaves, in order of time."""
        if dataset.kind != "observation":
            return self._statements(session, dataset, queued)
        rows = observations.fetch(session, queue.observation_keys(queued))
        series = self._interning.series(session, {row.series_id for row in rows})
        states = self._interning.states(session, {row.state_id for row in rows})
        programmes = self._sites.programmes(session, self._home, {key.site for key in series.values()})
        wanted = {number for number, key in series.items() if admits(dataset, key, programmes)}
        found = findings.codes_of(session, (Key(*row.key, row.rev) for row in rows))
        rows.sort(key=lambda row: (row.at, row.series_id, row.sample, row.rev))
        lines = []
        for row in rows:
            if row.series_id in wanted:
                codes = found.get(Key(*row.key, row.rev), ())
                record = record_of(row, series[row.series_id], states[row.state_id], codes)
                lines.append(Line(project(record, dataset.hide, extra_of(row).more), row.at))
        return lines

    def _statements(self, session: ReadSession, dataset: Dataset, queued: Sequence[queue.Queued]) -> list[Line]:
        """The queued records of another kind that the dataset still selects, in the order they were queued."""
        lines = []
        for stored in records.fetch(session, self._home, dataset.kind, queue.record_keys(queued, dataset.kind)):
            record = stored.statement
            selected = records.withdrawn(session, stored) if isinstance(record, Retraction) else record
            if isinstance(record, Agreement) and _is_late(session, record):
                continue
            if selected is not None and admits_record(dataset, selected, self._programmes(session, site_of(selected))):
                lines.append(Line(project(record, dataset.hide), None))
        return lines

    def _programmes(self, session: ReadSession, site: str) -> Programmes:
        return self._sites.programmes(session, self._home, [site]) if site else {}

    def _write(
        self, session: WriteSession, head: FeedHead, plan: Plan, dataset: Dataset, lines: Sequence[Line], created: int
    ) -> list[Batch]:
        batches = []
        for chunk in _chunks(lines):
            times = [line.at for line in chunk if line.at is not None]
            batch = write_batch(
                self._keys.manifest,
                [line.content for line in chunk],
                provider=self._home,
                dataset=dataset.id,
                plan=plan.reference,
                plan_digest=plan.digest,
                seq=head.seq + 1,
                prev=head.manifest,
                first=beijing_text(min(times)) if times else "",
                last=beijing_text(max(times)) if times else "",
                created=utc_text(created),
            )
            head = feeds.append_batch(session, head, batch, at=created)
            open_deliveries(session, batch, dataset, now=created)
            if dataset.kind == "agreement":
                _note_acts(session, batch, created)
            entry = make_entry(
                BATCH_PUBLISHED, at=utc_text(created), party=self._home, dataset=dataset.id, seq=head.seq,
                manifest=batch.hash, detail={"plan": plan.reference, "count": len(chunk)},
            )  # fmt: skip
            append(session, entry)
            batches.append(batch)
        return batches


def _is_late(session: ReadSession, record: Agreement) -> bool:
    """Whether a completion has not left before its version was concluded to have lapsed: then it never does."""
    known = find_plan(session, record.plan, record.version)
    return record.act == "completion" and known is not None and known.verdict is not None


def _note_acts(session: WriteSession, batch: Batch, created: int) -> None:
    for line in batch.lines:
        record = decode_line(line)
        assert isinstance(record, Agreement)
        note_published(session, record, manifest=batch.hash, created=created)


def _is_of_sites(found: tuple[Plan, Dataset] | None) -> bool:
    return found is not None and found[1].kind == "site"


def _chunks(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """`lines` in order, cut where a batch would be over its count or its bytes."""
    start, size = 0, 0
    for position, line in enumerate(lines):
        length = len(line.content) + 1
        if position - start == MAX_RECORDS or size + length > MAX_BYTES:
            yield lines[start:position]
            start, size = position, 0
        size += length
    if start < len(lines):
        yield lines[start:]

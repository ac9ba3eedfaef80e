"""The door itself: a parcel of one provider's records into the store, in the caller's transaction.

Submissions at home, partners' batches and held content that is tried again all pass here, so all meet the same checks.
What differs is in the act: whether records are submitted (revisions are assigned here and a change must say why) or
received (the provider assigned them), and whether they are ours to publish.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import insert

from gateway.db import WriteSession
from gateway.ingest.parcel import HJ212, Item, Parcel, Problem, Waiting
from gateway.store import observations, queue, records, tables
from gateway.store.acts import Act
from gateway.store.interning import Interning, SeriesKey, State
from gateway.store.lines import row_of, with_reason
from gateway.store.observations import Key, Row, Taken
from gateway.store.sites import Sites
from partners.plans import Plans
from schemas.plan import Dataset
from schemas.records import Observation, Site

Programmes = Mapping[str, frozenset[str]]
"""The programmes of each known site of one provider."""


class Reading(NamedTuple):
    """An observation, the item it came as, and the row it will be.

    `revision` is the row where another value is held under its key; None where nobody says why the value changes.
    """

    item: Item
    site: str
    row: Row
    revision: Row | None


@dataclass(frozen=True)
class Prepared:
    """A parcel with its series and states numbered: all that can be done before the transaction."""

    sites: list[tuple[Item, Site]]
    readings: list[Reading]
    waiting: list[Waiting]
    problems: list[Problem]


@dataclass
class Tally:
    """What the store made of a parcel. `problems` is the whole report, decoding included.

    `sites` are the sites that came or changed, with their programmes: others may be waiting for them.
    """

    accepted: int = 0
    duplicates: int = 0
    revised: int = 0
    refused: int = 0
    held: int = 0
    problems: list[Problem] = field(default_factory=list)
    sites: dict[str, frozenset[str]] = field(default_factory=dict)
    queued: bool = False

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "revised": self.revised,
            "refused": self.refused,
            "held": self.held,
        }


class Door:
    """Takes parcels. Holds what the process remembers between them: numbers of series and states, known sites."""

    def __init__(self, home: str, interning: Interning, sites: Sites) -> None:
        self._home = home
        self._interning = interning
        self._sites = sites

    def prepare(self, provider: str, parcel: Parcel) -> Prepared:
        """Number the parcel's series and states. Opens a short transaction of its own where there are new ones."""
        records_ = [(item, item.record) for item in parcel.items]
        readings = [(item, record) for item, record in records_ if isinstance(record, Observation)]
        keys = [SeriesKey(provider, one.site, one.factor, one.origin, one.stat, one.period) for _, one in readings]
        states = [State.of(record) for _, record in readings]
        series_ids = self._interning.series_ids(keys)
        state_ids = self._interning.state_ids(states)
        return Prepared(
            sites=[(item, record) for item, record in records_ if isinstance(record, Site)],
            readings=[
                _reading(item, record, row_of(record, series_id, state_id))
                for (item, record), series_id, state_id in zip(readings, series_ids, state_ids, strict=True)
            ],
            waiting=parcel.waiting,
            problems=parcel.problems,
        )

    def take(self, session: WriteSession, prepared: Prepared, act: Act, plans: Plans) -> Tally:
        """Store what can be stored, hold what must wait, queue what a dataset of ours may want.

        The caller ends the transaction, and then `settle`s what came of it.
        """
        tally = Tally(problems=list(prepared.problems))
        waiting = list(prepared.waiting)
        own = plans.provided_by(self._home) if act.provider == self._home else []
        datasets = [dataset for dataset in own if dataset.recipients]
        self._take_sites(session, prepared.sites, act, tally, datasets)
        known = self._known(session, act, tally, {reading.site for reading in prepared.readings})
        readings = _with_known_site(prepared.readings, known, tally, waiting)
        rows = [reading.row for reading in readings]
        if act.submitted:
            taken = observations.take_submitted(session, rows, act.id, revisions=[one.revision for one in readings])
        else:
            taken = observations.take_received(session, rows, act.id)
        _count(tally, taken, readings)
        if datasets:
            self._queue_readings(session, _new_keys(rows, taken), known, act, datasets, tally)
        _hold(session, waiting, act)
        tally.held = len(waiting)
        tally.refused = sum(problem.verdict == "refused" for problem in tally.problems)
        return tally

    def settle(self, provider: str, tally: Tally) -> None:
        """After the commit: what this process remembered of the sites that changed is out of date."""
        for site in tally.sites:
            self._sites.forget(provider, site)

    def _known(self, session: WriteSession, act: Act, tally: Tally, wanted: set[str]) -> Programmes:
        """The sites of `wanted` that are known. Those of this very act are not remembered: it may yet be undone."""
        found = self._sites.programmes(session, act.provider, wanted - tally.sites.keys())
        return {**found, **tally.sites}

    def _take_sites(
        self, session: WriteSession, sites: Sequence[tuple[Item, Site]], act: Act, tally: Tally,
        datasets: Sequence[Dataset],
    ) -> None:  # fmt: skip
        queued: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for item, site in sites:
            outcome = records.take_record(session, act, site)
            if outcome.verdict == "refused":
                _refuse(tally, item, outcome.code)
            elif outcome.verdict == "duplicate":
                tally.duplicates += 1
            else:
                tally.accepted += outcome.verdict == "accepted"
                tally.revised += outcome.verdict == "revised"
                programmes = frozenset(site.programmes)
                if outcome.current:
                    tally.sites[site.id] = programmes
                for dataset in datasets:
                    if dataset.kind == "site" and dataset.select.admits_site(site.id, programmes):
                        queued[dataset.id].append((site.id, outcome.rev))
        for dataset_id, keys in queued.items():
            queue.enqueue(session, dataset_id, "site", keys, at=act.at)
            tally.queued = True

    def _queue_readings(
        self, session: WriteSession, keys: list[Key], known: Programmes, act: Act, datasets: Sequence[Dataset],
        tally: Tally,
    ) -> None:  # fmt: skip
        series = self._interning.series(session, {key.series_id for key in keys})
        for dataset in datasets:
            if dataset.kind != "observation":
                continue
            wanted = {number for number, key in series.items() if admits(dataset, key, known)}
            chosen = keys if len(wanted) == len(series) else [key for key in keys if key.series_id in wanted]
            queue.enqueue(session, dataset.id, "observation", chosen, at=act.at)
            tally.queued = tally.queued or bool(chosen)


def admits(dataset: Dataset, key: SeriesKey, programmes: Programmes) -> bool:
    """Whether `dataset` selects the readings of a series whose site has these programmes."""
    return dataset.select.admits_series(
        key.site, programmes.get(key.site, frozenset()), key.factor, key.origin, key.stat, key.period
    )


def _reading(item: Item, record: Observation, row: Row) -> Reading:
    if record.reason:
        return Reading(item, record.site, row, row)
    # A logger that sends another value for the same instant cannot say why; that it did is the reason.
    revision = with_reason(row, "resent-differs", resent=record.resent) if item.media_type == HJ212 else None
    return Reading(item, record.site, row, revision)


def _with_known_site(readings: list[Reading], known: Programmes, tally: Tally, waiting: list[Waiting]) -> list[Reading]:
    """The readings whose site is known; the others wait for it."""
    if all(reading.site in known for reading in readings):
        return readings
    for reading in readings:
        if reading.site not in known:
            item = reading.item
            waiting.append(Waiting(item.place, item.content, item.media_type, "site", reading.site))
            detail = f"site {reading.site} has not arrived yet; the reading waits for it"
            tally.problems.append(Problem(item.place, "held", "record.site-unknown", detail, ("/site",)))
    return [reading for reading in readings if reading.site in known]


def _count(tally: Tally, taken: Taken, readings: Sequence[Reading]) -> None:
    tally.accepted += len(taken.accepted)
    tally.duplicates += len(taken.duplicates)
    tally.revised += len(taken.revised)
    for position, rev in taken.revised.items():
        detail = f"revision {rev}; the earlier one is kept"
        tally.problems.append(Problem(readings[position].item.place, "revised", "record.revised", detail))
    for position, code in taken.refused.items():
        _refuse(tally, readings[position].item, code)


_REFUSALS = {
    "record.reason-required": "another value is held under this key; a revision says why in `reason`",
    "record.rev-conflict": "this revision is held with other content; both are kept as evidence",
}


def _refuse(tally: Tally, item: Item, code: str) -> None:
    text = item.content[:200].decode("utf-8", "replace")
    tally.problems.append(Problem(item.place, "refused", code, _REFUSALS[code], (), text))


def _new_keys(rows: Sequence[Row], taken: Taken) -> list[Key]:
    revisions = {**taken.accepted, **taken.revised}
    return [Key(*rows[position].key, rev) for position, rev in sorted(revisions.items())]


def _hold(session: WriteSession, waiting: Sequence[Waiting], act: Act) -> None:
    if waiting:
        session.execute(
            insert(tables.held),
            [
                {
                    "act_id": act.id, "provider": act.provider, "place": item.place, "media_type": item.media_type,
                    "content": item.content, "waits_for": item.waits_for, "name": item.name, "since": act.at,
                }
                for item in waiting
            ],
        )  # fmt: skip

"""The door itself: a parcel of one provider's records into the store, in the caller's transaction.

Submissions at home, partners' batches and held content that is tried again all pass here, so all meet the same checks.
What differs is two words: `submitted` (revisions are assigned here and a change must say why) or received (the
provider assigned them), and whether the records are ours to publish.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert

from gateway.db import WriteSession
from gateway.ingest.parcel import HJ212, Item, Parcel, Problem, Waiting
from gateway.store import observations, queue, records, tables
from gateway.store.acts import Act
from gateway.store.interning import Interning, SeriesKey, State
from gateway.store.lines import row_of
from gateway.store.observations import Key, Row, Taken
from gateway.store.sites import Sites
from partners.plans import Plans
from schemas.plan import Dataset
from schemas.records import Observation, Site


@dataclass
class Prepared:
    """A parcel with its series and states numbered: all that can be done before the transaction."""

    parcel: Parcel
    sites: list[Item]
    readings: list[Item]
    rows: list[Row]


@dataclass
class Tally:
    """What the store made of a parcel. `problems` is the whole report, decoding included."""

    accepted: int = 0
    duplicates: int = 0
    revised: int = 0
    refused: int = 0
    held: int = 0
    problems: list[Problem] = field(default_factory=list)
    arrived: bool = False  # a site came that others may be waiting for
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
        readings = [item for item in parcel.items if isinstance(item.record, Observation)]
        keys, states = [], []
        for item in readings:
            record = item.record
            assert isinstance(record, Observation)
            keys.append(SeriesKey(provider, record.site, record.factor, record.origin, record.stat, record.period))
            states.append(State.of(record))
        series_ids = self._interning.series_ids(keys)
        state_ids = self._interning.state_ids(states)
        rows = [
            row_of(item.record, series_ids[key], state_ids[state])  # type: ignore[arg-type]
            for item, key, state in zip(readings, keys, states, strict=True)
        ]
        sites = [item for item in parcel.items if isinstance(item.record, Site)]
        return Prepared(parcel, sites, readings, rows)

    def take(self, session: WriteSession, prepared: Prepared, act: Act, plans: Plans) -> Tally:
        """Store what can be stored, hold what must wait, queue what a dataset of ours may want."""
        tally = Tally(problems=list(prepared.parcel.problems))
        waiting = list(prepared.parcel.waiting)
        datasets = plans.provided_by(self._home) if act.provider == self._home else []
        self._take_sites(session, prepared.sites, act, tally, datasets)
        positions = self._with_known_site(session, prepared, act, tally, waiting)
        rows = [prepared.rows[position] for position in positions]
        readings = [prepared.readings[position] for position in positions]
        if act.submitted:
            reasons = [_reason(item) for item in readings]
            taken = observations.take_submitted(session, rows, act.id, reasons=reasons)
        else:
            taken = observations.take_received(session, rows, act.id)
        _count(tally, taken, readings)
        keys = _new_keys(rows, taken)
        if keys and datasets:
            self._queue_readings(session, keys, act, datasets, tally)
        _hold(session, waiting, act)
        tally.held = len(waiting)
        tally.refused = sum(problem.verdict == "refused" for problem in tally.problems)
        return tally

    def _take_sites(
        self, session: WriteSession, items: Sequence[Item], act: Act, tally: Tally, datasets: Sequence[Dataset]
    ) -> None:
        queued: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for item in items:
            record = item.record
            assert isinstance(record, Site)
            outcome = records.take_record(session, act, record)
            match outcome.verdict:
                case "accepted":
                    tally.accepted += 1
                case "revised":
                    tally.revised += 1
                case "duplicate":
                    tally.duplicates += 1
                    continue
                case _:
                    _refuse(tally, item, outcome.code)
                    continue
            self._sites.forget(act.provider, record.id)
            tally.arrived = True
            for dataset in datasets:
                if dataset.kind == "site" and dataset.select.admits_site(record.id, frozenset(record.programmes)):
                    queued[dataset.id].append((record.id, outcome.rev))
        for dataset_id, keys in queued.items():
            queue.enqueue(session, dataset_id, "site", keys, at=act.at)
            tally.queued = True

    def _with_known_site(
        self, session: WriteSession, prepared: Prepared, act: Act, tally: Tally, waiting: list[Waiting]
    ) -> list[int]:
        """Positions of readings whose site is known; the others wait for it."""
        wanted = {item.record.site for item in prepared.readings if isinstance(item.record, Observation)}
        known = self._sites.programmes(session, act.provider, wanted)
        if len(known) == len(wanted):
            return list(range(len(prepared.readings)))
        positions = []
        for position, item in enumerate(prepared.readings):
            site = item.record.site  # type: ignore[union-attr]
            if site in known:
                positions.append(position)
                continue
            waiting.append(Waiting(item.place, item.content, item.media_type, "site", site))
            detail = f"site {site} has not arrived yet; the reading waits for it"
            tally.problems.append(Problem(item.place, "held", "record.site-unknown", detail, ("/site",)))
        return positions

    def _queue_readings(
        self, session: WriteSession, keys: list[Key], act: Act, datasets: Sequence[Dataset], tally: Tally
    ) -> None:
        series = self._interning.series(session, {key.series_id for key in keys})
        programmes = self._sites.programmes(session, act.provider, {key.site for key in series.values()})
        for dataset in datasets:
            if dataset.kind != "observation":
                continue
            wanted = {number for number, key in series.items() if admits(dataset, key, programmes)}
            chosen = [key for key in keys if key.series_id in wanted]
            queue.enqueue(session, dataset.id, "observation", chosen, at=act.at)
            tally.queued = tally.queued or bool(chosen)


def admits(dataset: Dataset, key: SeriesKey, programmes: dict[str, frozenset[str]]) -> bool:
    """Whether `dataset` selects the readings of a series whose site has these programmes."""
    return dataset.select.admits_series(
        key.site, programmes.get(key.site, frozenset()), key.factor, key.origin, key.stat, key.period
    )


def _reason(item: Item) -> str:
    record = item.record
    assert isinstance(record, Observation)
    # A logger that sends another value for the same instant cannot say why; that it did is the reason.
    return record.reason or ("resent-differs" if item.media_type == HJ212 else "")


def _count(tally: Tally, taken: Taken, readings: Sequence[Item]) -> None:
    tally.accepted += len(taken.accepted)
    tally.duplicates += len(taken.duplicates)
    tally.revised += len(taken.revised)
    for position, rev in taken.revised.items():
        detail = f"revision {rev}; the earlier one is kept"
        tally.problems.append(Problem(readings[position].place, "revised", "record.revised", detail))
    for position, code in taken.refused.items():
        _refuse(tally, readings[position], code)


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

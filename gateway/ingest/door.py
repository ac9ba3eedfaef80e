"""The door itself: a parcel of one provider's records into the store, in the caller's transaction.

Submissions at home, partners' batches and held content that is tried again all pass here, so all meet the same checks.
What differs is in the act: whether records are submitted (revisions are assigned here and a change must say why) or
received (the provider assigned them), and whether they are ours to publish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.db import WriteSession
from gateway.ingest.parcel import HJ212, Item, Parcel, Problem, Waiting
from gateway.ingest.rules import DoorRules, Findings
from gateway.ingest.statements import take_statements
from gateway.ingest.tally import Tally
from gateway.store import observations, queue
from gateway.store.acts import Act
from gateway.store.findings import queue_to_judge
from gateway.store.interning import RETRACTED, Interning, SeriesKey, State
from gateway.store.lines import retraction_row, row_of, with_reason
from gateway.store.observations import Key, Row, Taken
from gateway.store.selection import Programmes, admits
from gateway.store.sites import Sites
from partners.plans import Plans
from schemas.cases import CaseStates
from schemas.outlines import Outlines
from schemas.plan import Dataset
from schemas.records import Observation, Retraction, Statement
from schemas.tables import Tables


class Reading(NamedTuple):
    """An observation or the retraction of one, the item it came as, and the row it will be.

    `revision` is the row where another value is held under its key; None where nobody says why the value changes.
    `findings` are those of our own rules; what the line says was found stands in the record.
    """

    item: Item
    site: str
    row: Row
    revision: Row | None
    findings: Findings = ()


@dataclass(frozen=True)
class Prepared:
    """A parcel with its series and states numbered: all that can be done before the transaction.

    `tables` are those in force when it came.
    """

    statements: list[tuple[Item, Statement]]
    readings: list[Reading]
    waiting: list[Waiting]
    problems: list[Problem]
    tables: Tables


class Door:
    """Takes parcels. Holds what the process remembers between them: numbers of series and states, known sites.

    `tables_at` gives the governed tables in force at an instant (ms UTC); `outlines` are the districts' borders, where
    an operator has given some.
    """

    def __init__(
        self, home: str, interning: Interning, sites: Sites, tables_at: Callable[[int], Tables],
        outlines: Outlines | None = None,
    ) -> None:  # fmt: skip
        self._home = home
        self._interning = interning
        self._sites = sites
        self._tables_at = tables_at
        self._rules = DoorRules(home, outlines)

    def prepare(self, provider: str, parcel: Parcel, *, now: int) -> Prepared:
        """Number the parcel's series and states, and run the quality rules that need no history. `now` in ms UTC.

        Opens a short transaction of its own where there are new numbers.
        """
        statements: list[tuple[Item, Statement]] = []
        items: list[Item] = []
        keys: list[SeriesKey] = []
        states: list[State] = []
        for item in parcel.items:
            record = item.record
            if isinstance(record, Observation):
                keys.append(SeriesKey(provider, record.site, record.factor, record.origin, record.stat, record.period))
                states.append(State.of(record))
            elif isinstance(record, Retraction) and record.of == "observation":
                keys.append(SeriesKey(provider, *(str(record.key[name]) for name in SeriesKey._fields[1:])))
                states.append(RETRACTED)
            else:
                statements.append((item, record))
                continue
            items.append(item)
        series_ids = self._interning.series_ids(keys)
        state_ids = self._interning.state_ids(states)
        readings = [
            _reading(item, key.site, series_id, state_id)
            for item, key, series_id, state_id in zip(items, keys, series_ids, state_ids, strict=True)
        ]
        in_force = self._tables_at(now)
        for position, findings in self._rules.check(items, in_force, now).items():
            readings[position] = readings[position]._replace(findings=findings)
        problems = [*parcel.problems, *self._rules.misplaced(statements)]
        return Prepared(statements, readings, parcel.waiting, problems, in_force)

    def take(self, session: WriteSession, prepared: Prepared, act: Act, plans: Plans) -> Tally:
        """Store what can be stored, hold what must wait, queue what a dataset of ours may want.

        The caller ends the transaction, and then `settle`s what came of it.
        """
        refused = sum(problem.verdict == "refused" for problem in prepared.problems)
        tally = Tally(refused=refused, problems=list(prepared.problems), waiting=list(prepared.waiting))
        own = plans.provided_by(self._home) if act.provider == self._home else []
        datasets = [dataset for dataset in own if dataset.recipients]

        def known(sites: set[str]) -> Programmes:
            return self._known(session, act, tally, sites)

        states = prepared.tables[CaseStates]
        take_statements(session, prepared.statements, act, tally, datasets=datasets, states=states, known=known)
        programmes = known({reading.site for reading in prepared.readings})
        readings = _with_known_site(prepared.readings, programmes, tally)
        taken = _take_readings(session, readings, act)
        tally.count_readings([reading.item for reading in readings], taken)
        self._rules.keep(session, [(one.item, one.row, one.findings) for one in readings], taken, act, tally)
        keys = _new_keys([reading.row for reading in readings], taken)
        if act.submitted and keys:
            queue_to_judge(session, keys, at=act.at)
            tally.to_judge = True
        if datasets:
            self._queue_readings(session, keys, programmes, act, datasets, tally)
        tally.hold(session, act)
        return tally

    def settle(self, provider: str, tally: Tally) -> None:
        """After the commit: what this process remembered of the sites that changed is out of date."""
        for site in tally.sites:
            self._sites.forget(provider, site)

    def _known(self, session: WriteSession, act: Act, tally: Tally, wanted: set[str]) -> Programmes:
        """The sites of `wanted` that are known. Those of this very act are not remembered: it may yet be undone."""
        found = self._sites.programmes(session, act.provider, wanted - tally.sites.keys())
        return {**found, **{site: names for site, names in tally.sites.items() if names is not None}}

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


def _reading(item: Item, site: str, series_id: int, state_id: int) -> Reading:
    record = item.record
    if isinstance(record, Retraction):
        row = retraction_row(record, series_id, state_id)
        return Reading(item, site, row, row)
    assert isinstance(record, Observation)
    row = row_of(record, series_id, state_id, item.more)
    if record.reason:
        return Reading(item, site, row, row)
    # A logger that sends another value for the same instant cannot say why; that it did is the reason.
    revision = with_reason(row, "resent-differs") if item.media_type == HJ212 else None
    return Reading(item, site, row, revision)


def _take_readings(session: WriteSession, readings: Sequence[Reading], act: Act) -> Taken:
    rows = [reading.row for reading in readings]
    if not act.submitted:
        return observations.take_received(session, rows, act.id)
    revisions = [reading.revision for reading in readings]
    withdrawing = {place for place, one in enumerate(readings) if isinstance(one.item.record, Retraction)}
    return observations.take_submitted(session, rows, act.id, revisions=revisions, withdrawing=withdrawing)


def _with_known_site(readings: list[Reading], known: Programmes, tally: Tally) -> list[Reading]:
    """The readings whose site is known; the others wait for it."""
    if all(reading.site in known for reading in readings):
        return readings
    for reading in readings:
        if reading.site not in known:
            tally.wait_for_site(reading.item, reading.site)
    return [reading for reading in readings if reading.site in known]


def _new_keys(rows: Sequence[Row], taken: Taken) -> list[Key]:
    revisions = {**taken.accepted, **taken.revised}
    return [Key(*rows[position].key, rev) for position, rev in sorted(revisions.items())]

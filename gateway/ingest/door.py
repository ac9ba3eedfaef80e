"""The door itself: a parcel of one provider's records into the store, in the caller's transaction.

Submissions at home, partners' batches and held content that is tried again all pass here, so all meet the same checks.
What differs is in the act: whether records are submitted (revisions are assigned here and a change must say why) or
received (the provider assigned them), and whether they are ours to publish.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import insert

from gateway.db import WriteSession
from gateway.ingest.parcel import HJ212, Item, Parcel, Problem, Waiting
from gateway.store import observations, queue, records, tables
from gateway.store.acts import Act
from gateway.store.findings import Found, add_findings, queue_to_judge
from gateway.store.interning import RETRACTED, Interning, SeriesKey, State
from gateway.store.lines import retraction_row, row_of, with_reason
from gateway.store.observations import Key, Row, Taken
from gateway.store.records import Outcome
from gateway.store.selection import Programmes, admits, admits_record, site_of
from gateway.store.sites import Sites
from partners.plans import Plans
from schemas.cases import CaseStates
from schemas.errors import RecordError
from schemas.outlines import Outlines
from schemas.plan import Dataset
from schemas.positions import check_position
from schemas.quality import DoorChecks, Finding
from schemas.records import Case, Observation, Retraction, Site, Statement
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
    findings: tuple[Finding, ...] = ()


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


@dataclass
class Tally:
    """What the store made of a parcel. `problems` is the whole report, decoding included.

    `sites` are the sites that came or changed, with their programmes (None: withdrawn): others may be waiting for them.
    """

    accepted: int = 0
    duplicates: int = 0
    revised: int = 0
    refused: int = 0
    held: int = 0
    problems: list[Problem] = field(default_factory=list)
    sites: dict[str, frozenset[str] | None] = field(default_factory=dict)
    queued: bool = False
    to_judge: bool = False

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "revised": self.revised,
            "refused": self.refused,
            "held": self.held,
        }


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
        self._outlines = outlines
        self._checks: tuple[Tables, DoorChecks] | None = None  # of the tables last in force

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
        for position, findings in self._check(items, in_force, now).items():
            readings[position] = readings[position]._replace(findings=findings)
        problems = [*parcel.problems, *self._misplaced(statements)]
        return Prepared(statements, readings, parcel.waiting, problems, in_force)

    def _misplaced(self, statements: Sequence[tuple[Item, Statement]]) -> Iterator[Problem]:
        """What is odd about where sites say they are. They still measure, so nothing is refused for it."""
        for item, record in statements:
            if isinstance(record, Site) and record.position is not None:
                for found in check_position(record, self._outlines):
                    yield Problem(item.place, "noted", found.code, found.detail, found.pointers)

    def _check(self, items: Sequence[Item], tables_: Tables, now: int) -> dict[int, tuple[Finding, ...]]:
        """What the rules find, by position in `items`; what is in order is absent."""
        checks = self._checks
        if checks is None or checks[0] is not tables_:
            checks = self._checks = (tables_, DoorChecks(tables_))
        check = checks[1].check
        found: dict[int, tuple[Finding, ...]] = {}
        places: list[int] = []
        records_: list[Observation] = []
        for position, item in enumerate(items):
            record = item.record
            if isinstance(record, Observation):
                places.append(position)
                records_.append(record)
                if findings := check(record, now=now):
                    found[position] = findings
        for place, finding in checks[1].check_together(records_):
            found[places[place]] = (*found.get(places[place], ()), finding)
        return found

    def take(self, session: WriteSession, prepared: Prepared, act: Act, plans: Plans) -> Tally:
        """Store what can be stored, hold what must wait, queue what a dataset of ours may want.

        The caller ends the transaction, and then `settle`s what came of it.
        """
        tally = Tally(problems=list(prepared.problems))
        waiting = list(prepared.waiting)
        own = plans.provided_by(self._home) if act.provider == self._home else []
        datasets = [dataset for dataset in own if dataset.recipients]
        self._take_statements(session, prepared, act, tally, datasets, waiting)
        known = self._known(session, act, tally, {reading.site for reading in prepared.readings})
        readings = _with_known_site(prepared.readings, known, tally, waiting)
        taken = _take_readings(session, readings, act)
        _count(tally, taken, readings)
        self._keep_findings(session, readings, taken, act, tally)
        keys = _new_keys([reading.row for reading in readings], taken)
        if act.submitted and keys:
            queue_to_judge(session, keys, at=act.at)
            tally.to_judge = True
        if datasets:
            self._queue_readings(session, keys, known, act, datasets, tally)
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
        return {**found, **{site: names for site, names in tally.sites.items() if names is not None}}

    def _take_statements(
        self, session: WriteSession, prepared: Prepared, act: Act, tally: Tally,
        datasets: Sequence[Dataset], waiting: list[Waiting],
    ) -> None:  # fmt: skip
        """Sites first, whatever order they came in: what else came may name them."""
        queued: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
        for item, record in sorted(prepared.statements, key=lambda one: not isinstance(one[1], Site)):
            site = site_of(record)
            known = self._known(session, act, tally, {site} if site else set())
            if site and site not in known:
                waiting.append(_wait_for_site(item, site, tally))
                continue
            try:
                if act.submitted and isinstance(record, Case):
                    self._check_case(session, record, prepared.tables[CaseStates])
                outcome = records.take_record(session, act, record, item.content)
            except RecordError as error:
                tally.problems.append(_refusal(item, error.code, error.detail, error.pointers))
                continue
            _count_statement(tally, item, record, outcome)
            if outcome.verdict not in ("accepted", "revised"):
                continue
            selected = outcome.before if isinstance(record, Retraction) else record
            if selected is not None:
                key = (*records.stored_as(record), outcome.rev)
                for dataset in datasets:
                    if dataset.kind == key[0] and admits_record(dataset, selected, known):
                        queued[dataset.id, key[0]].append(key[1:])
        for (dataset_id, kind), keys in queued.items():
            queue.enqueue(session, dataset_id, kind, keys, at=act.at)
            tally.queued = True

    def _keep_findings(
        self, session: WriteSession, readings: Sequence[Reading], taken: Taken, act: Act, tally: Tally
    ) -> None:
        """What came with the lines is kept as their provider's; what our rules add is told to whoever handed them in.

        A line may come again for its findings alone: then it is a duplicate, and they are what is new.
        """
        new = {**taken.accepted, **taken.revised}
        found: list[Found] = []
        for position, reading in enumerate(readings):
            record = reading.item.record
            given = record.findings if isinstance(record, Observation) else ()
            if not (given or reading.findings):
                continue
            rev = new.get(position)
            if rev is not None:  # otherwise it was judged when it first came
                key = Key(*reading.row.key, rev)
                for rule, detail, reference in reading.findings:
                    if act.submitted or rule not in given:
                        tally.problems.append(Problem(reading.item.place, "noted", f"quality.{rule}", detail))
                        found.append(Found(key, rule, self._home, reference, detail, act.at))
            if rev is not None or (position in taken.duplicates and not act.submitted):
                key = Key(*reading.row.key, rev or reading.row.rev)
                found += [Found(key, rule, act.provider, "", "", act.at) for rule in given]
        if found:
            add_findings(session, found)

    def _check_case(self, session: WriteSession, step: Case, states: CaseStates) -> None:
        """That the home party may take this step now. A partner's steps are its own affair; their feeds may overtake
        each other."""
        if step.from_ != self._home:
            detail = f"steps handed in here are taken by {self._home}"
            raise RecordError(detail, code="case.from-wrong", pointers=["/from"])
        before = records.steps_of(session, step.case)
        if any(one.step == step.step and one.from_ == self._home for one in before):
            return  # the same step again: the store tells a duplicate from a change
        states.check_step(step, before)

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


def _with_known_site(readings: list[Reading], known: Programmes, tally: Tally, waiting: list[Waiting]) -> list[Reading]:
    """The readings whose site is known; the others wait for it."""
    if all(reading.site in known for reading in readings):
        return readings
    waiting += [_wait_for_site(one.item, one.site, tally) for one in readings if one.site not in known]
    return [reading for reading in readings if reading.site in known]


def _wait_for_site(item: Item, site: str, tally: Tally) -> Waiting:
    detail = f"site {site} has not arrived yet; the record waits for it"
    tally.problems.append(Problem(item.place, "held", "record.site-unknown", detail, ("/site",)))
    return Waiting(item.place, item.content, item.media_type, "site", site)


def _count_statement(tally: Tally, item: Item, record: Statement, outcome: Outcome) -> None:
    if outcome.verdict == "refused":
        tally.problems.append(_refusal(item, outcome.code, _REFUSALS[outcome.code]))
        return
    tally.accepted += outcome.verdict == "accepted"
    tally.revised += outcome.verdict == "revised"
    tally.duplicates += outcome.verdict == "duplicate"
    if outcome.current and outcome.verdict != "duplicate":
        if isinstance(record, Site):
            tally.sites[record.id] = frozenset(record.programmes)
        elif isinstance(record, Retraction) and record.of == "site":
            tally.sites[str(record.key["id"])] = None


def _count(tally: Tally, taken: Taken, readings: Sequence[Reading]) -> None:
    tally.accepted += len(taken.accepted)
    tally.duplicates += len(taken.duplicates)
    tally.revised += len(taken.revised)
    for position, rev in taken.revised.items():
        detail = f"revision {rev}; the earlier one is kept"
        tally.problems.append(Problem(readings[position].item.place, "revised", "record.revised", detail))
    for position, code in taken.refused.items():
        tally.problems.append(_refusal(readings[position].item, code, _REFUSALS[code]))


_REFUSALS = {
    "record.reason-required": "another value is held under this key; a revision says why in `reason`",
    "record.rev-conflict": "this revision is held with other content; both are kept as evidence",
    "record.immutable": "such a record is never changed; withdraw it with a retraction and hand it in anew",
    "record.nothing-to-retract": "nothing is held under this key",
}


def _refusal(item: Item, code: str, detail: str, pointers: tuple[str, ...] = ()) -> Problem:
    return Problem(item.place, "refused", code, detail, pointers, item.content[:200].decode("utf-8", "replace"))


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

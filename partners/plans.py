"""The plan documents this gateway knows, and which are in force.

Kept canonical, as they were signed: the digest that batches name is over these bytes. Parsing one takes milliseconds
and a request needs it in microseconds, so parsed plans are remembered by digest; a document with a digest never
changes.

A version is in force from its instant on where that was decided (`partners.agreements`), and never because its instant
has come. Every plan also has a feed of governance for each of its parties, which no document has to name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, and_, insert, select

from partners import tables
from schemas.errors import PlanError
from schemas.plan import Dataset, Plan, Recipient, Selection, check_plan, parse_plan
from schemas.records import decode_line
from schemas.times import millis_of, to_millis

GOVERNANCE = "governance-"  # begins the name of a plan's feeds of governance, and of no other dataset

Verdict = Literal["in-force", "lapsed"]


@dataclass(frozen=True)
class Known:
    """A version of a plan that is known here, and what was decided about it: None, nothing yet; on which `ground`.

    `proposer` is empty where it was agreed outside the program. `added` in ms UTC.
    """

    plan: Plan
    proposer: str
    added: int
    verdict: Verdict | None
    ground: str

    @property
    def effective(self) -> int:
        """Its instant, ms UTC."""
        return millis_of(self.plan.effective)

    @property
    def deadline(self) -> int:
        """Until when (ms UTC) the batch with all signatures must have been made."""
        return self.effective - lead_of(self.plan)


@dataclass(frozen=True)
class Plans:
    """The plan versions in force at one instant, at most one of each plan, and their `earlier` ones, newest first.

    `governance` are the feeds of governance of every plan that is known, each with the version that its batches name.
    `undecided` are the plans whose next version's instant has come, and nobody here knows whether it is in force:
    nothing is published under them. `withdrawn` are the parties that have left, by plan; `drained` are the datasets
    (provider, id) that ended for everybody when they did: what was published can be fetched until it is disposed of,
    and nothing is added.
    """

    plans: tuple[Plan, ...]
    earlier: tuple[Plan, ...] = ()
    governance: tuple[tuple[Plan, Dataset], ...] = ()
    undecided: frozenset[str] = frozenset()
    withdrawn: Mapping[str, frozenset[str]] = field(default_factory=dict)
    drained: frozenset[tuple[str, str]] = frozenset()

    def dataset(self, provider: str, dataset: str) -> tuple[Plan, Dataset] | None:
        """The dataset `dataset` of `provider`, with the plan that grants it."""
        if dataset.startswith(GOVERNANCE):
            return next((one for one in self.governance if (one[1].provider, one[1].id) == (provider, dataset)), None)
        for plan in self.plans:
            found = plan.dataset(dataset)
            if found is not None and found.provider == provider:
                return plan, found
        return None

    def start(self, provider: str, dataset: str, party: str) -> int | None:
        """From when on `party` may see a dataset that is readable by it (ms UTC; None: from the beginning).

        Without history that is when it joined: when the first of the versions came that have given it the dataset
        without a break.
        """
        found = self.dataset(provider, dataset)
        if found is None:
            raise RuntimeError("only what a plan in force gives begins at some time")
        plan, given = found
        reach = given.reach(party)
        if reach == "all":
            return None
        if reach == "none":
            reach = plan.effective
            for older in self.earlier:
                if older.id == plan.id:
                    held = older.dataset(dataset)
                    if held is None or held.provider != provider or not held.received_by(party):
                        break
                    reach = older.effective
        return millis_of(reach)

    def stopped(self, plan: Plan, dataset: Dataset) -> bool:
        """Whether nothing may be published of it now: it has ended, or nobody here knows under which version."""
        ended = (dataset.provider, dataset.id) in self.drained
        return ended or (plan.id in self.undecided and dataset.kind != "agreement")

    def remaining(self, plan: Plan) -> tuple[str, ...]:
        """The parties of a plan that have not left it: those that witness, and that a quorum is counted of."""
        return tuple(party for party in plan.parties if party not in self.withdrawn.get(plan.id, ()))

    def governed(self) -> tuple[Plan, ...]:
        """The plans in force, and of others the version that is known last: those with feeds of governance."""
        return (*self.plans, *(plan for plan, _ in self.governance))

    def provided_by(self, party: str) -> list[Dataset]:
        """What the party is to publish."""
        return [one for one in self._all() if one.provider == party and (party, one.id) not in self.drained]

    def received_by(self, party: str) -> list[Dataset]:
        return [one for one in self._all() if one.received_by(party)]

    def _all(self) -> Iterable[Dataset]:
        yield from (dataset for plan in self.plans for dataset in plan.datasets)
        yield from (dataset for _, dataset in self.governance)


def governance_feed(plan: str) -> str:
    """The name of the feeds in which the parties of `plan` say what they do about it."""
    return GOVERNANCE + plan


def governed_plan(dataset: str) -> str | None:
    """The plan whose governance the feed `dataset` is; None where it is of records."""
    return dataset.removeprefix(GOVERNANCE) if dataset.startswith(GOVERNANCE) else None


def check_fit(session: Connection, plan: Plan) -> None:
    """That nobody need refuse to sign `plan`, and that it takes no dataset from another plan.

    Raises:
        PlanError: `plan.refused`, `plan.version-taken`, `plan.dataset-taken`.
    """
    refusals = [note for note in check_plan(plan) if note.refuses]
    if refusals:
        sentences = " ".join(note.sentence("en") for note in refusals)
        raise PlanError(sentences, code="plan.refused", pointers=[note.pointer for note in refusals])
    known = find_plan(session, plan.id, plan.version)
    if known is not None and known.plan.digest != plan.digest:
        raise PlanError(f"{plan.reference} is known with other content", code="plan.version-taken")
    others = {
        (dataset.provider, dataset.id): one.plan.reference
        for one in known_plans(session)
        if one.plan.id != plan.id and one.verdict != "lapsed"
        for dataset in one.plan.datasets
    }
    for index, dataset in enumerate(plan.datasets):
        pointers = [f"/datasets/{index}/id"]
        if dataset.id.startswith(GOVERNANCE):
            detail = f"{dataset.id}: such names are kept for feeds of governance"
            raise PlanError(detail, code="plan.refused", pointers=pointers)
        if holder := others.get((dataset.provider, dataset.id)):
            detail = f"{dataset.id} of {dataset.provider} belongs to {holder}, and to one plan only"
            raise PlanError(detail, code="plan.dataset-taken", pointers=pointers)


def keep_plan(session: Connection, plan: Plan, *, proposer: str, now: int) -> None:
    """Keep a version that is new and was checked. `now` in ms UTC."""
    session.execute(
        insert(tables.plan).values(
            id=plan.id, version=plan.version, digest=plan.digest, document=plan.canonical, proposer=proposer,
            effective=millis_of(plan.effective), added=now,
        )
    )  # fmt: skip


def find_plan(session: Connection, plan: str, version: int) -> Known | None:
    """One version, if it is known."""
    row = session.execute(_QUERY.where(tables.plan.c.id == plan, tables.plan.c.version == version)).first()
    return _known(row) if row else None


def known_plans(session: Connection, plan: str | None = None) -> list[Known]:
    """Every version that is known here (of one plan), by plan and version."""
    query = _QUERY if plan is None else _QUERY.where(tables.plan.c.id == plan)
    return [_known(row) for row in session.execute(query.order_by(tables.plan.c.id, tables.plan.c.version))]


def plans_in_force(session: Connection, now: int) -> Plans:
    """Of every plan the newest version that was decided to be in force and whose instant has come, unless that has
    ended. `now` in ms UTC."""
    by_plan: dict[str, list[Known]] = {}
    for one in known_plans(session):
        by_plan.setdefault(one.plan.id, []).append(one)
    leaving = _leaving(session, now)
    instant = datetime.fromtimestamp(now / 1000, UTC)
    plans: list[Plan] = []
    earlier: list[Plan] = []
    governance: list[tuple[Plan, Dataset]] = []
    drained: set[tuple[str, str]] = set()
    for id_, versions in by_plan.items():
        begun = [one.plan for one in reversed(versions) if one.verdict == "in-force" and one.effective <= now]
        current = begun[0] if begun and begun[0].in_force(instant) else None
        if current is not None:
            current, ended = _left(current, leaving.get(id_, {}))
            plans.append(current)
            drained |= ended
        earlier += begun[1:]
        governance += _governance(current or versions[-1].plan, versions, begun, leaving.get(id_, {}))
    waiting = (one for versions in by_plan.values() for one in versions if one.verdict is None)
    undecided = (one for one in waiting if one.effective <= now)
    return Plans(
        tuple(plans), tuple(earlier), tuple(governance), frozenset(one.plan.id for one in undecided),
        {id_: frozenset(parties) for id_, parties in leaving.items()}, frozenset(drained),
    )  # fmt: skip


def _leaving(session: Connection, now: int) -> dict[str, dict[str, tuple[int, bool]]]:
    """By plan the parties whose withdrawal has come: from which version, and whether what they held is disposed of."""
    table = tables.plan_act
    query = select(table).where(table.c.act.in_(("withdrawal", "disposal")))
    found: dict[str, dict[str, tuple[int, bool]]] = {}
    disposed = set()
    for row in session.execute(query.order_by(table.c.version, table.c.act)):  # a disposal before its withdrawal
        if row.act == "disposal":
            disposed.add((row.plan, row.version, row.party))
        elif to_millis(decode_line(row.line).effective) <= now:  # type: ignore[union-attr]  # a withdrawal
            done = (row.plan, row.version, row.party) in disposed
            found.setdefault(row.plan, {})[row.party] = (row.version, done)
    return found


def _left(plan: Plan, leaving: Mapping[str, tuple[int, bool]]) -> tuple[Plan, set[tuple[str, str]]]:
    """The plan without what those who have left still got, and the datasets that are drained.

    Cases go on between all until those who leave have disposed of what they held, which nobody does before its cases
    are closed.
    """
    gone = {party: done for party, (version, done) in leaving.items() if version >= plan.version}
    if not gone:
        return plan, set()
    kept, drained = [], set()
    for dataset in plan.datasets:
        over = {party for party, done in gone.items() if done}
        ending = over if dataset.kind == "case" else gone.keys()
        recipients = tuple(one for one in dataset.recipients if one.party not in ending)
        if dataset.provider not in ending and (recipients or not dataset.recipients):
            kept.append(replace(dataset, recipients=recipients))
        elif dataset.provider not in over and (rest := tuple(x for x in dataset.recipients if x.party not in over)):
            kept.append(replace(dataset, recipients=rest))
            drained.add((dataset.provider, dataset.id))
    return replace(plan, datasets=tuple(kept)), drained


def _governance(
    named: Plan, versions: list[Known], begun: list[Plan], leaving: Mapping[str, tuple[int, bool]]
) -> list[tuple[Plan, Dataset]]:
    """The feeds of governance of one plan, seen by the parties of the version in force and of those to be decided."""
    living = [*begun[:1], *(one.plan for one in versions if one.verdict is None)] or [named]
    left = {party for party, (version, done) in leaving.items() if done and version >= living[-1].version}
    parties = sorted({party for plan in living for party in plan.parties} - left)
    known = {id(one.plan): one.added for one in versions}
    joined: dict[str, datetime | None] = {}
    for index, one in enumerate(versions):
        for party in one.plan.parties:
            # Whoever was there from the first version on sees all; others what came since they were named.
            joined.setdefault(party, None if index == 0 else _instant(known[id(one.plan)]))
    everybody = {*parties, *left}
    return [
        (named, _feed(named, provider, [Recipient(one, joined[one]) for one in parties if one != provider]))
        for provider in sorted(everybody)
    ]


def _feed(plan: Plan, provider: str, recipients: list[Recipient]) -> Dataset:
    return Dataset(
        id=governance_feed(plan.id), title=plan.title, provider=provider, unit_in_charge=None,
        recipients=tuple(recipients), kind="agreement", select=Selection(), hide=(), linger=timedelta(0), cadence=None,
        mode="pull", history="all", on_refusal="continue", purpose=None, basis=(), warn=(), format="taipu-batch/1",
        sharing="unconditional", conditions=None, citation=None, grade="general", retention=None,
    )  # fmt: skip


_QUERY = select(
    tables.plan.c.digest, tables.plan.c.document, tables.plan.c.proposer, tables.plan.c.added,
    tables.plan_decision.c.verdict, tables.plan_decision.c.ground,
).outerjoin(
    tables.plan_decision,
    and_(tables.plan_decision.c.plan == tables.plan.c.id, tables.plan_decision.c.version == tables.plan.c.version),
)  # fmt: skip


def _known(row: Any) -> Known:
    return Known(_parse(row.digest, row.document), row.proposer, row.added, row.verdict, row.ground or "")


@lru_cache(maxsize=256)
def _parse(_digest: str, document: bytes) -> Plan:
    return parse_plan(document)


def lead_of(plan: Plan) -> int:
    """How long before its instant (ms) all signatures of a version must have been published."""
    return plan.lead // timedelta(milliseconds=1)


def _instant(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)

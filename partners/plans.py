"""The plan documents this gateway knows, and which are in force.

Kept as they were given: the digest that batches name is over the document, so the bytes are what counts. Parsing one
takes milliseconds and a request needs it in microseconds, so parsed plans are remembered by digest; a document with a
digest never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import Connection, insert, select

from partners import tables
from schemas.errors import PlanError
from schemas.plan import Dataset, Plan, parse_plan
from schemas.plan.advice import check_plan


@dataclass(frozen=True)
class Plans:
    """The plan versions in force at one instant, at most one of each plan, and their `earlier` ones, newest first."""

    plans: tuple[Plan, ...]
    earlier: tuple[Plan, ...] = ()

    def dataset(self, provider: str, dataset: str) -> tuple[Plan, Dataset] | None:
        """The dataset `dataset` of `provider`, with the plan that grants it."""
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
        return int(reach.timestamp() * 1000)

    def provided_by(self, party: str) -> list[Dataset]:
        return [dataset for plan in self.plans for dataset in plan.provided_by(party)]

    def received_by(self, party: str) -> list[Dataset]:
        return [dataset for plan in self.plans for dataset in plan.received_by(party)]


def add_plan(session: Connection, document: bytes, *, now: int) -> Plan:
    """Keep a plan document. The same document again changes nothing. `now` in ms UTC.

    Raises:
        PlanError: not valid, not fit to be signed (`plan.refused`), or other content for a version that is known
            already (`plan.version-taken`).
    """
    plan = parse_plan(document)
    refusals = [note for note in check_plan(plan) if note.refuses]
    if refusals:
        sentences = " ".join(note.sentence("en") for note in refusals)
        raise PlanError(sentences, code="plan.refused", pointers=[note.pointer for note in refusals])
    table = tables.plan
    known = session.execute(
        select(table.c.digest).where(table.c.id == plan.id, table.c.version == plan.version)
    ).scalar()
    if known is None:
        effective = int(plan.effective.timestamp() * 1000)
        session.execute(
            insert(table).values(
                id=plan.id, version=plan.version, digest=plan.digest, document=document, effective=effective, added=now
            )
        )
    elif known != plan.digest:
        raise PlanError(f"{plan.reference} is known with other content", code="plan.version-taken")
    return plan


def known_plans(session: Connection) -> list[Plan]:
    """Every plan version that is known here, by plan and version."""
    table = tables.plan
    rows = session.execute(select(table.c.digest, table.c.document).order_by(table.c.id, table.c.version))
    return [_parse(row.digest, row.document) for row in rows]


def plans_in_force(session: Connection, now: int) -> Plans:
    """Of every plan the newest version whose instant has come, unless that has ended. `now` in ms UTC."""
    table = tables.plan
    query = select(table.c.id, table.c.digest, table.c.document).where(table.c.effective <= now)
    newest: dict[str, Plan] = {}
    earlier: list[Plan] = []
    for row in session.execute(query.order_by(table.c.id, table.c.version.desc())):
        plan = _parse(row.digest, row.document)
        if newest.setdefault(plan.id, plan) is not plan:
            earlier.append(plan)
    instant = datetime.fromtimestamp(now / 1000, UTC)
    return Plans(tuple(plan for plan in newest.values() if plan.in_force(instant)), tuple(earlier))


@lru_cache(maxsize=64)
def _parse(_digest: str, document: bytes) -> Plan:
    return parse_plan(document)

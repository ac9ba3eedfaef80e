"""How every version of every plan stands, in words and for programs: the command line, the console and partners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gateway.agreements.leaving import differences
from gateway.db import ReadSession
from partners.agreements import acts_of
from partners.plans import Known, known_plans, plans_in_force
from schemas.times import beijing_text, to_millis

State = Literal["in force", "to come", "over", "proposed", "undecided", "lapsed"]


@dataclass(frozen=True)
class Leaving:
    """A party on its way out of a plan. `effective` in ms UTC.

    `reconciled` are the parties that have said their last figures; `differing` the feeds of which ours differ from
    those of another.
    """

    party: str
    effective: int
    text: str
    reconciled: tuple[str, ...]
    differing: tuple[str, ...]
    disposed: bool


@dataclass(frozen=True)
class Standing:
    """One version: its state at some instant, who has signed and who has not, and who leaves."""

    known: Known
    state: State
    signed: tuple[str, ...]
    missing: tuple[str, ...]
    leaving: tuple[Leaving, ...]

    def as_json(self) -> dict[str, Any]:
        plan = self.known.plan
        return {
            "plan": plan.reference,
            "digest": plan.digest,
            "title": {"zh": plan.title.zh, "en": plan.title.en},
            "state": self.state,
            "ground": self.known.ground,
            "effective": beijing_text(self.known.effective),
            "signatures_due": beijing_text(self.known.deadline),
            "proposer": self.known.proposer,
            "parties": list(plan.parties),
            "datasets": [dataset.id for dataset in plan.datasets],
            "signed": list(self.signed),
            "missing": list(self.missing),
            "leaving": [
                {
                    "party": one.party,
                    "effective": beijing_text(one.effective),
                    "text": one.text,
                    "reconciled": list(one.reconciled),
                    "differing": list(one.differing),
                    "disposed": one.disposed,
                }
                for one in self.leaving
            ],
        }


def standings(session: ReadSession, home: str, *, now: int, plan: str | None = None) -> list[Standing]:
    """Every version known at the gateway of `home` (of one plan), by plan and version. `now` in ms UTC."""
    in_force = {one.reference for one in plans_in_force(session, now).plans}
    return [_standing(session, home, one, in_force, now) for one in known_plans(session, plan)]


def undecided_plans(session: ReadSession, now: int) -> list[str]:
    """The plans under which nothing is published, since nobody here knows which version is in force, sorted."""
    return sorted(plans_in_force(session, now).undecided)


def _standing(session: ReadSession, home: str, known: Known, in_force: set[str], now: int) -> Standing:
    plan = known.plan
    signed = tuple(act.record.party for act in acts_of(session, plan.id, "signature", version=plan.version))
    missing = () if known.proposer == "" else tuple(party for party in plan.parties if party not in signed)
    return Standing(known, _state(known, in_force, now), signed, missing, _leaving(session, home, known))


def _state(known: Known, in_force: set[str], now: int) -> State:
    if known.verdict is None:
        return "undecided" if known.effective <= now else "proposed"
    if known.verdict == "lapsed":
        return "lapsed"
    if known.plan.reference in in_force:
        return "in force"
    return "to come" if known.effective > now else "over"


def _leaving(session: ReadSession, home: str, known: Known) -> tuple[Leaving, ...]:
    plan, found = known.plan, []
    done = {
        name: [act.record.party for act in acts_of(session, plan.id, name, version=plan.version)]
        for name in ("reconciliation", "disposal")
    }
    for act in acts_of(session, plan.id, "withdrawal", version=plan.version):
        leaver = act.record.party
        others = [leaver] if leaver != home else [party for party in plan.parties if party != home]
        found.append(
            Leaving(
                party=leaver,
                effective=to_millis(act.record.effective),
                text=act.record.text,
                reconciled=tuple(done["reconciliation"]),
                differing=tuple(
                    f"{one.provider}/{one.dataset} to {one.recipient}"
                    for other in others
                    if other in done["reconciliation"] and home in done["reconciliation"]
                    for one in differences(session, home, act, other)
                ),
                disposed=leaver in done["disposal"],
            )
        )
    return tuple(found)

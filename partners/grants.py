"""Who may do what: one pure function over the caller, what it asks for, and the plans in force.

Default deny. A scope is a ceiling, the plan decides: a client with `feeds:read` still reads only the datasets its
party receives. A refusal is a value, not an exception, because whoever asks must also log it. Reads of records get
their answer as an `Extent`, which every query over records requires.

Each request is judged by a list of rules, in order; the first that refuses decides. Whoever wants to know why gives
`decide` a trail, and finds in it every rule that was asked: `taipu access explain` is that, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from partners import refusals
from partners.decision import Counts, Decision, Extent, Meter, Step
from partners.plans import Plans
from partners.principal import Principal
from partners.refusals import Refusal
from partners.requests import (
    SCOPES,
    ListFeeds,
    OfHome,
    PushBatch,
    ReadFeed,
    ReadFindings,
    ReadLog,
    ReadPlans,
    ReadReceipt,
    ReadRecords,
    ReadSubmission,
    ReadTiles,
    Request,
    SendReceipt,
    Submit,
)
from schemas.plan import Dataset, Plan, Recipient
from schemas.times import beijing_text, millis_of

__all__ = [
    "SCOPES",
    "Counts",
    "Decision",
    "Extent",
    "ListFeeds",
    "Meter",
    "PushBatch",
    "ReadFeed",
    "ReadFindings",
    "ReadLog",
    "ReadPlans",
    "ReadReceipt",
    "ReadRecords",
    "ReadSubmission",
    "ReadTiles",
    "Request",
    "SendReceipt",
    "Step",
    "Submit",
    "decide",
    "may_read_feed",
]


@dataclass(slots=True, eq=False)  # made for every request, and frozen it would cost half the decision
class _Asked:
    """What all rules look at. `plan` and `dataset` are the ones in question; None where no plan in force has them.

    `terms` are the caller's as a recipient of it; None where it is not one.
    """

    principal: Principal
    plans: Plans
    home: str
    now: int
    purpose: str
    counts: Counts | None
    provider: str = ""
    id: str = ""
    plan: Plan | None = None
    dataset: Dataset | None = None
    terms: Recipient | None = None

    @property
    def at_home(self) -> bool:
        return self.principal.party == self.home

    @property
    def by_owner(self) -> bool:
        """The home party has the feeds it holds, a provider its own: no plan bounds their reading these."""
        party = self.principal.party
        return party == self.home or party == self.provider

    def rule(self, party: str = "") -> str:
        """The terms of a recipient in the plan, by name; the caller's by default."""
        reference = self.plan.reference if self.plan is not None else ""
        return f"{reference} {self.id} {party or self.principal.party}"


Rule: TypeAlias = Callable[[_Asked], Refusal | None]


def decide(
    principal: Principal, request: Request, plans: Plans, home: str, *, now: int, purpose: str = "",
    counts: Counts | None = None, trail: list[Step] | None = None,
) -> Decision:  # fmt: skip
    """Whether `principal` may have `request` at the gateway of `home` under the `plans` in force at `now` (ms UTC).

    `purpose` is what the caller said it wants this for; empty: for what the plan gives it. Without `counts` no rate
    refuses. Every rule that was asked is added to `trail`.
    """
    missing = SCOPES[type(request)] - principal.scopes
    refusal = refusals.scope_missing(" ".join(sorted(missing))) if missing else None
    if trail is not None:
        trail.append(Step("scope", refusal))
    if refusal is not None:
        return Decision(refusal)
    asked = _Asked(principal, plans, home, now, purpose, counts)
    match request:
        case ReadRecords(kind, dataset):
            return _read_records(asked, kind, dataset, trail)
        case ReadFeed(provider, dataset):
            return _read_feed(_about(asked, provider, dataset), trail)
        case PushBatch(provider, dataset):
            return Decision(_first(_PUSH, _about(asked, provider, dataset), trail))
        case SendReceipt(provider, dataset, owed):
            # What was given under an earlier plan is still receipted.
            return Decision(_first(_RECEIPT[:1] if owed else _RECEIPT, _about(asked, provider, dataset), trail))
        case _:
            return Decision(_of_home(asked, request))


def may_read_feed(principal: Principal, plans: Plans, home: str, provider: str, dataset: str, *, now: int) -> bool:
    """Whether a list of feeds shows this one to `principal`."""
    return decide(principal, ReadFeed(provider, dataset), plans, home, now=now).allow


def _of_home(asked: _Asked, request: OfHome) -> Refusal | None:
    """Requests that no dataset is the object of. The list of feeds has what each feed's own rules leave."""
    principal, at_home = asked.principal, asked.at_home
    if principal.suspended and not isinstance(request, ListFeeds):
        return refusals.SUSPENDED
    if principal.datasets is not None and not isinstance(request, ListFeeds | ReadPlans):
        return refusals.restricted("anything but its datasets")
    match request:
        case Submit():
            return None if at_home else refusals.SUBMIT_AT_HOME
        case ReadFindings():
            return None if at_home else refusals.FINDINGS_AT_HOME
        case ReadLog():
            return None if at_home else refusals.LOG_AT_HOME
        case ReadSubmission(client):
            reader = at_home and "records:read" in principal.scopes
            return None if reader or client == principal.client_id else refusals.NOT_YOURS
        case ReadPlans():
            # A party that a first version names sees how that stands before any plan is in force.
            bound = at_home or any(principal.party in plan.parties for plan in asked.plans.governed())
            return None if bound else refusals.NO_PLAN
        case ListFeeds() | ReadReceipt() | ReadTiles():
            return None


def _about(asked: _Asked, provider: str, id_: str) -> _Asked:
    plan, dataset = asked.plans.dataset(provider, id_) or (None, None)
    terms = dataset.recipient(asked.principal.party) if dataset is not None else None
    return _Asked(
        asked.principal, asked.plans, asked.home, asked.now, asked.purpose, asked.counts, provider, id_, plan, dataset,
        terms,
    )  # fmt: skip


def _first(rules: Sequence[tuple[str, Rule]], asked: _Asked, trail: list[Step] | None) -> Refusal | None:
    """What the first rule that refuses says."""
    for name, rule in rules:
        refusal = rule(asked)
        if trail is not None:
            trail.append(Step(name, refusal))
        if refusal is not None:
            return refusal
    return None


def _suspension(asked: _Asked) -> Refusal | None:
    passes = not asked.principal.suspended or (asked.dataset is not None and asked.dataset.despite_suspension)
    return None if passes else refusals.SUSPENDED


def _restriction(asked: _Asked) -> Refusal | None:
    datasets = asked.principal.datasets
    return None if datasets is None or asked.id in datasets else refusals.restricted(asked.id)


def _relay(asked: _Asked) -> Refusal | None:
    relayed = asked.dataset is not None and asked.home in asked.dataset.relay
    return None if asked.by_owner or asked.provider == asked.home or relayed else refusals.NOT_RELAYED


def _recipient(asked: _Asked) -> Refusal | None:
    if asked.terms is not None or asked.by_owner:
        return None
    return refusals.not_granted(asked.provider, asked.id, asked.principal.party)


def _period(asked: _Asked) -> Refusal | None:
    return None if asked.by_owner else _within(asked, asked.terms)


def _within(asked: _Asked, terms: Recipient | None) -> Refusal | None:
    if terms is None or terms.until is None:
        return None
    until = millis_of(terms.until)
    return None if asked.now < until else refusals.period_over(asked.id, beijing_text(until), asked.rule(terms.party))


def _purpose(asked: _Asked) -> Refusal | None:
    if not asked.purpose or asked.dataset is None or asked.by_owner:
        return None
    given = asked.dataset.purpose_of(asked.principal.party)
    return None if given in (None, asked.purpose) else refusals.purpose_differs(asked.id, str(given), asked.rule())


def _rate(asked: _Asked) -> Refusal | None:
    meter = _meter(asked)
    if meter is None or asked.counts is None:
        return None
    if asked.counts.get((asked.provider, asked.id), 0) <= meter.rate.requests:
        return None
    left = meter.window(asked.now) + meter.length - asked.now
    return refusals.rate_exceeded(
        asked.id, meter.rate.requests, meter.length // 1000, asked.rule(), retry_after=-(-left // 1000)
    )


def _meter(asked: _Asked) -> Meter | None:
    if asked.terms is None or asked.terms.rate is None or asked.by_owner:
        return None
    return Meter(asked.provider, asked.id, asked.terms.rate)


def _pusher(asked: _Asked) -> Refusal | None:
    party = asked.principal.party
    named = party == asked.provider or (asked.dataset is not None and party in asked.dataset.relay)
    return None if named else refusals.NOT_PROVIDER


def _received_here(asked: _Asked) -> Refusal | None:
    readable = asked.dataset is not None and asked.dataset.readable_by(asked.home)
    return None if readable else refusals.not_granted(asked.provider, asked.id, asked.home)


def _period_here(asked: _Asked) -> Refusal | None:
    return _within(asked, asked.dataset.recipient(asked.home) if asked.dataset is not None else None)


def _receives(asked: _Asked) -> Refusal | None:
    party = asked.principal.party
    readable = asked.dataset is not None and asked.dataset.readable_by(party)
    return None if readable else refusals.not_granted(asked.provider, asked.id, party)


_READ: tuple[tuple[str, Rule], ...] = (
    ("suspension", _suspension),
    ("restriction", _restriction),
    ("relay", _relay),
    ("recipient", _recipient),
    ("period", _period),
    ("purpose", _purpose),
    ("rate", _rate),
)
_PUSH: tuple[tuple[str, Rule], ...] = (
    ("suspension", _suspension),
    ("restriction", _restriction),
    ("pusher", _pusher),
    ("recipient", _received_here),
    ("period", _period_here),
)
_RECEIPT: tuple[tuple[str, Rule], ...] = (("suspension", _suspension), ("recipient", _receives))


def _read_feed(asked: _Asked, trail: list[Step] | None) -> Decision:
    # A provider may always read its own feed back: that is how it recovers from a lost database.
    refusal = _first(_READ, asked, trail)
    if refusal is not None:
        return Decision(refusal)
    purpose, party = asked.purpose, asked.principal.party
    if asked.by_owner or asked.dataset is None:
        return Decision(purpose=purpose)
    meter = _meter(asked)
    return Decision(
        start=asked.plans.start(asked.provider, asked.id, party),
        purpose=purpose or asked.dataset.purpose_of(party) or "",
        meters=(meter,) if meter is not None else (),
    )


def _read_records(asked: _Asked, kind: str, name: str, trail: list[Step] | None) -> Decision:
    """Everything at home; else what the datasets of this kind leave that every rule lets pass.

    Who names a dataset is told why it may not have that; who names none gets what it may have, and a refusal where it
    was given something and nothing of it is left. A rate is never kept by silently leaving something out.
    """
    principal = asked.principal
    if asked.at_home and principal.datasets is None:
        return Decision(extent=Extent(everything=True, party=asked.home), purpose=asked.purpose)
    kept: list[_Asked] = []
    refused: list[Refusal] = []
    for one in _candidates(asked, kind, name):
        refusal = _first(_READ, one, trail if name else None)
        if refusal is None:
            kept.append(one)
        else:
            refused.append(refusal)
    over = next((one for one in refused if one.retry_after is not None), None)
    own = not principal.suspended and principal.datasets is None
    if over is not None or (refused and not kept):
        return Decision(over or refused[0])
    if not kept and (name or not own):
        refusal = refusals.SUSPENDED if principal.suspended else refusals.not_granted(asked.home, name, principal.party)
        if trail is not None:
            trail.append(Step("recipient", refusal))
        return Decision(refusal)
    datasets = tuple(one.dataset for one in kept if one.dataset is not None)
    starts = tuple(None if one.by_owner else one.plans.start(one.provider, one.id, principal.party) for one in kept)
    purposes = {asked.purpose or dataset.purpose_of(principal.party) or "" for dataset in datasets}
    return Decision(
        extent=Extent(everything=False, party=principal.party, datasets=datasets, starts=starts, own=own),
        purpose=purposes.pop() if len(purposes) == 1 else asked.purpose,
        meters=tuple(meter for one in kept if (meter := _meter(one)) is not None),
    )


def _candidates(asked: _Asked, kind: str, name: str) -> list[_Asked]:
    """The datasets of this kind (and name) that a plan gives the caller's party here; at home, all it has here."""
    party, home = asked.principal.party, asked.home
    return [
        _about(asked, dataset.provider, dataset.id)
        for plan in asked.plans.plans
        for dataset in plan.datasets
        if dataset.kind == kind
        and name in ("", dataset.id)
        and (dataset.received_by(party) or party == dataset.provider)
        and (dataset.provider == home or party == home)
    ]

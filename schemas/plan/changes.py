"""`plan diff`: what the next version of a plan changes, for whom, and whether it leaves the time that was agreed.

Who signs a version reads these sentences, so nothing that a document says may differ without one: what has no words of
its own is told by its name. A change is seen from where the recipient stands: a selection that lets more through
*widens* what it has, a further hidden member *narrows* it. What ends, narrows or changes the terms needs the plan's
notice (政务数据共享条例 art. 27); what begins, widens or *adjusts* (names, thresholds, relays) may be urgent, and takes
all signatures anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from schemas.periods import Duration
from schemas.plan.model import Cadence, Dataset, Plan, Rate, Reach, Recipient, Threshold, Title
from schemas.plan.sentences import TERMS
from schemas.plan.wording import (
    Note,
    Words,
    factor_words,
    instant_words,
    length_words,
    note,
    note_on,
    party_words,
    span_words,
)
from schemas.times import BEIJING

Effect = Literal["begins", "ends", "widens", "narrows", "changes", "adjusts"]
_SELECTORS = ("programmes", "factors", "periods", "origins", "stats", "sites", "categories", "kinds")
_OF_PLAN = ("title", "until", "notice", "lead")
# What is compared as it stands, and told by its name.
_TERMS = ("format", "sharing", "conditions", "grade", "retention", "mode")
_ADJUSTED = (
    *("title", "unit_in_charge", "basis", "citation", "linger", "on_refusal", "warn", "relay", "despite_suspension"),
    "secondary",
)
_NEED_NOTICE: frozenset[Effect] = frozenset({"ends", "narrows", "changes"})


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two versions: of `dataset`, for the recipient `party`; empty where of all of them.

    `pointer` of its note is into the document of the new version, or of the old one where something ends.
    """

    effect: Effect
    note: Note
    dataset: str = ""
    party: str = ""


def changes(old: Plan, new: Plan) -> list[Change]:
    """What differs between two versions of one plan, first of the plan, then of each dataset in the new one's order."""
    found = [*_of_plan(old, new)]
    for index, dataset in enumerate(new.datasets):
        before = old.dataset(dataset.id)
        if before is None or before.provider != dataset.provider or before.kind != dataset.kind:
            found += _begins(dataset, f"/datasets/{index}")
        else:
            found += _differs(before, dataset, f"/datasets/{index}")
    for index, dataset in enumerate(old.datasets):
        after = new.dataset(dataset.id)
        if after is None or after.provider != dataset.provider or after.kind != dataset.kind:
            found += _ends(dataset, f"/datasets/{index}")
    return found


def short_of_notice(old: Plan, new: Plan, proposed: datetime) -> list[Note]:
    """What the new version, proposed at this instant, ends or changes sooner than the old one's notice allows."""
    earliest = _notice_ends(old, proposed)
    if new.effective >= earliest:
        return []
    instants = {"first": instant_words(earliest), "effective": instant_words(new.effective)}
    return [
        note("short-notice", one.note.pointer, dataset=one.dataset or new.id, **instants)
        for one in changes(old, new)
        if one.effect in _NEED_NOTICE and not _over_by_then(old, one, new.effective)
    ]


def _notice_ends(plan: Plan, proposed: datetime) -> datetime:
    try:
        return plan.notice.after(proposed.astimezone(BEIJING))
    except OverflowError:  # a notice beyond the calendar is a promise for ever
        return datetime.max.replace(tzinfo=BEIJING)


def _over_by_then(old: Plan, change: Change, instant: datetime) -> bool:
    """Whether what `change` takes away would have ended by `instant` under the old version, too."""
    if old.until is not None and old.until <= instant:
        return True
    dataset = old.dataset(change.dataset)
    terms = dataset.recipient(change.party) if dataset is not None else None
    return terms is not None and terms.until is not None and terms.until <= instant


def _of_plan(old: Plan, new: Plan) -> Iterator[Change]:
    for party in (one for one in new.parties if one not in old.parties):
        yield Change("begins", note("joins", "/parties", party=party_words(party)), party=party)
    for party in (one for one in old.parties if one not in new.parties):
        yield Change("ends", note("leaves", "/parties", party=party_words(party)), party=party)
    for name in _OF_PLAN:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            said = note("plan-differs", f"/{name}", member=TERMS[name], old=_words(before), new=_words(after))
            yield Change(_effect_on_plan(name, old, new), said)


def _effect_on_plan(member: str, old: Plan, new: Plan) -> Effect:
    if member == "until":
        return "narrows" if _sooner(old.until, new.until) else "widens"
    return "adjusts" if member == "title" else "changes"


def _begins(dataset: Dataset, pointer: str) -> Iterator[Change]:
    provider, kind = party_words(dataset.provider), TERMS[dataset.kind]
    if not dataset.recipients:
        said = note_on(dataset, "kept", pointer, provider=provider, kind=kind, citation=dataset.citation or "")
        yield Change("adjusts", said, dataset.id)
    for one in dataset.recipients:
        said = note_on(dataset, "begins", pointer, party=party_words(one.party), kind=kind, provider=provider)
        yield Change("begins", said, dataset.id, one.party)


def _ends(dataset: Dataset, pointer: str) -> Iterator[Change]:
    provider, kind = party_words(dataset.provider), TERMS[dataset.kind]
    if not dataset.recipients:
        yield Change("adjusts", note_on(dataset, "entry-gone", pointer), dataset.id)
    for one in dataset.recipients:
        said = note_on(dataset, "ends", pointer, party=party_words(one.party), kind=kind, provider=provider)
        yield Change("ends", said, dataset.id, one.party)


def _differs(old: Dataset, new: Dataset, pointer: str) -> Iterator[Change]:
    kind, provider = TERMS[new.kind], party_words(new.provider)
    for one in new.recipients:
        words = {"party": party_words(one.party), "kind": kind, "provider": provider}
        before = old.recipient(one.party)
        if before is None:
            yield Change("begins", note_on(new, "begins", pointer, **words), new.id, one.party)
        else:
            yield from _terms(old, new, before, one, f"{pointer}/recipients")
    for one in old.recipients:
        if not new.received_by(one.party):
            words = {"party": party_words(one.party), "kind": kind, "provider": provider}
            yield Change("ends", note_on(new, "ends", pointer, **words), new.id, one.party)
    yield from _selection(old, new, f"{pointer}/select")
    yield from _projection(old, new, f"{pointer}/hide")
    yield from _cadence(old, new, f"{pointer}/cadence")
    for name in (*_TERMS, *_ADJUSTED):
        values = getattr(old, name), getattr(new, name)
        if values[0] != values[1]:
            first, second = map(_words, values)
            said = note_on(new, "differs", f"{pointer}/{name}", member=TERMS[name], old=first, new=second)
            yield Change("changes" if name in _TERMS else "adjusts", said, new.id)


def _terms(old: Dataset, new: Dataset, before: Recipient, after: Recipient, pointer: str) -> Iterator[Change]:
    """What differs for one recipient that has the dataset under both versions."""

    def told(effect: Effect, member: str, first: Words, second: Words) -> Change:
        words = {"party": party_words(after.party), "member": TERMS[member], "old": first, "new": second}
        return Change(effect, note_on(new, "terms", pointer, **words), new.id, after.party)

    reaches = old.reach(after.party), new.reach(after.party)
    if reaches[0] != reaches[1]:
        effect: Effect = "narrows" if _further(reaches[0]) < _further(reaches[1]) else "widens"
        yield told(effect, "from", _reach_words(reaches[0]), _reach_words(reaches[1]))
    if before.until != after.until:
        effect = "narrows" if _sooner(before.until, after.until) else "widens"
        yield told(effect, "until", instant_words(before.until), instant_words(after.until))
    if before.rate != after.rate:
        effect = "narrows" if _slower(before.rate, after.rate) else "widens"
        yield told(effect, "rate", _rate_words(before.rate), _rate_words(after.rate))
    purposes = old.purpose_of(after.party), new.purpose_of(after.party)
    if purposes[0] != purposes[1]:
        # Other words for a use may forbid what was allowed: who relied on the old ones needs the time to stop.
        yield told("narrows", "purpose", purposes[0] or TERMS["none"], purposes[1] or TERMS["none"])


def _selection(old: Dataset, new: Dataset, pointer: str) -> Iterator[Change]:
    for name in _SELECTORS:
        before, after = getattr(old.select, name), getattr(new.select, name)
        if before == after:
            continue
        place, selector = f"{pointer}/{name}", TERMS[name]
        if after is None:
            yield Change("widens", note_on(new, "any", place, selector=selector), new.id)
        elif before is None:
            names = _names(name, after)
            yield Change("narrows", note_on(new, "only-now", place, selector=selector, names=names), new.id)
        else:
            if after - before:
                gained = _names(name, after - before)
                yield Change("widens", note_on(new, "gains", place, selector=selector, names=gained), new.id)
            if before - after:
                lost = _names(name, before - after)
                yield Change("narrows", note_on(new, "loses", place, selector=selector, names=lost), new.id)


def _projection(old: Dataset, new: Dataset, pointer: str) -> Iterator[Change]:
    shown, hidden = sorted({*old.hide} - {*new.hide}), sorted({*new.hide} - {*old.hide})
    if shown:
        yield Change("widens", note_on(new, "shown", pointer, members=tuple(shown)), new.id)
    if hidden:
        yield Change("narrows", note_on(new, "hidden-now", pointer, members=tuple(hidden)), new.id)


def _cadence(old: Dataset, new: Dataset, pointer: str) -> Iterator[Change]:
    if old.cadence == new.cadence:
        return
    words = {"old": _cadence_words(old.cadence), "new": _cadence_words(new.cadence)}
    rarer = _rarer(old.cadence, new.cadence)
    yield Change("narrows" if rarer else "widens", note_on(new, "cadence-differs", pointer, **words), new.id)


def _rarer(old: Cadence | None, new: Cadence | None) -> bool:
    """Whether the recipient gets less, or later: where it cannot be told for certain, it does."""
    if old is None or new is None:
        return new is None
    if old.every is None or new.every is None or (old.season, old.campaign) != (new.season, new.campaign):
        return True
    return _length(new.every) > _length(old.every) or _length(new.due) > _length(old.due)


def _length(duration: Duration) -> int:
    """Seconds, a month at its longest: good for telling which of two is longer."""
    return duration.months * 31 * 86_400 + duration.seconds


def _sooner(old: datetime | None, new: datetime | None) -> bool:
    return new is not None and (old is None or new < old)


def _slower(old: Rate | None, new: Rate | None) -> bool:
    return new is not None and (old is None or new.requests * old.per < old.requests * new.per)


def _further(reach: Reach) -> float:
    """Smaller is further back; `none` begins with the joining, which is after any day that a document names."""
    return {"all": float("-inf"), "none": float("inf")}[reach] if isinstance(reach, str) else reach.timestamp()


def _names(selector: str, names: frozenset[str]) -> Words:
    return tuple(factor_words(one) if selector == "factors" else one for one in sorted(names))


def _words(value: object) -> Words:
    """A member's value as people say it."""
    match value:
        case None | ():
            return TERMS["none"]
        case bool():
            return TERMS["yes" if value else "no"]
        case datetime():
            return instant_words(value)
        case Duration():
            return length_words(value)
        case timedelta():
            return span_words(value)
        case Title():
            return value
        case tuple():
            return tuple(_threshold_words(one) if isinstance(one, Threshold) else str(one) for one in value)
        case _:
            return TERMS.get(str(value), str(value))


def _threshold_words(one: Threshold) -> Title:
    factor, side = factor_words(one.factor), TERMS[one.side]
    told = f" → {' '.join(one.also_to)}" if one.also_to else ""
    rest = f"{one.value:f} {one.unit} × {one.consecutive} ({one.compare}){' ' + one.limit if one.limit else ''}{told}"
    return Title(f"{factor.zh}{side.zh} {rest}", f"{factor.en} {side.en} {rest}")


def _reach_words(reach: Reach) -> Words:
    return instant_words(reach) if isinstance(reach, datetime) else TERMS[f"history-{reach}"]


def _rate_words(rate: Rate | None) -> Words:
    if rate is None:
        return TERMS["none"]
    per = span_words(rate.per)
    return Title(f"每 {per.zh} {rate.requests} 次", f"{rate.requests} in {per.en}")


def _cadence_words(cadence: Cadence | None) -> Words:
    if cadence is None:
        return TERMS["none"]
    due, survey, season = length_words(cadence.due), cadence.campaign, cadence.season
    if survey is not None:
        days = f"{survey.first.astimezone(BEIJING).date()}/{survey.last.astimezone(BEIJING).date()}"
        return Title(f"{days} 共 {survey.count} 次，{due.zh}内", f"{survey.count} in {days}, within {due.en}")
    every = length_words(cadence.every) if cadence.every is not None else TERMS["none"]
    within = f" {'{:02}-{:02}'.format(*season.first)}/{'{:02}-{:02}'.format(*season.last)}" if season else ""
    return Title(f"每 {every.zh}{within}，{due.zh}内", f"every {every.en}{within}, within {due.en}")

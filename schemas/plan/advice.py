"""`plan check`: a plan in sentences, and the reasons for which nobody should sign it.

`parse_plan` has checked the shape. Here stand the rules that need the whole plan or a code table: they may change while
an old plan must stay readable, so they are notes, not errors. A plan with a refusal must not be signed nor published.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from schemas import units
from schemas.errors import RecordError
from schemas.factors import all_factors
from schemas.plan.catalogue import check_entry, check_leads
from schemas.plan.model import Dataset, Plan, Recipient, Threshold
from schemas.plan.sentences import TERMS
from schemas.plan.wording import (
    Language,
    Note,
    factor_words,
    instant_words,
    length_words,
    note,
    note_on,
    party_words,
    span_words,
)

# What a record cannot do without (4-schema, the table of kinds): its key, and what gives its value a meaning. A value
# below detection without its qualifier would be a number that nobody measured.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "site": ("id", "type", "name", "district"),
    "source": ("id",),
    "observation": (
        "site", "factor", "origin", "stat", "period", "at", "sample", "value", "q", "unit", "flag", "profile",
    ),
    "mark": ("site", "type", "from", "to", "author"),
    "inspection": ("id",),
    "case": ("case", "step", "to"),
}  # fmt: skip
_SELECTORS = ("programmes", "factors", "periods", "origins", "stats", "sites", "categories", "kinds")


def check_plan(plan: Plan) -> list[Note]:
    """Everything there is to say: who gets what, then advice, then refusals; each in plan order."""
    notes = [*_facts(plan), *_findings(plan)]
    order = ("fact", "advice", "refusal")
    return sorted(notes, key=lambda one: order.index(one.level))


def explain(plan: Plan, language: Language = "en") -> list[str]:
    """Who gets what under this plan, in sentences."""
    return [one.sentence(language) for one in _facts(plan)]


def _facts(plan: Plan) -> Iterator[Note]:
    yield note(
        "term", "", plan=plan.title, version=str(plan.version), first=instant_words(plan.effective),
        last=instant_words(plan.until), parties=tuple(map(party_words, plan.parties)), notice=length_words(plan.notice),
    )  # fmt: skip
    yield note("lead", "", lead=span_words(plan.lead))
    for index, dataset in enumerate(plan.datasets):
        pointer = f"/datasets/{index}"
        yield from _who_and_what(dataset, pointer)
        yield from _marks(dataset, pointer)
        yield from _terms(dataset, pointer)
        yield from _when(dataset, pointer)
        for threshold in dataset.warn:
            yield from _warnings(dataset, threshold, pointer)
    for index, party in enumerate(plan.parties):
        if not plan.received_by(party):
            yield note("gets-nothing", f"/parties/{index}", party=party_words(party))


def _who_and_what(dataset: Dataset, pointer: str) -> Iterator[Note]:
    provider, kind = party_words(dataset.provider), TERMS[dataset.kind]
    if dataset.sharing == "not-shared":
        yield note_on(dataset, "kept", pointer, provider=provider, kind=kind, citation=dataset.citation or "")
        return
    recipients = tuple(party_words(one.party) for one in dataset.recipients)
    mode = TERMS[dataset.mode]
    yield note_on(dataset, "receives", pointer, provider=provider, kind=kind, recipients=recipients, mode=mode)
    chosen = {name: sorted(names) for name in _SELECTORS if (names := getattr(dataset.select, name)) is not None}
    if not chosen:
        yield note_on(dataset, "everything", pointer)
    for name, names in chosen.items():
        words = tuple(factor_words(code) if name == "factors" else code for code in names)
        yield note_on(dataset, "only", f"{pointer}/select/{name}", selector=TERMS[name], names=words)
    if dataset.hide:
        yield note_on(dataset, "hidden", f"{pointer}/hide", members=dataset.hide)
    if dataset.sharing == "conditional":
        yield note_on(dataset, "conditions", pointer, conditions=dataset.conditions or "")


def _marks(dataset: Dataset, pointer: str) -> Iterator[Note]:
    """What applies to the dataset as a whole, where it does."""
    if dataset.relay:
        yield note_on(dataset, "relays", f"{pointer}/relay", parties=tuple(map(party_words, dataset.relay)))
    if dataset.despite_suspension:
        yield note_on(dataset, "passes-suspension", f"{pointer}/despite_suspension")
    if dataset.secondary:
        yield note_on(dataset, "secondary", f"{pointer}/secondary", provider=party_words(dataset.provider))


def _terms(dataset: Dataset, pointer: str) -> Iterator[Note]:
    """On which terms each recipient has it."""
    for index, recipient in enumerate(dataset.recipients):
        yield from _terms_of(dataset, recipient, f"{pointer}/recipients/{index}")


def _terms_of(dataset: Dataset, recipient: Recipient, place: str) -> Iterator[Note]:
    party = party_words(recipient.party)
    reach = dataset.reach(recipient.party)
    if reach == "all":
        yield note_on(dataset, "reach-all", place, party=party)
    elif reach != "none":
        yield note_on(dataset, "reach", place, party=party, first=instant_words(reach))
    if purpose := dataset.purpose_of(recipient.party):
        yield note_on(dataset, "uses", place, party=party, purpose=purpose)
    if recipient.until is not None:
        yield note_on(dataset, "period", place, party=party, last=instant_words(recipient.until))
    if recipient.rate is not None:
        requests, per = str(recipient.rate.requests), span_words(recipient.rate.per)
        yield note_on(dataset, "rate", place, party=party, requests=requests, per=per)


def _when(dataset: Dataset, pointer: str) -> Iterator[Note]:
    cadence, pointer = dataset.cadence, f"{pointer}/cadence"
    if cadence is None:
        if dataset.kind != "observation" and dataset.recipients:
            yield note_on(dataset, "as-it-comes", pointer)
        return
    due = length_words(cadence.due)
    if cadence.every is not None:
        yield note_on(dataset, "due", pointer, every=length_words(cadence.every), due=due)
    if cadence.season is not None:
        first, last = ("{:02}-{:02}".format(*day) for day in (cadence.season.first, cadence.season.last))
        yield note_on(dataset, "season", pointer, first=first, last=last)
    if cadence.campaign is not None:
        survey = cadence.campaign
        first_words, last_words = instant_words(survey.first), instant_words(survey.last)
        yield note_on(
            dataset, "campaign", pointer, first=first_words, last=last_words, count=str(survey.count), due=due
        )


def _warnings(dataset: Dataset, threshold: Threshold, pointer: str) -> Iterator[Note]:
    yield note_on(
        dataset, "warns", f"{pointer}/warn", factor=factor_words(threshold.factor), side=TERMS[threshold.side],
        value=f"{threshold.value:f}", unit=threshold.unit, times=str(threshold.consecutive),
    )  # fmt: skip
    if threshold.also_to:
        yield note_on(dataset, "also-told", f"{pointer}/warn", others=tuple(map(party_words, threshold.also_to)))


def _findings(plan: Plan) -> Iterator[Note]:
    if len(plan.parties) < 2:
        yield note("too-few-parties", "/parties")
    if plan.until is not None and plan.effective >= plan.until:
        yield note("term-empty", "/until", first=instant_words(plan.effective), last=instant_words(plan.until))
    seen: set[str] = set()
    for index, dataset in enumerate(plan.datasets):
        pointer = f"/datasets/{index}"
        if dataset.id in seen:
            yield note_on(dataset, "duplicate-id", f"{pointer}/id")
        seen.add(dataset.id)
        yield from _parties(plan, dataset, pointer)
        yield from _codes(dataset, pointer)
        if needed := tuple(name for name in dataset.hide if name in {"kind", "rev", *NEEDED[dataset.kind]}):
            yield note_on(dataset, "hides-needed", f"{pointer}/hide", members=needed)
        yield from check_entry(plan, dataset, pointer)
    yield from check_leads(plan)
    yield from _differing_hides(plan)


def _parties(plan: Plan, dataset: Dataset, pointer: str) -> Iterator[Note]:
    if dataset.provider not in plan.parties:
        yield note_on(dataset, "provider-not-party", f"{pointer}/provider", party=dataset.provider)
    for index, recipient in enumerate(dataset.recipients):
        place = f"{pointer}/recipients/{index}"
        if recipient.party not in plan.parties:
            yield note_on(dataset, "recipient-not-party", place, party=recipient.party)
        if recipient.party == dataset.provider:
            yield note_on(dataset, "provider-receives", place, party=recipient.party)
        begins = max(plan.effective, recipient.from_ or plan.effective)
        if recipient.until is not None and recipient.until <= begins:
            last = instant_words(recipient.until)
            yield note_on(dataset, "period-empty", place, party=party_words(recipient.party), last=last)


def _codes(dataset: Dataset, pointer: str) -> Iterator[Note]:
    known = all_factors()
    for code in sorted(dataset.select.factors or ()):
        if code not in known:
            yield note_on(dataset, "factor-unknown", f"{pointer}/select/factors", factor=code)
    for index, threshold in enumerate(dataset.warn):
        place, factor = f"{pointer}/warn/{index}", known.get(threshold.factor)
        words = factor_words(threshold.factor)
        if factor is None:
            yield note_on(dataset, "factor-unknown", place, factor=threshold.factor)
        elif not _fits(threshold.unit, factor.unit):
            yield note_on(dataset, "unit-unfit", place, unit=threshold.unit, factor=words)
        if dataset.select.factors is not None and threshold.factor not in dataset.select.factors:
            yield note_on(dataset, "warns-unselected", place, factor=words)


def _fits(unit: str, usual: str | None) -> bool:
    """Whether a threshold's unit is known, and measures what the factor's usual unit does, where there is one."""
    try:
        dimension = units.unit(unit).dimension
    except RecordError:
        return False
    return usual is None or dimension == units.unit(usual).dimension


def _differing_hides(plan: Plan) -> Iterator[Note]:
    """One recipient cannot have one kind of one provider's records both with and without a member."""
    views: defaultdict[tuple[str, str, str], list[Dataset]] = defaultdict(list)
    for dataset in plan.datasets:
        for recipient in dataset.recipients:
            views[dataset.provider, dataset.kind, recipient.party].append(dataset)
    for (provider, kind, party), datasets in views.items():
        if len({frozenset(one.hide) for one in datasets}) > 1:
            yield note(
                "hide-differs", "/datasets", provider=party_words(provider), party=party_words(party),
                kind=TERMS[kind], datasets=tuple(one.id for one in datasets),
            )  # fmt: skip

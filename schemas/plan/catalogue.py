"""What the law asks of each entry of the catalogue: 政务数据共享条例 art. 13 to 15 and 19, as refusals of `plan check`.

An entry states its name, items, provider, unit in charge, format, update frequency, sharing attribute, mode,
conditions, grade and end. Without provider, format, sharing attribute, mode, conditions or grade a document does not
even parse (`reading.py`); what else the law asks stands here: an old plan must stay readable when the law changes.

Two of them are said by the kind alone. The items of a site, source, mark, inspection or case are the members of its
kind, without those of `hide`; only observations name theirs, as factors. And only observations have a rhythm: the
others are updated as something happens, which is their frequency, and `plan check` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from schemas.plan.model import Dataset, Plan
from schemas.plan.sentences import TERMS
from schemas.plan.wording import Note, note_on, party_words

SAFETY = frozenset({"warning", "information"})  # case kinds that may pass while a party is suspended
_OF_SITES = ("observation", "site", "mark", "inspection")
_SELECTORS = ("factors", "periods", "origins", "stats", "sites")


def check_entry(plan: Plan, dataset: Dataset, pointer: str) -> Iterator[Note]:
    """The refusals of one entry: each member that is missing, by name; and terms that contradict each other."""
    for member in _missing(plan, dataset):
        yield note_on(dataset, "incomplete", pointer, member=TERMS[member])
    for index, party in enumerate(dataset.relay):
        if not dataset.received_by(party):
            yield note_on(dataset, "relay-not-recipient", f"{pointer}/relay/{index}", party=party_words(party))
    if dataset.despite_suspension and not _is_of_safety(dataset):
        yield note_on(dataset, "suspension-unfit", f"{pointer}/despite_suspension")


def check_leads(plan: Plan) -> Iterator[Note]:
    """One source leads for each item (art. 19): where two providers name the same sites, one is marked secondary.

    Without named sites a dataset is of its provider's own, so nothing can coincide.
    """
    for (_, first), (index, second) in combinations(enumerate(plan.datasets), 2):
        if first.provider != second.provider and not (first.secondary or second.secondary) and _coincide(first, second):
            shared = (first.select.sites or frozenset()) & (second.select.sites or frozenset())
            yield note_on(
                second, "second-lead", f"/datasets/{index}", provider=party_words(first.provider), other=first.id,
                sites=tuple(sorted(shared)),
            )  # fmt: skip


def _missing(plan: Plan, dataset: Dataset) -> Iterator[str]:
    if dataset.title is None:
        yield "title"
    if dataset.unit_in_charge is None:
        yield "unit_in_charge"
    if dataset.kind == "observation" and dataset.select.factors is None:
        yield "items"
    if dataset.sharing == "not-shared":
        return  # nobody uses it, at no rhythm and until no day
    if dataset.kind == "observation" and dataset.cadence is None:
        yield "cadence"
    # Conditional sharing states its scope, which are the recipients, and its use, for all of them or for each.
    if dataset.sharing == "conditional" and any(dataset.purpose_of(one.party) is None for one in dataset.recipients):
        yield "purpose"
    if plan.until is None and any(one.until is None for one in dataset.recipients):
        yield "until"


def _is_of_safety(dataset: Dataset) -> bool:
    return dataset.kind == "case" and dataset.select.kinds is not None and dataset.select.kinds <= SAFETY


def _coincide(first: Dataset, second: Dataset) -> bool:
    if first.kind != second.kind or first.kind not in _OF_SITES or None in (first.select.sites, second.select.sites):
        return False
    pairs = [(getattr(first.select, name), getattr(second.select, name)) for name in _SELECTORS]
    return all(one is None or other is None or one & other for one, other in pairs)

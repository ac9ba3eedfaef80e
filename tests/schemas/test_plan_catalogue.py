"""What 政务数据共享条例 asks of an entry of the catalogue: each thing missing, by itself, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.errors import PlanError
from schemas.plan import check_plan
from tests.schemas.plans import example, plan_of

Change = Callable[[dict[str, Any]], object]


def refusals(document: dict[str, Any]) -> list[str]:
    """What is refused, in sentences, whether the document does not parse or should not be signed."""
    try:
        plan = plan_of(document)
    except PlanError as error:
        faults = error.extra["faults"]
        assert isinstance(faults, list)
        return [fault["detail"] for fault in faults]
    return [note.sentence() for note in check_plan(plan) if note.refuses]


def changed(change: Change) -> dict[str, Any]:
    document = example()
    change(document)
    return document


def drop(member: str) -> Change:
    return lambda plan: plan["datasets"][0].pop(member)


def drop_default(member: str) -> Change:
    return lambda plan: plan["defaults"].pop(member)


# What article 13 lists, and the end of article 20: how it is left out, and how the refusal names it.
STATED: dict[str, tuple[Change, str]] = {
    "name": (drop("title"), "title"),
    "items": (lambda plan: plan["datasets"][0]["select"].pop("factors"), "select.factors"),
    "provider": (drop("provider"), "'provider'"),
    "unit in charge": (drop("unit_in_charge"), "unit_in_charge"),
    "format": (drop_default("format"), "'format'"),
    "update frequency": (drop("cadence"), "cadence"),
    "sharing attribute": (drop_default("sharing"), "'sharing'"),
    "mode": (drop("mode"), "'mode'"),
    "conditions": (drop_default("conditions"), "conditions"),
    "scope": (drop("recipients"), "'recipients'"),
    "use": (drop("purpose"), "purpose"),
    "grade": (drop_default("grade"), "'grade'"),
    "end": (lambda plan: plan.pop("until"), "until"),
}


def test_an_entry_that_states_everything_is_not_refused() -> None:
    assert refusals(example()) == []


@pytest.mark.parametrize("thing", STATED)
def test_an_entry_without_one_of_the_things_it_must_state_is_refused_naming_it(thing: str) -> None:
    change, name = STATED[thing]
    said = refusals(changed(change))
    assert said
    assert all(name in sentence for sentence in said)


def test_an_end_may_be_each_recipient_s_own() -> None:
    document = example()
    del document["until"]
    for dataset in document["datasets"]:
        parties = [one if isinstance(one, str) else one["party"] for one in dataset["recipients"]]
        dataset["recipients"] = [{"party": party, "until": "2028-01-01"} for party in parties]
    assert refusals(document) == []
    document["datasets"][0]["recipients"][0].pop("until")
    assert len(refusals(document)) == 1


def test_a_use_may_be_each_recipient_s_own() -> None:
    document = example()
    del document["datasets"][0]["purpose"]
    document["datasets"][0]["recipients"] = [{"party": "330421", "purpose": "校核"}]
    assert refusals(document) == []


def test_unconditional_sharing_needs_no_conditions_and_no_use() -> None:
    document = changed(lambda plan: plan["datasets"][0].update(sharing="unconditional"))
    del document["datasets"][0]["purpose"]
    document["datasets"][1]["conditions"] = document["defaults"].pop("conditions")
    assert refusals(document) == []


@pytest.mark.parametrize("kind", ["site", "source", "mark", "inspection", "case"])
def test_kinds_that_are_updated_as_something_happens_need_no_cadence(kind: str) -> None:
    document = example()
    document["datasets"][1] |= {"kind": kind, "select": {}, "hide": ["reason"]}
    assert refusals(document) == []


def test_what_is_not_shared_states_its_citation_its_name_and_its_unit_but_no_use_rhythm_or_mode() -> None:
    document = example()
    kept = {"id": "kept", "provider": "320509", "kind": "observation", "select": {"factors": ["w20004"]}}
    kept |= {"title": {"zh": "锑", "en": "Antimony"}, "unit_in_charge": "监测站", "sharing": "not-shared"}
    document["datasets"] = [kept | {"citation": "数据安全法第21条"}]
    assert refusals(document) == []
    document["datasets"] = [kept]
    assert ["citation" in one for one in refusals(document)] == [True]


LAKE = {"select": {"sites": ["330421-SW-0001"], "factors": ["w20004"]}}


def with_second_provider(**members: Any) -> dict[str, Any]:
    document = example()
    document["datasets"][0] |= LAKE
    second = document["datasets"][0] | {"id": "js-antimony", "provider": "330421", "recipients": ["310118"]}
    document["datasets"].append(second | members)
    return document


def test_a_second_lead_for_one_item_is_refused_and_a_secondary_source_is_not() -> None:
    (sentence,) = refusals(with_second_provider())
    assert "330421-SW-0001" in sentence
    assert "wj-antimony-hourly" in sentence
    assert refusals(with_second_provider(secondary=True)) == []


@pytest.mark.parametrize(
    "members",
    [
        {"select": {"sites": ["330421-SW-0002"], "factors": ["w20004"]}},
        {"select": {"sites": ["330421-SW-0001"], "factors": ["w21003"]}},
        {"select": {"sites": ["330421-SW-0001"], "factors": ["w20004"], "origins": ["lab"]}},
        {"select": {"factors": ["w20004"]}},
        {"provider": "320509"},
    ],
    ids=["other sites", "other factors", "other origin", "its own sites", "the same provider"],
)
def test_what_is_not_the_same_item_of_another_provider_is_no_second_lead(members: dict[str, Any]) -> None:
    document = with_second_provider(**{"warn": [], **members})
    document["datasets"][0]["select"]["origins"] = ["auto"]
    del document["datasets"][2]["warn"]
    assert refusals(document) == []


def case(**members: Any) -> dict[str, Any]:
    document = example()
    document["datasets"][1] |= {"kind": "case", "select": {"kinds": ["warning"]}, "despite_suspension": True}
    document["datasets"][1] |= {"hide": ["reason"], **members}
    return document


def test_only_warnings_and_information_pass_a_suspension() -> None:
    assert refusals(case()) == []
    assert refusals(case(select={"kinds": ["warning", "information"]})) == []


@pytest.mark.parametrize(
    "members",
    [
        {"select": {"kinds": ["warning", "dispute"]}},
        {"select": {}},
        {"kind": "site", "select": {}},
        {"kind": "source", "select": {"categories": ["dyeing"]}},
    ],
    ids=["another kind of case", "every kind of case", "sites", "sources"],
)
def test_anything_else_does_not_pass_a_suspension(members: dict[str, Any]) -> None:
    assert ["warnings and information" in one for one in refusals(case(**members))] == [True]


def test_a_relay_receives_what_it_passes_on() -> None:
    document = example()
    document["datasets"][0]["relay"] = ["330421"]
    assert refusals(document) == []
    document["datasets"][0]["relay"] = ["320509"]
    assert ["does not receive it" in one for one in refusals(document)] == [True]


@pytest.mark.parametrize(("until", "from_"), [("2026-12-31", None), ("2027-06-01", "2027-07-01")])
def test_a_period_that_is_over_before_it_begins_is_refused(until: str, from_: str | None) -> None:
    document = example()
    document["datasets"][0]["recipients"] = [{"party": "330421", "until": until} | ({"from": from_} if from_ else {})]
    assert ["before it begins" in one for one in refusals(document)] == [True]

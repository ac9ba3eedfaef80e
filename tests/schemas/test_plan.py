from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import PlanError
from schemas.periods import Duration
from schemas.plan import Campaign, Rate, Recipient, Season, Selection, parse_plan
from schemas.plan.reading import DEFAULT_LINGER
from schemas.times import BEIJING
from tests.schemas.plans import EXAMPLE, example, plan_of

MIDNIGHT = datetime(2027, 1, 1, tzinfo=BEIJING)


def test_the_plan_of_the_design_reads_as_it_is_meant() -> None:
    plan = parse_plan(EXAMPLE.encode())
    assert plan.reference == "tri-district-monitoring@1"
    assert plan.title.en == "Shared monitoring data plan of the demonstration zone"
    assert plan.parties == ("310118", "320509", "330421")
    assert (plan.effective, plan.until) == (MIDNIGHT, datetime(2030, 1, 1, tzinfo=BEIJING))
    assert plan.notice == Duration(0, 90 * 86_400)
    antimony, sources = plan.datasets
    assert antimony.recipients == (
        Recipient("330421"),
        Recipient("310118", datetime(2026, 1, 1, tzinfo=BEIJING)),
    )
    assert antimony.select == Selection(
        programmes=frozenset({"water-auto"}), factors=frozenset({"w20004"}), periods=frozenset({"PT1H"})
    )
    assert (antimony.linger, antimony.mode, antimony.on_refusal) == (timedelta(0), "push", "continue")
    assert antimony.cadence is not None
    assert antimony.cadence.every == antimony.cadence.due == Duration(0, 3600)
    (threshold,) = antimony.warn
    assert (threshold.value, threshold.unit, threshold.side) == (Decimal("0.005"), "mg/L", "at-or-above")
    assert (threshold.compare, threshold.consecutive, threshold.also_to) == ("full", 2, ("waterworks",))
    assert (sources.kind, sources.mode, sources.hide, sources.linger) == (
        "source",
        "pull",
        ("contacts",),
        DEFAULT_LINGER,
    )


def test_a_dataset_takes_from_the_defaults_what_it_does_not_say_itself() -> None:
    document = example()
    document["datasets"][1] |= {"sharing": "unconditional", "grade": "important", "retention": "P1Y"}
    inherits, says = plan_of(document).datasets
    assert (inherits.sharing, inherits.grade, inherits.retention) == ("conditional", "general", Duration(60, 0))
    assert (says.sharing, says.grade, says.retention) == ("unconditional", "important", Duration(12, 0))
    assert inherits.conditions == says.conditions == "用于示范区水环境联防联控，不得转供第三方"


def test_a_plan_is_in_force_from_its_effective_instant_until_before_its_end() -> None:
    plan = parse_plan(EXAMPLE.encode())
    moment = timedelta(milliseconds=1)
    assert plan.until is not None
    assert [plan.in_force(at) for at in (MIDNIGHT - moment, MIDNIGHT)] == [False, True]
    assert [plan.in_force(at) for at in (plan.until - moment, plan.until)] == [True, False]
    without_end = example()
    del without_end["until"]
    assert plan_of(without_end).in_force(datetime(2999, 1, 1, tzinfo=UTC))


def test_signatures_have_a_day_unless_the_plan_says_otherwise() -> None:
    document = example()
    assert plan_of(document).lead == timedelta(hours=24)
    document["lead"] = "PT30S"
    assert plan_of(document).lead == timedelta(seconds=30)


def test_each_recipient_has_a_period_a_purpose_and_a_rate_of_its_own() -> None:
    document = example()
    terms = {"until": "2028-01-01", "purpose": "校核", "rate": {"requests": 60, "per": "PT1M"}}
    document["datasets"][0]["recipients"][0] |= terms
    dataset = plan_of(document).datasets[0]
    until = datetime(2028, 1, 1, tzinfo=BEIJING)
    assert dataset.recipient("330421") == Recipient("330421", None, until, "校核", Rate(60, timedelta(minutes=1)))
    purposes = [dataset.purpose_of(party) for party in ("330421", "310118", "320509")]
    assert purposes == ["校核", "太浦河水源地预警", "太浦河水源地预警"]
    assert dataset.recipient("320509") is None


def test_who_provides_who_receives_and_who_may_read() -> None:
    plan = parse_plan(EXAMPLE.encode())
    antimony, sources = plan.datasets
    assert plan.provided_by("320509") == (antimony, sources)
    assert plan.provided_by("310118") == ()
    assert plan.received_by("310118") == (antimony, sources)
    assert plan.received_by("330421") == (antimony,)
    assert plan.received_by("320509") == ()
    assert plan.dataset("wj-sources-restricted") is sources
    assert plan.dataset("none") is None
    readers = {party: sources.readable_by(party) for party in ("320509", "310118", "330421", "330503", "")}
    assert readers == {"320509": True, "310118": True, "330421": False, "330503": False, "": False}


def test_how_far_back_a_recipient_sees_is_its_own_or_the_dataset_s() -> None:
    antimony = parse_plan(EXAMPLE.encode()).datasets[0]
    assert antimony.reach("310118") == datetime(2026, 1, 1, tzinfo=BEIJING)
    assert (antimony.reach("330421"), antimony.reach("320509")) == ("none", "all")
    document = example()
    document["datasets"][0]["history"] = "2025-06-01"
    assert plan_of(document).datasets[0].reach("330421") == datetime(2025, 6, 1, tzinfo=BEIJING)


def test_hidden_members_leave_no_record_and_the_others_stay() -> None:
    sources = parse_plan(EXAMPLE.encode()).datasets[1]
    record = {"kind": "source", "id": "X", "contacts": {"name": "N"}}
    assert sources.project(record) == {"kind": "source", "id": "X"}
    assert "contacts" in record


SERIES: dict[str, Any] = {
    "site": "320509-SW-0003",
    "site_programmes": frozenset({"water-auto", "border"}),
    "factor": "w20004",
    "origin": "auto",
    "stat": "avg",
    "period": "PT1H",
}


@pytest.mark.parametrize(
    ("selection", "admitted"),
    [
        (Selection(), True),
        (Selection(factors=frozenset({"w20004"})), True),
        (Selection(factors=frozenset({"w21003"})), False),
        (Selection(periods=frozenset({"P1D"})), False),
        (Selection(origins=frozenset({"lab"})), False),
        (Selection(stats=frozenset({"max"})), False),
        (Selection(sites=frozenset({"320509-SW-0004"})), False),
        (Selection(sites=frozenset({"320509-SW-0003"})), True),
        (Selection(programmes=frozenset({"weekly"})), False),
        (Selection(programmes=frozenset({"weekly", "border"})), True),
        (Selection(programmes=frozenset({"border"}), origins=frozenset({"lab"})), False),
        (Selection(factors=frozenset()), False),
    ],
)
def test_a_series_is_selected_only_if_every_selector_admits_it(selection: Selection, admitted: bool) -> None:
    assert selection.admits_series(**SERIES) is admitted


def test_a_site_without_programmes_is_in_no_selection_by_programme() -> None:
    by_programme = Selection(programmes=frozenset({"water-auto"}))
    assert not by_programme.admits_site("S", frozenset())
    assert not by_programme.admits_series(**SERIES | {"site_programmes": frozenset()})
    assert Selection().admits_site("S", frozenset())


def test_sources_are_selected_by_category_and_cases_by_kind() -> None:
    assert Selection(categories=frozenset({"dyeing"})).admits_source(frozenset({"dyeing", "voc"}))
    assert not Selection(categories=frozenset({"dyeing"})).admits_source(frozenset({"voc"}))
    assert not Selection(categories=frozenset({"dyeing"})).admits_source(frozenset())
    assert Selection(kinds=frozenset({"warning"})).admits_case("warning")
    assert not Selection(kinds=frozenset({"warning"})).admits_case("dispute")


Change = Callable[[dict[str, Any]], object]

FAULTS: dict[str, tuple[Change, str]] = {
    "no id": (lambda plan: plan.pop("plan"), ""),
    "an id that is no path segment": (lambda plan: plan.update(plan="../x"), "/plan"),
    "a lead in months": (lambda plan: plan.update(lead="P1M"), "/lead"),
    "version zero": (lambda plan: plan.update(version=0), "/version"),
    "version true": (lambda plan: plan.update(version=True), "/version"),
    "no notice": (lambda plan: plan.pop("notice"), ""),
    "an unknown member": (lambda plan: plan.update(notic="P1D"), "/notic"),
    "a member with a slash": (lambda plan: plan.update({"a/b~": 1}), "/a~1b~0"),
    "a title in one language": (lambda plan: plan["title"].pop("en"), "/title"),
    "a title as text": (lambda plan: plan.update(title="x"), "/title"),
    "parties as numbers": (lambda plan: plan.update(parties=[310118, "320509"]), "/parties/0"),
    "a party twice": (lambda plan: plan.update(parties=["310118", "310118"]), "/parties"),
    "a local time": (lambda plan: plan.update(effective="2027-01-01T00:00:00"), "/effective"),
    "a half past midnight of 24": (lambda plan: plan.update(until="2027-01-01T24:30:00+08:00"), "/until"),
    "a part of a second past 24": (lambda plan: plan.update(until="2027-01-01T24:00:00.5+08:00"), "/until"),
    "the end of the calendar": (lambda plan: plan.update(until="9999-12-31T24:00:00Z"), "/until"),
    "no datasets": (lambda plan: plan.update(datasets=[]), "/datasets"),
    "a default that is no term": (lambda plan: plan["defaults"].update(mode="push"), "/defaults/mode"),
    "another format": (lambda plan: plan["defaults"].update(format="csv"), "/defaults/format"),
    "null": (lambda plan: plan.update(until=None), "/until"),
}
DATASET_FAULTS: dict[str, tuple[Change, str]] = {
    "an unknown member": (lambda one: one.update(hidden=["x"]), "/hidden"),
    "an unknown kind": (lambda one: one.update(kind="retraction"), "/kind"),
    "no selection": (lambda one: one.pop("select"), ""),
    "an empty selector": (lambda one: one["select"].update(factors=[]), "/select/factors"),
    "a selector of another kind": (lambda one: one["select"].update(categories=["dyeing"]), "/select/categories"),
    "a period of no key": (lambda one: one["select"].update(periods=["PT60M"]), "/select/periods/0"),
    "an unknown origin": (lambda one: one["select"].update(origins=["robot"]), "/select/origins/0"),
    "an unknown mode": (lambda one: one.update(mode="email"), "/mode"),
    "linger in months": (lambda one: one.update(linger="P1M"), "/linger"),
    "a cadence of nothing": (lambda one: one["cadence"].pop("every"), "/cadence"),
    "a cadence without end": (lambda one: one["cadence"].update(every="PT0S"), "/cadence"),
    "a season of no day": (lambda one: one["cadence"].update(season="04-01/11-31"), "/cadence/season"),
    "no scope": (lambda one: one.pop("recipients"), ""),
    "a recipient twice": (lambda one: one["recipients"].append("330421"), "/recipients"),
    "a recipient's date": (lambda one: one["recipients"][0].update({"from": "soon"}), "/recipients/0/from"),
    "not shared, without its law": (lambda one: (one.update(sharing="not-shared"), one.pop("recipients")), ""),
    "not shared, but received": (lambda one: one.update(sharing="not-shared", citation="保守国家秘密法"), ""),
    "no mode": (lambda one: one.pop("mode"), ""),
    "a recipient's end": (lambda one: one["recipients"][0].update(until="2027-02-30"), "/recipients/0/until"),
    "a recipient's purpose": (lambda one: one["recipients"][0].update(purpose=""), "/recipients/0/purpose"),
    "a rate in words": (lambda one: one["recipients"][0].update(rate="60/h"), "/recipients/0/rate"),
    "a rate of nothing": (
        lambda one: one["recipients"][0].update(rate={"requests": 0, "per": "PT1H"}),
        "/recipients/0/rate/requests",
    ),
    "a rate in no time": (
        lambda one: one["recipients"][0].update(rate={"requests": 1, "per": "PT0S"}),
        "/recipients/0/rate/per",
    ),
    "a rate by the month": (
        lambda one: one["recipients"][0].update(rate={"requests": 1, "per": "P1M"}),
        "/recipients/0/rate/per",
    ),
    "a relay twice": (lambda one: one.update(relay=["330421", "330421"]), "/relay"),
    "half a mark": (lambda one: one.update(despite_suspension="yes"), "/despite_suspension"),
    "an unknown grade": (lambda one: one.update(grade="top"), "/grade"),
    "a threshold on both sides": (
        lambda one: one["warn"][0].update(at_or_below={"value": "1", "unit": "mg/L"}),
        "/warn/0",
    ),
    "a threshold in words": (
        lambda one: one["warn"][0]["at_or_above"].update(value="five"),
        "/warn/0/at_or_above/value",
    ),
    "a threshold in two numbers": (
        lambda one: one["warn"][0]["at_or_above"].update(value="1\n2"),
        "/warn/0/at_or_above/value",
    ),
    "a threshold without a rule": (lambda one: one["warn"][0].pop("compare"), "/warn/0"),
    "warnings on sources": (lambda one: one.update(kind="source", select={}), ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_plan_is_refused_at_its_place(name: str) -> None:
    change, pointer = FAULTS[name]
    document = example()
    change(document)
    with pytest.raises(PlanError) as caught:
        plan_of(document)
    assert caught.value.code == "plan.malformed"
    assert caught.value.pointers == (pointer,)


@pytest.mark.parametrize("name", DATASET_FAULTS)
def test_a_fault_of_a_dataset_is_refused_at_its_place(name: str) -> None:
    change, pointer = DATASET_FAULTS[name]
    document = example()
    change(document["datasets"][0])
    with pytest.raises(PlanError) as caught:
        plan_of(document)
    assert caught.value.code == "plan.malformed"
    assert caught.value.pointers == (f"/datasets/0{pointer}",)


@pytest.mark.parametrize("grade", ["state-secret", "work-secret", "国家秘密", "工作秘密"])
def test_a_secret_is_told_that_it_does_not_belong_in_a_plan(grade: str) -> None:
    document = example()
    document["defaults"]["grade"] = grade
    with pytest.raises(PlanError, match="secrets of state and of work do not belong"):
        plan_of(document)


def test_all_faults_are_told_at_once_with_their_places_and_names() -> None:
    document = example()
    document["versoin"] = document.pop("version")
    document["datasets"][0]["mode"] = "email"
    document["datasets"][1]["recipients"] = [1]
    with pytest.raises(PlanError) as caught:
        plan_of(document)
    assert set(caught.value.pointers) == {"/versoin", "", "/datasets/0/mode", "/datasets/1/recipients/0"}
    faults = caught.value.extra["faults"]
    assert isinstance(faults, list)
    assert {"pointer": "/versoin", "detail": "unknown member 'versoin'"} in faults


def test_the_terms_of_sharing_may_stand_in_the_dataset_when_there_are_no_defaults() -> None:
    document = example()
    del document["defaults"]
    with pytest.raises(PlanError) as caught:
        plan_of(document)
    assert caught.value.pointers == ("/datasets/0",) * 3 + ("/datasets/1",) * 3  # format, sharing and grade, for each
    for dataset in document["datasets"]:
        dataset |= {"format": "taipu-batch/1", "sharing": "unconditional", "grade": "general"}
    assert [one.conditions for one in plan_of(document).datasets] == [None, None]
    document["datasets"][0]["sharing"] = "conditional"
    with pytest.raises(PlanError) as caught:
        plan_of(document)
    assert "conditions" in caught.value.detail


def test_data_that_is_not_shared_is_listed_with_its_law_and_read_by_nobody_else() -> None:
    document = example()
    document["datasets"][1] |= {"sharing": "not-shared", "citation": "数据安全法第21条"}
    del document["datasets"][1]["recipients"]
    kept = plan_of(document).datasets[1]
    assert (kept.recipients, kept.citation) == ((), "数据安全法第21条")
    assert not kept.readable_by("310118")


@pytest.mark.parametrize(
    ("cadence", "every", "season"),
    [
        ({"every": "PT4H", "due": "PT2H"}, Duration(0, 14_400), None),
        ({"every": "P7D", "due": "P3D"}, Duration(0, 604_800), None),
        ({"every": "P1M", "due": "P10D"}, Duration(1, 0), None),
        ({"every": "P1D", "due": "PT6H", "season": "04-01/10-31"}, Duration(0, 86_400), Season((4, 1), (10, 31))),
    ],
)
def test_every_rhythm_of_the_zone_s_programmes_can_be_said(
    cadence: dict[str, str], every: Duration, season: Season | None
) -> None:
    document = example()
    document["datasets"][0]["cadence"] = cadence
    found = plan_of(document).datasets[0].cadence
    assert found is not None
    assert (found.every, found.season) == (every, season)


def test_a_campaign_is_a_number_of_results_between_two_days() -> None:
    document = example()
    document["datasets"][0]["cadence"] = {
        "campaign": {"from": "2027-03-01", "to": "2027-06-30", "count": 28},
        "due": "P30D",
    }
    cadence = plan_of(document).datasets[0].cadence
    assert cadence is not None
    first, last = datetime(2027, 3, 1, tzinfo=BEIJING), datetime(2027, 6, 30, tzinfo=BEIJING)
    assert cadence.campaign == Campaign(first, last, 28)


@pytest.mark.parametrize(
    ("season", "day", "inside"),
    [
        (Season((4, 1), (10, 31)), date(2027, 4, 1), True),
        (Season((4, 1), (10, 31)), date(2027, 10, 31), True),
        (Season((4, 1), (10, 31)), date(2027, 11, 1), False),
        (Season((11, 15), (2, 29)), date(2027, 12, 31), True),
        (Season((11, 15), (2, 29)), date(2027, 2, 28), True),
        (Season((11, 15), (2, 29)), date(2027, 3, 1), False),
    ],
)
def test_a_season_includes_its_days_and_may_cross_the_year_s_end(season: Season, day: date, inside: bool) -> None:
    assert season.contains(day) is inside


def reordered(value: Any, pick: Callable[[list[Any]], list[Any]]) -> Any:
    """The same value with the members of every mapping in another order."""
    if isinstance(value, dict):
        return {name: reordered(value[name], pick) for name in pick(list(value))}
    return [reordered(item, pick) for item in value] if isinstance(value, list) else value


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_digest_is_the_same_in_any_order_of_members_and_in_yaml_and_json(random: Any) -> None:
    signed = parse_plan(EXAMPLE.encode())
    document = reordered(example(), lambda names: random.sample(names, len(names)))
    as_yaml = parse_plan(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode())
    as_json = parse_plan(json.dumps(document).encode())
    assert as_yaml == as_json == signed
    assert as_yaml.digest == as_json.digest == signed.digest


def test_the_digest_is_of_the_document_as_given_with_no_default_filled_in() -> None:
    plan = parse_plan(EXAMPLE.encode())
    assert json.loads(plan.canonical) == example()
    assert b"on_refusal" not in plan.canonical
    assert parse_plan(plan.canonical) == plan
    document = example()
    document["datasets"][0]["on_refusal"] = "continue"
    assert plan_of(document).datasets == plan.datasets
    assert plan_of(document).digest != plan.digest
    assert plan.digest == "bLQYjZkrXurZ85IlLh6rXnNTQ2zNPs2cDcONrXQmplY"


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_a_plan_error(data: bytes) -> None:
    with suppress(PlanError):
        parse_plan(data)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_document_raises_nothing_but_a_plan_error(data: st.DataObject) -> None:
    damaged = bytearray(EXAMPLE.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(PlanError):
        parse_plan(bytes(damaged))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_value_in_any_place_raises_nothing_but_a_plan_error(data: st.DataObject) -> None:
    place: Any = (document := example())
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(anything)
    with suppress(PlanError):
        plan_of(document)

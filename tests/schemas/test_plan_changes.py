"""`plan diff`: nothing that a document says may differ without a sentence, and what ends leaves the notice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from schemas.plan import Change, changes, short_of_notice
from schemas.plan.reading import _DATASET_MEMBERS, _PLAN_MEMBERS
from schemas.plan.sentences import CHANGED
from schemas.times import BEIJING
from tests.schemas.plans import example, plan_of

Alter = Callable[[dict[str, Any], dict[str, Any]], object]  # of the plan, and of its first dataset
JIASHAN = "Jiashan County (330421)"
QINGPU = "Qingpu District (310118)"
WUJIANG = "Wujiang District (320509)"


def between(alter: Alter) -> list[Change]:
    new = example()
    alter(new, new["datasets"][0])
    return changes(plan_of(example()), plan_of(new))


def recipient(**terms: Any) -> Alter:
    return lambda _plan, one: one["recipients"][0].update(terms)


TOLD: dict[str, tuple[Alter, list[tuple[str, str]]]] = {
    "a party joins": (
        lambda plan, _: plan["parties"].append("330503"),
        [("begins", "Nanxun District (330503) joins the plan.")],
    ),
    "a party leaves": (
        lambda plan, _: plan["parties"].remove("310118"),
        [("ends", f"{QINGPU} leaves the plan.")],
    ),
    "an earlier end": (
        lambda plan, _: plan.update(until="2028-01-01T00:00:00+08:00"),
        [("narrows", "The plan's an end (until): 2030-01-01 00:00 becomes 2028-01-01 00:00.")],
    ),
    "a further dataset": (
        lambda plan, one: plan["datasets"].append(one | {"id": "x", "recipients": ["330421"]}),
        [("begins", f"x: {JIASHAN} gains observations of {WUJIANG}.")],
    ),
    "a dataset less": (
        lambda plan, _: plan["datasets"].pop(1),
        [("ends", f"wj-sources-restricted: {QINGPU} loses pollution sources of {WUJIANG}.")],
    ),
    "another provider": (
        lambda plan, _: plan["datasets"][1].update(provider="330421"),
        [
            ("begins", f"wj-sources-restricted: {QINGPU} gains pollution sources of {JIASHAN}."),
            ("ends", f"wj-sources-restricted: {QINGPU} loses pollution sources of {WUJIANG}."),
        ],
    ),
    "a recipient less": (
        lambda _, one: one["recipients"].pop(0),
        [("ends", f"wj-antimony-hourly: {JIASHAN} loses observations of {WUJIANG}.")],
    ),
    "a factor more, another less": (
        lambda _, one: one["select"].update(factors=["w21003"]),
        [
            ("widens", "wj-antimony-hourly: its recipients gain the factors Ammonia nitrogen (NH3-N) (w21003)."),
            ("narrows", "wj-antimony-hourly: its recipients lose the factors Antimony (w20004)."),
        ],
    ),
    "a selector dropped": (
        lambda _, one: one["select"].pop("periods"),
        [("widens", "wj-antimony-hourly: its recipients gain: the periods are no longer limited.")],
    ),
    "a further selector": (
        lambda _, one: one["select"].update(origins=["auto"]),
        [("narrows", "wj-antimony-hourly: its recipients lose all but the origins auto.")],
    ),
    "a further hidden member": (
        lambda plan, _: plan["datasets"][1].update(hide=["contacts", "outlets"]),
        [("narrows", "wj-sources-restricted: its recipients lose the members outlets.")],
    ),
    "a member no longer hidden": (
        lambda plan, _: plan["datasets"][1].pop("hide"),
        [("widens", "wj-sources-restricted: its recipients gain the members contacts, which were hidden.")],
    ),
    "a period that ends": (
        recipient(until="2028-01-01"),
        [
            (
                "narrows",
                f"wj-antimony-hourly: for {JIASHAN}, an end (until): further notice becomes 2028-01-01 00:00.",
            )
        ],
    ),
    "history": (
        recipient(**{"from": "2025-01-01"}),
        [
            (
                "widens",
                (
                    f"wj-antimony-hourly: for {JIASHAN}, how far back it sees (from): "
                    "from its joining becomes 2025-01-01 00:00."
                ),
            )
        ],
    ),
    "another use": (
        recipient(purpose="校核"),
        [
            (
                "narrows",
                f"wj-antimony-hourly: for {JIASHAN}, what it is used for (purpose): 太浦河水源地预警 becomes 校核.",
            )
        ],
    ),
    "a rate": (
        recipient(rate={"requests": 60, "per": "PT1H"}),
        [
            (
                "narrows",
                f"wj-antimony-hourly: for {JIASHAN}, how often it may ask (rate): none becomes 60 in 1 hour.",
            )
        ],
    ),
    "a rarer cadence": (
        lambda _, one: one["cadence"].update(every="PT4H"),
        [
            (
                "narrows",
                (
                    "wj-antimony-hourly: how often it is updated: "
                    "every 1 hour, within 1 hour becomes every 4 hours, within 1 hour."
                ),
            )
        ],
    ),
    "a quicker cadence": (
        lambda _, one: one["cadence"].update(due="PT30M"),
        [
            (
                "widens",
                (
                    "wj-antimony-hourly: how often it is updated: "
                    "every 1 hour, within 1 hour becomes every 1 hour, within 30 minutes."
                ),
            )
        ],
    ),
    "other conditions": (
        lambda _, one: one.update(conditions="仅供内部使用"),
        [
            (
                "changes",
                (
                    "wj-antimony-hourly: its conditions (conditions): "
                    "用于示范区水环境联防联控，不得转供第三方 becomes 仅供内部使用."
                ),
            )
        ],
    ),
    "another threshold": (
        lambda _, one: one["warn"][0].update(consecutive=1),
        [
            (
                "adjusts",
                (
                    "wj-antimony-hourly: its warnings (warn): "
                    "Antimony (w20004) at or above 0.005 mg/L × 2 (full) 参考限值 → waterworks becomes "
                    "Antimony (w20004) at or above 0.005 mg/L × 1 (full) 参考限值 → waterworks."
                ),
            )
        ],
    ),
}


def test_the_same_document_changes_nothing() -> None:
    assert between(lambda _plan, _one: None) == []


@pytest.mark.parametrize("name", TOLD)
def test_a_change_is_told_with_who_gains_and_who_loses_what(name: str) -> None:
    alter, expected = TOLD[name]
    assert [(one.effect, one.note.sentence()) for one in between(alter)] == expected


def test_a_change_names_the_dataset_and_the_party_it_is_for() -> None:
    (change,) = between(TOLD["a recipient less"][0])
    assert (change.dataset, change.party, change.note.pointer) == ("wj-antimony-hourly", "330421", "/datasets/0")


# Every member that a plan or a dataset can have, with a value that the example does not give it.
OF_DATASET: dict[str, Any] = {
    "title": {"zh": "锑", "en": "Antimony"}, "provider": "310118", "unit_in_charge": "乙站",
    "recipients": ["330421"], "kind": "mark", "select": {"factors": ["w21003"]}, "hide": ["method"], "linger": "PT9S",
    "cadence": {"every": "P1D", "due": "PT6H", "season": "04-01/10-31"}, "mode": "drop", "history": "all",
    "on_refusal": "stop", "purpose": "校核", "basis": ["条例"], "warn": [], "sharing": "unconditional",
    "conditions": "限内部", "citation": "条例", "grade": "core", "retention": "P9Y", "relay": ["330421"],
    "despite_suspension": True, "secondary": True,
}  # fmt: skip
OF_PLAN: dict[str, Any] = {
    "title": {"zh": "方案", "en": "Plan"}, "parties": ["310118", "320509"], "until": "2031-01-01T00:00:00+08:00",
    "notice": "P1D", "lead": "PT1H",
}  # fmt: skip


@pytest.mark.parametrize("member", OF_DATASET)
def test_no_member_of_a_dataset_differs_in_silence(member: str) -> None:
    def alter(_plan: dict[str, Any], one: dict[str, Any]) -> None:
        one[member] = OF_DATASET[member]
        if member == "warn":
            del one["warn"]
        if member == "kind":
            one["select"] = {}
            del one["warn"]

    told = between(alter)
    assert told
    for one in told:
        assert "{" not in one.note.sentence("zh") + one.note.sentence("en")


@pytest.mark.parametrize("member", OF_PLAN)
def test_no_member_of_a_plan_differs_in_silence(member: str) -> None:
    assert between(lambda plan, _: plan.update({member: OF_PLAN[member]}))


def test_these_are_all_the_members_there_are() -> None:
    assert {*OF_DATASET, "id", "format"} == {*_DATASET_MEMBERS}  # there is one format, and an id is what is compared
    assert {*OF_PLAN, "plan", "version", "effective", "defaults", "datasets"} == {*_PLAN_MEMBERS}


def test_every_sentence_about_a_change_can_come_about() -> None:
    told = {one.note.code for alter, _ in TOLD.values() for one in between(alter)}
    told |= {one.note.code for one in between(lambda _, one: one.update(mode="pull"))}
    kept = {name: value for name, value in example()["datasets"][1].items() if name != "recipients"}
    kept |= {"id": "kept", "sharing": "not-shared", "citation": "数据安全法第21条"}
    listing = example()
    listing["datasets"].append(kept)
    told |= {one.note.code for one in changes(plan_of(listing), plan_of(example()))}
    assert "kept" in {one.note.code for one in changes(plan_of(example()), plan_of(listing))}
    assert told == CHANGED.keys() - {"short-notice"}


NOTICE: dict[str, tuple[Alter, bool]] = {
    "a dataset ends": (TOLD["a dataset less"][0], True),
    "a recipient ends": (TOLD["a recipient less"][0], True),
    "a provider is replaced": (TOLD["another provider"][0], True),
    "a selection narrows": (TOLD["a further selector"][0], True),
    "a member is hidden": (TOLD["a further hidden member"][0], True),
    "it comes less often": (TOLD["a rarer cadence"][0], True),
    "the conditions change": (TOLD["other conditions"][0], True),
    "the plan ends earlier": (TOLD["an earlier end"][0], True),
    "a dataset begins": (TOLD["a further dataset"][0], False),
    "a selection widens": (TOLD["a selector dropped"][0], False),
    "a threshold moves": (TOLD["another threshold"][0], False),
}


@pytest.mark.parametrize("name", NOTICE)
def test_what_ends_or_changes_needs_the_plan_s_notice_and_what_begins_does_not(name: str) -> None:
    alter, needed = NOTICE[name]
    new = example()
    new["effective"] = "2027-06-01T00:00:00+08:00"
    alter(new, new["datasets"][0])
    versions = plan_of(example()), plan_of(new)
    in_time = datetime(2027, 3, 3, tzinfo=BEIJING)
    assert short_of_notice(*versions, in_time) == []
    late = short_of_notice(*versions, in_time.replace(second=1))
    assert bool(late) is needed
    assert all(note.refuses for note in late)


def test_a_short_notice_says_from_when_on_it_would_be_in_time() -> None:
    new = example()
    new["effective"] = "2027-06-01T00:00:00+08:00"
    del new["datasets"][1]
    (note,) = short_of_notice(plan_of(example()), plan_of(new), datetime(2027, 4, 1, tzinfo=BEIJING))
    assert note.sentence() == (
        "wj-sources-restricted: what ends or changes needs notice: from 2027-06-30 00:00 at the earliest, "
        "not from 2027-06-01 00:00."
    )


def test_what_would_have_ended_by_itself_needs_no_notice() -> None:
    old, new = example(), example()
    old["datasets"][1]["recipients"] = [{"party": "310118", "until": "2027-06-01"}]
    del new["datasets"][1]
    new["effective"] = "2027-06-01T00:00:00+08:00"
    proposed = datetime(2027, 5, 31, tzinfo=BEIJING)
    assert short_of_notice(plan_of(old), plan_of(new), proposed) == []
    new["effective"] = "2027-05-31T23:59:59+08:00"
    assert len(short_of_notice(plan_of(old), plan_of(new), proposed)) == 1


def test_a_notice_beyond_the_calendar_is_never_given() -> None:
    old, new = example(), example()
    old["notice"] = new["notice"] = "P9999Y"
    del new["datasets"][1]
    assert len(short_of_notice(plan_of(old), plan_of(new), datetime(2027, 1, 1, tzinfo=BEIJING))) == 1

from __future__ import annotations

from collections.abc import Callable
from string import Formatter
from typing import Any

import pytest

from schemas.periods import parse_duration
from schemas.plan import check_plan, explain, parse_plan
from schemas.plan.sentences import CHECKED, SENTENCES
from schemas.plan.wording import length_words
from tests.schemas.plans import EXAMPLE, example, plan_of

Change = Callable[[dict[str, Any]], object]


def refusals(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(note.code, note.pointer) for note in check_plan(plan_of(document)) if note.refuses]


def test_the_plan_of_the_design_has_no_reason_not_to_be_signed() -> None:
    assert refusals(example()) == []


def test_a_plan_is_explained_in_sentences_that_say_who_gets_what() -> None:
    sentences = explain(parse_plan(EXAMPLE.encode()))
    for expected in (
        "wj-sources-restricted: pollution sources of Wujiang District (320509) for Qingpu District (310118), fetched.",
        "wj-antimony-hourly: limited to the factors Antimony (w20004).",
        "wj-antimony-hourly: Qingpu District (310118) sees back to 2026-01-01 00:00.",
        "wj-antimony-hourly: one for every period of 1 hour, delivered within 1 hour of its end.",
        "wj-antimony-hourly: Antimony (w20004) at or above 0.005 mg/L, 2 in a row, opens a warning.",
        "wj-sources-restricted: the members contacts never leave.",
        "wj-sources-restricted: each record as it comes about, without a rhythm.",
        "wj-antimony-hourly: Qingpu District (310118) may use it for 太浦河水源地预警.",
        "All signatures must be published 1 day before it takes effect, or this version lapses.",
        "Wujiang District (320509) receives nothing under this plan.",
    ):
        assert expected in sentences


def test_a_plan_is_explained_in_chinese_as_well() -> None:
    sentences = explain(parse_plan(EXAMPLE.encode()), "zh")
    assert "wj-antimony-hourly：吴江区（320509）向嘉善县（330421）、青浦区（310118）提供监测数据（推送）。" in sentences
    assert "wj-antimony-hourly：限于因子：锑（w20004）。" in sentences
    assert len(sentences) == len(explain(parse_plan(EXAMPLE.encode())))


def add_copy(plan: dict[str, Any], **changes: object) -> None:
    plan["datasets"].append(plan["datasets"][1] | changes)


REFUSED: dict[str, tuple[Change, str, str]] = {
    "one party": (lambda plan: plan.update(parties=["320509"]), "too-few-parties", "/parties"),
    "an end at the beginning": (lambda plan: plan.update(until=plan["effective"]), "term-empty", "/until"),
    "the same dataset twice": (add_copy, "duplicate-id", "/datasets/2/id"),
    "a provider from outside": (
        lambda plan: plan["datasets"][1].update(provider="330503"),
        "provider-not-party",
        "/datasets/1/provider",
    ),
    "a recipient from outside": (
        lambda plan: plan["datasets"][1].update(recipients=["310118", "330503"]),
        "recipient-not-party",
        "/datasets/1/recipients/1",
    ),
    "a provider that receives": (
        lambda plan: plan["datasets"][1].update(recipients=["320509"]),
        "provider-receives",
        "/datasets/1/recipients/0",
    ),
    "a factor nobody knows": (
        lambda plan: plan["datasets"][0]["select"].update(factors=["w20004", "w99999"]),
        "factor-unknown",
        "/datasets/0/select/factors",
    ),
    "a warning of a factor nobody knows": (
        lambda plan: plan["datasets"][0]["warn"][0].update(factor="w99999"),
        "factor-unknown",
        "/datasets/0/warn/0",
    ),
    "a threshold in a unit nobody knows": (
        lambda plan: plan["datasets"][0]["warn"][0]["at_or_above"].update(unit="MG/L"),
        "unit-unfit",
        "/datasets/0/warn/0",
    ),
    "a threshold in degrees": (
        lambda plan: plan["datasets"][0]["warn"][0]["at_or_above"].update(unit="Cel"),
        "unit-unfit",
        "/datasets/0/warn/0",
    ),
    "a hidden qualifier": (
        lambda plan: plan["datasets"][0].update(hide=["method", "q"]),
        "hides-needed",
        "/datasets/0/hide",
    ),
    "a hidden revision": (lambda plan: plan["datasets"][1].update(hide=["rev"]), "hides-needed", "/datasets/1/hide"),
    "two views for one recipient": (
        lambda plan: add_copy(plan, id="wj-sources-open", select={"categories": ["voc"]}, hide=["industry"]),
        "hide-differs",
        "/datasets",
    ),
    "one view with and one without": (
        lambda plan: plan["datasets"].append(
            {name: value for name, value in plan["datasets"][1].items() if name != "hide"} | {"id": "wj-sources-all"}
        ),
        "hide-differs",
        "/datasets",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_plan_that_nobody_should_sign_is_refused_with_the_reason_and_the_place(name: str) -> None:
    change, code, pointer = REFUSED[name]
    document = example()
    change(document)
    assert (code, pointer) in refusals(document)


def test_two_recipients_may_have_two_views_and_the_order_of_hidden_members_does_not_matter() -> None:
    document = example()
    add_copy(document, id="wj-sources-js", recipients=["330421"], hide=["industry"])
    add_copy(document, id="wj-sources-voc", select={"categories": ["voc"]}, hide=["contacts"])
    document["datasets"][1]["hide"] = ["contacts", "outlets"]
    document["datasets"][3]["hide"] = ["outlets", "contacts"]
    assert refusals(document) == []


def test_a_threshold_may_be_in_another_unit_of_the_same_dimension() -> None:
    document = example()
    document["datasets"][0]["warn"][0]["at_or_above"] = {"value": "5", "unit": "ug/L"}
    assert refusals(document) == []


def test_warnings_nobody_sees_are_advice_and_no_refusal() -> None:
    document = example()
    document["datasets"][0]["select"]["factors"] = ["w21003"]
    advice = [note for note in check_plan(plan_of(document)) if note.level == "advice"]
    assert [(note.code, note.pointer) for note in advice] == [("warns-unselected", "/datasets/0/warn/0")]


def everything() -> dict[str, Any]:
    """A plan of which every kind of note can be made."""
    document = example()
    document["until"] = "2026-01-01T00:00:00Z"
    document["parties"] = ["110000"]
    antimony, sources = document["datasets"]
    antimony |= {"history": "all", "hide": ["q"]}
    antimony["select"] = {"factors": ["w99999"]}
    antimony["cadence"]["season"] = "04-01/10-31"
    antimony["warn"][0]["at_or_above"]["unit"] = "Cel"
    sources |= {"select": {}, "recipients": ["320509"]}
    campaign = {"campaign": {"from": "2027-03-01", "to": "2027-06-30", "count": 28}, "due": "P1M"}
    add_copy(document, hide=["outlets"], cadence=campaign)
    kept = sources | {"id": "kept", "sharing": "not-shared", "citation": "数据安全法第21条"}
    del kept["recipients"]
    document["datasets"].append(kept)
    marks = {"despite_suspension": True, "secondary": True, "relay": ["330421"]}
    terms = {"party": "330503", "until": "2026-12-31", "rate": {"requests": 60, "per": "PT1H"}}
    lake = {"kind": "site", "select": {"sites": ["L1"]}, "hide": ["owner"]}
    document["datasets"].append(sources | lake | marks | {"id": "lake", "recipients": [terms]})
    document["datasets"].append(sources | lake | {"id": "lake-js", "provider": "330421", "recipients": ["310118"]})
    document["datasets"].append(sources | lake | {"id": "lake-qp", "provider": "310118", "recipients": ["330421"]})
    del document["datasets"][-1]["title"]
    return document


def test_every_note_that_can_be_made_reads_as_a_sentence_in_both_languages() -> None:
    notes = check_plan(plan_of(everything()))
    assert {note.code for note in notes} == CHECKED.keys()
    assert [note.level for note in notes] == sorted(
        (note.level for note in notes), key=["fact", "advice", "refusal"].index
    )
    for note in notes:
        for sentence in (note.sentence("en"), note.sentence("zh")):
            assert sentence
            assert "{" not in sentence
            assert "Title(" not in sentence


@pytest.mark.parametrize("code", SENTENCES)
def test_both_languages_of_a_sentence_say_the_same_things(code: str) -> None:
    title = SENTENCES[code][1]
    names = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (title.zh, title.en)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("text", "en", "zh"),
    [
        ("PT0S", "0 seconds", "0 秒"),
        ("PT1H", "1 hour", "1 小时"),
        ("PT90M", "90 minutes", "90 分钟"),
        ("P90D", "90 days", "90 天"),
        ("P5Y", "5 years", "5 年"),
        ("P1Y6M", "1 year 6 months", "1 年 6 个月"),
        ("P1M10D", "1 month 10 days", "1 个月 10 天"),
    ],
)
def test_a_length_of_time_is_said_in_words(text: str, en: str, zh: str) -> None:
    words = length_words(parse_duration(text))
    assert (words.en, words.zh) == (en, zh)

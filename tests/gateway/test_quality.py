"""Findings travel: from the rules to the provider, with the line to its recipients, and never in the way of a value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.metrics import collect
from gateway.quality import Judge
from gateway.store import findings, tables
from gateway.store.findings import Wanted
from gateway.store.versions import NOTICE
from gateway.workers import Duties
from schemas.factors import Factors
from schemas.quality import QualityRules
from schemas.tables import shipped, shipped_tables
from schemas.times import DAY, now_millis, to_millis
from tests.gateway.callers import caller, code_of, listening
from tests.gateway.commands import taipu, taipu_json
from tests.gateway.hands import carry, counts, hand_in, publish, records_in, report, stored, submitted
from tests.people import two_people
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    make_node,
    plan_document,
    site_line,
    wait_for,
)

NOW = max(now_millis(), to_millis("2026-11-22T12:00:00+08:00")) + DAY  # after whatever the fixtures have done
STEADY = ("2.0", "2.1", "2.2", "2.1", "1.9", "2.0", "2.3", "2.1", "2.0", "2.2", "2.0", "2.1")


def hour(number: int, value: str | None, **members: Any) -> bytes:
    """An hour of antimony, `number` hours after midnight of 20 November."""
    at = f"2026-11-{20 + number // 24:02}T{number % 24:02}:00:00+08:00"
    record = {
        "kind": "observation", "site": "320509-SW-0003", "factor": "w20004", "at": at, "value": value, "unit": "ug/L",
        "stat": "avg", "period": "PT1H", "flag": "N", "profile": "hj212-2017",
    }  # fmt: skip
    return json.dumps(record | members, ensure_ascii=False).encode()


def give(node: Node, *lines: bytes) -> dict[str, Any]:
    return hand_in(node, *lines, at=NOW)


def judge(node: Node) -> int:
    """Look at everything that waits; how much was found."""
    count = 0
    while (step := node.gateway.judge.judge_waiting(now=NOW)).looked_at:
        count += step.found
    return count


def found(node: Node, **wanted: Any) -> list[tuple[str, str, str]]:
    """(rule, source, hour of the value) of every finding."""
    with node.gateway.database.read() as session:
        listed = findings.read_page(session, Wanted(**wanted), after=None, limit=1000)
    midnight = to_millis("2026-11-20T00:00:00+08:00")
    return [(one.finding.rule, one.finding.source, str((one.finding.key.at - midnight) // 3_600_000)) for one in listed]


def waiting(node: Node) -> int:
    with node.gateway.database.read() as session:
        return int(session.execute(select(func.count()).select_from(tables.to_judge)).scalar_one())


def lines_of(node: Node) -> list[dict[str, Any]]:
    """What is published now, as records."""
    return records_in(publish(node, at=NOW))


def steady(number: int = 0) -> list[bytes]:
    return [hour(number + place, value) for place, value in enumerate(STEADY)]


def test_what_the_door_finds_is_stored_told_and_travels_with_the_line(wujiang: Node, jiashan: Node) -> None:
    sites = publish(wujiang, at=NOW)
    outcome = give(wujiang, hour(0, "-0.1"), hour(1, "2.1"))
    assert counts(outcome) == {"accepted": 2}
    [noted] = report(wujiang, outcome)
    assert (noted["place"], noted["verdict"], noted["code"]) == ("line 1", "noted", "quality.range")
    assert noted["detail"] == "-0.1 ug/L is less than 0"
    assert found(wujiang) == [("range", WUJIANG, "0")]
    batches = publish(wujiang, at=NOW)
    assert [line.get("findings") for line in records_in(batches)] == [["range"], None]
    for batch in (*sites, *batches):
        carry(batch, wujiang, jiashan, now=NOW)
    assert [value for _, _, value in stored(jiashan)] == ["-0.1", "2.1"]
    # It came with the line, so it is not found once more.
    assert found(jiashan) == [("range", WUJIANG, "0")]


def test_what_a_station_says_was_found_is_kept_beside_what_our_rules_say(wujiang: Node) -> None:
    outcome = give(wujiang, hour(0, "-0.1", findings=["range", "own-rule"]))
    assert [noted["code"] for noted in report(wujiang, outcome)] == ["quality.range"]
    with wujiang.gateway.database.read() as session:
        listed = findings.read_page(session, Wanted(), after=None, limit=5)
    assert [(one.finding.rule, one.finding.detail) for one in listed] == [
        ("own-rule", ""), ("range", "-0.1 ug/L is less than 0"),
    ]  # fmt: skip


def test_averages_of_years_are_judged_without_reading_their_history(wujiang: Node) -> None:
    years = [f"{year}-01-01T00:00:00+08:00" for year in range(2000, 2025)]
    give(wujiang, *(hour(0, "2.1", at=at, period="P1Y", factor="w20004") for at in years))
    assert judge(wujiang) == 0
    assert waiting(wujiang) == 0


def test_what_a_recipient_finds_beyond_the_line_is_advice_in_its_report(wujiang: Node, jiashan: Node) -> None:
    for batch in publish(wujiang, at=NOW):
        carry(batch, wujiang, jiashan, now=NOW)
    give(wujiang, hour(0, "2.1"))
    with wujiang.gateway.database.write() as session:
        session.execute(tables.observation.update().values(value="-2.1"))
    [batch] = publish(wujiang, at=NOW)
    assert carry(batch, wujiang, jiashan, now=NOW).verdict == "accepted"
    assert found(jiashan) == [("range", JIASHAN, "0")]
    assert [value for _, _, value in stored(jiashan)] == ["-2.1"]


def test_a_jump_found_after_the_line_has_left_makes_it_leave_again_with_its_finding(
    wujiang: Node, jiashan: Node
) -> None:
    for batch in publish(wujiang, at=NOW):
        carry(batch, wujiang, jiashan, now=NOW)
    give(wujiang, *steady(), hour(12, "25.0"))
    [first] = publish(wujiang, at=NOW)
    carry(first, wujiang, jiashan, now=NOW)
    assert found(jiashan) == []
    assert judge(wujiang) == 1
    [again] = publish(wujiang, at=NOW)
    [line] = records_in([again])
    assert (line["value"], line["rev"], line["findings"]) == ("25.0", 1, ["jump"])
    before = stored(jiashan)
    assert carry(again, wujiang, jiashan, now=NOW).verdict == "accepted"
    assert stored(jiashan) == before  # the same revision and content: a duplicate
    assert found(jiashan) == [("jump", WUJIANG, "12")]
    assert judge(wujiang) == 0
    assert publish(wujiang, at=NOW) == []


def test_a_jump_found_before_the_line_has_left_leaves_once_with_it(wujiang: Node) -> None:
    publish(wujiang, at=NOW)
    give(wujiang, *steady(), hour(12, "25.0"))
    judge(wujiang)
    lines = lines_of(wujiang)
    assert len(lines) == 13
    assert [line["findings"] for line in lines if "findings" in line] == [["jump"]]


PLANTED = {
    "jump": (["25.0"], ["jump"]),
    "mg for ug": (["2100"], ["unit-suspect"]),
    "frozen": (["2.15"] * 21, ["frozen"]),
}


@pytest.mark.parametrize(("values", "codes"), PLANTED.values(), ids=PLANTED)
def test_each_planted_fault_is_found_right_after_commit(wujiang: Node, values: list[str], codes: list[str]) -> None:
    give(wujiang, *steady(), *(hour(12 + place, value) for place, value in enumerate(values)))
    judge(wujiang)
    assert [rule for rule, _, _ in found(wujiang)] == codes


@pytest.mark.parametrize("order", ["late", "early"])
def test_a_back_fill_of_two_days_is_judged_by_measurement_time(wujiang: Node, order: str) -> None:
    """After an outage new data come first; the order in which values arrive does not change what is found of them."""
    values = [STEADY[place % 12] for place in range(30)]
    values[20] = "25.0"
    lines = [hour(place, value) for place, value in enumerate(values)]
    older, newer = lines[:24], lines[24:]
    for part in (newer, older) if order == "late" else (older, newer):
        give(wujiang, *part)
        judge(wujiang)
    assert found(wujiang) == [("jump", WUJIANG, "20")]


def test_a_value_that_completes_a_frozen_run_is_found_in_the_value_after_it(wujiang: Node) -> None:
    """The run is complete at its end, which was there before the value in its middle came."""
    lines = [hour(place, "2.15") for place in range(22)]
    give(wujiang, *lines[:10], *lines[11:])
    judge(wujiang)
    assert found(wujiang) == [("frozen", WUJIANG, "20"), ("frozen", WUJIANG, "21")]
    give(wujiang, *steady(), hour(30, "2.15"))  # none of the run: equal keys are revisions without a reason
    judge(wujiang)
    assert [place for _, _, place in found(wujiang)] == ["20", "21"]


def test_a_late_value_has_what_follows_it_judged_again(wujiang: Node) -> None:
    give(wujiang, *steady()[:7], hour(12, "25.0"))
    assert judge(wujiang) == 0  # seven values are no history
    give(wujiang, *steady()[7:])
    assert judge(wujiang) == 1
    assert found(wujiang) == [("jump", WUJIANG, "12")]


def test_what_waits_to_be_judged_outlives_the_process_and_judging_twice_changes_nothing(wujiang: Node) -> None:
    give(wujiang, *steady(), hour(12, "25.0"))
    assert waiting(wujiang) == 1
    with wujiang.gateway.database.read() as session:
        held = [dict(row._mapping) for row in session.execute(select(tables.to_judge))]
    assert judge(wujiang) == 1
    assert waiting(wujiang) == 0
    before = lines_of(wujiang)
    with wujiang.gateway.database.write() as session:  # as if another process had taken it too
        session.execute(tables.to_judge.insert(), held)
    assert judge(wujiang) == 0
    assert found(wujiang) == [("jump", WUJIANG, "12")]
    assert before
    assert lines_of(wujiang) == []


def test_only_the_provider_judges_by_history(wujiang: Node, jiashan: Node) -> None:
    give(wujiang, *steady(), hour(12, "25.0"))
    for batch in publish(wujiang, at=NOW):
        carry(batch, wujiang, jiashan, now=NOW)
    assert len(stored(jiashan)) == 13
    assert waiting(jiashan) == 0


def test_a_remark_confirms_a_value_beforehand_and_is_seen_wherever_it_goes(wujiang: Node, jiashan: Node) -> None:
    give(wujiang, *steady(), hour(12, "25.0", remark="上游闸门检修，已现场复测"))
    judge(wujiang)
    assert found(wujiang) == []
    batches = publish(wujiang, at=NOW)
    assert [line["remark"] for line in records_in(batches) if "remark" in line] == ["上游闸门检修，已现场复测"]
    for batch in batches:
        carry(batch, wujiang, jiashan, now=NOW)
    with jiashan.gateway.database.read() as session:
        extras = session.execute(select(tables.observation.c.extra)).scalars().all()
    assert [json.loads(extra)["remark"] for extra in extras if extra] == ["上游闸门检修，已现场复测"]
    assert found(jiashan) == []


def test_a_mark_entered_at_the_site_keeps_a_value_from_being_judged(wujiang: Node) -> None:
    mark = {
        "kind": "mark", "site": "320509-SW-0003", "type": "calibration", "from": "2026-11-20T12:00:00+08:00",
        "to": "2026-11-20T13:00:00+08:00", "author": "运维一班", "entered": "2026-11-20T14:00:00+08:00",
    }  # fmt: skip
    give(wujiang, json.dumps(mark, ensure_ascii=False).encode(), *steady(), hour(12, "25.0"))
    judge(wujiang)
    assert found(wujiang) == []


def test_a_calibration_spike_raises_nothing_and_is_no_history(wujiang: Node) -> None:
    give(wujiang, *steady(), hour(12, "-25.0", flag="C"), hour(13, "25.0", flag="C"), hour(14, "2.1"))
    judge(wujiang)
    assert found(wujiang) == []


def test_a_revision_has_findings_of_its_own(wujiang: Node) -> None:
    give(wujiang, *steady(), hour(12, "25.0"))
    judge(wujiang)
    give(wujiang, hour(12, "2.5", reason="typed-wrongly"))
    judge(wujiang)
    lines = [(line["value"], line.get("findings")) for line in lines_of(wujiang)[-2:]]
    assert lines == [("25.0", ["jump"]), ("2.5", None)]


def test_a_laboratory_value_is_compared_with_what_is_usual_at_its_site(wujiang: Node) -> None:
    lab = hour(
        12, "2.1", unit="mg/L", origin="lab", stat="sample", period="PT0S", sample="S-1", profile="manual", flag=""
    )
    give(wujiang, *steady(), lab)
    judge(wujiang)
    assert found(wujiang) == [("unit-suspect", WUJIANG, "12")]


def test_an_hour_that_rests_on_too_few_minutes_is_found(wujiang: Node) -> None:
    def minutes(number: int, count: int) -> list[bytes]:
        at = f"2026-11-20T{number:02}:{{:02}}:00+08:00"
        return [hour(0, f"2.{minute:02}", period="PT1M", at=at.format(minute)) for minute in range(count)]

    give(wujiang, *minutes(0, 44), hour(0, "2.12"), *minutes(1, 45), hour(1, "2.13"))
    judge(wujiang)
    assert found(wujiang, rule="completeness") == [("completeness", WUJIANG, "0")]


def test_a_version_that_two_persons_approved_decides_and_is_published(wujiang: Node) -> None:
    first = shipped(QualityRules.table)
    row = {"rule": "range", "subject": "w20004", "period": "*", "unit": "ug/L", "parameters": "high=3", "basis": "test"}
    governance, now = wujiang.gateway.governance, now_millis() - NOTICE
    wei, li = (replace(one, confirmed=now) for one in two_people(wujiang))
    proposed = governance.propose(first.name, (*first.rows, row), by=wei, effective=now, now=now)
    governance.approve(first.name, proposed.version, by=li, digest=proposed.digest, now=now)
    give(wujiang, hour(0, "3.1"))
    with wujiang.gateway.database.read() as session:
        [listed] = findings.read_page(session, Wanted(), after=None, limit=2)
    assert (listed.finding.rule, listed.finding.reference) == ("range", proposed.reference)
    with listening(wujiang) as http:
        document = caller(http, wujiang, QINGPU, "records:read").get("/v1/quality-rules").json()
    assert document["table"] == proposed.reference
    assert [version["table"] for version in document["history"]] == [first.reference, proposed.reference]
    assert "Li Hua" not in json.dumps(document)


def test_values_of_a_factor_that_a_later_version_no_longer_knows_do_not_stop_the_judge(wujiang: Node) -> None:
    give(wujiang, *steady(), hour(12, "25.0"), hour(0, "0.386", factor="w21003", unit="mg/L"))
    first = shipped(Factors.table)
    rows = tuple(row for row in first.rows if row["code"] != "w21003")
    in_force = shipped_tables().replaced(replace(first, version=2, rows=rows))
    gateway = wujiang.gateway
    judge_ = Judge(gateway.party, gateway.database, gateway.interning, gateway.sites, lambda _now: in_force)
    assert judge_.judge_waiting(now=NOW).found == 1
    assert waiting(wujiang) == 0


def test_the_duty_looks_at_what_comes_in_by_itself(wujiang: Node) -> None:
    duties = Duties(wujiang.gateway)
    duties.start()
    try:
        submitted(wujiang, b"\n".join((*steady(), hour(12, "25.0"))), at=NOW)
        wait_for(lambda: found(wujiang) == [("jump", WUJIANG, "12")])
        wait_for(lambda: waiting(wujiang) == 0)
    finally:
        duties.stop()


def test_values_years_apart_are_judged_without_the_years_between(wujiang: Node) -> None:
    old = [json.loads(line) for line in steady()]
    for record in old:
        record["at"] = record["at"].replace("2026", "2019")
    give(wujiang, *(json.dumps(record).encode() for record in old), *steady(), hour(12, "25.0"))
    judge(wujiang)
    assert found(wujiang) == [("jump", WUJIANG, "12")]


def test_a_finding_is_logged_and_counted(wujiang: Node, capsys: pytest.CaptureFixture[str]) -> None:
    give(wujiang, *steady(), hour(12, "25.0"))
    age = collect(wujiang.gateway).get_sample_value("taipu_judge_age_seconds")
    assert age == pytest.approx((now_millis() - NOW) / 1000, abs=60)
    judge(wujiang)
    said = capsys.readouterr()
    assert "quality.found" in said.out + said.err
    labels = {"provider": WUJIANG, "rule": "jump", "source": WUJIANG}
    assert collect(wujiang.gateway).get_sample_value("taipu_findings", labels) == 1


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Wujiang's gateway with a jump and a value out of range."""
    node = make_node(tmp_path_factory.mktemp("quality"), WUJIANG)
    bring_plan(plan_document(SITES, ANTIMONY), node)
    give(node, site_line(), hour(0, "-0.1"), *steady(1), hour(13, "25.0"))
    judge(node)
    yield node
    node.stop()


def test_findings_are_listed_for_the_owner_page_by_page_and_for_nobody_else(served: Node) -> None:
    with listening(served) as http:
        owner = caller(http, served, WUJIANG, "records:read")
        listed = owner.get("/v1/findings").json()["findings"]
        assert [(one["rule"], one["at"], one["source"], one["table"]) for one in listed] == [
            ("range", "2026-11-20T00:00:00+08:00", WUJIANG, "quality-rules@1"),
            ("jump", "2026-11-20T13:00:00+08:00", WUJIANG, "quality-rules@1"),
        ]
        assert listed[1]["detail"] == "25.0 ug/L after values around 2.1 ug/L"
        first = owner.get("/v1/findings?limit=1").json()
        second = owner.get(f"/v1/findings?limit=1&cursor={first['next']}").json()
        assert first["findings"] + second["findings"] == listed
        assert [one["rule"] for one in owner.get("/v1/findings?rule=range").json()["findings"]] == ["range"]
        assert owner.get("/v1/findings?from=2026-11-20T13:00:00%2B08:00").json()["findings"] == listed[1:]
        for party in (JIASHAN, QINGPU):
            answer = caller(http, served, party, "records:read").get("/v1/findings")
            assert code_of(answer, 403) == "access.not-home"
        answer = caller(http, served, WUJIANG, "feeds:read").get("/v1/findings")
        assert answer.status_code == 403


def test_findings_are_seen_on_the_lines_that_are_read(served: Node) -> None:
    with listening(served) as http:
        for party in (WUJIANG, QINGPU):
            lines = caller(http, served, party, "records:read").get("/v1/observations").json()["observations"]
            assert [line["findings"] for line in lines if "findings" in line] == [["range"], ["jump"]]


def test_the_rules_are_published_with_their_versions(served: Node) -> None:
    with listening(served) as http:
        answer = http.get("/v1/quality-rules")
        known = {"If-None-Match": answer.headers["ETag"]}
        assert http.get("/v1/quality-rules", headers=known).status_code == 304
    document = answer.json()
    assert document["table"] == "quality-rules@1"
    assert [version["table"] for version in document["history"]] == ["quality-rules@1"]
    assert {rule["code"] for rule in document["rules"]} >= {"range", "jump", "frozen", "unit-suspect", "completeness"}


def test_findings_are_listed_on_a_terminal(served: Node) -> None:
    home = served.gateway.settings.home
    shown = taipu("findings", "list", "--home", home)
    assert shown.exit_code == 0
    assert "25.0 ug/L after values around 2.1 ug/L" in shown.output
    listed = taipu_json("findings", "list", "--home", home, "--rule", "range")["findings"]
    assert [one["rule"] for one in listed] == ["range"]

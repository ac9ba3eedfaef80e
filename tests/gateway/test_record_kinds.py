"""Sources, marks, inspections, cases and retractions: through the door, into batches, and into a partner's store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.ingest.door import Door
from gateway.ingest.parcel import unpack_lines
from gateway.ingest.terms import Terms
from gateway.store import records
from gateway.store.sites import Sites
from partners.plans import plans_in_force
from schemas import batch as batches
from schemas.batch import Batch, write_batch
from schemas.outlines import Outlines
from schemas.records import Retraction, Site, Statement
from schemas.times import now_millis
from tests.gateway.callers import Caller, caller, listening
from tests.gateway.hands import carry, counts, hand_in, publish, records_in, report, stored
from tests.schemas.test_record_kinds import NOON, UNIT_ID, line_of
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

SITE = "320509-SW-0003"
DATASETS = (
    SITES,
    ANTIMONY,
    {"id": "wj-sources", "kind": "source", "select": {"categories": ["dyeing"]}, "hide": ["contacts"]},
    {"id": "wj-marks", "kind": "mark", "select": {"programmes": ["water-auto"]}},
    {"id": "wj-inspections", "kind": "inspection"},
    {"id": "wj-cases-js", "kind": "case", "recipients": [JIASHAN]},
    {"id": "wj-cases-qp", "kind": "case", "recipients": [QINGPU]},
)


@pytest.fixture
def wujiang(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    bring_plan(plan_document(*DATASETS), node)
    yield node
    node.stop()


@pytest.fixture
def jiashan(tmp_path: Path, wujiang: Node) -> Iterator[Node]:
    node = make_node(tmp_path, JIASHAN)
    introduce(wujiang, node)
    bring_plan(plan_document(*DATASETS), node)
    yield node
    node.stop()


def current(node: Node, kind: str, key: str, provider: str = WUJIANG) -> Statement | None:
    with node.gateway.database.read() as session:
        return records.current_record(session, provider, kind, key)


def codes(node: Node, outcome: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in report(node, outcome)]


def retraction(of: str, key: dict[str, Any], reason: str = "entered in error") -> bytes:
    return json.dumps({"kind": "retraction", "of": of, "key": key, "reason": reason}).encode()


READING_KEY = {
    "site": SITE, "factor": "w20004", "origin": "auto", "stat": "avg", "period": "PT1M",
    "at": "2026-11-20T10:00:00+08:00", "sample": "",
}  # fmt: skip


def sent(made: list[Batch], dataset: str) -> list[dict[str, Any]]:
    return records_in([batch for batch in made if batch.manifest.dataset == dataset])


def test_every_kind_leaves_in_its_dataset_and_arrives(wujiang: Node, jiashan: Node) -> None:
    kinds = ("source", "mark", "inspection", "case")
    outcome = hand_in(wujiang, *(line_of(kind) for kind in kinds), site_line())
    assert counts(outcome) == {"accepted": 5}
    made = publish(wujiang)
    assert made[0].manifest.dataset == "wj-sites"
    assert "contacts" not in sent(made, "wj-sources")[0]
    for batch in made:
        if batch.manifest.dataset != "wj-cases-qp":
            assert carry(batch, wujiang, jiashan).verdict == "accepted"
    for kind, key in (
        ("source", UNIT_ID), ("inspection", "2026-07"), ("case", "320509-2026-0001 1"),
        ("mark", f"{SITE} maintenance {NOON} 李工"),
    ):  # fmt: skip
        here, there = current(wujiang, kind, key), current(jiashan, kind, key)
        assert here is not None
        assert there is not None
        assert (there.rev, there.reason) == (1, "")
        assert there == here or kind == "source"


def test_a_case_goes_only_to_those_it_is_for(wujiang: Node) -> None:
    hand_in(wujiang, line_of("case", to=[JIASHAN]))
    made = publish(wujiang)
    assert [step["case"] for step in sent(made, "wj-cases-js")] == ["320509-2026-0001"]
    assert sent(made, "wj-cases-qp") == []


def test_a_source_that_no_dataset_selects_stays_at_home(wujiang: Node) -> None:
    hand_in(wujiang, line_of("source", categories=["electroplating"]))
    assert publish(wujiang) == []


def test_a_mark_for_a_site_nobody_knows_yet_waits_for_it(wujiang: Node) -> None:
    outcome = hand_in(wujiang, line_of("mark"))
    assert (counts(outcome), codes(wujiang, outcome)) == ({"held": 1}, ["record.site-unknown"])


def test_marks_and_steps_are_never_changed_but_may_be_withdrawn_and_entered_anew(wujiang: Node) -> None:
    hand_in(wujiang, site_line(), line_of("mark"), line_of("case"))
    for changed in (line_of("mark", text="other", reason="typo"), line_of("case", text="other", reason="typo")):
        assert codes(wujiang, hand_in(wujiang, changed)) == ["record.immutable"]
    assert counts(hand_in(wujiang, line_of("mark"), line_of("retraction"))) == {"duplicates": 1, "revised": 1}
    key = f"{SITE} maintenance {NOON} 李工"
    assert current(wujiang, "mark", key) is None
    assert counts(hand_in(wujiang, line_of("mark", text="other", reason="entered anew"))) == {"revised": 1}
    again = current(wujiang, "mark", key)
    assert again is not None
    assert again.rev == 3


def test_a_party_takes_only_steps_that_may_follow(wujiang: Node) -> None:
    assert codes(wujiang, hand_in(wujiang, line_of("case", state="ended"))) == ["case.transition-illegal"]
    hand_in(wujiang, line_of("case"))
    again = hand_in(wujiang, line_of("case"), b"")
    assert counts(again) == {"duplicates": 1}
    for members, code in (
        ({"step": 3, "state": "ended"}, "case.step-wrong"),
        ({"step": 2, "state": "acknowledged"}, "case.actor-wrong"),
        ({"step": 2, "state": "ended", "from": JIASHAN}, "case.from-wrong"),
    ):
        assert codes(wujiang, hand_in(wujiang, line_of("case", **members))) == [code]
    assert counts(hand_in(wujiang, line_of("case", step=2, state="ended"))) == {"accepted": 1}


def test_a_partners_answer_is_a_step_of_the_same_case(wujiang: Node, jiashan: Node) -> None:
    hand_in(wujiang, line_of("case"))
    for batch in publish(wujiang):
        if batch.manifest.dataset == "wj-cases-js":
            carry(batch, wujiang, jiashan)
    answer = line_of("case", step=2, state="acknowledged", to=[WUJIANG], **{"from": JIASHAN})
    assert counts(hand_in(jiashan, answer)) == {"accepted": 1}
    with jiashan.gateway.database.read() as session:
        assert [(step.step, step.from_) for step in records.steps_of(session, "320509-2026-0001")] == [
            (1, WUJIANG),
            (2, JIASHAN),
        ]


def signed_by(node: Node, dataset: str, *lines: bytes) -> Batch:
    """A first batch of `node` with whatever lines, as only a provider could sign it."""
    with node.gateway.database.read() as session:
        found = plans_in_force(session, now_millis()).plans[0]
    return write_batch(
        node.gateway.keys.manifest, list(lines), provider=node.party, dataset=dataset, plan=found.reference,
        plan_digest=found.digest, seq=1, prev="", first="", last="", created="2026-11-20T00:00:00.000Z",
    )  # fmt: skip


def test_a_provider_takes_no_steps_in_anothers_name(wujiang: Node, jiashan: Node) -> None:
    forged = signed_by(wujiang, "wj-cases-js", line_of("case", rev=1, **{"from": JIASHAN}))
    applied = carry(forged, wujiang, jiashan)
    assert applied.verdict == "refused"
    assert current(jiashan, "case", "320509-2026-0001 1") is None


def test_a_retracted_reading_is_history_here_and_at_the_partner(wujiang: Node, jiashan: Node) -> None:
    hand_in(wujiang, site_line(), reading_line(0, "5.02"), reading_line(1))
    first = publish(wujiang)
    assert counts(hand_in(wujiang, retraction("observation", READING_KEY))) == {"revised": 1}
    second = publish(wujiang)
    (line,) = records_in(second)
    assert (line["kind"], line["key"], line["rev"]) == ("retraction", READING_KEY, 2)
    for batch in (*first, *second):
        assert carry(batch, wujiang, jiashan).verdict == "accepted"
    assert stored(wujiang) == stored(jiashan)
    assert [value for _, _, value in stored(jiashan)] == [None, "0.0021"]
    assert counts(hand_in(wujiang, retraction("observation", READING_KEY, "once more"))) == {"duplicates": 1}
    assert counts(hand_in(wujiang, reading_line(0, "0.00502", reason="unit corrected"))) == {"revised": 1}
    assert [(rev, value) for _, rev, value in stored(wujiang)] == [(3, "0.00502"), (1, "0.0021")]


def test_a_retraction_that_overtakes_its_reading_ends_in_the_same_state(wujiang: Node, jiashan: Node) -> None:
    hand_in(wujiang, site_line())
    (sites,) = publish(wujiang)
    carry(sites, wujiang, jiashan)
    late = retraction("observation", READING_KEY)[:-1] + b',"rev":2}'
    carry(signed_by(wujiang, "wj-antimony", late, reading_line(0, "5.02", rev=1)), wujiang, jiashan)
    assert [(rev, value) for _, rev, value in stored(jiashan)] == [(2, None)]


@pytest.mark.parametrize(
    "line",
    [
        retraction("observation", READING_KEY),
        retraction("site", {"id": "320509-SW-0099"}),
        retraction("case", {"case": "c", "step": 1}),
    ],
)
def test_nothing_is_withdrawn_where_nothing_is_held(wujiang: Node, line: bytes) -> None:
    hand_in(wujiang, site_line())
    outcome = hand_in(wujiang, line)
    assert (counts(outcome), codes(wujiang, outcome)) == ({"refused": 1}, ["record.nothing-to-retract"])
    assert stored(wujiang) == []


def test_a_withdrawn_site_is_unknown_and_its_readings_wait(wujiang: Node) -> None:
    hand_in(wujiang, site_line(), reading_line(0))
    together = hand_in(wujiang, retraction("site", {"id": SITE}), reading_line(1))
    assert counts(together) == {"revised": 1, "held": 1}
    assert counts(hand_in(wujiang, reading_line(2))) == {"held": 1}
    assert counts(hand_in(wujiang, site_line(reason="it stands again"))) == {"revised": 1}
    assert counts(hand_in(wujiang, reading_line(3))) == {"accepted": 1}


def test_a_withdrawn_record_is_withdrawn_where_it_was_shared(wujiang: Node, jiashan: Node) -> None:
    hand_in(wujiang, line_of("source"))
    made = publish(wujiang)
    hand_in(wujiang, retraction("source", {"id": UNIT_ID}))
    made += publish(wujiang)
    for batch in made:
        carry(batch, wujiang, jiashan)
    assert current(jiashan, "source", UNIT_ID) is None
    with jiashan.gateway.database.read() as session:
        (held,) = records.fetch(session, WUJIANG, "source", [(UNIT_ID, 2)])
        before = records.withdrawn(session, held)
    assert isinstance(held.statement, Retraction)
    assert before is not None
    assert before.rev == 1


def test_members_of_a_later_schema_version_are_kept_and_shown(
    wujiang: Node, jiashan: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SCHEMA_VERSION", "1.1")
    site = signed_by(wujiang, "wj-sites", site_line(rev=1, depth={"m": 1.50}, name={"zh": "平望", "wu": "平望"}))
    reading = signed_by(wujiang, "wj-antimony", reading_line(0, rev=1, turbulence="1.50"))
    monkeypatch.undo()
    for batch in (site, reading):
        assert carry(batch, wujiang, jiashan).verdict == "accepted"
    held = current(jiashan, "site", SITE)
    assert isinstance(held, Site)
    assert held.name.zh == "平望"
    with jiashan.gateway.database.read() as session:
        (line,) = records.fetch(session, WUJIANG, "site", [(SITE, 1)])
    assert json.loads(line.line)["depth"] == {"m": 1.5}
    with listening(jiashan) as http:
        shown = get(caller(http, jiashan, JIASHAN, "records:read"), "observations")
    assert shown[0]["turbulence"] == "1.50"


def test_the_same_unknown_members_in_this_version_refuse_the_batch(wujiang: Node, jiashan: Node) -> None:
    applied = carry(signed_by(wujiang, "wj-sites", site_line(rev=1, depth=1)), wujiang, jiashan)
    assert applied.verdict == "refused"


def get(reader: Caller, kinds: str, **query: Any) -> list[dict[str, Any]]:
    answer = reader.get(f"/v1/{kinds}", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()[kinds]
    return found


def test_a_mark_entered_afterwards_makes_values_invalid_and_leaves_their_text(wujiang: Node) -> None:
    hand_in(wujiang, site_line(), reading_line(0, "0.0210"), reading_line(1, flag="M"))
    with listening(wujiang) as http:
        home = caller(http, wujiang, WUJIANG, "records:read")
        before = get(home, "observations")
        assert [(one["value"], one["valid"], one.get("invalid_by")) for one in before] == [
            ("0.0210", True, None),
            ("0.0021", False, ["flag:M"]),
        ]
        hand_in(wujiang, line_of("mark", to="2026-11-20T13:00:00+08:00", **{"from": "2026-11-20T09:00:00+08:00"}))
        after = get(home, "observations")
        named = home.get("/v1/observations").headers["Taipu-Tables"]
    assert named == "flags@1, marks@1"
    assert [(one["value"], one["invalid_by"]) for one in after] == [
        ("0.0210", ["mark:maintenance"]),
        ("0.0021", ["flag:M", "mark:maintenance"]),
    ]
    derived = {"valid", "invalid_by"}
    assert [{k: v for k, v in one.items() if k not in derived} for one in after] == [
        {k: v for k, v in one.items() if k not in derived} for one in before
    ]


def test_readers_see_records_as_the_plan_says(wujiang: Node) -> None:
    hand_in(
        wujiang, site_line(), site_line("320509-SW-0004", programmes=[]), line_of("source"),
        line_of("case", to=[JIASHAN]), reading_line(0), reading_line(1),
    )  # fmt: skip
    hand_in(wujiang, retraction("observation", READING_KEY))
    with listening(wujiang) as http:
        home, jiashan, qingpu, stranger = (
            caller(http, wujiang, party, "records:read") for party in (WUJIANG, JIASHAN, QINGPU, "330503")
        )
        assert "contacts" in get(home, "sources")[0]
        assert "contacts" not in get(jiashan, "sources")[0]
        assert [len(get(reader, "cases")) for reader in (home, jiashan, qingpu, stranger)] == [1, 1, 0, 0]
        assert [len(get(reader, "sites")) for reader in (home, jiashan, qingpu, stranger)] == [2, 2, 2, 0]
        assert [one["at"][14:16] for one in get(home, "observations")] == ["01"]
        assert http.get("/v1/sites").status_code == 401


def test_an_old_name_leads_to_todays_site_by_date_and_pages_hold_each_once(wujiang: Node) -> None:
    renamed = {"aliases": [{"name": "平望", "until": "2019-12-31"}], "name": {"zh": "平望大桥"}}
    hand_in(wujiang, site_line(**renamed), *(site_line(f"320509-SW-1{n:03}", name={"zh": f"站{n}"}) for n in range(5)))
    with listening(wujiang) as http:
        home = caller(http, wujiang, WUJIANG, "records:read")
        assert [one["id"] for one in get(home, "sites", name="平望", on="2018-05-01")] == [SITE]
        assert get(home, "sites", name="平望", on="2020-05-01") == []
        assert [one["id"] for one in get(home, "sites", name="平望大桥")] == [SITE]
        assert home.get("/v1/sites", params={"on": "2020-01-01"}).json()["code"] == "request.malformed"
        seen, cursor = [], None
        while True:
            page = home.get("/v1/sites", params={"limit": 4, **({"cursor": cursor} if cursor else {})}).json()
            seen += [one["id"] for one in page["sites"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == sorted(set(seen))
        assert len(seen) == 6
        other = home.get("/v1/cases", params={"cursor": home.get("/v1/sites", params={"limit": 4}).json()["next"]})
        assert (other.status_code, other.json()["code"]) == (400, "cursor.invalid")


def test_a_site_that_is_not_where_it_says_is_stored_and_its_provider_told(wujiang: Node) -> None:
    swapped = {"x": "30.98", "y": "120.64", "datum": "WGS84"}
    outcome = hand_in(wujiang, site_line(position=swapped))
    (problem,) = report(wujiang, outcome)
    assert counts(outcome) == {"accepted": 1}
    assert (problem["verdict"], problem["code"]) == ("noted", "position.swapped")


def test_a_declared_datum_that_fits_only_after_undoing_gcj02_is_told(
    wujiang: Node, shared: Path, tmp_path: Path
) -> None:
    """Qingpu's outline, which is in GCJ-02 itself; a point just inside its border as somebody's map shows it."""
    outline = shared / "testdata" / "real" / "geo" / "boundary_310118_gcj02.geojson"
    border = json.loads(outline.read_text())
    x, y = easternmost(border)
    outlines = Outlines.read(outline.read_bytes(), "GCJ-02", tolerance=0)
    door = Door(WUJIANG, wujiang.gateway.interning, Sites(), wujiang.gateway.governed.at, outlines)
    told = {}
    for datum in ("GCJ-02", "WGS84"):
        line = site_line("310118-SW-0001", position={"x": f"{x - 0.001:.6f}", "y": f"{y:.6f}", "datum": datum})
        parcel = unpack_lines([line], Terms(wujiang.gateway.tables))
        told[datum] = [problem.code for problem in door.prepare(WUJIANG, parcel, now=now_millis()).problems]
    assert told == {"GCJ-02": [], "WGS84": ["position.looks-like-gcj02"]}


def easternmost(geojson: dict[str, Any]) -> tuple[float, float]:
    """The corner of an outline that lies farthest east."""
    found: list[tuple[float, float]] = []

    def collect(part: Any) -> None:
        if isinstance(part[0], (int, float)):
            found.append((part[0], part[1]))
        else:
            for inner in part:
                collect(inner)

    shapes = geojson.get("features", [geojson])
    for shape in shapes:
        collect(shape["geometry"]["coordinates"])
    return max(found)

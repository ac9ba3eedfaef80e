"""`/v1/observations`: a reader sees what the plan gives it, page by page, each row once, and that it did is logged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from audit.form import READ
from gateway.cursors import Cursors
from schemas.times import beijing_text, to_millis
from tests.conftest import BACKENDS, new_postgres
from tests.gateway.callers import Caller, caller, code_of, listening
from tests.gateway.hands import entries, hand_in
from tests.world import JIASHAN, QINGPU, WUJIANG, Node, bring_plan, make_node, plan_document, reading_line, site_line

PATH = "/v1/observations"
ANTIMONY, TURBIDITY = "w20004", "w01003"
FROM_NOON = {"party": QINGPU, "from": "2026-11-20T12:00:00+08:00"}
DATASETS = (
    {
        "id": "wj-antimony",
        "select": {"factors": [ANTIMONY]},
        "recipients": [JIASHAN, FROM_NOON],
        "hide": ["instrument"],
    },
    {"id": "wj-secret", "select": {"factors": [TURBIDITY]}, "recipients": [JIASHAN], "hide": ["instrument"]},
)
PURPOSE = "太浦河水源地预警"  # of both
HOUR = 180  # minutes that are stored: three hours of antimony and as many of turbidity


class World:
    """Wujiang's gateway with three hours of two factors, and readers of three parties and of none."""

    def __init__(self, node: Node, http: TestClient) -> None:
        self.node = node
        self.home = caller(http, node, WUJIANG, "records:read")
        self.jiashan = caller(http, node, JIASHAN, "records:read")
        self.qingpu = caller(http, node, QINGPU, "records:read")
        self.stranger = caller(http, node, "330503", "records:read")


@pytest.fixture(scope="module", params=BACKENDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    url = None if request.param == "sqlite" else new_postgres(request.getfixturevalue("postgres"))
    node = make_node(tmp_path_factory.mktemp("observations"), WUJIANG, url)
    bring_plan(plan_document(*DATASETS), node)
    readings = [
        reading_line(minute, f"0.{minute:03}", factor=factor, unit=unit, instrument="probe-7")
        for factor, unit in ((ANTIMONY, "mg/L"), (TURBIDITY, "[NTU]"))
        for minute in range(HOUR)
    ]
    taken = hand_in(node, site_line(), *readings)
    assert taken["accepted"] == 1 + 2 * HOUR
    with listening(node) as http:
        yield World(node, http)
    node.stop()


def read(reader: Caller, **query: Any) -> list[dict[str, Any]]:
    """The observations of one page."""
    answer = reader.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["observations"]
    return found


def pages(reader: Caller, **query: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page, each asked for when it is looked at, by the link of the one before."""
    link = PATH + "?" + "&".join(f"{name}={value}" for name, value in query.items())
    while link:
        answer = reader.get(link)
        assert answer.status_code == 200, answer.text
        yield answer.json()["observations"]
        link = answer.headers.get("link", "").removeprefix("<").partition(">")[0]


def keys(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["site"], row["factor"], row["at"]) for row in rows]


def test_pages_hold_every_row_exactly_once_and_in_one_order(world: World) -> None:
    found = [key for page in pages(world.home, limit=50) for key in keys(page)]
    assert len(found) == len(set(found)) == 2 * HOUR
    assert found == keys(read(world.home))
    assert [len(page) for page in pages(world.home, limit=HOUR)] == [HOUR, HOUR]


def beijing(minute: int) -> str:
    """The instant so many minutes after the first reading."""
    return beijing_text(to_millis("2026-11-20T10:00:00+08:00") + 60_000 * minute)


def test_rows_that_arrive_while_somebody_pages_double_nothing_and_lose_nothing(world: World) -> None:
    before = set(keys(read(world.home, site="320509-SW-0003")))
    found: list[tuple[str, str, str]] = []
    for number, page in enumerate(pages(world.home, limit=40)):
        found += keys(page)
        minutes = (number, 500 - number, -100_000 + number)  # before, between and after what was read
        new = [reading_line(0, at=beijing(minute), site="320509-SW-0009") for minute in minutes]
        assert hand_in(world.node, site_line("320509-SW-0009"), *new)["refused"] == 0
        if number > 30:
            break  # they come faster than they are read
    assert len(found) == len(set(found))
    assert before <= set(found)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"factor": ANTIMONY}, HOUR),
        ({"site": "320509-SW-0003", "factor": TURBIDITY}, HOUR),
        ({"site": "elsewhere"}, 0),
        ({"factor": "' OR 1=1 --"}, 0),
        ({"party": WUJIANG, "factor": ANTIMONY}, HOUR),
        ({"party": JIASHAN}, 0),
        ({"dataset": "wj-secret"}, HOUR),
        ({"factor": ANTIMONY, "from": "2026-11-20T11:00:00+08:00"}, 120),
        ({"factor": ANTIMONY, "from": "2026-11-20T03:00:00Z"}, 120),
        ({"factor": ANTIMONY, "to": "2026-11-20T11:00:00+08:00"}, 60),
        ({"factor": ANTIMONY, "from": "2026-11-20T11:00:00+08:00", "to": "2026-11-20T11:01:00+08:00"}, 1),
        ({"factor": ANTIMONY, "from": "2027-01-01T00:00:00+08:00"}, 0),
        ({"factor": ANTIMONY, "to": "1970-01-01T00:00:00Z"}, 0),
    ],
    ids=str,
)
def test_a_filter_leaves_what_it_says(world: World, query: dict[str, str], count: int) -> None:
    found = [row for row in read(world.home, **query) if row["site"] != "320509-SW-0009"]
    assert len(found) == count


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"from": "yesterday"}, 422, "record.time-invalid"),
        ({"to": "2026-11-20"}, 422, "record.time-invalid"),
        ({"site": "a\0b"}, 400, "request.malformed"),
        ({"dataset": "nothing"}, 404, "dataset.not-found"),
        ({"purpose": "x" * 201}, 400, "request.malformed"),
        ({"cursor": "!"}, 400, "cursor.invalid"),
        ({"cursor": ""}, 400, "cursor.invalid"),
        ({"cursor": "é"}, 400, "cursor.invalid"),
        ({"cursor": "A"}, 400, "cursor.invalid"),
        ({"cursor": "A" * 300}, 400, "cursor.invalid"),
    ],
    ids=str,
)
def test_a_query_that_means_nothing_is_refused(world: World, query: dict[str, str], status: int, code: str) -> None:
    assert code_of(world.home.get(PATH, params=query), status) == code


def cursor_of(reader: Caller, **query: Any) -> str:
    answer = reader.get(PATH, params={"limit": 10, **query})
    return str(answer.json()["next"])


def test_a_cursor_is_worth_nothing_once_changed(world: World) -> None:
    cursor = cursor_of(world.home)
    for position in range(0, len(cursor), 7):
        changed = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        assert code_of(world.home.get(PATH, params={"cursor": changed}), 400) == "cursor.invalid"


@pytest.mark.parametrize("other", [{"factor": ANTIMONY}, {"site": "x"}, {"from": "2026-11-20T11:00:00+08:00"}])
def test_a_cursor_of_another_query_is_refused(world: World, other: dict[str, str]) -> None:
    cursor = cursor_of(world.home)
    assert code_of(world.home.get(PATH, params={**other, "cursor": cursor}), 400) == "cursor.invalid"


def test_a_cursor_of_another_caller_is_refused(world: World) -> None:
    cursor = cursor_of(world.home)
    assert code_of(world.jiashan.get(PATH, params={"cursor": cursor}), 400) == "cursor.invalid"


def test_a_cursor_of_another_gateway_is_refused(world: World) -> None:
    bound_to = [world.home.client_id, *[""] * 6]
    theirs = Cursors(b"another secret").make(bound_to, [0, 0, 0, ""])
    assert code_of(world.home.get(PATH, params={"cursor": theirs}), 400) == "cursor.invalid"
    ours = world.node.gateway.cursors.make(bound_to, [0, 0, 0, ""])
    assert world.home.get(PATH, params={"cursor": ours}).status_code == 200


def test_lines_are_the_same_records_as_the_json_page_and_the_next_page_is_in_the_link(world: World) -> None:
    query = {"factor": ANTIMONY, "limit": 3}
    lines = world.home.get(PATH, params={**query, "format": "ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert lines.text.endswith("\n")
    assert [json.loads(line) for line in lines.text.splitlines()] == read(world.home, **query)
    assert 'rel="next"' in lines.headers["link"]
    assert lines.headers["cache-control"] == "no-store, private"


def test_a_record_is_shown_as_it_was_handed_in_with_its_provider(world: World) -> None:
    (found,) = read(world.home, factor=ANTIMONY, limit=1, site="320509-SW-0003")
    given = json.loads(reading_line(0, "0.000", instrument="probe-7"))
    assert {name: found[name] for name in given} == given
    assert (found["provider"], found["rev"]) == (WUJIANG, 1)


def test_a_page_has_a_largest_size(world: World) -> None:
    settings = world.node.gateway.settings
    assert settings.max_page == 10_000
    world.node.gateway.settings = settings.model_copy(update={"max_page": 7})
    try:
        assert len(read(world.home, limit=100_000)) == 7
        assert len(read(world.home)) == 7
    finally:
        world.node.gateway.settings = settings


def test_a_partner_sees_what_the_plan_selects_from_when_it_says_without_what_it_hides(world: World) -> None:
    of_jiashan = [row for row in read(world.jiashan) if row["site"] == "320509-SW-0003"]
    of_qingpu = [row for row in read(world.qingpu) if row["site"] == "320509-SW-0003"]
    assert {row["factor"] for row in of_jiashan} == {ANTIMONY, TURBIDITY}
    assert len(of_jiashan) == 2 * HOUR
    assert {row["factor"] for row in of_qingpu} == {ANTIMONY}
    assert [row["at"] for row in of_qingpu] == [f"2026-11-20T12:{minute:02}:00+08:00" for minute in range(60)]
    assert not any("instrument" in row for row in of_jiashan + of_qingpu)


def test_whom_the_plan_gives_nothing_sees_nothing(world: World) -> None:
    assert read(world.stranger) == []
    assert read(world.stranger, party=WUJIANG, factor=ANTIMONY) == []
    assert code_of(world.stranger.get(PATH, params={"dataset": "wj-antimony"}), 403) == "access.not-granted"


def test_no_filter_widens_what_a_partner_sees(world: World) -> None:
    assert read(world.qingpu, factor=TURBIDITY) == []
    assert read(world.qingpu, **{"from": "2026-11-20T10:00:00+08:00", "to": "2026-11-20T12:00:00+08:00"}) == []
    answers = [world.qingpu.get(PATH, params={"dataset": name}) for name in ("wj-secret", "nothing")]
    assert [code_of(answer, 403) for answer in answers] == ["access.not-granted"] * 2  # whether it exists or not
    assert len(read(world.jiashan, dataset="wj-secret")) == HOUR


def test_who_joined_later_and_was_given_no_history_sees_what_came_since(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    node = make_node(tmp_path_factory.mktemp("joined"), WUJIANG)
    dataset = {"id": "wj-antimony", "select": {"factors": [ANTIMONY]}}
    noon = b"2026-11-20T12:00:00+08:00"
    versions = {1: [JIASHAN], 2: [JIASHAN, QINGPU], 3: [JIASHAN, QINGPU]}
    for version, recipients in versions.items():
        document = plan_document({**dataset, "recipients": recipients}, version=version)
        began = {1: b"2026-01-01T00:00:00+08:00", 2: noon, 3: b"2026-11-20T12:30:00+08:00"}[version]
        bring_plan(document.replace(b"2026-01-01T00:00:00+08:00", began), node)
    hand_in(node, site_line(), *(reading_line(minute) for minute in range(HOUR)))
    with listening(node) as http:
        assert len(read(caller(http, node, JIASHAN, "records:read"))) == HOUR
        assert len(read(caller(http, node, QINGPU, "records:read"))) == 60
    node.stop()


def test_the_read_is_logged_with_purpose_filter_and_count_and_never_with_values(world: World) -> None:
    before = len(entries(world.node, READ))
    read(world.jiashan, factor=ANTIMONY, limit=5, purpose=PURPOSE)
    (entry,) = entries(world.node, READ)[before:]
    assert (entry["actor"], entry["peer"]) == (world.jiashan.client_id, JIASHAN)
    assert entry["detail"] == {"path": PATH, "filter": {"factor": ANTIMONY}, "count": 5, "purpose": PURPOSE}


def test_nothing_is_shown_when_it_cannot_be_logged(tmp_path_factory: pytest.TempPathFactory) -> None:
    node = make_node(tmp_path_factory.mktemp("unlogged"), WUJIANG)
    hand_in(node, site_line(), reading_line())
    with listening(node, faults_raise=False) as http:
        reader = caller(http, node, WUJIANG, "records:read")
        assert len(read(reader)) == 1
        with node.gateway.database.write() as session:
            session.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON log_outbox BEGIN SELECT RAISE(ABORT, 'x'); END"
            )
        with capture_logs() as log:
            assert code_of(reader.get(PATH), 500) == "gateway.fault"
        assert [line["event"] for line in log] == ["request.failed"]
    node.stop()

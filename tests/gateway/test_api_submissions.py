"""Handing in over HTTP: what is answered for what, bounded reading, and everything kept to be fetched again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from audit.receipts import open_receipt
from gateway.api.access import bounded_body
from gateway.app import create_partner_app
from gateway.ingest.submissions import MAX_KEY
from schemas.errors import LimitError
from tests.gateway.callers import Caller, caller, code_of, listening
from tests.gateway.hands import counts, rows_of
from tests.world import JIASHAN, WUJIANG, Node, make_node, reading_line

PATH = "/v1/submissions"
NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass
class World:
    """Wujiang's gateway, called by a station platform and a reader of its own party."""

    node: Node
    station: Caller
    reader: Caller


@pytest.fixture
def world(wujiang: Node) -> Iterator[World]:
    with listening(wujiang) as http:
        station = caller(http, wujiang, WUJIANG, "records:submit", kind="station")
        yield World(wujiang, station, caller(http, wujiang, WUJIANG, "records:read"))


def hand_in(who: Caller, *lines: bytes, headers: dict[str, str] | None = None, query: str = "") -> Any:
    return who.post(PATH + query, content=b"\n".join(lines), headers=NDJSON | (headers or {}))


def test_what_is_new_is_created_and_the_same_bytes_again_are_answered_as_before(world: World) -> None:
    first = hand_in(world.station, reading_line(0), reading_line(1))
    assert (first.status_code, counts(first.json())) == (201, {"accepted": 2})
    again = hand_in(world.station, reading_line(0), reading_line(1))
    assert (again.status_code, again.json()) == (200, first.json())
    key = world.node.gateway.keys.manifest
    assert open_receipt(first.json()["receipt"], {key.kid: key.public}).to_party == world.station.client_id


def test_what_is_partly_refused_is_created_and_says_what_was_refused(world: World) -> None:
    answer = hand_in(world.station, reading_line(0), b"{}", reading_line(0, site="elsewhere"))
    assert (answer.status_code, counts(answer.json())) == (201, {"accepted": 1, "refused": 1, "held": 1})


def test_when_nothing_can_be_taken_it_is_a_problem_with_counts_and_receipt(world: World) -> None:
    answer = hand_in(world.station, b"{}", b"[]")
    assert code_of(answer, 422) == "submission.refused"
    assert answer.json()["refused"] == 2
    assert world.station.get(answer.json()["report"]).status_code == 200


def test_what_was_handed_in_can_be_fetched_again_unchanged(world: World) -> None:
    lines = reading_line(0), b" {} \r", reading_line(1, site="elsewhere")
    outcome = hand_in(world.station, *lines, headers={"Content-Type": "application/x-ndjson; charset=utf-8"}).json()
    path = f"{PATH}/{outcome['id']}"
    assert world.station.get(path).json() == outcome
    content = world.station.get(path + "/content")
    assert (content.content, content.headers["content-type"]) == (b"\n".join(lines), "application/x-ndjson")
    report = world.station.get(outcome["report"])
    assert report.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["place"] for line in report.content.splitlines()] == ["line 2", "line 3"]


def test_the_entry_that_the_receipt_promises_is_proved_once_it_is_signed(world: World) -> None:
    path = f"{PATH}/{hand_in(world.station, reading_line(0)).json()['id']}/proof"
    assert code_of(world.station.get(path), 404) == "receipt.not-integrated"
    world.node.gateway.sequencer.step()
    proof = world.station.get(path).json()
    assert json.loads(proof["entry"])["actor"] == world.station.client_id


@pytest.mark.parametrize("part", ["", "/report", "/content", "/proof"])
def test_a_submission_is_for_who_handed_it_in_and_for_readers_of_its_party(world: World, part: str) -> None:
    submission = hand_in(world.station, reading_line(0)).json()["id"]
    world.node.gateway.sequencer.step()
    path = f"{PATH}/{submission}{part}"
    assert world.reader.get(path).status_code == 200
    others = [
        caller(world.station.http, world.node, WUJIANG, "records:submit", kind="station"),
        caller(world.station.http, world.node, JIASHAN, "records:read", "feeds:read"),
    ]
    for other in others:
        assert code_of(other.get(path), 404) == "resource.not-found"
    for unknown in ("x", "%00", submission.upper(), submission + "x", "..%2f"):
        assert world.reader.get(f"{PATH}/{unknown}{part}").status_code in (400, 404)


def test_records_enter_at_the_gateway_of_their_own_party(world: World) -> None:
    foreign = caller(world.station.http, world.node, JIASHAN, "records:submit", kind="station")
    assert code_of(hand_in(foreign, reading_line(0)), 403) == "access.not-home"


def test_a_dry_run_answers_and_keeps_nothing(world: World) -> None:
    before = rows_of(world.node)
    answer = hand_in(world.station, reading_line(0), b"{}", query="?dry_run=true")
    assert (answer.status_code, counts(answer.json())) == (200, {"accepted": 1, "refused": 1})
    assert rows_of(world.node) == before


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"Content-Type": "application/pdf"}, b"x", 415, "submission.media-type"),
        ({"Content-Type": ""}, b"x", 415, "submission.media-type"),
        ({"Content-Type": "application/json"}, b"{", 422, "submission.not-json"),
        ({"Content-Type": "application/json"}, b"[]", 422, "submission.empty"),
        ({}, b"", 422, "submission.empty"),
        ({"Content-Encoding": "gzip"}, b"x", 400, "request.encoding"),
        ({"Idempotency-Key": "k" * (MAX_KEY + 1)}, reading_line(0), 400, "request.malformed"),
    ],
)
def test_what_cannot_be_read_at_all_is_refused_and_leaves_nothing(
    world: World, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    before = rows_of(world.node)
    assert code_of(hand_in(world.station, content, headers=headers), status) == code
    assert rows_of(world.node) == before


def test_too_many_records_are_refused_and_the_refusal_is_in_the_log(world: World) -> None:
    before = rows_of(world.node)
    assert code_of(hand_in(world.station, *[b"{}"] * 200_001), 413) == "submission.too-many"
    assert rows_of(world.node) == before | {"log": before["log"] + 1}


def test_a_key_is_honoured_and_refuses_other_content(world: World) -> None:
    key = {"Idempotency-Key": "2026-11-20/1"}
    first = hand_in(world.station, reading_line(0), b"{}", headers=key)
    again = hand_in(world.station, reading_line(0), b"{}", headers=key)
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
    assert code_of(hand_in(world.station, reading_line(1), headers=key), 409) == "submission.key-reused"
    other = caller(world.station.http, world.node, WUJIANG, "records:submit", kind="station")
    assert hand_in(other, reading_line(1), headers=key).status_code == 201


@pytest.fixture
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A gateway that takes bodies of 64 KiB."""
    monkeypatch.setenv("TAIPU_MAX_BODY_BYTES", str(BOUND))
    node = make_node(tmp_path, WUJIANG)
    yield node
    node.stop()


BOUND = 64 * 1024


def test_a_body_may_be_as_large_as_the_bound_and_no_larger_whatever_it_says_of_itself(narrow: Node) -> None:
    with listening(narrow) as http:
        station = caller(http, narrow, WUJIANG, "records:submit", kind="station")
        assert code_of(hand_in(station, b" " * BOUND), 422) == "submission.empty"
        assert code_of(hand_in(station, b" " * (BOUND + 1)), 413) == "request.too-large"
        assert code_of(hand_in(station, b"x", headers={"Content-Length": "9" * 30}), 413) == "request.too-large"


def test_a_body_without_an_end_is_read_no_further_than_the_bound(narrow: Node) -> None:
    pieces = 0

    async def receive() -> dict[str, Any]:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b" " * 16_384, "more_body": True}

    request = Request({"type": "http", "headers": [], "app": create_partner_app(narrow.gateway)}, receive)
    with pytest.raises(LimitError) as caught:
        asyncio.run(bounded_body(request))
    assert (caught.value.code, pieces) == ("request.too-large", 5)

"""Records handed in at home: each line judged by itself, the bytes kept, one answer for the same bytes for ever."""

from __future__ import annotations

import json
import threading
from hashlib import sha256
from typing import Any

import pytest
import zstandard
from sqlalchemy import insert

from audit.form import RELEASE, SUBMISSION
from audit.receipts import open_receipt
from gateway.errors import ConflictError
from gateway.ingest.parcel import JSON, MAX_LINES, NDJSON
from gateway.ingest.release import held_counts, release_arrived
from gateway.ingest.submissions import find_submission
from gateway.store import tables
from gateway.store.acts import begin_act
from schemas import jws
from schemas.errors import LimitError, RecordError
from schemas.times import now_millis
from tests.gateway.hands import (
    counts,
    entries,
    hand_in,
    is_logged,
    publish,
    records_in,
    report,
    rows_of,
    stored,
    submitted,
)
from tests.world import Node, reading_line, site_line


def values(node: Node) -> list[str | None]:
    return [value for _, _, value in stored(node)]


def waiting(node: Node) -> list[tuple[str, str, int]]:
    """What is held: for what sort of thing, which one, and how many lines."""
    with node.gateway.database.read() as session:
        return [(waits_for, name, count) for _, waits_for, name, count, _ in held_counts(session)]


def release(node: Node) -> int:
    return release_arrived(node.gateway, now=now_millis())


def test_one_bad_line_costs_that_line_and_is_told_with_place_code_and_pointer(wujiang: Node) -> None:
    lines = [reading_line(minute, f"0.{minute:02}") for minute in range(50)]
    lines[17] = reading_line(17, "0,17")
    outcome = hand_in(wujiang, *lines)
    assert counts(outcome) == {"accepted": 49, "refused": 1}
    assert values(wujiang) == [f"0.{minute:02}" for minute in range(50) if minute != 17]
    (problem,) = report(wujiang, outcome)
    assert problem.items() >= {
        "place": "line 18", "verdict": "refused", "code": "record.value-malformed", "pointers": ["/value"],
        "text": lines[17].decode()[:200],
    }.items()  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "pointers"),
    [
        (b"{", "record.not-json", []),
        (b"\xff\xfe", "record.not-json", []),
        (reading_line(colour="red"), "record.member-unknown", ["/colour"]),
        (reading_line(at="2026-11-20T10:00:00"), "record.time-invalid", ["/at"]),
        (reading_line(sample="\0"), "record.malformed", ["/sample"]),
        (reading_line(unit="mg/L" + " " * 70 + "\0"), "record.malformed", ["/unit"]),
        (reading_line(rev=2**40), "record.rev-invalid", ["/rev"]),
        (reading_line(reason="x" * 70_000), "record.too-large", []),
        (site_line(id="\0"), "record.identifier-invalid", ["/id"]),
    ],
)
def test_whatever_a_line_holds_it_is_refused_and_the_others_are_taken(
    wujiang: Node, line: bytes, code: str, pointers: list[str]
) -> None:
    outcome = hand_in(wujiang, reading_line(0), line, reading_line(1))
    assert counts(outcome) == {"accepted": 2, "refused": 1}
    (problem,) = report(wujiang, outcome)
    assert (problem["place"], problem["code"], problem["pointers"]) == ("line 2", code, pointers)


def test_empty_lines_are_passed_over_but_counted(wujiang: Node) -> None:
    outcome = hand_in(wujiang, b"", reading_line(0), b" \r", b"{}", b"")
    assert counts(outcome) == {"accepted": 1, "refused": 1}
    assert report(wujiang, outcome)[0]["place"] == "line 4"


def test_a_json_array_is_read_element_by_element(wujiang: Node) -> None:
    pretty = json.dumps([json.loads(reading_line(0)), {"kind": "weather"}, json.loads(reading_line(1))], indent=2)
    outcome = hand_in(wujiang, pretty.encode(), media=JSON)
    assert counts(outcome) == {"accepted": 2, "refused": 1}
    assert report(wujiang, outcome)[0].items() >= {"place": "element 2", "code": "record.kind-unknown"}.items()


@pytest.mark.parametrize("body", [b"{}", b"[", b"7", b"[1,]", b'"x"', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_array_is_refused_whole(wujiang: Node, body: bytes) -> None:
    before = rows_of(wujiang)
    with pytest.raises(RecordError) as caught:
        submitted(wujiang, body, media=JSON)
    assert caught.value.code == "submission.not-json"
    assert rows_of(wujiang) == before


@pytest.mark.parametrize(("media", "body"), [(NDJSON, b""), (NDJSON, b"\n \r\n"), (JSON, b"[]")])
def test_a_body_without_records_is_refused_whole(wujiang: Node, media: str, body: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        submitted(wujiang, body, media=media)
    assert caught.value.code == "submission.empty"


def test_a_submission_has_a_largest_number_of_records(wujiang: Node) -> None:
    with pytest.raises(LimitError) as caught:
        submitted(wujiang, b"{}\n" * (MAX_LINES + 1))
    assert caught.value.code == "submission.too-many"


def test_another_media_type_is_refused(wujiang: Node) -> None:
    with pytest.raises(RecordError) as caught:
        submitted(wujiang, reading_line(), media="application/pdf")
    assert caught.value.code == "submission.media-type"


@pytest.mark.parametrize(
    ("line", "waits_for", "name"),
    [
        (reading_line(site="320509-SW-0099"), "site", "320509-SW-0099"),
        (reading_line(factor="w99999"), "factor", "w99999"),
        (reading_line(unit="furlong"), "unit", "furlong"),
        (reading_line(unit="mg/L" + " " * 36 + "x"), "unit", "mg/L" + " " * 36 + "x"),
    ],
)
def test_what_cannot_be_understood_yet_is_held_and_listed_with_what_is_missing(
    wujiang: Node, line: bytes, waits_for: str, name: str
) -> None:
    outcome = hand_in(wujiang, line, reading_line(1))
    assert counts(outcome) == {"accepted": 1, "held": 1}
    (problem,) = report(wujiang, outcome)
    assert (problem["place"], problem["verdict"], problem["code"]) == ("line 1", "held", f"record.{waits_for}-unknown")
    assert waiting(wujiang) == [(waits_for, name, 1)]
    assert release(wujiang) == 0
    assert waiting(wujiang) == [(waits_for, name, 1)]


def test_a_reading_held_for_its_site_is_stored_when_the_site_comes_and_flows_to_the_feed(wujiang: Node) -> None:
    hand_in(wujiang, *(reading_line(minute, site="320509-SW-0099") for minute in range(3)))
    publish(wujiang)
    assert stored(wujiang) == []
    hand_in(wujiang, site_line("320509-SW-0099"))
    assert release(wujiang) == 3
    assert len(stored(wujiang)) == 3
    assert waiting(wujiang) == []
    shared = records_in(publish(wujiang))
    assert [record["site"] for record in shared if record["kind"] == "observation"] == ["320509-SW-0099"] * 3
    (entry,) = entries(wujiang, RELEASE)
    assert entry["detail"].items() >= {"waited_for": "site", "name": "320509-SW-0099", "accepted": 3}.items()


@pytest.mark.parametrize(("waits_for", "name"), [("factor", "w20004"), ("unit", "mg/L")])
def test_what_was_held_for_a_factor_or_unit_comes_in_when_a_newer_table_knows_it(
    wujiang: Node, waits_for: str, name: str
) -> None:
    hold(wujiang, reading_line(), waits_for, name)
    assert release(wujiang) == 1
    assert (values(wujiang), waiting(wujiang)) == (["0.0021"], [])


def test_what_still_waits_for_the_same_thing_after_its_release_does_not_go_round_in_circles(wujiang: Node) -> None:
    hold(wujiang, reading_line(unit="furlong"), "unit", "mg/L")
    hold(wujiang, reading_line(unit="furlong"), "unit", "furlong")
    assert release(wujiang) == 1
    assert waiting(wujiang) == [("unit", "furlong", 2)]


def hold(node: Node, content: bytes, waits_for: str, name: str) -> None:
    """Content as an earlier version of the tables left it waiting."""
    with node.gateway.database.write() as session:
        act = begin_act(session, "submission", node.party, "earlier", at=1, submitted=True)
        values = {"act_id": act.id, "provider": node.party, "place": "line 1", "media_type": NDJSON, "since": 1}
        session.execute(insert(tables.held).values(**values, content=content, waits_for=waits_for, name=name))


def test_the_same_key_with_another_value_needs_a_reason_and_keeps_the_old_one(wujiang: Node) -> None:
    hand_in(wujiang, reading_line(0, "0.10"))
    refused = hand_in(wujiang, reading_line(0, "0.11"))
    assert counts(refused) == {"refused": 1}
    assert report(wujiang, refused)[0]["code"] == "record.reason-required"
    revised = hand_in(wujiang, reading_line(0, "0.11", reason="calibration"))
    assert counts(revised) == {"revised": 1}
    assert [(rev, value) for _, rev, value in stored(wujiang)] == [(2, "0.11")]
    assert rows_of(wujiang)["observation_history"] == 1


def test_a_dry_run_tells_the_same_and_keeps_nothing(wujiang: Node) -> None:
    before = rows_of(wujiang)
    lines = (site_line("320509-SW-0050"), reading_line(0, site="320509-SW-0050"), reading_line(site="elsewhere"), b"{}")
    outcome = hand_in(wujiang, *lines, dry_run=True)
    assert counts(outcome) == {"accepted": 2, "held": 1, "refused": 1}
    assert [problem["place"] for problem in outcome["problems"]] == ["line 4", "line 3"]
    assert outcome["dry_run"] is True
    assert "receipt" not in outcome
    assert rows_of(wujiang) == before
    # A site that only a dry run brought is still unknown, also to this process's memory.
    assert counts(hand_in(wujiang, reading_line(0, site="320509-SW-0050"))) == {"held": 1}


def test_content_and_report_are_kept_unchanged(wujiang: Node) -> None:
    content = reading_line() + b"\r\n\r\n {} \n"
    outcome = submitted(wujiang, content).outcome
    with wujiang.gateway.database.read() as session:
        row = find_submission(session, outcome["id"])
    unpack = zstandard.ZstdDecompressor().decompress
    assert unpack(row.content) == content
    assert json.loads(row.outcome) == outcome
    receipt = open_receipt(outcome["receipt"], keys_of(wujiang))
    assert receipt.report == jws.b64encode(sha256(unpack(row.report)).digest())


def test_the_receipt_says_what_was_taken_and_its_promised_entry_is_in_the_log(wujiang: Node) -> None:
    outcome = hand_in(wujiang, reading_line(0), reading_line(1, site="elsewhere"), b"{}")
    receipt = open_receipt(outcome["receipt"], keys_of(wujiang))
    assert (receipt.from_party, receipt.to_party) == (wujiang.party, wujiang.station().client_id)
    assert (receipt.applied, receipt.duplicates, receipt.held) == (1, 0, 1)
    assert (receipt.manifest, receipt.dataset, receipt.seq) == (outcome["sha256"], "", 0)
    assert is_logged(wujiang, jws.b64decode(receipt.entry))
    assert entries(wujiang, SUBMISSION)[-1]["detail"]["id"] == outcome["id"]


def keys_of(node: Node) -> dict[str, Any]:
    key = node.gateway.keys.manifest
    return {key.kid: key.public}


def together(*calls: Any) -> list[Any]:
    """What each call returns or raises, all begun at the same instant."""
    answers: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(number: int) -> None:
        start.wait()
        try:
            answers[number] = calls[number]()
        except ConflictError as error:
            answers[number] = error.code

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_the_same_bytes_thrice_at_once_give_one_set_of_values_and_one_receipt(wujiang: Node) -> None:
    content = b"\n".join(reading_line(minute) for minute in range(20))
    before = rows_of(wujiang)
    answers = together(*[lambda: submitted(wujiang, content)] * 3)
    assert [answer.fresh for answer in answers].count(True) == 1
    assert len({answer.outcome["receipt"] for answer in answers}) == 1
    after = rows_of(wujiang)
    assert (after["observation"], after["submission"] - before["submission"]) == (20, 1)
    assert after["log"] - before["log"] == 1


def test_a_key_that_came_with_other_content_is_refused(wujiang: Node) -> None:
    first = hand_in(wujiang, reading_line(0), idempotency_key="a")
    assert hand_in(wujiang, reading_line(0), idempotency_key="a") == first
    with pytest.raises(ConflictError) as caught:
        hand_in(wujiang, reading_line(1), idempotency_key="a")
    assert caught.value.code == "submission.key-reused"
    assert len(stored(wujiang)) == 1


def test_one_key_for_two_contents_at_once_takes_one_of_them(wujiang: Node) -> None:
    calls = [lambda n=n: submitted(wujiang, reading_line(n), idempotency_key="k") for n in range(4)]
    answers = together(*calls)
    assert answers.count("submission.key-reused") == 3
    assert len(stored(wujiang)) == 1


def test_what_was_partly_refused_is_judged_anew_and_the_rest_is_a_duplicate(wujiang: Node) -> None:
    lines = reading_line(0), reading_line(1, site="elsewhere") + b"x"
    hand_in(wujiang, *lines)
    assert counts(hand_in(wujiang, *lines)) == {"duplicates": 1, "refused": 1}


def test_two_lines_with_one_key_in_one_submission_are_judged_in_their_order(wujiang: Node) -> None:
    outcome = hand_in(wujiang, reading_line(0, "1"), reading_line(0, "1"), reading_line(0, "2", reason="typo"))
    assert counts(outcome) == {"accepted": 1, "duplicates": 1, "revised": 1}
    assert [(rev, value) for _, rev, value in stored(wujiang)] == [(2, "2")]

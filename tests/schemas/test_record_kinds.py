"""Every kind but observation: what it must say, what it may not say, and its key."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from schemas.errors import SharingError
from schemas.records import (
    KEYS,
    Case,
    Inspection,
    Site,
    check_record,
    decode_line,
    decode_open_line,
    encode_record,
    key_of,
    kind_of,
)
from schemas.records.reader import MAX_STATEMENT
from tests.world import reading_line, site_line

UNIT_ID = "91130200699229617X001P"
NOON = "2026-11-20T12:00:00+08:00"

FIGURE = {"provider": "320509", "dataset": "a", "recipient": "330421", "count": 3, "root": "A" * 43}

GOOD: dict[str, dict[str, Any]] = {
    "source": {
        "kind": "source", "id": UNIT_ID, "name": {"zh": "盛泽某印染厂"}, "district": "320509", "industry": "C1713",
        "categories": ["dyeing"], "border_distance": "1800", "outlets": ["DW001", "DA001"],
        "contacts": [{"name": "王", "telephone": "0512"}],
    },
    "mark": {
        "kind": "mark", "site": "320509-SW-0003", "type": "maintenance", "from": NOON, "author": "李工",
        "entered": "2026-11-21T09:00:00+08:00",
    },
    "inspection": {
        "kind": "inspection", "id": "2026-07", "parties": ["320509", "330421"], "from": NOON, "source": UNIT_ID,
        "inspectors": [{"party": "320509", "role": "lead"}], "findings": "在线设备正常\n排口无异常",
        "evidence": [{"digest": "sha256:" + "A" * 43, "name": "a.jpg", "media_type": "image/jpeg", "size": 7}],
    },
    "case": {
        "kind": "case", "case": "320509-2026-0001", "step": 1, "type": "warning", "from": "320509",
        "to": ["330421", "310118"], "state": "opened", "at": NOON, "text": "锑 0.0061 mg/L",
        "about": [{"kind": "site", "key": {"id": "320509-SW-0003"}}],
    },
    "agreement": {
        "kind": "agreement", "plan": "tri-district", "version": 2, "party": "320509", "act": "withdrawal",
        "digest": "A" * 43, "at": NOON, "effective": "2027-03-01T00:00:00+08:00", "text": "监测站点移交",
        "feeds": [FIGURE],
        "disposed": [{"provider": "320509", "dataset": "a", "count": 3, "at": NOON}],
    },
    "retraction": {
        "kind": "retraction", "of": "mark", "reason": "entered for another site",
        "key": {"site": "320509-SW-0003", "type": "maintenance", "from": NOON, "author": "李工"},
    },
}  # fmt: skip


def line_of(kind: str, **members: Any) -> bytes:
    """The good line of a kind with some members changed; None takes a member out."""
    changed = {name: value for name, value in {**GOOD[kind], **members}.items() if value is not None}
    return json.dumps(changed, ensure_ascii=False).encode()


def refusal(line: bytes) -> SharingError:
    with pytest.raises(SharingError) as caught:
        check_record(decode_line(line))
    return caught.value


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_record_of_each_kind_passes_and_survives_its_line(kind: str) -> None:
    record = decode_line(line_of(kind))
    check_record(record)
    assert kind_of(record) == kind
    assert decode_line(encode_record(record)) == record


@pytest.mark.parametrize(
    ("kind", "members", "code", "pointer"),
    [
        ("source", {"id": "91130200699229617A001P"}, "record.credit-code-invalid", "/id"),
        ("source", {"id": "a"}, "record.unit-id-invalid", "/id"),
        ("source", {"credit_code": "911302006992296170"}, "record.credit-code-invalid", "/credit_code"),
        ("source", {"outlets": ["DW1"]}, "record.outlet-code-invalid", "/outlets"),
        ("source", {"outlets": ["DW001", "DW001"]}, "record.malformed", "/outlets"),
        ("source", {"industry": "dyeing"}, "record.malformed", "/industry"),
        ("source", {"border_distance": "near"}, "record.value-malformed", "/border_distance"),
        ("source", {"closed": "2025-02-30"}, "record.date-invalid", "/closed"),
        ("source", {"closed": "2025-02-01"}, "record.malformed", "/state"),
        ("source", {"name": {"zh": " "}}, "record.malformed", "/name/zh"),
        ("mark", {"type": "lunch"}, "record.malformed", "/type"),
        ("mark", {"from": "today"}, "record.time-invalid", "/from"),
        ("mark", {"to": "2026-11-20T11:59:59+08:00"}, "record.time-invalid", "/to"),
        ("mark", {"author": ""}, "record.malformed", "/author"),
        ("mark", {"entered": None}, "record.malformed", "/"),
        ("mark", {"factors": ["w 1"]}, "record.identifier-invalid", "/factors"),
        ("inspection", {"parties": []}, "record.malformed", "/parties"),
        ("inspection", {"source": None}, "record.malformed", "/site"),
        ("inspection", {"findings": "\0"}, "record.malformed", "/findings"),
        ("inspection", {"evidence": [{"digest": "md5:x", "name": "a", "media_type": "b", "size": 1}]},
         "record.digest-invalid", "/evidence/0/digest"),
        ("inspection", {"recognised": [{"party": "330421", "by": "", "at": NOON}]}, "record.malformed",
         "/recognised/0/by"),
        ("inspection", {"recognised": [{"party": "330421", "by": "张", "at": NOON, "verdict": "refused"}]},
         "record.malformed", "/recognised/0/text"),
        ("inspection", {"signed": [{"party": "330421", "by": "张", "at": "noon"}]}, "record.time-invalid",
         "/signed/0/at"),
        ("case", {"type": "quarrel"}, "record.malformed", "/type"),
        ("case", {"step": 0}, "record.malformed", "/step"),
        ("case", {"to": []}, "record.malformed", "/to"),
        ("case", {"due": "soon"}, "record.time-invalid", "/due"),
        ("case", {"about": [{"kind": "site", "key": {"name": "x"}}]}, "record.key-invalid", "/about/0/key"),
        ("case", {"about": [{"kind": "weather", "key": {}}]}, "record.key-invalid", "/about/0/key"),
        ("case", {"case": "a b"}, "record.identifier-invalid", "/case"),
        ("agreement", {"version": 0}, "record.malformed", "/version"),
        ("agreement", {"act": "praise"}, "record.malformed", "/act"),
        ("agreement", {"digest": "B"}, "record.digest-invalid", "/digest"),
        ("agreement", {"text": " "}, "record.malformed", "/text"),
        ("agreement", {"effective": None}, "record.malformed", "/effective"),
        ("agreement", {"act": "proposal"}, "record.malformed", "/document"),
        ("agreement", {"act": "proposal", "document": "\0"}, "record.malformed", "/document"),
        ("agreement", {"act": "signature"}, "record.malformed", "/signatures"),
        ("agreement", {"act": "completion", "signatures": ["a b"]}, "record.malformed", "/signatures/0"),
        ("agreement", {"act": "completion", "signatures": ["a"] * 65}, "record.malformed", "/signatures"),
        ("agreement", {"feeds": [{**FIGURE, "count": -1}]}, "record.malformed", "/feeds/0/count"),
        ("agreement", {"feeds": [{**FIGURE, "root": "x"}]}, "record.digest-invalid", "/feeds/0/root"),
        ("retraction", {"of": "agreement", "key": {}}, "record.malformed", "/of"),
        ("retraction", {"reason": " "}, "record.reason-required", "/reason"),
        ("retraction", {"of": "retraction"}, "record.malformed", "/of"),
        ("retraction", {"key": {"id": "a"}}, "record.key-invalid", "/key"),
        ("retraction", {"of": "case", "key": {"case": "a", "step": "1"}}, "record.key-invalid", "/key/step"),
        ("retraction", {"of": "site", "key": {"id": 7}}, "record.key-invalid", "/key/id"),
        ("retraction", {"key": {**GOOD["retraction"]["key"], "from": "x"}}, "record.time-invalid", "/key/from"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named_with_its_place(
    kind: str, members: dict[str, Any], code: str, pointer: str
) -> None:
    error = refusal(line_of(kind, **members))
    assert (error.code, error.pointers) == (code, (pointer,))


@pytest.mark.parametrize(
    ("members", "code", "pointer"),
    [
        ({"opened": "2026"}, "record.date-invalid", "/opened"),
        ({"outlet": "DW001"}, "record.malformed", "/outlet"),
        ({"discharge": "direct"}, "record.malformed", "/type"),
        ({"source": UNIT_ID, "outlet": "DW001"}, "record.malformed", "/type"),
        ({"type": "outlet", "source": UNIT_ID, "outlet": "X"}, "record.outlet-code-invalid", "/outlet"),
        ({"position": {"x": "1e400", "y": "0", "datum": "WGS84"}}, "record.value-malformed", "/position/x"),
        ({"aliases": [{"name": ""}]}, "record.malformed", "/aliases/0/name"),
        ({"aliases": [{"name": "a", "since": "2020-01-02", "until": "2020-01-01"}]}, "record.date-invalid",
         "/aliases/0/until"),
    ],
)  # fmt: skip
def test_a_sites_new_members_are_checked(members: dict[str, Any], code: str, pointer: str) -> None:
    error = refusal(site_line(**members))
    assert (error.code, error.pointers) == (code, (pointer,))


def test_an_outlet_is_a_site_of_its_source() -> None:
    site = decode_line(site_line(type="outlet", source=UNIT_ID, outlet="DW001", discharge="indirect"))
    check_record(site)
    assert isinstance(site, Site)
    assert (site.source, site.outlet, site.discharge) == (UNIT_ID, "DW001", "indirect")


def test_an_old_section_name_is_the_sites_on_the_days_it_was_used() -> None:
    site = decode_line(
        site_line(name={"zh": "平望大桥"}, aliases=[{"name": "平望", "since": "2010-01-01", "until": "2019-12-31"}])
    )
    assert isinstance(site, Site)
    assert site.called("平望", date(2019, 12, 31))
    assert not site.called("平望", date(2020, 1, 1))
    assert not site.called("平望", date(2009, 12, 31))
    assert site.called("平望大桥", date(2026, 1, 1))


def test_two_spellings_of_an_instant_are_one_key() -> None:
    here, there = (decode_line(line_of("mark", **{"from": text})) for text in (NOON, "2026-11-20T04:00:00Z"))
    assert key_of(here) == key_of(there) == f"320509-SW-0003 maintenance {NOON} 李工"


def test_a_retraction_has_the_key_of_what_it_withdraws() -> None:
    assert key_of(decode_line(line_of("retraction"))) == key_of(decode_line(line_of("mark")))


@pytest.mark.parametrize("kind", KEYS)
def test_every_kinds_key_is_made_of_its_members(kind: str) -> None:
    line = {"site": site_line(), "observation": reading_line()}.get(kind) or line_of(kind)
    members = json.loads(encode_record(decode_line(line)))
    assert all(name in members for name in KEYS[kind])


def test_an_inspection_is_complete_when_all_parties_have_signed() -> None:
    signed = [{"party": party, "by": "张", "at": NOON} for party in ("320509", "330421")]
    half, whole = (decode_line(line_of("inspection", signed=signed[:count])) for count in (1, 2))
    assert isinstance(half, Inspection)
    assert isinstance(whole, Inspection)
    assert not half.complete
    assert whole.complete


def test_a_record_that_a_gateway_could_not_hand_on_is_too_large() -> None:
    references = [{"kind": "site", "key": {"id": "a" * 128}}] * (MAX_STATEMENT // 128)
    assert refusal(line_of("case", about=references)).code == "record.too-large"


def test_members_of_a_later_version_are_set_aside_wherever_they_stand() -> None:
    later = {"colour": {"a": [1.50, None]}, "about": [{"kind": "site", "key": {"id": "a"}, "weight": 1}]}
    record, more = decode_open_line(line_of("case", **later))
    assert isinstance(record, Case)
    assert record.about[0].key == {"id": "a"}
    assert {name: json.loads(text) for name, text in more.items()} == {"colour": {"a": [1.5, None]}}


def test_what_is_wrong_with_a_known_member_is_wrong_in_a_later_version_too() -> None:
    with pytest.raises(SharingError) as caught:
        decode_open_line(line_of("case", colour="red", step="one"))
    assert (caught.value.code, caught.value.pointers) == ("record.malformed", ("/step",))

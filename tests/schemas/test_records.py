"""Reading one line strictly: what is wrong is named, by code and by place; what is right comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import LimitError, RecordError, SharingError, UnresolvedError
from schemas.records import Observation, Site, check_record, decode_line, encode_record
from schemas.records.reader import MAX_LINE, MAX_STATEMENT
from tests.world import reading_line, site_line


def refusal(line: bytes) -> SharingError:
    """The error that the line ends with."""
    with pytest.raises(SharingError) as caught:
        check_record(decode_line(line))
    return caught.value


def test_a_reading_is_read_member_by_member_with_the_defaults_filled_in() -> None:
    record = decode_line(reading_line(5, "0.10"))
    check_record(record)
    assert record == Observation(
        site="320509-SW-0003", factor="w20004", at="2026-11-20T10:05:00+08:00", value="0.10", unit="mg/L",
        stat="avg", period="PT1M", flag="N", profile="hj212-2017",
    )  # fmt: skip
    assert (record.origin, record.sample, record.review, record.rev, record.q) == ("auto", "", "raw", 0, None)


def test_a_site_is_read_with_its_names_in_both_languages() -> None:
    record = decode_line(
        site_line(name={"zh": "平望", "en": "Pingwang"}, position={"x": "120.6", "y": "31.0", "datum": "WGS84"})
    )
    check_record(record)
    assert isinstance(record, Site)
    assert (record.name.zh, record.name.en) == ("平望", "Pingwang")
    assert record.position is not None
    assert record.position.datum == "WGS84"


def test_a_line_states_its_whole_key_and_its_unit_and_leaves_other_defaults_out() -> None:
    bare = b'{"kind":"observation","site":"a","factor":"w20004","at":"2026-11-20T10:00:00+08:00","value":null}'
    members = json.loads(encode_record(decode_line(bare)))
    key = {"site": "a", "factor": "w20004", "origin": "auto", "stat": "inst", "period": "PT0S", "sample": ""}
    assert members == {"kind": "observation", **key, "at": "2026-11-20T10:00:00+08:00", "value": None, "unit": None}


def test_everything_that_is_not_a_default_comes_back() -> None:
    line = encode_record(decode_line(reading_line(sample="left", q="<", resent=True, origin="auto")))
    assert json.loads(line).keys() >= {"kind", "sample", "q", "resent"}
    assert decode_line(line) == decode_line(reading_line(sample="left", q="<", resent=True))


@pytest.mark.parametrize(
    ("line", "code", "pointer"),
    [
        (reading_line(bogus=1), "record.member-unknown", "/bogus"),
        (reading_line(**{"a/b~c": 1}), "record.member-unknown", "/a~1b~0c"),
        (site_line(name={"zh": "平望", "de": "x"}), "record.member-unknown", "/name/de"),
        (site_line(aliases=[{"name": "a"}, {"name": "b", "by": ""}]), "record.member-unknown", "/aliases/1/by"),
        (reading_line(value=0.1), "record.malformed", "/value"),
        (reading_line(site=7), "record.malformed", "/site"),
        (reading_line(rev="1"), "record.malformed", "/rev"),
        (reading_line(rev=True), "record.malformed", "/rev"),
        (reading_line(q="="), "record.malformed", "/q"),
        (reading_line(origin="guess"), "record.malformed", "/origin"),
        (reading_line(review="level9"), "record.malformed", "/review"),
        (site_line(type="well"), "record.malformed", "/type"),
        (site_line(position={"x": 120.6, "y": "31.0", "datum": "WGS84"}), "record.malformed", "/position/x"),
        (site_line(programmes="water-auto"), "record.malformed", "/programmes"),
        (b'{"kind":"observation","site":"a"}', "record.malformed", "/"),
        (b"{}", "record.kind-unknown", "/kind"),
        (b'{"kind":"weather"}', "record.kind-unknown", "/kind"),
        (b'{"kind":7}', "record.kind-unknown", "/kind"),
        (b"[]", "record.malformed", "/"),
        (b"null", "record.malformed", "/"),
        (b"[" * 60_000, "record.malformed", "/"),
        (reading_line(**{"x\n`y`": 1}), "record.member-unknown", "/x\n`y`"),
        (reading_line(**{"x" * 9_000: 1}), "record.member-unknown", "/" + "x" * 128),
        (b"7", "record.malformed", "/"),
    ],
)  # fmt: skip
def test_what_breaks_the_form_is_named_with_its_place(line: bytes, code: str, pointer: str) -> None:
    error = refusal(line)
    assert (error.code, error.pointers) == (code, (pointer,))


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b'{"kind":"site"', b"kind", b"\xff", reading_line() + b"x", reading_line() + reading_line(),
        reading_line().replace(b'"', b"'"), b'{"kind":"site",}', b'{"kind":' * 5_000,
        reading_line(reason="x").replace(b'"x"', b'"\\ud800"'), b"\xef\xbb\xbf" + reading_line(),
        reading_line(reason="x").replace(b'"x"', b'"\xff"'),
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused_as_such(line: bytes) -> None:
    assert refusal(line).code == "record.not-json"


@pytest.mark.parametrize(
    ("members", "code", "pointer"),
    [
        ({"value": ""}, "record.value-malformed", "/value"),
        ({"value": "0,1"}, "record.value-malformed", "/value"),
        ({"value": "1e-3"}, "record.value-malformed", "/value"),
        ({"value": "<0.1"}, "record.value-malformed", "/value"),
        ({"value": "NaN"}, "record.value-malformed", "/value"),
        ({"value": ".5"}, "record.value-malformed", "/value"),
        ({"value": "01"}, "record.value-malformed", "/value"),
        ({"value": "+1"}, "record.value-malformed", "/value"),
        ({"value": "1 "}, "record.value-malformed", "/value"),
        ({"value": "１"}, "record.value-malformed", "/value"),
        ({"value": "1" * 19}, "record.value-malformed", "/value"),
        ({"value": None, "q": "<"}, "record.value-malformed", "/q"),
        ({"detection": "small"}, "record.value-malformed", "/detection"),
        ({"determination": "1" * 5_000}, "record.value-malformed", "/determination"),
        ({"rev": -1}, "record.rev-invalid", "/rev"),
        ({"rev": 2**31}, "record.rev-invalid", "/rev"),
        ({"rev": 2**70}, "record.rev-invalid", "/rev"),
        ({"at": "2026-11-20T10:00:00"}, "record.time-invalid", "/at"),
        ({"at": "9999-12-31T23:59:59-08:00"}, "record.time-invalid", "/at"),
        ({"sent": "yesterday"}, "record.time-invalid", "/sent"),
        ({"received": "2026-02-30T00:00:00Z"}, "record.time-invalid", "/received"),
        ({"period": "PT60M"}, "record.period-invalid", "/period"),
        ({"period": ""}, "record.period-invalid", "/period"),
        ({"site": ""}, "record.identifier-invalid", "/site"),
        ({"site": "平望"}, "record.identifier-invalid", "/site"),
        ({"site": "a" * 129}, "record.identifier-invalid", "/site"),
        ({"factor": "w20004\n"}, "record.identifier-invalid", "/factor"),
        ({"unit": None}, "record.unit-missing", "/unit"),
        ({"unit": "℃"}, "record.unit-spelling", "/unit"),
        ({"sample": "\0"}, "record.malformed", "/sample"),
        ({"confirms": "a\nb"}, "record.malformed", "/confirms"),
        ({"reason": "x" * 129}, "record.malformed", "/reason"),
        ({"profile": "\x7f"}, "record.malformed", "/profile"),
        ({"flag": "N" * 129}, "record.malformed", "/flag"),
        ({"unit": "mg/L" + " " * 61}, "record.malformed", "/unit"),
        ({"unit": "mg/L\0"}, "record.malformed", "/unit"),
        ({"unit": "mg/l"}, "record.unit-spelling", "/unit"),
    ],
)
def test_what_makes_no_sense_in_a_reading_is_named_with_its_place(
    members: dict[str, Any], code: str, pointer: str
) -> None:
    error = refusal(reading_line(**members))
    assert (error.code, error.pointers) == (code, (pointer,))
    assert not isinstance(error, UnresolvedError)


@pytest.mark.parametrize(
    ("members", "code", "pointer"),
    [
        ({"id": "平望"}, "record.identifier-invalid", "/id"),
        ({"programmes": ["water auto"]}, "record.identifier-invalid", "/programmes"),
        ({"name": {"zh": ""}}, "record.malformed", "/name/zh"),
        ({"rev": -1}, "record.rev-invalid", "/rev"),
    ],
)
def test_what_makes_no_sense_in_a_site_is_named_with_its_place(
    members: dict[str, Any], code: str, pointer: str
) -> None:
    error = refusal(site_line(**members))
    assert (error.code, error.pointers) == (code, (pointer,))


@pytest.mark.parametrize(
    ("members", "waits_for", "name"),
    [
        ({"factor": "w99999"}, "factor", "w99999"),
        ({"unit": "furlong"}, "unit", "furlong"),
        ({"factor": "x" * 100}, "factor", "x" * 40),
    ],
)
def test_a_factor_or_unit_not_known_yet_is_held_not_refused(members: dict[str, Any], waits_for: str, name: str) -> None:
    error = refusal(reading_line(**members))
    assert isinstance(error, UnresolvedError)
    assert (error.waits_for, error.name, error.code) == (waits_for, name, f"record.{waits_for}-unknown")


def test_a_line_and_a_site_have_a_largest_size() -> None:
    for line, size in (
        (reading_line(reason="x" * MAX_LINE), MAX_LINE),
        (site_line(upstream=[f"{number:0100}" for number in range(MAX_STATEMENT // 100)]), MAX_STATEMENT),
    ):
        with pytest.raises(LimitError, match=f"{size} bytes") as caught:
            check_record(decode_line(line))
        assert caught.value.code == "record.too-large"


@pytest.mark.parametrize("value", ["0", "0.10", "-0.5", "100.000", "0." + "0" * 17 + "1", "9" * 18, None])
def test_a_decimal_comes_back_as_it_was_written(value: str | None) -> None:
    record = decode_line(reading_line(value=value))
    check_record(record)
    again = json.loads(encode_record(record))
    assert again["value"] == value


_texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


@given(members=st.fixed_dictionaries({}, optional={
    "value": st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-10**6, max_value=10**6).map(
        lambda value: f"{value:f}"),
    "q": st.sampled_from(["<", ">"]), "sample": _texts, "flag": _texts, "method": _texts, "reason": _texts,
    "confirms": _texts, "rev": st.integers(0, 2**31 - 1), "resent": st.booleans(),
    "review": st.sampled_from(["raw", "level1", "level2", "final"]),
}))  # fmt: skip
def test_every_good_record_survives_its_line(members: dict[str, Any]) -> None:
    record = decode_line(reading_line(**members))
    check_record(record)
    assert decode_line(encode_record(record)) == record


_names = st.sampled_from(["kind", "site", "id", "name", "value", "at", "zzz"])
_leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["site", "observation"])
)
_json = st.recursive(_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner), max_leaves=8)


@given(st.binary(max_size=60) | _json.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_our_error(line: bytes) -> None:
    try:
        check_record(decode_line(line))
    except SharingError as error:
        assert isinstance(error, RecordError | LimitError)  # noqa: PT017 - nearly all bytes are refused, not all


NUL = "a\0b"
REFERENCE = {"kind": "site", "key": {"id": "a"}, "provider": NUL}
FILE = {"digest": "sha256:" + "A" * 43, "name": NUL, "media_type": "text/plain", "size": 1}


@pytest.mark.parametrize(
    ("kind", "members", "pointer"),
    [
        ("site", {"name": {"zh": "平望", "en": NUL}}, "/name/en"),
        ("site", {"aliases": [{"name": "旧名"}, {"name": NUL}]}, "/aliases/1/name"),
        ("site", {"district": ""}, "/district"),
        ("site", {"border": ["吴江"]}, "/border"),
        ("site", {"water": NUL}, "/water"),
        ("site", {"target": NUL}, "/target"),
        ("site", {"owner": "x" * 129}, "/owner"),
        ("source", {"district": "吴江"}, "/district"),
        ("source", {"contacts": [{"name": "李", "telephone": NUL}]}, "/contacts/0/telephone"),
        ("source", {"contacts": [{"name": "李", "role": NUL}]}, "/contacts/0/role"),
        ("inspection", {"basis": ["x", NUL]}, "/basis/1"),
        ("inspection", {"inspectors": [{"party": "", "role": "x"}]}, "/inspectors/0/party"),
        ("inspection", {"inspectors": [{"party": "a", "role": NUL}]}, "/inspectors/0/role"),
        ("inspection", {"inspectors": [{"party": "a", "role": "x", "name": NUL}]}, "/inspectors/0/name"),
        ("inspection", {"evidence": [FILE]}, "/evidence/0/name"),
        ("inspection", {"evidence": [FILE | {"name": "a", "media_type": NUL}]}, "/evidence/0/media_type"),
        (
            "inspection",
            {"signed": [{"party": "a", "by": "x", "at": "2026-11-20T10:00:00Z", "text": NUL}]},
            "/signed/0/text",
        ),
        ("case", {"about": [REFERENCE]}, "/about/0/provider"),
    ],
)
def test_no_text_anywhere_holds_what_a_database_or_a_screen_cannot(
    kind: str, members: dict[str, Any], pointer: str
) -> None:
    whole: dict[str, dict[str, Any]] = {
        "site": {"id": "a", "type": "section", "name": {"zh": "平望"}, "district": "320509"},
        "source": {"id": "91130200699229617X001P", "name": {"zh": "厂"}, "district": "320509"},
        "inspection": {"id": "a", "parties": ["a"], "from": "2026-11-20T10:00:00Z", "site": "s"},
        "case": {
            "case": "a", "step": 1, "type": "warning", "from": "a", "to": ["b"], "state": "opened",
            "at": "2026-11-20T10:00:00Z",
        },
    }  # fmt: skip
    check_record(decode_line(json.dumps({"kind": kind, **whole[kind]}).encode()))
    assert refusal(json.dumps({"kind": kind, **whole[kind], **members}).encode()).pointers == (pointer,)

"""Log entries: RFC 8785 form, made once, read strictly."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit import form
from audit.entry import make_entry
from audit.errors import EntryError
from audit.form import parse_entry
from audit.tiles import MAX_ENTRY
from tests.audit.vectors import VECTORS, needs_vectors

AT = "2026-11-23T02:00:00.000Z"
HASH = "A" * 43
FULL: dict[str, Any] = {
    "at": AT, "party": "320509", "actor": "gw-310118", "peer": "310118", "dataset": "water-hourly", "seq": 42,
    "manifest": HASH, "verdict": "accepted", "receipt": HASH, "basis": "plan water@3", "detail": {"count": 3},
}  # fmt: skip


def code_of(data: bytes) -> str:
    with pytest.raises(EntryError) as caught:
        parse_entry(data)
    return caught.value.code


@needs_vectors
@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_the_writer_we_use_passes_the_vectors_of_rfc_8785(name: str) -> None:
    value = json.loads((VECTORS / f"rfc8785/input/{name}.json").read_bytes())
    written = rfc8785.dumps(value)
    assert written == (VECTORS / f"rfc8785/output/{name}.json").read_bytes()
    assert written == bytes.fromhex((VECTORS / f"rfc8785/outhex/{name}.txt").read_text())


def test_an_entry_says_what_was_given_and_leaves_out_what_was_not() -> None:
    entry = parse_entry(make_entry(form.BATCH_RECEIVED, **FULL))
    assert len(entry.pop("salt")) == 22
    assert entry == {"t": "taipu/batch-received/1", **FULL}
    assert set(parse_entry(make_entry(form.READ, at=AT, party="320509"))) == {"t", "salt", "at", "party"}


def test_an_entry_is_written_in_the_one_form_of_rfc_8785() -> None:
    detail = {"b": [1, None], "a": "太浦河"}
    entry = make_entry(form.READ, at=AT, party="320509", basis='管理办法 "第三条"\n\x01', detail=detail)
    assert entry == rfc8785.dumps(json.loads(entry))


def test_two_entries_that_say_the_same_differ_by_their_salt() -> None:
    assert make_entry(form.READ, **FULL) != make_entry(form.READ, **FULL)


@pytest.mark.parametrize("value", [v for k, v in vars(form).items() if k.isupper() and str(v).startswith("taipu/")])
def test_every_type_we_name_makes_an_entry(value: str) -> None:
    assert parse_entry(make_entry(value, at=AT, party="320509"))["t"] == value


def _nested(depth: int) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


BAD_MEMBERS: dict[str, dict[str, Any]] = {
    "no type of ours": {"t": "other/read/1"},
    "time without milliseconds": {"at": "2026-11-23T02:00:00Z"},
    "time with an offset": {"at": "2026-11-23T10:00:00.000+08:00"},
    "no such day": {"at": "2026-02-30T02:00:00.000Z"},
    "a party that is no district": {"party": "Wujiang"},
    "number 0": {"seq": 0},
    "number as text": {"seq": "42"},
    "number beyond 2**53": {"seq": 2**53},
    "a hash that is too short": {"manifest": "A" * 42},
    "a hash with stray bits": {"receipt": "A" * 42 + "B"},
    "a fraction": {"detail": {"value": 0.1}},
    "not a number": {"detail": {"value": float("nan")}},
    "an integer beyond 2**53": {"detail": {"value": 2**53}},
    "bytes": {"detail": {"value": b"x"}},
    "half a letter": {"basis": "\ud800"},
    "half a letter as a name": {"detail": {"\ud800": 1}},
    "a name that is no text": {"detail": {1: 2}},
    "too deep": {"detail": {"value": _nested(5_000)}},
}


@pytest.mark.parametrize("members", BAD_MEMBERS.values(), ids=BAD_MEMBERS.keys())
def test_what_makes_no_entry_is_refused_when_it_is_made(members: dict[str, Any]) -> None:
    with pytest.raises(EntryError):
        make_entry(**{"t": form.READ, **FULL, **members})


def test_an_entry_has_at_most_65_535_bytes() -> None:
    empty = len(make_entry(form.READ, at=AT, party="320509", basis=""))
    assert len(make_entry(form.READ, at=AT, party="320509", basis="x" * (MAX_ENTRY - empty))) == MAX_ENTRY
    with pytest.raises(EntryError) as caught:
        make_entry(form.READ, at=AT, party="320509", basis="x" * (MAX_ENTRY - empty + 1))
    assert caught.value.code == "entry.too-large"


GOOD = make_entry(form.BATCH_RECEIVED, **FULL)
MALFORMED = {
    "empty": b"",
    "no object": b"[]",
    "not UTF-8": GOOD.replace(b"water", b"w\xffter"),
    "a space": GOOD.replace(b",", b", ", 1),
    "a newline behind": GOOD + b"\n",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "a member twice": GOOD.replace(b'"seq":42', b'"seq":42,"seq":42'),
    "a member twice in detail": GOOD.replace(b'{"count":3}', b'{"count":3,"count":4}'),
    "a member hidden in what looks like detail": GOOD.replace(
        b'{"count":3}', b'{"count":3},"manifest":"' + b"B" * 42 + b'A","x":{}'
    ),
    "an unknown member": GOOD.replace(b'"t":', b'"sum":1,"t":'),
    "another order": GOOD.replace(b'"peer":"310118",', b"")[:-1] + b',"peer":"310118"}',
    "another order in detail": GOOD.replace(b'{"count":3}', b'{"b":1,"a":2}'),
    "an escape that is not needed": GOOD.replace(b"accepted", b"\\u0061ccepted"),
    "an integer written as a fraction": GOOD.replace(b'"seq":42', b'"seq":42.0'),
    "an exponent in detail": GOOD.replace(b'{"count":3}', b'{"count":3e1}'),
    "no number in detail": GOOD.replace(b'{"count":3}', b'{"count":NaN}'),
    "an integer beyond 2**53 in detail": GOOD.replace(b'{"count":3}', b'{"count":9007199254740992}'),
    "an integer of a thousand digits in detail": GOOD.replace(b'{"count":3}', b'{"count":' + b"9" * 1000 + b"}"),
    "no salt": GOOD.replace(GOOD[GOOD.index(b'"salt"') : GOOD.index(b'"seq"')], b""),
    "brackets without end": GOOD.replace(b'{"count":3}', b'{"a":' + b"[" * 30_000 + b"}"),
}  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_an_entry_in_its_one_form_is_refused(data: bytes) -> None:
    assert data != GOOD
    assert code_of(data) == "entry.malformed"


def test_an_entry_that_is_too_large_is_refused_unread() -> None:
    assert code_of(b"x" * (MAX_ENTRY + 1)) == "entry.too-large"


@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 40))
def test_hostile_bytes_end_in_our_error(data: bytes, at: int, cut: int) -> None:
    for hostile in (data, GOOD[:at] + data + GOOD[at + cut :]):
        with suppress(EntryError):
            assert rfc8785.dumps(parse_entry(hostile)) == hostile


_json = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | st.text(st.characters(max_codepoint=0xD7FF)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(max_codepoint=0xD7FF), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(max_codepoint=0xD7FF), max_size=5), _json, max_size=5))
def test_any_detail_of_plain_values_survives(detail: dict[str, Any]) -> None:
    assert parse_entry(make_entry(form.READ, at=AT, party="320509", detail=detail))["detail"] == detail

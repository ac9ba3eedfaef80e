"""Profiles: strict documents whose faults are told all at once, and the ones that ship."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SharingError
from schemas.sheets import ProfileError, parse_profile, parse_sites, shipped_names, shipped_profile
from schemas.sheets.profile import shipped_document
from schemas.sheets.profile_document import header_parts
from schemas.tables import shipped, shipped_tables

WIDE = """\
profile: own
version: 3
site: {column: 断面, read: name, table: {急水港桥: QP-1}}
time: {column: 时间, forms: ["YYYY-MM-DD hh:mm"], hours: instant}
missing: {"--": "null"}
members: {profile: manual}
factors:
  锑(μg/L): {factor: w20004, unit: ug/L}
"""


def faults_of(document: str) -> list[tuple[str, str]]:
    with pytest.raises(ProfileError) as caught:
        parse_profile(document.encode())
    assert caught.value.code == "profile.malformed"
    return [(one["pointer"], one["text"]) for one in caught.value.extra["faults"]]  # type: ignore[attr-defined]


def test_a_profile_is_read_and_names_itself() -> None:
    profile = parse_profile(WIDE.encode())
    assert profile.reference == "own@3"
    assert profile.factors["锑(μg/L)"].unit == "ug/L"
    assert list(profile.columns()[0]) == ["断面", "时间", "锑(μg/L)"]


def test_json_says_the_same_as_yaml() -> None:
    assert parse_profile(json.dumps(yaml.load(WIDE, yaml.BaseLoader)).encode()) == parse_profile(WIDE.encode())


@pytest.mark.parametrize(
    ("old", "new", "pointer", "words"),
    [
        ("profile: own", "profile: Own Name", "/profile", "lower-case"),
        ("version: 3", "version: three", "/version", "number"),
        ("version: 3", "version: 3\ncolour: red", "/colour", "not a member"),
        ("site: {column: 断面, ", "site: {", "/site", "`column` or `columns`"),
        ("hours: instant", "hours: middle", "/time/hours", "start, end, instant"),
        ("hours: instant", 'hours: "?"', "/time/hours", "decided by a person"),
        ("read: name", 'read: "?"', "/site/read", "decided by a person"),
        ("YYYY-MM-DD hh:mm", "YYYY hh:mm", "/time/forms/0", "YYYY, MM, DD"),
        ("hours: instant}", "hours: instant, year: soon}", "/time/year", "latest"),
        ('"--": "null"', '"--": zero', "/missing/--", "null, omit"),
        ("members: {profile: manual}", "members: {stat: mean}", "/members/stat", "one of"),
        ("members: {profile: manual}", "members: {period: PT60M}", "/members/period", "PT1H"),
        ("members: {profile: manual}", "members: {value: '1'}", "/members/value", "not a member"),
        ("unit: ug/L}", "unit: mg/L}", "/factors/锑(μg~1L)/unit", "the header says μg/L"),
        ("unit: ug/L}", "unit: furlong}", "/factors/锑(μg~1L)/unit", "not a known unit"),
        (", unit: ug/L}", "}", "/factors/锑(μg~1L)", "lacks `unit`"),
        ("factor: w20004", 'factor: "?"', "/factors/锑(μg~1L)/factor", "decided by a person"),
        ("factor: w20004", "factor: w99999", "/factors/锑(μg~1L)", "not a known factor"),
        ("factor: w20004", "factor: w20141", "/factors/锑(μg~1L)", "antimony is w20004"),
        ("factor: w20004", "factor: w21025", "/factors/锑(μg~1L)", "antimony is w20004"),
        ("锑(μg/L): {factor: w20004", "氨氮(μg/L): {factor: w21001", "/factors/氨氮(μg~1L)", "w21003"),
    ],
)
def test_a_fault_is_told_where_it_is(old: str, new: str, pointer: str, words: str) -> None:
    assert old in WIDE
    found = faults_of(WIDE.replace(old, new, 1))
    assert [(where, True) for where, said in found if words in said] == [(pointer, True)], found


def test_the_tables_in_force_say_which_factors_and_units_there_are() -> None:
    row = {**next(one for one in shipped("factors").rows if one["code"] == "w20004"), "code": "w99999"}
    tables = shipped_tables().replaced(replace(shipped("factors"), version=2, rows=(*shipped("factors").rows, row)))
    document = WIDE.replace("锑(μg/L): {factor: w20004", "怪物: {factor: w99999").encode()
    assert parse_profile(document, tables).factors["怪物"].factor == "w99999"
    with pytest.raises(ProfileError):
        parse_profile(document)


def test_all_faults_are_told_at_once() -> None:
    broken = WIDE.replace("version: 3", "version: x").replace("hours: instant", "hours: x").replace("w20004", "w20141")
    assert {where for where, _ in faults_of(broken)} == {"/version", "/time/hours", "/factors/锑(μg~1L)"}


def test_what_belongs_to_observations_is_refused_in_a_profile_of_sites() -> None:
    assert ("/time", "belongs to profiles of observations") in faults_of(WIDE + "kind: site\n")


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_profile_is_valid_and_says_every_unit(name: str) -> None:
    profile = shipped_profile(name)
    assert profile.name == name
    assert {"zh", "en"} == set(profile.title)
    assert profile.time is not None
    assert all(column.unit for column in profile.factors.values())
    assert profile.factors or profile.items


def test_hourly_air_is_labelled_by_its_end_and_national_water_by_the_instant() -> None:
    labels = {name: shipped_profile(name).time.hours for name in shipped_names()}  # type: ignore[union-attr]
    assert labels == {
        "air-hourly": "end", "air-hourly-zj": "end", "air-hourly-zj-short": "end", "enterprise": "instant",
        "water-national": "instant",
    }  # fmt: skip


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ProfileError) as caught:
        shipped_document("../tables")
    assert caught.value.code == "profile.unknown"


def test_a_table_of_sites_is_text_by_text() -> None:
    assert parse_sites('{"急水港桥": "QP-1"}'.encode()) == {"急水港桥": "QP-1"}
    for document in (b"[]", b"a: [1]", b"a: {b: c}", b"\xff"):
        with pytest.raises(ProfileError):
            parse_sites(document)


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("溶解氧(mg/L)", ("溶解氧", "mg/L")),
        ("溶解氧（mg/L）", ("溶解氧", "mg/L")),
        ("锑 [μg/L]", ("锑", "μg/L")),
        ("氨氮", ("氨氮", "")),
        ("(a)", ("", "a")),
        ("总氮(以N计)(mg/L)", ("总氮(以N计)", "mg/L")),
    ],
)
def test_a_header_is_a_name_and_a_unit(header: str, parts: tuple[str, str]) -> None:
    assert header_parts(header) == parts


@given(st.binary(max_size=200) | st.text(alphabet="{}[]:,-?&*!|>'\"\n abprofile1", max_size=80).map(str.encode))
def test_no_document_ends_in_anything_but_a_profile_or_our_error(data: bytes) -> None:
    with pytest.raises(SharingError):
        parse_profile(data)


_MEMBERS = (
    "profile", "version", "site", "time", "column", "columns", "factors", "items", "members", "unit", "table", "kind",
    "layout", "missing", "ignore", "hours", "forms", "values", "title", "optional",
)  # fmt: skip


def _deeper(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_MEMBERS), inner, max_size=6)


@given(st.dictionaries(st.sampled_from(_MEMBERS), st.recursive(st.text(max_size=4), _deeper, max_leaves=20)))
def test_no_shape_of_document_ends_in_anything_but_our_error(document: dict[str, object]) -> None:
    with pytest.raises(SharingError):
        parse_profile(json.dumps({"profile": "x", "version": "1", **document}).encode())

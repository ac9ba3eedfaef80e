from __future__ import annotations

import hashlib

import pytest

from schemas.errors import PlanError
from schemas.plan.document import MAX_BYTES, MAX_DEPTH, canonical, digest, read_document


def test_plain_yaml_scalars_mean_one_thing_and_times_stay_text() -> None:
    document = read_document(
        b"a: 2027-01-01T00:00:00+08:00\nb: 2029-12-31T24:00:00+08:00\nc: 2026-01-01\nd: 24:00:00\n"
        b"e: yes\nf: 011\ng: 0x1F\nh: 1_000\ni: 7\nj: -7\nk: true\nl: ~\nm:\nn: '7'\no: +7\n<<: merge\n"
    )
    assert document == {
        "a": "2027-01-01T00:00:00+08:00",
        "b": "2029-12-31T24:00:00+08:00",
        "c": "2026-01-01",
        "d": "24:00:00",
        "e": "yes",
        "f": "011",
        "g": "0x1F",
        "h": "1_000",
        "i": 7,
        "j": -7,
        "k": True,
        "l": None,
        "m": None,
        "n": "7",
        "o": "+7",
        "<<": "merge",
    }


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": [1, "x", null, true]}',
        b' \n{"a":[1,"\\u0078",null,true]}',
        b"a: [1, x, ~, true]",
        b"\xef\xbb\xbf# with a mark\na:\n- 1\n- 'x'\n-\n- true\n",
        b'---\na: [1, "x", null, true]\n...\n',
        b"%YAML 1.2\n---\na: [1, x, null, true]",
    ],
)
def test_yaml_and_json_say_the_same_document(data: bytes) -> None:
    assert read_document(data) == {"a": [1, "x", None, True]}


REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "a comment": b"# nothing",
    "text": b"x",
    "a list": b"- x",
    "not UTF-8": b"a: \xff",
    "UTF-16": "a: b".encode("utf-16"),
    "two documents": b"a: 1\n---\na: 2",
    "a member twice in YAML": b"a: 1\na: 2",
    "a member twice in JSON": b'{"a": 1, "a": 2}',
    "a member twice, deep": b'{"a": {"b": 1, "b": 1}}',
    "an anchor": b"a: &x 1",
    "an alias": b"a: &x 1\nb: *x",
    "a merge key": b"a: &x {b: 1}\nc: {<<: *x}",
    "a tag": b"a: !!str 1",
    "a class": b"!!python/object/apply:os.system [ls]",
    "a member that is a list": b"? [a]\n: b",
    "a member that is a number": b"1: b",
    "a fraction in YAML": b"a: 0.005",
    "a power in YAML": b"a: 5e-3",
    "infinity in YAML": b"a: -.INF",
    "a fraction in JSON": b'{"a": 0.005}',
    "not a number in JSON": b'{"a": NaN}',
    "an integer no double holds": b"a: 9007199254740992",
    "an integer no double holds, in JSON": b'{"a": -9007199254740992}',
    "an integer of many digits": b"a: " + b"9" * 5000,
    "an integer of many digits in JSON": b'{"a": ' + b"9" * 5000 + b"}",
    "an escape beyond Unicode": b'a: "\\UFFFFFFFF"',
    "half a character": b'{"a": "\\ud800"}',
    "half a character as a name": b'{"\\ud800": "a"}',
    "a control character": b'{"a": "\\u0007"}',
    "a zero": b"a: 'x\x00'",
    "deep YAML": b"a: " + b"[" * 50_000,
    "deep JSON": b'{"a": ' + b"[" * 50_000,
    "deep, closed JSON": b'{"a": ' + b"[" * 50 + b"]" * 50 + b"}",
    "a bomb of aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]",
    "a wrong version": b"%YAML 9.0\n---\na: b",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_readers_could_read_differently_is_refused(name: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_document(REFUSED[name])
    assert caught.value.code == "plan.malformed"
    assert len(caught.value.detail) < 400


def test_a_document_may_nest_as_deep_as_the_limit_and_no_deeper_in_both_languages() -> None:
    inner = MAX_DEPTH - 1
    for opening in (b'{"a": ', b"a: "):
        closing = b"}" if opening.startswith(b"{") else b""
        read_document(opening + b"[" * inner + b"]" * inner + closing)
        with pytest.raises(PlanError):
            read_document(opening + b"[" * (inner + 2) + b"]" * (inner + 2) + closing)


def test_a_document_beyond_the_size_limit_is_not_even_read() -> None:
    with pytest.raises(PlanError) as caught:
        read_document(b"#" * (MAX_BYTES + 1))
    assert caught.value.code == "plan.too-large"


def test_a_fault_in_yaml_names_its_line() -> None:
    with pytest.raises(PlanError) as caught:
        read_document(b"a: 1\nb: 2\na: 3\n")
    assert caught.value.pointers == ("line 3",)


def test_canonical_bytes_are_rfc_8785_and_the_digest_is_base64url_sha_256_without_padding() -> None:
    document = read_document('{"b": "€\\n", "a": 1, "\\u05d0": [], "é": {}}'.encode())
    assert canonical(document) == '{"a":1,"b":"€\\n","é":{},"א":[]}'.encode()
    known = digest(b"")
    assert known == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    assert len(hashlib.sha256(b"").digest()) * 4 // 3 + 1 == len(known)

"""The batch file: only the bytes that were signed open, whatever was done to them on the way."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from schemas import jws
from schemas.batch import (
    MANIFEST_TYPE,
    MAX_BYTES,
    MAX_FILE,
    MAX_RECORDS,
    MAX_SEQ,
    Batch,
    Manifest,
    manifest_hash,
    open_batch,
    read_manifest,
    split_batch,
    write_batch,
)
from schemas.errors import BatchError

KEY = jws.SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = jws.SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(32)))
KEYS = {KEY.kid: KEY.public}
PLACE: dict[str, Any] = {
    "provider": "320509", "dataset": "wj-antimony", "plan": "tri@1", "plan_digest": "d" * 43, "seq": 2,
    "prev": "p" * 43, "first": "2026-11-23T10:00:00+08:00", "last": "2026-11-23T10:01:00+08:00",
    "created": "2026-11-23T02:02:00.000Z",
}  # fmt: skip
LINES = [b'{"kind":"observation","n":1}', '{"kind":"observation","n":"太"}'.encode()]


def written(*lines: bytes, **place: Any) -> Batch:
    return write_batch(KEY, lines, **(PLACE | place))


def code_of(file: bytes, keys: Any = KEYS) -> str:
    with pytest.raises(BatchError) as caught:
        open_batch(file, keys)
    return caught.value.code


def signed(body: bytes, key: jws.SigningKey = KEY, typ: str = MANIFEST_TYPE, **changes: Any) -> bytes:
    """A file whose manifest says what is given, really signed, whether it is true or not."""
    payload = {**written(*body.split(b"\n")[:-1]).manifest.payload(), **changes}
    token = jws.sign(key, typ, {name: value for name, value in payload.items() if value != "(absent)"})
    return b'{"manifest":"' + token.encode() + b'"}\n' + body


GOOD = written(*LINES)
BODY = GOOD.body


def test_what_was_written_opens_as_what_it_was() -> None:
    opened = open_batch(GOOD.file, KEYS)
    assert opened == GOOD
    assert opened.lines == LINES
    assert opened.manifest == Manifest(**PLACE, schema="1.0", count=2, bytes=len(BODY), sha256=GOOD.manifest.sha256)


def test_its_identity_is_the_hash_of_the_manifest_alone() -> None:
    assert GOOD.hash == manifest_hash(GOOD.token)
    assert GOOD.hash != written(*LINES, seq=3).hash


def test_a_batch_without_records_is_a_batch() -> None:
    assert open_batch(written().file, KEYS).lines == []


def test_no_flipped_byte_goes_unnoticed_and_none_raises_anything_else() -> None:
    file = GOOD.file
    for place in range(len(file)):
        for flip in (0x01, 0x20, 0x80):
            damaged = file[:place] + bytes([file[place] ^ flip]) + file[place + 1 :]
            assert code_of(damaged).startswith("batch."), (place, flip)


def test_no_byte_taken_out_or_put_in_goes_unnoticed() -> None:
    file = GOOD.file
    for place in range(len(file)):
        assert code_of(file[:place] + file[place + 1 :]).startswith("batch."), place
        assert code_of(file[:place] + b"\n" + file[place:]).startswith("batch."), place
    for end in range(len(file)):
        assert code_of(file[:end]).startswith("batch."), end
    assert code_of(file + b"\n") == "batch.digest-mismatch"


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (signed(BODY, count=3), "batch.count-mismatch"),
        (signed(BODY, count=1), "batch.count-mismatch"),
        (signed(BODY, sha256="A" * 43), "batch.digest-mismatch"),
        (signed(BODY, bytes=len(BODY) + 1), "batch.digest-mismatch"),
        (signed(BODY, key=OTHER), "batch.key-unknown"),
        (signed(BODY, typ="taipu-receipt+jws"), "batch.signature-invalid"),
        (signed(BODY, v=2), "batch.malformed"),
        (signed(BODY, v=True), "batch.malformed"),
        (signed(BODY, seq=0), "batch.malformed"),
        (signed(BODY, seq=MAX_SEQ + 1), "batch.malformed"),
        (signed(BODY, seq="2"), "batch.malformed"),
        (signed(BODY, count=MAX_RECORDS + 1), "batch.malformed"),
        (signed(BODY, bytes=MAX_BYTES + 1), "batch.malformed"),
        (signed(BODY, bytes=-1), "batch.malformed"),
        (signed(BODY, prev=None), "batch.malformed"),
        (signed(BODY, dataset="(absent)"), "batch.malformed"),
        (signed(BODY, created="now"), "batch.malformed"),
        (signed(BODY, created=""), "batch.malformed"),
    ],
)
def test_a_manifest_that_says_what_is_not_so_is_refused_though_its_signature_holds(file: bytes, code: str) -> None:
    assert code_of(file) == code


def test_record_lines_without_their_last_newline_are_refused_though_that_is_what_was_signed() -> None:
    short = BODY[:-1]
    digest = jws.b64encode(sha256(short).digest())
    assert code_of(signed(BODY, bytes=len(short), sha256=digest, count=1)[:-1]) == "batch.count-mismatch"


def test_members_that_a_later_minor_version_adds_are_left_alone() -> None:
    assert open_batch(signed(BODY, schema="1.7", colour="blue"), KEYS).manifest.schema == "1.7"


@pytest.mark.parametrize(
    "first",
    [
        b'{"manifest": "%s"}', b' {"manifest":"%s"}', b'{"manifest":"%s"} ', b'{"manifest":"%s","more":1}',
        b'{"manifest":"","manifest":"%s"}', b'{"Manifest":"%s"}', b'["%s"]', b'"%s"', b'{"manifest":["%s"]}', b"%s",
        b'{"manifest":"%s"}\r', b"\xef\xbb\xbf" + b'{"manifest":"%s"}', b"",
    ],
)  # fmt: skip
def test_the_first_line_has_one_form_and_no_other(first: bytes) -> None:
    line = first.replace(b"%s", GOOD.token.encode())
    assert code_of(line + b"\n" + BODY) == "batch.malformed"


def test_an_escaped_manifest_is_not_in_its_one_form() -> None:
    token = "\\u0065" + GOOD.token[1:]
    assert code_of(b'{"manifest":"' + token.encode() + b'"}\n' + BODY) == "batch.malformed"


def test_a_file_beyond_the_bound_is_not_even_parsed() -> None:
    assert code_of(b"x" * (MAX_FILE + 1)) == "batch.too-large"


def test_a_batch_beyond_its_bounds_or_with_a_broken_line_is_never_written() -> None:
    for lines in ([b"{}"] * (MAX_RECORDS + 1), [b"x" * MAX_BYTES], [b"{\n}"]):
        with pytest.raises(RuntimeError):
            written(*lines)


def test_a_manifest_can_be_read_without_believing_it() -> None:
    assert read_manifest(GOOD.token) == GOOD.manifest
    assert split_batch(GOOD.file) == (GOOD.token, BODY)
    with pytest.raises(BatchError) as caught:
        read_manifest("a.b.c")
    assert caught.value.code == "batch.malformed"


_records = st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(), max_size=4), max_size=6)


@given(_records)
def test_whatever_lines_are_signed_come_back_byte_for_byte(records: list[dict[str, Any]]) -> None:
    lines = [json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") for record in records]
    assert open_batch(written(*lines).file, KEYS).lines == lines


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_our_error(data: bytes) -> None:
    assert code_of(data).startswith("batch.")
    assert code_of(b'{"manifest":"' + data + b'"}\n').startswith("batch.")

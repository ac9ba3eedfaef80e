"""Checkpoints: C2SP tlog-checkpoint, real heads of real logs, and what is refused."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import checkpoint, note
from audit.merkle import empty_root, leaf_hash
from audit.note import NoteSigner
from schemas.errors import SignatureError
from tests.audit.vectors import VECTORS, load, needs_vectors

SIGNER = NoteSigner("320509.example/log/2027", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ROOT = leaf_hash(b"one")
BASE64_ROOT = base64.b64encode(ROOT).decode()


def test_what_is_signed_is_three_lines_and_opens_again() -> None:
    signed = checkpoint.sign_checkpoint(SIGNER, 1, ROOT)
    opened = checkpoint.open_checkpoint(signed, [SIGNER.verifier])
    assert (opened.origin, opened.size, opened.root) == (SIGNER.name, 1, ROOT)
    assert opened.text == f"{SIGNER.name}\n1\n{BASE64_ROOT}\n"
    assert signed.startswith(opened.text.encode() + b"\n")


def test_an_empty_log_has_a_checkpoint() -> None:
    opened = checkpoint.open_checkpoint(checkpoint.sign_checkpoint(SIGNER, 0, empty_root()), [SIGNER.verifier])
    assert (opened.size, opened.root) == (0, empty_root())


@needs_vectors
@pytest.mark.parametrize("size", range(16))
def test_the_checkpoints_of_a_real_log_verify_and_state_their_size(size: int) -> None:
    verifier = note.parse_vkey(load("tessera-log", "about.json")["log_vkey"])
    data = (VECTORS / f"tessera-log/checkpoint.{size}").read_bytes()
    assert checkpoint.open_checkpoint(data, [verifier]).size == size


@needs_vectors
def test_the_head_of_the_go_checksum_database_verifies_although_its_key_has_another_name() -> None:
    case = load("torchwood-witness", "sumdb-checkpoint.json")
    signed = case["request"].partition("\n\n")[2].encode()
    opened = checkpoint.open_checkpoint(signed, [note.parse_vkey(case["vkey"])])
    assert (opened.origin, opened.size) == ("go.sum database tree", 35_225_469)


@needs_vectors
@pytest.mark.parametrize("name", ["tlog-checkpoint-example.txt", "tlog-cosignature-example.txt"])
def test_the_examples_of_the_specification_are_read(name: str) -> None:
    text = (VECTORS / "c2sp" / name).read_text().partition("\n\n")[0] + "\n"
    read = checkpoint.parse_checkpoint(text)
    assert (read.origin, read.size) == ("example.com/behind-the-sofa", 20_852_163)


@needs_vectors
def test_the_tree_notes_of_go_mod_are_taken_or_refused_as_there() -> None:
    case = load("golang-mod", "tree-note.json")
    read = checkpoint.parse_checkpoint(case["text"])
    assert (read.size, read.root) == (case["tree_size"], leaf_hash(case["record_text"].encode()))
    refused = 0
    for text in case["bad"]:
        if text.startswith("go.sum"):  # the first is only the wrong origin for that database
            refused += code_of(text) == "checkpoint.malformed"
    assert refused == 2


def _shapes() -> list[Any]:
    if not VECTORS.is_dir():
        return []
    cases = load("transparency-dev-formats", "checkpoint-unmarshal.json")["cases"]
    return [pytest.param(case, id=case["desc"]) for case in cases]


@needs_vectors
@pytest.mark.parametrize("case", _shapes())
def test_the_shapes_of_transparency_dev_are_refused_and_those_taken_there_for_their_root(case: dict[str, Any]) -> None:
    """Trap 4 of the vectors' own list: their parser takes roots that are not 32 bytes, and further lines."""
    text = case["text"]
    if not case["want_error"]:
        assert len(base64.b64decode(text.split("\n")[2])) != 32
        origin, size = text.split("\n")[:2]
        assert checkpoint.parse_checkpoint(f"{origin}\n{size}\n{BASE64_ROOT}\n").size == int(size)
    assert code_of(text) == "checkpoint.malformed"


def code_of(text: str) -> str:
    with pytest.raises(SignatureError) as caught:
        checkpoint.parse_checkpoint(text)
    return caught.value.code


MALFORMED = {
    "no origin": f"\n1\n{BASE64_ROOT}\n",
    "no size": f"o\n\n{BASE64_ROOT}\n",
    "size with a sign": f"o\n+1\n{BASE64_ROOT}\n",
    "negative size": f"o\n-1\n{BASE64_ROOT}\n",
    "size with a zero in front": f"o\n01\n{BASE64_ROOT}\n",
    "size with spaces": f"o\n 1\n{BASE64_ROOT}\n",
    "size in other digits": f"o\n١\n{BASE64_ROOT}\n",
    "hexadecimal size": f"o\n0x1\n{BASE64_ROOT}\n",
    "size of 2**63": f"o\n{2**63}\n{BASE64_ROOT}\n",
    "size of a thousand digits": f"o\n{'9' * 1000}\n{BASE64_ROOT}\n",
    "root of 31 bytes": f"o\n1\n{base64.b64encode(ROOT[:31]).decode()}\n",
    "root of 33 bytes": f"o\n1\n{base64.b64encode(ROOT + b'0').decode()}\n",
    "root without padding": f"o\n1\n{BASE64_ROOT[:-1]}\n",
    "root with stray bits": f"o\n1\n{BASE64_ROOT[:-2]}{chr(ord(BASE64_ROOT[-2]) + 1)}=\n",
    "root in base64url": f"o\n1\n{'_' * 43}=\n",
    "an empty tree with a root": f"o\n0\n{BASE64_ROOT}\n",
    "an extension line": f"o\n1\n{BASE64_ROOT}\nmore\n",
    "no newline at the end": f"o\n1\n{BASE64_ROOT}",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_a_checkpoint_in_its_one_form_is_refused_although_it_is_signed(text: str) -> None:
    assert code_of(text) == "checkpoint.malformed"
    if text.endswith("\n"):
        with pytest.raises(SignatureError) as caught:
            checkpoint.open_checkpoint(note.sign_note(text, [SIGNER]), [SIGNER.verifier])
        assert caught.value.code in {"checkpoint.malformed", "note.malformed"}


@given(st.text(max_size=120))
def test_hostile_text_ends_in_our_error(text: str) -> None:
    for hostile in (text, f"o\n{text}\n{BASE64_ROOT}\n", f"o\n1\n{text}\n"):
        with suppress(SignatureError):
            assert checkpoint.parse_checkpoint(hostile).text == hostile

"""Signed notes: C2SP signed-note, examples of several projects, and hostile bytes."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from audit import note
from audit.note import NoteSigner
from schemas.errors import SignatureError
from tests.audit.vectors import VECTORS, load, needs_vectors

SIGNER = NoteSigner("320509.example/log/2027", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = NoteSigner("310118.example/log/2027", Ed25519PrivateKey.from_private_bytes(bytes(32)))
TEXT = "a text\n\nof two paragraphs\n"
NOTE = note.sign_note(TEXT, [SIGNER])


def code_of(data: bytes) -> str:
    with pytest.raises(SignatureError) as caught:
        note.open_note(data, [SIGNER.verifier])
    return caught.value.code


@needs_vectors
def test_the_notes_of_the_specification_and_of_go_mod_verify() -> None:
    specified = VECTORS / "c2sp"
    verifier = note.parse_vkey((specified / "signed-note-example.vkey").read_text().strip())
    opened = note.open_note((specified / "signed-note-example.txt").read_bytes(), [verifier])
    assert opened.text == "This is an example message.\n"
    case = load("golang-mod", "note.json")
    assert note.open_note(case["signed_note"].encode(), [note.parse_vkey(case["vkey"])]).signed_by


@needs_vectors
def test_the_poem_of_the_specification_is_split_at_its_last_blank_line() -> None:
    assert code_of((VECTORS / "c2sp/signed-note-poem.txt").read_bytes()) == "note.unsigned"


@needs_vectors
@pytest.mark.parametrize("position", range(66))
def test_a_verifier_key_with_any_byte_mangled_is_refused(position: int) -> None:
    vkey = load("golang-mod", "note.json")["vkey"]
    mangled = vkey[:position] + chr(ord(vkey[position]) ^ 1) + vkey[position + 1 :]
    with pytest.raises(SignatureError) as caught:
        note.parse_vkey(mangled)
    assert caught.value.code == "vkey.malformed"


@needs_vectors
@pytest.mark.parametrize("case", load("golang-mod", "note.json")["bad_vkeys"] if VECTORS.is_dir() else [], ids=str)
def test_the_bad_verifier_keys_of_go_mod_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        note.parse_vkey(case["vkey"])


def _format_cases() -> list[Any]:
    if not VECTORS.is_dir():
        return []
    cases = load("transparency-dev-formats", "cosignature.json")["vkeys"]
    return [pytest.param(case, id=case["name"]) for case in cases]


# Not keys for notes as we read them: a cosignature key (0x04), and an ML-DSA key whose id is not its own (trap 3).
NOT_NOTE_KEYS = {"works: native algEd25519CosignatureV1 verifier", "works: native algMLDSA44 verifier"}


@needs_vectors
@pytest.mark.parametrize("case", _format_cases())
def test_verifier_keys_of_transparency_dev_are_taken_or_refused_as_there(case: dict[str, Any]) -> None:
    try:
        assert note.parse_vkey(case["vkey"]).vkey == case["vkey"]
    except SignatureError:
        assert case["want_error"] or case["name"] in NOT_NOTE_KEYS
    else:
        assert not case["want_error"]


def test_a_key_is_written_and_read_in_one_spelling() -> None:
    verifier = note.parse_vkey(SIGNER.vkey)
    assert (verifier.name, verifier.key_id, verifier.vkey) == (SIGNER.name, SIGNER.verifier.key_id, SIGNER.vkey)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "++",
        "name",
        SIGNER.vkey.upper(),
        SIGNER.vkey + "\n",
        SIGNER.vkey.rstrip("=") + "=",
        "\udc80" + SIGNER.vkey,
        "a b" + SIGNER.vkey[len(SIGNER.name) :],
    ],
    ids=["empty", "plus signs", "only a name", "upper case", "newline", "padding", "half a letter", "a space"],
)
def test_other_spellings_of_keys_are_refused(vkey: str) -> None:
    with pytest.raises(SignatureError) as caught:
        note.parse_vkey(vkey)
    assert caught.value.code == "vkey.malformed"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\tb"])
def test_a_signer_needs_a_name_that_fits_into_a_line(name: str) -> None:
    with pytest.raises(SignatureError):
        NoteSigner(name, Ed25519PrivateKey.generate())


def test_a_note_gives_its_text_and_those_who_signed_it() -> None:
    opened = note.open_note(note.sign_note(TEXT, [OTHER, SIGNER]), [SIGNER.verifier, OTHER.verifier])
    assert (opened.text, opened.signed_by) == (TEXT, (SIGNER.verifier, OTHER.verifier))


def test_signing_the_same_text_again_gives_the_same_bytes() -> None:
    assert note.sign_note(TEXT, [SIGNER]) == NOTE


def test_lines_of_unknown_keys_are_ignored_even_under_our_name() -> None:
    same_name = NoteSigner(SIGNER.name, Ed25519PrivateKey.generate())
    opened = note.open_note(note.sign_note(TEXT, [OTHER, same_name, SIGNER]), [SIGNER.verifier])
    assert opened.signed_by == (SIGNER.verifier,)


def test_a_known_key_whose_signature_fails_condemns_the_note_although_another_verifies() -> None:
    forged = note.sign_note("another text\n", [OTHER]).partition(b"\n\n")[2]
    with pytest.raises(SignatureError) as caught:
        note.open_note(NOTE + forged, [SIGNER.verifier, OTHER.verifier])
    assert caught.value.code == "note.signature-invalid"
    assert note.open_note(NOTE + forged, [SIGNER.verifier]).text == TEXT


def line(name: str, payload: bytes) -> bytes:
    return f"— {name} {base64.b64encode(payload).decode()}\n".encode()


MALFORMED = {
    "empty": b"",
    "no blank line": NOTE.replace(b"\n\n", b"\n"),
    "no signature": TEXT.encode() + b"\n",
    "no newline at the end": NOTE[:-1],
    "carriage returns": NOTE.replace(b"\n", b"\r\n"),
    "control character in the text": b"\x00" + NOTE,
    "tab": NOTE.replace(b"a text", b"a\ttext"),
    "not UTF-8": b"\xff" + NOTE,
    "hyphen for a dash": NOTE.replace("—".encode(), b"-"),
    "blank line behind": NOTE + b"\n",
    "text behind": NOTE + b"more\n",
    "two spaces": NOTE.replace("— ".encode(), "—  ".encode()),
    "signature without padding": NOTE.replace(b"=\n", b"\n"),
    "key id and no signature": NOTE + line("a", b"1234"),
    "empty name": NOTE + line("", b"12345"),
    "name with a plus": NOTE + line("a+b", b"12345"),
    "too many signatures": NOTE + line("a", b"12345") * note.MAX_SIGNATURES,
    "too large": b"x" * note.MAX_NOTE + NOTE,
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_a_note_in_its_one_form_is_refused(data: bytes) -> None:
    assert code_of(data) == "note.malformed"


def test_sixteen_signatures_are_accepted_as_the_specification_asks() -> None:
    assert note.open_note(NOTE + line("witness", b"12345") * 15, [SIGNER.verifier]).text == TEXT


@pytest.mark.parametrize("position", range(len(NOTE)))
def test_a_note_with_any_byte_mangled_is_refused(position: int) -> None:
    mangled = NOTE[:position] + bytes([NOTE[position] ^ 1]) + NOTE[position + 1 :]
    assert code_of(mangled) in {"note.malformed", "note.signature-invalid", "note.unsigned"}


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_hostile_bytes_end_in_our_error(data: bytes) -> None:
    for hostile in (data, data + NOTE, NOTE + data, NOTE[:20] + data + NOTE[20:]):
        with suppress(SignatureError):
            assert note.open_note(hostile, [SIGNER.verifier]).text == TEXT


@given(st.text(max_size=120))
def test_hostile_keys_end_in_our_error(text: str) -> None:
    for hostile in (text, f"{SIGNER.name}+{text}", f"name+00000000+{text}"):
        with pytest.raises(SignatureError):
            note.parse_vkey(hostile)


@needs_vectors
def test_our_ed25519_gives_the_verdicts_of_wycheproof() -> None:
    verdicts = {
        case["tcId"]: (verifies(group["publicKey"]["pk"], case["sig"], bytes.fromhex(case["msg"])), case["result"])
        for group in load("wycheproof", "ed25519_test.json")["testGroups"]
        for case in group["tests"]
    }
    assert len(verdicts) == 151
    assert [case for case, (valid, result) in verdicts.items() if valid != (result == "valid")] == []


@needs_vectors
def test_our_ed25519_stays_on_one_side_where_verifiers_disagree() -> None:
    """A change here would give an auditor two answers: no cofactor is multiplied in, and R is compared as bytes."""
    cases = load("cctv-ed25519", "ed25519vectors.json")
    refused = {"low_order_residue", "non_canonical_R"}
    wrong = [
        case["number"]
        for case in cases
        if verifies(case["key"], case["sig"], case["msg"].encode()) != refused.isdisjoint(case["flags"] or ())
    ]
    assert (len(cases), wrong) == (914, [])


def verifies(public: str, signature: str, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except InvalidSignature:
        return False
    return True

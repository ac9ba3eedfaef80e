"""The offline verifier: proved, tampered, unproved and unreadable are never confused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audit import form, merkle, tiles
from audit.checkpoint import sign_checkpoint
from audit.entry import make_entry
from audit.note import NoteSigner, sign_note
from audit.receipts import RECEIPT_TYPE
from audit.report import Outcome
from audit.verify import CHECKS, verify_directory
from schemas import jws
from tests.audit.evidence_world import (
    AT,
    HOME,
    KEYS,
    ORIGIN,
    PARTNER,
    SIGNER,
    Exchange,
    flip,
    found,
    key_of,
    outcomes,
    put,
    rewrite,
    usual,
    write_log,
)

PROVED, TAMPERED, UNPROVED, UNREADABLE = Outcome


# What is proved.


@pytest.mark.parametrize("vkey", [None, SIGNER.vkey], ids=["key from the evidence", "key given"])
def test_sound_evidence_is_proved_and_each_row_says_what_it_does_not_show(folder: Path, vkey: str | None) -> None:
    report = verify_directory(folder, vkey=vkey)
    assert (report.exit_code, found(report)) == (0, "")
    assert report.sentence.startswith(f"Log {ORIGIN}: 9 entries are unaltered, complete and in order")
    assert ("given by you" in report.sentence) == (vkey is not None)
    assert {row.number: row.count for row in report.rows} == {1: 1, 2: 9, 3: 1, 4: 9, 6: 3, 7: 3, 8: 3, 9: 2, 10: 1}
    assert all(row.not_shown and row.what for row in report.rows)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 603])
def test_a_log_is_proved_at_every_size(large: Exchange, tmp_path: Path, size: int) -> None:
    report = verify_directory(large.write(tmp_path, size=size), vkey=SIGNER.vkey)
    assert (report.exit_code, found(report)) == (0, "")
    assert f": {size:,} entries are unaltered" in report.sentence


def test_the_report_has_a_twin_for_programs_and_lines_for_people(folder: Path) -> None:
    (folder / "log/tile/0/000.p/9").unlink()
    report = verify_directory(folder)
    twin = json.loads(report.as_json())
    assert (twin["sentence"], twin["exit_code"]) == (report.sentence, 2)
    assert [row["check"] for row in twin["rows"]] == [row.number for row in report.rows]
    assert twin["rows"][2]["findings"] == [
        {"outcome": "unproved", "text": "the hash tiles of entries 0 to 8 are missing"}
    ]
    text = report.as_text()
    assert text.startswith(report.sentence)
    assert all(row.what in text and row.not_shown in text for row in report.rows)


def test_the_verifier_runs_without_the_gateway(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from audit.verify import verify_directory; "
        "report = verify_directory(Path(sys.argv[1])); "
        "heavy = {'sqlalchemy', 'msgspec', 'rfc8785', 'zstandard', 'yaml', 'pydantic'} & set(sys.modules); "
        "sys.exit(f'loads {heavy}' if heavy else report.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# What is bent, and which rows find what.

Bend = Callable[[Path], object]

BUNDLE, TILE = "log/tile/entries/000.p/9", "log/tile/0/000.p/9"
SECOND = "batches/320509/water-hourly/2.ndjson"
OTHER_LOG_KEY = NoteSigner(ORIGIN, key_of(9).private)
NO_HEAD = {8: UNPROVED, 10: UNPROVED}


def remove(*paths: str) -> Bend:
    def unlink(folder: Path) -> None:
        for path in paths:
            (folder / path).unlink()

    return unlink


def change(path: str, how: Callable[[bytes], bytes]) -> Bend:
    return lambda folder: rewrite(folder, path, how)


def swap(path: str, old: str, new: str) -> Bend:
    def exchange(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), 1)

    return change(path, exchange)


def cut(path: str, count: int = 1) -> Bend:
    return change(path, lambda data: data[:-count])


def add(path: str, data: bytes) -> Bend:
    return lambda folder: put(folder / path, data)


def receipt(key: jws.SigningKey, **payload: object) -> Bend:
    return add("receipts/x.jws", jws.sign(key, RECEIPT_TYPE, payload).encode())


def move(old: str, new: str) -> Bend:
    return lambda folder: (folder / old).rename(folder / new)


def both(*bends: Bend) -> Bend:
    return lambda folder: [bend(folder) for bend in bends]


CASES: dict[str, tuple[Bend, dict[int, Outcome]]] = {
    "no party.json": (remove("party.json"), {0: UNREADABLE}),
    "party.json is no JSON": (cut("party.json"), {0: UNREADABLE}),
    "party.json with a member twice": (swap("party.json", "{", '{"party":"310118",'), {0: UNREADABLE}),
    "party.json with another member": (swap("party.json", "{", '{"more":1,'), {0: UNREADABLE}),
    "party.json nested without end": (add("party.json", b"[" * 100_000), {0: UNREADABLE}),
    "party.json of another party": (swap("party.json", '"320509"', '"330421"'), {4: UNREADABLE}),
    "a key under another key's name": (swap("party.json", KEYS[HOME].kid, KEYS[PARTNER].kid), {0: UNREADABLE}),
    "no checkpoint": (remove("log/checkpoint"), {1: UNPROVED, **NO_HEAD}),
    "a checkpoint that is no note": (add("log/checkpoint", b"hello"), {1: UNREADABLE, **NO_HEAD}),
    "a checkpoint by another key": (
        add("log/checkpoint", sign_checkpoint(OTHER_LOG_KEY, 9, bytes(32))),
        {1: UNPROVED, **NO_HEAD},
    ),
    "a checkpoint of another log": (
        add("log/checkpoint", sign_note(f"other\n1\n{'A' * 43}=\n", [SIGNER])),
        {1: UNREADABLE, **NO_HEAD},
    ),
    "no entries": (remove(BUNDLE), {2: UNPROVED, **NO_HEAD}),
    "no hash tile": (remove(TILE), {3: UNPROVED}),
    "neither entries nor tiles": (remove(BUNDLE, TILE), {2: UNPROVED, 3: UNPROVED, **NO_HEAD}),
    "a hash tile that broke off": (cut(TILE), {3: UNPROVED}),
    "an empty hash tile": (add(TILE, b""), {3: UNPROVED}),
    "entries that broke off": (cut(BUNDLE), {2: UNPROVED, **NO_HEAD}),
    "entries that broke off between two": (cut(BUNDLE, 110), {2: UNPROVED, **NO_HEAD}),
    "entries and tiles that broke off": (both(cut(BUNDLE), cut(TILE)), {2: UNPROVED, 3: UNPROVED, **NO_HEAD}),
    "more entries than were signed for": (change(BUNDLE, lambda data: data + b"\0\0"), {2: TAMPERED, **NO_HEAD}),
    "a batch of a provider whose keys are not here": (move("batches/310118", "batches/330421"), {6: UNPROVED}),
    "a batch file that is none": (add(SECOND, b"{}\n"), {6: UNREADABLE}),
    "a batch file that is empty": (add(SECOND, b""), {6: UNREADABLE}),
    "a batch with another line": (swap(SECOND, '"n":2', '"n":3'), {6: TAMPERED}),
    "a batch that lost a line": (cut(SECOND, len('{"kind":"observation","n":2}\n')), {6: TAMPERED}),
    "a batch filed under another number": (move(SECOND, SECOND.replace("2.", "3.")), {6: TAMPERED}),
    "a batch filed under another dataset": (
        move("batches/320509/water-hourly", "batches/320509/air-hourly"),
        {6: TAMPERED},
    ),
    "a receipt that is none": (add("receipts/x.jws", b"\xff"), {9: UNREADABLE}),
    "a receipt of a party whose keys are not here": (receipt(key_of(8), **{"from": "330421"}), {9: UNPROVED}),
    "a receipt of nobody": (receipt(KEYS[HOME], **{"from": 1}), {9: UNPROVED}),
    "a receipt that says nothing": (receipt(KEYS[HOME], **{"from": HOME}), {9: UNREADABLE}),
    "a receipt in another party's name": (receipt(KEYS[HOME], **{"from": PARTNER}), {9: UNPROVED}),
    "files that are none of ours": (
        both(
            add(".DS_Store", b"x"),
            add("log/tile/0/.hidden", b"x"),
            add("log/tile/0/000.p/7.tmp", b"x"),
            add(SECOND + ".tmp", b"x"),
            add(SECOND.replace("2.", "02."), b"x"),
            add("receipts/.x.jws", b"x"),
        ),
        {},
    ),
}


@pytest.mark.parametrize(("bend", "expected"), CASES.values(), ids=CASES.keys())
def test_each_way_to_bend_evidence_is_told_from_the_others(
    folder: Path, bend: Bend, expected: dict[int, Outcome]
) -> None:
    bend(folder)
    report = verify_directory(folder)
    assert outcomes(report) == expected, report.as_text()
    assert report.exit_code == int(max(expected.values(), key=[0, 2, 3, 1].index, default=0))
    assert (report.exit_code == 0) == ("unaltered, complete" in report.sentence)


def test_nothing_at_all_is_no_evidence(tmp_path: Path) -> None:
    assert verify_directory(tmp_path / "nowhere").exit_code == 3


def test_a_directory_where_a_file_should_be_is_no_evidence(folder: Path) -> None:
    (folder / "log/checkpoint").unlink()
    (folder / "log/checkpoint").mkdir()
    assert verify_directory(folder).exit_code == 3


# The key the auditor brings.


@pytest.mark.parametrize(
    ("vkey", "expected"),
    [
        ("nonsense", {0: UNREADABLE}),
        (NoteSigner("another.example/log", key_of(3).private).vkey, {0: UNREADABLE}),
        (OTHER_LOG_KEY.vkey, {1: UNPROVED, **NO_HEAD}),
    ],
    ids=["no key", "a key of another log", "another key of this log"],
)
def test_the_key_that_the_auditor_brings_is_the_one_believed(
    folder: Path, vkey: str, expected: dict[int, Outcome]
) -> None:
    assert outcomes(verify_directory(folder, vkey=vkey)) == expected


def test_a_log_rewritten_and_signed_with_a_key_of_the_forgers_own_is_caught_by_the_auditors_key(tmp_path: Path) -> None:
    forged = Exchange(entries=[make_entry(form.READ, at=AT, party=HOME)])
    folder = forged.write(tmp_path)
    write_log(folder / "log", forged.entries, signer=OTHER_LOG_KEY)
    swap("party.json", SIGNER.vkey, OTHER_LOG_KEY.vkey)(folder)
    assert verify_directory(folder).exit_code == 0
    assert verify_directory(folder, vkey=SIGNER.vkey).exit_code == 2


# Every byte.


def _positions(path: Path) -> range:
    """Every byte of what is small and signed; a good sample of the others."""
    return range(0, path.stat().st_size, 1 if path.name in ("party.json", "checkpoint") else 7)


def test_no_flipped_byte_anywhere_passes(folder: Path) -> None:
    codes: dict[str, set[int]] = {}
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        sound = path.read_bytes()
        for position in _positions(path):
            path.write_bytes(flip(sound, position))
            report = verify_directory(folder)
            assert report.exit_code != 0, f"{path} byte {position}"
            codes.setdefault(path.relative_to(folder).parts[0], set()).add(report.exit_code)
        path.write_bytes(sound)
    assert verify_directory(folder).exit_code == 0
    assert codes["log"] == {1, 2, 3}
    assert 1 not in codes["party.json"], "party.json is signed by nobody: it can be wrong, not tampered with"


def test_an_entry_bundle_and_a_hash_tile_with_a_flipped_byte_prove_tampering(folder: Path) -> None:
    for name in (BUNDLE, TILE):
        sound = (folder / name).read_bytes()
        for position in range(0, len(sound), 11):
            (folder / name).write_bytes(flip(sound, position))
            assert verify_directory(folder).exit_code == 1, f"{name} byte {position}"
        (folder / name).write_bytes(sound)


def test_every_check_has_a_number_a_name_and_a_limit() -> None:
    assert list(CHECKS) == list(range(1, 13))
    assert all(what and not_shown for what, not_shown in CHECKS.values())


def test_tiles_of_older_sizes_do_not_disturb(folder: Path) -> None:
    sound = usual()
    put(folder / "log/tile/0/000.p/3", b"".join(map(merkle.leaf_hash, sound.entries[:3])))
    put(folder / "log/tile/entries/000.p/3", tiles.encode_bundle(sound.entries[:3]))
    assert verify_directory(folder).exit_code == 0

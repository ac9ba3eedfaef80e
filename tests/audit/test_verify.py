"""The offline verifier: proved, tampered, unproved and unreadable are never confused, whatever is done to the evidence."""

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
from audit.receipts import receipt_hash
from audit.report import Outcome, Report
from audit.verify import CHECKS, verify_directory
from schemas import jws
from tests.audit.evidence_world import (
    AT, HOME, KEYS, ORIGIN, PARTNER, SIGNER, Exchange, key_of, put, usual, write_log,
)  # fmt: skip

LATER = "2026-11-23T03:00:00.000Z"
PROVED, TAMPERED, UNPROVED, UNREADABLE = Outcome.PROVED, Outcome.TAMPERED, Outcome.UNPROVED, Outcome.UNREADABLE


def outcomes(report: Report) -> dict[int, Outcome]:
    """The rows that found something, by number."""
    return {row.number: row.outcome for row in report.rows if row.findings}


def found(report: Report) -> str:
    return "\n".join(finding.text for row in report.rows for finding in row.findings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The evidence of a small log: one bundle, three batches, two receipts."""
    return usual().write(tmp_path / "evidence")


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    """A log of 603 entries: two full tiles and a part of a third."""
    return usual(chatter=300)


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
    only_the_log = Exchange(entries=large.entries)
    report = verify_directory(only_the_log.write(tmp_path, size=size), vkey=SIGNER.vkey)
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


# What is not there, or was never evidence.


def remove(path: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).unlink()


def rewrite(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change_file(folder: Path) -> None:
        (file,) = folder.glob(path)
        file.write_bytes(change(file.read_bytes()))

    return change_file


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


BUNDLE, TILE = "log/tile/entries/000.p/9", "log/tile/0/000.p/9"
OTHER_LOG_KEY = NoteSigner(ORIGIN, key_of(9).private)

CASES: dict[str, tuple[Callable[[Path], None], dict[int, Outcome]]] = {
    "no party.json": (remove("party.json"), {0: UNREADABLE}),
    "party.json is no JSON": (rewrite("party.json", lambda data: data[:-1]), {0: UNREADABLE}),
    "party.json with a member twice": (rewrite("party.json", swap(b"{", b'{"party":"310118",')), {0: UNREADABLE}),
    "party.json with another member": (rewrite("party.json", swap(b"{", b'{"more":1,')), {0: UNREADABLE}),
    "party.json nested without end": (rewrite("party.json", lambda _: b"[" * 100_000), {0: UNREADABLE}),
    "party.json of another party": (rewrite("party.json", swap(b'"320509"', b'"330421"')), {4: UNREADABLE}),
    "a key under another key's name": (rewrite("party.json", swap(KEYS[HOME].kid.encode(), KEYS[PARTNER].kid.encode())),
        {0: UNREADABLE}),
    "no checkpoint": (remove("log/checkpoint"), {1: UNPROVED, 8: UNPROVED, 10: UNPROVED}),
    "a checkpoint that is no note": (rewrite("log/checkpoint", lambda _: b"hello"), {1: UNREADABLE, 8: UNPROVED,
        10: UNPROVED}),
    "a checkpoint by another key": (
        lambda folder: put(folder / "log/checkpoint", sign_checkpoint(OTHER_LOG_KEY, 9, bytes(32))),
        {1: UNPROVED, 8: UNPROVED, 10: UNPROVED},
    ),
    "a checkpoint of another log": (
        lambda folder: put(folder / "log/checkpoint", sign_note(f"other\n0\n{'A' * 43}=\n", [SIGNER])),
        {1: UNREADABLE, 8: UNPROVED, 10: UNPROVED},
    ),
    "no entries": (remove(BUNDLE), {2: UNPROVED, 8: UNPROVED, 10: UNPROVED}),
    "no hash tile": (remove(TILE), {3: UNPROVED}),
    "neither entries nor tiles": (lambda folder: [remove(BUNDLE)(folder), remove(TILE)(folder)], {2: UNPROVED, 3: UNPROVED,
        8: UNPROVED, 10: UNPROVED}),
    "a hash tile that broke off": (rewrite(TILE, lambda data: data[:-1]), {3: UNPROVED}),
    "an empty hash tile": (rewrite(TILE, lambda _: b""), {3: UNPROVED}),
    "entries that broke off": (rewrite(BUNDLE, lambda data: data[:-1]), {2: UNPROVED, 8: UNPROVED, 10: UNPROVED}),
    "entries that broke off, and no tiles": (
        lambda folder: [rewrite(BUNDLE, lambda data: data[:-1])(folder), remove(TILE)(folder)],
        {2: UNPROVED, 3: UNPROVED, 8: UNPROVED, 10: UNPROVED},
    ),
    "more entries than were signed for": (rewrite(BUNDLE, lambda data: data + b"\x00\x00"), {2: TAMPERED, 8: UNPROVED,
        10: UNPROVED}),
    "a batch whose provider's keys are not known": (
        lambda folder: (folder / "batches/310118").rename(folder / "batches/330421"), {6: UNPROVED},
    ),
    "a batch file that is none": (rewrite("batches/*/water-hourly/2.ndjson", lambda _: b"{}\n"), {6: UNREADABLE}),
    "a batch file that is empty": (rewrite("batches/*/water-hourly/2.ndjson", lambda _: b""), {6: UNREADABLE}),
    "a batch with another line": (rewrite("batches/*/water-hourly/2.ndjson", swap(b'"n":2', b'"n":3')), {6: TAMPERED}),
    "a batch that lost a line": (rewrite("batches/*/water-hourly/2.ndjson", lambda data: data[: data[:-1].rindex(b"\n") + 1]),
        {6: TAMPERED}),
    "a batch filed under another number": (
        lambda folder: (folder / "batches/320509/water-hourly/2.ndjson").rename(folder / "batches/320509/water-hourly/3.ndjson"),
        {6: TAMPERED},
    ),
    "a batch filed under another dataset": (
        lambda folder: (folder / "batches/320509/water-hourly").rename(folder / "batches/320509/air-hourly"), {6: TAMPERED},
    ),
    "a receipt that is none": (lambda folder: put(folder / "receipts/x.jws", b"\xff"), {9: UNREADABLE}),
    "a receipt by a party whose keys are not known": (
        lambda folder: put(folder / "receipts/x.jws", jws.sign(key_of(8), "taipu-receipt+jws", {"from": "330421"}).encode()),
        {9: UNPROVED},
    ),
    "a receipt that says nothing": (
        lambda folder: put(folder / "receipts/x.jws", jws.sign(KEYS[HOME], "taipu-receipt+jws", {"from": HOME}).encode()),
        {9: UNREADABLE},
    ),
    "a receipt in another party's name": (
        lambda folder: put(folder / "receipts/x.jws", jws.sign(KEYS[HOME], "taipu-receipt+jws", {"from": PARTNER}).encode()),
        {9: UNPROVED},
    ),
    "files that are none of ours": (lambda folder: [put(folder / name, b"x") for name in (
        ".DS_Store", "log/tile/0/.hidden", "log/tile/0/000.p/7.tmp", "batches/320509/water-hourly/2.ndjson.tmp",
        "batches/320509/water-hourly/02.ndjson", "receipts/.x.jws", "README")], {}),
}  # fmt: skip


@pytest.mark.parametrize(("bend", "expected"), CASES.values(), ids=CASES.keys())
def test_each_way_to_bend_evidence_is_told_from_the_others(
    folder: Path, bend: Callable[[Path], object], expected: dict[int, Outcome]
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
        (OTHER_LOG_KEY.vkey, {1: UNPROVED, 8: UNPROVED, 10: UNPROVED}),
    ],
    ids=["no key", "a key of another log", "another key of this log"],
)
def test_the_key_that_the_auditor_brings_is_the_one_believed(folder: Path, vkey: str, expected: dict[int, Outcome]) -> None:
    assert outcomes(verify_directory(folder, vkey=vkey)) == expected


def test_a_log_rewritten_and_signed_with_a_key_of_the_forgers_own_is_caught_by_the_auditors_key(tmp_path: Path) -> None:
    forged = Exchange(entries=[make_entry(form.READ, at=AT, party=HOME)])
    folder = forged.write(tmp_path)
    write_log(folder / "log", forged.entries, signer=OTHER_LOG_KEY)
    put(folder / "party.json", (folder / "party.json").read_bytes().replace(SIGNER.vkey.encode(), OTHER_LOG_KEY.vkey.encode()))
    assert verify_directory(folder).exit_code == 0
    assert verify_directory(folder, vkey=SIGNER.vkey).exit_code == 2


# Tampering with the log: the first bad record is named.


def tampered(large: Exchange, folder: Path, change: Callable[[list[bytes]], None], *, tiles_too: bool = False) -> Report:
    """The report on evidence whose entries were changed after the checkpoint was signed, and perhaps its tiles too."""
    large_folder = Exchange(entries=large.entries).write(folder)
    signed = (large_folder / "log/checkpoint").read_bytes()
    entries = list(large.entries)
    change(entries)
    kept = {path: path.read_bytes() for path in large_folder.glob("log/tile/[0-9]*/**/*") if path.is_file()}
    for path in large_folder.glob("log/tile/**/*"):
        if path.is_file():
            path.unlink()
    write_log(large_folder / "log", entries)
    put(large_folder / "log/checkpoint", signed)
    if not tiles_too:
        for path, data in kept.items():
            path.write_bytes(data)
    return verify_directory(large_folder)


def _change(entries: list[bytes]) -> None:
    entries[300] = make_entry(form.READ, at=AT, party=HOME)


def _reorder(entries: list[bytes]) -> None:
    entries[300], entries[301] = entries[301], entries[300]


def _replace_and_shift(entries: list[bytes]) -> None:
    del entries[300]
    entries.append(make_entry(form.READ, at=AT, party=HOME))


@pytest.mark.parametrize("change", [_change, _reorder, _replace_and_shift])
def test_the_first_altered_entry_is_named(large: Exchange, tmp_path: Path, change: Callable[[list[bytes]], None]) -> None:
    report = tampered(large, tmp_path, change)
    assert outcomes(report) == {2: TAMPERED}
    assert "tampering is proved: entry 300 is not the one that was signed for" in report.sentence


def test_an_altered_log_whose_tiles_were_altered_with_it_is_still_caught(large: Exchange, tmp_path: Path) -> None:
    report = tampered(large, tmp_path, _change, tiles_too=True)
    assert outcomes(report) == {2: TAMPERED, 3: TAMPERED}
    assert "the entries do not make the root that was signed" in report.sentence


def test_a_truncated_log_is_unproved_and_what_is_missing_is_named(large: Exchange, tmp_path: Path) -> None:
    folder = Exchange(entries=large.entries).write(tmp_path)
    (folder / "log/tile/entries/002.p/91").unlink()
    report = verify_directory(folder)
    assert (report.exit_code, found(report)) == (2, "entries 512 to 602 are missing")


def test_a_gap_in_the_log_is_unproved_and_what_was_altered_beside_it_is_named_too(large: Exchange, tmp_path: Path) -> None:
    folder = Exchange(entries=large.entries).write(tmp_path)
    (folder / "log/tile/entries/000").unlink()
    rewrite("log/tile/entries/002.p/91", swap(b'"n":250', b'"n":251'))(folder)
    report = verify_directory(folder)
    assert outcomes(report) == {2: TAMPERED}
    assert [finding.outcome for finding in report.rows[1].findings] == [UNPROVED, TAMPERED]
    assert "entries 0 to 255 are missing" in found(report)


@pytest.mark.parametrize("path", ["log/tile/0/000", "log/tile/0/002.p/91", "log/tile/1/000.p/2"])
def test_an_altered_hash_tile_is_named_while_the_entries_are_proved(large: Exchange, tmp_path: Path, path: str) -> None:
    folder = Exchange(entries=large.entries).write(tmp_path)
    rewrite(path, lambda data: bytes([data[0] ^ 1]) + data[1:])(folder)
    report = verify_directory(folder)
    assert outcomes(report) == {3: TAMPERED}
    assert path.removeprefix("log/") in report.sentence
    (folder / path).unlink()
    assert outcomes(verify_directory(folder)) == {3: UNPROVED}


def test_a_checkpoint_that_promises_an_endless_log_is_answered_at_once(tmp_path: Path) -> None:
    folder = usual().write(tmp_path)
    put(folder / "log/checkpoint", sign_checkpoint(SIGNER, 2**62, bytes(32)))
    report = verify_directory(folder)
    assert outcomes(report) == {2: UNPROVED, 3: UNPROVED, 8: UNPROVED, 10: UNPROVED}


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [(b"hello", UNPROVED), (b"\xff", UNPROVED), (make_entry(form.READ, at=AT, party="330421"), UNREADABLE)],
    ids=["no entry", "not UTF-8", "of another party"],
)
def test_an_entry_that_was_signed_for_and_has_not_the_form_of_one_is_named(
    tmp_path: Path, entry: bytes, outcome: Outcome
) -> None:
    made = Exchange()
    made.chatter(2)
    made.entries.append(entry)
    assert outcomes(verify_directory(made.write(tmp_path))) == {4: outcome}


# Every byte.


def _positions(path: Path) -> range:
    """Every byte of what is small and signed; a good sample of the others."""
    return range(0, path.stat().st_size, 1 if path.name in ("party.json", "checkpoint") else 7)


def test_no_flipped_byte_anywhere_passes(folder: Path) -> None:
    codes: dict[str, set[int]] = {}
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        sound = path.read_bytes()
        for position in _positions(path):
            path.write_bytes(sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
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
            (folder / name).write_bytes(sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
            assert verify_directory(folder).exit_code == 1, f"{name} byte {position}"
        (folder / name).write_bytes(sound)


# Feeds, and what the log says of them.


def test_a_feed_with_a_gap_is_unproved_and_names_the_missing_numbers(tmp_path: Path) -> None:
    made = Exchange()
    first = made.publish("water-hourly", seq=1, prev="")
    made.publish("water-hourly", seq=5, prev=first.hash)
    report = verify_directory(made.write(tmp_path))
    assert outcomes(report) == {7: UNPROVED}
    assert "batches 2 to 4 of 320509/water-hourly are not here" in report.sentence


@pytest.mark.parametrize(("seq", "prev"), [(1, "B" * 43), (8, "B" * 43)], ids=["before number 1", "another predecessor"])
def test_a_feed_whose_batches_do_not_follow_on_each_other_is_tampered_with(tmp_path: Path, seq: int, prev: str) -> None:
    made = Exchange()
    if seq > 1:
        made.publish("water-hourly", seq=seq - 1, prev="C" * 43)
    made.publish("water-hourly", seq=seq, prev=prev)
    assert outcomes(verify_directory(made.write(tmp_path))) == {7: TAMPERED}


def test_two_feeds_side_by_side_are_not_taken_for_one(tmp_path: Path) -> None:
    made = Exchange()
    made.publish("water-hourly", seq=7, prev="C" * 43)
    made.publish("water-hourly", seq=8, prev="D" * 43, provider=PARTNER)
    made.publish("air-hourly", seq=9, prev="E" * 43)
    assert verify_directory(made.write(tmp_path)).exit_code == 0


@pytest.mark.parametrize(
    ("provider", "wrong", "outcome"),
    [
        (HOME, {"logged": False}, UNPROVED),
        (PARTNER, {"logged": False}, UNPROVED),
        (HOME, {"seq": 8}, UNPROVED),
        (HOME, {"dataset": "air-hourly"}, UNPROVED),
        (HOME, {"manifest": "B" * 42 + "A"}, TAMPERED),
        (PARTNER, {"manifest": "B" * 42 + "A"}, TAMPERED),
    ],
    ids=["not logged", "a partner's not logged", "as another number", "as another dataset", "another batch", "a partner's other batch"],
)
def test_a_batch_must_be_in_the_log_and_no_other_under_its_number(
    tmp_path: Path, provider: str, wrong: dict[str, object], outcome: Outcome
) -> None:
    made = Exchange()
    logged = bool(wrong.pop("logged", True))
    batch = made.publish("water-hourly", seq=7, prev="C" * 43, provider=provider, logged=False)
    if logged:
        kind, peer = (form.BATCH_PUBLISHED, None) if provider == HOME else (form.BATCH_RECEIVED, provider)
        named = {"manifest": batch.hash, "seq": 7, "dataset": "water-hourly", **wrong}
        made.entries.append(make_entry(kind, at=AT, party=HOME, peer=peer, **named))  # type: ignore[arg-type]
    made.chatter(1)
    assert outcomes(verify_directory(made.write(tmp_path))) == {8: outcome}


@pytest.mark.parametrize("kind", [form.BATCH_RECEIVED, form.BATCH_DELIVERED, form.FINDING])
def test_a_batch_of_the_partys_own_must_be_logged_as_published(tmp_path: Path, kind: str) -> None:
    made = Exchange()
    batch = made.publish("water-hourly", seq=7, prev="C" * 43, logged=False)
    made.entries.append(
        make_entry(kind, at=AT, party=HOME, peer=PARTNER, dataset="water-hourly", seq=7, manifest=batch.hash)
    )
    assert outcomes(verify_directory(made.write(tmp_path))) == {8: UNPROVED}


def test_a_batch_that_was_refused_is_in_the_log_as_refused(tmp_path: Path) -> None:
    made = Exchange()
    batch = made.publish("water-hourly", seq=7, prev="C" * 43, provider=PARTNER, logged=False)
    made.entries.append(
        make_entry(
            form.BATCH_REFUSED, at=AT, party=HOME, peer=PARTNER, dataset="water-hourly", seq=7, manifest=batch.hash
        )
    )  # fmt: skip
    assert verify_directory(made.write(tmp_path)).exit_code == 0


# Receipts and their promises.


@pytest.mark.parametrize(
    ("goes_on_until", "log", "outcome"),
    [
        (AT, ORIGIN, UNPROVED),
        ("2026-11-23T02:01:00.000Z", ORIGIN, UNPROVED),
        ("2026-11-23T02:01:00.001Z", ORIGIN, TAMPERED),
        (LATER, ORIGIN, TAMPERED),
        (LATER, "320509.example/log/2026", UNPROVED),
    ],
    ids=["the log ends", "just in time", "too late", "long after", "another log"],
)
def test_a_promise_is_broken_only_when_the_log_has_gone_on_without_the_entry(
    tmp_path: Path, goes_on_until: str, log: str, outcome: Outcome
) -> None:
    made = Exchange()
    batch = made.publish("air-hourly", seq=1, prev="", provider=PARTNER)
    made.receipt(batch, HOME, PARTNER, entry=jws.b64encode(merkle.leaf_hash(b"never")), log=log)
    made.chatter(1, at=goes_on_until)
    report = verify_directory(made.write(tmp_path))
    assert outcomes(report) == {10: outcome}


def test_no_promise_counts_as_broken_while_entries_are_missing(tmp_path: Path) -> None:
    made = Exchange()
    made.chatter(256)
    made.receive("air-hourly", seq=1, prev="")
    made.chatter(256, at=LATER)
    folder = made.write(tmp_path)
    assert verify_directory(folder).exit_code == 0
    (folder / "log/tile/entries/001").unlink()
    assert outcomes(verify_directory(folder)) == {2: UNPROVED, 8: UNPROVED, 10: UNPROVED}


def test_a_partners_promise_is_not_looked_for_in_our_log(tmp_path: Path) -> None:
    made = Exchange()
    batch = made.publish("water-hourly", seq=1, prev="")
    made.receipt(batch, PARTNER, HOME)
    made.chatter(1, at=LATER)
    assert verify_directory(made.write(tmp_path)).exit_code == 0


def test_a_receipt_filed_under_another_hash_is_found(folder: Path) -> None:
    first = next((folder / "receipts").iterdir())
    first.rename(first.with_name(f"{receipt_hash('abc')}.jws"))
    assert outcomes(verify_directory(folder)) == {9: TAMPERED}


# The auditor's own memory.


def test_a_log_that_goes_on_from_the_last_visit_is_proved_and_the_visit_remembered(large: Exchange, tmp_path: Path) -> None:
    state = tmp_path / "visits.json"
    only_the_log = Exchange(entries=large.entries)
    for size in (0, 3, 256, 300, 300, 512, 603):
        report = verify_directory(only_the_log.write(tmp_path / f"evidence-{size}", size=size), state=state)
        assert (report.exit_code, found(report)) == (0, "")
        assert json.loads(state.read_bytes())[ORIGIN]["size"] == size
    assert "603 entries (91 of them since your last visit) are unaltered" in report.sentence


def test_visits_to_other_logs_are_kept(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "visits.json"
    state.write_text('{"other": {"size": 1, "root": "x"}}')
    assert verify_directory(folder, state=state).exit_code == 0
    assert set(json.loads(state.read_bytes())) == {"other", ORIGIN}


@pytest.mark.parametrize("last", [3, 300, 512, 600])
def test_a_history_rewritten_since_the_last_visit_is_caught_although_it_is_signed(
    large: Exchange, tmp_path: Path, last: int
) -> None:
    state = tmp_path / "visits.json"
    entries = list(large.entries)
    assert verify_directory(Exchange(entries=entries).write(tmp_path / "first", size=last), state=state).exit_code == 0
    seen = state.read_bytes()
    entries[1] = make_entry(form.READ, at=AT, party=HOME)
    for size in (last, 603):
        report = verify_directory(Exchange(entries=entries).write(tmp_path / f"second-{size}", size=size), state=state)
        assert outcomes(report) == {5: TAMPERED}
    assert state.read_bytes() == seen


def test_older_evidence_is_unproved_and_does_not_move_the_memory_back(large: Exchange, tmp_path: Path) -> None:
    state = tmp_path / "visits.json"
    only_the_log = Exchange(entries=large.entries)
    verify_directory(only_the_log.write(tmp_path / "first", size=300), state=state)
    seen = state.read_bytes()
    report = verify_directory(only_the_log.write(tmp_path / "second", size=299), state=state)
    assert outcomes(report) == {5: UNPROVED}
    assert state.read_bytes() == seen


def test_nothing_is_remembered_of_evidence_that_is_not_proved(folder: Path, tmp_path: Path) -> None:
    (folder / TILE).unlink()
    assert verify_directory(folder, state=tmp_path / "visits.json").exit_code == 2
    assert not (tmp_path / "visits.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{", f'{{"{ORIGIN}": 1}}', f'{{"{ORIGIN}": {{"size": 1}}}}',
        f'{{"{ORIGIN}": {{"size": -1, "root": "{"A" * 43}="}}}}', f'{{"{ORIGIN}": {{"size": 1, "root": "AAAA"}}}}',
        f'{{"{ORIGIN}": {{"size": 1.5, "root": "{"A" * 43}="}}}}', f'{{"{ORIGIN}": {{"size": 1, "root": 7}}}}',
    ],
)  # fmt: skip
def test_a_state_file_that_is_not_one_is_left_alone_and_nothing_is_concluded(folder: Path, tmp_path: Path, content: str) -> None:
    state = tmp_path / "visits.json"
    state.write_text(content)
    report = verify_directory(folder, state=state)
    assert report.exit_code == (0 if content == "" else 3)
    assert content == "" or state.read_text() == content


def test_every_check_has_a_number_a_name_and_a_limit() -> None:
    assert list(CHECKS) == list(range(1, 11))
    assert all(what and not_shown for what, not_shown in CHECKS.values())


def test_tiles_of_older_sizes_do_not_disturb(folder: Path) -> None:
    sound = usual()
    put(folder / "log/tile/0/000.p/3", b"".join(map(merkle.leaf_hash, sound.entries[:3])))
    put(folder / "log/tile/entries/000.p/3", tiles.encode_bundle(sound.entries[:3]))
    assert verify_directory(folder).exit_code == 0

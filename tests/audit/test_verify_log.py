"""Evidence of a log that was altered, cut or forged: the first bad record is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from audit import form
from audit.checkpoint import sign_checkpoint
from audit.entry import make_entry
from audit.report import Outcome, Report
from audit.verify import verify_directory
from tests.audit.evidence_world import AT, HOME, SIGNER, Exchange, flip, found, outcomes, put, rewrite, usual

Change = Callable[[list[bytes]], None]

PROVED, TAMPERED, UNPROVED, UNREADABLE = Outcome


def tampered(large: Exchange, folder: Path, change: Change, *, tiles_too: bool = False) -> Report:
    """The report on evidence whose entries were changed after the checkpoint was signed, and perhaps its tiles too."""
    large.write(folder)
    entries = list(large.entries)
    change(entries)
    forged = Exchange(entries=entries).write(folder / "forged")
    for path in ("tile/entries", "tile/0", "tile/1") if tiles_too else ("tile/entries",):
        shutil.rmtree(folder / "log" / path)
        (forged / "log" / path).rename(folder / "log" / path)
    shutil.rmtree(forged)
    return verify_directory(folder)


def _change(entries: list[bytes]) -> None:
    entries[300] = make_entry(form.READ, at=AT, party=HOME)


def _reorder(entries: list[bytes]) -> None:
    entries[300], entries[301] = entries[301], entries[300]


def _replace_and_shift(entries: list[bytes]) -> None:
    del entries[300]
    entries.append(make_entry(form.READ, at=AT, party=HOME))


@pytest.mark.parametrize("change", [_change, _reorder, _replace_and_shift])
def test_the_first_altered_entry_is_named(large: Exchange, tmp_path: Path, change: Change) -> None:
    report = tampered(large, tmp_path, change)
    assert outcomes(report) == {2: TAMPERED}
    assert "tampering is proved: entry 300 is not the one that was signed for" in report.sentence


def test_an_altered_log_whose_tiles_were_altered_with_it_is_still_caught(large: Exchange, tmp_path: Path) -> None:
    report = tampered(large, tmp_path, _change, tiles_too=True)
    assert outcomes(report) == {2: TAMPERED, 3: TAMPERED}
    assert "the entries do not make the root that was signed" in report.sentence


def test_a_truncated_log_is_unproved_and_what_is_missing_is_named(large: Exchange, tmp_path: Path) -> None:
    folder = large.write(tmp_path)
    (folder / "log/tile/entries/002.p/91").unlink()
    report = verify_directory(folder)
    assert (report.exit_code, found(report)) == (2, "entries 512 to 602 are missing")


def test_a_gap_in_the_log_is_unproved_and_what_was_altered_beside_it_is_named_too(
    large: Exchange, tmp_path: Path
) -> None:
    folder = large.write(tmp_path)
    (folder / "log/tile/entries/000").unlink()
    rewrite(folder, "log/tile/entries/002.p/91", lambda data: data.replace(b'"n":250', b'"n":251'))
    report = verify_directory(folder)
    assert outcomes(report) == {2: TAMPERED}
    assert [finding.outcome for finding in report.rows[1].findings] == [UNPROVED, TAMPERED]
    assert "entries 0 to 255 are missing" in found(report)


@pytest.mark.parametrize("path", ["log/tile/0/000", "log/tile/0/002.p/91", "log/tile/1/000.p/2"])
def test_an_altered_hash_tile_is_named_while_the_entries_are_proved(large: Exchange, tmp_path: Path, path: str) -> None:
    folder = large.write(tmp_path)
    rewrite(folder, path, flip)
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

"""The auditor's own memory of the last visit: a witness that never moves backwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from audit import form
from audit.entry import make_entry
from audit.report import Outcome
from audit.verify import verify_directory
from tests.audit.evidence_world import AT, HOME, ORIGIN, Exchange, found, outcomes

PROVED, TAMPERED, UNPROVED, UNREADABLE = Outcome


def test_a_log_that_goes_on_from_the_last_visit_is_proved_and_the_visit_remembered(
    large: Exchange, tmp_path: Path
) -> None:
    state = tmp_path / "visits.json"
    for size in (0, 3, 256, 300, 300, 512, 603):
        report = verify_directory(large.write(tmp_path / f"evidence-{size}", size=size), state=state)
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


def test_two_roots_for_one_size_are_caught_although_entries_are_missing(large: Exchange, tmp_path: Path) -> None:
    state = tmp_path / "visits.json"
    verify_directory(large.write(tmp_path / "first", size=300), state=state)
    folder = Exchange(entries=large.entries[1:]).write(tmp_path / "second", size=300)
    shutil.rmtree(folder / "log/tile")
    assert outcomes(verify_directory(folder, state=state)) == {2: UNPROVED, 3: UNPROVED, 5: TAMPERED}


def test_a_visit_cannot_be_compared_while_neither_entries_nor_tiles_are_there(large: Exchange, tmp_path: Path) -> None:
    state = tmp_path / "visits.json"
    verify_directory(large.write(tmp_path / "first", size=300), state=state)
    folder = large.write(tmp_path / "second")
    shutil.rmtree(folder / "log/tile")
    assert outcomes(verify_directory(folder, state=state)) == {2: UNPROVED, 3: UNPROVED, 5: UNPROVED}


def test_a_visit_is_compared_by_the_hash_tiles_when_entries_are_missing(large: Exchange, tmp_path: Path) -> None:
    state = tmp_path / "visits.json"
    verify_directory(large.write(tmp_path / "first", size=300), state=state)
    folder = large.write(tmp_path / "second")
    (folder / "log/tile/entries/000").unlink()
    assert outcomes(verify_directory(folder, state=state)) == {2: UNPROVED}


def test_older_evidence_is_unproved_and_does_not_move_the_memory_back(large: Exchange, tmp_path: Path) -> None:
    state = tmp_path / "visits.json"
    verify_directory(large.write(tmp_path / "first", size=300), state=state)
    seen = state.read_bytes()
    report = verify_directory(large.write(tmp_path / "second", size=299), state=state)
    assert outcomes(report) == {5: UNPROVED}
    assert state.read_bytes() == seen


def test_nothing_is_remembered_of_evidence_that_is_not_proved(folder: Path, tmp_path: Path) -> None:
    (folder / "log/checkpoint").unlink()
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
def test_a_state_file_that_is_not_one_is_left_alone_and_nothing_is_concluded(
    folder: Path, tmp_path: Path, content: str
) -> None:
    state = tmp_path / "visits.json"
    state.write_text(content)
    report = verify_directory(folder, state=state)
    assert report.exit_code == (0 if content == "" else 3)
    assert content == "" or state.read_text() == content

"""Evidence of exchanges: feeds, what the log says of them, and the promises of receipts."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit import form, merkle
from audit.entry import make_entry
from audit.receipts import receipt_hash
from audit.report import Outcome
from audit.verify import verify_directory
from schemas import jws
from tests.audit.evidence_world import AT, HOME, ORIGIN, PARTNER, Exchange, outcomes

LATER = "2026-11-23T03:00:00.000Z"

PROVED, TAMPERED, UNPROVED, UNREADABLE = Outcome


def test_a_feed_with_a_gap_is_unproved_and_names_the_missing_numbers(tmp_path: Path) -> None:
    made = Exchange()
    first = made.publish("water-hourly", seq=1, prev="")
    made.publish("water-hourly", seq=5, prev=first.hash)
    report = verify_directory(made.write(tmp_path))
    assert outcomes(report) == {7: UNPROVED}
    assert "batches 2 to 4 of 320509/water-hourly are not here" in report.sentence


@pytest.mark.parametrize(
    ("seq", "prev"), [(1, "B" * 43), (8, "B" * 43)], ids=["before number 1", "another predecessor"]
)
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
    ids=[
        "not logged",
        "a partner's not logged",
        "as another number",
        "as another dataset",
        "another batch",
        "a partner's other batch",
    ],
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


def test_an_entry_about_a_batch_that_can_be_read_two_ways_counts_for_nothing(tmp_path: Path) -> None:
    made = Exchange()
    made.publish("water-hourly", seq=7, prev="C" * 43)
    made.entries[0] = made.entries[0].replace(b'"manifest"', b'"detail":{"n":1,"n":2},"manifest"')
    assert outcomes(verify_directory(made.write(tmp_path))) == {4: UNPROVED, 8: UNPROVED}


def test_a_batch_that_was_refused_is_in_the_log_as_refused(tmp_path: Path) -> None:
    made = Exchange()
    batch = made.publish("water-hourly", seq=7, prev="C" * 43, provider=PARTNER, logged=False)
    made.entries.append(
        make_entry(
            form.BATCH_REFUSED, at=AT, party=HOME, peer=PARTNER, dataset="water-hourly", seq=7, manifest=batch.hash
        )
    )  # fmt: skip
    assert verify_directory(made.write(tmp_path)).exit_code == 0


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

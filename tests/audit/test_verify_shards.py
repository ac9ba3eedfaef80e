"""The offline verifier over a log of several shards and keys: what joins them, and every way to bend it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from audit import form, merkle
from audit.checkpoint import sign_checkpoint
from audit.entry import make_entry
from audit.note import NoteSigner
from audit.report import Outcome
from audit.verify import verify_directory
from schemas import jws
from schemas.jws import b64encode
from tests.audit.evidence_world import (
    HOME,
    KEYS,
    ORIGIN,
    PARTNER,
    SIGNER,
    Exchange,
    found,
    key_of,
    outcomes,
    put,
    usual,
    write_log,
)  # fmt: skip

PROVED, TAMPERED, UNPROVED, UNREADABLE = Outcome
SECOND = f"{ORIGIN}/2"
SUCCESSOR = NoteSigner(SECOND, key_of(4).private)
LATER = "2026-11-24T03:00:00.000Z"


def entry(t: str, **detail: Any) -> bytes:
    return make_entry(t, at=LATER, party=HOME, detail=detail)


def root(entries: list[bytes]) -> bytes:
    return merkle.root_of(map(merkle.leaf_hash, entries))


def quotation(entries: list[bytes], **wrong: Any) -> bytes:
    """The first entry of a successor of the shard that holds `entries`."""
    note = sign_checkpoint(SIGNER, len(entries), root(entries)).decode()
    said = {"shard": 2, "origin": ORIGIN, "size": len(entries), "root": b64encode(root(entries)), "checkpoint": note}
    return entry(form.CONTINUED, **{**said, "reason": "drill", "carried": 0, **wrong})


@dataclass
class Shards:
    """A log of two shards; everything can be bent before it is written."""

    exchange: Exchange = field(default_factory=usual)
    first: list[bytes] = field(default_factory=list)
    second: list[bytes] = field(default_factory=list)
    size: int | None = None  # the first shard's last head, as the party states it: what its old key vouches for

    def __post_init__(self) -> None:
        self.first = [*self.exchange.entries, entry(form.FREEZE, reason="drill")]
        self.second = [quotation(self.first), *(entry(form.READ, n=n) for n in range(3))]

    def write(self, folder: Path, *, only_first: bool = False) -> Path:
        self.exchange.write(folder)
        shutil.rmtree(folder / "log")
        write_log(folder / ("log" if only_first else "log/1"), self.first)
        said: dict[str, object] = {"origin": ORIGIN, "vkey": SIGNER.vkey}
        if not only_first:
            write_log(folder / "log", self.second, signer=SUCCESSOR)
            old = {"vkey": SIGNER.vkey, "size": len(self.first) if self.size is None else self.size}
            said = {"origin": SECOND, "vkey": SUCCESSOR.vkey, "shard": 2, "retired": [old]}
        party = {
            "party": HOME, "log": said,
            "keys": {code: {key.kid: jws.public_text(key.public)} for code, key in KEYS.items()},
        }  # fmt: skip
        put(folder / "party.json", json.dumps(party).encode())
        return folder


def test_a_log_of_two_shards_is_proved_as_one(tmp_path: Path) -> None:
    made = Shards()
    report = verify_directory(made.write(tmp_path), vkey=[SIGNER.vkey, SUCCESSOR.vkey])
    assert (report.exit_code, found(report)) == (0, "")
    assert report.sentence == (
        f"Log {ORIGIN}: 14 entries in 2 shards are unaltered, complete and in order under the key given by you; "
        "3 batch files and 2 receipts verify."
    )
    counts = {row.number: row.count for row in report.rows}
    assert (counts[1], counts[2], counts[11]) == (2, 14, 2)


@pytest.mark.parametrize(
    ("vkey", "words"),
    [
        (None, "under the key found in the evidence"),
        (SUCCESSOR.vkey, "under the keys found in the evidence and given by you"),
        (SIGNER.vkey, "under the keys given by you and found in the evidence"),
    ],
)
def test_the_sentence_says_whose_keys_the_shards_were_proved_with(tmp_path: Path, vkey: str | None, words: str) -> None:
    report = verify_directory(Shards().write(tmp_path), vkey=vkey)
    assert report.exit_code == 0
    assert words in report.sentence


def test_a_key_given_for_another_log_is_refused_and_a_wrong_one_proves_nothing(tmp_path: Path) -> None:
    folder = Shards().write(tmp_path)
    other = NoteSigner(f"{ORIGIN}/3", key_of(4).private)
    assert verify_directory(folder, vkey=other.vkey).exit_code == UNREADABLE
    wrong = NoteSigner(ORIGIN, key_of(9).private)
    assert outcomes(verify_directory(folder, vkey=wrong.vkey))[1] == UNPROVED


def test_a_visit_carries_over_from_the_frozen_shard_to_its_successor(tmp_path: Path) -> None:
    state, made = tmp_path / "visits.json", Shards()
    whole, made.first, made.exchange = made.first, made.first[:5], Exchange()
    assert verify_directory(made.write(tmp_path / "two", only_first=True), state=state).exit_code == 0
    made.first = whole
    report = verify_directory(made.write(tmp_path / "three"), state=state)
    assert (report.exit_code, found(report)) == (0, "")
    assert "14 entries (9 of them since your last visit) in 2 shards" in report.sentence
    visits = json.loads(state.read_bytes())
    assert {origin: visit["size"] for origin, visit in visits.items()} == {ORIGIN: 10, SECOND: 4}
    again = verify_directory(made.write(tmp_path / "four", only_first=True), state=state)
    assert outcomes(again) == {5: UNPROVED}
    assert f"gone on in {SECOND}" in found(again)


def test_a_history_rewritten_in_the_frozen_shard_since_the_last_visit_is_caught(tmp_path: Path) -> None:
    state, made = tmp_path / "visits.json", Shards(exchange=Exchange(entries=usual().entries))
    assert verify_directory(made.write(tmp_path / "one"), state=state).exit_code == 0
    made.first[1] = entry(form.READ, n=99)
    made.second[0] = quotation(made.first)
    report = verify_directory(made.write(tmp_path / "two"), state=state)
    assert outcomes(report) == {5: TAMPERED}


def test_a_promise_made_under_the_old_shard_is_kept_in_the_new_one(tmp_path: Path) -> None:
    made = Shards()
    last = made.exchange.batches[-1].hash
    batch = made.exchange.publish("air-hourly", seq=42, prev=last, provider=PARTNER, logged=False)
    named = {"manifest": batch.hash, "seq": 42, "dataset": "air-hourly"}
    made.second.append(make_entry(form.BATCH_RECEIVED, at=LATER, party=HOME, peer=PARTNER, **named))
    promised = jws.b64encode(merkle.leaf_hash(made.second[-1]))
    made.exchange.receipt(batch, HOME, PARTNER, entry=promised, log=ORIGIN)
    made.exchange.receipt(batch, HOME, PARTNER, entry=promised, log=SECOND)
    report = verify_directory(made.write(tmp_path))
    assert (report.exit_code, found(report)) == (0, "")


# What is bent before the evidence is written, and which rows find what.

Bend = Callable[[Shards], object]


def quote(**wrong: Any) -> Bend:
    return lambda made: made.second.__setitem__(0, quotation(made.first, **wrong))


def sign_on(made: Shards) -> None:
    """The frozen shard's key signs a larger head: its holder, or a thief of it, after the freeze."""
    made.first.append(entry(form.READ, n=9))
    made.size = len(made.first)


def sign_on_beyond(made: Shards) -> None:
    """The same, and the party states how far the key vouched."""
    made.size = len(made.first)
    made.first.append(entry(form.READ, n=9))


def quote_earlier_head(made: Shards) -> None:
    made.second[0] = quotation(made.first[:7])


def quote_other_root(made: Shards) -> None:
    made.second[0] = quotation([*made.first[:-1], entry(form.FREEZE, reason="another")])


def older(made: Shards) -> None:
    """The frozen shard's evidence is from before its freeze."""
    made.first = made.first[:-1]


CASES: dict[str, tuple[Bend, dict[int, Outcome]]] = {
    "a successor that quotes another root": (quote_other_root, {11: TAMPERED}),
    "a successor that quotes an earlier head": (quote_earlier_head, {11: TAMPERED}),
    "a successor that quotes another log": (quote(origin="other"), {11: UNPROVED}),
    "a successor that says it is a third": (quote(shard=3), {11: UNPROVED}),
    "a quotation without a root": (quote(root="x"), {11: UNPROVED}),
    "a quotation with a size that is none": (quote(size="10"), {11: UNPROVED}),
    "a successor without a quotation": (lambda made: made.second.pop(0), {11: UNPROVED}),
    "an entry before the quotation": (lambda made: made.second.insert(0, entry(form.READ, n=9)), {11: TAMPERED}),
    "an entry after the freeze": (
        lambda made: (made.first.append(entry(form.READ, n=9)), made.second.__setitem__(0, quotation(made.first))),
        {11: TAMPERED},
    ),
    "a head of the frozen shard signed after the freeze": (sign_on, {11: TAMPERED}),
    "a head signed by the retired key beyond its size": (
        sign_on_beyond,
        {1: UNPROVED, 8: UNPROVED, 10: UNPROVED, 11: UNPROVED},
    ),
    "the frozen shard as it was before": (older, {11: UNPROVED}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_bent_between_shards_is_found_by_the_right_check(tmp_path: Path, name: str) -> None:
    bend, expected = CASES[name]
    made = Shards()
    bend(made)
    report = verify_directory(made.write(tmp_path))
    assert outcomes(report) == expected, report.as_text()
    assert report.exit_code == (1 if TAMPERED in expected.values() else 2)


def test_a_missing_shard_is_missed_and_accuses_nobody(tmp_path: Path) -> None:
    folder = Shards().write(tmp_path)
    shutil.rmtree(folder / "log/1")
    report = verify_directory(folder)
    assert outcomes(report) == {1: UNPROVED, 8: UNPROVED, 10: UNPROVED, 11: UNPROVED}
    assert "shard 1: the checkpoint is missing" in found(report)


def test_a_successor_that_is_passed_off_as_a_whole_log_gives_itself_away(tmp_path: Path) -> None:
    folder = Shards(exchange=Exchange()).write(tmp_path)
    party = json.loads((folder / "party.json").read_bytes())
    party["log"] = {"origin": SECOND, "vkey": SUCCESSOR.vkey}
    put(folder / "party.json", json.dumps(party).encode())
    report = verify_directory(folder)
    assert outcomes(report) == {11: UNPROVED}
    assert "continues another one" in found(report)


def test_an_entry_altered_in_a_frozen_shard_is_named_with_its_shard(tmp_path: Path) -> None:
    folder = Shards(exchange=Exchange(entries=usual().entries)).write(tmp_path)
    bundle = folder / "log/1/tile/entries/000.p/10"
    bundle.write_bytes(bundle.read_bytes().replace(b'"n":1', b'"n":7', 1))
    report = verify_directory(folder)
    assert outcomes(report)[2] == TAMPERED
    assert "shard 1: entry 1 is not the one that was signed for" in found(report)


@pytest.mark.parametrize(
    "log",
    [
        {"shard": 0}, {"shard": True}, {"shard": 2}, {"shard": 1001}, {"shard": "1"}, {"retired": 1},
        {"retired": [{"vkey": SIGNER.vkey}]}, {"retired": [{"vkey": SIGNER.vkey, "size": None}]},
        {"retired": [{"vkey": "x", "size": 1}]}, {"vkeys": [SUCCESSOR.vkey]}, {"vkeys": 3}, {"other": 1},
    ],
)  # fmt: skip
def test_what_party_json_says_of_shards_and_keys_has_one_form(folder: Path, log: dict[str, Any]) -> None:
    party = json.loads((folder / "party.json").read_bytes())
    party["log"] |= log
    put(folder / "party.json", json.dumps(party).encode())
    assert outcomes(verify_directory(folder)) == {0: UNREADABLE}


# Keys within one shard.

NEW = NoteSigner(ORIGIN, key_of(5).private)


NAMED: dict[str, object] = {"use": "log", "vkey": NEW.vkey, "first": 6, "reason": "yearly"}


def rotated(
    folder: Path, *, size: int, said: dict[str, object] = NAMED, signers: tuple[NoteSigner, ...] = (NEW,)
) -> Path:
    """The usual log whose key changed after some entries; the old key vouches for `size` entries."""
    made = usual()
    made.entries.insert(5, entry(form.KEY_CHANGED, **said))
    made.write(folder)
    note = sign_checkpoint(signers[0], len(made.entries), root(made.entries), also=signers[1:])
    put(folder / "log/checkpoint", note)
    party = json.loads((folder / "party.json").read_bytes())
    party["log"] |= {"vkey": NEW.vkey, "retired": [{"vkey": SIGNER.vkey, "size": size}]}
    put(folder / "party.json", json.dumps(party).encode())
    return folder


@pytest.mark.parametrize("signers", [(NEW,), (SIGNER, NEW), (NEW, SIGNER)])
def test_a_log_whose_key_changed_is_proved_under_the_new_one(tmp_path: Path, signers: tuple[NoteSigner, ...]) -> None:
    report = verify_directory(rotated(tmp_path, size=7, signers=signers))
    assert (report.exit_code, found(report)) == (0, "")
    assert [row.count for row in report.rows if row.number == 12] == [2]


def test_a_head_by_the_old_key_alone_is_good_up_to_its_size_and_then_ignored(tmp_path: Path) -> None:
    assert verify_directory(rotated(tmp_path / "in", size=10, signers=(SIGNER,))).exit_code == 0
    report = verify_directory(rotated(tmp_path / "beyond", size=9, signers=(SIGNER,)))
    assert outcomes(report) == {1: UNPROVED, 8: UNPROVED, 10: UNPROVED}
    assert "no key that vouches for a size of 10" in found(report)


def test_a_bad_signature_of_the_old_key_condemns_the_head_although_the_new_one_signed_it(tmp_path: Path) -> None:
    folder = rotated(tmp_path, size=7)
    forged = SIGNER.sign("another text\n").encode()
    put(folder / "log/checkpoint", (folder / "log/checkpoint").read_bytes() + forged)
    assert outcomes(verify_directory(folder))[1] == TAMPERED


def test_a_key_that_the_log_never_named_took_over_from_nobody(tmp_path: Path) -> None:
    report = verify_directory(rotated(tmp_path, size=7, said={"use": "witness", "vkey": NEW.vkey}))
    assert outcomes(report) == {12: UNPROVED}


def test_a_key_may_be_named_by_its_thumbprint(tmp_path: Path) -> None:
    said: dict[str, object] = {"use": "log", "what": "in-use", "kid": key_of(5).kid}
    assert verify_directory(rotated(tmp_path, size=7, said=said)).exit_code == 0


def test_a_shard_that_was_lost_in_part_is_unproved_for_ever_and_its_successor_can_be_read(tmp_path: Path) -> None:
    folder = Shards(exchange=Exchange(entries=usual(300).entries)).write(tmp_path)
    for part in ("entries/001", "entries/002.p/92", "0/002.p/92"):
        (folder / "log/1/tile" / part).unlink()
    report = verify_directory(folder)
    assert outcomes(report) == {2: UNPROVED, 3: UNPROVED, 11: UNPROVED}
    assert report.exit_code == 2

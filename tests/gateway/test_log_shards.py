"""The gateway's log is frozen by one person and goes on when two want it: at the desk, over HTTP, as evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, text, update

from audit import log
from audit.checkpoint import open_checkpoint, sign_checkpoint
from audit.entry import make_entry
from audit.errors import LogError, ShardError
from audit.form import APPROVED, CONTINUED, FREEZE, FREEZE_AT, READ, SUBMISSION
from audit.keys import origin_of
from audit.merkle import leaf_hash, verify_inclusion
from audit.note import NoteSigner
from audit.receipts import receipt_hash
from audit.tables import log_head, log_leaf
from audit.verify import verify_directory
from gateway.approvals import approve
from gateway.errors import AccessDeniedError, ProposalError
from gateway.evidence_export import write_evidence
from gateway.health import check_health
from gateway.log_shards import freeze_log, propose_successor
from gateway.people.person import Person
from schemas import jws
from schemas.errors import SignatureError
from schemas.times import now_millis, utc_text
from tests.gateway.callers import caller, code_of, listening
from tests.gateway.commands import quiet, refused, register, taipu, taipu_json
from tests.gateway.hands import carry, entries, hand_in, publish
from tests.gateway.key_hands import rotated
from tests.people import person, session_of
from tests.world import JIASHAN, WUJIANG, Node, reading_line, running, wait_for


@pytest.fixture
def guard(wujiang: Node) -> Person:
    return person(wujiang, "hu", "security")


@pytest.fixture
def approver(wujiang: Node) -> Person:
    return person(wujiang, "li", "approver")


def drain(node: Node) -> None:
    while node.gateway.sequencer.step():
        pass


def head(node: Node, shard: int | None = None) -> log.Head:
    with node.gateway.database.read() as session:
        return log.head(session, shard)


def nothing_waits(node: Node) -> bool:
    with node.gateway.database.read() as session:
        return log.head(session).signed and not log.count_waiting(session)


def freeze(node: Node, by: Person, **more: bytes) -> log.Head:
    return freeze_log(node.gateway, reason="drill", by=by, now=now_millis(), **more)


def go_on(node: Node, by: Person, approver: Person) -> None:
    now = now_millis()
    proposal = propose_successor(node.gateway, by=by, reason="after the drill", now=now)
    approve(node.gateway, proposal.id, by=approver, digest=proposal.digest, now=now)


def proved(node: Node, folder: Path, **how: Path) -> str:
    write_evidence(node.gateway, folder)
    number = head(node).shard
    keys = [
        signer.vkey
        for shard in range(1, number + 1)
        for signer in node.gateway.log_signers(origin_of(node.gateway.settings.log_origin, shard))
    ]
    report = verify_directory(folder, vkey=keys, **how)
    assert report.exit_code == 0, report.as_text()
    return report.sentence


def set_back(node: Node, size: int) -> None:
    """The database as a backup of the first shard has it; the head store stays."""
    with node.gateway.database.write() as session:
        if session.dialect.name == "postgresql":
            session.execute(text("ALTER TABLE log_leaf DISABLE TRIGGER ALL"))
        else:
            session.execute(text("DROP TRIGGER log_leaf_no_delete"))
        edge = log.compact_range(session, size, 1)
        session.execute(delete(log_leaf).where((log_leaf.c.shard > 1) | (log_leaf.c.idx >= size)))
        session.execute(delete(log_head).where(log_head.c.shard > 1))
        values = {"size": size, "root": edge.root(), "hashes": b"".join(edge.hashes), "frozen": None}
        session.execute(update(log_head).values(**values, checkpoint=None, signed_size=0))


def test_one_person_freezes_the_log_at_once_and_two_let_it_go_on(wujiang, guard, approver, tmp_path):
    state = tmp_path / "visits.json"
    hand_in(wujiang, reading_line(0))
    assert publish(wujiang)
    drain(wujiang)
    proved(wujiang, tmp_path / "before", state=state)
    frozen = freeze(wujiang, guard)
    assert (frozen.shard, frozen.frozen, frozen.signed) == (1, frozen.size, True)
    assert [check.ok for check in check_health(wujiang.gateway) if check.name == "log"] == [False]
    hand_in(wujiang, reading_line(1))  # what is exchanged meanwhile waits for its place
    drain(wujiang)
    assert head(wujiang) == frozen
    proved(wujiang, tmp_path / "frozen", state=state)
    go_on(wujiang, guard, approver)
    drain(wujiang)
    assert head(wujiang).shard == 2
    assert all(check.ok for check in check_health(wujiang.gateway))
    assert "in 2 shards" in proved(wujiang, tmp_path / "after", state=state)
    kinds = [entry["t"] for entry in entries(wujiang)]
    at = kinds.index(FREEZE)
    assert kinds[at + 1] == CONTINUED
    assert kinds.index(APPROVED) > at
    assert kinds.index(APPROVED) > len(kinds) - 1 - kinds[::-1].index(SUBMISSION) > at
    assert entries(wujiang, FREEZE)[0]["actor"].startswith("person:")


def test_to_freeze_takes_the_permission_and_the_second_factor_just_shown(wujiang, guard, approver):
    drain(wujiang)
    for by, code in [
        (approver, "person.not-permitted"),
        (person(wujiang, "sun", "audit"), "person.not-permitted"),
        (replace(guard, confirmed=0), "person.confirm-again"),
    ]:
        with pytest.raises(AccessDeniedError) as caught:
            freeze(wujiang, by)
        assert caught.value.code == code
    for reason in ("", " ", "x" * 501, "a\nb"):
        with pytest.raises(ShardError) as refusal:
            freeze_log(wujiang.gateway, reason=reason, by=guard, now=now_millis())
        assert refusal.value.code == "log.reason-invalid"
    assert head(wujiang).frozen is None


def test_nobody_continues_alone_nor_what_is_not_frozen_nor_another_head_than_was_shown(wujiang, guard, approver):
    drain(wujiang)
    now = now_millis()
    with pytest.raises(ShardError) as caught:
        propose_successor(wujiang.gateway, by=guard, now=now)
    assert caught.value.code == "log.not-frozen"
    freeze(wujiang, guard)
    with pytest.raises(AccessDeniedError):
        propose_successor(wujiang.gateway, by=approver, now=now)
    proposal = propose_successor(wujiang.gateway, by=guard, now=now)
    with pytest.raises(AccessDeniedError):
        approve(wujiang.gateway, proposal.id, by=guard, digest=proposal.digest, now=now)
    with pytest.raises(ProposalError) as own:
        approve(wujiang.gateway, proposal.id, by=replace(guard, roles=approver.roles), digest=proposal.digest, now=now)
    assert own.value.code == "proposal.own"
    assert head(wujiang).shard == 1
    approve(wujiang.gateway, proposal.id, by=approver, digest=proposal.digest, now=now)
    assert (head(wujiang).shard, head(wujiang).signed) == (2, True)


def test_an_approval_is_for_the_head_that_was_shown_and_no_other(wujiang, guard, approver):
    drain(wujiang)
    freeze(wujiang, guard)
    now = now_millis()
    shown = propose_successor(wujiang.gateway, by=guard, now=now)
    with wujiang.gateway.database.write() as session:
        session.execute(update(log_head).values(root=bytes(32)))
    with pytest.raises(ShardError) as caught:
        approve(wujiang.gateway, shown.id, by=approver, digest=shown.digest, now=now)
    assert caught.value.code == "log.head-unfit"
    assert head(wujiang).shard == 1


def test_a_stolen_key_is_answered_by_ending_the_log_at_a_head_that_others_kept(wujiang, guard, approver, tmp_path):
    hand_in(wujiang, reading_line(0))
    drain(wujiang)
    kept = head(wujiang).checkpoint
    assert kept is not None
    hand_in(wujiang, reading_line(1))
    drain(wujiang)
    size = open_checkpoint(kept, [wujiang.gateway.log_signer.verifier]).size
    assert head(wujiang).size > size
    frozen = freeze(wujiang, guard, note=kept)
    assert (frozen.size, frozen.checkpoint) == (size, kept)
    go_on(wujiang, guard, approver)
    drain(wujiang)
    sentence = proved(wujiang, tmp_path / "evidence")
    assert "in 2 shards" in sentence
    assert entries(wujiang, CONTINUED)[0]["detail"]["carried"] > 0
    assert entries(wujiang, FREEZE_AT)[0]["detail"]["size"] == size


def test_a_head_that_is_not_this_logs_ends_nothing(wujiang, guard):
    drain(wujiang)
    signer, found = wujiang.gateway.log_signer, head(wujiang)
    stranger = NoteSigner(signer.name, Ed25519PrivateKey.generate())
    for note, error in [
        (sign_checkpoint(signer, found.size + 5, bytes(32)), ShardError),  # a thief's, beyond anything we pinned
        (sign_checkpoint(signer, found.size, bytes(32)), ShardError),
        (sign_checkpoint(stranger, found.size, found.root), SignatureError),
        (b"not a note", SignatureError),
    ]:
        with pytest.raises(error):
            freeze(wujiang, guard, note=note)
    assert head(wujiang).frozen is None


def test_a_restored_database_goes_on_in_a_successor_and_says_what_it_lost(wujiang, guard, approver, tmp_path):
    for number in range(3):
        hand_in(wujiang, reading_line(number))
        drain(wujiang)
    whole = head(wujiang)
    set_back(wujiang, whole.size - 1)
    with pytest.raises(LogError):
        wujiang.gateway.sequencer.step()
    frozen = freeze(wujiang, guard)
    assert (frozen.size, frozen.root, frozen.held) == (whole.size, whole.root, whole.size - 1)
    go_on(wujiang, guard, approver)
    drain(wujiang)
    write_evidence(wujiang.gateway, tmp_path)
    report = verify_directory(tmp_path)
    assert report.exit_code == 2, report.as_text()
    assert any("shard 1" in finding.text for row in report.rows for finding in row.findings)


def test_a_database_restored_to_before_the_successor_freezes_both_and_opens_a_third(wujiang, guard, approver):
    hand_in(wujiang, reading_line(0))
    drain(wujiang)
    before = head(wujiang).size
    freeze(wujiang, guard)
    go_on(wujiang, guard, approver)
    drain(wujiang)
    second = head(wujiang)
    set_back(wujiang, before)
    frozen = freeze(wujiang, guard)
    assert (frozen.shard, frozen.size, frozen.held) == (2, second.size, 0)
    go_on(wujiang, guard, approver)
    drain(wujiang)
    assert head(wujiang).shard == 3


def test_a_log_that_was_forked_is_not_frozen_behind_its_back(wujiang, guard):
    hand_in(wujiang, reading_line(0))
    drain(wujiang)
    with wujiang.gateway.database.write() as session:
        session.execute(update(log_head).values(root=bytes(32), checkpoint=None, signed_size=0))
    with pytest.raises(LogError):
        freeze(wujiang, guard)
    assert head(wujiang).frozen is None


def test_each_shard_is_served_under_its_number_and_the_one_in_force_where_it_was(wujiang, guard, approver):
    with wujiang.gateway.database.write() as session:
        log.append_many(session, [make_entry(READ, at=utc_text(n), party=WUJIANG) for n in range(300)])
    drain(wujiang)
    freeze(wujiang, guard)
    go_on(wujiang, guard, approver)
    drain(wujiang)
    first, second = head(wujiang, 1), head(wujiang, 2)
    with listening(wujiang) as http:
        auditor = caller(http, wujiang, WUJIANG, "audit:read")
        assert http.get("/log/checkpoint").content == http.get("/log/2/checkpoint").content == second.checkpoint
        assert http.get("/log/1/checkpoint").content == first.checkpoint
        for tile in ("tile/0/000", "tile/entries/000"):
            old, moving = auditor.get(f"/log/1/{tile}"), auditor.get(f"/log/{tile}.p/{second.size}")
            fixed = auditor.get(f"/log/2/{tile}.p/{second.size}")
            assert (old.status_code, moving.status_code, fixed.status_code) == (200, 200, 200)
            assert moving.content == fixed.content
            assert not old.content.startswith(moving.content)
            assert old.headers["cache-control"] == "private, max-age=31536000, immutable"
            assert moving.headers["cache-control"] == "private, no-cache"
            assert fixed.headers["cache-control"] == "private, max-age=3600"
        stranger = caller(http, wujiang, JIASHAN, "audit:read")
        assert code_of(stranger.get("/log/1/tile/entries/000"), 403) == "access.not-home"
        assert code_of(http.get("/log/1/tile/0/000"), 401) == "token.missing"
        assert code_of(http.get("/log/3/checkpoint"), 404) == "log.empty"
        assert code_of(auditor.get("/log/3/tile/0/000.p/1"), 404) == "tile.not-found"
        for number in ("0", "x", "1001", "-1"):
            assert code_of(http.get(f"/log/{number}/checkpoint"), 400) == "request.malformed"


def test_a_running_gateway_is_frozen_goes_on_and_is_verified_from_afar(wujiang, guard, approver, tmp_path):
    client, words = tmp_path / "auditor.json", ("--id", "auditor", "--party", WUJIANG, "--kind", "auditor")
    home = wujiang.gateway.settings.home
    with quiet(), running(wujiang):
        added = register(home, *words, "--scope", "audit:read", "--key-out", tmp_path / "key")
        client.write_text(added.stdout)
        verify = ("audit", "verify", wujiang.url, "--client", client, "--state", tmp_path / "visits.json")
        wait_for(lambda: head(wujiang).signed)
        done = taipu(*verify)
        assert done.exit_code == 0, done.output
        freeze(wujiang, guard)
        go_on(wujiang, guard, approver)
        hand_in(wujiang, reading_line(0))
        wait_for(
            lambda: head(wujiang).shard == 2 and len(entries(wujiang)) == head(wujiang, 1).size + head(wujiang).size
        )
        wait_for(lambda: head(wujiang).signed)
        done = taipu(*verify)
    assert done.exit_code == 0, done.output
    assert "in 2 shards" in done.stdout
    assert wujiang.gateway.read_only is None


def test_the_commands_list_freeze_and_propose(wujiang, guard, approver, tmp_path):
    hand_in(wujiang, reading_line(0))
    drain(wujiang)
    home = ("--home", wujiang.gateway.settings.home)
    env = {"TAIPU_SESSION": session_of(wujiang, guard)}
    refused(taipu("audit", "freeze", "--reason", "x", *home, env={"TAIPU_SESSION": ""}), "session.missing")
    done = taipu("audit", "freeze", "--reason", "a drill", *home, "--json", env=env)
    assert done.exit_code == 0, done.output
    frozen = json.loads(done.stdout)
    assert (frozen["shard"], frozen["size"]) == (1, head(wujiang).size)
    refused(taipu("audit", "freeze", "--reason", "again", *home, env=env), "log.frozen")
    done = taipu("audit", "continue", "--reason", "after the drill", *home, "--json", env=env)
    assert done.exit_code == 0, done.output
    proposal = json.loads(done.stdout)
    assert proposal["size"] == frozen["size"]
    approve(wujiang.gateway, proposal["proposal"], by=approver, digest=proposal["digest"], now=now_millis())
    listed = taipu_json("audit", "shards", *home)
    assert [(row["shard"], row["state"], row["beyond"]) for row in listed] == [(1, "frozen", []), (2, "in force", [])]
    assert "in force" in taipu("audit", "shards", *home).stdout
    assert taipu("audit", "verify", wujiang.gateway.settings.home).exit_code == 0


def test_a_key_that_changed_before_the_freeze_is_known_for_both_shards(wujiang, guard, approver, tmp_path):
    drain(wujiang)
    rotated(wujiang, "log")
    hand_in(wujiang, reading_line(0))
    drain(wujiang)
    freeze(wujiang, guard)
    go_on(wujiang, guard, approver)
    drain(wujiang)
    write_evidence(wujiang.gateway, tmp_path)
    report = verify_directory(tmp_path)
    assert report.exit_code == 0, report.as_text()
    assert "in 2 shards" in report.sentence


def test_a_receipt_given_before_the_freeze_is_proved_in_the_successor(wujiang, jiashan, tmp_path):
    hand_in(wujiang, reading_line(0))
    drain(jiashan)
    (batch, *_) = publish(wujiang)
    guard, approver = person(jiashan, "hu", "security"), person(jiashan, "li", "approver")
    token = carry(batch, wujiang, jiashan, dataset=batch.manifest.dataset).receipt  # promised, not integrated yet
    freeze(jiashan, guard)
    go_on(jiashan, guard, approver)
    drain(jiashan)
    proved(jiashan, tmp_path)
    with listening(jiashan) as http:
        provider = caller(http, jiashan, WUJIANG, "feeds:read", kind="gateway")
        proof = provider.get(f"/v1/receipts/{receipt_hash(token)}/proof").json()
    assert proof["shard"] == 2
    (signer,) = jiashan.gateway.log_signers(origin_of(jiashan.gateway.settings.log_origin, 2))
    checkpoint = open_checkpoint(proof["checkpoint"].encode(), [signer.verifier])
    path = [jws.b64decode(node) for node in proof["proof"]]
    verify_inclusion(leaf_hash(proof["entry"].encode()), proof["index"], checkpoint.size, path, checkpoint.root)

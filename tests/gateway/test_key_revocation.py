"""A key is lost or stolen: the drill, step by step, at the party whose key it was and at its partner."""

from __future__ import annotations

from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from audit import log as exchange_log
from audit.errors import ReceiptError
from audit.form import CONTINUED, FINDING, KEY_CHANGED, parse_entry
from audit.keys import origin_of
from audit.note import claimed_signers
from audit.receipts import open_receipt, sign_receipt
from gateway import approvals, party_document
from gateway.errors import ConflictError, ProposalError
from gateway.key_revocation import propose_revocation, stop_key
from gateway.key_rotation import settle
from gateway.key_trust import pinned_before
from gateway.log_succession import continue_log
from gateway.store.own_keys import Doubted, doubted
from gateway.sync.apply import is_passed_over
from gateway.sync.receive import take_receipt
from partners.delivery import due_receipts
from partners.document import open_document
from partners.keys import KeysError
from schemas import jws
from schemas.batch import Batch
from schemas.errors import BatchError
from schemas.times import now_millis, utc_text
from tests.gateway.callers import caller, listening
from tests.gateway.hands import carry, entries, hand_in, party_at, publish
from tests.gateway.key_hands import forged, keeper_of, own, revoked, rotated, settled, told
from tests.people import person
from tests.world import WUJIANG, Node, reading_line


def exchanged(node: Node, other: Node, minute: int) -> Batch:
    """A batch that the other took and gave its receipt for."""
    hand_in(node, reading_line(minute))
    batch = publish(node)[-1]
    applied = carry(batch, node, other)
    take_receipt(node.gateway, party_at(node, other), applied.receipt, now=now_millis())
    return batch


def marked(node: Node) -> list[Doubted]:
    with node.gateway.database.read() as session:
        return doubted(session)


def refusal(batch: Batch, node: Node, other: Node) -> str:
    with pytest.raises(BatchError) as caught:
        carry(batch, node, other)
    return caught.value.code


def test_the_drill_of_a_stolen_manifest_key(wujiang: Node, jiashan: Node) -> None:
    # 1. Everything is well: a batch is exchanged and receipted. Then the key is stolen, and nobody knows.
    thief = wujiang.gateway.keys.manifest
    sites = next(batch for batch in publish(wujiang) if batch.manifest.dataset == "wj-sites")
    take_receipt(wujiang.gateway, party_at(wujiang, jiashan), carry(sites, wujiang, jiashan).receipt, now=now_millis())
    good = exchanged(wujiang, jiashan, 0)
    stolen_at = now_millis() + 1
    while now_millis() <= stolen_at:
        pass
    # 2. The thief's batch is taken, for it is validly signed; and the rightful owner publishes one of that number.
    bad = forged(thief, good)
    assert carry(bad, wujiang, jiashan).verdict == "accepted"
    hand_in(wujiang, reading_line(1))
    [own] = publish(wujiang)
    # 3. It is found out. Two persons revoke the key, and another one is in use at once.
    revoked(wujiang, "manifest", since=stolen_at)
    assert wujiang.gateway.keys.manifest.kid != thief.kid
    with pytest.raises(ConflictError) as caught:
        revoked(wujiang, "manifest", since=stolen_at, kid=thief.kid)
    assert caught.value.code == "keys.revoked"
    # 4. At home, what nothing pins is listed with its number and manifest.
    assert [(one.dataset, one.seq, one.manifest, one.kid, one.why) for one in marked(wujiang)] == [
        ("wj-antimony", 2, own.hash, thief.kid, "key.compromised")
    ]
    change = entries(wujiang, KEY_CHANGED)[-2]["detail"]
    assert (change["what"], change["since"], change["doubted"]) == ("revoked", utc_text(stolen_at), 1)
    assert change["last"]["wj-antimony"] == {"seq": 1, "manifest": good.hash}
    # 5. The partner learns it from the document: marks what it took, says so in its log, and refuses more.
    told(wujiang, jiashan)
    assert [(one.seq, one.manifest) for one in marked(jiashan)] == [(2, bad.hash)]
    assert entries(jiashan, FINDING)[-1]["detail"] == {"code": "key.compromised", "count": 1}
    assert refusal(forged(thief, bad), wujiang, jiashan) == "batch.key-revoked"
    assert refusal(own, wujiang, jiashan) == "batch.key-revoked"
    # 6. What was pinned from before is still what it was.
    assert carry(good, wujiang, jiashan).fresh is False
    document = open_document(party_document.published_document(wujiang.gateway))
    vouched = [document.vouches(thief.kid, dataset="wj-antimony", seq=n, manifest=h) for n, h in [
        (1, good.hash), (1, bad.hash), (2, own.hash), (3, own.hash)]]  # fmt: skip
    assert vouched == ["good", "key-revoked", "key-revoked", "key-revoked"]


def test_a_feed_goes_on_over_what_a_stolen_key_signed_without_taking_it(wujiang: Node, jiashan: Node) -> None:
    thief = wujiang.gateway.keys.manifest
    publish(wujiang)
    good = exchanged(wujiang, jiashan, 0)
    hand_in(wujiang, reading_line(1))
    [unpinned] = publish(wujiang)
    revoked(wujiang, "manifest", since=now_millis())
    hand_in(wujiang, reading_line(2))
    [after] = publish(wujiang)
    assert jws.kid_of(after.token) != thief.kid
    told(wujiang, jiashan)
    party = party_at(jiashan, wujiang)
    assert not is_passed_over(party, [unpinned.file])
    assert not is_passed_over(party, [forged(thief, good).file, after.file])
    assert is_passed_over(party, [unpinned.file, after.file])
    assert carry(unpinned, wujiang, jiashan, passed_over=True).verdict == "refused"
    assert carry(after, wujiang, jiashan).verdict == "accepted"


def test_receipts_of_a_stolen_key_are_refused_and_given_anew_under_the_next_one(wujiang: Node, jiashan: Node) -> None:
    publish(wujiang)
    thief = jiashan.gateway.keys.manifest
    hand_in(wujiang, reading_line(0))
    batch = publish(wujiang)[-1]
    since = now_millis()
    old = carry(batch, wujiang, jiashan).receipt
    false = sign_receipt(thief, replace(open_receipt(old, {thief.kid: thief.public}), at=utc_text(since - 60_000)))
    revoked(jiashan, "manifest", since=since)
    told(jiashan, wujiang)
    known = party_at(wujiang, jiashan)
    for token in (old, false):
        with pytest.raises(ReceiptError) as caught:
            take_receipt(wujiang.gateway, known, token, now=now_millis())
        assert caught.value.code == "receipt.key-revoked"
    with jiashan.gateway.database.read() as session:
        [anew] = [one.token for one in due_receipts(session, WUJIANG, now=now_millis()) if one.token != old]
    assert take_receipt(wujiang.gateway, known, anew, now=now_millis())


def test_a_receipt_that_an_old_key_dates_after_its_end_is_refused(wujiang: Node, jiashan: Node) -> None:
    publish(wujiang)
    hand_in(wujiang, reading_line(0))
    batch = publish(wujiang)[-1]
    thief = jiashan.gateway.keys.manifest
    receipt = carry(batch, wujiang, jiashan).receipt
    rotated(jiashan, "manifest")
    settled(jiashan)
    told(jiashan, wujiang)
    known = party_at(wujiang, jiashan)
    later = sign_receipt(thief, replace(open_receipt(receipt, {thief.kid: thief.public}), at=utc_text(now_millis())))
    with pytest.raises(ReceiptError) as caught:
        take_receipt(wujiang.gateway, known, later, now=now_millis())
    assert caught.value.code == "receipt.key-retired"
    assert take_receipt(wujiang.gateway, known, receipt, now=now_millis())


def test_a_lost_key_signs_no_more_and_all_it_signed_is_good(wujiang: Node, jiashan: Node) -> None:
    old = wujiang.gateway.keys.manifest
    publish(wujiang)
    hand_in(wujiang, reading_line(0))
    unsent = publish(wujiang)[-1]
    revoked(wujiang, "manifest", since=None)
    assert wujiang.gateway.keys.manifest.kid != old.kid
    assert marked(wujiang) == []
    told(wujiang, jiashan)
    assert carry(unsent, wujiang, jiashan).verdict == "accepted"
    assert refusal(forged(old, unsent), wujiang, jiashan) == "batch.key-retired"


def test_one_person_stops_a_key_at_once_and_two_decide_what_became_of_it(wujiang: Node) -> None:
    keeper = keeper_of(wujiang)
    key = stop_key(wujiang.gateway, "manifest", by=keeper, now=now_millis())
    with pytest.raises(KeysError) as caught:
        _ = wujiang.gateway.keys.manifest
    assert caught.value.code == "keys.stopped"
    with pytest.raises(KeysError):
        publish(wujiang)
    proposal = propose_revocation(wujiang.gateway, "manifest", since=None, by=keeper, now=now_millis())
    assert proposal.content["kid"] == key.kid
    both = person(wujiang, "chen", "security", "approver")
    with pytest.raises(ProposalError) as own:
        approvals.approve(
            wujiang.gateway, proposal.id, by=replace(both, roles=frozenset({"security", "approver"})),
            digest=proposal.digest, now=now_millis(),
        )  # fmt: skip
    assert own.value.code == "proposal.own"
    approver = person(wujiang, "li", "approver")
    approvals.approve(wujiang.gateway, proposal.id, by=approver, digest=proposal.digest, now=now_millis())
    assert publish(wujiang)


def test_tokens_of_a_stolen_oauth_key_are_refused_at_once_and_new_ones_are_given(wujiang: Node) -> None:
    """Key compromise of the AS: all old refused after the cut."""
    with listening(wujiang) as http:
        reader = caller(http, wujiang, WUJIANG, "feeds:read")
        assert reader.get("/v1/feeds").status_code == 200
        old = published_kids(http)
        revoked(wujiang, "oauth", since=now_millis())
        assert not published_kids(http) & old
        refused = reader.get("/v1/feeds")
        assert (refused.status_code, refused.json()["code"]) == (401, "token.invalid")
        reader.fetch_token()
        assert reader.get("/v1/feeds").status_code == 200


def published_kids(http: TestClient) -> set[str]:
    return {key["kid"] for key in http.get("/oauth/jwks").json()["keys"]}


def test_a_receipt_pins_only_from_before_and_only_what_is_held(wujiang: Node, jiashan: Node) -> None:
    publish(wujiang)
    before = now_millis()
    batch = exchanged(wujiang, jiashan, 0)
    gateway = wujiang.gateway
    with gateway.database.read() as session:
        assert pinned_before(gateway, session, WUJIANG, before) == {}
        assert pinned_before(gateway, session, WUJIANG, now_millis() + 1) == {"wj-antimony": (1, batch.hash)}
    with jiashan.gateway.database.read() as session:
        pins = pinned_before(jiashan.gateway, session, WUJIANG, now_millis() + 1)
    assert pins == {"wj-antimony": (1, batch.hash)}


def test_a_key_cannot_have_been_stolen_in_the_future(wujiang: Node) -> None:
    keeper = keeper_of(wujiang)
    with pytest.raises(ConflictError) as caught:
        propose_revocation(wujiang.gateway, "oauth", since=now_millis() + 60_000, by=keeper, now=now_millis())
    assert caught.value.code == "keys.since-invalid"
    with pytest.raises(ConflictError) as caught:
        propose_revocation(wujiang.gateway, "oauth", since=None, kid="x", by=keeper, now=now_millis())
    assert caught.value.code == "keys.unknown"


def test_the_log_goes_on_in_a_successor_shard_where_its_key_was_stolen(wujiang: Node) -> None:
    gateway = wujiang.gateway
    gateway.sequencer.step()
    stolen, origin = gateway.log_signer, gateway.settings.log_origin
    revoked(wujiang, "log", since=now_millis())
    assert not continue_log(gateway, now=now_millis())
    gateway.sequencer.step()
    with gateway.database.read() as session:
        ended = exchange_log.head(session)
    assert ended.checkpoint is not None
    assert stolen.verifier.key_id not in {key_id for _, key_id in claimed_signers(ended.checkpoint)}
    settle(gateway, now=now_millis())
    while gateway.sequencer.step():
        pass
    with gateway.database.read() as session:
        head = exchange_log.head(session)
        first = parse_entry(exchange_log.entries(session, 0, 1)[0])
    assert (head.shard, first["t"], first["detail"]["size"]) == (2, CONTINUED, ended.size)
    document = own(wujiang)
    assert document.log.origin == origin_of(origin, 2)
    assert document.log_vkeys == (gateway.log_signers(document.log.origin)[0].vkey,)
    old = {vkey.vkey: vkey.size for vkey in document.retired.log}
    assert old == {stolen.vkey: ended.size, gateway.log_signer.vkey: ended.size}

"""`/v1/inbox` and `/v1/receipts`: what partners hand over, and what they may ask of the receipts they were given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import zstandard
from sqlalchemy import select
from starlette.testclient import TestClient

from audit.checkpoint import open_checkpoint
from audit.form import BATCH_DELIVERED, RECEIPT_IN
from audit.merkle import leaf_hash, verify_inclusion
from audit.receipts import Receipt, open_receipt, receipt_hash, sign_receipt
from gateway.errors import RolledBackError
from gateway.store.feeds import to_frame
from partners.client import ZSTD
from partners.tables import delivery
from schemas import jws
from schemas.batch import MEDIA_TYPE, Batch, write_batch
from schemas.times import now_millis, utc_text
from tests.gateway.callers import Caller, caller, code_of, listening
from tests.gateway.hands import carry, entries, hand_in, publish, rows_of
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

OF_JIASHAN = {"id": "js-sites", "kind": "site", "provider": JIASHAN, "recipients": [WUJIANG, QINGPU]}
OTHERS = {"id": "js-waste", "kind": "site", "provider": JIASHAN, "recipients": [QINGPU]}
LAKES = {
    "id": "js-lakes",
    "kind": "site",
    "provider": JIASHAN,
    "recipients": [WUJIANG],
    "select": {"programmes": ["lake"]},
}
INBOX = f"/v1/inbox/{JIASHAN}/js-sites"
SCOPES = ("feeds:read", "feeds:push", "receipts:write")


class World:
    """Wujiang's gateway, asked by the gateways of Jiashan and Qingpu; Jiashan hands it batches and receipts."""

    def __init__(self, node: Node, http: TestClient, jiashan: Node, qingpu: Node) -> None:
        self.node = node
        self.of_jiashan, self.of_qingpu = jiashan, qingpu
        self.jiashan = caller(http, node, JIASHAN, *SCOPES, kind="gateway")
        self.qingpu = caller(http, node, QINGPU, *SCOPES, kind="gateway")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("exchange")
    node, jiashan, qingpu = nodes = [make_node(folder, party) for party in (WUJIANG, JIASHAN, QINGPU)]
    introduce(*nodes)
    bring_plan(plan_document(SITES, ANTIMONY, OF_JIASHAN, OTHERS, LAKES), *nodes)
    hand_in(node, site_line())
    publish(node)
    with listening(node) as http:
        yield World(node, http, jiashan, qingpu)
    for one in nodes:
        one.stop()


@pytest.fixture
def world(worlds: World) -> World:
    return worlds


@pytest.fixture
def batch(world: World) -> Batch:
    """The next batch of Jiashan's feed, not handed over yet."""
    number = rows_of(world.of_jiashan)["record"] + 1
    hand_in(world.of_jiashan, site_line(f"330421-SW-{number:04}"))
    made = [one for one in publish(world.of_jiashan) if one.manifest.dataset == "js-sites"]
    return made[0]


def push(by: Caller, batch: Batch, *, seq: int | None = None, content: bytes | None = None, media: str = ZSTD) -> Any:
    content = to_frame(batch.file) if content is None else content
    path = f"{INBOX}/{batch.manifest.seq if seq is None else seq}"
    return by.put(path, content=content, headers={"Content-Type": media})


def keys_of(node: Node) -> dict[str, Any]:
    key = node.gateway.keys.manifest
    return {key.kid: key.public}


@pytest.mark.parametrize("media", [ZSTD, MEDIA_TYPE])
def test_a_batch_that_is_pushed_is_answered_with_the_receipt_for_it(world: World, batch: Batch, media: str) -> None:
    content = batch.file if media == MEDIA_TYPE else to_frame(batch.file)
    answer = push(world.jiashan, batch, content=content, media=media)
    assert answer.status_code == 200, answer.text
    receipt = open_receipt(answer.json()["receipt"], keys_of(world.node))
    assert (receipt.from_party, receipt.to_party, receipt.manifest) == (WUJIANG, JIASHAN, batch.hash)
    assert (receipt.verdict, receipt.applied) == ("accepted", 1)


def test_a_batch_that_is_pushed_again_is_answered_with_the_same_receipt(world: World, batch: Batch) -> None:
    first = push(world.jiashan, batch)
    before = rows_of(world.node)
    again = push(world.jiashan, batch)
    assert (again.status_code, again.json()) == (200, first.json())
    assert rows_of(world.node) == before


def test_a_frame_is_kept_as_it_came(world: World, batch: Batch) -> None:
    frame = zstandard.ZstdCompressor(level=9, write_checksum=True).compress(batch.file)
    assert frame != to_frame(batch.file)
    assert push(world.jiashan, batch, content=frame).status_code == 200
    served = world.jiashan.get(f"/v1/feeds/{JIASHAN}/js-sites/{batch.manifest.seq}", headers={"Accept": ZSTD})
    assert served.content == frame


def test_a_batch_that_is_refused_whole_spends_its_number_and_says_so_with_a_receipt(world: World, batch: Batch) -> None:
    lines = [site_line("330421-SW-0500")]  # without a revision: the schema demands one of what is shared
    bad = write_batch(
        world.of_jiashan.gateway.keys.manifest, lines, provider=JIASHAN, dataset="js-lakes", plan=batch.manifest.plan,
        plan_digest=batch.manifest.plan_digest, seq=1, prev="", first="", last="", created=batch.manifest.created,
    )  # fmt: skip
    path, media = f"/v1/inbox/{JIASHAN}/js-lakes/1", {"Content-Type": MEDIA_TYPE}
    answer = world.jiashan.put(path, content=bad.file, headers=media)
    assert code_of(answer, 422) == "batch.refused"
    receipt = open_receipt(answer.json()["receipt"], keys_of(world.node))
    assert (receipt.verdict, receipt.seq, receipt.manifest) == ("refused", 1, bad.hash)
    assert b"record.rev-missing" in world.jiashan.get(answer.json()["report"]).content
    again = world.jiashan.put(path, content=bad.file, headers=media)
    assert (again.status_code, again.json()["receipt"]) == (422, answer.json()["receipt"])
    assert push(world.jiashan, batch).status_code == 200, "another feed goes on"


def test_nobody_but_its_provider_pushes_a_feed(world: World, batch: Batch) -> None:
    assert code_of(push(world.qingpu, batch), 403) == "feed.not-provider"
    assert push(world.jiashan, batch).status_code == 200


def test_a_feed_that_the_plan_does_not_give_us_is_not_taken(world: World, batch: Batch) -> None:
    path = f"/v1/inbox/{JIASHAN}/js-waste/1"
    answer = world.jiashan.put(path, content=to_frame(batch.file), headers={"Content-Type": ZSTD})
    assert code_of(answer, 403) == "access.not-granted"
    assert push(world.jiashan, batch).status_code == 200


def damaged(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def test_what_the_provider_did_not_sign_changes_nothing_and_spends_no_number(world: World, batch: Batch) -> None:
    before = rows_of(world.node)
    frame, file = to_frame(batch.file), batch.file
    tries: list[tuple[dict[str, Any], str]] = [
        ({"seq": batch.manifest.seq + 1}, "batch.number-wrong"),
        ({"content": b""}, "batch.frame-invalid"),
        ({"content": damaged(frame, len(frame) // 2)}, "batch."),
        ({"content": frame + frame}, "batch.frame-invalid"),
        ({"content": damaged(file, 40), "media": MEDIA_TYPE}, "signature."),
        ({"content": damaged(file, len(file) - 4), "media": MEDIA_TYPE}, "batch."),
        ({"content": file + b"{}\n", "media": MEDIA_TYPE}, "batch."),
        ({"content": b"\xff\n", "media": MEDIA_TYPE}, "batch."),
    ]
    for options, code in tries:
        assert code_of(push(world.jiashan, batch, **options), 400).startswith((code, "batch.", "signature."))
    after = rows_of(world.node)
    assert {name for name in after if after[name] != before[name]} <= {"evidence"}
    assert push(world.jiashan, batch).status_code == 200


def test_a_batch_comes_as_one_of_two_media_types(world: World, batch: Batch) -> None:
    assert code_of(push(world.jiashan, batch, media="application/json"), 415) == "request.media-type"
    assert push(world.jiashan, batch).status_code == 200


def test_a_gap_is_answered_with_the_number_that_comes_next(world: World, batch: Batch) -> None:
    hand_in(world.of_jiashan, site_line("330421-SW-0900"))
    later = publish(world.of_jiashan)[0]
    answer = push(world.jiashan, later)
    assert code_of(answer, 409) == "feed.gap"
    assert answer.json()["expected"] == batch.manifest.seq
    assert [push(world.jiashan, one).status_code for one in (batch, later)] == [200, 200]


def test_a_batch_under_a_plan_that_has_not_come_waits_and_is_not_refused(world: World, batch: Batch) -> None:
    manifest = batch.manifest
    early = write_batch(
        world.of_jiashan.gateway.keys.manifest, batch.lines, provider=JIASHAN, dataset="js-sites",
        plan=manifest.plan.replace("@1", "@2"), plan_digest=manifest.plan_digest, seq=manifest.seq, prev=manifest.prev,
        first=manifest.first, last=manifest.last, created=manifest.created,
    )  # fmt: skip
    before = rows_of(world.node)
    assert code_of(push(world.jiashan, early), 409) == "batch.plan-unknown"
    assert rows_of(world.node) == before
    assert push(world.jiashan, batch).status_code == 200


def test_a_party_that_is_not_registered_hands_over_nothing(world: World) -> None:
    stranger = caller(world.jiashan.http, world.node, "330503", *SCOPES)
    assert code_of(stranger.post("/v1/receipts", content=b"x"), 403) == "access.not-a-partner"


def test_a_gateway_whose_database_was_set_back_takes_nothing_and_still_answers(world: World, batch: Batch) -> None:
    gateway = world.node.gateway
    gateway.read_only = RolledBackError("the database is behind")
    try:
        assert code_of(push(world.jiashan, batch), 503) == "gateway.read-only"
        assert code_of(world.jiashan.post("/v1/receipts", content=b"x"), 503) == "gateway.read-only"
        assert world.jiashan.get("/v1/feeds").status_code == 200
    finally:
        gateway.read_only = None
    assert push(world.jiashan, batch).status_code == 200


@pytest.fixture
def given(world: World) -> str:
    """Jiashan's receipt for a new batch of Wujiang's, not handed over yet."""
    hand_in(world.node, reading_line(rows_of(world.node)["observation"]))
    (made,) = publish(world.node)
    return carry(made, world.node, world.of_jiashan).receipt


def test_a_receipt_is_taken_once_closes_the_delivery_and_is_in_the_log(world: World, given: str) -> None:
    first, again = (world.jiashan.post("/v1/receipts", content=given) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    manifest = open_receipt(given, keys_of(world.of_jiashan)).manifest
    columns = (delivery.c.recipient, delivery.c.state, delivery.c.receipt)
    with world.node.gateway.database.read() as session:
        rows = session.execute(select(*columns).where(delivery.c.manifest == manifest)).all()
    states = {row[0]: tuple(row[1:]) for row in rows}
    assert states == {JIASHAN: ("delivered", receipt_hash(given)), QINGPU: ("pending", None)}
    for kind in (RECEIPT_IN, BATCH_DELIVERED):
        assert [entry["manifest"] for entry in entries(world.node, kind)].count(manifest) == 1


def test_a_forged_receipt_is_refused(world: World, given: str) -> None:
    header, payload, signature = given.split(".")
    said = json.loads(jws.b64decode(payload))
    forged = jws.b64encode(json.dumps(said | {"applied": said["applied"] + 1}).encode())
    for token in (f"{header}.{forged}.{signature}", f"{header}.{payload}.{'A' * 86}", "x", "", "a.b.c"):
        assert code_of(world.jiashan.post("/v1/receipts", content=token), 400).startswith("signature.")
    assert code_of(world.jiashan.post("/v1/receipts", content=b"\xff"), 400) == "request.malformed"
    assert world.jiashan.post("/v1/receipts", content=given).status_code == 201


def test_a_receipt_is_handed_over_by_the_party_that_signed_it_and_says_so(world: World, given: str) -> None:
    assert code_of(world.qingpu.post("/v1/receipts", content=given), 400).startswith("signature.")
    receipt = open_receipt(given, keys_of(world.of_jiashan))
    key = world.of_qingpu.gateway.keys.manifest
    in_anothers_name = sign_receipt(key, receipt)
    assert code_of(world.qingpu.post("/v1/receipts", content=in_anothers_name), 403) == "receipt.not-sender"
    to_another = sign_receipt(key, replace(receipt, from_party=QINGPU, to_party=JIASHAN))
    assert code_of(world.qingpu.post("/v1/receipts", content=to_another), 403) == "receipt.not-sender"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"manifest": "A" * 43}, 404, "receipt.batch-unknown"),
        ({"seq": 999}, 404, "receipt.batch-unknown"),
        ({"dataset": "wj-sites"}, 404, "receipt.batch-unknown"),
        ({"provider": QINGPU}, 404, "receipt.batch-unknown"),
        ({"manifest": "A" * 43, "dataset": "nothing"}, 403, "access.not-granted"),
    ],
)
def test_a_receipt_for_what_we_never_gave_out_is_refused(
    world: World, given: str, change: dict[str, Any], status: int, code: str
) -> None:
    before = rows_of(world.node)["log"]
    receipt: Receipt = replace(open_receipt(given, keys_of(world.of_jiashan)), **change)
    token = sign_receipt(world.of_jiashan.gateway.keys.manifest, receipt)
    assert code_of(world.jiashan.post("/v1/receipts", content=token), status) == code
    refused = entries(world.node)[before:]
    assert not [entry for entry in refused if entry["t"] == RECEIPT_IN]


def test_a_receipt_we_gave_has_a_report_and_a_proof_for_whom_it_was_given_to(world: World, batch: Batch) -> None:
    token = push(world.jiashan, batch).json()["receipt"]
    receipt, digest = open_receipt(token, keys_of(world.node)), receipt_hash(token)
    report = world.jiashan.get(f"/v1/receipts/{digest}/report")
    assert receipt.report == jws.b64encode(sha256(report.content).digest())
    assert code_of(world.jiashan.get(f"/v1/receipts/{digest}/proof"), 404) == "receipt.not-integrated"
    world.node.gateway.sequencer.step()
    proof = world.jiashan.get(f"/v1/receipts/{digest}/proof").json()
    checkpoint = open_checkpoint(proof["checkpoint"].encode(), [world.node.gateway.log_signer.verifier])
    assert checkpoint.origin == receipt.log
    leaf = leaf_hash(proof["entry"].encode())
    assert jws.b64encode(leaf) == receipt.entry
    path = [jws.b64decode(node) for node in proof["proof"]]
    verify_inclusion(leaf, proof["index"], checkpoint.size, path, checkpoint.root)
    for name in ("report", "proof"):
        assert code_of(world.qingpu.get(f"/v1/receipts/{digest}/{name}"), 404) == "receipt.not-found"
        assert code_of(world.jiashan.get(f"/v1/receipts/nothing/{name}"), 404) == "receipt.not-found"


def test_a_receipt_with_its_time_in_another_form_is_not_one(world: World, given: str) -> None:
    receipt = open_receipt(given, keys_of(world.of_jiashan))
    key = world.of_jiashan.gateway.keys.manifest
    header = {"v": 1, "from": JIASHAN, "to": WUJIANG, "at": utc_text(now_millis()), "manifest": receipt.manifest}
    token = jws.sign(key, "taipu-receipt+jws", header)
    assert code_of(world.jiashan.post("/v1/receipts", content=token), 400) == "receipt.malformed"


def test_what_was_given_under_an_earlier_plan_is_still_receipted(world: World, given: str) -> None:
    """The last test of this file: the plan that follows gives Jiashan nothing any more."""
    bring_plan(plan_document(SITES, ANTIMONY | {"recipients": [QINGPU]}, version=2), world.node)
    assert code_of(world.jiashan.get(f"/v1/feeds/{WUJIANG}/wj-antimony"), 403) == "access.not-granted"
    assert world.jiashan.post("/v1/receipts", content=given).status_code == 201

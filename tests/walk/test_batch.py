"""The story of one batch: from a station's packet in Wujiang to values in Jiashan and Qingpu that anybody can check.

Three gateways run as processes with homes of their own and talk over TLS. The steps follow "the walk of one record" in
the architecture; the helpers stand below the story, in the order in which it needs them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.form import BATCH_RECEIVED, parse_entry
from audit.merkle import leaf_hash, root_of, verify_inclusion
from audit.note import parse_vkey
from audit.receipts import Receipt, open_receipt, receipt_hash
from audit.tiles import ENTRIES, decode_bundle, tiles_of_level
from gateway.store.feeds import to_frame
from partners import tables
from partners.client import PartnerClient
from partners.document import open_document
from partners.errors import PartnerRefusedError
from partners.reach import ANYWHERE
from schemas import jws
from schemas.batch import Batch, open_batch
from schemas.devices import parse_devices
from schemas.errors import BatchError
from schemas.hj212 import crc16
from schemas.times import now_millis
from tests.conftest import new_postgres
from tests.walk.processes import running
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
    site_line,
    wait_for,
)

STATION, SITE, FEED = "wujiang-station-3", "320509-SW-0003", str(ANTIMONY["id"])
MN = "320509A8900016F000169DC0"
DEVICES = f"""
devices:
  - mn: {MN}
    site: {SITE}
    profile: hj212-2017
    factors:
      w20004: {{unit: mg/L}}
"""
SEGMENT = (
    f"QN=20261120100305000;ST=21;CN=2061;PW=123456;MN={MN};Flag=5;CP=&&"
    "DataTime=20261120090000;w20004-Avg=0.0310,w20004-Flag=N&&"
).encode()
PACKET = b"##%04d%b%04X\r\n" % (len(SEGMENT), SEGMENT, crc16(SEGMENT))


def test_a_reading_walks_from_a_station_to_both_neighbours_and_every_step_can_be_proved(districts: Districts) -> None:
    wujiang, jiashan, qingpu = districts

    # 1. Wujiang's station sends an HJ 212 packet over HTTPS, as an OAuth client of its own.
    station = wujiang.client(kind="station", scopes=["records:submit"], client_id=STATION)
    answer = station.submit(PACKET, "text/vnd.hj212")

    # 2. The answer carries a signed receipt for exactly these bytes. Nobody has said where the station stands, so its
    #    reading waits for the site; it is not refused. Sent again, as loggers do, it gets the same answer.
    receipt = open_receipt(answer["receipt"], published(wujiang).manifest_keys)
    assert (receipt.from_party, receipt.to_party, receipt.manifest) == (WUJIANG, STATION, digest_of(PACKET))
    assert (answer["held"], answer["accepted"], answer["refused"]) == (1, 0, 0)
    assert station.submit(PACKET, "text/vnd.hj212") == answer

    # 3. The site arrives, and with it the reading that waited for it.
    assert station.submit(site_line(SITE), "application/x-ndjson")["accepted"] == 1

    # 4. It is published: batch number 1 appears in the feed of its dataset.
    visitor = wujiang.client(QINGPU, scopes=["feeds:read"])
    wait_for(lambda: heads_of(visitor).get(FEED) == 1)
    file = visitor.get(f"/v1/feeds/{WUJIANG}/{FEED}/1").content
    batch = open_batch(file, published(wujiang).manifest_keys)

    for neighbour in (jiashan, qingpu):
        # 5. Jiashan and Qingpu have it: the same text as in the packet, and where it came from.
        reading = wait_for_reading(neighbour)
        assert f"w20004-Avg={reading['value']},w20004-Flag={reading['flag']}&&".encode() in PACKET
        assert (reading["provider"], reading["site"], reading["unit"]) == (WUJIANG, SITE, "mg/L")
        assert (reading["at"], reading["period"]) == ("2026-11-20T09:00:00+08:00", "PT1H")

        # 6. Each gave a signed receipt for the batch, and Wujiang holds it.
        token = wait_for_receipt(wujiang, batch, neighbour.party)
        receipt = open_receipt(token, published(neighbour).manifest_keys)
        assert (receipt.from_party, receipt.to_party) == (neighbour.party, WUJIANG)
        assert (receipt.dataset, receipt.seq, receipt.manifest, receipt.verdict) == (FEED, 1, batch.hash, "accepted")

        # 7. Each log holds the entry that its receipt promised: a proof leads from the entry to the log's signed head.
        entry = prove_promise(neighbour, receipt, token)
        assert (entry["t"], entry["peer"], entry["manifest"]) == (BATCH_RECEIVED, WUJIANG, batch.hash)

    # 8. Wujiang's log holds what it promised its station: its auditor fetches all of it and hashes it to its head.
    promised = open_receipt(answer["receipt"], published(wujiang).manifest_keys).entry
    assert promised in [jws.b64encode(leaf_hash(entry)) for entry in audited_entries(wujiang)]

    # 9. The batch file needs nobody to vouch for it: with the key in the provider's document it verifies off line.
    [line] = open_batch(file, keys_in(wujiang.document).manifest_keys).lines
    assert json.loads(line)["value"] == "0.0310"

    # 10. A byte that is flipped on the way is noticed, wherever it is, and nothing changes by it.
    courier = qingpu.client(WUJIANG, kind="gateway", scopes=["feeds:push"])
    assert courier.push_batch(WUJIANG, FEED, 1, to_frame(file)) == wait_for_receipt(wujiang, batch, QINGPU)
    for place, code in FLIPS.items():
        damaged = flip(file, place)
        with pytest.raises(BatchError) as off_line:
            open_batch(damaged, published(wujiang).manifest_keys)
        with pytest.raises(PartnerRefusedError) as on_line:
            courier.push_batch(WUJIANG, FEED, 1, to_frame(damaged))
        assert (off_line.value.code, on_line.value.extra["partner_code"]) == (code, code)
    assert wait_for_reading(qingpu) == reading


class Districts(NamedTuple):
    """The three gateways of the story."""

    wujiang: Node
    jiashan: Node
    qingpu: Node


@pytest.fixture(params=["all on SQLite", "Wujiang on PostgreSQL"])
def districts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Districts]:
    """Three gateways that know each other and one plan, as processes; Wujiang also knows its station's data logger."""
    on_postgres = request.param == "Wujiang on PostgreSQL"
    database = new_postgres(request.getfixturevalue("postgres")) if on_postgres else None
    nodes = Districts(make_node(tmp_path, WUJIANG, database), make_node(tmp_path, JIASHAN), make_node(tmp_path, QINGPU))
    introduce(*nodes)
    bring_plan(plan_document(SITES, ANTIMONY), *nodes)
    with nodes.wujiang.gateway.database.write() as session:
        nodes.wujiang.gateway.devices.register(session, parse_devices(DEVICES.encode()).values(), now=now_millis())
    with running(*nodes):
        yield nodes


class Published(NamedTuple):
    """What a party publishes of its keys."""

    manifest_keys: dict[str, Ed25519PublicKey]
    log_vkey: str


def published(node: Node) -> Published:
    """The keys that the party's gateway publishes now, held against the fingerprint that was compared by telephone."""
    with PartnerClient(node.url, node.ca_pem, reach=ANYWHERE) as anybody:
        return keys_in(anybody.party_document(), pinned=open_document(node.document).fingerprint)


def keys_in(document: str, *, pinned: str | None = None) -> Published:
    opened = open_document(document, pinned=pinned)
    return Published({jwk.kid: jwk.public for jwk in opened.keys.manifest}, opened.log.vkey)


def digest_of(content: bytes) -> str:
    return jws.b64encode(hashlib.sha256(content).digest())


def heads_of(client: PartnerClient) -> dict[str, int]:
    """The number of the newest batch of every dataset that the client may read."""
    return {head.dataset: head.seq for head in client.feeds()[0]}


def wait_for_reading(node: Node) -> dict[str, Any]:
    """The one antimony value of Wujiang that a reader of this district comes to see."""
    reader = node.client(scopes=["records:read"])
    asked = {"party": WUJIANG, "factor": "w20004"}
    wait_for(lambda: reader.get("/v1/observations", asked).json()["observations"])
    [reading] = reader.get("/v1/observations", asked).json()["observations"]
    return dict(reading)


def wait_for_receipt(node: Node, batch: Batch, giver: str) -> str:
    """The receipt (compact JWS) for a batch of its own that the node comes to hold from `giver`."""
    table = tables.receipt
    query = select(table.c.token).where(
        table.c.manifest == batch.hash, table.c.party == giver, table.c.direction == "in"
    )

    def held() -> str | None:
        with node.gateway.database.read() as session:
            return session.scalar(query)

    wait_for(lambda: held() is not None)
    return str(held())


def prove_promise(node: Node, receipt: Receipt, token: str) -> dict[str, Any]:
    """The log entry that a receipt of `node` promised, as the receipt's holder is shown it, proved to be in the log."""
    holder = node.client(receipt.to_party, scopes=["feeds:read"])
    address = f"/v1/receipts/{receipt_hash(token)}/proof"
    wait_for(lambda: holder.get(address, accept=(200, 404)).status == 200)
    shown = holder.get(address).json()
    entry = shown["entry"].encode()
    assert jws.b64encode(leaf_hash(entry)) == receipt.entry
    head = open_head(node, shown["checkpoint"].encode())
    assert head.origin == receipt.log
    proof = [jws.b64decode(step) for step in shown["proof"]]
    verify_inclusion(leaf_hash(entry), shown["index"], head.size, proof, head.root)
    return parse_entry(entry)


def audited_entries(node: Node) -> list[bytes]:
    """Every entry of the node's log, after they were found to make its signed head."""
    auditor = node.client(kind="auditor", scopes=["audit:read"])
    head = open_head(node, auditor.get("/log/checkpoint").content)
    bundles = [auditor.get(f"/log/{tile.path}").content for tile in tiles_of_level(ENTRIES, head.size)]
    entries = [entry for bundle in bundles for entry in decode_bundle(bundle)]
    assert root_of(leaf_hash(entry) for entry in entries) == head.root
    return entries


def open_head(node: Node, note: bytes) -> Checkpoint:
    """A signed head of the node's log, under the key it publishes."""
    return open_checkpoint(note, [parse_vkey(published(node).log_vkey)])


FLIPS = {
    "the manifest": "batch.signature-invalid",
    "the signature": "batch.signature-invalid",
    "the value": "batch.digest-mismatch",
}


def flip(file: bytes, place: str) -> bytes:
    """The batch file with one bit of one byte changed: in the first line, `{"manifest":"…"}`, or in the record's."""
    at = {
        "the manifest": file.index(b".") + 40,
        "the signature": file.index(b"\n") - 40,
        "the value": file.index(b"0.0310") + 3,
    }
    damaged = bytearray(file)
    damaged[at[place]] ^= 1
    return bytes(damaged)

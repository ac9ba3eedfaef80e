"""The story of one batch: from a station's packet in Wujiang to values in Jiashan and Qingpu that anybody can check.

Three gateways run as processes with homes of their own and talk over TLS. The steps follow "the walk of one record" in
the architecture; helpers are below the story, in the order in which it needs them.
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

from audit.checkpoint import open_checkpoint
from audit.form import BATCH_RECEIVED, parse_entry
from audit.merkle import leaf_hash, root_of, verify_inclusion
from audit.note import parse_vkey
from audit.receipts import Receipt, open_receipt, receipt_hash
from audit.tiles import ENTRIES, decode_bundle, tiles_of_level
from gateway.ingest.devices import register_devices
from gateway.store.feeds import to_frame
from partners import tables
from partners.client import PartnerClient
from partners.document import open_document
from partners.errors import PartnerRefusedError
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

STATION = "wujiang-station-3"
FEED = ANTIMONY["id"]
MN = "320509A8900016F000169DC0"
DEVICES = f"""
devices:
  - mn: {MN}
    site: 320509-SW-0003
    profile: hj212-2017
    factors:
      w20004: {{unit: mg/L}}
"""
SEGMENT = (
    f"QN=20261120100305000;ST=21;CN=2061;PW=123456;MN={MN};Flag=5;CP=&&"
    "DataTime=20261120090000;w20004-Avg=0.0310,w20004-Flag=N&&"
).encode()
PACKET = b"##%04d%b%04X\r\n" % (len(SEGMENT), SEGMENT, crc16(SEGMENT))


class Districts(NamedTuple):
    """The three gateways of the story."""

    wujiang: Node
    jiashan: Node
    qingpu: Node


def test_a_reading_walks_from_a_station_to_both_neighbours_and_every_step_can_be_proved(districts: Districts) -> None:
    wujiang, jiashan, qingpu = districts

    # 1. Wujiang's station sends one HJ 212 packet over HTTPS, as an OAuth client of its own.
    station = wujiang.client(kind="station", scopes=["records:submit"], client_id=STATION)
    answer = station.submit(PACKET, "text/vnd.hj212")

    # 2. The answer carries a signed receipt for exactly these bytes. Nobody has said where the station stands, so its
    #    reading waits for the site; it is not refused.
    receipt = open_receipt(answer["receipt"], published(wujiang).manifest_keys)
    assert (receipt.from_party, receipt.to_party, receipt.manifest) == (WUJIANG, STATION, digest_of(PACKET))
    assert (answer["held"], answer["accepted"], answer["refused"]) == (1, 0, 0)

    # 3. The site arrives, and with it everything that waited for it.
    assert station.submit(site_line("320509-SW-0003"), "application/x-ndjson")["accepted"] == 1

    # 4. The reading appears in the feed of its dataset, as batch number 1.
    visitor = wujiang.client(QINGPU, scopes=["feeds:read"])
    wait_for(lambda: heads_of(visitor).get(FEED) == 1)

    # 5. Jiashan and Qingpu have it: the same text as in the packet, and where it came from.
    for neighbour in (jiashan, qingpu):
        wait_for(lambda neighbour=neighbour: len(readings_at(neighbour)) == 1)
        [reading] = readings_at(neighbour)
        assert f"w20004-Avg={reading['value']},w20004-Flag={reading['flag']}&&".encode() in PACKET
        assert (reading["provider"], reading["site"], reading["unit"]) == (WUJIANG, "320509-SW-0003", "mg/L")
        assert (reading["at"], reading["period"]) == ("2026-11-20T09:00:00+08:00", "PT1H")

    # 6. Each gave a signed receipt for it, and Wujiang holds both.
    file = visitor.get(f"/v1/feeds/{WUJIANG}/{FEED}/1").content
    batch = open_batch(file, published(wujiang).manifest_keys)
    wait_for(lambda: len(receipts_held(wujiang, batch)) == 2)
    for neighbour in (jiashan, qingpu):
        token = receipts_held(wujiang, batch)[neighbour.party]
        receipt = open_receipt(token, published(neighbour).manifest_keys)
        assert (receipt.from_party, receipt.to_party) == (neighbour.party, WUJIANG)
        assert (receipt.dataset, receipt.seq, receipt.manifest, receipt.verdict) == (FEED, 1, batch.hash, "accepted")

        # 7. And each one's log holds the entry that its receipt promised: a proof leads from it to the signed head.
        entry = promised_entry(neighbour, receipt, token)
        assert (entry["t"], entry["peer"], entry["manifest"]) == (BATCH_RECEIVED, WUJIANG, batch.hash)

    # 8. Wujiang's log holds what the station was promised, as its auditor finds by hashing all of it.
    promised = open_receipt(answer["receipt"], published(wujiang).manifest_keys).entry
    assert promised in [jws.b64encode(leaf_hash(entry)) for entry in audited_entries(wujiang)]

    # 9. The batch file needs nobody to vouch for it: with the provider's published key alone it verifies off line.
    [line] = open_batch(file, {jwk.kid: jwk.public for jwk in open_document(wujiang.document).keys.manifest}).lines
    assert json.loads(line)["value"] == "0.0310"

    # 10. And a byte that is flipped on the way is noticed, wherever it is.
    pusher = qingpu.client(WUJIANG, kind="gateway", scopes=["feeds:push"])
    assert pusher.push_batch(WUJIANG, FEED, 1, to_frame(file)) == receipts_held(wujiang, batch)[QINGPU]
    for place, code in FLIPS.items():
        forged = flipped(file, place)
        with pytest.raises(BatchError) as off_line:
            open_batch(forged, published(wujiang).manifest_keys)
        with pytest.raises(PartnerRefusedError) as on_line:
            pusher.push_batch(WUJIANG, FEED, 1, to_frame(forged))
        assert off_line.value.code == on_line.value.extra["partner_code"] == code
    assert [reading["value"] for reading in readings_at(qingpu)] == ["0.0310"]


FLIPS = {
    "the manifest": "batch.signature-invalid",
    "the signature": "batch.signature-invalid",
    "the value": "batch.digest-mismatch",
}


@pytest.fixture(params=["all on SQLite", "Wujiang on PostgreSQL"])
def districts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Districts]:
    """Three gateways that know each other and one plan, as processes; Wujiang also knows its station's data logger."""
    on_postgres = request.param == "Wujiang on PostgreSQL"
    database = new_postgres(request.getfixturevalue("postgres")) if on_postgres else None
    nodes = Districts(make_node(tmp_path, WUJIANG, database), make_node(tmp_path, JIASHAN), make_node(tmp_path, QINGPU))
    introduce(*nodes)
    bring_plan(plan_document(SITES, ANTIMONY), *nodes)
    with nodes.wujiang.gateway.database.write() as session:
        register_devices(session, parse_devices(DEVICES.encode()).values(), now=now_millis())
    with running(*nodes):
        yield nodes


class Published(NamedTuple):
    """What a party publishes of its keys, fetched from it and held against the fingerprint that was compared."""

    manifest_keys: dict[str, Ed25519PublicKey]
    log_vkey: str


def published(node: Node) -> Published:
    with PartnerClient(node.url, node.ca_pem) as anybody:
        document = open_document(anybody.party_document(), pinned=open_document(node.document).fingerprint)
    return Published({jwk.kid: jwk.public for jwk in document.keys.manifest}, document.log.vkey)


def digest_of(content: bytes) -> str:
    return jws.b64encode(hashlib.sha256(content).digest())


def heads_of(client: PartnerClient) -> dict[str, int]:
    """The number of the newest batch of every dataset that the client may read."""
    return {head.dataset: head.seq for head in client.feeds()[0]}


def readings_at(node: Node) -> list[dict[str, Any]]:
    """Wujiang's antimony as a reader of this district sees it."""
    reader = node.client(scopes=["records:read"])
    answer = reader.get("/v1/observations", {"party": WUJIANG, "factor": "w20004"})
    found: list[dict[str, Any]] = answer.json()["observations"]
    return found


def receipts_held(node: Node, batch: Batch) -> dict[str, str]:
    """The receipts (compact JWS) that the node has got for a batch of its own, by who gave them."""
    table = tables.receipt
    query = select(table.c.party, table.c.token).where(table.c.manifest == batch.hash, table.c.direction == "in")
    with node.gateway.database.read() as session:
        return {row.party: row.token for row in session.execute(query)}


def promised_entry(node: Node, receipt: Receipt, token: str) -> dict[str, Any]:
    """The log entry that a receipt of `node` promises, once it is in the log, as the receipt's holder is shown it."""
    holder = node.client(receipt.to_party, scopes=["feeds:read"])
    address = f"/v1/receipts/{receipt_hash(token)}/proof"
    wait_for(lambda: holder.get(address, accept=(200, 404)).status == 200)
    shown = holder.get(address).json()
    entry = shown["entry"].encode()
    assert jws.b64encode(leaf_hash(entry)) == receipt.entry
    head = open_checkpoint(shown["checkpoint"].encode(), [parse_vkey(published(node).log_vkey)])
    assert head.origin == receipt.log
    proof = [jws.b64decode(step) for step in shown["proof"]]
    verify_inclusion(leaf_hash(entry), shown["index"], head.size, proof, head.root)
    return parse_entry(entry)


def audited_entries(node: Node) -> list[bytes]:
    """Every entry of the node's log, after they were found to make its signed head."""
    auditor = node.client(scopes=["audit:read"])
    head = open_checkpoint(auditor.get("/log/checkpoint").content, [parse_vkey(published(node).log_vkey)])
    bundles = [auditor.get(f"/log/{tile.path}").content for tile in tiles_of_level(ENTRIES, head.size)]
    entries = [entry for bundle in bundles for entry in decode_bundle(bundle)]
    assert root_of(leaf_hash(entry) for entry in entries) == head.root
    return entries


def flipped(file: bytes, place: str) -> bytes:
    """The batch file with one bit of one byte changed."""
    at = {"the manifest": file.index(b".") + 40, "the signature": file.index(b"\n") - 40, "the value": file.index(b"0.0310")}
    damaged = bytearray(file)
    damaged[at[place]] ^= 1
    return bytes(damaged)

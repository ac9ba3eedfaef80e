"""Evidence for the offline verifier: a gateway's log, batches and receipts as files (`audit.evidence` has the layout).

Written from a gateway's own database, or downloaded from one by an auditor's client. Nothing is judged here; that is
`audit.verify`'s, which needs none of this. What a remote gateway says never chooses where a file is written.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from audit import log as exchange_log
from audit.checkpoint import open_checkpoint
from audit.form import parse_entry
from audit.merkle import leaf_hash
from audit.note import parse_vkey
from audit.receipts import open_receipt
from audit.tables import log_outbox
from audit.tiles import ENTRIES, tiles_of, tiles_of_level
from gateway.db import ReadSession
from gateway.party_document import published_document
from gateway.service import Gateway
from gateway.store import feeds
from partners.client import PartnerClient, RemoteHead
from partners.delivery import every_receipt
from partners.directory import parties
from partners.document import PartyDocument, is_party, open_document
from partners.errors import PartnerRefusedError
from schemas import jws

_DATASET = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_SIGNED_WITHIN = 1.0  # seconds after which the entry of a batch that was served is under a checkpoint


def write_evidence(gateway: Gateway, directory: Path) -> None:
    """Write all there is in the gateway's database to `directory`, which is made.

    One state of the database: what happened too late for the signed head is left for the next time.
    """
    document = open_document(published_document(gateway))
    with gateway.database.read() as session:
        if session.dialect.name == "postgresql":
            session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        keys = {party.code: party.manifest_keys for party in parties(session)}
        _write_party(directory, document, keys | {document.party: document.manifest_keys})
        _write_log(session, directory)
        unsigned = _unsigned_entries(session)
        _write_batches(session, directory, {parse_entry(entry).get("manifest") for entry in unsigned})
        unsigned_hashes = {jws.b64encode(leaf_hash(entry)) for entry in unsigned}
        for digest, token in every_receipt(session):
            if _promised(document, token) not in unsigned_hashes:
                _write(directory / "receipts" / f"{digest}.jws", token.encode())


def fetch_evidence(client: PartnerClient, directory: Path, *, batches: bool) -> PartyDocument:
    """Download a gateway's log, and with `batches` its own feeds, to `directory`; whose they are.

    The document is unverified but for its own signature: compare its fingerprint with one you know.

    Raises:
        PartnerError: the gateway cannot be asked, refuses, or answers what no gateway should.
        SharingError: what it sends is not a party document or not its log's checkpoint.
    """
    document = open_document(client.party_document().strip())
    _write_party(directory, document, {document.party: document.manifest_keys})
    if batches:
        for head in client.feeds()[0]:
            if head.provider == document.party:  # of others' feeds it cannot vouch for the keys
                _fetch_batches(client, directory, head)
        time.sleep(_SIGNED_WITHIN)
    checkpoint = client.get("/log/checkpoint").content
    _write(directory / "log" / "checkpoint", checkpoint)
    size = open_checkpoint(checkpoint, [parse_vkey(document.log.vkey)]).size
    for tile in (*tiles_of(size), *tiles_of_level(ENTRIES, size)):
        _write(directory / "log" / tile.path, client.get(f"/log/{tile.path}").content)
    return document


def _write_party(directory: Path, document: PartyDocument, keys: Mapping[str, Mapping[str, Ed25519PublicKey]]) -> None:
    said = {
        "party": document.party,
        "log": {"origin": document.log.origin, "vkey": document.log.vkey},
        "keys": {party: {kid: jws.public_text(key) for kid, key in held.items()} for party, held in keys.items()},
    }
    _write(directory / "party.json", json.dumps(said, indent=2).encode())


def _write_log(session: ReadSession, directory: Path) -> None:
    head = exchange_log.head(session)
    if head.checkpoint is None:
        return
    _write(directory / "log" / "checkpoint", head.checkpoint)
    for tile in tiles_of(head.signed_size):
        data = exchange_log.read_tile(session, tile.level, tile.index, tile.width)
        _write(directory / "log" / tile.path, data)
    for bundle in tiles_of_level(ENTRIES, head.signed_size):
        _write(directory / "log" / bundle.path, exchange_log.read_bundle(session, bundle.index, bundle.width))


def _unsigned_entries(session: ReadSession) -> list[bytes]:
    """The entries that no checkpoint covers yet."""
    head = exchange_log.head(session)
    waiting = session.scalars(select(log_outbox.c.entry)).all()
    return [*exchange_log.entries(session, head.signed_size, head.size), *waiting]


def _write_batches(session: ReadSession, directory: Path, unsigned: set[str | None]) -> None:
    for head in feeds.all_heads(session):
        folder = directory / "batches" / head.provider / head.dataset
        for batch in feeds.batches(session, head.provider, head.dataset, first=1, last=head.seq):
            if batch.manifest not in unsigned:
                _write(folder / f"{batch.seq}.ndjson", feeds.from_frame(batch.frame))


def _promised(document: PartyDocument, token: str) -> str | None:
    """The entry that a receipt of ours promises; None for a receipt that somebody else gave."""
    keys = document.manifest_keys
    return open_receipt(token, keys).entry if jws.kid_of(token) in keys else None


def _fetch_batches(client: PartnerClient, directory: Path, head: RemoteHead) -> None:
    if not is_party(head.provider) or not _DATASET.fullmatch(head.dataset):
        raise PartnerRefusedError("the list of feeds is not one", code="partner.answer-malformed")
    folder, after = directory / "batches" / head.provider / head.dataset, 0
    while after < head.seq:
        page = client.feed_page(head.provider, head.dataset, after=after)
        if not page:
            return
        for frame in page:
            after += 1
            _write(folder / f"{after}.ndjson", feeds.from_frame(frame))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

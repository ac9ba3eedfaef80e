"""Evidence for the offline verifier: a gateway's log, batches and receipts as files (`audit.evidence` has the layout).

Written from a gateway's own database, or downloaded from one by an auditor's client. Nothing is judged here; that is
`audit.verify`'s, which needs none of this. What a remote gateway says never chooses where a file is written.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from audit import log as exchange_log
from audit.checkpoint import parse_checkpoint
from audit.errors import EntryError
from audit.evidence import read_file
from audit.form import CONTINUED, parse_entry
from audit.keys import MAX_SHARDS, origin_of
from audit.log import Head
from audit.merkle import leaf_hash
from audit.note import NoteVerifier, claimed_signers, note_text, parse_vkey
from audit.receipts import open_receipt
from audit.shards import disowned
from audit.tables import log_outbox
from audit.tiles import ENTRIES, HEIGHT, decode_bundle, tiles_of, tiles_of_level
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
_NOT_FOUND = 404
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
        shards = [_Shard.of(head, gateway.settings.log_origin) for head in exchange_log.all_heads(session)]
        _write_party(directory, document, keys | {document.party: document.manifest_keys}, shards)
        for shard in shards:
            _write_shard(session, directory / shard.folder(len(shards)), shard.number)
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
    if batches:
        for head in client.feeds()[0]:
            if head.provider == document.party:  # of others' feeds it cannot vouch for the keys
                _fetch_batches(client, directory, head)
        time.sleep(_SIGNED_WITHIN)
    shards = _fetch_log(client, directory / "log")
    _write_party(directory, document, {document.party: document.manifest_keys}, shards)
    return document


@dataclass(frozen=True)
class _Shard:
    """A shard of the log, as far as `party.json` tells of it: its origin, and its head with the signed note."""

    number: int
    origin: str
    size: int
    note: bytes

    @classmethod
    def of(cls, head: Head, origin: str) -> _Shard:
        return cls(head.shard, origin_of(origin, head.shard), head.signed_size, head.checkpoint or b"")

    def folder(self, in_force: int) -> str:
        return "log" if self.number == in_force else f"log/{self.number}"

    def signed_by(self, verifier: NoteVerifier) -> bool:
        """Whether the note says so."""
        return bool(self.note) and (self.origin, verifier.key_id) in claimed_signers(self.note)


def _fetch_log(client: PartnerClient, folder: Path) -> list[_Shard]:
    """Download all shards: the one in force says in its first entry which it is, and so how many there are."""
    newest = _fetch_shard(client, folder, "/log")
    first = read_file(folder / min(tiles_of_level(ENTRIES, newest.size)).path) if newest.size else None
    number = _shard_number(decode_bundle(first)[0]) if first else 1
    origin = newest.origin if number == 1 else newest.origin.removesuffix(f"/{number}")
    earlier = [_fetch_shard(client, folder / str(one), f"/log/{one}", one) for one in range(1, number)]
    if [shard.origin for shard in (*earlier, newest)] != [origin_of(origin, one) for one in range(1, number + 1)]:
        raise PartnerRefusedError("the shards of the log are not those of one log", code="partner.answer-malformed")
    return [*earlier, replace(newest, number=number)]


def _fetch_shard(client: PartnerClient, folder: Path, address: str, number: int = 1) -> _Shard:
    """Download one shard, up to its checkpoint. What the gateway has lost stays out, and the verifier will miss it."""
    note = client.get(f"{address}/checkpoint").content
    head = parse_checkpoint(note_text(note))  # only how much to ask for: the verifier looks at who signed it
    _write(folder / "checkpoint", note)
    for tile in (*tiles_of(head.size), *tiles_of_level(ENTRIES, head.size)):
        try:
            _write(folder / tile.path, client.get(f"{address}/{tile.path}").content)
        except PartnerRefusedError as error:
            if error.extra.get("status") != _NOT_FOUND:
                raise
    return _Shard(number, head.origin, head.size, note)


def _shard_number(first: bytes) -> int:
    """Which shard begins with this entry: what it says, unverified."""
    try:
        entry = parse_entry(first)
    except EntryError:
        return 1
    number = entry.get("detail", {}).get("shard") if entry["t"] == CONTINUED else 1
    return number if type(number) is int and 1 <= number <= MAX_SHARDS else 1


def _write_party(
    directory: Path,
    document: PartyDocument,
    keys: Mapping[str, Mapping[str, Ed25519PublicKey]],
    shards: Sequence[_Shard],
) -> None:
    said = {
        "party": document.party,
        "log": _log_members(document, shards),
        "keys": {party: {kid: jws.public_text(key) for kid, key in held.items()} for party, held in keys.items()},
    }
    _write(directory / "party.json", json.dumps(said, indent=2).encode())


def _log_members(document: PartyDocument, shards: Sequence[_Shard]) -> dict[str, object]:
    """What `party.json` says of the log: the keys of the party document, under the names of the shards they signed.

    The document is signed anew some time after a successor has begun, so its keys may still bear an older name.
    """
    if not shards:
        return {"origin": document.log.origin, "vkey": document.log.vkey}
    in_force = shards[-1]
    publics = [parse_vkey(vkey).public for vkey in (document.log.vkey, *document.log.vkeys)]
    old = [(parse_vkey(one.vkey), one.size) for one in document.retired.log if one.size is not None]
    vkeys = [NoteVerifier(in_force.origin, public).vkey for public in publics]
    retired = {verifier.vkey: size for verifier, size in old}
    named = {verifier.name for verifier, _ in old}
    for shard in shards[:-1]:
        candidates = [NoteVerifier(shard.origin, public) for public in (*publics, *(one.public for one, _ in old))]
        if shard.origin not in named:
            retired |= {one.vkey: shard.size for one in candidates if shard.signed_by(one)}
    members: dict[str, object] = {"origin": in_force.origin, "vkey": vkeys[0]}
    if vkeys[1:]:
        members["vkeys"] = vkeys[1:]
    if in_force.number > 1:
        members["shard"] = in_force.number
    if retired:
        members["retired"] = [{"vkey": vkey, "size": size} for vkey, size in retired.items()]
    return members


def _write_shard(session: ReadSession, folder: Path, shard: int) -> None:
    head = exchange_log.head(session, shard)
    if head.checkpoint is None:
        return
    _write(folder / "checkpoint", head.checkpoint)
    for tile in tiles_of(head.signed_size):
        if tile.stop << HEIGHT * tile.level <= head.held:  # of a shard that was lost in part, what is left
            data = exchange_log.read_tile(session, tile.level, tile.index, tile.width, shard)
            _write(folder / tile.path, data)
    for bundle in tiles_of_level(ENTRIES, head.signed_size):
        if bundle.stop <= head.held:
            data = exchange_log.read_bundle(session, bundle.index, bundle.width, shard)
            _write(folder / bundle.path, data)


def _unsigned_entries(session: ReadSession) -> list[bytes]:
    """The entries that no checkpoint covers yet."""
    head = exchange_log.head(session)
    waiting = session.scalars(select(log_outbox.c.entry)).all()
    if head.frozen is not None:
        return [*disowned(session, head), *waiting]
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

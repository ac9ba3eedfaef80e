"""Evidence for tests: a log in memory, batch files and receipts, written as a gateway writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import form, merkle, tiles
from audit.checkpoint import sign_checkpoint
from audit.entry import make_entry
from audit.note import NoteSigner
from audit.receipts import Receipt, receipt_hash, sign_receipt
from audit.report import Outcome, Report
from audit.tiles import ENTRIES, WIDTH
from schemas import jws
from schemas.batch import Batch, write_batch

HOME, PARTNER = "320509", "310118"
ORIGIN = f"{HOME}.example/log/2027"
AT = "2026-11-23T02:00:00.000Z"


def key_of(number: int) -> jws.SigningKey:
    return jws.SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


KEYS = {HOME: key_of(1), PARTNER: key_of(2)}
SIGNER = NoteSigner(ORIGIN, key_of(3).private)


@dataclass
class Exchange:
    """What a party exchanged, and the log it kept of it. Everything can be bent before it is written."""

    entries: list[bytes] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    def publish(
        self, dataset: str, *, seq: int, prev: str, provider: str = HOME, logged: bool = True, **wrong: Any
    ) -> Batch:
        """A batch, and the entry that names it; `wrong` are members the entry has otherwise."""
        batch = write_batch(
            KEYS[provider], [b'{"kind":"observation","n":1}', b'{"kind":"observation","n":2}'],
            provider=provider, dataset=dataset, plan="water@3", plan_digest="", seq=seq, prev=prev, first="", last="",
            created=AT,
        )  # fmt: skip
        self.batches.append(batch)
        if logged:
            kind, peer = (form.BATCH_PUBLISHED, None) if provider == HOME else (form.BATCH_RECEIVED, provider)
            named = {"manifest": batch.hash, "seq": seq, "dataset": dataset, **wrong}
            self.entries.append(make_entry(kind, at=AT, party=HOME, peer=peer, **named))
        return batch

    def receive(self, dataset: str, *, seq: int, prev: str, **changes: Any) -> str:
        """A partner's batch, and the receipt we gave for it."""
        batch = self.publish(dataset, seq=seq, prev=prev, provider=PARTNER)
        promised = merkle.leaf_hash(self.entries[-1])
        return self.receipt(batch, HOME, PARTNER, entry=jws.b64encode(promised), log=ORIGIN, **changes)

    def receipt(self, batch: Batch, giver: str, taker: str, **changes: Any) -> str:
        manifest = batch.manifest
        receipt = Receipt(
            from_party=giver, to_party=taker, provider=manifest.provider, dataset=manifest.dataset, seq=manifest.seq,
            manifest=batch.hash, verdict="accepted", applied=2, duplicates=0, held=0, at=AT,
            log=f"{giver}.example/log/2027", entry="A" * 43,
        )  # fmt: skip
        token = sign_receipt(KEYS[giver], replace(receipt, **changes))
        self.receipts.append(token)
        return token

    def chatter(self, count: int, *, at: str = AT) -> None:
        self.entries += [make_entry(form.READ, at=at, party=HOME, detail={"n": n}) for n in range(count)]

    def write(self, folder: Path, *, size: int | None = None) -> Path:
        """The evidence as a gateway writes it, of the log's first `size` entries."""
        entries = self.entries[:size]
        write_log(folder / "log", entries)
        for batch in self.batches:
            manifest = batch.manifest
            put(folder / f"batches/{manifest.provider}/{manifest.dataset}/{manifest.seq}.ndjson", batch.file)
        for token in self.receipts:
            put(folder / f"receipts/{receipt_hash(token)}.jws", token.encode())
        party = {
            "party": HOME,
            "log": {"origin": ORIGIN, "vkey": SIGNER.vkey},
            "keys": {code: {key.kid: jws.public_text(key.public)} for code, key in KEYS.items()},
        }
        put(folder / "party.json", json.dumps(party, separators=(",", ":")).encode())
        return folder


def write_log(folder: Path, entries: list[bytes], *, signer: NoteSigner = SIGNER) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    put(folder / "checkpoint", sign_checkpoint(signer, len(leaves), merkle.root_of(leaves)))
    for bundle in tiles.tiles_of_level(ENTRIES, len(entries)):
        put(folder / bundle.path, tiles.encode_bundle(entries[bundle.start : bundle.stop]))
    hashes, level = leaves, 0
    while hashes:
        for tile in tiles.tiles_of_level(level, len(hashes)):
            put(folder / tile.path, b"".join(hashes[tile.start : tile.stop]))
        whole: Iterable[int] = range(0, len(hashes) // WIDTH * WIDTH, WIDTH)
        hashes, level = [merkle.subtree_root(hashes[at : at + WIDTH]) for at in whole], level + 1


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def rewrite(folder: Path, pattern: str, change: Callable[[bytes], bytes]) -> None:
    """Change the one file that `pattern` names."""
    (path,) = folder.glob(pattern)
    path.write_bytes(change(path.read_bytes()))


def flip(data: bytes, position: int = 0) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def outcomes(report: Report) -> dict[int, Outcome]:
    """The rows that found something, by number."""
    return {row.number: row.outcome for row in report.rows if row.findings}


def found(report: Report) -> str:
    """All findings, a line each."""
    return "\n".join(finding.text for row in report.rows for finding in row.findings)


def usual(chatter: int = 3) -> Exchange:
    """Two batches published and one received, with receipts both ways, among other entries."""
    made = Exchange()
    made.chatter(chatter)
    first = made.publish("water-hourly", seq=1, prev="")
    second = made.publish("water-hourly", seq=2, prev=first.hash)
    made.receive("air-hourly", seq=41, prev="B" * 43)
    made.receipt(second, PARTNER, HOME)
    made.chatter(chatter, at="2026-11-23T03:00:00.000Z")
    return made

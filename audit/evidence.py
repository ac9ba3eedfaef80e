"""The evidence directory: what a gateway writes, and what a download from its URL makes.

    party.json             {"party": P, "log": {"origin": …, "vkey": …}, "keys": {P: {KID: KEY}}}: whose log, whose keys
    log/checkpoint         its signed head
    log/tile/…             hash tiles and entry bundles, named as in C2SP tlog-tiles
    batches/<provider>/<dataset>/<seq>.ndjson     batch files as their providers signed them, as many as are disclosed
    receipts/<hash>.jws    receipts, likewise

Finds and reads; what is in it is believed nowhere here. Files with other names are left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.errors import EvidenceError, TileError
from audit.note import NoteVerifier, parse_vkey
from audit.tiles import Tile, parse_path
from schemas import jws
from schemas.errors import SignatureError

MAX_READ = 20 * 1024 * 1024  # bytes; the largest files of ours are entry bundles and batch files of 17 MB
_SEQ = re.compile(r"[1-9][0-9]{0,15}")
_PARTY = re.compile(r"[a-z0-9-]{2,32}")  # as entries name it

PartyKeys = Mapping[str, Mapping[str, Ed25519PublicKey]]
"""By party, then by `kid`."""


@dataclass(frozen=True)
class BatchFile:
    """A batch file, by where it is filed."""

    provider: str
    dataset: str
    seq: int
    path: Path

    @property
    def feed(self) -> tuple[str, str]:
        return self.provider, self.dataset

    @property
    def name(self) -> str:
        return f"batch {self.seq} of {self.provider}/{self.dataset}"


@dataclass(frozen=True)
class Evidence:
    """An evidence directory: what its `party.json` claims, and the names of what else is there."""

    root: Path
    party: str
    log_key: NoteVerifier
    keys: PartyKeys
    tiles: frozenset[Tile]
    batches: tuple[BatchFile, ...]  # by feed and number
    receipts: tuple[Path, ...]

    def read_checkpoint(self) -> bytes | None:
        return read_file(self.root / "log" / "checkpoint")

    def read_tile(self, tile: Tile) -> bytes:
        """One of `tiles`; empty when it has gone meanwhile."""
        return read_file(self.root / "log" / tile.path) or b""


def open_evidence(root: Path) -> Evidence:
    """The evidence in the directory `root`.

    Raises:
        EvidenceError: `party.json` is missing, or does not say what it should.
    """
    data = read_file(root / "party.json")
    if data is None:
        raise EvidenceError("there is no party.json")
    try:
        party, log, keys = _members(json.loads(data, object_pairs_hook=jws.members_once), "party", "log", "keys")
        origin, vkey = _members(log, "origin", "vkey")
        log_key = parse_vkey(vkey)
        if _PARTY.fullmatch(party) is None or log_key.name != origin:
            raise ValueError("no such party, or a log key under another name than the log's")
        party_keys = {code: {kid: _load_key(kid, text) for kid, text in held.items()} for code, held in keys.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, SignatureError) as error:
        raise EvidenceError("party.json does not say whose log this is and whose keys are whose") from error
    return Evidence(root, party, log_key, party_keys, frozenset(_tiles(root)), _batches(root), _receipts(root))


def read_file(path: Path) -> bytes | None:
    """The file's bytes, None when it is not there. Of a file larger than any of ours, the front: it will not verify.

    Raises:
        EvidenceError: it is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read: {error.strerror}") from error


def _tiles(root: Path) -> Iterator[Tile]:
    for path in root.glob("log/tile/**/*"):
        if path.is_file():
            with suppress(TileError):
                yield parse_path(path.relative_to(root / "log").as_posix())


def _batches(root: Path) -> tuple[BatchFile, ...]:
    found = [
        BatchFile(path.parts[-3], path.parts[-2], int(path.stem), path)
        for path in root.glob("batches/*/*/*.ndjson")
        if _SEQ.fullmatch(path.stem)
    ]
    return tuple(sorted(found, key=lambda file: (file.provider, file.dataset, file.seq)))


def _receipts(root: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in root.glob("receipts/*.jws") if not path.name.startswith(".")))


def _members(value: Any, *names: str) -> list[Any]:
    """The members of a JSON object that has these and no others."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError(f"not an object of {', '.join(names)}")
    return [value[name] for name in names]


def _load_key(kid: str, text: str) -> Ed25519PublicKey:
    key = jws.load_public(text)
    if jws.thumbprint(key) != kid:
        raise ValueError("a key is listed under another key's name")
    return key

"""The evidence directory: what a gateway writes, and what a download from its URL makes.

    party.json             {"party": P, "log": {"origin": …, "vkey": …}, "keys": {P: {KID: KEY}}}: whose log, whose keys
    log/checkpoint         its signed head
    log/tile/…             hash tiles and entry bundles, named as in C2SP tlog-tiles
    log/<n>/…              the same of earlier shards, by number
    batches/<provider>/<dataset>/<seq>.ndjson     batch files as their providers signed them, as many as are disclosed
    receipts/<hash>.jws    receipts, likewise

`log` is of the shard in force. If that is not the first, `"shard": N` says which it is; `"vkeys": [VKEY]`
has further keys in use, while they change; `"retired": [{"vkey": …, "size": …}]` lists keys that sign no more, those of
earlier shards too, each with the largest size it vouches for.

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
from audit.keys import MAX_SHARDS, LogKeys, origin_of
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
class ShardFiles:
    """The files of one shard of the log, whose origin is `origin`."""

    shard: int
    origin: str
    root: Path
    tiles: frozenset[Tile]

    def read_checkpoint(self) -> bytes | None:
        return read_file(self.root / "checkpoint")

    def read_tile(self, tile: Tile) -> bytes:
        """One of `tiles`; empty when it has gone meanwhile."""
        return read_file(self.root / tile.path) or b""


@dataclass(frozen=True)
class Evidence:
    """An evidence directory: what its `party.json` claims, and the names of what else is there."""

    root: Path
    party: str
    origin: str  # of the log: that of its first shard
    log_keys: LogKeys
    shards: tuple[ShardFiles, ...]  # all there should be, from the first to the one in force
    keys: PartyKeys
    batches: tuple[BatchFile, ...]  # by feed and number
    receipts: tuple[Path, ...]


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
        origin, vkey, number, further, retired = _members(log, "origin", "vkey", shard=1, vkeys=[], retired=[])
        log_keys = _log_keys(origin, [vkey, *further], retired)
        shards = tuple(_shards(root, origin, number))
        if _PARTY.fullmatch(party) is None:
            raise ValueError("no such party")
        party_keys = {code: {kid: _load_key(kid, text) for kid, text in held.items()} for code, held in keys.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, SignatureError) as error:
        raise EvidenceError("party.json does not say whose log this is and whose keys are whose") from error
    return Evidence(root, party, shards[0].origin, log_keys, shards, party_keys, _batches(root), _receipts(root))


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


def _log_keys(origin: str, vkeys: list[str], retired: Any) -> LogKeys:
    old = [_members(one, "vkey", "size") for one in retired]
    if any(type(size) is not int for _, size in old):
        raise ValueError("a retired key vouches for a number of entries")
    keys = LogKeys.parse(vkeys, [(text, size) for text, size in old])
    if any(key.verifier.name != origin for key in keys.keys[: len(vkeys)]):
        raise ValueError("a log key under another name than the log's")
    return keys


def _shards(root: Path, origin: str, number: Any) -> Iterator[ShardFiles]:
    """The shards up to number `number`, which is the one in force, with the origin `origin`."""
    first = origin if number == 1 else origin.removesuffix(f"/{number}")
    if type(number) is not int or not 1 <= number <= MAX_SHARDS or origin_of(first, number) != origin:
        raise ValueError("no such shard, or not under its name")
    for shard in range(1, number + 1):
        folder = root / "log" if shard == number else root / "log" / str(shard)
        yield ShardFiles(shard, origin_of(first, shard), folder, frozenset(_tiles(folder)))


def _tiles(folder: Path) -> Iterator[Tile]:
    for path in folder.glob("tile/**/*"):
        if path.is_file():
            with suppress(TileError):
                yield parse_path(path.relative_to(folder).as_posix())


def _batches(root: Path) -> tuple[BatchFile, ...]:
    found = [
        BatchFile(path.parts[-3], path.parts[-2], int(path.stem), path)
        for path in root.glob("batches/*/*/*.ndjson")
        if _SEQ.fullmatch(path.stem)
    ]
    return tuple(sorted(found, key=lambda file: (file.provider, file.dataset, file.seq)))


def _receipts(root: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in root.glob("receipts/*.jws") if not path.name.startswith(".")))


def _members(value: Any, *names: str, **optional: Any) -> list[Any]:
    """The members of a JSON object that has these, perhaps the `optional` ones, and no others."""
    if not isinstance(value, dict) or not set(names) <= set(value) <= {*names, *optional}:
        raise ValueError(f"not an object of {', '.join(names)}")
    return [value[name] for name in names] + [value.get(name, default) for name, default in optional.items()]


def _load_key(kid: str, text: str) -> Ed25519PublicKey:
    key = jws.load_public(text)
    if jws.thumbprint(key) != kid:
        raise ValueError("a key is listed under another key's name")
    return key

"""`/log/`: the exchange log as C2SP tlog-tiles, and proofs for receipts.

The shard in force is at `/log/`, and each shard under its number at `/log/<n>/`: to C2SP it is a log of its own.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from audit import log as exchange_log
from audit.keys import MAX_SHARDS
from audit.log import Head, Place
from audit.tiles import ENTRIES, WIDTH, parse_path
from gateway.api.access import PRIVATE, Caller, Home, allow
from gateway.api.submissions import own_submission
from gateway.db import ReadSession
from gateway.errors import NotFoundError
from gateway.service import Gateway
from partners.delivery import receipt_token
from partners.grants import ReadLog, ReadReceipt, ReadTiles
from partners.principal import Principal
from schemas import jws
from schemas.times import now_millis

router = APIRouter()

Shard = Annotated[int, Path(ge=1, le=MAX_SHARDS, description="The shard's number, from 1.")]


@router.get("/log/checkpoint", summary="The newest signed head of the log (C2SP tlog-checkpoint)")
def read_checkpoint(gateway: Home) -> Response:
    """A signed note. It says nothing but a size and a root, so everybody may have it."""
    return _checkpoint(gateway, None)


@router.get("/log/{shard}/checkpoint", summary="The newest signed head of a shard of the log")
def read_shard_checkpoint(gateway: Home, shard: Shard) -> Response:
    """As `/log/checkpoint`, of the shard that is named; the last head of one that is frozen."""
    return _checkpoint(gateway, shard)


@router.get("/log/tile/{path:path}", summary="Tiles of the log (C2SP tlog-tiles)")
def read_tile(gateway: Home, caller: Caller, path: str) -> Response:
    """Hash tiles for every client, entry bundles for the party's auditors.

    These are of the shard in force, so one that a cache keeps is asked for again; under `/log/<n>/` they never change.
    """
    return _tile(gateway, caller, path, None)


@router.get("/log/{shard}/tile/{path:path}", summary="Tiles of a shard of the log")
def read_shard_tile(gateway: Home, caller: Caller, shard: Shard, path: str) -> Response:
    """As `/log/tile/`, of the shard that is named, in force or not. A full tile never changes."""
    return _tile(gateway, caller, path, shard)


@router.get("/v1/receipts/{digest}/proof", summary="Proof that the entry a receipt promised is in the log")
def read_proof(gateway: Home, caller: Caller, digest: str, response: Response) -> dict[str, Any]:
    """The promised entry, its index and inclusion proof, and the checkpoint they verify under."""
    response.headers.update(PRIVATE)
    with gateway.database.read() as session:
        allow(session, gateway, caller, ReadReceipt(), now=now_millis())
        token = receipt_token(session, digest, party=caller.party, home=gateway.party)
        if token is None:
            raise NotFoundError("there is no such receipt of yours", code="receipt.not-found")
        return _prove(session, token)


@router.get(
    "/v1/submissions/{submission_id}/proof",
    summary="Proof that the entry a submission's receipt promised is in the log",
)
def read_submission_proof(gateway: Home, caller: Caller, submission_id: str, response: Response) -> dict[str, Any]:
    """As for a partner's receipt, for the client that handed the records in."""
    row = own_submission(gateway, caller, submission_id)
    response.headers.update(PRIVATE)
    with gateway.database.read() as session:
        return _prove(session, json.loads(row.outcome)["receipt"])


def _checkpoint(gateway: Gateway, shard: int | None) -> Response:
    with gateway.database.read() as session:
        head = exchange_log.head(session, shard)
    if head.checkpoint is None:
        raise NotFoundError("nothing is signed yet", code="log.empty")
    return Response(head.checkpoint, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})


def _tile(gateway: Gateway, caller: Principal, path: str, shard: int | None) -> Response:
    tile = parse_path(f"tile/{path}")
    with gateway.database.read() as session:
        allow(session, gateway, caller, ReadLog() if tile.level == ENTRIES else ReadTiles(), now=now_millis())
        if tile.level == ENTRIES:
            content = exchange_log.read_bundle(session, tile.index, tile.width, shard)
        else:
            content = exchange_log.read_tile(session, tile.level, tile.index, tile.width, shard)
    lasting = "max-age=31536000, immutable" if tile.width == WIDTH else "max-age=3600"
    cached = "no-cache" if shard is None else lasting
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": f"private, {cached}"})


def _prove(session: ReadSession, token: str) -> dict[str, Any]:
    """The proof for the entry that `token`, a receipt of ours, promised: in the shard it came into."""
    promised = jws.b64decode(str(jws.peek(token)[1]["entry"]))
    place = exchange_log.find_place(session, promised)
    if place is not None:
        head = exchange_log.head(session, place.shard)
        if place.index < head.held and head.checkpoint is not None:
            return _proof(session, place, head, head.checkpoint)
    raise NotFoundError("the entry is promised and not signed yet; ask again", code="receipt.not-integrated")


def _proof(session: ReadSession, place: Place, head: Head, checkpoint: bytes) -> dict[str, Any]:
    if head.held < head.signed_size:
        detail = "the entry is in a shard of the log that was not restored whole: nothing can be proved in it"
        raise NotFoundError(detail, code="receipt.not-provable")
    proof = exchange_log.prove_inclusion(session, place.index, head.signed_size, place.shard)
    entry = exchange_log.entries(session, place.index, place.index + 1, place.shard)[0]
    return {
        "shard": place.shard,
        "index": place.index,
        "entry": entry.decode(),
        "proof": [jws.b64encode(node) for node in proof],
        "checkpoint": checkpoint.decode(),
    }

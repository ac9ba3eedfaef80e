"""`/log/`: the exchange log as C2SP tlog-tiles, and proofs for receipts."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Response

from audit import log as exchange_log
from audit.tiles import ENTRIES, WIDTH, parse_path
from gateway.api.access import PRIVATE, Caller, Home, allow
from gateway.api.submissions import own_submission
from gateway.db import ReadSession
from gateway.errors import NotFoundError
from partners.delivery import receipt_token
from partners.grants import ReadLog, ReadReceipt, ReadTiles
from schemas import jws
from schemas.times import now_millis

router = APIRouter()


@router.get("/log/checkpoint", summary="The newest signed head of the log (C2SP tlog-checkpoint)")
def read_checkpoint(gateway: Home) -> Response:
    """A signed note. It says nothing but a size and a root, so everybody may have it."""
    with gateway.database.read() as session:
        head = exchange_log.head(session)
    if head.checkpoint is None:
        raise NotFoundError("nothing is signed yet", code="log.empty")
    return Response(head.checkpoint, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})


@router.get("/log/tile/{path:path}", summary="Tiles of the log (C2SP tlog-tiles)")
def read_tile(gateway: Home, caller: Caller, path: str) -> Response:
    """Hash tiles for every client, entry bundles for the party's auditors. A full tile never changes."""
    tile = parse_path(f"tile/{path}")
    with gateway.database.read() as session:
        allow(session, gateway, caller, ReadLog() if tile.level == ENTRIES else ReadTiles(), now=now_millis())
        if tile.level == ENTRIES:
            content = exchange_log.read_bundle(session, tile.index, tile.width)
        else:
            content = exchange_log.read_tile(session, tile.level, tile.index, tile.width)
    lasting = "max-age=31536000, immutable" if tile.width == WIDTH else "max-age=3600"
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": f"private, {lasting}"})


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


def _prove(session: ReadSession, token: str) -> dict[str, Any]:
    """The proof for the entry that `token`, a receipt of ours, promised."""
    promised = jws.b64decode(str(jws.peek(token)[1]["entry"]))
    head = exchange_log.head(session)
    index = exchange_log.find_leaf(session, promised)
    if index is None or index >= head.signed_size or head.checkpoint is None:
        raise NotFoundError("the entry is promised and not signed yet; ask again", code="receipt.not-integrated")
    proof = exchange_log.prove_inclusion(session, index, head.signed_size)
    entry = exchange_log.entries(session, index, index + 1)[0]
    return {
        "index": index,
        "entry": entry.decode(),
        "proof": [jws.b64encode(node) for node in proof],
        "checkpoint": head.checkpoint.decode(),
    }

"""`/v1/inbox` and `/v1/receipts`: what partners hand over."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.access import PRIVATE, Body, Caller, Home, WritableHome, allow
from gateway.errors import AccessDeniedError, NotFoundError, RequestError, problem
from gateway.service import Gateway
from gateway.store import feeds
from gateway.sync.apply import apply_batch
from gateway.sync.receive import read_receipt, take_receipt
from partners.client import ZSTD
from partners.delivery import is_owed_receipt, mark_sent, report_of
from partners.directory import Party, find_party
from partners.grants import SCOPES, PushBatch, ReadReceipt, SendReceipt
from schemas.batch import MEDIA_TYPE
from schemas.errors import RecordError
from schemas.times import now_millis

router = APIRouter()


@router.put("/v1/inbox/{provider}/{dataset}/{seq}", summary="Hand over one batch of a feed")
def push_batch(
    request: Request, gateway: WritableHome, caller: Caller, body: Body, provider: str, dataset: str, seq: int
) -> Response:
    """The receipt, also when the batch was here before. 400 what the provider did not sign, 409 a gap or a fork, 422
    what was refused whole: its number is spent, and the receipt says so.

    A relay that the plan names gets the receipt too; it is the provider's, who is sent it all the same.
    """
    now = now_millis()
    with gateway.database.read() as session:
        allow(session, gateway, caller, PushBatch(provider, dataset), now=now)
    party = _known_party(gateway, provider)
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    if media not in (ZSTD, MEDIA_TYPE):
        raise RequestError(f"a batch comes as {ZSTD} or {MEDIA_TYPE}", code="request.media-type")
    frame = body if media == ZSTD else None
    file = feeds.from_frame(body) if frame else body
    applied = apply_batch(gateway, party, dataset, file, now=now, expected=seq, frame=frame)
    if caller.party == provider:
        with gateway.database.write() as session:
            mark_sent(session, [applied.receipt_hash])  # the answer carries it
    answer: dict[str, object] = {
        "verdict": applied.verdict,
        "receipt": applied.receipt,
        "report": f"/v1/receipts/{applied.receipt_hash}/report",
    }
    if applied.verdict == "refused":
        detail = "the batch is refused whole; the report says why"
        refusal = RecordError(detail, code="batch.refused", extra=answer)
        return JSONResponse(problem(refusal), 422, media_type="application/problem+json")
    return JSONResponse(answer)


@router.post("/v1/receipts", summary="Hand over a receipt for a batch that was pulled", status_code=201)
def send_receipt(gateway: WritableHome, caller: Caller, body: Body, response: Response) -> dict[str, Any]:
    """201 when it is new, 200 when it was here before."""
    caller.require(*SCOPES[SendReceipt])  # before the signature is looked at; who it is for is known only then
    party = _known_party(gateway, caller.party)
    try:
        token = body.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise RequestError("a receipt is a compact JWS") from error
    receipt = read_receipt(gateway, party, token)
    now = now_millis()
    with gateway.database.read() as session:
        owed = is_owed_receipt(session, receipt.manifest, caller.party)
        allow(session, gateway, caller, SendReceipt(receipt.provider, receipt.dataset, owed), now=now)
    fresh = take_receipt(gateway, party, token, now=now)
    response.status_code = 201 if fresh else 200
    return {"accepted": True}


@router.get("/v1/receipts/{digest}/report", summary="The line report a receipt's digest is over")
def read_report(gateway: Home, caller: Caller, digest: str) -> Response:
    """NDJSON, a line for each record that was refused, held or revised. For the party the receipt was given to."""
    with gateway.database.read() as session:
        allow(session, gateway, caller, ReadReceipt(), now=now_millis())
        found = report_of(session, digest)
    if found is None or found[0] != caller.party:
        raise NotFoundError("there is no such receipt of yours", code="receipt.not-found")
    return Response(found[1], media_type="application/x-ndjson", headers=PRIVATE)


def _known_party(gateway: Gateway, code: str) -> Party:
    with gateway.database.read() as session:
        party = find_party(session, code)
    if party is None:
        raise AccessDeniedError("only a registered party's gateway may do this", code="access.not-a-partner")
    return party

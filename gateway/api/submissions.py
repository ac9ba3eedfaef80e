"""`/v1/submissions`: how records enter at home, and what became of them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import zstandard
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.access import PRIVATE, Body, Caller, Home, WritableHome, allow
from gateway.errors import AccessDeniedError, NotFoundError
from gateway.ingest.reports import report_as_sheet
from gateway.ingest.submissions import MAX_KEY, find_submission, submit
from gateway.service import Gateway
from partners.grants import ReadSubmission, Submit
from partners.principal import Principal
from schemas.sheets import CSV, XLSX
from schemas.times import now_millis

router = APIRouter()


@router.post("/v1/submissions", status_code=201, summary="Hand in records")
def post_submission(
    request: Request, gateway: WritableHome, caller: Caller, body: Body,
    idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY)] = None,
    dry_run: Annotated[bool, Query()] = False,
    profile: Annotated[str, Query(max_length=80, description="What reads a sheet: name, or name@version.")] = "",
    year: Annotated[int | None, Query(ge=1900, le=2999, description="Of a sheet's dates that say no year.")] = None,
) -> Response:  # fmt: skip
    """201 with counts, report and a signed receipt; 200 when it had been taken before; 422 when nothing could be."""
    now = now_millis()
    with gateway.database.read() as session:
        allow(session, gateway, caller, Submit(), now=now)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    done = submit(
        gateway, caller, media_type, body, now=now, idempotency_key=idempotency_key, dry_run=dry_run,
        profile=profile, year=year,
    )  # fmt: skip
    if not done.acceptable:
        problem = {
            "type": "about:blank", "title": "submission.refused", "status": 422, "code": "submission.refused",
            "detail": "none of the records could be taken; the report says why",
        }  # fmt: skip
        return JSONResponse({**problem, **done.outcome}, 422, media_type="application/problem+json")
    return JSONResponse(done.outcome, 201 if done.fresh and not dry_run else 200)


@router.get("/v1/submissions/{submission_id}", summary="What became of a submission")
def read_submission(gateway: Home, caller: Caller, submission_id: str) -> Response:
    """The answer as it was given."""
    row = own_submission(gateway, caller, submission_id)
    return Response(row.outcome, media_type="application/json", headers=PRIVATE)


@router.get("/v1/submissions/{submission_id}/report", summary="Line by line, what was refused, held or revised")
def read_submission_report(
    gateway: Home, caller: Caller, submission_id: str,
    form: Annotated[Literal["ndjson", "csv", "xlsx"], Query(alias="format")] = "ndjson",
) -> Response:  # fmt: skip
    """NDJSON: place, verdict, code, detail, pointers and the offending text. As a sheet: the one that came, with the
    reasons beside the cells."""
    row = own_submission(gateway, caller, submission_id)
    report = zstandard.ZstdDecompressor().decompress(row.report)
    if form == "ndjson":
        return Response(report, media_type="application/x-ndjson", headers=PRIVATE)
    tables = gateway.governed.at(now_millis())
    with gateway.database.read() as session:
        sheet = report_as_sheet(session, row, map(json.loads, report.splitlines()), form, tables)
    headers = {"Content-Disposition": f'attachment; filename="report-{row.id}.{form}"', **PRIVATE}
    return Response(sheet, media_type=CSV if form == "csv" else XLSX, headers=headers)


@router.get("/v1/submissions/{submission_id}/content", summary="The bytes as they were handed in")
def read_submission_content(gateway: Home, caller: Caller, submission_id: str) -> Response:
    """The bytes, unchanged."""
    row = own_submission(gateway, caller, submission_id)
    content = zstandard.ZstdDecompressor().decompress(row.content)
    return Response(content, media_type=row.media_type, headers=PRIVATE)


def own_submission(gateway: Gateway, caller: Principal, submission_id: str) -> Any:
    """The submission, for the client that handed it in and for readers of the home party.

    Raises:
        NotFoundError: there is none, or none that this caller may know of.
        AccessDeniedError: this caller may have nothing of the kind.
    """
    with gateway.database.read() as session:
        row = find_submission(session, submission_id)
        try:
            allow(session, gateway, caller, ReadSubmission(row.client), now=now_millis())
        except AccessDeniedError as error:
            if error.code != "access.not-yours":
                raise
            raise NotFoundError("there is no such submission") from error
    return row

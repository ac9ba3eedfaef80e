"""`/api/access/explain`: why a client gets a dataset, or does not."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from gateway.api.access import MAX_PURPOSE, PRIVATE, Home
from gateway.console.access import may
from gateway.explaining import explain_access
from schemas.times import now_millis

router = APIRouter()


@router.get(
    "/api/access/explain",
    summary="Whether a client may have a dataset now, step by step",
    dependencies=[Depends(may("registry.read"))],
)
def read_explanation(
    gateway: Home, response: Response, client: str, dataset: str, provider: str = "",
    purpose: Annotated[str, Query(max_length=MAX_PURPOSE)] = "",
) -> dict[str, Any]:  # fmt: skip
    """Every point that was looked at, in both languages, and the one thing to change where it may not."""
    response.headers.update(PRIVATE)
    told = explain_access(gateway, client, dataset, provider=provider, purpose=purpose, now=now_millis())
    return told.as_json()

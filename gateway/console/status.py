"""Health, metrics and the description of the partner API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest

from gateway.api.access import Home
from gateway.health import check_health
from gateway.metrics import collect

router = APIRouter()


@router.get("/healthz", summary="Can this gateway sign, log and write now")
def read_health(gateway: Home) -> JSONResponse:
    """200 when everything it lives by works at this moment, 503 and what does not otherwise."""
    checks = check_health(gateway)
    healthy = all(check.ok for check in checks)
    body = {"healthy": healthy, "checks": {check.name: check.text for check in checks}}
    return JSONResponse(body, 200 if healthy else 503, headers={"Cache-Control": "no-store"})


@router.get("/metrics", summary="Figures for Prometheus")
def read_metrics(gateway: Home) -> Response:
    """Records, batches, deliveries, receipts, log size, what waits, and how old it is."""
    return Response(generate_latest(collect(gateway)), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", summary="The partner API, described (OpenAPI)")
def read_description(request: Request) -> dict[str, Any]:
    """Served here, not on the partner listener, which tells strangers nothing of itself."""
    description: dict[str, Any] = request.app.state.partner.openapi()
    return description

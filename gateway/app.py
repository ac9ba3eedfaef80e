"""The two applications of a gateway: the partner listener's and the console's.

Two, so that no partner token reaches an administrative route, and no browser is asked for a client certificate. The
partner's has no documentation pages, no metrics and no health route: those are on the console's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from anyio import to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from audit.entry import make_entry
from audit.form import REFUSAL
from audit.log import append
from gateway.api import exchange, feeds, identity, log, observations, plan, quality, records, schemas, submissions
from gateway.api.access import by_access_token, refuse_nul
from gateway.certificates import note_certificate
from gateway.console import (
    access_view,
    approvals,
    clients,
    data,
    keys,
    pages,
    partners,
    people,
    plans,
    sign_in,
    status,
    tokens,
)
from gateway.console.headers import ConsoleHeaders
from gateway.errors import AccessDeniedError, RateExceededError, RequestError, problem, status_of
from gateway.people.person import Person, actor_of
from gateway.service import Gateway
from gateway.tls import ClientAuthorities
from partners.errors import AuthenticationError, ClientInactiveError, NonceNeededError, ScopeError
from partners.principal import Principal
from schemas.errors import LimitError, SharingError
from schemas.times import now_millis, utc_text

PROBLEM = "application/problem+json"
_log = structlog.get_logger()


def create_partner_app(gateway: Gateway) -> FastAPI:
    """The application of the partner listener."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # As many requests at once as the settings say: each works in a thread, and has a database connection to itself.
        to_thread.current_default_thread_limiter().total_tokens = gateway.settings.threads
        watch = asyncio.create_task(gateway.heads_watch.run())
        authorities: ClientAuthorities | None = app.state.client_authorities
        keeping = [watch] if authorities is None else [watch, asyncio.create_task(authorities.run())]
        yield
        for task in keeping:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app = FastAPI(
        title="Taipu", version="1", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None,
        redirect_slashes=False, dependencies=[Depends(refuse_nul), Depends(note_certificate)],
    )  # fmt: skip
    app.state.gateway = gateway
    app.state.authenticate = by_access_token
    app.state.client_authorities = None  # a server that asks for certificates says here whose it takes
    for module in (identity, feeds, exchange, submissions, observations, records, quality, plan, log, schemas):
        app.include_router(module.router)
    _answer_problems(app)
    return app


def create_console_app(gateway: Gateway, partner: FastAPI) -> FastAPI:
    """The application of the console listener: people of this party and what they read with, health, metrics, the
    partner API's description."""
    app = FastAPI(
        title="Taipu console", version="1", openapi_url=None, docs_url=None, redoc_url=None,
        dependencies=[Depends(refuse_nul)],
    )  # fmt: skip
    app.state.gateway = gateway
    app.state.authenticate = data.personal_callers(gateway)
    app.state.partner = partner
    for module in (
        pages, status, sign_in, people, approvals, partners, clients, tokens, plans, keys, access_view, data,
    ):  # fmt: skip
        app.include_router(module.router)
    app.add_middleware(ConsoleHeaders)
    _answer_problems(app)
    return app


def _answer_problems(app: FastAPI) -> None:
    """Every error as a problem with a stable code: no stack trace and no driver's text ever leaves."""
    app.add_exception_handler(SharingError, _answer_sharing_error)
    app.add_exception_handler(RequestValidationError, _answer_malformed)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_fault)


def _answer_sharing_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SharingError)
    _log_refusal(request, error)
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, AuthenticationError | ScopeError):
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, NonceNeededError):
        headers["DPoP-Nonce"] = error.nonce
    if isinstance(error, RateExceededError):
        headers["Retry-After"] = str(error.retry_after)
    if error.code == "limit.replay-memory-full":
        headers["Retry-After"] = "60"
    if error.code == "sign-in.wait":
        headers["Retry-After"] = str(error.extra["retry_after"])
    return JSONResponse(problem(error), status_of(error), headers, media_type=PROBLEM)


def _answer_malformed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    pointers = ["/" + "/".join(str(part) for part in fault["loc"]) for fault in error.errors()]
    detail = "; ".join(f"{pointer}: {fault['msg']}" for pointer, fault in zip(pointers, error.errors(), strict=True))
    return JSONResponse(problem(RequestError(detail, pointers=pointers)), 400, media_type=PROBLEM)


def _answer_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "resource.not-found", 405: "request.method-not-allowed"}.get(error.status_code, "request.malformed")
    body: dict[str, Any] = {
        "type": "about:blank", "title": code, "status": error.status_code, "code": code, "detail": str(error.detail),
    }  # fmt: skip
    return JSONResponse(body, error.status_code, error.headers, media_type=PROBLEM)


def _answer_fault(request: Request, error: Exception) -> JSONResponse:
    _log.error("request.failed", path=request.url.path, exc_info=error)
    detail = "this gateway failed to answer; its operator can find the reason in its log"
    body = {"type": "about:blank", "title": "gateway.fault", "status": 500, "code": "gateway.fault", "detail": detail}
    return JSONResponse(body, 500, media_type=PROBLEM)


def _log_refusal(request: Request, error: SharingError) -> None:
    """A refused request of a known caller is in the log too, in a transaction of its own."""
    if not isinstance(error, AccessDeniedError | ScopeError | ClientInactiveError | LimitError):
        return
    gateway: Gateway = request.app.state.gateway
    person: Person | None = getattr(request.state, "person", None)
    caller: Principal | ClientInactiveError | None = getattr(request.state, "principal", None)
    if isinstance(error, ClientInactiveError):
        caller = error
    if person is not None:  # an address may hold somebody's name: the route's pattern does not
        who, path = {"actor": actor_of(gateway.home, person.account)}, request.scope["route"].path
    elif caller is not None:
        who, path = {"actor": caller.client_id, "peer": caller.party}, request.url.path[:500]
    else:
        return
    detail = {"code": error.code, "method": request.method, "path": path}
    if "rule" in error.extra:
        detail["rule"] = str(error.extra["rule"])
    at, actor, peer = utc_text(now_millis()), who["actor"], who.get("peer")
    entry = make_entry(REFUSAL, at=at, party=gateway.party, actor=actor, peer=peer, detail=detail)
    with gateway.database.write() as session:
        append(session, entry)
    gateway.signals.logged.send()

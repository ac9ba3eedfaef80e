"""Who calls, and may they: what every route of the partner listener depends on.

A route either depends on `Caller`, or stands in the list of public ones, or a test fails. A refusal is logged in a
transaction of its own, since the request's is rolled back.

What waits for nothing is `async`: a plain function would cost each request a trip through a thread.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from gateway.certificates import peer_certificate
from gateway.db import ReadSession
from gateway.errors import AccessDeniedError, ReadOnlyError, RequestError
from gateway.service import Gateway
from partners.grants import SCOPES, Decision, decide
from partners.grants import Request as Wish
from partners.plans import plans_in_force
from partners.principal import Principal
from schemas.errors import LimitError
from schemas.times import now_millis

MAX_HEADER = 32 * 1024  # bytes of names and values; a token and a proof with a large RSA key have some four thousand


async def refuse_nul(request: Request) -> None:
    """No address holds the character NUL: PostgreSQL could not even look for it.

    Raises:
        RequestError: it does.
    """
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise RequestError("an address does not hold the character NUL")


async def gateway_of(request: Request) -> Gateway:
    """The gateway this application serves."""
    gateway: Gateway = request.app.state.gateway
    return gateway


Home = Annotated[Gateway, Depends(gateway_of)]


async def writable_gateway(gateway: Home) -> Gateway:
    """The gateway, where it may take something in: a receipt for it promises a log entry that has to follow.

    Raises:
        ReadOnlyError: its database or its log is not what it was.
    """
    if gateway.read_only is not None:
        raise ReadOnlyError(f"nothing is taken in until a person has looked: {gateway.read_only.code}")
    return gateway


WritableHome = Annotated[Gateway, Depends(writable_gateway)]


def headers_of(request: Request) -> list[tuple[str, str]]:
    """The header of a request as it came, line by line: a second `DPoP` must be seen.

    Raises:
        LimitError: `request.header-too-large`.
    """
    lines = request.scope["headers"]
    if sum(len(name) + len(value) for name, value in lines) > MAX_HEADER:
        raise LimitError(f"the header of a request holds at most {MAX_HEADER} bytes", code="request.header-too-large")
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in lines]


def principal_of(request: Request, gateway: Home) -> Principal:
    """The caller, proven by a token of ours and what it is bound to: a fresh proof of its key, or its certificate.

    Raises:
        RequestError: the token came in the address, where it is written to logs (RFC 6750, section 5.3).
    """
    if b"access_token=" in request.scope["query_string"]:
        raise RequestError("a token is sent in the Authorization header, never in the address")
    scope = request.scope
    principal = gateway.authorization.resource.authenticate(
        scope["method"],
        gateway.settings.url + scope["raw_path"].decode("latin-1"),
        headers_of(request),
        now=now_millis(),
        certificate=peer_certificate(scope),
    )
    request.state.principal = principal
    return principal


Caller = Annotated[Principal, Depends(principal_of)]


def allow(session: ReadSession, gateway: Gateway, principal: Principal, wish: Wish, *, now: int) -> Decision:
    """The decision that lets `principal` have `wish` under the plans in force at `now` (ms UTC).

    Raises:
        ScopeError: its token does not reach that far; one with another scope may.
        AccessDeniedError: it may not.
    """
    principal.require(SCOPES[type(wish)])
    decision = decide(principal, wish, plans_in_force(session, now), gateway.party)
    if not decision.allow:
        raise AccessDeniedError(decision.detail, code=decision.code)
    return decision


async def bounded_body(request: Request) -> bytes:
    """The request's body, read up to the limit of the settings and no further.

    Raises:
        LimitError: `request.too-large`.
        RequestError: `request.encoding`: it is encoded in a way we do not undo.
    """
    limit = (await gateway_of(request)).settings.max_body_bytes
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RequestError("send the body as it is, without a Content-Encoding", code="request.encoding")
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if not declared.isdigit() or int(declared) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise LimitError(f"a body holds at most {limit} bytes", code="request.too-large")


Body = Annotated[bytes, Depends(bounded_body)]

"""Who calls, and may they: what every route of the partner listener depends on.

A route either depends on `Caller`, or stands in the list of public ones, or a test fails. A refusal is logged in a
transaction of its own, since the request's is rolled back.

What waits for nothing is `async`: a plain function would cost each request a trip through a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Header, Query, Request

from gateway.certificates import peer_certificate
from gateway.db import ReadSession
from gateway.errors import AccessDeniedError, RateExceededError, ReadOnlyError, RequestError
from gateway.service import Gateway
from partners.errors import ClientInactiveError
from partners.grants import SCOPES, Counts, Decision, Meter, decide
from partners.grants import Request as Wish
from partners.plans import plans_in_force
from partners.principal import Principal
from partners.rates import count_request
from partners.refusals import Refusal
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


Authenticate = Callable[[Request, Gateway], Principal]
"""How a listener knows its callers: a value in its application's state, so that routes are the same on both."""


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
    """The caller, proven as this listener wants it."""
    authenticate: Authenticate = request.app.state.authenticate
    principal = authenticate(request, gateway)
    request.state.principal = principal
    return principal


def by_access_token(request: Request, gateway: Gateway) -> Principal:
    """The caller of the partner listener, proven by a token of ours and what it is bound to: a fresh proof of its key,
    or its certificate.

    Raises:
        RequestError: the token came in the address, where it is written to logs (RFC 6750, section 5.3).
    """
    if b"access_token=" in request.scope["query_string"]:
        raise RequestError("a token is sent in the Authorization header, never in the address")
    scope, now = request.scope, now_millis()
    principal = gateway.authorization.resource.authenticate(
        scope["method"],
        gateway.settings.url + scope["raw_path"].decode("latin-1"),
        headers_of(request),
        now=now,
        certificate=peer_certificate(scope),
    )
    gateway.calls.note(principal, now=now)
    return principal


Caller = Annotated[Principal, Depends(principal_of)]


def still_calls(gateway: Gateway, principal: Principal) -> Principal:
    """A caller whose request has waited, as its client and its party stand now.

    Raises:
        ClientInactiveError: the client is suspended, ended, or gone since.
    """
    client = gateway.load_client(principal.client_id)
    if client is None:
        raise ClientInactiveError(
            "this client is ended", code="client.ended", client_id=principal.client_id, party=principal.party
        )
    client.require_active()
    return replace(principal, scopes=principal.scopes & client.scopes, suspended=client.party_suspended)


PRIVATE: Mapping[str, str] = {"Cache-Control": "no-store, private"}
"""What one caller may see, no store on the way may give to another."""


def allow(
    session: ReadSession, gateway: Gateway, principal: Principal, wish: Wish, *, now: int, purpose: str = ""
) -> Decision:
    """The decision that lets `principal` have `wish`, for the `purpose` it said, under the plans in force at `now`.

    Where the plan bounds how often, this is counted. `now` in ms UTC.

    Raises:
        ScopeError: its token does not reach that far; one with another scope may.
        RateExceededError: it may, and asked too often.
        AccessDeniedError: it may not.
    """
    plans = plans_in_force(session, now)
    decision = decide(principal, wish, plans, gateway.party, now=now, purpose=purpose)
    if decision.meters:
        counts = _count(gateway, principal, decision.meters, now)
        decision = decide(principal, wish, plans, gateway.party, now=now, purpose=purpose, counts=counts)
    if decision.refusal is not None:
        principal.require(*sorted(SCOPES[type(wish)]))
        raise _error_of(decision.refusal)
    return decision


def _count(gateway: Gateway, principal: Principal, meters: tuple[Meter, ...], now: int) -> Counts:
    with gateway.database.write() as session:
        return {
            (one.provider, one.dataset): count_request(
                session, principal.client_id, one.provider, one.dataset, one.window(now)
            )
            for one in meters
        }


def _error_of(refusal: Refusal) -> AccessDeniedError:
    extra: dict[str, object] = {"detail_zh": refusal.detail_zh, "rule": refusal.rule}
    if refusal.retry_after is not None:
        return RateExceededError(refusal.detail, refusal.retry_after, code=refusal.code, extra=extra)
    return AccessDeniedError(refusal.detail, code=refusal.code, extra=extra)


MAX_PURPOSE = 200  # characters


async def said_purpose(
    purpose: Annotated[
        str | None, Query(max_length=MAX_PURPOSE, description="What this is for; by default what the plan says")
    ] = None,
    taipu_purpose: Annotated[
        str | None, Header(description="The same as a header, in UTF-8 or percent-encoded")
    ] = None,
) -> str:
    """What the caller says it wants this for; empty where it does not say.

    Raises:
        RequestError: it is no text, or two.
    """
    try:
        header = unquote_to_bytes((taipu_purpose or "").encode("latin-1")).decode("utf-8").strip()
    except UnicodeError as error:
        raise RequestError("a purpose is text in UTF-8", pointers=["/header/taipu-purpose"]) from error
    query = (purpose or "").strip()
    if query and header and query != header:
        raise RequestError("the purpose is said twice, and not the same", pointers=["/query/purpose"])
    said = query or header
    if len(said) > MAX_PURPOSE or not said.isprintable():
        raise RequestError(f"a purpose is one line of at most {MAX_PURPOSE} characters", pointers=["/query/purpose"])
    return said


Purpose = Annotated[str, Depends(said_purpose)]


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

"""Who this gateway is, and tokens: the routes that need no token themselves.

The three that do something with tokens authenticate the client by a signed assertion of its own. What is refused to a
client that has proven who it is, is in the log.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from audit.entry import make_entry
from audit.form import REFUSAL
from audit.log import append
from gateway.api.access import Home, headers_of, principal_of
from gateway.certificates import peer_certificate
from gateway.party_document import published_document
from gateway.service import Gateway
from gateway.sync.refresh import document_tag, note_held, notice_assertion
from partners.document import open_document
from partners.errors import NonceNeededError
from partners.oauth.client_auth import MAX_BODY, Answer
from partners.oauth.introspection import IntrospectionEndpoint
from partners.oauth.keys import public_jwks
from partners.oauth.metadata import (
    INTROSPECTION_PATH,
    JWKS_PATH,
    METADATA_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
    authorization_server_metadata,
)
from partners.oauth.revocation import RevocationEndpoint
from partners.oauth.server import TokenEndpoint
from schemas.errors import LimitError, SharingError
from schemas.times import now_millis, utc_text

router = APIRouter()
_log = structlog.get_logger()

_PASSING = frozenset({"use_dpop_nonce", "temporarily_unavailable"})  # come again: nothing has been refused


@router.get("/.well-known/taipu", summary="The party document")
def read_party_document(request: Request, gateway: Home) -> Response:
    """A compact JWS (`taipu-party+jws`), signed with the identity whose fingerprint two people compare.

    Its entity tag is its serial. A partner's gateway that asks with the tag it holds tells us which one that is.
    """
    token = published_document(gateway)
    tag = document_tag(open_document(token))
    holds = request.headers.get("if-none-match", "")
    if holds and "authorization" in request.headers:
        try:
            note_held(gateway, principal_of(request, gateway), holds, now=now_millis())
        except NonceNeededError:
            raise  # it comes again with the nonce, and is known then
        except SharingError:
            _log.info("document.asked-by-nobody-known")  # whoever it is gets the document
    if holds == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(token, media_type="application/jose", headers={"ETag": tag})


@router.get(METADATA_PATH, summary="Authorization server metadata (RFC 8414)")
def read_metadata(gateway: Home) -> JSONResponse:
    """Where tokens come from, and what is accepted for them."""
    return JSONResponse(authorization_server_metadata(gateway.settings.url))


@router.get(JWKS_PATH, summary="The keys our tokens are signed with (RFC 7517)")
def read_keys(gateway: Home) -> JSONResponse:
    """A JWK set of public keys: the one in use first, and the next one before it is used."""
    return JSONResponse(public_jwks(gateway.authorization.load_keys().published))


async def _form(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise LimitError(f"a token request holds at most {MAX_BODY} bytes", code="request.too-large")
    return body


Form = Annotated[bytes, Depends(_form)]


@router.post(TOKEN_PATH, summary="A token for a client (RFC 6749, client_credentials)")
def give_token(request: Request, gateway: Home, body: Form) -> Response:
    """An access token for five minutes, for a signed assertion, bound to a key or a certificate of the client."""
    return _answer(gateway, gateway.authorization.token_endpoint, request, body)


@router.post(INTROSPECTION_PATH, summary="What a token is good for at this moment (RFC 7662)")
def look_at_token(request: Request, gateway: Home, body: Form) -> Response:
    """Told to the client that holds the token, for a signed assertion; signed where that is asked for (RFC 9701)."""
    return _answer(gateway, gateway.authorization.introspection_endpoint, request, body)


@router.post(REVOCATION_PATH, summary="The end of a token before its time (RFC 7009)")
def revoke_token(request: Request, gateway: Home, body: Form) -> Response:
    """For a signed assertion of the client that holds the token; from the next request on, wherever it is made."""
    return _answer(gateway, gateway.authorization.revocation_endpoint, request, body)


def _answer(
    gateway: Gateway, endpoint: TokenEndpoint | IntrospectionEndpoint | RevocationEndpoint, request: Request,
    body: bytes,
) -> Response:  # fmt: skip
    now = now_millis()
    answer = endpoint.respond(
        headers_of(request), body, now, certificate=peer_certificate(request.scope), address=_address(request)
    )
    if answer.client_id is not None and answer.error not in {None, *_PASSING}:
        _log_refusal(gateway, request, answer, now)
    if answer.error == "invalid_client":
        notice_assertion(gateway, body)
    return Response(answer.body, answer.status, headers=dict(answer.headers))


def _address(request: Request) -> str:
    """Where a request comes from, as far as limits go: an IPv6 network counts as one, whoever has one has all of it.

    Behind a proxy everybody comes from its address, and the setting `token_rate` has to be for all of them.
    """
    host = request.client.host if request.client is not None else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(int(address) >> 64) if isinstance(address, IPv6Address) else host


def _log_refusal(gateway: Gateway, request: Request, answer: Answer, now: int) -> None:
    client = gateway.load_client(str(answer.client_id))
    detail = {"code": f"oauth.{answer.error}", "method": request.method, "path": request.url.path}
    entry = make_entry(
        REFUSAL, at=utc_text(now), party=gateway.party, actor=answer.client_id, peer=client.party if client else None,
        detail=detail,
    )  # fmt: skip
    with gateway.database.write() as session:
        append(session, entry)
    gateway.signals.logged.send()

"""Who this gateway is, and tokens: the routes that need no token themselves."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.access import Home, principal_of
from gateway.party_document import published_document
from gateway.sync.refresh import document_tag, note_held, notice_assertion
from partners.document import open_document
from partners.oauth.keys import public_jwks
from partners.oauth.metadata import JWKS_PATH, METADATA_PATH, TOKEN_PATH, authorization_server_metadata
from partners.oauth.server import MAX_BODY
from schemas.errors import LimitError, SharingError
from schemas.times import now_millis

router = APIRouter()


@router.get("/.well-known/taipu", summary="The party document")
def read_party_document(request: Request, gateway: Home) -> Response:
    """A compact JWS (`taipu-party+jws`), signed with the identity whose fingerprint two people compare.

    Its entity tag is its serial. A partner's gateway that asks with the tag it holds tells us which one that is.
    """
    token = published_document(gateway)
    tag = document_tag(open_document(token))
    holds = request.headers.get("if-none-match", "")
    if holds and "authorization" in request.headers:
        with suppress(SharingError):  # whoever it is gets the document
            note_held(gateway, principal_of(request, gateway), holds, now=now_millis())
    if holds == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(token, media_type="application/jose", headers={"ETag": tag})


@router.get(METADATA_PATH, summary="Authorization server metadata (RFC 8414)")
def read_metadata(gateway: Home) -> JSONResponse:
    """Where tokens come from, and what is accepted for them."""
    return JSONResponse(authorization_server_metadata(gateway.settings.url))


@router.get(JWKS_PATH, summary="The keys our tokens are signed with (RFC 7517)")
def read_keys(gateway: Home) -> JSONResponse:
    """A JWK set of public keys."""
    return JSONResponse(public_jwks(gateway.keys.oauth_publics(now_millis())))


async def _form(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise LimitError(f"a token request holds at most {MAX_BODY} bytes", code="request.too-large")
    return body


@router.post(TOKEN_PATH, summary="A token for a client (RFC 6749, client_credentials)")
def give_token(request: Request, gateway: Home, body: Annotated[bytes, Depends(_form)]) -> Response:
    """A DPoP-bound access token for five minutes, for a signed assertion and a proof of the key it is bound to."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
    answer = gateway.token_endpoint.respond(headers, body, now_millis())
    if answer.status in (400, 401):
        notice_assertion(gateway, body)
    return Response(answer.body, answer.status, headers=dict(answer.headers))

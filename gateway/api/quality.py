"""`/v1/findings`: what the quality rules found, for its provider. What they say is public: `gateway.api.schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response

from gateway.api.access import Caller, Home, allow
from gateway.api.disclosure import log_disclosure
from gateway.api.pages import answer_page
from gateway.store.findings import Wanted, read_page
from partners.grants import ReadFindings
from schemas.times import now_millis, to_millis

router = APIRouter()
_FILTERS = ("party", "site", "factor", "rule", "from", "to")


@router.get("/v1/findings", summary="What the quality rules found about this party's values")
def read_findings(
    request: Request, gateway: Home, caller: Caller,
    party: Annotated[str | None, Query(description="Values of this party; by default our own")] = None,
    site: str | None = None, factor: str | None = None, rule: str | None = None,
    since: Annotated[str | None, Query(alias="from", description="Measured from, RFC 3339, included")] = None,
    until: Annotated[str | None, Query(alias="to", description="Measured to, RFC 3339, excluded")] = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1)] = 1000,
    form: Annotated[Literal["json", "ndjson"], Query(alias="format")] = "json",
) -> Response:  # fmt: skip
    """In the order of day, series and instant, each with the sentence for a person and the version of the rules."""
    now = now_millis()
    limit = min(limit, gateway.settings.max_page)
    bound_to = [caller.client_id, "findings", *(request.query_params.get(name, "") for name in _FILTERS)]
    after = gateway.cursors.open(bound_to, cursor) if cursor is not None else None
    wanted = Wanted(
        party or gateway.party, site, factor, rule,
        to_millis(since) if since else None, to_millis(until) if until else None,
    )  # fmt: skip
    with gateway.database.read() as session:
        allow(session, gateway, caller, ReadFindings(), now=now)
        listed = read_page(session, wanted, after=after, limit=limit + 1)
    lines = [msgspec.json.encode(one.as_json()) for one in listed[:limit]]
    following = gateway.cursors.make(bound_to, listed[limit - 1].place) if len(listed) > limit else None
    asked = {name: request.query_params[name] for name in _FILTERS if name in request.query_params}
    log_disclosure(gateway, caller, request, {"filter": asked, "count": len(lines), "purpose": ""}, now=now)
    return answer_page(request, "findings", lines, following, form)

"""`/v1/quality-rules`: what the rules say. `/v1/findings`: what they found, for its provider."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response

from gateway.api.access import Caller, Home, allow
from gateway.api.disclosure import log_disclosure
from gateway.api.pages import answer_page
from gateway.store.findings import Listed, Wanted, read_page
from gateway.store.versions import all_versions
from partners.grants import ReadFindings
from schemas.quality import QualityRules, as_document
from schemas.tables import Table, shipped
from schemas.times import beijing_text, now_millis, to_millis, utc_text

router = APIRouter()
_FILTERS = ("party", "site", "factor", "rule", "from", "to")


@router.get("/v1/quality-rules", summary="The quality rules in force, their parameters, and the versions of the table")
def read_rules(gateway: Home, _caller: Caller) -> dict[str, Any]:
    """Every rule with its titles, what it says in both languages, where it runs, and its parameters with the reason.

    `history` has every version that decides or has decided, by its effective instant; who proposed and approved it is
    this party's own affair.
    """
    with gateway.database.read() as session:
        own = [one.as_table() for one in all_versions(session, QualityRules.table) if one.state == "approved"]
    versions = sorted([shipped(QualityRules.table), *own], key=lambda table: (table.effective, table.version))
    rules = gateway.governed.at(now_millis())[QualityRules]
    return {**as_document(rules), "history": [_version(table) for table in versions]}


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
    lines = [msgspec.json.encode(finding_document(one)) for one in listed[:limit]]
    following = gateway.cursors.make(bound_to, listed[limit - 1].place) if len(listed) > limit else None
    asked = {name: request.query_params[name] for name in _FILTERS if name in request.query_params}
    log_disclosure(gateway, caller, request, {"filter": asked, "count": len(lines), "purpose": ""}, now=now)
    return answer_page(request, "findings", lines, following, form)


def finding_document(one: Listed) -> dict[str, object]:
    """A finding as it is listed: the rule, what it is about, and who said so by which version of the rules."""
    found = one.finding
    return {
        "rule": found.rule, "detail": found.detail, "table": found.reference, "source": found.source,
        "found": utc_text(found.found), "provider": one.provider, "site": one.site, "factor": one.factor,
        "origin": one.origin, "stat": one.stat, "period": one.period, "at": beijing_text(found.key.at),
        "sample": found.key.sample, "rev": found.key.rev,
    }  # fmt: skip


def _version(table: Table) -> dict[str, object]:
    return {"table": table.reference, "digest": table.digest, "effective": utc_text(table.effective)}

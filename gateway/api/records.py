"""`/v1/sites`, `/v1/sources`, `/v1/marks`, `/v1/inspections`, `/v1/cases`: what the plan lets the caller read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gateway.api.access import Caller, Home, allow
from gateway.api.disclosure import log_disclosure
from gateway.api.pages import Form, answer_page, provided
from gateway.errors import RequestError
from gateway.service import Gateway
from gateway.store.lines import project
from gateway.store.reading import read_statements
from partners.grants import ReadRecords
from partners.principal import Principal
from schemas.records import Case, Inspection, Mark, Site, Source, Statement
from schemas.times import BEIJING, now_millis

router = APIRouter()

_Party = Annotated[str | None, Query(description="Only of this provider")]
_Site = Annotated[str | None, Query(description="Only of this site")]
_Name = Annotated[str | None, Query(description="Called so, today or on the day `on`, by its name or an alias")]
_On = Annotated[date | None, Query(description="The day on which `name` was in use; today in Beijing by default")]
_Cursor = Annotated[str | None, Query(description="Where the page before ended")]
_Limit = Annotated[int, Query(ge=1)]
_Form = Annotated[Form, Query(alias="format")]
_Purpose = Annotated[str, Query(max_length=200)]


@router.get("/v1/sites", summary="Sites, by name then or now, programme and provider")
def read_sites(
    request: Request, gateway: Home, caller: Caller,
    party: _Party = None, site: _Site = None, name: _Name = None, on: _On = None,
    programme: Annotated[str | None, Query(description="Only sites in this programme")] = None,
    cursor: _Cursor = None, limit: _Limit = 1000, form: _Form = "json", purpose: _Purpose = "",
) -> Response:  # fmt: skip
    """An old section name leads to the site that bore it on that day."""
    day = _day(name, on)

    def matches(record: Statement) -> bool:
        return (
            isinstance(record, Site)
            and site in (None, record.id)
            and (name is None or record.called(name, day))
            and (programme is None or programme in record.programmes)
        )

    return _page(request, gateway, caller, "site", party, matches, cursor, limit, form, purpose)


@router.get("/v1/sources", summary="Pollution sources, by name then or now, category and provider")
def read_sources(
    request: Request, gateway: Home, caller: Caller,
    party: _Party = None, source: Annotated[str | None, Query(description="Only this unit id")] = None,
    category: Annotated[str | None, Query(description="Only sources of this category")] = None,
    cursor: _Cursor = None, limit: _Limit = 1000, form: _Form = "json", purpose: _Purpose = "",
) -> Response:  # fmt: skip
    """Enterprises with their outlets; a closed one keeps its place."""

    def matches(record: Statement) -> bool:
        mine = isinstance(record, Source) and source in (None, record.id)
        return mine and (category is None or category in record.categories)  # type: ignore[union-attr]

    return _page(request, gateway, caller, "source", party, matches, cursor, limit, form, purpose)


@router.get("/v1/marks", summary="Marks that people entered, by site")
def read_marks(
    request: Request, gateway: Home, caller: Caller, party: _Party = None, site: _Site = None,
    cursor: _Cursor = None, limit: _Limit = 1000, form: _Form = "json", purpose: _Purpose = "",
) -> Response:  # fmt: skip
    """Working conditions, with who entered them and when."""

    def matches(record: Statement) -> bool:
        return isinstance(record, Mark) and site in (None, record.site)

    return _page(request, gateway, caller, "mark", party, matches, cursor, limit, form, purpose)


@router.get("/v1/inspections", summary="Inspections, by site or source")
def read_inspections(
    request: Request, gateway: Home, caller: Caller, party: _Party = None, site: _Site = None,
    cursor: _Cursor = None, limit: _Limit = 1000, form: _Form = "json", purpose: _Purpose = "",
) -> Response:  # fmt: skip
    """On-site inspections with their signatures and recognitions."""

    def matches(record: Statement) -> bool:
        return isinstance(record, Inspection) and site in (None, record.site)

    return _page(request, gateway, caller, "inspection", party, matches, cursor, limit, form, purpose)


@router.get("/v1/cases", summary="Steps of cases, by case")
def read_cases(
    request: Request, gateway: Home, caller: Caller, party: _Party = None,
    case: Annotated[str | None, Query(description="Only steps of this case")] = None,
    cursor: _Cursor = None, limit: _Limit = 1000, form: _Form = "json", purpose: _Purpose = "",
) -> Response:  # fmt: skip
    """Each step with the party that took it and those it is for."""

    def matches(record: Statement) -> bool:
        return isinstance(record, Case) and case in (None, record.case)

    return _page(request, gateway, caller, "case", party, matches, cursor, limit, form, purpose)


def _page(
    request: Request, gateway: Gateway, caller: Principal, kind: str, party: str | None,
    matches: Callable[[Statement], bool], cursor: str | None, limit: int, form: Form, purpose: str,
) -> Response:  # fmt: skip
    """A page of one kind, logged before it is answered."""
    now = now_millis()
    limit = min(limit, gateway.settings.max_page)
    asked = {name: text for name, text in sorted(request.query_params.items()) if name not in _NOT_FILTERS}
    bound_to = [caller.client_id, kind, *(part for pair in asked.items() for part in pair)]
    after = gateway.cursors.open(bound_to, cursor) if cursor is not None else None
    with gateway.database.read() as session:
        extent = allow(session, gateway, caller, ReadRecords(), now=now).extent
        assert extent is not None
        shown = read_statements(
            session, extent, kind, gateway.sites, provider=party, after=(after[0], after[1]) if after else None,
            limit=limit + 1, matches=matches,
        )  # fmt: skip
    lines = [provided(one.provider, project(one.record, one.hide)) for one in shown[:limit]]
    last = shown[limit - 1] if len(shown) > limit else None
    following = gateway.cursors.make(bound_to, (last.provider, last.key)) if last else None
    log_disclosure(gateway, caller, request, {"filter": asked, "count": len(lines), "purpose": purpose}, now=now)
    return answer_page(request, f"{kind}s", lines, following, form)


_NOT_FILTERS = frozenset({"cursor", "limit", "format", "purpose"})


def _day(name: str | None, on: date | None) -> date:
    if on is not None and name is None:
        raise RequestError("`on` is the day on which a `name` was in use", pointers=["/query/on"])
    return on or datetime.now(BEIJING).date()

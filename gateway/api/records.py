"""`/v1/sites`, `/v1/sources`, `/v1/marks`, `/v1/inspections`, `/v1/cases`: what the plan lets the caller read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gateway.api.access import Caller, Home, Purpose, allow
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

_Site = Annotated[str | None, Query(description="Only of this site")]
_NOT_FILTERS = frozenset({"cursor", "limit", "format", "purpose"})


@dataclass(frozen=True)
class Asked:
    """What every one of these routes is asked: by whom, of which provider, and for which page."""

    request: Request
    gateway: Gateway
    caller: Principal
    party: str | None
    cursor: str | None
    limit: int
    form: Form
    purpose: str


async def asked(
    request: Request, gateway: Home, caller: Caller, purpose: Purpose,
    party: Annotated[str | None, Query(description="Only of this provider")] = None,
    cursor: Annotated[str | None, Query(description="Where the page before ended")] = None,
    limit: Annotated[int, Query(ge=1)] = 1000,
    form: Annotated[Form, Query(alias="format")] = "json",
) -> Asked:  # fmt: skip
    """See `Asked`."""
    return Asked(request, gateway, caller, party, cursor, min(limit, gateway.settings.max_page), form, purpose)


Wish = Annotated[Asked, Depends(asked)]


@router.get("/v1/sites", summary="Sites, by name then or now, programme and provider")
def read_sites(
    wish: Wish, site: _Site = None,
    name: Annotated[
        str | None, Query(description="Called so, today or on the day `on`, by its name or an alias")
    ] = None,
    on: Annotated[
        date | None, Query(description="The day on which `name` was in use; today in Beijing by default")
    ] = None,
    programme: Annotated[str | None, Query(description="Only sites in this programme")] = None,
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

    return _page(wish, "site", matches)


@router.get("/v1/sources", summary="Pollution sources, by unit id, category and provider")
def read_sources(
    wish: Wish, source: Annotated[str | None, Query(description="Only this unit id")] = None,
    category: Annotated[str | None, Query(description="Only sources of this category")] = None,
) -> Response:  # fmt: skip
    """Enterprises with their outlets; a closed one keeps its place."""

    def matches(record: Statement) -> bool:
        return (
            isinstance(record, Source)
            and source in (None, record.id)
            and (category is None or category in record.categories)
        )

    return _page(wish, "source", matches)


@router.get("/v1/marks", summary="Marks that people entered, by site")
def read_marks(wish: Wish, site: _Site = None) -> Response:
    """Working conditions, with who entered them and when."""
    return _page(wish, "mark", lambda record: isinstance(record, Mark) and site in (None, record.site))


@router.get("/v1/inspections", summary="Inspections, by site")
def read_inspections(wish: Wish, site: _Site = None) -> Response:
    """On-site inspections with their signatures and recognitions."""
    return _page(wish, "inspection", lambda record: isinstance(record, Inspection) and site in (None, record.site))


@router.get("/v1/cases", summary="Steps of cases, by case")
def read_cases(
    wish: Wish, case: Annotated[str | None, Query(description="Only steps of this case")] = None
) -> Response:
    """Each step with the party that took it and those it is for."""
    return _page(wish, "case", lambda record: isinstance(record, Case) and case in (None, record.case))


def _page(wish: Asked, kind: str, matches: Callable[[Statement], bool]) -> Response:
    """A page of one kind, logged before it is answered."""
    now, gateway, caller = now_millis(), wish.gateway, wish.caller
    query = sorted(wish.request.query_params.items())
    filters = {name: text for name, text in query if name not in _NOT_FILTERS}
    bound_to = [caller.client_id, kind, *(part for pair in filters.items() for part in pair)]
    after = gateway.cursors.open(bound_to, wish.cursor) if wish.cursor is not None else None
    with gateway.database.read() as session:
        grant = allow(session, gateway, caller, ReadRecords(kind), now=now, purpose=wish.purpose)
        assert grant.extent is not None
        shown = read_statements(
            session, grant.extent, kind, gateway.sites, provider=wish.party,
            after=(after[0], after[1]) if after else None, limit=wish.limit + 1, matches=matches,
        )  # fmt: skip
    lines = [provided(one.provider, project(one.record, one.hide)) for one in shown[: wish.limit]]
    last = shown[wish.limit - 1] if len(shown) > wish.limit else None
    following = gateway.cursors.make(bound_to, (last.provider, last.key)) if last else None
    logged = {"filter": filters, "count": len(lines), "purpose": grant.purpose}
    log_disclosure(gateway, caller, wish.request, logged, now=now)
    return answer_page(wish.request, f"{kind}s", lines, following, wish.form)


def _day(name: str | None, on: date | None) -> date:
    if on is not None and name is None:
        raise RequestError("`on` is the day on which a `name` was in use", pointers=["/query/on"])
    return on or datetime.now(BEIJING).date()

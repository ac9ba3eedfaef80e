"""`/v1/observations`: values, page by page, as far as the plan lets the caller read them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from gateway.api.access import Caller, Home, Purpose, allow
from gateway.api.disclosure import log_disclosure
from gateway.api.pages import answer_page, provided
from gateway.db import ReadSession
from gateway.errors import NotFoundError
from gateway.service import Gateway
from gateway.store import findings, records
from gateway.store.interning import SeriesKey
from gateway.store.lines import extra_of, project, record_of
from gateway.store.observations import Key, Row
from gateway.store.reading import Filter, Visible, read_page, visible_series
from partners.grants import Extent, ReadRecords
from partners.plans import Plans, plans_in_force
from schemas.flags import Flags
from schemas.plan import Dataset
from schemas.records import Mark
from schemas.tables import Tables
from schemas.times import now_millis, to_millis
from schemas.validity import MarkTypes, judge

router = APIRouter()
_FILTERS = ("party", "site", "factor", "dataset", "from", "to")


@router.get("/v1/observations", summary="Observations, by site, factor, party, dataset and time")
def read_observations(
    request: Request, gateway: Home, caller: Caller, purpose: Purpose,
    party: str | None = None, site: str | None = None, factor: str | None = None, dataset: str | None = None,
    since: Annotated[str | None, Query(alias="from", description="RFC 3339, included")] = None,
    until: Annotated[str | None, Query(alias="to", description="RFC 3339, excluded")] = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1)] = 1000,
    form: Annotated[Literal["json", "ndjson"], Query(alias="format")] = "json",
) -> Response:  # fmt: skip
    """A page in the order of day, series and instant, and the cursor of the next. The read is logged before it is
    answered: who, for what purpose, with which filter."""
    now = now_millis()
    limit = min(limit, gateway.settings.max_page)
    bound_to = [caller.client_id, *(request.query_params.get(name, "") for name in _FILTERS)]
    after = gateway.cursors.open(bound_to, cursor) if cursor is not None else None
    with gateway.database.read() as session:
        wish = ReadRecords("observation", dataset or "")
        grant = allow(session, gateway, caller, wish, now=now, purpose=purpose)
        extent = grant.extent
        assert extent is not None
        wanted = Filter(
            provider=party, site=site, factor=factor,
            dataset=_dataset(plans_in_force(session, now), extent, gateway.party, dataset) if dataset else None,
            since=to_millis(since) if since else None, until=to_millis(until) if until else None,
        )  # fmt: skip
        visible = visible_series(session, extent, wanted, gateway.sites, gateway.interning)
        rows = read_page(session, visible, wanted, after=after, limit=limit + 1)
        tables = gateway.governed.at(now)
        lines = _lines(gateway, session, rows[:limit], visible, tables)
    following = gateway.cursors.make(bound_to, rows[limit - 1].key) if len(rows) > limit else None
    query = {name: request.query_params[name] for name in _FILTERS if name in request.query_params}
    log_disclosure(gateway, caller, request, {"filter": query, "count": len(lines), "purpose": grant.purpose}, now=now)
    return answer_page(request, "observations", lines, following, form, decided_by=tables.references(Flags, MarkTypes))


def _dataset(plans: Plans, extent: Extent, home: str, name: str) -> Dataset:
    """The dataset of this name that the reader may ask for."""
    mine = plans.provided_by(home) + plans.received_by(home) if extent.everything else list(extent.datasets)
    for dataset in mine:
        if dataset.id == name:
            return dataset
    raise NotFoundError("there is no such dataset that you may read", code="dataset.not-found")


def _lines(gateway: Gateway, session: ReadSession, rows: list[Row], visible: Visible, tables: Tables) -> list[bytes]:
    """Each record as a line, with what is derived of it: whether it may be judged, and why not."""
    series = gateway.interning.series(session, {row.series_id for row in rows})
    states = gateway.interning.states(session, {row.state_id for row in rows})
    marks = _marks(session, set(series.values()))
    found = findings.codes_of(session, (Key(*row.key, row.rev) for row in rows))
    lines = []
    for row in rows:
        key, state = series[row.series_id], states[row.state_id]
        record = record_of(row, key, state, found.get(Key(*row.key, row.rev), ()))
        line = project(record, visible.hide, extra_of(row).more)
        here = marks.get((key.provider, key.site), ())
        validity = judge(state.profile, state.flag, key.factor, key.period, row.at, here, tables)
        derived = {"valid": validity.valid} if validity.valid else {"valid": False, "invalid_by": validity.why}
        lines.append(provided(key.provider, line, derived, visible.hide))
    return lines


def _marks(session: ReadSession, keys: Collection[SeriesKey]) -> dict[tuple[str, str], list[Mark]]:
    """The marks at the sites of these series, by provider and site."""
    found: dict[tuple[str, str], list[Mark]] = {}
    for provider in {key.provider for key in keys}:
        sites = sorted({key.site for key in keys if key.provider == provider})
        for site, marks in records.marks_of(session, provider, sites).items():
            found[provider, site] = marks
    return found

"""Pages of the console. So far one: how this gateway stands, for whoever opens its address.

Plain HTML that works without scripts; nothing is fetched from elsewhere, and the policy header says so to the browser.
Nothing here shows a value or a person: counts, numbers and times, as `/metrics` has them.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from gateway.api.access import Home
from gateway.health import check_health
from gateway.ingest.release import held_counts
from gateway.party_document import published_document
from gateway.sync.status import DELIVERY_STATES, read_status
from partners.document import open_document
from schemas.times import beijing_text, now_millis, utc_text

router = APIRouter()

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.console"), autoescape=select_autoescape(), undefined=StrictUndefined
    )
    environment.filters["beijing"] = lambda millis: beijing_text(millis // 1000 * 1000).replace("T", " ")[:19]
    environment.filters["utc"] = utc_text
    return environment


_PAGES = _environment()


@router.get("/", summary="How this gateway stands")
def read_status_page(gateway: Home) -> Response:
    """One page: is it well, what it publishes, what it has from whom, what waits, and how far the log reaches."""
    now = now_millis()
    with gateway.database.read() as session:
        status = read_status(session, gateway.party)
        held = held_counts(session)
    page = _PAGES.get_template("status.html").render(
        names=open_document(published_document(gateway)).names,
        party=gateway.party,
        url=gateway.settings.url,
        origin=gateway.settings.log_origin,
        checks=check_health(gateway),
        status=status,
        states=DELIVERY_STATES,
        held=held,
        now=now,
    )
    return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)


@router.get("/static/console.css", summary="How the pages look")
def read_style() -> Response:
    """The one style sheet."""
    style = files("gateway.console").joinpath("static/console.css").read_bytes()
    return Response(style, media_type="text/css; charset=utf-8", headers=HEADERS)

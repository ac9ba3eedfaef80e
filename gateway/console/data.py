"""Reading from desktop tools: the partner listener's own read routes, for the personal tokens of this party's people.

The same functions answer; only who calls is found out otherwise, which each listener's application says in its state.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from gateway.api import observations, records
from gateway.api.access import Authenticate, headers_of
from gateway.service import Gateway
from gateway.tokens import PersonalCallers
from partners.principal import Principal
from schemas.times import now_millis

_MODULES = (observations, records)

router = APIRouter()
for _module in _MODULES:
    router.include_router(_module.router)


def personal_callers(gateway: Gateway) -> Authenticate:
    """How the console listener of `gateway` knows who calls these routes."""
    callers = PersonalCallers(gateway)

    def authenticate(request: Request, _gateway: Gateway) -> Principal:
        address = request.client.host if request.client else ""
        return callers.authenticate(request.method, headers_of(request), address, now_millis())

    return authenticate


def read_routes() -> list[APIRoute]:
    """All of them: each only reads, which a test holds it to."""
    return [route for module in _MODULES for route in module.router.routes if isinstance(route, APIRoute)]

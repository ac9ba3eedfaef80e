"""Who is signed in at the console, and may they: what every route of the console listener that shows or does anything
depends on.

A route names its permission with `may`, asks only for a `SignedIn` person, or stands in the list of public ones, or a
test fails. A request that changes something has to come from our own pages (`Sec-Fetch-Site`, or `Origin` where a
client does not send that), as JSON: so no other site can make a browser send one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from gateway.api.access import Home
from gateway.errors import AccessDeniedError, SignInError
from gateway.people.person import Person
from gateway.people.roles import Permission
from gateway.people.sessions import is_stale, note_seen, person_of
from schemas.times import now_millis

COOKIE = "__Host-taipu"
_SAFE = ("GET", "HEAD")


def signed_in(request: Request, gateway: Home) -> Person:
    """The person whose session the request belongs to.

    Raises:
        SignInError: nobody is signed in, or no longer.
        AccessDeniedError: `request.cross-site`: it does not come from our own pages.
    """
    if request.method not in _SAFE:
        require_own_page(request)
    now = now_millis()
    secret = request.cookies.get(COOKIE, "")
    with gateway.database.read() as session:
        person = person_of(session, secret, now=now) if secret else None
        stale = person is not None and is_stale(session, secret, now=now)
    if person is None:
        raise SignInError("sign in first")
    if stale:
        with gateway.database.write() as session:
            note_seen(session, secret, now=now)
    request.state.person = person
    return person


SignedIn = Annotated[Person, Depends(signed_in)]


def may(permission: Permission) -> Callable[[Person], Person]:
    """The dependency of a route that takes `permission`: the person who has it."""

    def permitted(person: SignedIn) -> Person:
        person.require(permission)
        return person

    permitted.permission = permission  # type: ignore[attr-defined]  # what the test of all routes looks for
    return permitted


def require_own_page(request: Request) -> None:
    """Go on only with a request that our own pages, or no browser at all, sent.

    Raises:
        AccessDeniedError: `request.cross-site`.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = site not in (None, "same-origin") or (site is None and origin not in (None, f"https://{_host(request)}"))
    json = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
    if foreign or not json:
        raise AccessDeniedError("changes are sent as JSON, from the console's own pages", code="request.cross-site")


def _host(request: Request) -> str:
    return request.headers.get("host", "")

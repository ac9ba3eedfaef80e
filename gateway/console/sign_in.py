"""Signing in and out at the console, one's sessions, and how somebody with a code comes to a password.

What stands for a session is in a cookie that no script can read and that no other site's request carries. It is another
one after each sign-in and each step-up: one that somebody planted before opens nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from gateway.api.access import Home
from gateway.console.access import COOKIE, SignedIn, require_own_page
from gateway.console.forms import Form, Short
from gateway.errors import NotFoundError
from gateway.people import changes, enrolment
from gateway.people.accounts import newcomer
from gateway.people.roles import permissions_of
from gateway.people.sessions import end_session, sessions_of
from gateway.people.sign_in import confirm, heed_address, sign_in
from schemas.times import now_millis, utc_text

router = APIRouter(prefix="/api")

Secret = Annotated[str, Field(max_length=512)]


class SignIn(Form):
    """What somebody signs in with."""

    name: Short
    password: Secret
    code: Short


class Code(Form):
    """What the authenticator shows."""

    code: Short


class ChangedPassword(Form):
    """A password in place of another."""

    before: Secret
    after: Secret


class Begun(Form):
    """A code that was drawn for somebody; a founder says what the account will be called."""

    code: Short
    account: Short = ""


class Founder(Form):
    """Who founds: the account, the name, the staff number."""

    account: Short
    full_name: Short
    person: Short


class Enrolment(Form):
    """All that somebody with a code sets."""

    code: Short
    password: Secret
    shown: Short
    founder: Founder | None = None


@router.post("/sign-in", dependencies=[Depends(require_own_page)], summary="Sign in")
def open_session(form: SignIn, request: Request, response: Response, gateway: Home) -> dict[str, Any]:
    """A new session in a cookie; the answer says how many tries had failed before it."""
    now = now_millis()
    opened = sign_in(
        gateway, form.name, form.password, form.code, origin="console", address=_address(request), now=now
    )  # fmt: skip
    _forget(request, gateway)
    _keep(response, opened.secret)
    return {"account": opened.account, "failures": opened.failures}


@router.post("/confirm", summary="Show the second factor again")
def confirm_session(
    form: Code, request: Request, response: Response, person: SignedIn, gateway: Home
) -> dict[str, Any]:
    """For the next minutes, what asks for a fresh second factor is done."""
    _keep(response, confirm(gateway, request.cookies[COOKIE], form.code, now=now_millis()))
    return {"account": person.account}


@router.post("/sign-out", status_code=204, summary="Sign out")
def close_session(request: Request, response: Response, _person: SignedIn, gateway: Home) -> None:
    """The session ends here, whatever the browser keeps."""
    _forget(request, gateway)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")


@router.get("/me", summary="Who is signed in, and what they may do")
def read_me(person: SignedIn) -> dict[str, Any]:
    """Account, name, roles and permissions at this moment."""
    return {
        "account": person.account,
        "name": person.name,
        "roles": sorted(person.roles),
        "permissions": sorted(permissions_of(person.roles)),
        "confirmed": utc_text(person.confirmed),
    }


@router.get("/sessions", summary="One's open sessions")
def list_sessions(request: Request, person: SignedIn, gateway: Home) -> list[dict[str, Any]]:
    """Newest first; one of them is this one."""
    with gateway.database.read() as session:
        found = sessions_of(session, person.account, now=now_millis(), secret=request.cookies[COOKIE])
    return [
        {
            "id": one.id,
            "origin": one.origin,
            "created": utc_text(one.created),
            "seen": utc_text(one.seen),
            "ends": utc_text(one.ends),
            "current": one.current,
        }
        for one in found
    ]


@router.delete("/sessions", summary="End all one's sessions")
def end_all_sessions(person: SignedIn, gateway: Home) -> dict[str, int]:
    """This one too."""
    return {"ended": changes.end_sessions_of(gateway, person.account, by=person, now=now_millis())}


@router.delete("/sessions/{identifier}", summary="End one of one's sessions")
def end_one_session(identifier: str, person: SignedIn, gateway: Home) -> dict[str, int]:
    """By its id, as the list names it."""
    ended = changes.end_sessions_of(gateway, person.account, by=person, identifier=identifier, now=now_millis())
    if not ended:
        raise NotFoundError("you have no such session")
    return {"ended": ended}


@router.post("/password", status_code=204, summary="Choose another password")
def replace_password(form: ChangedPassword, person: SignedIn, gateway: Home) -> None:
    """All one's sessions end."""
    enrolment.change_password(gateway, person, form.before, form.after, now=now_millis())


@router.post("/enrolment", dependencies=[Depends(require_own_page)], summary="Begin with a code")
def begin_enrolment(form: Begun, request: Request, gateway: Home) -> dict[str, str]:
    """The second factor for the authenticator, as address and as QR code."""
    now = now_millis()
    heed_address(gateway, _address(request), now=now)
    factor = enrolment.show_factor(gateway, form.code, account=form.account, now=now)
    return {"uri": factor.uri, "svg": factor.svg()}


@router.put("/enrolment", dependencies=[Depends(require_own_page)], summary="Set password and second factor")
def complete_enrolment(form: Enrolment, request: Request, gateway: Home) -> dict[str, Any]:
    """The code is used up."""
    now, founder = now_millis(), form.founder
    heed_address(gateway, _address(request), now=now)
    who = newcomer(founder.account, founder.full_name, founder.person) if founder else None
    account = enrolment.enrol(gateway, form.code, form.password, form.shown, founder=who, now=now)
    return {"account": account.name, "roles": sorted(account.roles)}


def _keep(response: Response, secret: str) -> None:
    response.set_cookie(COOKIE, secret, path="/", secure=True, httponly=True, samesite="strict")


def _forget(request: Request, gateway: Home) -> None:
    """End the session that the browser came with, if it did."""
    if before := request.cookies.get(COOKIE):
        with gateway.database.write() as session:
            end_session(session, before)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"

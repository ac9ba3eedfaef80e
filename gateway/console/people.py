"""People at the console: who has an account, and proposing who shall have one and in which roles."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from gateway.api.access import Home
from gateway.console.access import may
from gateway.console.approvals import described
from gateway.console.forms import Form, Short
from gateway.errors import PersonError
from gateway.people import changes
from gateway.people.accounts import Account, all_accounts, newcomer
from gateway.people.person import Person
from schemas.errors import RecordError
from schemas.times import now_millis, to_millis, utc_text

router = APIRouter(prefix="/api")

Reader = Annotated[Person, Depends(may("registry.read"))]
Proposer = Annotated[Person, Depends(may("person.propose"))]
Guard = Annotated[Person, Depends(may("person.suspend"))]
Reason = Annotated[str, Field(max_length=500)]


class NewPerson(Form):
    """Who is to have an account. `until`: the end of a visit, RFC 3339."""

    account: Short
    full_name: Short
    person: Short
    roles: list[Short] = Field(max_length=8)
    until: Short | None = None
    reason: Reason = ""


class NewRoles(Form):
    """Roles in place of those there are."""

    roles: list[Short] = Field(max_length=8)
    until: Short | None = None
    reason: Reason = ""


class Why(Form):
    """For whoever approves."""

    reason: Reason = ""


@router.get("/people", summary="Every account")
def list_people(_person: Reader, gateway: Home) -> list[dict[str, Any]]:
    """By name, disabled ones too; never what anybody signs in with."""
    with gateway.database.read() as session:
        return [as_json(account) for account in all_accounts(session, now=now_millis())]


@router.post("/people", status_code=201, summary="Propose an account")
def propose_person(form: NewPerson, person: Proposer, gateway: Home) -> dict[str, Any]:
    """Somebody else approves it."""
    now, who = now_millis(), newcomer(form.account, form.full_name, form.person)
    until = _instant(form.until)
    proposal = changes.propose_person(
        gateway, who, form.roles, until=until, by=person, reason=form.reason, now=now
    )  # fmt: skip
    return described(proposal, person)


@router.post("/people/{name}/roles", status_code=201, summary="Propose other roles")
def propose_roles(name: str, form: NewRoles, person: Proposer, gateway: Home) -> dict[str, Any]:
    """In place of all the account has."""
    until = _instant(form.until)
    proposal = changes.propose_roles(
        gateway, name, form.roles, until=until, by=person, reason=form.reason, now=now_millis()
    )  # fmt: skip
    return described(proposal, person)


@router.post("/people/{name}/return", status_code=201, summary="Propose that a disabled account is used again")
def propose_return(name: str, form: Why, person: Proposer, gateway: Home) -> dict[str, Any]:
    """With the roles it had."""
    return described(
        changes.propose_return(gateway, name, by=person, reason=form.reason, now=now_millis()), person
    )  # fmt: skip


@router.post("/people/{name}/recovery", status_code=201, summary="Propose a new password and second factor")
def propose_recovery(name: str, form: Why, person: Proposer, gateway: Home) -> dict[str, Any]:
    """What there is is void once it is approved."""
    return described(
        changes.propose_recovery(gateway, name, by=person, reason=form.reason, now=now_millis()), person
    )  # fmt: skip


@router.post("/proposals/{identifier}/code", summary="Draw the code for whom was approved")
def draw_code(identifier: str, person: Proposer, gateway: Home) -> dict[str, str]:
    """To be handed over; it is not shown again, and good for a day."""
    return {"code": changes.draw_enrolment_code(gateway, identifier, by=person, now=now_millis())}


@router.post("/people/{name}/disable", summary="Keep somebody out at once")
def disable(name: str, _form: Why, person: Guard, gateway: Home) -> dict[str, Any]:
    """All sessions of the account end; two persons let it in again."""
    return as_json(changes.disable(gateway, name, by=person, now=now_millis()))


@router.delete("/people/{name}/sessions", summary="End anybody's sessions")
def end_sessions(name: str, person: Guard, gateway: Home) -> dict[str, int]:
    """How many there were."""
    return {"ended": changes.end_sessions_of(gateway, name, by=person, now=now_millis())}


def as_json(account: Account) -> dict[str, Any]:
    """An account as lists show it."""
    return {
        "account": account.name,
        "full_name": account.full_name,
        "person": account.person,
        "active": account.active,
        "enrolled": account.enrolled,
        "roles": sorted(account.roles),
        "created": utc_text(account.created),
    }


def _instant(text: str | None) -> int | None:
    try:
        return None if text is None else to_millis(text)
    except RecordError as error:
        raise PersonError(error.detail, code="person.malformed") from error

"""Who is let in, in which roles: proposed by a security administrator, approved by another person.

    person          a new account with its roles; for a visitor, until when
    roles           other roles in place of those an account has
    person-return   an account that was disabled may be used again
    recovery        password and second factor are void, and set anew with a code

Disabling takes one person, at once: every session of the account ends with it. Nobody changes their own roles, in
either part. Somebody has to be left who approves and somebody who administers security, or nobody could let in others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from sqlalchemy import select

from gateway import proposals
from gateway.db import ReadSession, WriteSession
from gateway.errors import AccessDeniedError, PersonError
from gateway.people.accounts import (
    Account,
    Newcomer,
    add_account,
    find_account,
    holders_of,
    known_account,
    newcomer,
    one_at_a_time,
    require_new,
    set_factors,
    set_roles,
    set_state,
)
from gateway.people.enrolment import FOUNDERS, draw_code, log_change, void_codes
from gateway.people.person import Person, actor_of
from gateway.people.roles import CONFLICTS, NAMES, ROLES, Role
from gateway.people.sessions import end_sessions
from gateway.proposals import Kind, Proposal, find_proposal
from gateway.service import Gateway
from gateway.store import tables
from schemas.times import beijing_text

LONGEST_VISIT = 90 * 24 * 3_600_000  # ms


def propose_person(
    gateway: Gateway, one: Newcomer, roles: Collection[str], *, until: int | None = None, by: Person, reason: str = "",
    now: int,
) -> Proposal:  # fmt: skip
    """Propose an account for `one` in these roles; `until` (ms UTC) ends a visitor's.

    Raises:
        PersonError: `person.exists`, `person.malformed`, `person.roles-apart`.
        AccessDeniedError, ProposalError: as `proposals.propose`.
    """
    by.require(PERSON.propose)
    chosen = _together(roles, until, now)
    content = {"account": one.name, "full_name": one.full_name, "person": one.person, **_written(chosen, until)}
    with gateway.database.write() as session:
        require_new(session, one)
        return _propose(gateway, session, PERSON, content, by, reason, now)


def propose_roles(
    gateway: Gateway, name: str, roles: Collection[str], *, until: int | None = None, by: Person, reason: str = "",
    now: int,
) -> Proposal:  # fmt: skip
    """Propose these roles in place of those that the account `name` has. Raises as `propose_person` does, and:

    Raises:
        PersonError: `person.unknown`, `person.own-roles`, `person.last`.
    """
    by.require(ROLE_CHANGE.propose)
    chosen = _together(roles, until, now)
    with gateway.database.write() as session:
        account = known_account(session, name, now=now)
        _require_other(account.name, by)
        _require_others_left(session, account.name, chosen, now)
        content = {"account": account.name, "before": sorted(account.roles), **_written(chosen, until)}
        return _propose(gateway, session, ROLE_CHANGE, content, by, reason, now)


def propose_return(gateway: Gateway, name: str, *, by: Person, reason: str = "", now: int) -> Proposal:
    """Propose that a disabled account may be used again. Raises as `propose_roles` does, and `person.state`."""
    by.require(RETURN.propose)
    with gateway.database.write() as session:
        account = known_account(session, name, now=now)
        if account.active:
            raise PersonError(f"{account.name} is not disabled", code="person.state")
        content = {"account": account.name, "roles": sorted(account.roles)}
        return _propose(gateway, session, RETURN, content, by, reason, now)


def propose_recovery(gateway: Gateway, name: str, *, by: Person, reason: str = "", now: int) -> Proposal:
    """Propose that the owner of an account sets password and second factor anew. Raises as `propose_return` does.

    Somebody else does: whoever is recovered cannot sign in to draw the code.

    Raises:
        PersonError: `person.own-recovery`.
    """
    by.require(RECOVERY.propose)
    with gateway.database.write() as session:
        account = _active(session, name, now)
        if account.name == by.account:
            raise PersonError("somebody else has to propose it, and draws the code then", code="person.own-recovery")
        content = {"account": account.name, "roles": sorted(account.roles)}
        return _propose(gateway, session, RECOVERY, content, by, reason, now)


def draw_enrolment_code(gateway: Gateway, proposal: str, *, by: Person, now: int) -> str:
    """The code to hand to the owner of an account that was approved, or is to be recovered. Drawn again, the one before
    is void.

    Raises:
        AccessDeniedError: `person.not-permitted`; `person.not-proposer`: the proposer draws it.
        PersonError: `person.state`: nothing there to enrol for.
    """
    by.require("person.propose")
    with gateway.database.write() as session:
        one_at_a_time(session)
        found = find_proposal(session, proposal)
        if found.proposer != by.account:
            raise AccessDeniedError("whoever proposed it draws the code", code="person.not-proposer")
        if found.kind not in (PERSON.name, RECOVERY.name) or found.state != "approved" or not _newest(session, found):
            raise PersonError("nobody waits for a code by this proposal", code="person.state")
        account = _active(session, str(found.content["account"]), now)
        if account.enrolled:
            raise PersonError(f"the owner of {account.name} has set a password already", code="person.state")
        code = draw_code(session, account.name, now=now)
        log_change(gateway, session, "code-drawn", account.name, by=by, now=now)
    gateway.signals.logged.send()
    return code


def disable(gateway: Gateway, name: str, *, by: Person, now: int) -> Account:
    """Keep somebody out from this moment: no session of theirs goes on, none can be opened, and what they proposed and
    still waits is never done.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        PersonError: `person.unknown`, `person.state`, `person.last`.
    """
    by.require("person.suspend")
    with gateway.database.write() as session:
        one_at_a_time(session)
        account = _active(session, name, now)
        _require_others_left(session, account.name, (), now)
        set_state(session, account.name, "disabled")
        end_sessions(session, account.name)
        void_codes(session, account.name)
        proposals.reject_all_of(gateway, session, account.name, by=by, now=now)
        log_change(gateway, session, "disabled", account.name, by=by, now=now)
        left = known_account(session, account.name, now=now)
    gateway.signals.logged.send()
    return left


def end_sessions_of(gateway: Gateway, name: str, *, by: Person, identifier: str | None = None, now: int) -> int:
    """End all sessions of an account, or one: one's own, or anybody's for who may keep them out. How many there were.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        PersonError: `person.unknown`.
    """
    with gateway.database.write() as session:
        account = known_account(session, name, now=now)
        if account.name != by.account:
            by.require("person.suspend")
        ended = end_sessions(session, account.name, identifier)
        if account.name != by.account:
            log_change(gateway, session, "sessions-ended", account.name, by=by, now=now)
    gateway.signals.logged.send()
    return ended


def _let_in(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    content = proposal.content
    one = newcomer(content["account"], content["full_name"], content["person"])
    roles = _together(content["roles"], content.get("until"), now)
    one_at_a_time(session)
    require_new(session, one)
    add_account(session, one.name, one.full_name, one.person, now=now)
    set_roles(session, one.name, roles, now=now, until=content.get("until"))
    log_change(gateway, session, "added", one.name, by=by, now=now, roles=" ".join(sorted(roles)))


def _change_roles(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    content = proposal.content
    roles = _together(content["roles"], content.get("until"), now)
    one_at_a_time(session)
    account = known_account(session, content["account"], now=now)
    _require_other(account.name, by)
    if sorted(account.roles) != content["before"]:
        raise PersonError(f"the roles of {account.name} are others than were shown", code="person.moved")
    _require_others_left(session, account.name, roles, now)
    set_roles(session, account.name, roles, now=now, until=content.get("until"))
    end_sessions(session, account.name)
    log_change(gateway, session, "roles", account.name, by=by, now=now, roles=" ".join(sorted(roles)))


def _take_back(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    one_at_a_time(session)
    account = known_account(session, proposal.content["account"], now=now)
    _require_other(account.name, by)
    if sorted(account.roles) != proposal.content["roles"]:
        raise PersonError(f"the roles of {account.name} are others than were shown", code="person.moved")
    set_state(session, account.name, "active")
    log_change(gateway, session, "returned", account.name, by=by, now=now)


def _recover(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    one_at_a_time(session)
    account = _active(session, proposal.content["account"], now)
    set_factors(session, account.name, password="", totp=b"")
    end_sessions(session, account.name)
    log_change(gateway, session, "recovery", account.name, by=by, now=now)


def _says_person(proposal: Proposal) -> str:
    content = proposal.content
    whom = f"{content['full_name']} (staff number {content['person']}) gets the account {content['account']}"
    return f"{whom} {_in_words(content)}"


def _says_roles(proposal: Proposal) -> str:
    content = proposal.content
    before = ", ".join(NAMES[role][1] for role in content["before"]) or "nothing"
    return f"{content['account']}, who is {before} now, acts {_in_words(content)}; all sessions of theirs end"


def _in_words(content: Mapping[str, Any]) -> str:
    roles = ", ".join(f"{NAMES[role][0]} {NAMES[role][1]}" for role in content["roles"]) or "nothing"
    until = f", until {beijing_text(content['until'])}" if content.get("until") else ""
    return f"as {roles}{until}"


PERSON = Kind("person", "person.propose", "person.approve", _let_in, says=_says_person)
ROLE_CHANGE = Kind("roles", "person.propose", "person.approve", _change_roles, says=_says_roles)
RETURN = Kind(
    "person-return", "person.propose", "person.approve", _take_back,
    says=lambda one: f"the disabled account {one.content['account']} may be used again {_in_words(one.content)}",
)  # fmt: skip
RECOVERY = Kind(
    "recovery", "person.propose", "person.approve", _recover,
    says=lambda one: f"{one.content['account']} sets a new password and second factor; what there was is void at once",
)  # fmt: skip
PEOPLE_KINDS = (PERSON, ROLE_CHANGE, RETURN, RECOVERY)


def _propose(
    gateway: Gateway, session: WriteSession, kind: Kind, content: Mapping[str, Any], by: Person, reason: str, now: int
) -> Proposal:
    """The log is told the pseudonym of whom it is about; the content, which is not in the log, has the account."""
    subject = actor_of(gateway.home, str(content["account"]))
    return proposals.propose_within(gateway, session, kind, subject, content, by=by, reason=reason, now=now)


def _together(roles: Collection[str], until: int | None, now: int) -> frozenset[Role]:
    """Roles that one person may hold together, with an end where there has to be one and nowhere else."""
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise PersonError(
            f"there is no role {unknown[0][:40]!r}; there are {', '.join(ROLES)}", code="person.malformed"
        )
    chosen = frozenset(cast("Role", role) for role in roles)
    apart = next((sorted(pair) for pair in CONFLICTS if pair <= chosen), None)
    if apart:
        raise PersonError(f"nobody is {apart[0]} and {apart[1]} together", code="person.roles-apart")
    if ("visitor" in chosen) != (until is not None):
        raise PersonError("a visit has an end, and only a visit has one", code="person.malformed")
    if until is not None and not now < until <= now + LONGEST_VISIT:
        raise PersonError("a visit ends within the next 90 days", code="person.malformed")
    return chosen


def _written(roles: frozenset[Role], until: int | None) -> dict[str, Any]:
    return {"roles": sorted(roles), **({} if until is None else {"until": until})}


def _active(session: ReadSession, name: str, now: int) -> Account:
    account = known_account(session, name, now=now)
    if not account.active:
        raise PersonError(f"{account.name} is disabled", code="person.state")
    return account


def _require_other(account: str, by: Person) -> None:
    if account == by.account:
        raise PersonError("nobody changes their own roles", code="person.own-roles")


def _require_others_left(session: ReadSession, account: str, keeps: Collection[Role], now: int) -> None:
    """That somebody else holds, and can sign in with, each role that has to be held and `account` would lose."""
    held = find_account(session, account, now=now)
    for role in FOUNDERS:
        loses = held is not None and role in held.roles and role not in keeps
        if loses and not holders_of(session, role, now=now, enrolled=True) - {account}:
            raise PersonError(f"{account} is the last {NAMES[role][1]}: make another first", code="person.last")


def _newest(session: ReadSession, proposal: Proposal) -> bool:
    """Whether no later approval made the account, or voided what its owner signs in with."""
    table = tables.proposal
    query = select(table.c.id).where(
        table.c.subject == proposal.subject, table.c.state == "approved", table.c.kind.in_((PERSON.name, RECOVERY.name))
    )
    return session.scalar(query.order_by(table.c.decided_at.desc()).limit(1)) == proposal.id

"""Signing in with password and second factor, and showing the second factor again (step-up).

Whatever is wrong, the answer is the same and so is the work: whether there is such an account, whether the password was
right, whether the code was taken before, nobody outside learns. The order is: limits, a place among those who sign in,
the counters, the hash, and then one transaction that takes the code and opens the session, or writes down the failure.

What this module must never do: lock an account, hash before the limits were asked, or take one code twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from audit.entry import make_entry
from audit.form import SIGN_IN
from audit.log import append
from gateway.db import ReadSession, WriteSession
from gateway.errors import SignInError
from gateway.people import tables
from gateway.people.accounts import account_name
from gateway.people.passwords import cut
from gateway.people.person import actor_of
from gateway.people.second_factor import matching_step, take_step
from gateway.people.sessions import Origin, open_session, origin_of, person_of, renew_session
from gateway.people.tries import Turn, draw, note_unheard_of, require_turn, succeed, take_turn, wait_of
from gateway.service import Gateway
from schemas.times import utc_text


@dataclass(frozen=True)
class SignedIn:
    """A session that was just opened: the secret that stands for it, and how many tries had failed before."""

    secret: str
    account: str
    failures: int


def sign_in(
    gateway: Gateway, name: str, password: str, code: str, *, origin: Origin, address: str = "", now: int
) -> SignedIn:
    """Open a session for the owner of the account `name`. `now` in ms UTC; `address` of a caller from the network.

    Raises:
        SignInError: `sign-in.refused`, whatever was wrong; `sign-in.wait`: this one, or everybody, has to wait.
    """
    name = account_name(name)
    with gateway.passwords.place():
        turn, account = _begin(gateway, name, origin, address, now)
        right = gateway.passwords.verify(account.password if account else "", cut(password))
    with gateway.database.write() as session:
        opened = _open(gateway, session, account, code, turn, origin, now) if account and right else None
        if account is None:
            note_unheard_of(session, gateway.tries.slot("password", origin, name))
        elif opened is None:
            _log(gateway, session, account.name, "refused", origin, turn, now)
    gateway.signals.logged.send()
    if opened is None:
        raise SignInError("name, password and code do not belong together", code="sign-in.refused")
    return opened


def confirm(gateway: Gateway, secret: str, code: str, *, now: int) -> str:
    """The session's new secret, once its owner has shown the second factor again: what asks for a fresh one goes on.

    Raises:
        SignInError: `session.missing`, `sign-in.refused` or `sign-in.wait`.
    """
    with gateway.database.write() as session:
        person = person_of(session, secret, now=now)
        if person is None:
            raise SignInError("sign in first")
        origin = origin_of(session, secret)
        slot = gateway.tries.slot("code", origin, person.account)
        turn = take_turn(session, slot, now=now)
        account = _account(session, person.account)
        taken = turn.wait == 0 and account is not None and _take_code(gateway, session, account, code, now)
        if taken:
            succeed(session, slot)
        if turn.wait == 0:
            _log(gateway, session, person.account, "confirmed" if taken else "not-confirmed", origin, turn, now)
        new = renew_session(session, secret, now=now) if taken else ""
    gateway.signals.logged.send()
    require_turn(turn)
    if not new:
        raise SignInError("this is not the code of this moment, or it was taken before", code="sign-in.refused")
    return new


def heed_address(gateway: Gateway, address: str, *, now: int) -> None:
    """Count a try with a code from this address.

    Raises:
        SignInError: `sign-in.wait`: there were too many.
    """
    with gateway.database.write() as session:
        wait = draw(session, gateway.tries.address(address), now=now)
    require_turn(Turn(wait))


def _begin(
    gateway: Gateway, name: str, origin: Origin, address: str, now: int
) -> tuple[Turn, Row[Any] | None]:  # fmt: skip
    """Count the try before it is heard. Wrong codes delay the next try whether the password was right or not."""
    tries = gateway.tries
    with gateway.database.write() as session:
        wait = draw(session, tries.address(address), now=now) if address else 0
        wait = wait or wait_of(session, tries.slot("code", origin, name), now=now)
        turn = Turn(wait) if wait else take_turn(session, tries.slot("password", origin, name), now=now)
        account = _account(session, name)
    require_turn(turn)
    return turn, account


def _open(
    gateway: Gateway, session: WriteSession, before: Row[Any], code: str, turn: Turn, origin: Origin, now: int
) -> SignedIn | None:
    """A session, where the account is still what the password was compared with and the code was not taken before."""
    account = _account(session, before.name)
    if account is None or account.state != "active" or account.password != before.password:
        return None
    slots = (gateway.tries.slot("password", origin, account.name), gateway.tries.slot("code", origin, account.name))
    if not _take_code(gateway, session, account, code, now):
        take_turn(session, slots[1], now=now)
        return None
    succeed(session, *slots)
    _log(gateway, session, account.name, "signed-in", origin, turn, now)
    return SignedIn(open_session(session, account.name, origin, now=now), account.name, turn.failures)


def _take_code(gateway: Gateway, session: WriteSession, account: Row[Any], code: str, now: int) -> bool:
    secret = gateway.second_factors.open(account.name, account.totp)
    step = matching_step(secret, code, now=now)
    return step is not None and take_step(session, account.name, step)


def _account(session: ReadSession, name: str) -> Row[Any] | None:
    return session.execute(select(tables.account).where(tables.account.c.name == name)).one_or_none()


def _log(
    gateway: Gateway, session: WriteSession, account: str, outcome: str, origin: Origin, turn: Turn, now: int
) -> None:
    """One entry for a try that was heard. What was turned away since the one before is a number in it: no flood of
    tries makes the log grow faster than the delays let it."""
    detail = {"outcome": outcome, "origin": origin, "failures": turn.failures, "turned_away": turn.turned_away}
    actor = actor_of(gateway.home, account)
    append(session, make_entry(SIGN_IN, at=utc_text(now), party=gateway.party, actor=actor, detail=detail))

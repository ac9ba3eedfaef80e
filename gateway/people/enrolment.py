"""How somebody comes to a password and a second factor: with a code that was drawn for them, once, within a day.

Two codes found a gateway: one for the first security administrator, one for the first approver, given to two people
when it is made. A lost one is drawn anew as long as nobody holds the role, by whoever can run commands at the gateway's
home. Everybody later has an account that one person proposed and another approved (`gateway.people.changes`); then the
proposer draws the code and hands it over. Only the digest of a code is kept, and there is no account without an owner
who chose the password: no default one ever exists.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Row, delete, insert, select, update

from audit.entry import make_entry
from audit.form import PERSON_CHANGED
from audit.log import append
from gateway.db import ReadSession, WriteSession
from gateway.errors import PersonError, SignInError
from gateway.party_document import own_document
from gateway.people import tables
from gateway.people.accounts import (
    Account,
    Newcomer,
    add_account,
    grant_role,
    holders_of,
    known_account,
    one_at_a_time,
    require_new,
    set_factors,
)
from gateway.people.passwords import check_new, cut
from gateway.people.person import Person, actor_of
from gateway.people.second_factor import SecondFactor, matching_step, new_secret
from gateway.people.sessions import end_sessions, forget_ended
from gateway.people.tries import forget_old, require_turn, succeed, take_turn
from gateway.service import Gateway
from partners.document import open_document
from schemas.jws import b64encode
from schemas.times import utc_text

LIFE = 24 * 3_600_000  # ms
Founder = Literal["security", "approver"]
FOUNDERS: tuple[Founder, Founder] = ("security", "approver")

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 characters that nobody mistakes for one another
_GROUPS, _GROUP = 5, 5  # 125 bits

_table = tables.enrolment


def draw_setup_code(gateway: Gateway, role: Founder, *, now: int) -> str:
    """A code for the first holder of `role`, in place of any drawn before. `now` in ms UTC.

    Raises:
        PersonError: `person.role-held`: somebody holds it, and people are let in by two from then on.
    """
    with gateway.database.write() as session:
        one_at_a_time(session)
        _require_vacant(session, role, now)
        session.execute(delete(_table).where(_table.c.role == role))
        code = _draw(session, now, role=role)
        log_change(gateway, session, "setup-code", now=now, role=role)
    return code


def draw_code(session: WriteSession, account: str, *, now: int) -> str:
    """A code for the owner of `account`, in place of any drawn before."""
    void_codes(session, account)
    return _draw(session, now, account=account)


def void_codes(session: WriteSession, account: str) -> None:
    """No code that was drawn for the owner of `account` is good any more."""
    session.execute(delete(_table).where(_table.c.account == account))


def show_factor(gateway: Gateway, code: str, *, account: str = "", now: int) -> SecondFactor:
    """The second factor to put into an authenticator: a new one each time it is shown, until one is confirmed.

    `account` is what a founder's account will be called.

    Raises:
        SignInError: `enrolment.refused`.
    """
    secret = new_secret()
    with gateway.database.write() as session:
        row = _find(session, code, now)
        sealed = gateway.second_factors.close(row.digest, secret)
        session.execute(update(_table).where(_table.c.digest == row.digest).values(totp=sealed))
    return SecondFactor.of(secret, party=gateway.party, account=row.account or account)


def enrol(
    gateway: Gateway, code: str, password: str, shown: str, *, founder: Newcomer | None = None, now: int
) -> Account:
    """Set password and second factor with a code; it is used up. `shown` is what the authenticator shows.

    A founder says who it is, and gets the account that was not there. All sessions of the account end.

    Raises:
        SignInError: `enrolment.refused`, or `sign-in.wait`; `sign-in.refused`: not what the authenticator shows now.
        PersonError: `password.…`; for a founder also `person.exists` and `person.role-held`.
    """
    with gateway.database.read() as session:
        row = _find(session, code, now)
        owner = _owner(session, row, founder, now)
    check_new(password, (owner.name, owner.full_name, owner.person, *_words_of(gateway)))
    step = matching_step(gateway.second_factors.open(row.digest, row.totp), shown, now=now)
    if step is None:
        raise SignInError("this is not what the authenticator shows at this moment", code="sign-in.refused")
    with gateway.passwords.place():
        encoded = gateway.passwords.hash(password)
    totp = gateway.second_factors.close(owner.name, gateway.second_factors.open(row.digest, row.totp))
    with gateway.database.write() as session:
        one_at_a_time(session)
        _use_up(session, row)
        if row.role is not None:
            _found(session, owner, row.role, now)
        set_factors(session, owner.name, password=encoded, totp=totp, step=step)
        end_sessions(session, owner.name)
        log_change(gateway, session, "enrolled", owner.name, now=now, **({"role": row.role} if row.role else {}))
        account = known_account(session, owner.name, now=now)
    gateway.signals.logged.send()
    return account


def change_password(gateway: Gateway, by: Person, before: str, after: str, *, now: int) -> None:
    """Let somebody who has just shown the second factor choose another password; all their sessions end.

    Raises:
        AccessDeniedError: `person.confirm-again`.
        SignInError: `sign-in.refused`: `before` is not the password. `sign-in.wait`.
        PersonError: `password.…`.
    """
    by.require_recent(now)
    table, slot = tables.account, gateway.tries.slot("change", by.account)
    with gateway.database.read() as session:
        account = known_account(session, by.account, now=now)
    check_new(after, (account.name, account.full_name, account.person, *_words_of(gateway)))
    if before == after:
        raise PersonError("this is the password that there is", code="password.same")
    with gateway.passwords.place():
        with gateway.database.write() as session:
            turn = take_turn(session, slot, now=now)
            kept = session.scalar(select(table.c.password).where(table.c.name == by.account)) or ""
        require_turn(turn)
        if not gateway.passwords.verify(kept, cut(before)):
            raise SignInError("this is not the password", code="sign-in.refused")
        encoded = gateway.passwords.hash(after)
    with gateway.database.write() as session:
        still = (table.c.name == by.account, table.c.password == kept)  # a recovery may have come between
        if session.execute(update(table).where(*still).values(password=encoded)).rowcount != 1:
            raise SignInError("this is not the password", code="sign-in.refused")
        succeed(session, slot)
        end_sessions(session, by.account)
        log_change(gateway, session, "password", by.account, by=by, now=now)
    gateway.signals.logged.send()


def forget_past(session: WriteSession, *, now: int) -> None:
    """Clear away sessions, codes and counters that no longer mean anything."""
    forget_ended(session, now=now)
    forget_old(session, now=now)
    session.execute(delete(_table).where(_table.c.expires < now))


def log_change(
    gateway: Gateway, session: WriteSession, change: str, account: str = "", *, now: int, by: Person | None = None,
    **more: str,
) -> None:  # fmt: skip
    """What was changed about an account, without its name. `by` is None where no account acts."""
    detail = {"change": change, **({"person": actor_of(gateway.home, account)} if account else {}), **more}
    actor = actor_of(gateway.home, by.account) if by else None
    append(session, make_entry(PERSON_CHANGED, at=utc_text(now), party=gateway.party, actor=actor, detail=detail))


def _draw(session: WriteSession, now: int, **purpose: str) -> str:
    code = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    session.execute(insert(_table).values(digest=_digest(code), totp=b"", expires=now + LIFE, **purpose))
    return code


def _find(session: ReadSession, code: str, now: int) -> Row[Any]:
    row = session.execute(select(_table).where(_table.c.digest == _digest(code), _table.c.expires > now)).one_or_none()
    if row is None:
        raise SignInError("this code is wrong, used already or older than a day", code="enrolment.refused")
    return row


def _owner(session: ReadSession, row: Row[Any], founder: Newcomer | None, now: int) -> Account | Newcomer:
    if row.account is not None:
        return known_account(session, row.account, now=now)
    if founder is None:
        raise PersonError("say who you are: account, name and staff number", code="person.malformed")
    return founder


def _use_up(session: WriteSession, row: Row[Any]) -> None:
    """Of two who use one code at a time, one finds it gone; so does who confirms another factor than was shown last."""
    used = delete(_table).where(_table.c.digest == row.digest, _table.c.totp == row.totp)
    if session.execute(used).rowcount != 1:
        raise SignInError("this code was used already", code="enrolment.refused")


def _found(session: WriteSession, owner: Account | Newcomer, role: Founder, now: int) -> None:
    _require_vacant(session, role, now)
    require_new(session, Newcomer(owner.name, owner.full_name, owner.person))
    add_account(session, owner.name, owner.full_name, owner.person, now=now)
    grant_role(session, owner.name, role, now=now)


def _require_vacant(session: ReadSession, role: Founder, now: int) -> None:
    if holders_of(session, role, now=now):
        raise PersonError("somebody holds this role: two persons let in others now", code="person.role-held")


def _words_of(gateway: Gateway) -> Iterable[str]:
    names = open_document(own_document(gateway.home)).names
    return (gateway.party, names.zh, names.en)


def _digest(code: str) -> str:
    plain = code[:64].upper().replace("-", "").replace(" ", "")
    return b64encode(hashlib.sha256(plain.encode()).digest())

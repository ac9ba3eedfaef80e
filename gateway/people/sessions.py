"""Signed-in persons: a random secret in a browser's cookie or in a terminal's file, its digest in the database.

A session ends when nobody uses it for a while, at the latest after a working day, and at once when its account is
disabled, its roles change or what its owner signs in with does. Nothing about a person is in what the browser holds, so
nothing there can be changed or kept.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, delete, func, insert, or_, select, update

from gateway.db import ReadSession, WriteSession
from gateway.people import tables
from gateway.people.accounts import Account, find_account
from gateway.people.person import Person
from schemas.jws import b64encode

LIFE = 8 * 3_600_000  # ms; a working day
IDLE = 30 * 60_000  # ms; less for whoever administers
IDLE_ADMINISTRATOR = 15 * 60_000  # ms
_ADMINISTRATORS = frozenset({"system", "security", "approver"})
_NOTED = 60_000  # ms: how stale `seen` may be, so that not every request writes
_SHOWN = 16  # characters of a digest that name a session to whoever ends it

Origin = Literal["console", "terminal"]


@dataclass(frozen=True)
class OpenSession:
    """One session as its owner sees it. Instants in ms UTC; `id` names it, and opens nothing."""

    id: str
    origin: Origin
    created: int
    seen: int
    ends: int
    current: bool


def open_session(session: WriteSession, account: str, origin: Origin, *, now: int) -> str:
    """A new session for somebody who has just shown password and second factor; the secret that stands for it."""
    secret = secrets.token_urlsafe(32)
    session.execute(
        insert(tables.session).values(
            digest=_digest(secret),
            account=account,
            origin=origin,
            created=now,
            seen=now,
            confirmed=now,
            ends=now + LIFE,
        )
    )
    return secret


def person_of(session: ReadSession, secret: str, *, now: int) -> Person | None:
    """Who is signed in with this secret at `now` (ms UTC); None where nobody is, or no longer."""
    row = _row(session, secret)
    account = None if row is None else find_account(session, row.account, now=now)
    if row is None or account is None or not _is_open(row, account, now):
        return None
    return Person(account.name, account.full_name, account.roles, row.confirmed)


def renew_session(session: WriteSession, secret: str, *, now: int) -> str:
    """A new secret for a session whose owner has just shown the second factor again; the old one opens nothing more.

    The session still ends when it would have ended.
    """
    table, new = tables.session, secrets.token_urlsafe(32)
    changed = {"digest": _digest(new), "seen": now, "confirmed": now}
    session.execute(update(table).where(table.c.digest == _digest(secret)).values(**changed))
    return new


def origin_of(session: ReadSession, secret: str) -> Origin:
    """Where the session of this secret was opened: the console for one that nobody has."""
    row = _row(session, secret)
    return "terminal" if row is not None and row.origin == "terminal" else "console"


def sessions_of(session: ReadSession, account: str, *, now: int, secret: str = "") -> list[OpenSession]:
    """The open sessions of `account`, newest first; `current` is the one of `secret`."""
    table, owner = tables.session, find_account(session, account, now=now)
    rows = session.execute(select(table).where(table.c.account == account).order_by(table.c.created.desc()))
    return [
        OpenSession(
            row.digest[:_SHOWN], row.origin, row.created, row.seen, row.ends, current=row.digest == _digest(secret)
        )
        for row in rows
        if owner is not None and _is_open(row, owner, now)
    ]


def end_sessions(session: WriteSession, account: str, identifier: str | None = None) -> int:
    """End the sessions of `account`, or the one of this id; how many there were."""
    table = tables.session
    query = delete(table).where(table.c.account == account)
    if identifier is not None:
        query = query.where(func.substr(table.c.digest, 1, _SHOWN) == identifier)
    return session.execute(query).rowcount


def forget_ended(session: WriteSession, *, now: int) -> None:
    """Clear away sessions that are over anyway."""
    idle = tables.session.c.seen < now - max(IDLE, IDLE_ADMINISTRATOR)
    session.execute(delete(tables.session).where(or_(tables.session.c.ends < now, idle)))


def note_seen(session: WriteSession, secret: str, *, now: int) -> None:
    """The session was used at `now` (ms UTC)."""
    table = tables.session
    session.execute(update(table).where(table.c.digest == _digest(secret)).values(seen=now))


def is_stale(session: ReadSession, secret: str, *, now: int) -> bool:
    """Whether that it is in use should be written down again."""
    seen = session.scalar(select(tables.session.c.seen).where(tables.session.c.digest == _digest(secret)))
    return seen is not None and seen + _NOTED <= now


def end_session(session: WriteSession, secret: str) -> None:
    """Sign out."""
    session.execute(delete(tables.session).where(tables.session.c.digest == _digest(secret)))


def _row(session: ReadSession, secret: str) -> Row[Any] | None:
    return session.execute(select(tables.session).where(tables.session.c.digest == _digest(secret))).one_or_none()


def _is_open(row: Row[Any], account: Account, now: int) -> bool:
    idle = IDLE_ADMINISTRATOR if account.roles & _ADMINISTRATORS else IDLE
    return account.active and now < row.ends and now < row.seen + idle


def _digest(secret: str) -> str:
    return b64encode(hashlib.sha256(secret.encode()).digest())

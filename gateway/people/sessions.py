"""Signed-in persons: a random secret in a browser's cookie or in a terminal's file, its digest in the database.

A session ends when nobody uses it for a while, at the latest after a working day, and at once when its account is
disabled. Nothing about a person is in what the browser holds, so nothing there can be changed or kept.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

from sqlalchemy import delete, insert, select, update

from gateway.db import ReadSession, WriteSession
from gateway.people import tables
from gateway.people.accounts import find_account
from gateway.people.person import Person
from schemas.jws import b64encode

LIFE = 8 * 3_600_000  # ms; a working day
IDLE = 30 * 60_000  # ms; less for whoever administers
IDLE_ADMINISTRATOR = 15 * 60_000  # ms
_ADMINISTRATORS = frozenset({"system", "security", "approver"})
_NOTED = 60_000  # ms: how stale `seen` may be, so that not every request writes

Origin = Literal["console", "terminal"]


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
    row = session.execute(select(tables.session).where(tables.session.c.digest == _digest(secret))).one_or_none()
    account = None if row is None or row.ends <= now else find_account(session, row.account, now=now)
    if row is None or account is None or not account.active:
        return None
    idle = IDLE_ADMINISTRATOR if account.roles & _ADMINISTRATORS else IDLE
    if row.seen + idle <= now:
        return None
    return Person(account.name, account.full_name, account.roles, row.confirmed)


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


def _digest(secret: str) -> str:
    return b64encode(hashlib.sha256(secret.encode()).digest())

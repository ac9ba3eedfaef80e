"""Accounts and their roles. Who may change them, and that it takes two, the acts above have seen to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Row, delete, exists, insert, or_, select, text, update

from gateway.db import ReadSession, WriteSession
from gateway.errors import PersonError
from gateway.people import tables
from gateway.people.roles import Role

MAX_NAME = 64  # characters of a person's name
_ACCOUNT = re.compile("[a-z][a-z0-9._-]{1,31}")
_STAFF = re.compile("[a-z0-9][a-z0-9._:/@|+#]{0,199}")
_PEOPLE = 1  # the advisory lock of whoever changes accounts


@dataclass(frozen=True)
class Account:
    """An account as it stands, with the roles it holds now. `created` in ms UTC.

    `enrolled`: its owner has set a password and a second factor. `person` is who that is outside of this program.
    """

    name: str
    full_name: str
    person: str
    active: bool
    enrolled: bool
    roles: frozenset[Role]
    created: int


@dataclass(frozen=True)
class Newcomer:
    """Who is to have an account, each in its one spelling."""

    name: str
    full_name: str
    person: str


def newcomer(name: str, full_name: str, person: str) -> Newcomer:
    """Somebody who is to have the account `name`; `person` is a staff number, written with or without its dashes.

    Raises:
        PersonError: `person.malformed`.
    """
    short, staff = account_name(name), re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", person)).lower()
    full = " ".join(unicodedata.normalize("NFKC", full_name).split())
    if not _ACCOUNT.fullmatch(short):
        raise PersonError("an account is 2 to 32 letters a to z, digits, dots and dashes", code="person.malformed")
    if not full or len(full) > MAX_NAME or not full.isprintable():
        raise PersonError(f"a person has a name of 1 to {MAX_NAME} characters", code="person.malformed")
    if not _STAFF.fullmatch(staff):
        raise PersonError("a staff number is letters a to z and digits", code="person.malformed")
    return Newcomer(short, full, staff)


def account_name(name: str) -> str:
    """What somebody typed as an account's name, in its one spelling, and nothing that a database cannot look for."""
    return unicodedata.normalize("NFKC", name[:200]).replace("\0", "").strip().lower()


def add_account(session: WriteSession, name: str, full_name: str, person: str, *, now: int) -> None:
    """Keep a new account without password, second factor or roles. `now` in ms UTC."""
    session.execute(
        insert(tables.account).values(
            name=name, full_name=full_name, person=person, state="active", password="", totp=b"", totp_step=0,
            created=now,
        )
    )  # fmt: skip


def grant_role(session: WriteSession, account: str, role: Role, *, now: int, until: int | None = None) -> None:
    """Let `account` act in `role` from now on, until `until` (ms UTC) if that is given."""
    session.execute(insert(tables.role_grant).values(account=account, role=role, until=until, granted=now))


def find_account(session: ReadSession, name: str, *, now: int) -> Account | None:
    """The account of this name, disabled or not, or None. `now` in ms UTC."""
    row = session.execute(select(tables.account).where(tables.account.c.name == name)).one_or_none()
    return None if row is None else _account(session, row, now)


def known_account(session: ReadSession, name: str, *, now: int) -> Account:
    """As `find_account`.

    Raises:
        PersonError: `person.unknown`.
    """
    account = find_account(session, account_name(name), now=now)
    if account is None:
        raise PersonError("there is no such account", code="person.unknown")
    return account


def all_accounts(session: ReadSession, *, now: int) -> list[Account]:
    """Every account by its name, disabled ones too. `now` in ms UTC."""
    rows = session.execute(select(tables.account).order_by(tables.account.c.name)).all()
    return [_account(session, row, now) for row in rows]


def require_new(session: ReadSession, one: Newcomer) -> None:
    """Go on only where neither the name nor the person has an account.

    Raises:
        PersonError: `person.exists`.
    """
    table = tables.account
    held = session.scalar(select(table.c.name).where(or_(table.c.name == one.name, table.c.person == one.person)))
    if held is not None:
        detail = f"there is the account {held} of this name or of this person: one person has one account"
        raise PersonError(detail, code="person.exists")


def set_state(session: WriteSession, name: str, state: str) -> None:
    """Let an account be used (`active`) or not (`disabled`)."""
    session.execute(update(tables.account).where(tables.account.c.name == name).values(state=state))


def set_factors(session: WriteSession, name: str, *, password: str, totp: bytes, step: int = 0) -> None:
    """What the owner signs in with: an encoded hash, a sealed secret, and the last time step that was taken."""
    values = {"password": password, "totp": totp, "totp_step": step}
    session.execute(update(tables.account).where(tables.account.c.name == name).values(**values))


def set_roles(
    session: WriteSession, account: str, roles: Collection[Role], *, now: int, until: int | None = None
) -> None:
    """Give `account` these roles in place of all it had; `until` ends those of a visitor."""
    session.execute(delete(tables.role_grant).where(tables.role_grant.c.account == account))
    for role in sorted(roles):
        grant_role(session, account, role, now=now, until=until if role == "visitor" else None)


def holders_of(session: ReadSession, role: Role, *, now: int, enrolled: bool = False) -> set[str]:
    """The active accounts that hold `role` at `now` (ms UTC); those alone whose owners can sign in, if asked so."""
    grant, account = tables.role_grant, tables.account
    in_time = or_(grant.c.until.is_(None), grant.c.until > now)
    holds = exists().where(grant.c.account == account.c.name, grant.c.role == role, in_time)
    query = select(account.c.name).where(account.c.state == "active", holds)
    return set(session.scalars(query.where(account.c.password != "") if enrolled else query))


def one_at_a_time(session: WriteSession) -> None:
    """Whoever changes who may do what waits for the one before, so that two do not each take away the last but one."""
    if session.dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _PEOPLE})


def roles_of(session: ReadSession, account: str, *, now: int) -> frozenset[Role]:
    """The roles that `account` holds at `now` (ms UTC)."""
    table = tables.role_grant
    in_time = or_(table.c.until.is_(None), table.c.until > now)
    held = session.scalars(select(table.c.role).where(table.c.account == account, in_time))
    return frozenset(cast("Role", role) for role in held)


def _account(session: ReadSession, row: Row[Any], now: int) -> Account:
    roles = roles_of(session, row.name, now=now)
    enrolled = bool(row.password)
    return Account(row.name, row.full_name, row.person, row.state == "active", enrolled, roles, row.created)

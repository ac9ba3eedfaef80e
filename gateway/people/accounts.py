"""Accounts and their roles. Who may change them, and that it takes two, the acts above have seen to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sqlalchemy import insert, or_, select

from gateway.db import ReadSession, WriteSession
from gateway.people import tables
from gateway.people.roles import Role


@dataclass(frozen=True)
class Account:
    """An account as it stands, with the roles it holds now. `created` in ms UTC."""

    name: str
    full_name: str
    person: str
    active: bool
    roles: frozenset[Role]
    created: int


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
    if row is None:
        return None
    roles = roles_of(session, name, now=now)
    return Account(row.name, row.full_name, row.person, row.state == "active", roles, row.created)


def roles_of(session: ReadSession, account: str, *, now: int) -> frozenset[Role]:
    """The roles that `account` holds at `now` (ms UTC)."""
    table = tables.role_grant
    in_time = or_(table.c.until.is_(None), table.c.until > now)
    held = session.scalars(select(table.c.role).where(table.c.account == account, in_time))
    return frozenset(cast("Role", role) for role in held)

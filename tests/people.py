"""People for tests, already let in and signed in: no password, no second factor, only what acts of governance ask for.

How people are really let in, `tests/gateway/test_people_*.py` try.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyotp
from argon2 import PasswordHasher

from gateway.people.accounts import add_account, find_account, grant_role, set_factors
from gateway.people.passwords import Passwords
from gateway.people.person import Person
from gateway.people.roles import Role
from gateway.people.second_factor import new_secret
from gateway.people.sessions import Origin, open_session
from schemas.times import now_millis
from tests.world import Node


def person(node: Node, name: str, *roles: Role) -> Person:
    """Somebody of this party with an account in these roles (made on the first call), who has just signed in."""
    now = now_millis()
    with node.gateway.database.write() as session:
        if find_account(session, name, now=now) is None:
            add_account(session, name, name.title(), f"staff:{name}", now=now)
            for role in roles:
                grant_role(session, name, role, now=now)
        account = find_account(session, name, now=now)
    assert account is not None
    return Person(account.name, account.full_name, account.roles, now)


def two_people(node: Node) -> tuple[Person, Person]:
    """One who proposes and another who approves."""
    return person(node, "wei", "system"), person(node, "li", "approver")


def session_of(node: Node, person: Person, origin: Origin = "terminal") -> str:
    """The secret of a session of theirs: `TAIPU_SESSION` of a command, or the console's cookie."""
    with node.gateway.database.write() as session:
        return open_session(session, person.account, origin, now=now_millis())


PASSWORD = "梅花三弄 lantern 7391"


@dataclass(frozen=True)
class Owner:
    """Somebody who can really sign in, with what they sign in with."""

    name: str
    secret: str
    password: str = PASSWORD

    def code(self, at: int) -> str:
        """What the authenticator shows at `at` (ms UTC)."""
        return pyotp.TOTP(self.secret).at(at // 1000)


def owner(node: Node, name: str, *roles: Role) -> Owner:
    """Somebody with an account in these roles, enrolled. Hashes of this node are made cheap: tests make many."""
    node.gateway.passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    person(node, name, *roles)
    one = Owner(name, new_secret())
    with node.gateway.database.write() as session:
        encoded = node.gateway.passwords.hash(one.password)
        set_factors(session, name, password=encoded, totp=node.gateway.second_factors.close(name, one.secret))
    return one

"""Who acts: a person of the home party who is signed in, as acts of governance are given one.

The log keeps people's names out: an act names a pseudonym, the same for all acts of one account at this gateway, which
only this gateway can compute.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from gateway.errors import AccessDeniedError
from gateway.home import Home
from gateway.people.roles import Permission, Role, permissions_of
from schemas.jws import b64encode

RECENT = 5 * 60_000  # ms for which the second factor, shown once, stands for acts that ask for it


@dataclass(frozen=True)
class Person:
    """An account whose owner is signed in, with the roles it holds at this moment.

    `account` is its name for signing in and what is written down wherever somebody acted. `confirmed` is when (ms UTC)
    the second factor was last shown in this session.
    """

    account: str
    name: str
    roles: frozenset[Role]
    confirmed: int

    def may(self, permission: Permission) -> bool:
        return permission in permissions_of(self.roles)

    def require(self, permission: Permission) -> None:
        """Go on only where the person's roles allow this.

        Raises:
            AccessDeniedError: `person.not-permitted`.
        """
        if not self.may(permission):
            raise AccessDeniedError(f"this takes the permission {permission}", code="person.not-permitted")

    def is_recent(self, now: int) -> bool:
        """Whether the second factor was shown within the last minutes. `now` in ms UTC."""
        return self.confirmed <= now < self.confirmed + RECENT

    def require_recent(self, now: int) -> None:
        """Go on only where the second factor was shown within the last minutes (step-up). `now` in ms UTC.

        Raises:
            AccessDeniedError: `person.confirm-again`.
        """
        if not self.is_recent(now):
            raise AccessDeniedError("show your second factor again for this", code="person.confirm-again")


def actor_of(home: Home, account: str) -> str:
    """What the log calls the person behind `account`: nothing to anybody else."""
    secret = home.keys.secret.derive("pseudonyms")
    return "person:" + b64encode(hmac.digest(secret, account.encode(), "sha256")[:12])

"""Accounts, the roles granted to them, and who is signed in. Times are integer milliseconds UTC.

What a session or a role grants is asked of these rows at each request: what is taken away is gone on the next one.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, Table, Text, UniqueConstraint

from gateway.people.roles import ROLES
from gateway.store.tables import metadata

# `person` is who it is outside of this program (a staff number, or issuer and subject of an identity provider): one
# person has one account, so that nobody can approve as somebody else what they proposed.
account = Table(
    "account",
    metadata,
    Column("name", Text, primary_key=True),  # small letters: what one signs in with
    Column("full_name", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("state", Text, nullable=False),  # active | disabled
    Column("password", Text, nullable=False),  # argon2id, in its encoded form; empty while none is set
    Column("totp", LargeBinary, nullable=False),  # the sealed secret; empty while none is set
    Column("totp_step", BigInteger, nullable=False),  # the last time step whose code was taken: none is taken twice
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("person"),
    CheckConstraint("state IN ('active', 'disabled')", name="state"),
)

role_grant = Table(
    "role_grant",
    metadata,
    Column("account", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("until", BigInteger),  # None: until it is taken back
    Column("granted", BigInteger, nullable=False),
    CheckConstraint(f"role IN ({', '.join(repr(role) for role in ROLES)})", name="role"),
    CheckConstraint("role <> 'visitor' OR until IS NOT NULL", name="visit_ends"),
)

session = Table(
    "person_session",
    metadata,
    Column("digest", Text, primary_key=True),  # base64url SHA-256 of what the browser or terminal holds
    Column("account", Text, nullable=False, index=True),
    Column("origin", Text, nullable=False),  # console | terminal
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("confirmed", BigInteger, nullable=False),  # when the second factor was last shown
    Column("ends", BigInteger, nullable=False),
    CheckConstraint("origin IN ('console', 'terminal')", name="origin"),
)

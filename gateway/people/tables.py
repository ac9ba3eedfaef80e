"""Accounts, the roles granted to them, and who is signed in. Times are integer milliseconds UTC.

What a session or a role grants is asked of these rows at each request: what is taken away is gone on the next one.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, Table, Text, UniqueConstraint

from gateway.people.roles import CONFLICTS, ROLES
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
    CheckConstraint("name = lower(name)", name="one_spelling"),
    CheckConstraint("person = lower(person)", name="one_person"),
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

# Codes that let somebody set a password and a second factor, once: either as the first holder of a role, or for an
# account that two persons agreed on.
enrolment = Table(
    "enrolment",
    metadata,
    Column("digest", Text, primary_key=True),  # base64url SHA-256 of the code
    Column("role", Text),
    Column("account", Text),
    Column("totp", LargeBinary, nullable=False),  # the sealed secret that was shown; empty before
    Column("expires", BigInteger, nullable=False),
    CheckConstraint("(role IS NULL) <> (account IS NULL)", name="one_purpose"),
)

# How often signing in failed, by a keyed hash of the account's name or the address: as many rows as there are hashes,
# whatever names are tried.
sign_in_try = Table(
    "sign_in_try",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("failures", Integer, nullable=False),  # since it last succeeded
    Column("turned_away", BigInteger, nullable=False),  # unheard, since the last failure that was
    Column("until", BigInteger, nullable=False),  # no try is heard before
)


def kept_apart(dialect: str) -> list[str]:
    """The statements that make a database refuse an account two roles that nobody may hold together."""
    pairs = sorted(tuple(sorted(pair)) for pair in CONFLICTS)
    conflict = " OR ".join(f"(NEW.role IN ('{a}', '{b}') AND g.role IN ('{a}', '{b}'))" for a, b in pairs)
    others = "g.account = NEW.account AND g.role <> NEW.role"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER role_grant_{event.lower()} BEFORE {event} ON role_grant WHEN EXISTS (SELECT 1 FROM "
            f"role_grant g WHERE {others}{old} AND ({conflict})) "
            "BEGIN SELECT RAISE(ABORT, 'these roles are kept apart'); END"
            for event, old in (("INSERT", ""), ("UPDATE", " AND NOT (g.account = OLD.account AND g.role = OLD.role)"))
        ]
    # Two transactions that grant at once would not see each other: the second waits for the first.
    function = (
        "CREATE FUNCTION role_grant_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock(hashtextextended(NEW.account, 2)); "
        f"IF EXISTS (SELECT 1 FROM role_grant g WHERE {others} AND ({conflict})) "
        "THEN RAISE EXCEPTION 'these roles are kept apart'; END IF; RETURN NULL; END $$"
    )
    trigger = (
        "CREATE TRIGGER role_grant_apart AFTER INSERT OR UPDATE ON role_grant "
        "FOR EACH ROW EXECUTE FUNCTION role_grant_refuse()"
    )
    return [function, trigger]

"""Tables of the other parties and what they may do; SQLAlchemy Core, for SQLite and PostgreSQL alike.

All times are integer milliseconds since 1970-01-01T00:00Z. No table here may refer to one of `audit`: evidence must
stand when everything else is gone.
"""

from __future__ import annotations

from itertools import combinations

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

MAX_CLIENT_ID = 128  # characters
MAX_JTI = 256  # characters
MAX_KID = 128  # characters
MAX_TOKEN_LIFE = 90 * 86_400_000  # ms of a personal token

UNBOUND_SCOPES = ("records:submit", "records:read", "feeds:read")
"""All that a client may have whose tokens are bound to nothing."""
_UNBOUND = ", ".join(
    repr(" ".join(some)) for count in (1, 2, 3) for some in combinations(UNBOUND_SCOPES, count)
)  # in the order in which scopes are written down

client = Table(
    "client",
    metadata,
    Column("client_id", String(MAX_CLIENT_ID), primary_key=True),
    Column("party", String(32), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("scope", Text, nullable=False, comment="the most it may ask for, separated by spaces"),
    Column("binding", String(16), nullable=False, comment="what its tokens are bound to"),
    Column("unbound_by", Text, nullable=True, comment="the administrator who let its tokens be bound to nothing"),
    Column("subject", Text, nullable=True, comment="RFC 4514 name in certificates that its party's authority issues"),
    Column("state", String(16), nullable=False),
    Column("created", BigInteger, nullable=False),
    CheckConstraint("kind IN ('gateway', 'station', 'reader', 'auditor')", name="kind"),
    CheckConstraint("binding IN ('dpop', 'mtls', 'none')", name="binding"),
    CheckConstraint("(binding = 'none') = (unbound_by IS NOT NULL)", name="unbound_by"),
    CheckConstraint(f"binding <> 'none' OR scope IN ({_UNBOUND})", name="unbound_scope"),
    CheckConstraint("subject IS NULL OR binding = 'mtls'", name="subject"),
    CheckConstraint("state IN ('active', 'suspended', 'ended')", name="state"),
)

# Public keys and certificates of clients, each with its time; what has ended stays, for old signatures. A partner's
# gateway has none here: its keys are those of the party document in force.
client_key = Table(
    "client_key",
    metadata,
    Column("client_id", String(MAX_CLIENT_ID), primary_key=True),
    Column("kid", String(MAX_KID), primary_key=True, comment="of a certificate: its SHA-256 thumbprint (RFC 8705)"),
    Column("jwk", Text, nullable=True, comment="the public key (RFC 7517) as it was approved; none: a certificate"),
    Column("begins", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=True),
    CheckConstraint("ends IS NULL OR ends >= begins", name="times"),
)

# What people of the home party read with from their desktop tools. The token itself is not kept.
personal_token = Table(
    "personal_token",
    metadata,
    Column("digest", String(43), primary_key=True, comment="HMAC-SHA-256 under a key of this gateway, base64url"),
    Column("id", String(16), nullable=False, unique=True),
    Column("account", Text, nullable=False, index=True),
    Column("name", Text, nullable=False, comment="what its owner calls it"),
    Column("datasets", Text, nullable=False, comment="ids, separated by spaces"),
    Column("created", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False),
    CheckConstraint(f"ends <= created + {MAX_TOKEN_LIFE}", name="life"),
)

assertion_seen = Table(
    "assertion_seen",
    metadata,
    Column("client_id", String(MAX_CLIENT_ID), primary_key=True),
    Column("jti", String(MAX_JTI), primary_key=True),
    Column("expires", BigInteger, nullable=False, index=True),
)

proof_seen = Table(
    "proof_seen",
    metadata,
    Column("jkt", String(43), primary_key=True),
    Column("jti", String(MAX_JTI), primary_key=True),
    Column("expires", BigInteger, nullable=False, index=True),
)

# What was revoked before its time (RFC 7009), by `jti` and never by the text, which may have several spellings. Only
# tokens that we signed are ever written here, and a row goes when its token would have ended.
token_revoked = Table(
    "token_revoked",
    metadata,
    Column("jti", String(MAX_JTI), primary_key=True),
    Column("client_id", String(MAX_CLIENT_ID), nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)

# All tokens of a client issued before an instant are revoked at once.
token_cut = Table(
    "token_cut",
    metadata,
    Column("client_id", String(MAX_CLIENT_ID), primary_key=True),
    Column("before", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True, comment="when the last of them has ended by itself"),
)

# One row for every request there is, worthless after two minutes: it need not survive a crash of the database, and
# stays out of the write-ahead log. Alembic builds its own table objects and so has to say this again.
event.listen(
    proof_seen,
    "after_create",
    DDL("ALTER TABLE proof_seen SET UNLOGGED").execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)

# How often a client has asked for a dataset that has a rate, in the newest window it asked in.
request_count = Table(
    "request_count",
    metadata,
    Column("client_id", String(MAX_CLIENT_ID), primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("began", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
)

# The plan documents this gateway knows, canonical: the digest that batches name is over these bytes.
plan = Table(
    "plan",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("effective", BigInteger, nullable=False),
    Column("proposer", Text, nullable=False),  # a party; empty where it was agreed outside the program
    Column("added", BigInteger, nullable=False),
)

# What the parties did about plans: our acts, and those that came in their feeds. `manifest` and `created` are those of
# the batch that carried the act: they are what decides, and are missing from an act of ours that has not left yet.
plan_act = Table(
    "plan_act",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("party", Text, primary_key=True),
    Column("act", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("line", LargeBinary, nullable=False),  # the record as it was signed; empty of a refused proposal
    Column("manifest", Text, nullable=True),
    Column("created", BigInteger, nullable=True),
    Column("seen", BigInteger, nullable=False),  # when it was done, or arrived here
)

# Whether a version comes into force at its instant or lapses, with the evidence; decided once, and never changed.
plan_decision = Table(
    "plan_decision",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("ground", Text, nullable=False),
    Column("manifest", Text, nullable=True),  # the batch that decided it
    Column("created", BigInteger, nullable=True),  # when its provider says that batch was made
    Column("decided", BigInteger, nullable=False),
    CheckConstraint("verdict IN ('in-force', 'lapsed')", name="verdict"),
)

# Until when we have seen all there was of a party's feed, where something depends on that.
plan_look = Table(
    "plan_look",
    metadata,
    Column("party", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
)


def never_changed(dialect: str, table: str) -> list[str]:
    """The statements that make a database refuse to change or delete any row of `table`, for either engine."""
    if dialect == "sqlite":
        refuse = f"BEGIN SELECT RAISE(ABORT, 'a {table} stays'); END"
        return [
            f"CREATE TRIGGER {table}_stays BEFORE UPDATE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} {refuse}",
        ]
    function = (
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'a {table} stays'; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"
    )
    return [function, trigger]


# One batch of ours on its way to one recipient. Evidence as much as work to do: rows stay when the work is done.
delivery = Table(
    "delivery",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("recipient", Text, primary_key=True),
    Column("manifest", Text, nullable=False, index=True),
    Column("mode", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False, comment="when a push is tried (again)"),
    Column("error", Text, nullable=False, comment="why the last attempt failed"),
    Column("receipt", Text, nullable=True, comment="hash of the receipt that closed it"),
    CheckConstraint("state IN ('pending', 'delivered', 'refused', 'dead')", name="state"),
    Index("ix_delivery_due", "state", "mode", "next_at"),
)

# Receipts we gave and receipts we got. The line report of a receipt we gave is what its `report` digest is over.
receipt = Table(
    "receipt",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("manifest", Text, nullable=False, index=True),
    Column("direction", Text, nullable=False),
    Column("party", Text, nullable=False, comment="the other party"),
    Column("token", Text, nullable=False, comment="the compact JWS"),
    Column("report", LargeBinary, nullable=True),
    Column("state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    CheckConstraint("direction IN ('in', 'out')", name="direction"),
    CheckConstraint("state IN ('held', 'pending', 'sent')", name="state"),
    Index("ix_receipt_due", "state", "next_at"),
)

# How the last contact with each party went: the first columns as far as we were the one who called.
contact = Table(
    "contact",
    metadata,
    Column("party", Text, primary_key=True),
    Column("succeeded", BigInteger, nullable=True),
    Column("failed", BigInteger, nullable=True),
    Column("error", Text, nullable=False),
    Column("skew", BigInteger, nullable=True, comment="ms by which its clock was ahead of ours at that time"),
    Column("called", BigInteger, nullable=True, comment="when its gateway last called us, to about a minute"),
)

# The parties we exchange with. The document is verified again whenever it is read; what else stands here is the pin it
# is held against, how the party is reached, and copies for lists and for comparing serials.
party = Table(
    "party",
    metadata,
    Column("code", String(32), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("ca_pem", Text, nullable=False, comment="authorities to trust at that address"),
    Column("fingerprint", String(39), nullable=False, comment="of the identity key, as two administrators compared it"),
    Column("name_zh", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("document", Text, nullable=False, comment="the party document in force: the compact JWS"),
    Column("serial", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("refreshed", BigInteger, nullable=False, comment="when the document in force was last seen"),
    CheckConstraint("state IN ('approved', 'active', 'suspended', 'ended')", name="state"),
)

# What became of a party's registration, one row for each change. Where another identity took the place of the pinned
# one, that one's document stays here: what it signed still verifies with it.
party_change = Table(
    "party_change",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("party", String(32), nullable=False, index=True),
    Column("state", String(16), nullable=False, comment="what it was from then on"),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, comment="the account; empty where it came about by itself"),
    Column("reason", Text, nullable=False),
    Column("proposal", Text, nullable=False, comment="which two persons decided; empty where it took one"),
    Column("replaced", Text, nullable=True, comment="the document of the identity that was pinned before"),
)

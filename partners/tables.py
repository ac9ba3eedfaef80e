"""Tables of the other parties and what they may do; SQLAlchemy Core, for SQLite and PostgreSQL alike.

All times are integer milliseconds since 1970-01-01T00:00Z. No table here may refer to one of `audit`: evidence must
stand when everything else is gone.
"""

from __future__ import annotations

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

client = Table(
    "client",
    metadata,
    Column("client_id", String(MAX_CLIENT_ID), primary_key=True),
    Column("party", String(32), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("scope", Text, nullable=False, comment="the most it may ask for, separated by spaces"),
    Column("binding", String(16), nullable=False, comment="what its tokens are bound to"),
    Column("jwks", Text, nullable=False, comment="public keys as a JWK set (RFC 7517), as they were approved"),
    Column("state", String(16), nullable=False),
    Column("created", BigInteger, nullable=False),
    CheckConstraint("kind IN ('gateway', 'station', 'reader', 'auditor')", name="kind"),
    CheckConstraint("binding IN ('dpop')", name="binding"),
    CheckConstraint("state IN ('active', 'suspended', 'ended')", name="state"),
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

# The plan documents this gateway knows, as they were given: the digest that batches name is over these bytes.
plan = Table(
    "plan",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("effective", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
)

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

# How the last contact with each party went, as far as we were the one who called.
contact = Table(
    "contact",
    metadata,
    Column("party", Text, primary_key=True),
    Column("succeeded", BigInteger, nullable=True),
    Column("failed", BigInteger, nullable=True),
    Column("error", Text, nullable=False),
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
    CheckConstraint("state IN ('active', 'suspended')", name="state"),
)

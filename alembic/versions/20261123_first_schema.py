"""The first schema: log, partners, records.

Revision: 20261123
Follows: nothing
"""

import sqlalchemy as sa

from alembic import op
from audit.tables import append_only_triggers

revision = "20261123"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=True),
        sa.Column("signed_size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_log_head_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_head")),
    )
    op.create_table(
        "log_leaf",
        sa.Column("idx", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_log_leaf")),
    )
    with op.batch_alter_table("log_leaf", schema=None) as batch_op:
        batch_op.create_index("ix_log_leaf_leaf_hash", ["leaf_hash"], unique=True)

    op.create_table(
        "log_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_outbox")),
    )
    op.create_table(
        "log_tile",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "idx", name=op.f("pk_log_tile")),
    )
    op.create_table(
        "assertion_seen",
        sa.Column("client_id", sa.String(length=128), nullable=False),
        sa.Column("jti", sa.String(length=256), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "jti", name=op.f("pk_assertion_seen")),
    )
    with op.batch_alter_table("assertion_seen", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_assertion_seen_expires"), ["expires"], unique=False)

    op.create_table(
        "client",
        sa.Column("client_id", sa.String(length=128), nullable=False),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="the most it may ask for, separated by spaces"),
        sa.Column("binding", sa.String(length=16), nullable=False, comment="what its tokens are bound to"),
        sa.Column(
            "jwks", sa.Text(), nullable=False, comment="public keys as a JWK set (RFC 7517), as they were approved"
        ),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("binding IN ('dpop')", name=op.f("ck_client_binding")),
        sa.CheckConstraint("kind IN ('gateway', 'station', 'reader', 'auditor')", name=op.f("ck_client_kind")),
        sa.CheckConstraint("state IN ('active', 'suspended', 'ended')", name=op.f("ck_client_state")),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_client")),
    )
    with op.batch_alter_table("client", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_client_party"), ["party"], unique=False)

    op.create_table(
        "contact",
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), nullable=True),
        sa.Column("failed", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("party", name=op.f("pk_contact")),
    )
    op.create_table(
        "delivery",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False, comment="when a push is tried (again)"),
        sa.Column("error", sa.Text(), nullable=False, comment="why the last attempt failed"),
        sa.Column("receipt", sa.Text(), nullable=True, comment="hash of the receipt that closed it"),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'refused', 'dead')", name=op.f("ck_delivery_state")),
        sa.PrimaryKeyConstraint("dataset", "seq", "recipient", name=op.f("pk_delivery")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("ix_delivery_due", ["state", "mode", "next_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_manifest"), ["manifest"], unique=False)

    op.create_table(
        "party",
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("ca_pem", sa.Text(), nullable=False, comment="authorities to trust at that address"),
        sa.Column(
            "fingerprint",
            sa.String(length=39),
            nullable=False,
            comment="of the identity key, as two administrators compared it",
        ),
        sa.Column("name_zh", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False, comment="the party document in force: the compact JWS"),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("refreshed", sa.BigInteger(), nullable=False, comment="when the document in force was last seen"),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_party_state")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_party")),
    )
    op.create_table(
        "plan",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("effective", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_plan")),
    )
    op.create_table(
        "proof_seen",
        sa.Column("jkt", sa.String(length=43), nullable=False),
        sa.Column("jti", sa.String(length=256), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("jkt", "jti", name=op.f("pk_proof_seen")),
    )
    with op.batch_alter_table("proof_seen", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_proof_seen_expires"), ["expires"], unique=False)

    op.create_table(
        "receipt",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False, comment="the other party"),
        sa.Column("token", sa.Text(), nullable=False, comment="the compact JWS"),
        sa.Column("report", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.CheckConstraint("direction IN ('in', 'out')", name=op.f("ck_receipt_direction")),
        sa.CheckConstraint("state IN ('held', 'pending', 'sent')", name=op.f("ck_receipt_state")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_receipt")),
    )
    with op.batch_alter_table("receipt", schema=None) as batch_op:
        batch_op.create_index("ix_receipt_due", ["state", "next_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_receipt_manifest"), ["manifest"], unique=False)

    op.create_table(
        "act",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_act")),
    )
    op.create_table(
        "batch",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "dataset", "seq", name=op.f("pk_batch")),
        sa.UniqueConstraint("manifest", name=op.f("uq_batch_manifest")),
    )
    op.create_table(
        "device",
        sa.Column("mn", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mn", name=op.f("pk_device")),
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    with op.batch_alter_table("evidence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evidence_provider_dataset"), ["provider", "dataset"], unique=False)

    op.create_table(
        "feed",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("stopped", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "dataset", name=op.f("pk_feed")),
    )
    op.create_table(
        "held",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("act_id", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held")),
    )
    with op.batch_alter_table("held", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_held_waits_for_name"), ["waits_for", "name"], unique=False)

    op.create_table(
        "observation",
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("rev", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("state_id", sa.BigInteger(), nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=True),
        sa.Column("extra", sa.Text(), nullable=True),
        sa.Column("act_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "series_id", "at", "sample", name=op.f("pk_observation")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "observation_history",
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("rev", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("state_id", sa.BigInteger(), nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=True),
        sa.Column("extra", sa.Text(), nullable=True),
        sa.Column("act_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "series_id", "at", "sample", "rev", name=op.f("pk_observation_history")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "queue",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue")),
    )
    with op.batch_alter_table("queue", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_queue_dataset_id"), ["dataset", "id"], unique=False)

    op.create_table(
        "record",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.Column("act_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "kind", "key", name=op.f("pk_record")),
    )
    op.create_table(
        "record_history",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.Column("act_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "kind", "key", "rev", name=op.f("pk_record_history")),
    )
    op.create_table(
        "series",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("factor", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("stat", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint(
            "provider",
            "site",
            "factor",
            "origin",
            "stat",
            "period",
            name=op.f("uq_series_provider_site_factor_origin_stat_period"),
        ),
    )
    op.create_table(
        "state",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_state")),
        sa.UniqueConstraint("body", name=op.f("uq_state_body")),
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("final", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
        sa.UniqueConstraint("client", "idempotency_key", name=op.f("uq_submission_client_idempotency_key")),
    )
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_submission_client_sha256"), ["client", "sha256"], unique=False)
    # What is worthless after two minutes stays out of the write-ahead log.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE proof_seen SET UNLOGGED")
    if op.get_bind().dialect.name == "postgresql":
        for statement in append_only_triggers("postgresql"):
            op.execute(statement)
    else:
        _append_only_on_sqlite("log_leaf", "idx = NEW.idx OR leaf_hash = NEW.leaf_hash")
        _append_only_on_sqlite("log_tile", "level = NEW.level AND idx = NEW.idx")


def _append_only_on_sqlite(table: str, same: str) -> None:
    """The triggers of the tables as they are at this revision, which had no shards."""
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
    taken = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"
    op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} {taken} {refuse}")


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first schema: drop the database instead")

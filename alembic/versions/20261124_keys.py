"""Own keys that rotate, party documents on their way, and batches that a stolen key may have signed.

Revision: 20261124_keys
Follows: 20261124_shards
"""

import sqlalchemy as sa

from alembic import op

revision = "20261124_keys"
down_revision = "20261124_shards"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "own_key",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("published", sa.BigInteger(), nullable=True),
        sa.Column("serial", sa.BigInteger(), nullable=True),
        sa.Column("begins", sa.BigInteger(), nullable=True),
        sa.Column("ends", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("last", sa.Text(), nullable=True),
        sa.Column("settled", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("use IN ('manifest', 'log', 'witness', 'oauth', 'tls')", name=op.f("ck_own_key_use")),
        sa.CheckConstraint(
            "reason IN ('', 'rotated', 'lost', 'compromised', 'stopped')", name=op.f("ck_own_key_reason")
        ),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_own_key")),
    )
    op.create_index(op.f("ix_own_key_use_begins"), "own_key", ["use", "begins"])
    op.create_table(
        "own_document",
        sa.Column("serial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_own_document")),
    )
    op.create_table(
        "document_exchange",
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("holds", sa.BigInteger(), nullable=True),
        sa.Column("told", sa.BigInteger(), nullable=True),
        sa.Column("asked", sa.BigInteger(), nullable=True),
        sa.Column("alarm", sa.Text(), nullable=False),
        sa.Column("alarmed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("party", name=op.f("pk_document_exchange")),
    )
    op.create_table(
        "doubted_batch",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "dataset", "seq", "manifest", name=op.f("pk_doubted_batch")),
    )


def downgrade() -> None:
    for table in ("doubted_batch", "document_exchange", "own_document", "own_key"):
        op.drop_table(table)

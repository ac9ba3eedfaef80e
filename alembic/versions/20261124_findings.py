"""What the quality rules found, and what they have yet to look at.

Revision: 20261124_findings
Follows: 20261124_table_versions
"""

import sqlalchemy as sa

from alembic import op

revision = "20261124_findings"
down_revision = "20261124_table_versions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "finding",
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("rev", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "bucket", "series_id", "at", "sample", "rev", "rule", "source", name=op.f("pk_finding")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "to_judge",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_to_judge")),
    )


def downgrade() -> None:
    op.drop_table("to_judge")
    op.drop_table("finding")

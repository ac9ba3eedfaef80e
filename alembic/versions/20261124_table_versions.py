"""Versions of the tables that decide something, with who proposed and who approved them.

Revision: 20261124_table_versions
Follows: 20261123
"""

import sqlalchemy as sa

from alembic import op
from gateway.store.tables import decided_for_good

revision = "20261124_table_versions"
down_revision = "20261123"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "table_version",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("effective", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("proposer", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("decider", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name=op.f("ck_table_version_state")),
        sa.CheckConstraint(
            "(state = 'proposed') = (decider IS NULL AND decided_at IS NULL)", name=op.f("ck_table_version_decided")
        ),
        sa.CheckConstraint(
            "state <> 'approved' OR lower(decider) <> lower(proposer)", name=op.f("ck_table_version_two_persons")
        ),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_table_version")),
    )
    for statement in decided_for_good(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("table_version")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION table_version_refuse()")

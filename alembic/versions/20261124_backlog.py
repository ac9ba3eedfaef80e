"""What a dataset that begins selects of the records that were here before it.

Revision: 20261124_backlog
Follows: 20261124_people
"""

import sqlalchemy as sa

from alembic import op

revision = "20261124_backlog"
down_revision = "20261124_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "begun",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("selected", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", name=op.f("pk_begun")),
    )
    op.create_table(
        "backlog",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("selected_before", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", name=op.f("pk_backlog")),
    )


def downgrade() -> None:
    op.drop_table("backlog")
    op.drop_table("begun")

"""How often clients have asked for datasets that have a rate.

Revision: 20261124_rates
Follows: 20261124_backlog
"""

import sqlalchemy as sa

from alembic import op

revision = "20261124_rates"
down_revision = "20261124_backlog"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request_count",
        sa.Column("client_id", sa.String(128), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "provider", "dataset", name=op.f("pk_request_count")),
    )


def downgrade() -> None:
    op.drop_table("request_count")

"""Data loggers: who is a stranger, what is asked of them, and the figures of their listener.

Revision: 20261124_loggers
Follows: 20261124_sheets
"""

import sqlalchemy as sa

from alembic import op

revision = "20261124_loggers"
down_revision = "20261124_sheets"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "stranger",
        sa.Column("mn", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mn", name=op.f("pk_stranger")),
    )
    op.create_table(
        "stranger_packet",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("mn", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stranger_packet")),
        sa.UniqueConstraint("mn", "digest", name=op.f("uq_stranger_packet_mn_digest")),
    )
    with op.batch_alter_table("stranger_packet", schema=None) as batch_op:
        batch_op.create_index("ix_stranger_packet_mn_id", ["mn", "id"], unique=False)

    op.create_table(
        "history_request",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("mn", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("begin_at", sa.BigInteger(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("qn", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history_request")),
    )
    with op.batch_alter_table("history_request", schema=None) as batch_op:
        batch_op.create_index("ix_history_request_state_mn", ["state", "mn"], unique=False)

    op.create_table(
        "logger_figure",
        sa.Column("listener", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("listener", "name", name=op.f("pk_logger_figure")),
    )


def downgrade() -> None:
    for table in ("logger_figure", "history_request", "stranger_packet", "stranger"):
        op.drop_table(table)

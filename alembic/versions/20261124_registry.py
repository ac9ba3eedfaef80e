"""Partners: approved, active, suspended, ended; who changed that, when and why; and how the last contact went.

Revision: 20261124_registry
Follows: 20261124_clients
"""

import sqlalchemy as sa

from alembic import op

revision = "20261124_registry"
down_revision = "20261124_clients"
branch_labels = None
depends_on = None

BEFORE = "state IN ('active', 'suspended')"
AFTER = "state IN ('approved', 'active', 'suspended', 'ended')"


def upgrade() -> None:
    _constrain(AFTER)
    op.create_table(
        "party_change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="what it was from then on"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="the account; empty where it came about by itself"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposal", sa.Text(), nullable=False, comment="which two persons decided; empty where it took one"),
        sa.Column("replaced", sa.Text(), nullable=True, comment="the document of the identity that was pinned before"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_party_change")),
    )
    op.create_index(op.f("ix_party_change_party"), "party_change", ["party"], unique=False)
    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "skew", sa.BigInteger(), nullable=True, comment="ms by which its clock was ahead of ours at that time"
            )
        )
        batch_op.add_column(
            sa.Column(
                "called", sa.BigInteger(), nullable=True, comment="when its gateway last called us, to about a minute"
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.drop_column("called")
        batch_op.drop_column("skew")
    op.drop_table("party_change")
    op.execute("UPDATE party SET state = 'active' WHERE state = 'approved'")
    op.execute("UPDATE party SET state = 'suspended' WHERE state = 'ended'")
    _constrain(BEFORE)


def _constrain(states: str) -> None:
    with op.batch_alter_table("party", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_party_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_party_state"), states)

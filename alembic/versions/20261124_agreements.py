"""Plans come into force by agreement: what the parties did, what was decided, and until when their feeds were seen.

A plan that was known before was agreed outside the program, and stays in force.

Revision: 20261124_agreements
Follows: 20261124_registry
"""

import sqlalchemy as sa

from alembic import op
from partners.tables import never_changed

revision = "20261124_agreements"
down_revision = "20261124_registry"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("plan", sa.Column("proposer", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("plan") as batch:
        batch.alter_column("proposer", server_default=None)
    op.create_table(
        "plan_act",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=True),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("plan", "version", "party", "act", name=op.f("pk_plan_act")),
    )
    op.create_table(
        "plan_decision",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=True),
        sa.Column("decided", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("verdict IN ('in-force', 'lapsed')", name=op.f("ck_plan_decision_verdict")),
        sa.PrimaryKeyConstraint("plan", "version", name=op.f("pk_plan_decision")),
    )
    op.create_table(
        "plan_look",
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("party", "dataset", name=op.f("pk_plan_look")),
    )
    op.execute(
        "INSERT INTO plan_decision (plan, version, digest, verdict, ground, decided) "
        "SELECT id, version, digest, 'in-force', 'adopted', added FROM plan"
    )
    for statement in never_changed(op.get_bind().dialect.name, "plan_decision"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("plan_look", "plan_decision", "plan_act"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION plan_decision_refuse()")
    with op.batch_alter_table("plan") as batch:
        batch.drop_column("proposer")

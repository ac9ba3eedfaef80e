"""People: accounts, roles, sessions; and what takes two of them.

Revision: 20261124_people
Follows: 20261124_loggers
"""

import sqlalchemy as sa

from alembic import op
from gateway.people.tables import kept_apart
from gateway.store.tables import decided_for_good

revision = "20261124_people"
down_revision = "20261124_loggers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("totp", sa.LargeBinary(), nullable=False),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('active', 'disabled')", name=op.f("ck_account_state")),
        sa.CheckConstraint("name = lower(name)", name=op.f("ck_account_one_spelling")),
        sa.CheckConstraint("person = lower(person)", name=op.f("ck_account_one_person")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_account")),
        sa.UniqueConstraint("person", name=op.f("uq_account_person")),
    )
    roles = "'system', 'security', 'audit', 'approver', 'operator', 'analyst', 'visitor'"
    op.create_table(
        "role_grant",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(f"role IN ({roles})", name=op.f("ck_role_grant_role")),
        sa.CheckConstraint("role <> 'visitor' OR until IS NOT NULL", name=op.f("ck_role_grant_visit_ends")),
        sa.PrimaryKeyConstraint("account", "role", name=op.f("pk_role_grant")),
    )
    op.create_table(
        "person_session",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("confirmed", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("origin IN ('console', 'terminal')", name=op.f("ck_person_session_origin")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_person_session")),
    )
    op.create_index(op.f("ix_person_session_account"), "person_session", ["account"])
    op.create_table(
        "enrolment",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("totp", sa.LargeBinary(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(role IS NULL) <> (account IS NULL)", name=op.f("ck_enrolment_one_purpose")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_enrolment")),
    )
    op.create_table(
        "sign_in_try",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("turned_away", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sign_in_try")),
    )
    op.create_table(
        "proposal",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposer", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decider", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name=op.f("ck_proposal_state")),
        sa.CheckConstraint(
            "(state = 'proposed') = (decider IS NULL AND decided_at IS NULL)", name=op.f("ck_proposal_decided")
        ),
        sa.CheckConstraint(
            "state <> 'approved' OR lower(decider) <> lower(proposer)", name=op.f("ck_proposal_two_persons")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
    )
    op.create_index(op.f("ix_proposal_state_kind_subject"), "proposal", ["state", "kind", "subject"])
    dialect = op.get_bind().dialect.name
    for statement in (*kept_apart(dialect), *decided_for_good(dialect, "proposal")):
        op.execute(statement)


def downgrade() -> None:
    for table in ("proposal", "sign_in_try", "enrolment", "person_session", "role_grant", "account"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION proposal_refuse()")
        op.execute("DROP FUNCTION role_grant_refuse()")

"""Access tokens that were revoked before their time.

Revision: 20261124_tokens
Follows: 20261124_agreements
"""

import sqlalchemy as sa

from alembic import op

revision = "20261124_tokens"
down_revision = "20261124_agreements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "token_revoked",
        sa.Column("jti", sa.String(256), nullable=False),
        sa.Column("client_id", sa.String(128), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_token_revoked")),
    )
    op.create_index(op.f("ix_token_revoked_expires"), "token_revoked", ["expires"])
    op.create_table(
        "token_cut",
        sa.Column("client_id", sa.String(128), nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False, comment="when the last of them has ended by itself"),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_token_cut")),
    )
    op.create_index(op.f("ix_token_cut_expires"), "token_cut", ["expires"])


def downgrade() -> None:
    op.drop_table("token_cut")
    op.drop_table("token_revoked")

"""Clients: keys and certificates with their times, what tokens are bound to, and personal tokens.

Revision: 20261124_clients
Follows: 20261124_keys
"""

import sqlalchemy as sa

from alembic import op
from partners.oauth.registered import read_client_keys

revision = "20261124_clients"
down_revision = "20261124_keys"
branch_labels = None
depends_on = None

_SCOPES = (
    "'records:submit', 'records:read', 'feeds:read', 'records:submit records:read', 'records:submit feeds:read', "
    "'records:read feeds:read', 'records:submit records:read feeds:read'"
)


def upgrade() -> None:
    op.create_table(
        "client_key",
        sa.Column("client_id", sa.String(128), nullable=False),
        sa.Column("kid", sa.String(128), nullable=False, comment="of a certificate: its SHA-256 thumbprint (RFC 8705)"),
        sa.Column(
            "jwk", sa.Text(), nullable=True, comment="the public key (RFC 7517) as it was approved; none: a certificate"
        ),
        sa.Column("begins", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("ends IS NULL OR ends >= begins", name=op.f("ck_client_key_times")),
        sa.PrimaryKeyConstraint("client_id", "kid", name=op.f("pk_client_key")),
    )
    _carry_keys()
    with op.batch_alter_table("client") as batch:
        batch.add_column(
            sa.Column(
                "unbound_by", sa.Text(), nullable=True,
                comment="the administrator who let its tokens be bound to nothing",
            )
        )  # fmt: skip
        batch.add_column(
            sa.Column(
                "subject", sa.Text(), nullable=True,
                comment="RFC 4514 name in certificates that its party's authority issues",
            )
        )  # fmt: skip
        batch.drop_constraint(op.f("ck_client_binding"), type_="check")
        batch.drop_column("jwks")
        batch.create_check_constraint(op.f("ck_client_binding"), "binding IN ('dpop', 'mtls', 'none')")
        batch.create_check_constraint(op.f("ck_client_unbound_by"), "(binding = 'none') = (unbound_by IS NOT NULL)")
        batch.create_check_constraint(op.f("ck_client_unbound_scope"), f"binding <> 'none' OR scope IN ({_SCOPES})")
        batch.create_check_constraint(op.f("ck_client_subject"), "subject IS NULL OR binding = 'mtls'")
    op.create_table(
        "personal_token",
        sa.Column(
            "digest", sa.String(43), nullable=False, comment="HMAC-SHA-256 under a key of this gateway, base64url"
        ),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="what its owner calls it"),
        sa.Column("datasets", sa.Text(), nullable=False, comment="ids, separated by spaces"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("ends <= created + 7776000000", name=op.f("ck_personal_token_life")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_personal_token")),
        sa.UniqueConstraint("id", name=op.f("uq_personal_token_id")),
    )
    op.create_index(op.f("ix_personal_token_account"), "personal_token", ["account"])


def downgrade() -> None:
    op.drop_table("personal_token")
    with op.batch_alter_table("client") as batch:
        for name in ("subject", "unbound_scope", "unbound_by", "binding"):
            batch.drop_constraint(op.f(f"ck_client_{name}"), type_="check")
        batch.create_check_constraint(op.f("ck_client_binding"), "binding IN ('dpop')")
        batch.add_column(sa.Column("jwks", sa.Text(), nullable=False, server_default='{"keys": []}'))
        batch.drop_column("subject")
        batch.drop_column("unbound_by")
    op.drop_table("client_key")


def _carry_keys() -> None:
    """The keys of clients that are registered; those of partners' gateways are in their party documents."""
    connection = op.get_bind()
    client, key = sa.table("client", *map(sa.column, ("client_id", "kind", "jwks", "created"))), sa.table(
        "client_key", *map(sa.column, ("client_id", "kid", "jwk", "begins"))
    )  # fmt: skip
    for row in connection.execute(sa.select(client).where(client.c.kind != "gateway")).all():
        for one in read_client_keys(row.jwks, begins=row.created):
            values = {"client_id": row.client_id, "kid": one.kid, "jwk": one.jwk, "begins": one.begins}
            connection.execute(sa.insert(key).values(values))

"""The log may have several shards; what there is becomes the first.

Revision: 20261124_shards
Follows: 20261124_rates
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op
from audit.tables import append_only_triggers

revision = "20261124_shards"
down_revision = "20261124_rates"
branch_labels = None
depends_on = None

_KEYS = {"log_head": "shard", "log_leaf": "shard, idx", "log_tile": "shard, level, idx"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
    else:
        _alter()


def _alter() -> None:
    """PostgreSQL adds a column with a constant default without an UPDATE, which the triggers would refuse."""
    op.execute("ALTER TABLE log_head DROP CONSTRAINT ck_log_head_single")
    op.execute("ALTER TABLE log_head RENAME COLUMN id TO shard")
    op.execute("ALTER TABLE log_head ALTER COLUMN shard TYPE smallint")
    op.execute("ALTER TABLE log_head ADD COLUMN frozen bigint")
    for table in ("log_leaf", "log_tile"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN shard smallint NOT NULL DEFAULT 1")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN shard DROP DEFAULT")
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT pk_{table}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({_KEYS[table]})")
    op.execute("DROP INDEX ix_log_leaf_leaf_hash")
    op.execute("CREATE UNIQUE INDEX ix_log_leaf_leaf_hash ON log_leaf (leaf_hash, shard)")


def _rebuild() -> None:
    """SQLite changes no primary key: new tables, and the rows copied into them."""
    for table in ("log_leaf", "log_tile"):
        for trigger in ("no_update", "no_delete", "no_replace"):
            op.execute(f"DROP TRIGGER {table}_{trigger}")
    op.execute("DROP INDEX ix_log_leaf_leaf_hash")
    for table in _KEYS:
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    op.create_table(
        "log_head",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=True),
        sa.Column("signed_size", sa.Integer(), nullable=False),
        sa.Column("frozen", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("shard", name="pk_log_head"),
    )
    op.create_table(
        "log_leaf",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "idx", name="pk_log_leaf"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "log_tile",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "level", "idx", name="pk_log_tile"),
    )
    op.execute("INSERT INTO log_head SELECT id, size, hashes, root, checkpoint, signed_size, NULL FROM log_head_before")
    op.execute("INSERT INTO log_leaf SELECT 1, idx, leaf_hash, entry FROM log_leaf_before ORDER BY idx")
    op.execute("INSERT INTO log_tile SELECT 1, level, idx, root, hashes FROM log_tile_before ORDER BY level, idx")
    for table in _KEYS:
        op.execute(f"DROP TABLE {table}_before")
    op.create_index("ix_log_leaf_leaf_hash", "log_leaf", ["leaf_hash", "shard"], unique=True)
    for statement in append_only_triggers("sqlite"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("a log of several shards is no log of one: restore a backup of before instead")

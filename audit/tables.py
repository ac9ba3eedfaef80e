"""The log's own tables: no foreign keys in or out, so that the log stands alone.

`log_outbox` is where an entry waits, committed with the act it tells of. The sequencer moves it to `log_leaf`,
completes `log_tile` and moves `log_head`. Leaves and tiles are written once: `append_only_triggers` makes the
database refuse anything else. An ordinary Merkle tree needs no more; proofs are computed, never stored.

A log has one shard until it is frozen (`audit.shards`); then a successor goes on, a tree of its own from size 0. The
shard in force is the one with the largest number. What waits in the outbox belongs to none yet.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, SmallInteger, Table

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_Big = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER PRIMARY KEY

log_outbox = Table(
    "log_outbox",
    metadata,
    Column("id", _Big, primary_key=True),  # the order inside one step; says nothing about the order of commits
    Column("entry", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
)

log_leaf = Table(
    "log_leaf",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("idx", _Big, primary_key=True, autoincrement=False),  # from 0 in each shard, without gaps
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("entry", LargeBinary, nullable=False),  # the bytes that are hashed
    # Once in a shard; what a frozen shard held beyond its last head is in its successor again.
    Index("ix_log_leaf_leaf_hash", "leaf_hash", "shard", unique=True),
    sqlite_with_rowid=False,  # or SQLite would keep two trees for each row
)

log_tile = Table(  # full tiles only, inserted once; partial ones are read from the level below
    "log_tile",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("idx", _Big, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),  # over the 256 hashes: this tile's hash in the level above
    Column("hashes", LargeBinary, nullable=False),  # 256 * 32 bytes
)

log_head = Table(  # a row for each shard
    "log_head",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),  # from 1
    Column("size", _Big, nullable=False),
    Column("hashes", LargeBinary, nullable=False),  # the compact range at `size`, 32 bytes each, largest subtree first
    Column("root", LargeBinary, nullable=False),
    Column("checkpoint", LargeBinary),  # the newest signed note; none before the first signature
    Column("signed_size", _Big, nullable=False),  # its size: what is behind `size` is integrated but not signed yet
    # Of a frozen shard: how many of the entries under its last head are here; none while the shard goes on. Fewer than
    # `size` where the database was set back behind what had been signed.
    Column("frozen", _Big),
)

_APPEND_ONLY = (log_leaf, log_tile)


def append_only_triggers(dialect: str) -> list[str]:
    """The statements that make a database refuse to change or delete leaves and tiles, for `sqlite` or `postgresql`.

    They keep honest code honest. Who owns the database can drop them; that is what the tree and its signatures are for.
    """
    if dialect == "sqlite":
        return [statement for table in _APPEND_ONLY for statement in _sqlite_triggers(table)]
    if dialect == "postgresql":
        return [_POSTGRESQL_FUNCTION, *(_postgresql_trigger(table) for table in _APPEND_ONLY)]
    raise RuntimeError(f"no append-only triggers for {dialect}")


def _sqlite_triggers(table: Table) -> list[str]:
    name = table.name
    refuse = f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
    keys = [table.primary_key.columns, *(index.columns for index in table.indexes if index.unique)]
    same = " OR ".join(" AND ".join(f"{column.name} = NEW.{column.name}" for column in key) for key in keys)
    taken = f"SELECT 1 FROM {name} WHERE {same}"
    return [
        f"CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {name} {refuse}",
        f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name} {refuse}",
        # INSERT OR REPLACE deletes the row in its way without asking the trigger above.
        f"CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name} WHEN EXISTS ({taken}) {refuse}",
    ]


_POSTGRESQL_FUNCTION = """\
CREATE FUNCTION log_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$"""


def _postgresql_trigger(table: Table) -> str:
    return (
        f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION log_refuse_change()"
    )

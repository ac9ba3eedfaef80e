"""Runs migrations inside the transaction that `gateway.migrations` opens."""

from sqlalchemy import text

from alembic import context
from gateway.migrations import METADATA

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("use `taipu db upgrade`: migrations run inside a session of the gateway")

if connection.dialect.name == "postgresql":
    # Two processes that start at once: the second waits, then finds nothing to do.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('taipu migrations'))"))
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))

context.configure(
    connection=connection,
    target_metadata=METADATA,
    compare_type=True,
    compare_server_default=True,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()

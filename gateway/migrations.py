"""The database's schema: brought up to date by the migrations that come with the program.

In a checkout they are the top-level `alembic/`; an installed package carries the same files. `alembic/` must never have
an `__init__.py`: it would hide the library of that name.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

import audit.tables
import gateway.people.tables  # they join the metadata of the store's
import gateway.store.tables
import partners.tables
from alembic import command
from gateway.db import Database
from schemas.errors import SharingError

METADATA: list[MetaData] = [audit.tables.metadata, partners.tables.metadata, gateway.store.tables.metadata]


def upgrade(database: Database) -> None:
    """Bring `database` to the newest schema; nothing happens when it is there already."""
    with database.write() as session:
        command.upgrade(_config(session), "head")


def check(database: Database) -> None:
    """Raise alembic's own error when the migrations do not give the tables the code declares."""
    with database.write() as session:
        command.check(_config(session))


def require_current(database: Database) -> None:
    """Go on only with a database that has the newest schema.

    Raises:
        SharingError: `database.not-migrated`.
    """
    with database.read() as session:
        held = MigrationContext.configure(session).get_current_heads()
    if set(held) != set(ScriptDirectory.from_config(_config(None)).get_heads()):
        detail = "the database has not the schema of this program; `taipu db upgrade` brings it up to date"
        raise SharingError(detail, code="database.not-migrated")


def _config(session: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_location()))
    config.attributes["connection"] = session
    return config


def script_location() -> Path:
    """The folder of the migrations: beside the packages in a checkout, inside the package when installed."""
    installed = Path(__file__).parent / "_alembic"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "alembic"


def main() -> None:
    """`python -m gateway.migrations`: fail unless the migrations give exactly the tables the code declares."""
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/check.db")
        upgrade(database)
        check(database)
        database.close()


if __name__ == "__main__":
    main()

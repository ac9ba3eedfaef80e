"""Databases of the demonstration on a PostgreSQL server: `taipu_demo_<party>`, made anew and dropped again."""

from __future__ import annotations

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from gateway.demo.errors import DemoError


def create_database(server: str, party: str) -> str:
    """An empty database for `party` on `server` (a URL), in the place of one an earlier demonstration left; its URL.

    Raises:
        DemoError: `demo.database-failed`: also while somebody is connected to the one that is there.
    """
    name = f"taipu_demo_{party}"
    _execute(server, f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}"')
    return make_url(server).set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)


def drop_database(server: str, party: str) -> None:
    """Drop the database of `party`, if it is there. Raises as `create_database` does."""
    _execute(server, f'DROP DATABASE IF EXISTS "taipu_demo_{party}"')


def _execute(server: str, *statements: str) -> None:
    try:
        engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()
    except (ArgumentError, ValueError) as error:
        raise DemoError("not the address of a PostgreSQL server", code="demo.database-failed") from error
    except SQLAlchemyError as error:
        detail = f"PostgreSQL did not take `{statements[0]}`: {type(error).__name__}"
        raise DemoError(detail, code="demo.database-failed") from error

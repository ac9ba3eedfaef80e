"""The limit: the same rows, ready-made, into a table of the same shape on the same engine, and nothing else.

No gateway can be faster than this on this machine through these drivers. PostgreSQL: binary COPY into a temporary
table, one upsert, commit. SQLite: `executemany` of an upsert between BEGIN IMMEDIATE and COMMIT, under the pragmas the
gateway itself uses. The table is the gateway's own `observation`, made by its migrations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from sqlalchemy import make_url

from bench.databases import psycopg_address
from bench.readings import RawRow
from gateway.db import Database
from gateway.migrations import upgrade

_NAMES = "bucket, series_id, at, sample, rev, value, state_id, link, sent, received, extra, act_id"
_TYPES = ("int4", "int8", "int8", "text", "int4", "text", "int8", "text", "int8", "int8", "text", "int8")
_ON_CONFLICT = (
    "ON CONFLICT (bucket, series_id, at, sample) DO UPDATE SET rev = excluded.rev, value = excluded.value,"
    " state_id = excluded.state_id, link = excluded.link, sent = excluded.sent, received = excluded.received,"
    " extra = excluded.extra, act_id = excluded.act_id"
)

Store = Callable[[Sequence[RawRow]], None]
"""Stores rows and commits them."""


def open_raw(url: str) -> Store:
    """A store of the rows of one database, whose schema is made first. Its connection lives as long as it does."""
    database = Database(url)
    upgrade(database)
    database.close()
    if url.startswith("sqlite"):
        return _sqlite_store(str(make_url(url).database))
    return _postgres_store(psycopg_address(url))


def _sqlite_store(path: str) -> Store:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-65536", "wal_autocheckpoint=8000",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")
    statement = f"INSERT INTO observation ({_NAMES}) VALUES ({', '.join('?' * 12)}) {_ON_CONFLICT}"

    def store(rows: Sequence[RawRow]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows)
        connection.execute("COMMIT")

    return store


def _postgres_store(address: str) -> Store:
    connection: psycopg.Connection[Any] = psycopg.connect(address)
    connection.execute(
        "CREATE TEMPORARY TABLE arriving (bucket integer, series_id bigint, at bigint, sample text, rev integer,"
        " value text, state_id bigint, link text, sent bigint, received bigint, extra text, act_id bigint)"
        " ON COMMIT DELETE ROWS"
    )
    connection.commit()
    statement = f"INSERT INTO observation ({_NAMES}) SELECT {_NAMES} FROM arriving {_ON_CONFLICT}"

    def store(rows: Sequence[RawRow]) -> None:
        with connection.cursor() as cursor:
            with cursor.copy("COPY arriving FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(_TYPES)
                for row in rows:
                    copy.write_row(row)
            cursor.execute(statement)
        connection.commit()

    return store

"""One line about the machine and the programs that did the work: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path

import psycopg


def describe_machine(server: str) -> str:
    """Processor, cores, Python, SQLite, and the PostgreSQL at `server` (a psycopg address) with how durable it is."""
    with psycopg.connect(server) as connection:

        def shown(name: str) -> str:
            row = connection.execute(f"SHOW {name}").fetchone()
            return str(row[0]) if row else "?"

        version = shown("server_version").split()[0]
        durable = ", ".join(f"{name}={shown(name)}" for name in ("fsync", "synchronous_commit", "shared_buffers"))
    return (
        f"{_processor()}, {os.cpu_count()} cores; {platform.system()}; Python {platform.python_version()}; "
        f"SQLite {sqlite3.sqlite_version} (WAL, synchronous=FULL); PostgreSQL {version} ({durable})"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'processor'} ({platform.machine()})"

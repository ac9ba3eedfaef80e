"""Is this gateway well: checks that try the thing itself, for `/healthz` and `taipu doctor`."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from audit import log as exchange_log
from gateway.service import Gateway
from schemas import jws
from schemas.errors import SharingError

UNSIGNED_LIMIT = 10_000  # entries that may wait for a signature before the log counts as stuck


@dataclass(frozen=True)
class Check:
    """One thing tried: whether it works, and a few words."""

    name: str
    ok: bool
    text: str


def check_health(gateway: Gateway) -> list[Check]:
    """Sign, write and log, tried now."""
    return [
        tried("sign", lambda: _sign(gateway)),
        tried("write", lambda: _write(gateway)),
        tried("log", lambda: _log(gateway)),
        _allowed(gateway),
    ]


def tried(name: str, attempt: Callable[[], str]) -> Check:
    """What came of `attempt`, which returns a few words or raises."""
    try:
        return Check(name, ok=True, text=attempt())
    except SharingError as error:
        return Check(name, ok=False, text=error.diagnostics())
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        return Check(name, ok=False, text=type(error).__name__)


def _sign(gateway: Gateway) -> str:
    key = gateway.keys.manifest
    token = jws.sign(key, "taipu-health+jws", {"nonce": secrets.token_hex(8)})
    jws.open_jws(token, {key.kid: key.public}, "taipu-health+jws")
    return f"signs with {key.kid[:8]}…"


def _write(gateway: Gateway) -> str:
    with gateway.database.write() as session:
        session.exec_driver_sql("CREATE TEMPORARY TABLE IF NOT EXISTS probe (n integer)")
        session.exec_driver_sql("INSERT INTO probe VALUES (1)")
        session.exec_driver_sql("DELETE FROM probe")
    return f"{gateway.database.engine.dialect.name} takes writes"


def _log(gateway: Gateway) -> str:
    with gateway.database.read() as session:
        head = exchange_log.head(session)
        waiting = exchange_log.count_waiting(session)
    if head.frozen is not None:
        detail = f"the log is frozen at {head.size} entries, and {waiting} wait for a successor"
        raise SharingError(detail, code="log.frozen")
    if waiting > UNSIGNED_LIMIT:
        raise SharingError(f"{waiting} entries wait for the sequencer", code="log.stuck")
    return f"{head.signed_size} entries signed, {waiting} wait"


def _allowed(gateway: Gateway) -> Check:
    problem = gateway.read_only
    return Check("publish", ok=problem is None, text="publishes" if problem is None else problem.diagnostics())

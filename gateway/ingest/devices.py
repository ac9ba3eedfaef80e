"""Registered data loggers: what turns a packet's MN and codes into sites, factors and units."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec
from sqlalchemy import delete, insert, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from schemas.devices import Device


def devices_of(session: ReadSession) -> dict[str, Device]:
    """Every registered device by its MN."""
    return {row.mn: _decode(row.body) for row in session.execute(select(tables.device.c.mn, tables.device.c.body))}


def register_devices(session: WriteSession, devices: Iterable[Device], *, now: int) -> None:
    """Keep `devices`; one with a known MN takes the place of the earlier registration. `now` in ms UTC."""
    for device in devices:
        session.execute(delete(tables.device).where(tables.device.c.mn == device.mn))
        session.execute(insert(tables.device).values(mn=device.mn, body=msgspec.json.encode(device), added=now))


@lru_cache(maxsize=4096)
def _decode(body: bytes) -> Device:
    return msgspec.json.decode(body, type=Device)

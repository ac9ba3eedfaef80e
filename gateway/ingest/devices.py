"""Registered data loggers: what turns a packet's MN and codes into sites, factors and units.

A registration may hold secrets: the password its packets carry and the key they are encrypted with. It is therefore
kept sealed under a key that stands in no database: who has a copy of the database, or a backup, cannot speak for a
logger. Registrations of before that are read as they stand and sealed when they are brought again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, insert, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables
from schemas.devices import Device, DeviceError

_SEALED = b"\x01"  # the first byte of a sealed registration; JSON begins with another one
_NONCE = 12  # bytes


class Devices:
    """The registrations of one gateway; every process with the same keys can open them."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"taipu/device/1\0" + secret).digest())
        self._opened = lru_cache(maxsize=4096)(self._open)  # a packet asks for the same ones again and again

    def of(self, session: ReadSession) -> dict[str, Device]:
        """Every registered device by its MN.

        Raises:
            DeviceError: `device.sealed`: a registration was not sealed by this gateway.
        """
        rows = session.execute(select(tables.device.c.mn, tables.device.c.body))
        return {row.mn: self._opened(row.mn, row.body) for row in rows}

    def register(self, session: WriteSession, devices: Iterable[Device], *, now: int) -> None:
        """Keep `devices`; one with a known MN takes the place of the earlier registration. `now` in ms UTC."""
        for device in devices:
            session.execute(delete(tables.device).where(tables.device.c.mn == device.mn))
            body = self._seal(device.mn, msgspec.json.encode(device))
            session.execute(insert(tables.device).values(mn=device.mn, body=body, added=now))

    def _seal(self, mn: str, body: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return _SEALED + nonce + self._cipher.encrypt(nonce, body, mn.encode())

    def _open(self, mn: str, body: bytes) -> Device:
        if body.startswith(_SEALED):
            start = len(_SEALED) + _NONCE
            try:
                body = self._cipher.decrypt(body[len(_SEALED) : start], body[start:], mn.encode())
            except InvalidTag as error:
                raise DeviceError(f"the registration of {mn} cannot be opened here", code="device.sealed") from error
        return msgspec.json.decode(body, type=Device)

"""Registrations of loggers at rest: whoever has only the database has no password and no key of theirs."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import insert, select, update

from gateway.ingest.devices import Devices
from gateway.store import tables
from schemas.devices import Device, DeviceError
from tests.world import Node

KEPT = Device(mn="A", site="320509-SW-0003", profile="hj212-2025", password="s3cret", key="0" * 32)


def keep(node: Node, device: Device) -> bytes:
    with node.gateway.database.write() as session:
        node.gateway.devices.register(session, [device], now=1)
        body: bytes = session.execute(select(tables.device.c.body)).scalar_one()
    return body


def test_a_registration_is_sealed_in_the_database_and_comes_back_whole(wujiang: Node) -> None:
    body = keep(wujiang, KEPT)
    assert b"s3cret" not in body
    assert b"0" * 32 not in body
    with wujiang.gateway.database.read() as session:
        assert wujiang.gateway.devices.of(session) == {"A": KEPT}


def test_another_gateways_keys_do_not_open_it_and_none_opens_it_under_another_mn(wujiang: Node) -> None:
    keep(wujiang, KEPT)
    with wujiang.gateway.database.read() as session, pytest.raises(DeviceError) as caught:
        Devices(b"another secret").of(session)
    assert caught.value.code == "device.sealed"
    with wujiang.gateway.database.write() as session:
        session.execute(update(tables.device).values(mn="B"))
    with wujiang.gateway.database.read() as session, pytest.raises(DeviceError):
        wujiang.gateway.devices.of(session)


def test_a_registration_of_before_is_read_and_sealed_when_it_is_brought_again(wujiang: Node) -> None:
    with wujiang.gateway.database.write() as session:
        session.execute(insert(tables.device).values(mn="A", body=msgspec.json.encode(KEPT), added=1))
    with wujiang.gateway.database.read() as session:
        assert wujiang.gateway.devices.of(session) == {"A": KEPT}
    assert b"s3cret" not in keep(wujiang, KEPT)

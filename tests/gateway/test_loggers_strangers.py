"""Devices that nobody registered: answered as the standard says, listed, kept within bounds, taken in later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from audit.form import STRANGERS_EXPIRED
from gateway.loggers import strangers
from gateway.loggers.keeping import Keeper
from gateway.loggers.strangers import Visit, expire_strangers, note_strangers, strangers_of, take_in_registered
from gateway.store import tables
from schemas.hj212 import encode_packet
from schemas.times import DAY, now_millis, to_millis
from tests.gateway.commands import refused, taipu, taipu_json
from tests.gateway.hands import entries, publish, records_in, rows_of, stored
from tests.gateway.loggers import (
    MN,
    Logger,
    PoisonedDoor,
    Running,
    eventually,
    listening,
    message,
    packet,
    register,
    says,
)
from tests.world import Node

KEY = "30" * 16
NOON = to_millis("2026-11-20T12:00:00+08:00")
SEALED = b"##0100QN=20260101000000000;ST=32;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&"


@pytest.fixture
def running(wujiang: Node) -> Iterator[Running]:
    """A listener, and nobody registered."""
    with listening(wujiang) as started:
        yield started


def sealed(minute: int) -> bytes:
    """The packet of a device that encrypts (HJ 212-2025)."""
    return encode_packet(message(minute, flag=9), key=KEY)


def visit(number: int = 0, *, mn: str = MN, address: str = "10.0.0.1", at: int = NOON, **options: Any) -> Visit:
    return Visit(mn, address, at + number * 60_000, packet(number, mn=mn, **options))


def note(node: Node, *visits: Visit) -> None:
    with node.gateway.database.write() as session:
        note_strangers(session, visits)


def listed(node: Node) -> dict[str, tuple[int, int]]:
    """By MN: packets that came, and packets that are kept."""
    table = tables.stranger_packet
    query = select(table.c.mn, func.count()).group_by(table.c.mn)
    with node.gateway.database.read() as session:
        kept = {row[0]: row[1] for row in session.execute(query)}
        return {one.mn: (one.packets, kept.get(one.mn, 0)) for one in strangers_of(session)}


def test_a_stranger_is_answered_that_its_mn_is_wrong_and_never_that_its_data_are_stored(
    wujiang: Node, running: Running
) -> None:
    with Logger(running.port) as logger:
        logger.send(packet(0), packet(1), packet(2, flag=4))
        assert [says(one) for one in logger.heard(2)] == [("9011", "4")] * 2
        assert logger.hears_nothing()
    assert listed(wujiang) == {MN: (3, 3)}
    assert rows_of(wujiang)["submission"] == 1, "the site's alone"
    assert running.counts()["refused.stranger"] == 3


def test_what_it_sends_again_is_kept_once(wujiang: Node, running: Running) -> None:
    with Logger(running.port) as logger:
        for _ in range(3):
            logger.send(packet())
            logger.heard()
    assert listed(wujiang) == {MN: (3, 1)}


def test_a_stranger_that_encrypts_is_listed_too_and_its_packets_wait_for_the_key(
    wujiang: Node, running: Running
) -> None:
    with Logger(running.port) as logger:
        logger.send(sealed(0), sealed(1))
        eventually(lambda: listed(wujiang) == {MN: (2, 2)})
        assert logger.hears_nothing(), "nobody can tell whether its check sum is right"
        register(wujiang, more=f'key: "{KEY}"')
        eventually(lambda: len(stored(wujiang)) == 2)
        logger.send(sealed(2))
        assert says(logger.heard()[0]) == ("9014", "")


def test_a_packet_without_an_mn_is_refused_and_kept_for_nobody(wujiang: Node, running: Running) -> None:
    with Logger(running.port) as logger:
        logger.send(packet(mn=""), packet(1, mn="a/b"))
        assert [says(one) for one in logger.heard(2)] == [("9011", "4")] * 2
    assert listed(wujiang) == {}


def test_once_registered_its_packets_are_taken_in_with_the_time_they_came(wujiang: Node, running: Running) -> None:
    note(wujiang, visit(0), visit(1))
    with Logger(running.port) as logger:
        register(wujiang)
        eventually(lambda: len(stored(wujiang)) == 2)
        eventually(lambda: listed(wujiang) == {})
        logger.send(packet(2))
        assert says(logger.heard()[0]) == ("9014", "")
    records = [one for one in records_in(publish(wujiang)) if one["kind"] == "observation"]
    assert [one["received"][11:16] for one in records][:2] == ["12:00", "12:01"]
    assert len(records) == 3


def test_what_the_registration_would_not_have_let_in_is_not_taken_in(wujiang: Node) -> None:
    note(
        wujiang,
        visit(0, pw="000000"),
        visit(1, pw="s3cret", address="192.0.2.1"),
        visit(2, pw="s3cret"),
        Visit(MN, "10.0.0.1", NOON, SEALED),
    )
    register(wujiang, more="password: s3cret, networks: [10.0.0.0/8]")
    with wujiang.gateway.database.read() as session:
        devices = wujiang.gateway.devices.of(session)
    assert take_in_registered(wujiang.gateway.database, devices, Keeper(wujiang.gateway).submit) == 1
    assert [at for at, _, _ in stored(wujiang)] == [to_millis("2026-11-20T10:02:00+08:00")]
    assert listed(wujiang) == {}


def test_many_packets_are_taken_in_submission_by_submission(wujiang: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "_TOGETHER", 7)
    note(wujiang, *(visit(number) for number in range(20)))
    register(wujiang)
    with listening(wujiang):
        eventually(lambda: listed(wujiang) == {})
    assert len(stored(wujiang)) == 20
    assert rows_of(wujiang)["submission"] == 1 + 3


def test_a_kept_packet_that_cannot_be_stored_is_set_aside_and_takes_nobody_along(wujiang: Node) -> None:
    wujiang.gateway.door = PoisonedDoor(wujiang.gateway.door, "6.66")  # type: ignore[assignment]
    note(wujiang, visit(0), visit(1, value="6.66"), visit(2))
    register(wujiang)
    with listening(wujiang):
        eventually(lambda: listed(wujiang) == {})
    assert len(stored(wujiang)) == 2
    assert rows_of(wujiang)["evidence"] == 1


def test_of_one_device_the_newest_packets_are_kept(wujiang: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "PER_DEVICE", 3 * len(packet()))
    note(wujiang, *(visit(number) for number in range(5)))
    note(wujiang, visit(5))
    assert listed(wujiang) == {MN: (6, 3)}
    with wujiang.gateway.database.read() as session:
        times = list(session.scalars(select(tables.stranger_packet.c.at).order_by(tables.stranger_packet.c.id)))
        (stranger,) = strangers_of(session)
    assert times == [NOON + number * 60_000 for number in (3, 4, 5)]
    assert stranger.kept == 3 * len(packet())


def test_what_all_of_them_may_fill_is_bounded_and_nobody_pushes_another_out(
    wujiang: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "IN_ALL", 4 * len(packet()))
    note(wujiang, visit(0, mn="A"), visit(1, mn="A"))
    for number in range(50):
        note(wujiang, visit(number, mn="B", address="10.0.0.2"))
    found = listed(wujiang)
    assert found["A"] == (2, 2)
    assert (found["B"][0], found["B"][1]) == (50, 2)


def test_the_list_is_bounded_in_all_and_for_one_address(wujiang: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "PER_ADDRESS", 3)
    monkeypatch.setattr(strangers, "LISTED", 5)
    note(wujiang, *(visit(mn=f"A{number}") for number in range(10)))
    assert set(listed(wujiang)) == {"A0", "A1", "A2"}
    note(wujiang, *(visit(mn=f"B{number}", address="10.0.0.2") for number in range(10)))
    assert set(listed(wujiang)) == {"A0", "A1", "A2", "B0", "B1"}


def test_a_flood_of_strangers_costs_no_more_than_so_many_packets_a_commit(
    wujiang: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "AT_ONCE", 10)
    note(wujiang, *(visit(number) for number in range(100)))
    assert listed(wujiang)[MN] == (10, 10)


def test_after_so_many_days_packets_and_devices_are_forgotten_and_the_log_says_so(wujiang: Node) -> None:
    now = now_millis()
    old, recent = now - 31 * DAY, now - 29 * DAY
    note(wujiang, visit(0, mn="GONE", at=old), visit(0, at=old), visit(1, at=recent))
    with listening(wujiang, strangers_days=30):
        eventually(lambda: listed(wujiang) == {MN: (2, 1)})
        eventually(lambda: len(entries(wujiang, STRANGERS_EXPIRED)) == 1)
    (entry,) = entries(wujiang, STRANGERS_EXPIRED)
    assert entry["detail"] == {"devices": 1, "packets": 2, "days": 30}
    with wujiang.gateway.database.read() as session:
        (stranger,) = strangers_of(session)
    assert stranger.kept == len(packet())


def test_where_nothing_has_expired_nothing_is_said(wujiang: Node) -> None:
    note(wujiang, visit())
    with wujiang.gateway.database.write() as session:
        assert expire_strangers(session, before=NOON) == (0, 0)


def test_strangers_are_listed_and_can_be_forgotten(wujiang: Node) -> None:
    home = wujiang.gateway.settings.home
    note(wujiang, visit(0), visit(1, mn="B", address="10.0.0.2"))
    found = taipu_json("device", "strangers", "--home", home)
    assert [(one["mn"], one["address"], one["packets"]) for one in found] == [("B", "10.0.0.2", 1), (MN, "10.0.0.1", 1)]
    assert (found[1]["first"], found[1]["last"]) == ("2026-11-20T12:00:00+08:00",) * 2
    assert MN in taipu("device", "strangers", "--home", home).stdout
    assert taipu("device", "forget", "B", "--home", home).exit_code == 0
    assert listed(wujiang) == {MN: (1, 1)}
    refused(taipu("device", "forget", "B", "--home", home), "device.no-stranger")


def test_a_password_is_never_shown(wujiang: Node) -> None:
    register(wujiang, more="password: s3cret")
    home = wujiang.gateway.settings.home
    (device,) = taipu_json("device", "list", "--home", home)["devices"]
    assert device["asks_password"] is True
    assert "s3cret" not in str(device) + taipu("device", "list", "--home", home).stdout

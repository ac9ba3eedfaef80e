"""48 hours without a listener: nothing is missing afterwards, nothing is there twice, and what is new came first.

Played in full: a minute value for each of 2,880 minutes, by a logger that keeps what was not answered and sends it
again by itself (HJ 212-2025), and by one that only keeps it and has to be asked (2017).
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from sqlalchemy import text

from gateway.loggers.requests import ask_history, find_request
from schemas.hj212 import DATA_ANSWER, Message, encode_packet, measurement
from schemas.times import BEIJING, now_millis, to_millis
from tests.gateway.hands import rows_of
from tests.gateway.loggers import MN, Logger, eventually, listening, register
from tests.world import Node

HOURS = 48
MINUTES = HOURS * 60
BEGIN = datetime(2026, 11, 18, 0, 0, tzinfo=BEIJING)
BEFORE, AFTER = 30, 60  # minutes of the logger's life on either side of the outage
LIFE = BEFORE + MINUTES + AFTER


class Station:
    """A logger with a memory: a value every minute, `unanswered` until the host has said that it has it."""

    def __init__(self) -> None:
        self.unanswered: dict[int, Message] = {}
        self._logger: Logger | None = None

    def connect(self, port: int) -> None:
        self._logger = Logger(port)
        self._logger.socket.settimeout(30)

    def disconnect(self) -> None:
        assert self._logger is not None
        self._logger.close()
        self._logger = None

    def live(self, minute: int) -> None:
        """A minute has passed: its value is sent at once, if anybody listens."""
        self.unanswered[minute] = reading(minute)
        if self._logger is not None:
            self._deliver([minute])

    def catch_up(self, at_a_time: int) -> None:
        """Send some of what is still unanswered again, oldest first."""
        self._deliver(sorted(self.unanswered)[:at_a_time], again=True)

    def answer_request(self) -> None:
        """Do as one is told: the values between BeginTime and EndTime, from what was measured."""
        assert self._logger is not None
        asked = self._logger.hear("2051")
        begin, end = asked.fields["BeginTime"], asked.fields["EndTime"]
        self._logger.send(said(asked, "9011", "QnRtn"))
        wanted = [minute for minute in range(LIFE) if begin <= reading(minute).data_time <= end]
        for start in range(0, len(wanted), 100):
            self._deliver(wanted[start : start + 100])
        self._logger.send(said(asked, "9012", "ExeRtn"))

    def _deliver(self, minutes: list[int], *, again: bool = False) -> None:
        assert self._logger is not None
        messages = {reading(minute).qn: minute for minute in minutes}
        self._logger.send(*(msgspec.structs.replace(reading(minute), resent=again) for minute in minutes))
        for _ in minutes:
            answered = self._logger.hear(DATA_ANSWER)
            self.unanswered.pop(messages[answered.qn], None)


def reading(minute: int) -> Message:
    """The value of one minute, the same whenever it is sent; every minute has another one."""
    at = BEGIN + timedelta(minutes=minute - BEFORE)
    items = {"w20004": {"Avg": f"{minute / 10_000:.4f}", "Flag": "N"}}
    return measurement("2051", MN, at, items, sent=at + timedelta(seconds=62), flag=9)


def said(asked: Message, cn: str, name: str) -> bytes:
    return encode_packet(Message(cn=cn, qn=asked.qn, st="91", pw=asked.pw, mn=MN, flag=8, fields={name: "1"}))


@pytest.fixture
def site(wujiang: Node) -> Node:
    register(wujiang)
    return wujiang


def observations(node: Node) -> list[tuple[int, str, int, int, int]]:
    """Instant, value, sent, received and revision of everything there is, in order of time."""
    query = text("SELECT at, value, sent, received, rev FROM observation ORDER BY at")
    with node.gateway.database.read() as session:
        return [tuple(row) for row in session.execute(query)]  # type: ignore[misc]


def check_whole(node: Node, station: Station) -> None:
    """Every minute once, with its own value, and with what lateness it had."""
    found = observations(node)
    assert len(found) == LIFE
    assert {later[0] - earlier[0] for earlier, later in pairwise(found)} == {60_000}, "no gap, and nothing doubled"
    assert [value for _, value, *_ in found] == [f"{minute / 10_000:.4f}" for minute in range(LIFE)]
    assert {rev for *_, rev in found} == {1}
    assert rows_of(node)["observation_history"] == 0
    assert {sent - at for at, _, sent, _, _ in found} == {62_000}
    assert all(received >= sent for _, _, sent, received, _ in found)
    assert station.unanswered == {}


def received_order(node: Node, minutes: range) -> list[int]:
    """These minutes in the order in which they became known here."""
    query = text("SELECT at FROM observation ORDER BY act_id, received, at")
    first = to_millis(BEGIN.isoformat()) - BEFORE * 60_000
    with node.gateway.database.read() as session:
        known = [(at - first) // 60_000 for at in session.scalars(query)]
    return [minute for minute in known if minute in minutes]


def test_a_logger_that_sends_again_by_itself_leaves_no_gap_and_new_data_come_first(site: Node) -> None:
    station = Station()
    with listening(site) as running:
        station.connect(running.port)
        for minute in range(BEFORE):
            station.live(minute)
    station.disconnect()
    for minute in range(BEFORE, BEFORE + MINUTES):
        station.live(minute)
    with listening(site) as running:
        station.connect(running.port)
        for minute in range(BEFORE + MINUTES, LIFE):
            station.live(minute)  # newly collected data have priority; what was missed follows in between
            station.catch_up(at_a_time=MINUTES // AFTER)
        station.disconnect()
    check_whole(site, station)
    present = range(BEFORE + MINUTES, LIFE)
    assert received_order(site, present) == list(present), "the newest values in the order they were sent"
    known = received_order(site, range(BEFORE, LIFE))
    assert known[0] == present.start, "new data first"
    arrived = [received for _, _, _, received, _ in observations(site)]
    assert min(arrived[BEFORE : BEFORE + MINUTES]) >= arrived[present.start], "so each value says how late it came"


def test_a_logger_that_only_keeps_is_asked_and_sends_what_is_missing(site: Node) -> None:
    station = Station()
    with listening(site) as running:
        station.connect(running.port)
        for minute in range(BEFORE):
            station.live(minute)
    station.disconnect()
    for minute in range(BEFORE, BEFORE + MINUTES):
        station.live(minute)
    with listening(site) as running:
        station.connect(running.port)
        for minute in range(BEFORE + MINUTES, LIFE):
            station.live(minute)
        assert len(observations(site)) == BEFORE + AFTER
        # Asked for a little more than was missed: what is here already is not stored again.
        begin, end = (to_millis((BEGIN + timedelta(minutes=by)).isoformat()) for by in (-10, MINUTES + 10))
        number = ask_history(site.gateway, MN, "minute", begin, end, now=now_millis())
        station.answer_request()

        def ended() -> bool:
            with site.gateway.database.read() as session:
                return find_request(session, number).state == "done"

        eventually(ended)
        station.disconnect()
    with site.gateway.database.read() as session:
        assert find_request(session, number).packets == MINUTES + 21
    check_whole(site, station)


def test_a_listener_that_goes_in_the_middle_of_the_catching_up_leaves_no_gap_either(site: Node) -> None:
    station = Station()
    for minute in range(LIFE):
        station.live(minute)
    for _ in range(3):
        with listening(site) as running:
            station.connect(running.port)
            stopping = threading.Timer(0.15, running.stop)
            stopping.start()
            with suppress(AssertionError, ConnectionError):  # it is gone: what was not answered stays
                while station.unanswered:
                    station.catch_up(at_a_time=150)
            stopping.join()
            station.disconnect()
    with listening(site) as running:
        station.connect(running.port)
        while station.unanswered:
            station.catch_up(at_a_time=200)
        station.disconnect()
    check_whole(site, station)

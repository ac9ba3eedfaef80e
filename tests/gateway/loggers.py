"""Data loggers as a test plays them, and a listener for them that runs in a thread of the test process."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import uvloop

from gateway.loggers.connection import Patience
from gateway.loggers.listener import Listener
from gateway.loggers.requests import Overtime
from gateway.setting_groups import Loggers
from schemas.devices import parse_devices
from schemas.hj212 import Damage, Framer, Message, encode_packet, measurement, parse_message
from schemas.times import BEIJING, now_millis
from tests.world import Node, wait_for

MN = "010000A8900016F000169DC0"
TEN = datetime(2026, 11, 20, 10, 0, tzinfo=BEIJING)
PW = "123456"

QUICK = Patience(newcomer=0.6, superseded=0.6, unread=0.6)
LOOK = 0.05  # seconds between the listener's looks


def packet(
    minute: int = 0, value: str = "0.0021", *, mn: str = MN, flag: int = 5, cn: str = "2051", pw: str = PW,
    late: float = 60.0, **codes: str,
) -> bytes:  # fmt: skip
    """A packet of minute data of antimony, `minute` minutes after ten, sent so many seconds later."""
    return encode_packet(message(minute, value, mn=mn, flag=flag, cn=cn, pw=pw, late=late, **codes))


def message(
    minute: int = 0, value: str = "0.0021", *, mn: str = MN, flag: int = 5, cn: str = "2051", pw: str = PW,
    late: float = 60.0, **codes: str,
) -> Message:  # fmt: skip
    at = TEN + timedelta(minutes=minute)
    items = {code: {"Avg": text, "Flag": "N"} for code, text in {"w20004": value, **codes}.items()}
    return measurement(cn, mn, at, items, sent=at + timedelta(seconds=late), flag=flag, pw=pw)


def heartbeat(*, mn: str = MN, cn: str = "9015", flag: int = 5) -> bytes:
    return encode_packet(measurement(cn, mn, TEN, {}, sent=TEN, flag=flag))


def register(node: Node, *, mn: str = MN, site: str = "320509-SW-0003", more: str = "") -> None:
    """Register a logger of minute data of antimony; `more` is further members, such as `password: abc`."""
    text = (
        f"devices: [{{mn: {mn}, site: {site}, profile: hj212-2017, minute: PT1M, {more + ', ' if more else ''}"
        "factors: {w20004: {unit: mg/L}}}]"
    )
    with node.gateway.database.write() as session:
        node.gateway.devices.register(session, parse_devices(text.encode()).values(), now=now_millis())


def configure(node: Node, **settings: Any) -> None:
    """The node's gateway with these settings of `[loggers]`; packets are gathered for a short time only."""
    gateway = node.gateway
    gateway.settings = gateway.settings.model_copy(update={"loggers": Loggers(**{"gather": 0.02, **settings})})


@dataclass
class Running:
    """A listener in its thread."""

    listener: Listener
    port: int
    _loop: asyncio.AbstractEventLoop

    def counts(self) -> Counter[str]:
        return Counter(self.listener.figures.counts)

    def stop(self) -> None:
        """Stop as a told process does; returns when it has."""
        asyncio.run_coroutine_threadsafe(self.listener.stop(), self._loop).result(20)


@contextmanager
def listening(
    node: Node, *, tls: ssl.SSLContext | None = None, patience: Patience = QUICK, overtime: Overtime | None = None,
    **settings: Any,
) -> Iterator[Running]:  # fmt: skip
    """A listener on a free port, stopped at the end of the block unless the test has stopped it."""
    configure(node, **settings)
    opened = socket.create_server(("127.0.0.1", 0))
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> Listener:
        options = {"overtime": overtime} if overtime else {}
        listener = Listener(node.gateway, opened, tls=tls, patience=patience, look=LOOK, **options)
        await listener.start()
        return listener

    running = Running(asyncio.run_coroutine_threadsafe(start(), loop).result(10), opened.getsockname()[1], loop)
    try:
        yield running
    finally:
        if running.listener.is_running:
            running.stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        opened.close()


class Logger:
    """A data logger's side of one connection."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, buffer: int = 0) -> None:
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(10)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._framer = Framer()
        self._heard: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, *packets: bytes | Message) -> None:
        self.socket.sendall(b"".join(one if isinstance(one, bytes) else encode_packet(one) for one in packets))

    def heard(self, count: int = 1) -> list[Message]:
        """The next messages of the host, waited for."""
        while len(self._heard) < count:
            data = self.socket.recv(65_536)
            assert data, "the host has closed the connection"
            self._feed(data)
        found, self._heard = self._heard[:count], self._heard[count:]
        return found

    def hear(self, cn: str) -> Message:
        """The next message of one command; what else came is heard later."""
        while not (found := [one for one in self._heard if one.cn == cn]):
            data = self.socket.recv(65_536)
            assert data, "the host has closed the connection"
            self._feed(data)
        self._heard.remove(found[0])
        return found[0]

    def hears_nothing(self, seconds: float = 0.3) -> bool:
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65_536)
        except TimeoutError:
            return not self._heard
        finally:
            self.socket.settimeout(10)
        self._feed(data)
        return not self._heard

    def is_closed(self) -> bool:
        """Whether the host closes the connection, waited for."""
        try:
            while data := self.socket.recv(65_536):
                self._feed(data)
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.socket.close()

    def _feed(self, data: bytes) -> None:
        for found in self._framer.feed(data):
            assert not isinstance(found, Damage), found
            self._heard.append(parse_message(found))


class PoisonedDoor:
    """The gateway's door, but one value makes it fail in a way that nobody foresaw."""

    def __init__(self, door: Any, value: str) -> None:
        self._door, self._value = door, value

    def prepare(self, provider: str, parcel: Any, **options: Any) -> Any:
        if any(getattr(item.record, "value", "") == self._value for item in parcel.items):
            raise ZeroDivisionError
        return self._door.prepare(provider, parcel, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._door, name)


def says(heard: Message) -> tuple[str, str]:
    """A host's answer in short: its command, and the code it carries."""
    return heard.cn, heard.fields.get("QnRtn", heard.fields.get("ExeRtn", ""))


def eventually(reached: Callable[[], bool]) -> None:
    wait_for(reached, seconds=10)

"""Which connection speaks for which device, and what each device is being asked for.

`requests` has the rows and the steps of one request; here they meet the connections. On the event loop, but for the
transactions, which the caller's thread takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from gateway.db import Database
from gateway.loggers.requests import (
    ENDED,
    Asked,
    HistoryRequest,
    Overtime,
    begin_request,
    put_back,
    waiting_requests,
    write_progress,
)
from schemas.devices import Device
from schemas.hj212 import Message, request_history, request_number
from schemas.times import BEIJING, now_millis

_EXCHANGE = "91"  # the system code of what is about the exchange itself
_DEFAULT_PW = "123456"  # the one of every example in HJ 212, for devices registered without

log = structlog.get_logger()


class Speaker(Protocol):
    """A connection as far as asking is concerned."""

    mns: set[str]
    superseded: bool

    def send(self, message: Message) -> bool: ...


class InThread(Protocol):
    """Runs work that waits for the database, and waits for it."""

    def __call__(self, work: Callable[[], list[Asked]], /) -> Awaitable[list[Asked]]: ...


class Asking:
    """The devices that are connected to this process. `devices` are the registered ones, as they change."""

    def __init__(
        self, database: Database, devices: Mapping[str, Device], clock: Callable[[], float], overtime: Overtime
    ) -> None:
        self._database = database
        self._devices = devices
        self._clock = clock
        self._overtime = overtime
        self._speakers: dict[str, Speaker] = {}  # by MN: the connection that spoke for it last
        self._last: dict[str, Message] = {}  # by MN: its last message, for its system code and edition
        self._asked: dict[str, Asked] = {}  # by MN: its request under way
        self._put_back: set[str] = set()  # devices that came anew, or went while they were asked
        self._qn = ""  # of the last request

    def claim(self, connection: Speaker, message: Message) -> None:
        """A good packet of a registered device came: its newest connection speaks for it from now on.

        The other one may be a second line of the same logger, or what is left of one that broke: it is closed when it
        stays silent, and speaks again when it does not.
        """
        mn = message.mn
        if message.st and message.st != _EXCHANGE:
            self._last[mn] = message
        before = self._speakers.get(mn)
        if before is connection:
            return
        self._speakers[mn] = connection
        connection.mns.add(mn)
        connection.superseded = False
        if mn not in self._asked:
            self._put_back.add(mn)  # what another process left under way
        if before is not None:
            before.mns.discard(mn)
            before.superseded = not before.mns

    def lost(self, connection: Speaker) -> None:
        """A connection has ended: what it was asked waits until the device is back."""
        for mn in connection.mns:
            if self._speakers.get(mn) is connection:
                del self._speakers[mn]
        for mn, asked in list(self._asked.items()):
            if asked.to is connection and asked.state not in ENDED:
                del self._asked[mn]
                self._put_back.add(mn)

    def committed(self, message: Message) -> None:
        """A packet of a registered device is in the database: it may be about a request."""
        asked = self._asked.get(message.mn)
        if asked is not None:
            asked.hear(message, self._clock())

    def repeat(self) -> None:
        """Send again what was not answered in time, as often as the standard has it."""
        now = self._clock()
        for mn, asked in self._asked.items():
            speaker = self._speakers.get(mn)
            if asked.check(now, self._overtime) and speaker is not None:
                asked.to = speaker
                speaker.send(asked.message)

    async def follow(self, in_thread: InThread) -> None:
        """Write down how requests go, take up new ones, and send those."""
        moved = {asked.request.id: asked for asked in self._asked.values() if asked.changed}
        for asked in moved.values():
            asked.changed = False
        back, self._put_back = self._put_back, set()
        free = self._speakers.keys() & self._last.keys() - self._asked.keys()
        try:
            begun = await in_thread(partial(self._write, moved, back, free))
        except Exception:
            self._put_back |= back
            for asked in moved.values():
                asked.changed = True
            raise
        for asked in moved.values():
            if asked.state in ENDED and not asked.changed:
                log.info("loggers.request-ended", mn=asked.request.mn, state=asked.state, packets=asked.packets)
                del self._asked[asked.request.mn]
        for asked in begun:
            self._send(asked)

    def _write(self, moved: dict[int, Asked], back: set[str], free: set[str]) -> list[Asked]:
        """In one transaction; the requests that are to be sent, to devices that are `free`."""
        now = now_millis()
        with self._database.read() as session:
            waiting = bool(waiting_requests(session, free))
        if not (moved or back or waiting):
            return []
        with self._database.write() as session:
            write_progress(session, moved, now=now)
            put_back(session, back, now=now)
            made = [self._make(request) for request in waiting_requests(session, free)]
            return [one for one in made if begin_request(session, one.request.id, one.qn, now=now)]

    def _make(self, request: HistoryRequest) -> Asked:
        """The request as a message, in the system code and edition that the device itself uses."""
        last, device = self._last[request.mn], self._devices[request.mn]
        now = datetime.now(BEIJING)
        self._qn = request_number(now, after=self._qn)
        version = last.version if last.version in (0, 1, 2) else 1
        message = request_history(
            request.mn, last.st, device.password or last.pw or _DEFAULT_PW, request.command,
            _beijing(request.begin), _beijing(request.end), qn=self._qn, version=version,
        )  # fmt: skip
        return Asked(request, message, self._qn, self._clock(), self._clock())

    def _send(self, asked: Asked) -> None:
        mn = asked.request.mn
        speaker = self._speakers.get(mn)
        if speaker is None or not speaker.send(asked.message):
            self._put_back.add(mn)
            return
        asked.to = speaker
        asked.sent = asked.heard = self._clock()
        self._asked[mn] = asked
        self._put_back.discard(mn)
        log.info("loggers.request-sent", mn=mn, command=asked.request.command)


def _beijing(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, BEIJING)

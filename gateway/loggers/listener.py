"""The listener for data loggers: connections, the intake behind them, and what has to be looked at every second.

`taipu serve` runs it beside the two HTTPS listeners when a `[loggers]` address is set; `taipu hj212 listen` runs it
alone. Everything here is on the event loop, but for what waits for the database: commits in one thread of their own,
all else in another, so that no look at the database delays an answer.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from audit.entry import make_entry
from audit.form import STRANGERS_EXPIRED
from audit.log import append
from gateway.loggers.admission import is_within
from gateway.loggers.asking import Asking
from gateway.loggers.connection import PATIENCE, Connection, Patience
from gateway.loggers.figures import CONNECTIONS, Figures
from gateway.loggers.intake import Intake
from gateway.loggers.keeping import Broken, Keeper, UnavailableError
from gateway.loggers.requests import OVERTIME, Overtime, put_back
from gateway.loggers.strangers import expire_strangers, take_in_registered
from gateway.service import Gateway
from gateway.setting_groups import Address
from schemas.devices import Device
from schemas.times import DAY, now_millis, utc_text

LOOK = 1.0  # seconds between looks at the database, and at who is silent
DRAIN = 10.0  # seconds a stop waits for what was read to be committed and answered
_CLOSE = 2.0  # seconds a stop waits for answers to be taken
_EVIDENCE = 20  # broken packets of one look that are kept; as many as `keep_evidence` keeps in all
_FIGURES = 5.0  # seconds between two writings of figures
_EXPIRY = 600.0  # seconds between two looks for what has expired

T = TypeVar("T")

log = structlog.get_logger()


class Listener:
    """One address that data loggers connect to. `start` and `stop` belong to one event loop."""

    def __init__(
        self, gateway: Gateway, opened: socket.socket, *, tls: ssl.SSLContext | None = None,
        patience: Patience = PATIENCE, overtime: Overtime = OVERTIME, look: float = LOOK,
    ) -> None:  # fmt: skip
        self._gateway = gateway
        self._settings = gateway.settings.loggers
        self._opened = opened
        self._tls = tls
        self._patience = patience
        self._look = look
        self._keeper = Keeper(gateway)
        self._commits = ThreadPoolExecutor(1, "loggers-commit")
        self._looks = ThreadPoolExecutor(1, "loggers-look")
        self._connections: set[Connection] = set()
        self._addresses: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()
        self._broken: deque[Broken] = deque(maxlen=_EVIDENCE)
        self._due: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self.address = str(Address(*opened.getsockname()[:2]))
        self.figures = Figures(self.address)
        self.devices: dict[str, Device] = {}
        self.clock: Callable[[], float] = time.monotonic  # which event loops go by, too
        self.asking = Asking(gateway.database, self.devices, self.clock, overtime)
        self.intake = Intake(self._keeper.keep, self._commits, self._settings, self.figures, turned=self._steer_all)

    async def start(self) -> None:
        """Accept connections; returns once it does."""
        loop = asyncio.get_running_loop()
        await self._in_thread(self._load)
        self._tasks = [loop.create_task(self.intake.run()), loop.create_task(self._watch())]
        self._server = await loop.create_server(
            partial(Connection, self), sock=self._opened, ssl=self._tls, backlog=2_048,
            ssl_handshake_timeout=10 if self._tls else None,
        )  # fmt: skip
        log.info("loggers.ready", listen=self.address, tls=self._tls is not None, devices=len(self.devices))

    async def stop(self) -> None:
        """Accept and read no more, commit and answer what was read, close. Unanswered packets are sent again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.end()
        drained = await self.intake.drain(DRAIN)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), _CLOSE)
        for connection in list(self._connections):
            connection.abort()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), _CLOSE)
        await self._in_thread(self._leave)
        self._commits.shutdown(wait=drained)
        self._looks.shutdown()
        log.info("loggers.stopped", listen=self.address, drained=drained)

    # What connections call

    @property
    def is_running(self) -> bool:
        return self._server is not None

    @property
    def speaks_tls(self) -> bool:
        return self._tls is not None

    def admit(self, connection: Connection) -> str:
        """Why the connection cannot be taken; empty where it is."""
        networks, address = self._settings.networks, connection.address
        if networks and not is_within(address, networks):
            return "address"
        if len(self._connections) >= self._settings.max_connections:
            return "connections"
        if self._addresses[address] >= self._settings.max_per_address:
            return "connections-of-address"
        self._connections.add(connection)
        self._empty.clear()
        self._addresses[address] += 1
        self.figures.counts[CONNECTIONS] = len(self._connections)
        return ""

    def lost(self, connection: Connection) -> None:
        """An admitted connection has ended."""
        self._connections.discard(connection)
        self._addresses[connection.address] -= 1
        if not self._addresses[connection.address]:
            del self._addresses[connection.address]
        self.figures.counts[CONNECTIONS] = len(self._connections)
        if not self._connections:
            self._empty.set()
        self.asking.lost(connection)

    def refuse(self, reason: str) -> None:
        """Something was not taken; the first of a reason is said, all are counted."""
        name = f"refused.{reason}"
        self.figures.count(name)
        if self.figures.counts[name] == 1:
            log.warning("loggers.refused", reason=reason)

    def broken(self, broken: Broken) -> None:
        """Bytes that were no packet: counted, and some of them kept as evidence at the next look."""
        self.refuse(broken.code)
        self._broken.append(broken)

    def _steer_all(self) -> None:
        for connection in list(self._connections):
            connection.steer()

    # What happens every second

    async def _watch(self) -> None:
        while True:
            try:
                await self._look_around()
            except (DBAPIError, UnavailableError) as error:
                # The database may be back at the next look; what this one could not write is written then.
                log.warning("loggers.look-failed", error=type(error).__name__)
            except Exception as error:
                # Whatever it is, the next look may fare better, and without looks nobody would ever be closed.
                log.exception("loggers.look-failed", error=type(error).__name__)
            await asyncio.sleep(self._look)

    async def _look_around(self) -> None:
        now = self.clock()
        for connection in list(self._connections):
            connection.expire(now, self._settings.idle, self._patience)
        self.asking.repeat()
        devices = await self._in_thread(self._read_devices)
        self.devices.clear()
        self.devices.update(devices)
        await self.asking.follow(self._in_thread)
        await self._in_thread(self._tidy)

    def _read_devices(self) -> dict[str, Device]:
        with self._gateway.database.read() as session:
            return self._gateway.devices.of(session)

    def _tidy(self) -> None:
        """What need not be done at every look, and what broken packets there were."""
        if self._broken:
            broken = [self._broken.popleft() for _ in range(len(self._broken))]
            self._keeper.keep_broken(broken)
        now = now_millis()
        if self._is_due("figures", _FIGURES):
            with self._gateway.database.write() as session:
                self.figures.save(session, now=now)
        if self._is_due("expiry", _EXPIRY):
            self._expire(now)
        if self._gateway.read_only is None:
            taken = take_in_registered(self._gateway.database, self.devices, self._keeper.submit)
            if taken:
                self.figures.count("taken-in", taken)

    def _expire(self, now: int) -> None:
        """Forget what strangers sent too long ago; that data were let go of is an entry in the log."""
        with self._gateway.database.write() as session:
            devices, packets = expire_strangers(session, before=now - self._settings.strangers_days * DAY)
            if devices or packets:
                detail = {"devices": devices, "packets": packets, "days": self._settings.strangers_days}
                entry = make_entry(STRANGERS_EXPIRED, at=utc_text(now), party=self._gateway.party, detail=detail)
                append(session, entry)
                log.info("loggers.strangers-expired", **detail)
        if devices or packets:
            self._gateway.signals.logged.send()

    def _is_due(self, what: str, every: float) -> bool:
        now = self.clock()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    def _load(self) -> None:
        """Before the first connection: what is registered, what was counted, and requests a stop left under way."""
        with self._gateway.database.write() as session:
            put_back(session, None, now=now_millis())
            self.figures.load(session)
            self.devices.update(self._gateway.devices.of(session))

    def _leave(self) -> None:
        """After the last connection."""
        with self._gateway.database.write() as session:
            self.figures.save(session, now=now_millis())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._looks, work)

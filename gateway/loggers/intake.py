"""Packets of all connections, gathered into groups: one commit for many loggers, and no commit more often than needed.

The first packet after a pause is committed at once; what comes within `gather` seconds of a commit shares the next one.
So a lone logger is answered within a commit's time, and a thousand of them cost a few commits a second.

Lives on the event loop; the commit itself is in a thread. While it runs, packets wait here, counted in bytes: above the
limit `is_full` says so, and connections stop reading.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import structlog

from gateway.loggers.figures import WAITING, Figures
from gateway.loggers.keeping import Arrival, UnavailableError
from gateway.setting_groups import Loggers

AFTER_FAULT = 1.0  # seconds until a database that did not answer is tried again

log = structlog.get_logger()

Settled = Callable[[Arrival, bool], None]
"""Told on the event loop what became of a packet: True once it is committed."""


class _Waiting(NamedTuple):
    arrival: Arrival
    settled: Settled


class Intake:
    """The one queue before the database. `keep` commits a group in `executor` and says which packets it kept."""

    def __init__(
        self, keep: Callable[[Sequence[Arrival]], set[Arrival]], executor: Executor, settings: Loggers,
        figures: Figures, *, turned: Callable[[], None],
    ) -> None:  # fmt: skip
        self._keep = keep
        self._executor = executor
        self._settings = settings
        self._figures = figures
        self._turned = turned  # called when `is_full` has changed
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self.is_full = False  # nothing more should be read from anybody
        self._came = asyncio.Event()
        self._enough = asyncio.Event()  # a group is as large as it may get
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._not_before = 0.0  # loop time of the next commit

    def put(self, arrival: Arrival, settled: Settled) -> None:
        """Let a packet wait for its commit; `settled` is called exactly once, unless the process ends before."""
        self._queue.append(_Waiting(arrival, settled))
        self._bytes += len(arrival.packet)
        self._figures.counts[WAITING] = len(self._queue)
        self._idle.clear()
        self._came.set()
        if len(self._queue) >= self._settings.max_packets:
            self._enough.set()
        self._weigh()

    async def run(self) -> None:
        """Commit group after group until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._came.wait()
            await self._gather(self._not_before - loop.time())
            self._not_before = loop.time() + self._settings.gather
            await self._commit([self._queue.popleft() for _ in range(self._size())])
            if not self._queue:
                self._came.clear()
                self._enough.clear()
                self._idle.set()
            elif len(self._queue) < self._settings.max_packets:
                self._enough.clear()

    async def drain(self, seconds: float) -> bool:
        """Commit what waits without gathering any longer; False where that took more than `seconds`."""
        self._stopping = True
        self._enough.set()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _gather(self, seconds: float) -> None:
        if seconds > 0 and not self._stopping:
            try:
                await asyncio.wait_for(self._enough.wait(), seconds)
            except TimeoutError:
                return

    def _size(self) -> int:
        return min(len(self._queue), self._settings.max_packets)

    async def _commit(self, group: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        try:
            kept = await loop.run_in_executor(self._executor, self._keep, [one.arrival for one in group])
        except UnavailableError as error:
            log.warning("loggers.commit-failed", error=str(error), packets=len(group))
            await self._fail([] if self._stopping else [one for one in group if not one.arrival.sent_again], group)
            return
        except Exception as error:
            # Whatever it is, it may not be the database, and would come again with the same packets.
            log.exception("loggers.commit-failed", error=type(error).__name__, packets=len(group))
            await self._fail([], group)
            return
        self._figures.count("commits")
        for one in group:
            self._settle(one, kept=one.arrival in kept)
        self._weigh()

    async def _fail(self, stay: list[_Waiting], group: list[_Waiting]) -> None:
        """Nobody is answered. Who waits for an answer sends again; packets that nobody would repeat may stay here."""
        self._figures.count("failed-commits")
        staying = {id(one) for one in stay}
        for one in group:
            if id(one) not in staying:
                self._settle(one, kept=False)
        self._queue.extendleft(reversed(stay))
        self._figures.counts[WAITING] = len(self._queue)
        self._weigh()
        if not self._stopping:
            await asyncio.sleep(AFTER_FAULT)

    def _weigh(self) -> None:
        """Full above the limit, and until half of it is free again: so nobody is stopped and started all the time."""
        limit = self._settings.buffer_bytes
        if self.is_full != (self._bytes >= (limit / 2 if self.is_full else limit)):
            self.is_full = not self.is_full
            self._turned()

    def _settle(self, one: _Waiting, *, kept: bool) -> None:
        self._bytes -= len(one.arrival.packet)
        self._figures.counts[WAITING] = len(self._queue)
        try:
            one.settled(one.arrival, kept)
        except Exception as error:
            # One connection's trouble: were it to end the intake, nobody would ever be answered again.
            log.exception("loggers.answer-failed", mn=one.arrival.mn, error=type(error).__name__)

"""Data loggers: a thousand TCP connections to the listener, each sending its next packet once the last is answered.

A packet counts when its answer is here, and an answer comes after the commit: so this is the rate at which packets are
taken in for good. The listener is a process of its own, as `taipu hj212 listen` runs it; whoever plays the loggers is
this one, written lean, since both share the machine. All settings are the defaults, but for the
number of connections from one address.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median

import uvloop

from bench.databases import new_database
from bench.gateways import free_port, make_provider
from bench.processes import running
from bench.readings import FACTORS, SITES
from bench.rounds import Contestant, Measure, Work, play, timed
from schemas.devices import Device, DeviceFactor
from schemas.hj212 import encode_packet, measurement
from schemas.times import BEIJING, now_millis

CONNECTIONS = 1_000
TARGET = 2_000  # packets a second, of all of them
_BEGIN = datetime(2026, 9, 1, tzinfo=BEIJING)
_VALUES = 4  # of one packet
_LONE = 30  # packets whose answers are waited for one by one
_PAUSE = 0.35  # seconds between them: longer than the listener gathers

Packets = Sequence[bytes]


def measure_loggers(engine: str, folder: Path, server: str, *, rounds: int, packets: int) -> Measure:
    """Packets a second from `CONNECTIONS` loggers, `packets` of each in a turn; and how soon a lone one is answered."""
    port = free_port()
    # Here all of them have one address.
    gateway = make_provider(folder / "home", new_database(engine, folder, server), loggers__max_per_address=CONNECTIONS)
    with gateway.database.write() as session:
        gateway.devices.register(session, [_device(number) for number in range(CONNECTIONS)], now=now_millis())
    gateway.close()
    name = f"{CONNECTIONS:,} connections, {_VALUES} values a packet"
    with ExitStack() as stack:
        stack.enter_context(running("loggers", folder / "home", f"127.0.0.1:{port}"))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        loggers = runner.run(_connect(port, CONNECTIONS))
        minutes = count()
        contestants: dict[str, Contestant] = {name: _all_at_once(runner, loggers, minutes, packets)}
        rates = play(contestants, rounds)
        waits = runner.run(_one_by_one(loggers[0], minutes))
        for logger in loggers:
            logger.close()
        runner.run(asyncio.sleep(0.1))
    reached = "reached" if median(rates[name]) >= TARGET else "not reached"
    notes = [
        f"asked for {TARGET:,} packets/s: {reached}",
        f"idle, a lone packet is answered after {median(waits) * 1000:.1f} ms, {max(waits) * 1000:.1f} ms at most",
    ]
    return Measure(f"Data loggers on {engine}", "packets/s", rates, notes=notes)


def _all_at_once(runner: asyncio.Runner, loggers: list[_Logger], minutes: count[int], packets: int) -> Contestant:
    def turn(_round: int) -> Work:
        span = _take(minutes, packets)
        streams = [[_packet(number, minute) for minute in span] for number in range(len(loggers))]
        with timed(len(loggers) * packets) as work:
            runner.run(_play(loggers, streams))
        return work

    return turn


async def _connect(port: int, how_many: int) -> list[_Logger]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(_Logger, "127.0.0.1", port))[1] for _ in range(how_many)]


async def _play(loggers: list[_Logger], streams: list[Packets]) -> None:
    await asyncio.gather(*(logger.begin(stream) for logger, stream in zip(loggers, streams, strict=True)))


async def _one_by_one(logger: _Logger, minutes: count[int]) -> list[float]:
    """Seconds from a packet to its answer, with nothing else to do."""
    waits = []
    for minute in _take(minutes, _LONE):
        await asyncio.sleep(_PAUSE)
        begun = time.perf_counter()
        await logger.begin([_packet(0, minute)])
        waits.append(time.perf_counter() - begun)
    return waits


class _Logger(asyncio.Protocol):
    """One data logger: sends a packet, waits for the answer, sends the next."""

    def __init__(self) -> None:
        self._left: list[bytes] = []
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def begin(self, packets: Packets) -> asyncio.Future[None]:
        self._left = list(reversed(packets))
        self._done = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    def data_received(self, data: bytes) -> None:
        if b"CN=9014" not in data:
            raise RuntimeError(f"the listener said {data[:100]!r}")
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error or RuntimeError("the listener has closed a connection"))

    def close(self) -> None:
        self._transport.close()

    def _next(self) -> None:
        if self._left:
            self._transport.write(self._left.pop())  # type: ignore[attr-defined]
        elif self._done is not None:
            self._done.set_result(None)


def _device(number: int) -> Device:
    factors = {code: DeviceFactor(code, "mg/L") for code in FACTORS}
    return Device(mn=_mn(number), site=SITES[number % len(SITES)], profile="hj212-2017", minute="PT1M", factors=factors)


def _mn(number: int) -> str:
    return f"{number:024X}"


def _packet(number: int, minute: int) -> bytes:
    """The packet of logger `number`; each of the twenty at a site has its own minutes, so every value is new."""
    at = _BEGIN + timedelta(minutes=minute * (CONNECTIONS // len(SITES)) + number // len(SITES))
    items = {code: {"Avg": f"{(minute * 37 + number) % 977 / 10:.1f}", "Flag": "N"} for code in FACTORS[:_VALUES]}
    return encode_packet(measurement("2051", _mn(number), at, items, sent=at + timedelta(seconds=61)))


def _take(numbers: count[int], how_many: int) -> list[int]:
    return [next(numbers) for _ in range(how_many)]

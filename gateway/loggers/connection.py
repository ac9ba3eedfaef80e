"""One logger's connection: packets out of its bytes, judged one by one; answers back, in order, after their commit.

Nothing is read while packets of this connection wait for their commit, while it does not take its answers, or while
too much waits in all: TCP then holds the logger back, and memory stays bounded by one read for each connection.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog

from gateway.loggers.admission import QN_RETURN, judge, may_be_listed
from gateway.loggers.keeping import Arrival, Broken
from gateway.store.evidence import CUT
from schemas.errors import PacketError
from schemas.hj212 import REQUEST_ANSWER, Damage, Frame, Framer, Message, answer, encode_packet, parse_message
from schemas.times import now_millis

if TYPE_CHECKING:
    from gateway.loggers.listener import Listener

MAX_FAULTS = 50  # broken or refused packets in a row, after which nobody expects a good one
MAX_FOREIGN = 64 * 1024  # bytes in a row that belong to no packet
_SEND_BUFFER = 64 * 1024  # bytes the system may hold for a slow reader
UNSENT = 16 * 1024  # bytes of answers that may wait for a slow reader

log = structlog.get_logger()


@dataclass(frozen=True)
class Patience:
    """How long a connection may do nothing, in seconds; silence of one that has sent packets is a setting."""

    newcomer: float = 60.0  # until its first good packet
    superseded: float = 60.0  # once another connection speaks for its devices: most such ones are dead
    unread: float = 30.0  # while its answers are not taken


PATIENCE = Patience()


class Connection(asyncio.Protocol):
    """What the event loop tells of one connection. All of it runs on the loop."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._framer = Framer(listener.devices)
        self._transport: asyncio.Transport | None = None
        self._pending = 0  # packets that wait for their commit
        self._unread_since: float | None = None  # loop time since when answers are not taken
        self._faults = 0
        self._foreign = 0
        self._start = 0  # of the bytes being read, in all that came
        self._reading = True
        self._ending = False  # nothing more is read; closed once what was read is settled
        self._admitted = False
        self.address = ""
        self.heard = listener.clock()
        self.mns: set[str] = set()  # devices this connection speaks for
        self.trusted = False  # it has sent a good packet of a registered device
        self.superseded = False

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is one by what it does, not by its class
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        refusal = self._listener.admit(self)
        if refusal:
            self._listener.refuse(refusal)
            transport.abort()
            return
        self._admitted = True
        transport.set_write_buffer_limits(high=UNSENT)
        _prepare(transport.get_extra_info("socket"))
        # Not at once: the loop begins to read after this returns, whatever was said here.
        asyncio.get_running_loop().call_soon(self.steer)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self.heard = self._listener.clock()
        self._foreign += len(data)
        for found in self._framer.feed(data):
            self._take(found, data)
        self._start += len(data)
        if self._faults > MAX_FAULTS or self._foreign > MAX_FOREIGN:
            self._listener.refuse("garbage")
            self.end()
        self.steer()

    def eof_received(self) -> bool:
        """It sends no more, but may still read its answers; over TLS the library closes both ways at once."""
        for found in self._framer.finish():
            self._take(found, b"")
        self.end()
        return not self._listener.speaks_tls

    def pause_writing(self) -> None:
        self._unread_since = self._listener.clock()
        self.steer()

    def resume_writing(self) -> None:
        self._unread_since = None
        self.steer()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - how it ended makes no difference
        self._ending = True
        if self._admitted:
            self._listener.lost(self)

    # What the listener calls

    def steer(self) -> None:
        """Read on, or hold back; close when there is nothing left to do."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._ending and not self._pending:
            transport.close()
        elif self._ending or self._pending or self._unread_since is not None or self._listener.intake.is_full:
            self._reading = False
            transport.pause_reading()
        elif not self._reading:
            self._reading = True
            self.heard = self._listener.clock()  # it was we who did not listen
            transport.resume_reading()

    def end(self) -> None:
        """Read no more; answer what is being committed, then close."""
        self._ending = True
        self.steer()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, message: Message) -> bool:
        """Send a message; False where it cannot be written as a packet, or nobody is there."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        try:
            packet = encode_packet(message)
        except PacketError:
            return False
        transport.write(packet)
        return True

    def expire(self, now: float, idle: float, patience: Patience) -> None:
        """Close it if it has been silent, or has not taken its answers, for longer than it may."""
        if self._unread_since is not None and now - self._unread_since > patience.unread:
            self._listener.refuse("answers-not-read")
            self.abort()
            return
        allowed = idle if self.trusted else min(idle, patience.newcomer)
        if self.superseded:
            allowed = min(allowed, patience.superseded)
        if self._reading and now - self.heard > allowed:
            self._listener.figures.count("closed.idle")
            self.end()

    # Packets

    def _take(self, found: Frame | Damage, data: bytes) -> None:
        """One packet, or one damaged place of the bytes just read."""
        if isinstance(found, Damage):
            self._take_damage(found, data)
            return
        self._foreign = 0
        try:
            message = parse_message(found, self._listener.devices)
        except PacketError as error:
            self._broken(error.code, error.detail, found.packet)
            return
        verdict = judge(message, self._listener.devices, self.address)
        if verdict == "welcome":
            self._faults = 0
            self.trusted = True
            self._listener.asking.claim(self, message)
            self._put(Arrival(found.packet, message, message.mn, self.address, now_millis(), stranger=False))
        elif verdict == "stranger":
            self._listener.refuse(verdict)
            self._put(Arrival(found.packet, message, message.mn, self.address, now_millis(), stranger=True))
        else:
            self._faults += 1
            self._listener.refuse(verdict)
            self._answer(message, QN_RETURN[verdict])

    def _take_damage(self, found: Damage, data: bytes) -> None:
        """Not answered, as the standard has it (HJ 212-2017 6.3.1). A stranger's may be whole, but sealed."""
        if found.packet and found.mn not in self._listener.devices and may_be_listed(found.mn):
            self._listener.refuse("stranger")
            self._put(Arrival(found.packet, None, found.mn, self.address, now_millis(), stranger=True))
            return
        start = max(0, found.offset - self._start)  # a packet's first bytes may have come with an earlier read
        self._broken(found.code, found.detail, found.packet or data[start : start + CUT])

    def _broken(self, code: str, detail: str, content: bytes) -> None:
        self._faults += 1
        self._listener.broken(Broken(code, detail, content))

    def _put(self, arrival: Arrival) -> None:
        self._pending += 1
        self._listener.figures.count("packets")
        self._listener.intake.put(arrival, self._settled)

    def _settled(self, arrival: Arrival, kept: bool) -> None:
        self._pending -= 1
        if kept and arrival.message is not None:
            self._answer(arrival.message, QN_RETURN["stranger"] if arrival.stranger else None)
            if not arrival.stranger:
                self._listener.asking.committed(arrival.message)
        if not self._pending:
            self.steer()

    def _answer(self, message: Message, refusal: int | None) -> None:
        """9014 or 9013, or 9011 with why not; nothing where its sender waits for nothing."""
        said = answer(message) if refusal is None else answer(message, cn=REQUEST_ANSWER, code=refusal)
        if said is not None and self.send(said):
            self._listener.figures.count("answers")


def _prepare(opened: socket.socket | None) -> None:
    """Have the system ask after a silent peer, so that a dead one does not hold its place until it counts as idle, and
    keep little for one that does not read."""
    if opened is None:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    for name, value in (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

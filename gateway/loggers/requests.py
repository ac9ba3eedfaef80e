"""Asking a logger for its history: the values of a span of time that did not arrive (HJ 212-2017 6.5, C.48 to C.50).

    waiting     for the logger's connection, or for another request to it to end
    sent        2051, 2061 or 2031 with BeginTime and EndTime is under way; the logger has not said anything yet
    answered    9011: it will; its data come as any other packets do, with request numbers of their own
    done        9012: it has sent what it had, which may be nothing
    refused     9011 or 9012 say that it will not or cannot
    timed-out   it did not answer, however often it was asked, or fell silent before it was done

A request is a row, so it survives both ends: one that was under way when the connection or this process ended waits
again, and the logger is asked anew. That data come twice is no harm. The process that holds a logger's connection does
the asking; two processes never take the same row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import insert, select, update

from gateway.db import ReadSession, WriteSession
from gateway.errors import NotFoundError
from gateway.service import Gateway
from gateway.store import tables
from schemas.hj212 import NO_DATA, Message, Outcome, outcome
from schemas.times import beijing_text

State = Literal["waiting", "sent", "answered", "done", "refused", "timed-out"]
Data = Literal["minute", "hour", "day"]

COMMANDS: dict[Data, str] = {"minute": "2051", "hour": "2061", "day": "2031"}
ENDED: tuple[State, ...] = ("done", "refused", "timed-out")
MAX_TRIES = 10  # times one request is begun: a logger that breaks off each time is not asked for ever
_UNDER_WAY: tuple[State, ...] = ("sent", "answered")

_request = tables.history_request


@dataclass(frozen=True)
class Overtime:
    """How long an answer may take, and how often a request is repeated (HJ 212-2017 table 1, 6.5.3)."""

    answer: float = 10.0  # seconds until 9011
    repeats: int = 3  # times the same packet is sent in all
    silence: float = 180.0  # seconds between two packets of what was asked for, and until 9012


OVERTIME = Overtime()


class HistoryRequest(NamedTuple):
    """One row; `begin`, `end`, `asked` and `changed` in ms UTC. `packets` came since it was last begun."""

    id: int
    mn: str
    command: str
    begin: int
    end: int
    state: State
    qn: str
    tries: int
    packets: int
    detail: str
    asked: int
    changed: int

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def ask_history(gateway: Gateway, mn: str, data: Data, begin: int, end: int, *, now: int) -> int:
    """A new request to a registered logger for its values from `begin` to `end` (ms UTC, both included); its number.

    Raises:
        NotFoundError: `device.unknown`: no device is registered under this MN.
    """
    values = {"mn": mn, "command": COMMANDS[data], "begin_at": begin, "end_at": end, "state": "waiting", "qn": ""}
    values |= {"tries": 0, "packets": 0, "detail": "", "asked": now, "changed": now}
    with gateway.database.write() as session:
        if session.execute(select(tables.device.c.mn).where(tables.device.c.mn == mn)).first() is None:
            raise NotFoundError(f"no device is registered under {mn}", code="device.unknown")
        return int(session.execute(insert(_request).values(**values).returning(_request.c.id)).scalar_one())


def find_request(session: ReadSession, number: int) -> HistoryRequest:
    """The request of this number.

    Raises:
        NotFoundError: there is none.
    """
    row = session.execute(select(_request).where(_request.c.id == number)).first()
    if row is None:
        raise NotFoundError(f"there is no request {number}")
    return _read(row)


def recent_requests(session: ReadSession, *, limit: int) -> list[HistoryRequest]:
    """The newest requests, newest first."""
    return [_read(row) for row in session.execute(select(_request).order_by(_request.c.id.desc()).limit(limit))]


def waiting_requests(session: ReadSession, mns: Collection[str]) -> list[HistoryRequest]:
    """The oldest waiting request of each of these devices."""
    query = select(_request).where(_request.c.state == "waiting").order_by(_request.c.id)
    found: dict[str, HistoryRequest] = {}
    for row in session.execute(query):
        if row.mn in mns:
            found.setdefault(row.mn, _read(row))
    return list(found.values())


def begin_request(session: WriteSession, number: int, qn: str, *, now: int) -> bool:
    """Take a waiting request, to send it under `qn`; False where somebody else has."""
    here = (_request.c.id == number, _request.c.state == "waiting")
    values = {"state": "sent", "qn": qn, "tries": _request.c.tries + 1, "packets": 0, "changed": now}
    return session.execute(update(_request).where(*here).values(**values)).rowcount == 1


def put_back(session: WriteSession, mns: Collection[str] | None, *, now: int) -> None:
    """Requests to these devices (None: to all) that were under way wait again; some have been begun too often."""
    under_way = select(_request.c.id, _request.c.mn, _request.c.tries).where(_request.c.state.in_(_UNDER_WAY))
    for row in session.execute(under_way).all():
        if mns is not None and row.mn not in mns:
            continue
        values: dict[str, Any] = {"state": "waiting", "changed": now}
        if row.tries >= MAX_TRIES:
            values |= {"state": "timed-out", "detail": "the logger's connection ended each time it was asked"}
        session.execute(update(_request).where(_request.c.id == row.id).values(values))


def write_progress(session: WriteSession, asked: Mapping[int, Asked], *, now: int) -> None:
    """What became of requests under way, by number."""
    for number, one in asked.items():
        # One that was put back meanwhile belongs to somebody else.
        here = (_request.c.id == number, _request.c.qn == one.qn, _request.c.state.in_(_UNDER_WAY))
        values = {"state": one.state, "packets": one.packets, "detail": one.detail, "changed": now}
        session.execute(update(_request).where(*here).values(**values))


@dataclass
class Asked:
    """A request under way, as the process that sent it follows it. Times are those of the event loop, in seconds."""

    request: HistoryRequest
    message: Message
    qn: str
    sent: float
    heard: float
    sends: int = 1
    state: State = "sent"
    packets: int = 0
    detail: str = ""
    changed: bool = False
    to: object = None  # the connection it was sent over
    _span: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._span = (_digits(self.request.begin), _digits(self.request.end))

    def hear(self, message: Message, now: float) -> None:
        """A packet of this device was committed: it may say how the request goes, or be part of what was asked for."""
        said = outcome(message)
        if said is not None:
            if said.qn == self.qn:
                self._judge(said, now)
        elif message.cn == self.request.command and self._span[0] <= message.data_time[:14] <= self._span[1]:
            self.packets += 1
            self._move("answered", now)  # some send at once, without 9011

    def check(self, now: float, overtime: Overtime) -> bool:
        """Whether the request must be sent again now. Ends it where that was done often enough."""
        if self.state == "answered" and now - self.heard > overtime.silence:
            self.detail = f"the logger fell silent after {self.packets} packets, before it said that it was done"
            self._move("timed-out", now)
        if self.state != "sent" or now - self.sent <= overtime.answer:
            return False
        if self.sends >= overtime.repeats:
            self.detail = f"no answer to {self.sends} requests"
            self._move("timed-out", now)
            return False
        self.sends += 1
        self.sent = now
        return True

    def _judge(self, said: Outcome, now: float) -> None:
        self.detail = said.text
        if not said.good:
            self._move("refused", now)
        elif said.step == "request":
            self._move("answered", now)
        else:
            if said.code == NO_DATA:
                self.detail = "the logger has no data of this span"
            self._move("done", now)

    def _move(self, state: State, now: float) -> None:
        if self.state not in ENDED:
            self.state, self.heard, self.changed = state, now, True


def _digits(millis: int) -> str:
    return "".join(one for one in beijing_text(millis // 1000 * 1000)[:19] if one.isdigit())


def _read(row: Any) -> HistoryRequest:
    number, mn, command, begin, end, state, *rest = row
    return HistoryRequest(number, mn, command, begin, end, cast("State", state), *rest)

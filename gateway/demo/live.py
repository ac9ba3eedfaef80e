"""The table in the terminal: what each gateway has taken in, given out and received, and how far it lags.

Every figure is read from the gateways' own databases, so what is shown is what is stored. The rows are counted at most
as often as leaves nine tenths of the time to the gateways.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from audit import log as exchange_log
from gateway.db import Database, ReadSession
from gateway.demo.network import Member
from gateway.demo.processes import Node
from gateway.store import feeds, queue
from gateway.store.reading import count_observations
from partners import tables
from partners.delivery import receipt_counts
from schemas.districts import find_district
from schemas.times import now_millis

SIMULATED = "All data are simulated. 所有数据均为模拟数据。"
_LOOK = 1.0  # seconds
_SHARE = 10  # one part in so many of the time is spent counting
_COLUMNS = ("records in", "batches out", "received", "receipts in / out", "log entries", "lag")


@dataclass(frozen=True)
class Figures:
    """One gateway at one moment. `records_in` and `received` count current observations, its own and its partners'.

    `lag` is how long (seconds) the oldest thing that is still on its way has been: a record that waits to be published,
    or a batch whose receipt has not come.
    """

    records_in: int
    batches_out: int
    received: int
    receipts_got: int
    receipts_given: int
    log_entries: int
    lag: float


def read_figures(session: ReadSession, party: str, *, now: int) -> Figures:
    """The figures of `party`'s gateway from its database. `now` in ms UTC."""
    held = count_observations(session)
    receipts = receipt_counts(session)
    pending = select(func.min(tables.delivery.c.opened)).where(tables.delivery.c.state == "pending")
    since = [now, *queue.waiting(session).values()]
    oldest = session.execute(pending).scalar()
    return Figures(
        records_in=held.pop(party, 0),
        batches_out=sum(head.seq for head in feeds.heads_of(session, party)),
        received=sum(held.values()),
        receipts_got=receipts.get("in", 0),
        receipts_given=receipts.get("out", 0),
        log_entries=exchange_log.head(session).signed_size,
        lag=max(now - min(*since, oldest or now), 0) / 1000,
    )


def addresses(members: Sequence[Member]) -> str:
    """Where to look, line by line."""
    lines = [SIMULATED]
    lines += map(where, members)
    return "\n".join([*lines, "Ctrl-C ends them all."])


def where(member: Member) -> str:
    """Where to look at one gateway."""
    return (
        f"{_name(member.party)} {member.party}\n"
        f"  {member.console} to open in a browser (certificate authority {member.ca})\n"
        f"  {member.url} for partners and clients"
    )


def draw(figures: Mapping[str, Figures | None], activity: str) -> Table:
    """The table; a party without figures is down."""
    table = Table(title="Taipu demonstration, simulated data 演示（模拟数据）", caption=activity)
    table.add_column("district", no_wrap=True)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for party, shown in figures.items():
        table.add_row(_name(party), *(_cells(shown) if shown else ["down", *[""] * (len(_COLUMNS) - 1)]))
    return table


def show(console: Console, nodes: Sequence[Node], activity: Callable[[], str], ended: Callable[[float], bool]) -> None:
    """Draw the table until `ended`, which waits as many seconds as it is told. `activity` says what is being done."""
    with ExitStack() as stack:
        databases: dict[str, Database] = {}
        live = stack.enter_context(Live(console=console, auto_refresh=False))
        pause = 0.0
        while not ended(pause):
            began = time.monotonic()
            for member in (node.member for node in nodes if node.member.party not in databases):
                databases[member.party] = Database(member.database, pool=2)  # also of who has joined meanwhile
                stack.callback(databases[member.party].close)
            figures = {node.member.party: _figures(databases[node.member.party], node) for node in list(nodes)}
            live.update(draw(figures, activity()), refresh=True)
            pause = max(_LOOK, (time.monotonic() - began) * _SHARE)


def _figures(database: Database, node: Node) -> Figures | None:
    try:
        with database.read() as session:
            return read_figures(session, node.member.party, now=now_millis()) if node.alive else None
    except SQLAlchemyError:
        return None  # a database that cannot be read at this moment; the next look is a second away


def _cells(figures: Figures) -> list[str]:
    return [
        f"{figures.records_in:,}",
        f"{figures.batches_out:,}",
        f"{figures.received:,}",
        f"{figures.receipts_got:,} / {figures.receipts_given:,}",
        f"{figures.log_entries:,}",
        f"{figures.lag:.1f} s",
    ]


def _name(party: str) -> str:
    district = find_district(party)
    return f"{district.name_en.split()[0]} {district.name_zh}" if district else party

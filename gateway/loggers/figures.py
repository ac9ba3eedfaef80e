"""What a listener counts, and its own row for each figure in the database.

The listener may be a process of its own, so whoever asks (metrics, `taipu doctor`) reads the database. What was counted
since the last writing is lost with a crash; nothing but these figures depends on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import delete, insert, select

from gateway.db import ReadSession, WriteSession
from gateway.store import tables

_figure = tables.logger_figure

CONNECTIONS, WAITING = "connections", "waiting"
"""Figures of the moment; all others only grow. `waiting` is packets that wait for their commit."""


class Figures:
    """The figures of one listener: totals go on from where it stopped last."""

    def __init__(self, listener: str) -> None:
        self.listener = listener
        self.counts: Counter[str] = Counter()

    def count(self, name: str, how_many: int = 1) -> None:
        """`packets`, `answers`, `commits`, or `refused.` and a reason."""
        self.counts[name] += how_many

    def load(self, session: ReadSession) -> None:
        """Go on from what was written down last."""
        query = select(_figure.c.name, _figure.c.value).where(_figure.c.listener == self.listener)
        self.counts.update({row.name: row.value for row in session.execute(query) if row.name not in _OF_THE_MOMENT})

    def save(self, session: WriteSession, *, now: int) -> None:
        """Write them down. `now` in ms UTC says when they were true."""
        session.execute(delete(_figure).where(_figure.c.listener == self.listener))
        held = {CONNECTIONS: 0, WAITING: 0, **self.counts}
        rows = [{"listener": self.listener, "name": name, "value": value, "at": now} for name, value in held.items()]
        session.execute(insert(_figure), rows)


_OF_THE_MOMENT = (CONNECTIONS, WAITING)


def all_figures(session: ReadSession) -> dict[str, Mapping[str, int]]:
    """The figures of every listener by its address; `at` among them is when they were written (ms UTC)."""
    found: dict[str, dict[str, int]] = {}
    for row in session.execute(select(_figure).order_by(_figure.c.listener, _figure.c.name)):
        found.setdefault(row.listener, {"at": row.at})[row.name] = row.value
    return dict(found)

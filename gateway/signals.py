"""How parts of one process wake each other: counters that only grow, and that can be waited for.

A signal carries no data. Whoever wakes looks at the database, so a lost or a doubled wake-up costs time, never truth;
and what another process did is seen at the next look, which every waiter takes every second or so anyway.
"""

from __future__ import annotations

import threading


class Signal:
    """A counter to wait on. `wait(seen)` returns the newer count, at once when it has moved on already."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def send(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """The count, after it differs from `seen` or `timeout` seconds have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != seen, timeout)
            return self._count


class Signals:
    """What a process tells itself about."""

    def __init__(self) -> None:
        self.queued = Signal()  # records wait to be published
        self.to_judge = Signal()  # values of ours wait for the rules that look at the values before
        self.published = Signal()  # a feed of ours has a new head, pinned and served
        self.logged = Signal()  # entries wait to be sequenced
        self.arrived = Signal()  # something that held records may wait for is here
        self.partners = Signal()  # somebody was registered
        self.keys = Signal()  # keys of ours were changed
        self.documents = Signal()  # a partner's party document is to be asked for
        self.tidy = Signal()  # sent at the end alone: what is out of date can wait

    def all(self) -> tuple[Signal, ...]:
        return tuple(vars(self).values())

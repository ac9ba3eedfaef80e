"""How often somebody may ask: a bucket of tokens for each name, refilled at a steady rate.

In the memory of one process, so a gateway of several workers allows each of them as much: this keeps a flood from
costing us signatures, and is no promise about a sum. A bucket that is full again is forgotten, and their number is
bounded; when it is reached, names nobody has seen share one bucket until there is room.
"""

from __future__ import annotations

import threading

MAX_NAMES = 20_000  # some 3 MB
_SHARED = ""
_TIDY = 1_000  # ms between two looks for full buckets: each goes over all of them


class Buckets:
    """`rate` requests a second for each name, and `burst` of them at once; safe to share between threads."""

    def __init__(self, rate: float, burst: float, *, names: int = MAX_NAMES) -> None:
        self._rate = rate / 1000  # for each millisecond
        self._burst = burst
        self._names = names
        self._lock = threading.Lock()  # guards what follows
        self._left: dict[str, tuple[float, int]] = {}  # requests left, and at which instant
        self._tidied = 0

    def take(self, name: str, now: int) -> int:
        """Take one request of `name` at `now` (ms UTC): 0 where there was one, else the ms until there will be."""
        with self._lock:
            if name not in self._left and len(self._left) >= self._names:
                name = name if self._make_room(now) else _SHARED
            left, at = self._refilled(name, now)
            if left < 1:
                self._left[name] = (left, at)
                return max(1, round((1 - left) / self._rate))
            self._left[name] = (left - 1, at)
            return 0

    @property
    def size(self) -> int:
        """Names known at this moment."""
        return len(self._left)

    def _refilled(self, name: str, now: int) -> tuple[float, int]:
        """What is in a bucket, and from when on; a clock that steps back adds nothing, nor when it has caught up."""
        left, at = self._left.get(name, (self._burst, now))
        return min(self._burst, left + max(0, now - at) * self._rate), max(now, at)

    def _make_room(self, now: int) -> bool:
        if now - self._tidied >= _TIDY:
            self._tidied = now
            self._left = {name: kept for name, kept in self._left.items() if self._refilled(name, now)[0] < self._burst}
        return len(self._left) < self._names

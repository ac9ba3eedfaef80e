"""One watcher per process tells all waiting requests that a feed may have moved.

It looks at the head store's own change counter, so it sees what any process on this host has pinned. A request that
waits costs neither a thread nor a database connection.
"""

from __future__ import annotations

import asyncio

from audit.heads import HeadStore

LOOK = 0.02  # seconds between looks; one costs some microseconds


class HeadsWatch:
    """A count that grows whenever a feed's head may have moved. Lives on the event loop."""

    def __init__(self, heads: HeadStore) -> None:
        self._heads = heads
        self._moved: asyncio.Future[None] | None = None
        self._stopped = False
        self._nudged = False
        self.count = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        seen = self._heads.version()
        while True:
            await asyncio.sleep(LOOK)
            newest = self._heads.version()
            if newest != seen or self._nudged:
                seen, self._nudged = newest, False
                self._wake()

    def nudge(self) -> None:
        """Something else that a waiting caller's answer depends on has changed. From any thread."""
        self._nudged = True

    def stop(self) -> None:
        """The process is ending: whoever waits gets an answer now, and nobody waits again."""
        self._stopped = True
        self._wake()

    async def wait(self, seen: int, seconds: float) -> bool:
        """Until the count differs from `seen`, or for so many seconds; False where there is no more waiting."""
        if self.count == seen and not self._stopped:
            if self._moved is None:
                self._moved = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._moved], timeout=seconds)
        return not self._stopped

    def _wake(self) -> None:
        self.count += 1
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set_result(None)

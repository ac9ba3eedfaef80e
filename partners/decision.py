"""What is decided about a request: the refusal, or how far what was asked for may be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from partners.refusals import Refusal
from schemas.plan import Dataset, Rate

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Extent:
    """How much a reader of `party` may see: `everything`, or what `datasets` select and leave, and its `own` records.

    `starts` says from when on each of the datasets may be seen (ms UTC; None: from the beginning).
    """

    everything: bool
    party: str
    datasets: tuple[Dataset, ...] = ()
    starts: tuple[int | None, ...] = ()
    own: bool = True


@dataclass(frozen=True, slots=True)
class Meter:
    """A rate that a request counts against, for the client that makes it."""

    provider: str
    dataset: str
    rate: Rate

    @property
    def length(self) -> int:
        """Of a window, in ms."""
        return self.rate.per // _MILLISECOND

    def window(self, now: int) -> int:
        """The beginning of the window that `now` lies in (ms UTC)."""
        return now - now % self.length


Counts: TypeAlias = Mapping[tuple[str, str], int]
"""How many requests a client has made for a dataset (provider, id) in the window of now, this one included."""


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that was asked, and what it refused, if it did."""

    rule: str
    refusal: Refusal | None


@dataclass(frozen=True)
class Decision:
    """`allow`, or the `refusal` that says why not.

    `extent` comes with an allowed read of records. `start` comes with an allowed read of a feed: what was made before
    it (ms UTC) is not for this reader; None: all is. `purpose` is what the caller may use it for, as far as that is one
    purpose. `meters` are the rates that it counts against: where there are some, count, and decide again.
    """

    refusal: Refusal | None = None
    extent: Extent | None = None
    start: int | None = None
    purpose: str = ""
    meters: tuple[Meter, ...] = ()

    @property
    def allow(self) -> bool:
        return self.refusal is None

    @property
    def code(self) -> str:
        return self.refusal.code if self.refusal is not None else ""

"""Rounds: contestants take turns within one run, so that whatever slows the machine down slows all of them.

A figure is the median of its rounds. A ratio is the median of the ratios of each round, never the ratio of two medians
from different minutes: on a machine that others use too, only neighbours in time may be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median


@dataclass
class Work:
    """What a contestant did in its turn: how much of the measure's unit, and in how many seconds."""

    count: float
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.count / self.seconds


Contestant = Callable[[int], Work]
"""Takes the number of the round (0 is the warm-up), prepares what it needs, and times the rest with `timed`."""


@dataclass(frozen=True)
class Ratio:
    """`of` divided by `by`, and what the design asks of it; None where it asks nothing."""

    of: str
    by: str
    target: float | None = None


@dataclass
class Measure:
    """One table of figures: a rate for each contestant and round, ratios between them, and what a reader must know."""

    title: str
    unit: str
    rates: dict[str, list[float]]
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def middle(self, name: str) -> float:
        return median(self.rates[name])

    def quotients(self, ratio: Ratio) -> list[float]:
        """The ratio, round by round."""
        return [ours / other for ours, other in zip(self.rates[ratio.of], self.rates[ratio.by], strict=True)]

    def as_json(self) -> dict[str, object]:
        return {
            "title": self.title,
            "unit": self.unit,
            "rates": {
                name: {"median": median(rates), "lowest": min(rates), "highest": max(rates), "rounds": rates}
                for name, rates in self.rates.items()
            },
            "ratios": [{**asdict(ratio), "median": median(self.quotients(ratio))} for ratio in self.ratios],
            "notes": self.notes,
        }


@contextmanager
def timed(count: float) -> Iterator[Work]:
    """`count` units of work, which take as long as the block does."""
    work = Work(count)
    begun = time.perf_counter()
    yield work
    work.seconds = time.perf_counter() - begun


def play(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Let everybody warm up once, then take turns in `rounds` rounds, each round begun by the next one in line."""
    for contestant in contestants.values():
        contestant(0)
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name in _from(list(contestants), number):
            rates[name].append(contestants[name](number).rate)
    return rates


def _from(names: Sequence[str], start: int) -> list[str]:
    shift = start % len(names)
    return [*names[shift:], *names[:shift]]

"""Means of values of which some lie below detection: what is put in their place is chosen and said.

By default a value `<` its detection limit counts as half of that limit; a plan may choose zero, the limit itself, or to
leave it out. The result names the treatment and how many values it touched, so that a reader can tell a mean of
measurements from a mean of conventions. Values that are not valid do not belong here: the caller leaves them out.

The sum is exact. The mean is rounded once, half to even (GB/T 8170), to as many decimals as the finest value given was
written with, or as asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from schemas.errors import RecordError
from schemas.rounding import decimals_of, exact, rounded

Treatment = Literal["half", "zero", "limit", "excluded"]
Qualifier = Literal["", "<", ">"]
_SHARE = {"half": Fraction(1, 2), "zero": Fraction(0), "limit": Fraction(1)}


@dataclass(frozen=True, slots=True)
class Measured:
    """A value with its qualifier: of `<`, `value` is the detection limit; of `>`, the end of the range."""

    value: Decimal
    q: Qualifier = ""


@dataclass(frozen=True, slots=True)
class Average:
    """A mean, and how it came about.

    `q` is `<` where every value lay below detection: the mean is then below `value`, the largest of their limits. It is
    `>` where some value lay above its range: the mean is then at least `value`. `value` is None where the treatment
    left nothing to average. `count` values went in, `below` of all that were given lay below detection, `above` lay
    above range.
    """

    value: Decimal | None
    q: Qualifier
    treatment: Treatment
    given: int
    count: int
    below: int
    above: int


def average(values: Sequence[Measured], treatment: Treatment = "half", decimals: int | None = None) -> Average:
    """The mean of `values`, all in one unit.

    Raises:
        RecordError: `average.empty`: there are no values; `record.value-invalid`: one is no number of ordinary size.
    """
    if not values:
        raise RecordError("there is nothing to average", code="average.empty")
    below, above = _having(values, "<"), _having(values, ">")
    taken = [share for one in values if (share := _counted(one, treatment)) is not None]
    places = decimals if decimals is not None else max(decimals_of(one.value) for one in values)
    if not taken:
        return Average(None, "", treatment, len(values), 0, below, above)
    if below == len(values):
        return Average(max(one.value for one in values), "<", treatment, len(values), len(taken), below, above)
    mean = rounded(sum(taken, Fraction(0)) / len(taken), places)
    return Average(mean, ">" if above else "", treatment, len(values), len(taken), below, above)


def _counted(one: Measured, treatment: Treatment) -> Fraction | None:
    """What a value adds to the sum; None where it is left out."""
    value = exact(one.value)
    if one.q != "<":
        return value
    return None if treatment == "excluded" else value * _SHARE[treatment]


def _having(values: Sequence[Measured], q: Qualifier) -> int:
    return sum(one.q == q for one in values)

"""The rules that look at the values before: frozen, jump, unit suspect, completeness.

They run right after commit, at the provider only, and in the order of measurement: what arrives late is judged by what
was measured before it, and what follows it is judged again, so that a back-fill leads to the findings that the same
values in order would have led to.

Not judged: values that are not valid, and what a provider has confirmed by a remark. A value below detection counts in
the history of others as its limit, and is itself judged only for being too low; one above range only for being too
high. Both break a run of equal values. Zero is never frozen and has no unit to suspect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from schemas.errors import RecordError
from schemas.factors import Factors
from schemas.periods import parse_duration
from schemas.quality.door import significant_digits
from schemas.quality.rules import Finding, QualityRules, parameters
from schemas.tables import Tables
from schemas.times import DAY, beijing_text
from schemas.units import Units

_HOUR = 3_600_000  # ms
_SLACK = 1.5  # the values of a window are looked for so much further back, since some are missing
_REACH = 40 * DAY  # ms that instants are looked for: of some series there is one a day
_FARTHEST = 800 * DAY  # ms: two years of months; averages of years are no history for each other
_NORMAL = 1.4826  # of a normal distribution the median absolute deviation is the standard deviation by this
_RESOLUTION = 10  # steps of the last printed digit: for a factor without a floor no jump is smaller


class Point(NamedTuple):
    """One value of a series: `at` in ms UTC, `valid` by its flag and marks, `confirmed` by its provider's remark."""

    at: int
    value: str | None
    unit: str | None
    q: str | None
    valid: bool
    confirmed: bool


class _Value(NamedTuple):
    """A point that counts: its place in the series, and its number in the unit of the series."""

    place: int
    point: Point
    number: float


@dataclass(frozen=True, slots=True)
class _Settings:
    """The parameters for one factor and period, in one unit."""

    count: int  # equal values of three digits and more that are frozen; 0: not judged
    coarse: int  # of two digits
    span: int  # ms they last at least
    above: float
    times: float
    last: int
    least: int
    gap: float
    relative: float
    floor: float
    daily: float  # so many times all of these where values are a day apart
    factor: float
    tolerance: float
    recent: int
    enough: int
    digits: int
    window: int  # values before a value that decide about it
    reach: int  # ms before it in which they lie


class SeriesChecks:
    """The rules over series by one version of the tables. Safe to share between threads."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._table = tables[QualityRules].reference
        self._settings = lru_cache(maxsize=4_096)(self._work_out)

    def window(self, factor: str, period: str) -> int:
        """How many values before a value decide about it."""
        return self._settings(factor, period, None).window

    def reach(self, factor: str, period: str) -> int:
        """How far (ms) before a value these may lie."""
        return self._settings(factor, period, None).reach

    def enough(self, factor: str, period: str) -> int:
        """How many values of its own a series needs before a value's unit is judged by them."""
        return self._settings(factor, period, None).enough

    def judge(
        self, factor: str, period: str, points: Sequence[Point], wanted: Iterable[int],
        elsewhere: Sequence[Point] = (),
    ) -> list[tuple[int, Finding]]:  # fmt: skip
        """What the rules find in the values at the places `wanted` of `points`, which are in order of time.

        `elsewhere` are recent values of the same factor at the same site in other series (another origin, statistic or
        sample): while a series has too few of its own, the unit is judged by them.
        """
        units = Counter(point.unit for point in points if point.value is not None)
        unit = max(units, key=units.__getitem__, default=None)
        if unit is None or not (self._tables[Units].known(unit) and self._tables[Factors].known(factor)):
            return []  # a later version of a table may no longer know what was stored under an earlier one
        settings = self._settings(factor, period, unit)
        values = self._values(points, unit)
        others = [value.number for value in self._values(elsewhere, unit) if value.number > 0]
        judged = set(wanted)
        found = []
        first = 0  # of the values in reach
        for position, value in enumerate(values):
            if value.place in judged and not value.point.confirmed:
                while values[first].point.at < value.point.at - settings.reach:
                    first += 1
                before = values[max(first, position - settings.window) : position]
                found += [(value.place, one) for one in self._judge(value, before, others, settings, unit)]
        return found

    def judge_completeness(self, factor: str, period: str, shorter: str, valid: int) -> Finding | None:
        """Whether an average over `period` rests on enough: `valid` of the values over `shorter` in it are valid.

        None too where nothing is said about `period`, or `shorter` does not divide it.
        """
        found = parameters(self._tables, "completeness", factor, period)
        whole, part = parse_duration(period), parse_duration(shorter)
        if "share" not in found or whole.months or not part.seconds or whole.seconds % part.seconds:
            return None
        expected = whole.seconds // part.seconds
        if valid >= float(found["share"]) * expected - 1e-3:  # 0.8333 of 24 hours are 20 of them
            return None
        return self._finding("completeness", f"{valid} of {expected} values over {shorter} are valid")

    def _finding(self, rule: str, detail: str) -> Finding:
        return Finding(rule, detail, self._table)

    def _values(self, points: Sequence[Point], unit: str) -> list[_Value]:
        values = []
        for place, point in enumerate(points):
            if point.valid and point.value is not None:
                number = float(point.value)
                if point.unit != unit:
                    try:
                        number = float(self._tables[Units].convert(Decimal(point.value), point.unit or "", unit))
                    except RecordError:
                        continue  # the rule `unit` has said what is to be said
                values.append(_Value(place, point, number))
        return values

    def _judge(
        self, value: _Value, before: Sequence[_Value], others: Sequence[float], settings: _Settings, unit: str
    ) -> Iterable[Finding]:
        """What is found about one value, by those `before` it in its series, and by `others` where these are few."""
        point = value.point
        said = f"{point.q or ''}{point.value} {point.unit}"
        if point.q is None:
            since = _frozen_since(value, before, settings)
            if since is not None:
                yield self._finding("frozen", f"{said} again and again since {beijing_text(since)}")
        usual = _thousandfold(value, before, others, settings)
        if usual is not None:
            text = f"{said} is some {settings.factor:g} times off what is usual here, {usual:g} {unit}"
            yield self._finding("unit-suspect", text)
            return  # of course it jumps too
        around = _jumped_from(value, before, settings)
        if around is not None:
            yield self._finding("jump", f"{said} after values around {around:g} {unit}")

    def _work_out(self, factor: str, period: str, unit: str | None) -> _Settings:
        frozen = parameters(self._tables, "frozen", factor, period, unit)
        jump = parameters(self._tables, "jump", factor, period, unit)
        suspect = parameters(self._tables, "unit-suspect", factor, period, unit)
        window = max(map(int, (frozen["count"], frozen["coarse"], jump["last"], suspect["last"])))
        duration = parse_duration(period)
        length = duration.seconds * 1000 + duration.months * 31 * DAY
        return _Settings(
            count=int(frozen["count"]), coarse=int(frozen["coarse"]), span=int(float(frozen["hours"]) * _HOUR),
            above=float(frozen["above"]), times=float(jump["times"]), last=int(jump["last"]), least=int(jump["least"]),
            gap=float(jump["gap"]), relative=float(jump["relative"]), floor=float(jump["floor"]),
            daily=float(jump["daily"]), factor=float(suspect["factor"]), tolerance=float(suspect["tolerance"]),
            recent=int(suspect["last"]), enough=int(suspect["least"]), digits=int(suspect["digits"]),
            window=window, reach=min(int(window * length * _SLACK) or _REACH, _FARTHEST),
        )  # fmt: skip


def _frozen_since(value: _Value, before: Sequence[_Value], settings: _Settings) -> int | None:
    """Since when (ms UTC) the value has been the same, where that is for long enough to be frozen."""
    point = value.point
    digits = significant_digits(point.value or "")
    count = settings.count if digits > 2 else settings.coarse if digits == 2 else 0
    if not count or abs(value.number) <= settings.above:
        return None
    since, same = point.at, 1
    for one in reversed(before):
        if not _same(one.point, point):
            break
        since, same = one.point.at, same + 1
    return since if same >= count and point.at - since >= settings.span else None


def _same(one: Point, other: Point) -> bool:
    return one.value == other.value and one.q is None and one.unit == other.unit


def _thousandfold(
    value: _Value, before: Sequence[_Value], others: Sequence[float], settings: _Settings
) -> float | None:
    """The usual value, where this one is a factor `settings.factor` above or below it."""
    number = value.number
    if value.point.q is not None or number <= 0:
        return None
    recent: Sequence[float] = [one.number for one in before[-settings.recent :] if one.number > 0]
    if len(recent) < settings.enough:
        recent = others
    if len(recent) < settings.enough:
        return None
    least = settings.factor / settings.tolerance
    if max(recent) / least < number < min(recent) * least:
        return None  # wherever between these the median lies: so it is nearly always
    if significant_digits(value.point.value or "") < settings.digits:
        return None  # an instrument at the end of its range, not a slip of the pen
    usual = median(recent)
    ratio = max(number / usual, usual / number)
    return usual if least <= ratio <= settings.factor * settings.tolerance else None


def _jumped_from(value: _Value, before: Sequence[_Value], settings: _Settings) -> float | None:
    """The median of the recent values, where this one is far from it and from the one before."""
    recent = before[-settings.last :]
    if len(recent) < settings.least:
        return None
    numbers = [one.number for one in recent]
    step = abs(value.number - numbers[-1])
    printed = min(_last_digit(one.point.value or "") for one in (value, recent[-1]))
    least = settings.floor or _RESOLUTION * printed
    if step <= max(least, settings.relative * abs(numbers[-1])):
        return None  # so it is nearly always
    times = [one.point.at for one in recent]
    cadence = median(later - earlier for earlier, later in pairwise(times))
    if value.point.at - times[-1] > settings.gap * cadence:
        return None  # after a silence the value before is no neighbour any more
    usual = median(numbers)
    if (value.point.q == "<" and value.number > usual) or (value.point.q == ">" and value.number < usual):
        return None
    spread = _NORMAL * median(abs(number - usual) for number in numbers)
    steps = _NORMAL * median(abs(one - other) for one, other in pairwise(numbers))
    wide = settings.daily if cadence >= DAY else 1
    far = abs(value.number - usual) > wide * max(least, settings.relative * abs(usual), settings.times * spread)
    sudden = step > wide * max(least, settings.relative * abs(numbers[-1]), settings.times * steps)
    return usual if far and sudden else None


def _last_digit(text: str) -> float:
    """What one step of the last printed digit is."""
    _, point, fraction = text.partition(".")
    return float(10.0 ** -len(fraction)) if point else 1.0

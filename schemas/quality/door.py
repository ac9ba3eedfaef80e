"""The rules that need no history: run at the door for every submission and every partner's batch.

`check` looks at one record, `check_together` at what one submission holds of one site and instant. Most records are in
order, and this runs for each, so what repeats (a series with its unit, flag and profile) is worked out once and
remembered: a record then costs two comparisons of integers and two of floats. Only a value too near a bound for a float
to decide is compared as a decimal.

Values that are not valid by their flag are not judged by what they say, only by what they are (time, unit, period). A
value that its provider has confirmed by a remark raises no query about its size or its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from schemas.errors import RecordError
from schemas.factors import Factors
from schemas.flags import Flags
from schemas.periods import parse_duration
from schemas.quality.rules import Finding, QualityRules, parameters
from schemas.records import Observation
from schemas.tables import Tables
from schemas.times import DAY, beijing_text, to_millis
from schemas.units import Units

_BEIJING = 8 * 3_600_000  # ms
_MINUTE = 60_000  # ms
_NEAR = 1e-9  # relative: nearer to a bound than this, a float does not decide
_NOTHING: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What is known of a series before its values: findings that hold for all of them, and limits of the others."""

    low: float
    high: float
    exact: tuple[Decimal | None, Decimal | None]
    length: int  # ms of the period; a month counts 28 days, so that an early one is not said to be unfinished
    step: int  # ms a period begins on a multiple of, Beijing time; 0: any instant
    always: tuple[Finding, ...]
    queried: tuple[Finding, ...]  # like `always`, unless the provider has confirmed the value
    ahead: int  # ms
    old: int  # ms


class DoorChecks:
    """The rules of the door by one version of the table. Safe to share between threads."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._table = tables[QualityRules].reference
        self._is_valid = tables[Flags].is_valid
        self._bounds = lru_cache(maxsize=65_536)(self._work_out)
        self._part = lru_cache(maxsize=4_096)(self._work_out_part)
        self._digits = int(parameters(tables, "duplicate", "w01001", "PT0S")["digits"])

    def check(self, record: Observation, *, now: int) -> tuple[Finding, ...]:
        """What the rules find in `record`, which has passed `check_record`. `now` in ms UTC."""
        bounds = self._bounds(record.factor, record.unit, record.stat, record.period, record.origin)
        at = to_millis(record.at)
        found = bounds.always
        if bounds.queried and not record.remark:
            found += bounds.queried
        if at + bounds.length > now + bounds.ahead:
            found += (self._finding("future", f"the measurement ends at {beijing_text(at + bounds.length)}"),)
        elif at < now - bounds.old:
            found += (self._finding("ancient", f"the measurement is of {record.at}"),)
        if bounds.step and (at + _BEIJING) % bounds.step:
            found += (self._finding("period-wrong", f"no {record.period} begins at {record.at}"),)
        if record.value is not None and not record.remark:
            number = float(record.value)
            if not bounds.low < number < bounds.high:
                found += self._beyond(record, bounds, at)
        return found

    def check_together(self, records: Sequence[Observation]) -> list[tuple[int, Finding]]:
        """What the rules find between records of one submission, by position in `records`."""
        return [*self._duplicates(records), *self._siblings(records)]

    def _finding(self, rule: str, detail: str) -> Finding:
        return Finding(rule, detail, self._table)

    def _work_out(self, factor: str, unit: str | None, stat: str, period: str, origin: str) -> _Bounds:
        limits = parameters(self._tables, "range", factor, period, unit)
        exact = tuple(Decimal(limits[name]) if name in limits else None for name in ("low", "high"))
        low, high = exact
        ancient = parameters(self._tables, "ancient", factor, period)
        days = int(ancient["days" if origin == "auto" else "manual_days"])
        ahead = int(parameters(self._tables, "future", factor, period)["minutes"])
        duration = parse_duration(period)
        return _Bounds(
            low=-float("inf") if low is None else float(low) + abs(float(low)) * _NEAR,
            high=float("inf") if high is None else float(high) - abs(float(high)) * _NEAR,
            exact=(low, high),
            length=duration.seconds * 1000 + duration.months * 28 * DAY,
            step=_step(period),
            always=self._misfit(factor, stat, period),
            queried=self._wrong_unit(factor, unit, stat, period),
            ahead=ahead * _MINUTE,
            old=days * DAY,
        )

    def _misfit(self, factor: str, stat: str, period: str) -> tuple[Finding, ...]:
        fits = parameters(self._tables, "period-wrong", factor, period)
        wrong = stat in (fits["spans"] if period == "PT0S" else fits["instants"]).split("|")
        return (self._finding("period-wrong", f"{stat} has no period {period}"),) if wrong else _NOTHING

    def _wrong_unit(self, factor: str, unit: str | None, stat: str, period: str) -> tuple[Finding, ...]:
        usual = self._tables[Factors].factor(factor).unit
        if usual is None or unit is None:
            return _NOTHING
        units = self._tables[Units]
        found = parameters(self._tables, "unit", factor, period, unit)
        fitting = {units.unit(usual).dimension, *found.get("also", "").split("|")}
        if stat == "total":
            fitting.update(found["total"].split("|"))
        dimension = units.unit(unit).dimension
        if dimension in fitting:
            return _NOTHING
        return (self._finding("unit", f"{unit} measures {dimension}; {factor} is given in {usual} or alike"),)

    def _beyond(self, record: Observation, bounds: _Bounds, at: int) -> tuple[Finding, ...]:
        """The finding for a value beyond a bound, where it is: `<` says nothing of what is above, `>` of below."""
        value = Decimal(record.value or "0")
        low, high = bounds.exact
        below = low is not None and value < low and record.q != ">"
        above = high is not None and value > high and record.q != "<"
        if not (below or above) or not self._is_valid(record.profile, record.flag, at):
            return _NOTHING
        bound = f"less than {low:f}" if below else f"more than {high:f}"
        return (self._finding("range", f"{record.q or ''}{record.value} {record.unit} is {bound}"),)

    def _duplicates(self, records: Sequence[Observation]) -> Iterable[tuple[int, Finding]]:
        """Values of one measurement under two keys. Replicates and layers have a sample each, and may agree."""
        if len({(record.origin, record.sample) for record in records}) < 2:
            return
        first: dict[tuple[object, ...], int] = {}
        for position, record in enumerate(records):
            if record.value is None or record.q or significant_digits(record.value) < self._digits:
                continue
            what = (record.site, record.factor, record.stat, record.period, record.at, record.value, record.unit)
            other = records[first.setdefault(what, position)]
            if other.origin != record.origin or bool(other.sample) != bool(record.sample):
                key = f"{other.origin} {other.sample}".strip()
                yield position, self._finding("duplicate", f"{record.value} {record.unit} came as {key} too")

    def _siblings(self, records: Sequence[Observation]) -> Iterable[tuple[int, Finding]]:
        parts = [
            (position, record, relation)
            for position, record in enumerate(records)
            if (relation := self._part(record.factor, record.unit)) is not None
            and record.value is not None
            and record.q != "<"
        ]
        if not parts:
            return
        wholes = {relation.whole for _, _, relation in parts}
        by_place = {_place(record, record.factor): record for record in records if record.factor in wholes}
        for position, part, relation in parts:
            whole = by_place.get(_place(part, relation.whole))
            if whole is not None and whole.value is not None and whole.q != ">" and self._both_valid(part, whole):
                most = self._converted(Decimal(whole.value), whole.unit, part.unit)
                if most is not None and Decimal(part.value or "0") > most * relation.times + relation.plus:
                    text = f"{part.value} {part.unit} is more than {relation.whole}, {whole.value} {whole.unit}"
                    yield position, self._finding("sibling", text)

    def _both_valid(self, one: Observation, other: Observation) -> bool:
        at = to_millis(one.at)
        return self._is_valid(one.profile, one.flag, at) and self._is_valid(other.profile, other.flag, at)

    def _work_out_part(self, factor: str, unit: str | None) -> _Part | None:
        found = parameters(self._tables, "sibling", factor, "PT0S")
        if "whole" not in found or unit is None:
            return None
        plus = self._converted(Decimal(found["plus"]), found["in"], unit)
        return None if plus is None else _Part(found["whole"], Decimal(found["times"]), plus)

    def _converted(self, value: Decimal, from_: str | None, to: str | None) -> Decimal | None:
        """`value` in unit `to`; None where no exact factor leads there."""
        try:
            return self._tables[Units].convert(value, from_ or "", to or "")
        except RecordError:
            return None


@dataclass(frozen=True, slots=True)
class _Part:
    """What a part may be at most: `times` its whole and `plus`, in the part's unit."""

    whole: str
    times: Decimal
    plus: Decimal


def significant_digits(value: str) -> int:
    """The significant digits `value`, a plain decimal, is printed with; 0 for zero."""
    return len(value.lstrip("-0.").replace(".", ""))


def _step(period: str) -> int:
    """What a period's beginning is a multiple of, Beijing time: itself up to an hour, then whole hours, then days."""
    duration = parse_duration(period)
    if duration.months or duration.seconds >= DAY // 1000:
        return DAY
    return min(duration.seconds, 3600) * 1000


def _place(record: Observation, factor: str) -> tuple[str, ...]:
    return record.site, factor, record.at, record.origin, record.stat, record.period, record.sample

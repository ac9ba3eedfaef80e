"""The rules over series, right after commit: what this party's values look like beside those before them.

Values wait in a table that is written in their own transaction, so what a stop leaves undone is done after the next
start; done twice it changes nothing. History is read in bulk: a bounded window for each series that was touched, never
a query a value. A late value is judged by what was measured before it, and what follows it is judged again.

What is found is kept and told to the provider; a value that has left is published again with its findings: the same
revision and content, which a recipient takes as a duplicate whose findings are new. Nothing here keeps a value from
being stored or shared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import structlog

from gateway.db import Database, ReadSession, WriteSession
from gateway.store import queue, records
from gateway.store.findings import Found, add_findings, judged, next_to_judge
from gateway.store.history import Held, Span, read_around, series_at
from gateway.store.interning import Interning, SeriesKey
from gateway.store.lines import Extra
from gateway.store.observations import Key
from gateway.store.selection import admits
from gateway.store.sites import Sites
from partners.plans import plans_in_force
from schemas.factors import Factors
from schemas.flags import Flags
from schemas.periods import parse_duration
from schemas.quality import Finding, Point, SeriesChecks
from schemas.records import Mark
from schemas.tables import Tables
from schemas.times import DAY, beijing_text
from schemas.validity import judge as judge_validity

log = structlog.get_logger()

TOGETHER = 10_000  # values of one step: many submissions of one series need its history once
_HOUR = 3_600_000  # ms
_BEIJING = 8 * _HOUR
_MONTH = 32 * DAY  # ms
_SEARCHED = (2 * _HOUR, 5 * DAY)  # how far back instants are looked for first: most series have enough of them there
_WHOLES = ("PT1H", "P1D")  # periods whose averages are asked what they rest on


@dataclass(frozen=True)
class Step:
    """What one step did: how many values it looked at, what was new, and whether something is to be published again."""

    looked_at: int
    found: int = 0
    queued: bool = False


class _Row(NamedTuple):
    held: Held
    point: Point

    @property
    def key(self) -> Key:
        return Key(*self.held[:5])


_Rows = dict[int, list[_Row]]
"""By series, in order of time."""


class Judge:
    """Looks at the home party's values. `tables_at` gives the governed tables in force at an instant (ms UTC)."""

    def __init__(
        self, home: str, database: Database, interning: Interning, sites: Sites, tables_at: Callable[[int], Tables]
    ) -> None:
        self._home = home
        self._database = database
        self._interning = interning
        self._sites = sites
        self._tables_at = tables_at
        self._checks: tuple[Tables, SeriesChecks] | None = None

    def judge_waiting(self, *, now: int) -> Step:
        """Look at the values that have waited longest. `now` in ms UTC."""
        tables_ = self._tables_at(now)
        with self._database.read() as session:
            ids, keys = next_to_judge(session, TOGETHER)
            if not ids:
                return Step(0)
            look = _Look(session, self._home, self._interning, tables_, self._checks_by(tables_))
            found = [one for near in _by_month(keys) for one in look.look(near, now)]
        with self._database.write() as session:
            judged(session, ids)
            fresh = add_findings(session, found)
            queued = self._publish_again(session, [one.key for one in fresh], now)
            series = self._interning.series(session, {one.key.series_id for one in fresh})
        _tell(fresh, series)
        return Step(len(keys), len(fresh), queued)

    def _checks_by(self, tables_: Tables) -> SeriesChecks:
        if self._checks is None or self._checks[0] is not tables_:
            self._checks = (tables_, SeriesChecks(tables_))
        return self._checks[1]

    def _publish_again(self, session: WriteSession, keys: Sequence[Key], now: int) -> bool:
        """Queue values for every dataset of ours that selects them; where they still wait, they leave once."""
        keys = list(dict.fromkeys(keys))
        series = self._interning.series(session, {key.series_id for key in keys})
        programmes = self._sites.programmes(session, self._home, {key.site for key in series.values()})
        queued = False
        for dataset in plans_in_force(session, now).provided_by(self._home) if keys else ():
            if dataset.kind == "observation" and dataset.recipients:
                chosen = [key for key in keys if admits(dataset, series[key.series_id], programmes)]
                queue.enqueue(session, dataset.id, "observation", chosen, at=now)
                queued = queued or bool(chosen)
        return queued


class _Look:
    """One look at some values, under one session and one version of the tables."""

    def __init__(
        self, session: ReadSession, home: str, interning: Interning, tables_: Tables, checks: SeriesChecks
    ) -> None:
        self._session = session
        self._home = home
        self._interning = interning
        self._tables = tables_
        self._checks = checks
        self._marks: Mapping[str, list[Mark]] = {}
        self._valid: dict[tuple[int, int], bool] = {}  # by state and day in Beijing: what the flag says

    def look(self, keys: Sequence[Key], now: int) -> list[Found]:
        """What is found about the current revisions of `keys`, and of what was measured after them."""
        series = {
            number: key
            for number, key in self._interning.series(self._session, {key.series_id for key in keys}).items()
            if self._tables[Factors].known(key.factor)  # a later version of the table may have left it out
        }
        self._marks = records.marks_of(self._session, self._home, sorted({key.site for key in series.values()}))
        instants: dict[int, list[int]] = defaultdict(list)
        for key in keys:
            if key.series_id in series:
                instants[key.series_id].append(key.at)
        rows = self._history(series, {number: (min(found), max(found)) for number, found in instants.items()})
        found: list[tuple[Key, Finding]] = []
        lone: list[tuple[SeriesKey, list[_Row], list[int]]] = []  # too few values of their own
        for number, of in series.items():
            if number not in rows:
                continue
            first = min(instants[number])
            for one in _by_sample(rows[number]):
                start = bisect_left(one, first, key=lambda row: row.point.at)
                wanted = list(range(start, len(one)))
                if start < self._checks.enough(of.factor, of.period) and wanted:
                    lone.append((of, one, wanted))
                else:
                    found += self._judge(of, one, wanted)
        found += self._judge_lone(lone, rows)
        found += self._judge_completeness(series, rows, instants)
        return [Found(key, *_told(finding, self._home), now) for key, finding in found]

    def _judge(
        self, key: SeriesKey, rows: Sequence[_Row], wanted: Sequence[int], elsewhere: Sequence[Point] = ()
    ) -> Iterator[tuple[Key, Finding]]:
        points = [row.point for row in rows]
        for place, finding in self._checks.judge(key.factor, key.period, points, wanted, elsewhere):
            yield rows[place].key, finding

    def _judge_lone(
        self, lone: Sequence[tuple[SeriesKey, list[_Row], list[int]]], rows: _Rows
    ) -> Iterator[tuple[Key, Finding]]:
        """Values of series with a short history, with the recent values of the same factor at their site."""
        beside = series_at(self._session, self._home, [(key.site, key.factor) for key, _, _ in lone])
        spans: dict[int, tuple[int, int]] = {}
        others: dict[int, SeriesKey] = {}
        for key, one, wanted in lone:
            at = one[wanted[0]].point.at
            for number, other in beside[key.site, key.factor].items():
                first, last = spans.get(number, (at, at))
                spans[number], others[number] = (min(first, at), max(last, at)), other
        history = self._history(others, {number: span for number, span in spans.items() if number not in rows}) | rows
        for key, one, wanted in lone:
            at, mine = one[wanted[0]].point.at, {row.held for row in one}
            before = [
                row
                for number in beside[key.site, key.factor]
                for row in history.get(number, ())
                if row.point.at < at and row.held not in mine
            ]
            before.sort(key=lambda row: row.point.at)
            recent = [row.point for row in before[-self._checks.window(key.factor, key.period) :]]
            yield from self._judge(key, one, wanted, recent)

    def _judge_completeness(
        self, series: Mapping[int, SeriesKey], rows: _Rows, instants: Mapping[int, Sequence[int]]
    ) -> Iterator[tuple[Key, Finding]]:
        """Averages whose parts we hold too, in the longest of the shorter periods there are."""
        averages = {number: key for number, key in series.items() if key.stat == "avg" and key.period in _WHOLES}
        beside = series_at(self._session, self._home, [(key.site, key.factor) for key in averages.values()])
        parts: dict[int, int] = {}  # the series of the parts, by that of the averages
        for number, key in averages.items():
            shorter = [
                (parse_duration(other.period).seconds, found)
                for found, other in beside[key.site, key.factor].items()
                if (other.origin, other.stat) == (key.origin, key.stat) and _is_shorter(other.period, key.period)
            ]
            if shorter:
                parts[number] = max(shorter)[1]
        if not parts:
            return
        others = self._interning.series(self._session, parts.values())
        spans = {
            parts[number]: Span(min(instants[number]), max(instants[number]), _length(averages[number].period))
            for number in parts
        }
        held = self._read(spans)
        for number, part in parts.items():
            key, new = averages[number], set(instants[number])
            valid = Counter(row.point.at // _HOUR for row in held.get(part, ()) if row.point.valid and row.point.value)
            for row in rows.get(number, ()):
                if row.point.at in new and row.point.valid and row.point.value is not None and not row.point.confirmed:
                    hours = range(row.point.at // _HOUR, (row.point.at + _length(key.period)) // _HOUR)
                    count = sum(valid[hour] for hour in hours)
                    finding = self._checks.judge_completeness(key.factor, key.period, others[part].period, count)
                    if finding is not None:
                        yield row.key, finding

    def _history(self, series: Mapping[int, SeriesKey], spans: Mapping[int, tuple[int, int]]) -> _Rows:
        """The values of each series from before its span to after it, as many as the rules look at if there are."""
        found: _Rows = {}
        instants = []
        around: dict[int, Span] = {}
        for number, (first, last) in spans.items():
            key = series[number]
            if _length(key.period):
                around[number] = Span(first, last, self._checks.reach(key.factor, key.period))
            else:
                instants.append(number)
        for far in _SEARCHED:
            found |= self._read({number: Span(*spans[number], far) for number in instants})
            instants = [
                number
                for number in instants
                if not self._enough(series[number], found.get(number, ()), spans[number][0])
            ]
        for number in instants:
            around[number] = Span(*spans[number], self._checks.reach(series[number].factor, series[number].period))
        return found | self._read(around)

    def _enough(self, key: SeriesKey, rows: Sequence[_Row], first: int) -> bool:
        """Whether these rows hold all that decides about the value of the instant `first`."""
        valid = [row.point.at for row in rows if row.point.valid and row.point.value is not None]
        return bisect_left(valid, first) >= self._checks.window(key.factor, key.period)

    def _read(self, spans: Mapping[int, Span]) -> _Rows:
        held = read_around(self._session, spans)
        return {number: self._rows(rows) for number, rows in held.items()}

    def _rows(self, selected: Sequence[Held]) -> list[_Row]:
        """The rows of one series as points, in order of time."""
        series = self._interning.series(self._session, {selected[0].series_id})[selected[0].series_id]
        states = self._interning.states(self._session, {row.state_id for row in selected})
        flags, marks = self._tables[Flags], self._marks.get(series.site, ())
        rows = []
        for held in selected:
            at, state_id, extra = held.at, held.state_id, held.extra
            state = states[state_id]
            day = (at + _BEIJING) // DAY
            valid = self._valid.get((state_id, day))
            if valid is None:
                valid = not state.retracted and flags.is_valid(state.profile, state.flag, at)
                self._valid[state_id, day] = valid
            if valid and marks:
                judgement = judge_validity(
                    state.profile, state.flag, series.factor, series.period, at, marks, self._tables
                )
                valid = judgement.valid
            confirmed = extra is not None and _is_confirmed(extra)
            rows.append(_Row(held, Point(at, held.value, state.unit, state.q, valid, confirmed)))
        rows.sort(key=lambda row: row.point.at)
        return rows


def _by_month(keys: Sequence[Key]) -> Iterable[list[Key]]:
    """The keys in groups that lie near each other, so that a value of long ago does not call for the years between."""
    groups: dict[int, list[Key]] = defaultdict(list)
    for key in keys:
        groups[key.at // _MONTH].append(key)
    return groups.values()


def _by_sample(rows: Sequence[_Row]) -> Iterable[list[_Row]]:
    """Layers and replicates are series of their own."""
    samples: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        samples[row.held.sample].append(row)
    return samples.values()


def _length(period: str) -> int:
    """ms of a period; a month counts 31 days, an instant 0."""
    duration = parse_duration(period)
    return duration.seconds * 1000 + duration.months * 31 * DAY


def _is_shorter(part: str, whole: str) -> bool:
    return 0 < _length(part) < _length(whole) and _length(whole) % _length(part) == 0


def _is_confirmed(extra: str) -> bool:
    return bool(msgspec.json.decode(extra, type=Extra).remark)


def _told(finding: Finding, home: str) -> tuple[str, str, str, str]:
    return finding.rule, home, finding.table, finding.detail


def _tell(fresh: Sequence[Found], series: Mapping[int, SeriesKey]) -> None:
    """An event for each series and rule: an operator reads them, or has them read."""
    first = {(one.key.series_id, one.rule): one for one in reversed(fresh)}
    counts = Counter((one.key.series_id, one.rule) for one in fresh)
    for (number, rule), one in first.items():
        key = series[number]
        log.warning(
            "quality.found", rule=rule, site=key.site, factor=key.factor, first=beijing_text(one.key.at),
            count=counts[number, rule], detail=one.detail,
        )  # fmt: skip

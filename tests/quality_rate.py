"""How often the quality rules find something in real months, and how much is false: `python -m tests.quality_rate`.

Every value of the published files goes through the rules as it would at a gateway: the door's rules row by row (what a
station published for one instant is one submission), the others over each series in order of time. `--list` prints
every finding with the values around it, for a person to read; the data themselves stay where they are.

What counts as false, so that the figure can be checked, is a rule too, made after reading the lists of all rules but
`jump` nearly whole and some 85 of the jumps, and strict:

- a `jump` whose next value is nearer to it than to the one before (an event that was real, or a new level), or that has
  no next value. A value that stands alone is what `jump` is for. Had somebody rung the station at the first value of an
  event nobody would have called it false; here it is counted so.
- every `unit-suspect`: all are probes or analysers that failed for one reading, a thousandfold low by accident.
- `frozen` pH, temperature and turbidity (deep and clear water that may have been so) and ammonia (printed in steps of
  0.01 there). The others are analysers that printed one result for days.
- no `range`: conductivities below those of rain between others of hundreds; and no `sibling`: instruments that
  contradict each other.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from schemas.flags import Flags
from schemas.quality import DoorChecks, Finding, Point, SeriesChecks
from schemas.records import Observation
from schemas.tables import Tables, shipped_tables
from schemas.times import DAY, to_millis
from tests.walk.real_data import AIR, CNEMC, MISSING, WATER, ZJEMC

NEAR = (
    "air_hourly_cnemc_districts.csv", "air_hourly_zjemc_jiashan.csv", "water_4h_border_stations.csv",
    "water_daily_taihu_shanghai.csv",
)  # fmt: skip
ALL = (*NEAR, "air_hourly_cnemc_four_cities.csv", "water_4h_taihu_shanghai.csv", "water_4h_national.csv")

_STEADY = frozenset({"w01001", "w01010", "w01003", "w21003"})

Series = dict[tuple[str, str], list[Observation]]
"""Values in order of time, by site and factor, each instant once: as the file says it last."""


class Found(NamedTuple):
    """One finding, and the values before and after it that a person reads beside it."""

    file: str
    site: str
    factor: str
    at: str
    value: str
    finding: Finding
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def false(self) -> bool:
        """Whether a person would have called it false, as said above."""
        rule = self.finding.rule
        if rule != "jump":
            return rule == "unit-suspect" or (rule == "frozen" and self.factor in _STEADY)
        if not self.after:
            return True
        value, before, after = float(self.value), float(self.before[-1]), float(self.after[0])
        return abs(after - value) < abs(after - before)


@dataclass
class Rate:
    """Counts of one run. `values` counts what is measured, valid or not."""

    values: Counter[str] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)


def measure(folder: Path, files: tuple[str, ...], tables: Tables | None = None) -> Rate:
    """Run the rules over the `files` in `folder`."""
    tables = tables or shipped_tables()
    door, checks = DoorChecks(tables), SeriesChecks(tables)
    rate = Rate()
    for name in files:
        series = read_series(folder / name)
        rate.values[name] = sum(map(len, series.values()))
        _run_door(rate, name, series, door)
        for (site, factor), records in series.items():
            points = [point_of(record) for record in records]
            for place, finding in checks.judge(factor, records[0].period, points, range(len(points))):
                rate.found.append(_found(name, site, factor, records, place, finding))
    return rate


def point_of(record: Observation) -> Point:
    """A record as the rules over series see it."""
    at = to_millis(record.at)
    valid = shipped_tables()[Flags].is_valid(record.profile, record.flag, at)
    return Point(at, record.value, record.unit, record.q, valid, bool(record.remark))


def read_series(path: Path) -> Series:
    """The measured values of one file, by site and factor."""
    by_instant: dict[tuple[str, str], dict[str, Observation]] = defaultdict(dict)
    for record in _read(path):
        by_instant[record.site, record.factor][record.at] = record
    return {key: [found[at] for at in sorted(found, key=to_millis)] for key, found in by_instant.items()}


def _run_door(rate: Rate, name: str, series: Series, door: DoorChecks) -> None:
    places = [
        (record.site, to_millis(record.at), key, place)
        for key, records in series.items()
        for place, record in enumerate(records)
    ]
    places.sort(key=lambda one: one[:2])
    for (_, at), group in groupby(places, key=lambda one: one[:2]):
        together = [(key, place) for _, _, key, place in group]
        records = [series[key][place] for key, place in together]
        found = [(position, one) for position, record in enumerate(records) for one in door.check(record, now=at + DAY)]
        for position, finding in [*found, *door.check_together(records)]:
            (site, factor), place = together[position]
            rate.found.append(_found(name, site, factor, series[site, factor], place, finding))


def _found(name: str, site: str, factor: str, records: list[Observation], place: int, finding: Finding) -> Found:
    """The finding with its neighbours: the valid values around it."""
    flags = shipped_tables()[Flags]
    valid = [record for record in records if flags.is_valid(record.profile, record.flag, to_millis(record.at))]
    here = records[place]
    at = to_millis(here.at)
    before = tuple(str(one.value) for one in valid if to_millis(one.at) < at)[-4:]
    after = tuple(str(one.value) for one in valid if to_millis(one.at) > at)[:3]
    return Found(name, site, factor, here.at, str(here.value), finding, before, after)


def _read(path: Path) -> Iterator[Observation]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if "timepoint" in row:
                published = datetime.strptime(row["timepoint"], "%Y-%m-%dT%H%M")  # noqa: DTZ007 - Beijing time
                yield from _air(row, row["stationcode"], published, CNEMC)
            elif "sitecode" in row:
                yield from _air(row, row["sitecode"], datetime.fromisoformat(row["time"]), ZJEMC)
            else:
                yield from _water(row)


def _air(row: dict[str, str], site: str, published: datetime, columns: dict[str, str]) -> Iterator[Observation]:
    at = f"{(published - timedelta(hours=1)).isoformat()}+08:00"
    for name, column in columns.items():
        if row[column] not in MISSING:
            yield Observation(
                site=site, factor=AIR[name], stat="avg", period="PT1H", at=at, value=row[column],
                unit="mg/m3" if name == "CO" else "ug/m3", profile="hourly-air",
            )  # fmt: skip


def _water(row: dict[str, str]) -> Iterator[Observation]:
    if row["监测时间"] in MISSING:
        return
    year = row.get("快照日期", "2021")[:4]
    measured = datetime.strptime(f"{year}-{row['监测时间']}", "%Y-%m-%d %H:%M")  # noqa: DTZ007 - Beijing time
    at = f"{measured.isoformat()}+08:00"
    for column, factor in WATER.items():
        if row[column] not in MISSING | {"-"}:
            yield Observation(
                site=f"{row['省份']} {row['断面名称']}", factor=factor, at=at, value=row[column],
                unit=_UNITS[factor], profile="water-4h", flag=row["站点情况"],
            )  # fmt: skip


_UNITS = {
    "w01010": "Cel", "w01001": "[pH]", "w01009": "mg/L", "w01014": "uS/cm", "w01003": "[NTU]", "w01019": "mg/L",
    "w21003": "mg/L", "w21011": "mg/L", "w21001": "mg/L", "w01016": "mg/L", "w19011": "{cells}/L",
}  # fmt: skip


def main() -> None:
    """Print the rate, and with --list every finding."""
    parser = argparse.ArgumentParser(description="The rate of quality findings on real months.")
    parser.add_argument("folder", type=Path, help="where the published files are")
    parser.add_argument("--near", action="store_true", help="only the stations of the four districts")
    parser.add_argument("--list", action="store_true", help="every finding, with the values around it")
    given = parser.parse_args()
    rate = measure(given.folder, NEAR if given.near else ALL)
    if given.list:
        for one in sorted(rate.found, key=lambda one: (one.finding.rule, one.factor, one.site, one.at)):
            mark = "FALSE" if one.false else "true"
            print(
                f"{mark:5} {one.finding.rule:12} {one.factor} {one.site} {one.at[:16]} {' '.join(one.before)}"
                f" [{one.value}] {' '.join(one.after)}   {one.finding.detail}"
            )
    print("| file or rule | values | findings | false | false, % |\n|---|---|---|---|---|")
    for name, count in rate.values.items():
        print(_line(name, count, [one for one in rate.found if one.file == name]))
    total = sum(rate.values.values())
    for rule in sorted({one.finding.rule for one in rate.found}):
        print(_line(f"`{rule}`", total, [one for one in rate.found if one.finding.rule == rule]))
    print(_line("all", total, rate.found))


def _line(name: str, values: int, found: list[Found]) -> str:
    false = sum(one.false for one in found)
    return f"| {name} | {values:,} | {len(found)} | {false} | {100 * false / values:.3f} |"


if __name__ == "__main__":
    main()

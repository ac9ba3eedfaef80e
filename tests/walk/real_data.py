"""Published monitoring data as records: what the three source files mean, decided in one place and said here.

- **Whose.** The air files name the district. The water file names a province and no county, so each of its stations is
  put at the gateway of its province's district: 江苏省 Wujiang, 浙江省 Jiashan, 上海市 Qingpu. Station 3562A stands in
  Nanxun, which has no gateway here, and is left out.
- **When.** Hourly air values are published by the hour's end, so `at` is an hour earlier; a date without a time is
  midnight. The water file has no year: it is 2021. Its values are of an instant, every four hours. A row whose time is
  `*` or `--` cannot be placed, and is counted.
- **What.** Hourly averages, and the water factors. The 8-hour and 24-hour columns are running averages over the hourly
  values, the indices are derived from them and the classes likewise: they are left out, as any reader can derive them.
- **Missing.** What stands instead of a value (`NA`, `--`, `*`, or nothing at all) becomes the flag of a value that is
  None, never 0. Where there is a value the flag is the station's state (water) or empty (hourly air has no flags).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from schemas import units
from tests.world import JIASHAN, QINGPU, WUJIANG

MISSING = frozenset({"NA", "--", "*", ""})
REPUBLISHED = "published-again"  # the reason given where a platform prints a station's hour a second time

AIR = {"PM2.5": "a34004", "PM10": "a34002", "SO2": "a21026", "NO2": "a21004", "O3": "a05024", "CO": "a21005"}
CNEMC = {"PM2.5": "pm2_5", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "O3": "o3", "CO": "co"}
ZJEMC = {"PM2.5": "PM25", "PM10": "PM10", "SO2": "SO2", "NO2": "NO2", "O3": "O3", "CO": "CO"}
WATER = {
    "水温(℃)": "w01010",
    "pH(无量纲)": "w01001",
    "溶解氧(mg/L)": "w01009",
    "电导率(μS/cm)": "w01014",
    "浊度(NTU)": "w01003",
    "高锰酸盐指数(mg/L)": "w01019",
    "氨氮(mg/L)": "w21003",
    "总磷(mg/L)": "w21011",
    "总氮(mg/L)": "w21001",
    "叶绿素α(mg/L)": "w01016",
    "藻密度(cells/L)": "w19011",
}
_CNEMC_DISTRICTS = {"3425A": WUJIANG, "3271A": QINGPU}
_PROVINCES = {"江苏省": WUJIANG, "浙江省": JIASHAN, "上海市": QINGPU}


class Key(NamedTuple):
    """Which value: everything of its key that differs within these files."""

    party: str
    site: str
    factor: str
    at: str


class Cell(NamedTuple):
    """What a file prints in one place: the text of a value, None where there is none, and the flag."""

    value: str | None
    flag: str


@dataclass
class Source:
    """One file as records. `readings` in the order of the file, as lines, by the party that hands them in.

    `cells` has what the file says last about each key. The counts are of data rows: all, those of a station that has no
    gateway here, and those that say no time.
    """

    rows: int = 0
    elsewhere: int = 0
    timeless: int = 0
    sites: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by party, then by site
    readings: dict[str, list[bytes]] = field(default_factory=dict)
    cells: dict[Key, Cell] = field(default_factory=dict)

    def add_site(self, party: str, site: str, **members: Any) -> None:
        record = {"kind": "site", "id": site, "district": party, **members}
        self.sites.setdefault(party, {})[site] = _line(record)

    def add(self, key: Key, cell: Cell, **members: Any) -> None:
        again = {"reason": REPUBLISHED} if key in self.cells else {}
        record = {
            "kind": "observation", "site": key.site, "factor": key.factor, "at": key.at, "value": cell.value,
            "flag": cell.flag, **members, **again,
        }  # fmt: skip
        self.readings.setdefault(key.party, []).append(_line(record))
        self.cells[key] = cell


def read_cnemc(path: Path) -> Source:
    """Hourly air of the national stations (`air_hourly_cnemc_districts.csv`): 3425A in Wujiang, 3271A in Qingpu."""
    source = Source()
    for row in _rows(path, source):
        party = _CNEMC_DISTRICTS.get(row["stationcode"])
        if party is None:
            source.elsewhere += 1
            continue
        site = f"{party}-AQ-{row['stationcode']}"
        source.add_site(party, site, type="air-station", name={"zh": row["positionname"]}, programmes=["air-auto"])
        published = datetime.strptime(row["timepoint"], "%Y-%m-%dT%H%M")  # noqa: DTZ007 - Beijing time, said by `_at`
        _add_air(source, party, site, published, {name: row[column] for name, column in CNEMC.items()})
    return source


def read_zjemc(path: Path) -> Source:
    """Hourly air of Jiashan's two provincial stations (`air_hourly_zjemc_jiashan.csv`)."""
    source = Source()
    for row in _rows(path, source):
        site = f"{JIASHAN}-AQ-{row['sitecode']}"
        source.add_site(JIASHAN, site, type="air-station", name={"zh": row["sitename"]}, programmes=["air-auto"])
        published = datetime.fromisoformat(row["time"])
        _add_air(source, JIASHAN, site, published, {name: row[column] for name, column in ZJEMC.items()})
    return source


def read_water(path: Path) -> Source:
    """Four-hourly water of the stations near the border (`water_4h_border_stations.csv`)."""
    source = Source()
    numbers: dict[str, int] = {}
    for row in _rows(path, source):
        party, station, time = _PROVINCES[row["省份"]], row["断面名称"], row["监测时间"]
        site = f"{party}-SW-{numbers.setdefault(station, len(numbers) + 1):04}"
        source.add_site(party, site, type="water-station", name={"zh": station}, programmes=["water-4h"])
        if time in MISSING:
            source.timeless += 1
            continue
        at = _at(datetime.strptime(f"2021-{time}", "%Y-%m-%d %H:%M"))  # noqa: DTZ007
        for column, factor in WATER.items():
            unit = units.unit(column[column.index("(") + 1 : -1]).code
            cell = _cell(row[column], row["站点情况"])
            source.add(Key(party, site, factor, at), cell, unit=unit, stat="inst", period="PT0S", profile="water-4h")
    return source


def _add_air(source: Source, party: str, site: str, published: datetime, texts: dict[str, str]) -> None:
    at = _at(published - timedelta(hours=1))
    for name, factor in AIR.items():
        unit = "mg/m3" if name == "CO" else "ug/m3"
        key, cell = Key(party, site, factor, at), _cell(texts[name], "")
        source.add(key, cell, unit=unit, stat="avg", period="PT1H", profile="hourly-air")


def _cell(text: str, state: str) -> Cell:
    return Cell(None, text) if text in MISSING else Cell(text, state)


def _rows(path: Path, source: Source) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            source.rows += 1
            yield row


def _at(beijing: datetime) -> str:
    return beijing.isoformat(timespec="seconds") + "+08:00"


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()

"""Published files of real stations through the shipped profiles: every text arrives as it is printed, row by row.

The expectation is read beside the profiles with nothing but `csv`: which text stands in which column of which row.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from schemas.records import Observation
from schemas.sheets import CSV, Finding, Found, Use, read_grid, read_sheet, shipped_profile
from schemas.times import to_millis

MISSING = {"NA", "--", "*", "-", ""}
REFERENCE = to_millis("2021-04-06T00:00:00+08:00")  # soon after the water files were archived
LATER = to_millis("2026-07-25T00:00:00+08:00")


@dataclass(frozen=True)
class File:
    """One file, the profile that reads it, and which columns say where and when. `hours` is how far the label is on."""

    name: str
    profile: str
    site: tuple[str, ...]
    time: str
    hours: int
    now: int
    factors: Mapping[str, str]
    rows: int
    found: int
    missing: int
    repeats: int = 0
    revised: int = 0
    findings: Mapping[str, int] | None = None


AIR = {"pm2_5": "a34004", "pm10": "a34002", "so2": "a21026", "no2": "a21004", "o3": "a05024", "co": "a21005"}
ZJ = {"PM25": "a34004", "PM10": "a34002", "SO2": "a21026", "NO2": "a21004", "O3": "a05024", "CO": "a21005"}
SHORT = {"PM₂.₅": "a34004", "PM₁₀": "a34002", "SO₂": "a21026", "NO₂": "a21004", "O₃": "a05024", "CO": "a21005"}
WATER = {
    "水温(℃)": "w01010", "pH(无量纲)": "w01001", "溶解氧(mg/L)": "w01009", "电导率(μS/cm)": "w01014",
    "浊度(NTU)": "w01003", "高锰酸盐指数(mg/L)": "w01019", "氨氮(mg/L)": "w21003", "总磷(mg/L)": "w21011",
    "总氮(mg/L)": "w21001", "叶绿素α(mg/L)": "w01016", "藻密度(cells/L)": "w19011",
}  # fmt: skip
W = ("water-national", ("断面名称",), "监测时间", 0, REFERENCE, WATER)

CNEMC = ("air-hourly", ("stationcode",), "timepoint", 1, LATER, AIR)
FILES = [
    File("air_hourly_cnemc_districts.csv", *CNEMC, 8_816, 52_896, 1_309),
    File("air_hourly_cnemc_four_cities.csv", *CNEMC, 108_683, 652_098, 12_469),
    File("air_hourly_zjemc_jiashan.csv", "air-hourly-zj", ("sitecode",), "time", 1, LATER, ZJ, 2_928, 17_568, 83),
    File(
        "air_hourly_zjemc_variant_schema.csv", "air-hourly-zj-short", ("city", "site"), "time", 1, LATER, SHORT,
        912, 5_472, 51,
    ),
    File("water_4h_border_stations.csv", *W, 392, 4_158, 683, 469, 4, {"sheet.row-empty": 14}),
    File("water_4h_taihu_shanghai.csv", *W, 2_412, 25_784, 4_373, 2_570, 147, {"sheet.row-empty": 68}),
    File(
        "water_4h_national.csv", *W, 46_183, 492_723, 89_639, 46_636, 7_946,
        {"sheet.row-empty": 1_189, "sheet.time-missing": 201},
    ),
]  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_text_of_a_published_file_is_the_text_of_its_record(shared: Path, file: File) -> None:
    path = shared / "testdata" / "real" / file.name
    if not path.is_file():
        pytest.skip("the published monitoring data are not here")
    profile = shipped_profile(file.profile)
    printed = list(printed_cells(path, file))
    sites = {name: f"S-{number}" for number, name in enumerate(dict.fromkeys(cell[0] for cell in printed))}
    use = Use(file.now, sites=sites if profile.site and profile.site.read == "name" else {})
    seen: list[Found] = []
    findings = Counter[str]()
    expected = iter(printed)
    for one in read_sheet(read_grid(CSV, path.read_bytes(), profile), profile, use):
        if isinstance(one, Finding):
            findings[one.code] += 1
            continue
        site, at, factor, text = next(expected)
        record = one.record
        assert isinstance(record, Observation)
        assert (record.site, record.at, record.factor) == (use.sites.get(site, site), at, factor), one
        assert record.value == (None if text in MISSING else text), one
        seen.append(one)
    assert next(expected, None) is None, "every cell with a time was read"
    records = [one.record for one in seen if isinstance(one.record, Observation)]
    assert (len(seen), sum(record.value is None for record in records)) == (file.found, file.missing)
    assert sum(one.repeats > 0 for one in seen) == file.repeats
    assert sum(record.reason != "" for record in records) == file.revised
    assert findings == Counter(file.findings or {})


def printed_cells(path: Path, file: File) -> Iterator[tuple[str, str, str, str]]:
    """Site, instant, factor and text of each cell of a factor's column, row by row, where the row says a time."""
    with path.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == file.rows
    order = list(shipped_profile(file.profile).factors)
    for row in rows:
        if row[file.time] in MISSING:
            continue
        at = printed_time(row[file.time]) - timedelta(hours=file.hours)
        for header in order:
            site = "/".join(row[name] for name in file.site)
            yield site, at.isoformat(timespec="seconds") + "+08:00", file.factors[header], row[header]


def printed_time(text: str) -> datetime:
    if len(text) == 11:
        text = f"2021-{text}"  # the water files print no year
    return datetime.fromisoformat(text)  # 2026-02-26T2000, 2026-05-01 and 2026-04-30 13:00:00 are all ISO 8601

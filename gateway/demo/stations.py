"""Simulated water stations on the Taipu and its neighbours, and what they would measure.

Values are a function of station, factor and instant: a base, a slow swing, and noise from a hash. So the same instant
gives the same value whenever it is asked for, a demonstration that starts again sends what it has sent before, and a
check knows what must be held. The places are real, the stations and all their values are not, and every record says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from schemas.devices import Device, DeviceFactor, Profile
from schemas.hj212 import encode_packet, measurement
from schemas.identifiers import check_character
from schemas.records import Mark, Observation, Site, Source
from schemas.records.parts import Name, Position
from schemas.times import BEIJING, DAY, beijing_text

MINUTE = 60_000  # ms
HOUR = 60 * MINUTE
ANTIMONY = "w20004"
PROFILE: Profile = "hj212-2017"
SIMULATED = "Taipu demonstration: simulated station, simulated data 演示用模拟站，模拟数据"
_SENT_AFTER = 4_000  # ms after the end of its minute a logger sends a packet


@dataclass(frozen=True)
class Course:
    """How a factor goes: `base` ± `swing` over `period` ms, ± `noise`; written with so many decimals, in `unit`."""

    unit: str
    base: float
    swing: float
    period: int
    noise: float
    decimals: int


COURSES: Mapping[str, Course] = {
    "w01001": Course("[pH]", 7.6, 0.2, DAY, 0.05, 2),
    "w01009": Course("mg/L", 7.4, 1.1, DAY, 0.15, 2),
    "w01010": Course("Cel", 18.0, 1.2, DAY, 0.1, 1),
    "w01019": Course("mg/L", 3.6, 0.5, 5 * DAY, 0.15, 1),
    "w21003": Course("mg/L", 0.35, 0.12, 4 * DAY, 0.04, 2),
    "w21011": Course("mg/L", 0.11, 0.02, 6 * DAY, 0.008, 3),
    ANTIMONY: Course("ug/L", 2.4, 0.9, 3 * DAY, 0.3, 2),  # the limit at drinking-water sources is 5
}
WATER_QUALITY = tuple(factor for factor in COURSES if factor != ANTIMONY)


@dataclass(frozen=True)
class Station:
    """One simulated station of `party`, the `number`-th; `x`, `y` are degrees (CGCS2000)."""

    party: str
    number: int
    zh: str
    en: str
    water: str
    x: str
    y: str

    @property
    def id(self) -> str:
        return f"{self.party}-SW-{self.number:04}"

    @property
    def mn(self) -> str:
        """The identifier of its logger: 24 characters, as HJ 212-2017 asks."""
        return f"{self.party}A8900016F000{self.number:06}"

    @property
    def factors(self) -> tuple[str, ...]:
        """Antimony is measured where the dyeing plants are."""
        return (*WATER_QUALITY, ANTIMONY) if self.party == "320509" else WATER_QUALITY


STATIONS = (
    Station("320509", 1, "平望", "Pingwang", "太浦河", "120.64", "30.98"),
    Station("320509", 2, "黎里", "Lili", "太浦河", "120.72", "31.00"),
    Station("320509", 3, "盛泽", "Shengze", "清溪", "120.65", "30.91"),
    Station("330421", 1, "陶庄", "Taozhuang", "太浦河", "120.80", "30.96"),
    Station("330421", 2, "丁栅", "Dingzha", "太浦河", "120.93", "30.98"),
    Station("330421", 3, "西塘", "Xitang", "芦墟塘", "120.89", "30.94"),
    Station("310118", 1, "金泽", "Jinze", "太浦河", "120.94", "31.03"),
    Station("310118", 2, "练塘", "Liantang", "太浦河", "121.04", "31.00"),
    Station("310118", 3, "商榻", "Shangta", "淀山湖", "120.89", "31.12"),
    Station("330503", 1, "南浔", "Nanxun", "頔塘", "120.43", "30.88"),
    Station("330503", 2, "练市", "Lianshi", "京杭运河", "120.43", "30.71"),
)


def stations_of(party: str) -> tuple[Station, ...]:
    return tuple(station for station in STATIONS if station.party == party)


def site_of(station: Station) -> Site:
    """The station's record."""
    return Site(
        id=station.id,
        type="water-station",
        name=Name(zh=f"{station.zh}（模拟）", en=f"{station.en} (simulated)"),
        district=station.party,
        water=station.water,
        water_type="lake" if station.water.endswith("湖") else "river",
        position=Position(station.x, station.y, "CGCS2000"),
        target="III",
        programmes=("water-auto",),
        owner=SIMULATED,
        opened="2020-01-01",
    )


def source_of(station: Station) -> Source:
    """A dyeing plant in the station's district; its id has a right check character and belongs to nobody."""
    credit_code = f"91{station.party}000000000"
    return Source(
        id=f"{credit_code}{check_character(credit_code)}{station.number:03}P",
        name=Name(zh=f"{station.zh}印染厂（模拟）", en=f"{station.en} dyeing plant (simulated)"),
        district=station.party,
        industry="C1713",
        categories=("dyeing",),
        outlets=("DW001",),
        opened="2020-01-01",
    )


def mark_of(station: Station, at: int) -> Mark:
    """A calibration of the station during the hour that begins at `at` (ms UTC), entered when it was over."""
    return Mark(
        site=station.id, type="calibration", from_=beijing_text(at), to=beijing_text(at + HOUR), author=SIMULATED,
        entered=beijing_text(at + HOUR),
    )  # fmt: skip


def device_of(station: Station) -> Device:
    """The registration of the station's logger: what its packets do not say."""
    factors = {factor: DeviceFactor(factor, COURSES[factor].unit) for factor in station.factors}
    return Device(mn=station.mn, site=station.id, profile=PROFILE, minute="PT1M", factors=factors)


def value_at(station: Station, factor: str, at: int) -> str:
    """What the station measures at `at` (ms UTC), as decimal text."""
    course = COURSES[factor]
    digest = blake2b(f"{station.id} {factor} {at}".encode(), digest_size=4).digest()
    noise = int.from_bytes(digest) / 2**31 - 1
    phase = station.number * 0.7 + len(station.water)
    value = course.base + course.swing * math.sin(2 * math.pi * at / course.period + phase) + course.noise * noise
    return f"{value:.{course.decimals}f}"


def hourly(station: Station, at: int) -> list[Observation]:
    """The station's averages of the hour that begins at `at` (ms UTC)."""
    return [_average(station, factor, at, "PT1H") for factor in station.factors]


def minutely(station: Station, at: int) -> list[Observation]:
    """What `packet(station, at)` says, as the records a gateway makes of it."""
    sent = beijing_text(at + MINUTE + _SENT_AFTER)
    return [_average(station, factor, at, "PT1M", sent) for factor in station.factors]


def packet(station: Station, at: int) -> bytes:
    """The HJ 212 packet (CN 2051) of the minute that begins at `at` (ms UTC)."""
    items = {factor: {"Avg": value_at(station, factor, at), "Flag": "N"} for factor in station.factors}
    sent = _instant(at + MINUTE + _SENT_AFTER)
    return encode_packet(measurement("2051", station.mn, _instant(at), items, sent=sent))


def hours(first: int, last: int) -> Iterator[int]:
    """The beginnings of the whole hours from `first` up to, not including, `last` (ms UTC)."""
    yield from range(-(-first // HOUR) * HOUR, last - last % HOUR, HOUR)


def _average(station: Station, factor: str, at: int, period: str, sent: str = "") -> Observation:
    return Observation(
        site=station.id, factor=factor, at=beijing_text(at), value=value_at(station, factor, at),
        unit=COURSES[factor].unit, stat="avg", period=period, flag="N", profile=PROFILE, sent=sent,
    )  # fmt: skip


def _instant(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC).astimezone(BEIJING)

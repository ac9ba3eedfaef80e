"""What the check hands in for one party, and which records must be held everywhere afterwards.

Not the easy case alone: readings that come before their site, packets of a logger that nobody has registered, the same
bytes twice, the same records in other bytes, corrections of corrections, a corrected site.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from gateway.demo.stations import (
    HOUR,
    MINUTE,
    Station,
    device_of,
    hourly,
    mark_of,
    minutely,
    packet,
    site_of,
    source_of,
    stations_of,
)
from gateway.ingest.parcel import HJ212, NDJSON
from schemas.devices import Device
from schemas.records import KEYS, Observation, Record, Retraction, encode_record, key_of, kind_of

_TOGETHER = 8  # hours of all stations in one submission: some 150 records, so that there are many batches
_LATE_HOURS = 12
_MINUTES = 10
_CORRECTED = 30  # records; a third of them twice
_RETRACTED = 5


@dataclass(frozen=True)
class Submission:
    """One request, and how many records are in it."""

    media_type: str
    content: bytes
    count: int


@dataclass(frozen=True)
class Registration:
    """Somebody registers a logger."""

    device: Device


Step = Submission | Registration


class Revision(NamedTuple):
    """One revision of one record, by everything that tells it apart. `key` is of the kind's own members."""

    provider: str
    kind: str
    key: tuple[str, ...]
    rev: int


def revision_of(provider: str, record: Record) -> Revision:
    """The identity of `record`, which carries its revision."""
    if not isinstance(record, Observation):
        return Revision(provider, kind_of(record), (key_of(record),), record.rev)
    key = (record.site, record.factor, record.origin, record.stat, record.period, record.at, record.sample)
    return Revision(provider, "observation", key, record.rev)


@dataclass
class Workload:
    """The steps of one party in order; the record each revision must be held as; and how many readings there are."""

    party: str
    steps: list[Step] = field(default_factory=list)
    expected: dict[Revision, Record] = field(default_factory=dict)
    observations: int = 0

    def add(self, records: Sequence[Record]) -> None:
        """A step that hands in `records`, a line each."""
        lines = [encode_record(record) + b"\n" for record in records]
        self.steps.append(Submission(NDJSON, b"".join(lines), len(lines)))

    def expect(self, records: Sequence[Record], *, rev: int = 1) -> None:
        """`records` must be held as revision `rev`, in the end."""
        for record in records:
            held = msgspec.structs.replace(record, rev=rev)
            self.expected[revision_of(self.party, held)] = held
            self.observations += isinstance(record, Observation)


def make_workload(party: str, observations: int, now: int) -> Workload:
    """At least so many observations of `party`, of the time before `now` (ms UTC)."""
    work = Workload(party)
    stations = stations_of(party)
    late = replace(stations[0], number=len(stations) + 1, zh="新站", en="New station")
    today = now - now % HOUR
    _hand_in_sites(work, stations)
    _hand_in_too_early(work, late, today)
    parcels = list(_hand_in_hours(work, stations, observations, today))
    _hand_in_packets(work, stations, today)
    _hand_in_again(work, parcels)
    _correct(work, parcels[0])
    _correct_site(work, stations[0])
    _tell_of_plants_and_conditions(work, stations, today)
    _retract(work, parcels[0])
    _make_known(work, late)
    return work


def _hand_in_sites(work: Workload, stations: Sequence[Station]) -> None:
    sites = [site_of(station) for station in stations]
    work.add(sites)
    work.expect(sites)


def _hand_in_too_early(work: Workload, late: Station, today: int) -> None:
    """Readings of a site that nobody has named, and packets of a logger that nobody has registered: both must wait."""
    readings = [record for hour in range(_LATE_HOURS) for record in hourly(late, today - (hour + 1) * HOUR)]
    work.add(readings)
    work.expect(readings)
    _hand_in_packets(work, [late], today)


def _hand_in_hours(work: Workload, stations: Sequence[Station], wanted: int, today: int) -> Iterator[list[Observation]]:
    """Hour by hour backwards, until there are as many as wanted; each parcel as it was handed in."""
    at, handed_in = today, 0
    while handed_in < wanted:
        first = at - _TOGETHER * HOUR
        parcel = [record for hour in range(first, at, HOUR) for station in stations for record in hourly(station, hour)]
        work.add(parcel)
        work.expect(parcel)
        yield parcel
        at, handed_in = first, handed_in + len(parcel)


def _hand_in_packets(work: Workload, stations: Sequence[Station], today: int) -> None:
    minutes = [(station, today - (index + 1) * MINUTE) for index in range(_MINUTES) for station in stations]
    records = [record for station, minute in minutes for record in minutely(station, minute)]
    work.steps.append(Submission(HJ212, b"".join(packet(*one) for one in minutes), len(records)))
    work.expect(records)


def _hand_in_again(work: Workload, parcels: Sequence[Sequence[Observation]]) -> None:
    """The last bytes once more, and records that are known in bytes that are not: neither changes anything."""
    work.steps.append(work.steps[-1])
    work.steps.append(work.steps[0])
    work.add([*parcels[0][::2], *parcels[-1][::3]])


def _correct(work: Workload, parcel: Sequence[Observation]) -> None:
    """New revisions with a reason, and for some of them one more after that."""
    for rev, count in ((2, _CORRECTED), (3, _CORRECTED // 3)):
        corrected = [
            msgspec.structs.replace(record, value=f"{rev}{record.value}", review="level1", reason="recalibrated")
            for record in parcel[:count]
        ]
        work.add(corrected)
        work.expect(corrected, rev=rev)


def _correct_site(work: Workload, station: Station) -> None:
    site = msgspec.structs.replace(site_of(station), target="II", reason="target-raised")
    work.add([site])
    work.expect([site], rev=2)


def _tell_of_plants_and_conditions(work: Workload, stations: Sequence[Station], today: int) -> None:
    """Kinds other than sites and readings: the dyeing plants there are, and a calibration entered afterwards."""
    told: list[Record] = [*map(source_of, stations), mark_of(stations[0], today - 2 * HOUR)]
    work.add(told)
    work.expect(told)


def _retract(work: Workload, parcel: Sequence[Observation]) -> None:
    """The last readings of a parcel no longer hold; what they said stays history."""
    retractions = [
        Retraction(
            of="observation",
            key={name: getattr(record, name) for name in KEYS["observation"]},
            reason="probe-out-of-water",
        )
        for record in parcel[-_RETRACTED:]
    ]
    work.add(retractions)
    work.expect(retractions, rev=2)


def _make_known(work: Workload, late: Station) -> None:
    """Now the logger and then the site of the early readings are told of: what waited goes its way."""
    work.steps.append(Registration(device_of(late)))
    site = site_of(late)
    work.add([site])
    work.expect([site])

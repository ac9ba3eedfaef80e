"""The station simulator at work: thirty days of history, then a packet a minute from each station.

Everything enters where a station platform's data enter, `POST /v1/submissions`, as the party's station client. What is
handed in is the same bytes whenever it is handed in again, so a gateway that was away, or a demonstration that starts
again, ends with nothing twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from gateway.demo.network import Member, connect
from gateway.demo.stations import HOUR, MINUTE, STATIONS, Station, hourly, hours, packet, site_of, stations_of
from gateway.ingest.parcel import HJ212, NDJSON
from partners.client import PartnerClient
from partners.errors import PartnerUnreachableError
from schemas.records import encode_record
from schemas.times import DAY, now_millis

HISTORY_DAYS = 30
CATCH_UP = 2 * HOUR  # ms of minute data handed in faster than they would come, so that there is something to see
PACE = 1_000  # ms from one minute's packets to the next until they have caught up with the clock
_RETRY = 0.3  # seconds
_BEIJING_OFFSET = 8 * HOUR


def load_history(member: Member, now: int, stop: threading.Event) -> None:
    """The party's sites, and hourly values of the past days: a submission for each day. `now` in ms UTC."""
    stations = stations_of(member.party)
    with connect(member.station) as client:
        sites = b"".join(encode_record(site_of(station)) + b"\n" for station in stations)
        submit(client, sites, NDJSON, stop)
        for first, last in _days(now - HISTORY_DAYS * DAY, now):
            lines = [
                encode_record(record) + b"\n"
                for at in hours(first, last)
                for station in stations
                for record in hourly(station, at)
            ]
            submit(client, b"".join(lines), NDJSON, stop)


def feed_live(member: Member, now: int, stop: threading.Event) -> None:
    """A packet for each station and minute, from two hours before `now` (ms UTC) on, until told to stop."""
    stations = stations_of(member.party)
    first = now - now % HOUR - CATCH_UP
    sent = 0
    with connect(member.station) as client:
        for station, minute in _schedule(stations, first):
            due = max(sent + PACE // len(stations), minute + MINUTE + _stagger(station))
            if stop.wait(max(due - now_millis(), 0) / 1000):
                return
            sent = now_millis()
            submit(client, packet(station, minute), HJ212, stop)


def submit(client: PartnerClient, content: bytes, media_type: str, stop: threading.Event) -> dict[str, Any]:
    """Hand in `content`, again and again while the gateway is away: whatever became of the first try, it counts once.

    The answer, or nothing where we were told to stop first.
    """
    while not stop.is_set():
        try:
            return client.submit(content, media_type)
        except PartnerUnreachableError:
            stop.wait(_RETRY)
    return {}


def _days(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Days of Beijing time from the one `first` lies in; the last ends at `last`. So their bytes stay the same."""
    start = first - (first + _BEIJING_OFFSET) % DAY
    while start < last:
        yield start, min(start + DAY, last)
        start += DAY


def _schedule(stations: tuple[Station, ...], first: int) -> Iterator[tuple[Station, int]]:
    minute = first
    while True:
        for station in stations:
            yield station, minute
        minute += MINUTE


def _stagger(station: Station) -> int:
    """When within the minute a station's logger sends (ms): one after the other."""
    return STATIONS.index(station) * MINUTE // len(STATIONS)

"""Published data of real stations through three gateways: every text arrives as it was printed, and nothing else does.

57,000 hourly and four-hourly values of air and water stations around the border, with the outages, repeats and
corrections they were published with. `tests.walk.real_data` says what the files mean. Each district hands in its own at
its own gateway; then each district's reader asks its own gateway for its neighbours' values, over HTTPS, page by page.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.store import queue
from gateway.store.feeds import from_frame
from gateway.store.findings import waiting_since
from partners.client import PartnerClient
from partners.document import open_document
from schemas.batch import Batch, open_batch
from tests.walk.processes import running
from tests.walk.real_data import AIR, WATER, Cell, Key, Source, read_cnemc, read_water, read_zjemc
from tests.world import (
    JIASHAN,
    PARTIES,
    QINGPU,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    wait_for,
)

NDJSON = "application/x-ndjson"
TOGETHER = 5_000  # lines of one submission
PAGE = 10_000  # observations of one page
SCOPES = ["records:submit", "records:read", "feeds:read"]
PATIENCE = 120  # seconds until everything must have arrived; it takes some five

CHOSEN: dict[str, dict[str, Any]] = {
    "sites": {"kind": "site"},
    "air-hourly": {"select": {"programmes": ["air-auto"], "factors": [*AIR.values()], "periods": ["PT1H"]}},
    "water-4h": {
        "select": {"programmes": ["water-4h"], "factors": [*WATER.values()]},
        "cadence": {"every": "PT4H", "due": "PT4H"},
    },
}
DATASETS = [
    {"id": f"{prefix}-{name}", "provider": party, "recipients": sorted({*PARTIES} - {party}), **chosen}
    for prefix, party in (("wj", WUJIANG), ("js", JIASHAN), ("qp", QINGPU))
    for name, chosen in CHOSEN.items()
]

VERDICTS = ("accepted", "duplicates", "revised", "held", "refused")

Districts = dict[str, Node]
Clients = dict[str, PartnerClient]
Feeds = dict[tuple[str, str], list[Batch]]


def test_every_published_text_arrives_at_both_neighbours_and_nothing_else_does(
    districts: Districts, folder: Path
) -> None:
    watch = Stopwatch()
    national = read_cnemc(folder / "air_hourly_cnemc_districts.csv")
    provincial = read_zjemc(folder / "air_hourly_zjemc_jiashan.csv")
    water = read_water(folder / "water_4h_border_stations.csv")
    sources = [national, provincial, water]
    expected = {key: cell for source in sources for key, cell in source.cells.items()}
    watch.lap("read the files")

    # 0. The reading of the files agrees with what was counted in them by other means.
    assert (national.rows, national.elsewhere, national.timeless) == (8_816, 2_951, 0)
    assert (provincial.rows, provincial.elsewhere, provincial.timeless) == (2_928, 0, 0)
    assert (water.rows, water.elsewhere, water.timeless) == (392, 0, 14)
    assert (len(expected), missing(expected)) == (56_443, 1_490)

    # 1. Every district says where its stations are, and its neighbours know.
    clients = {party: node.client(scopes=SCOPES) for party, node in districts.items()}
    for party, client in clients.items():
        sites = [line for source in sources for line in source.sites.get(party, {}).values()]
        assert client.submit(b"\n".join(sites), NDJSON)["accepted"] == len(sites)
    wait_for(lambda: all({"wj-sites", "js-sites", "qp-sites"} <= taken(client).keys() for client in clients.values()))
    watch.lap("share the sites")

    # 2. Every district hands in its values. What a platform printed twice is a duplicate; where it printed something
    #    else the second time, that is a revision.
    answers = [client.submit(body, NDJSON) for party, client in clients.items() for body in submissions(sources, party)]
    tally = {name: sum(answer[name] for answer in answers) for name in VERDICTS}
    watch.lap("hand in the values")
    repeated, changed = printed_again(folder / "water_4h_border_stations.csv")
    assert (tally["accepted"], tally["duplicates"], tally["revised"]) == (len(expected), repeated, changed)
    assert (repeated, changed) == (469, 4)
    assert (tally["held"], tally["refused"]) == (0, 0)

    # 3. It is published in batches that follow on each other, and both neighbours take every one of them.
    feeds: Feeds = {(one["provider"], one["id"]): [] for one in DATASETS}
    wait_for(lambda: all(map(has_looked, districts.values())), seconds=PATIENCE)
    follow(feeds, districts, clients)
    once, again = lines_of(feeds)
    assert len(once) == tally["accepted"] + tally["revised"]
    assert all(line["findings"] for line in again)  # what is found after a line has left makes it leave once more
    heads = {dataset: batches[-1].hash for (_, dataset), batches in feeds.items()}
    wait_for(lambda: all(taken(client) == heads for client in clients.values()), seconds=PATIENCE)
    batches = sum(map(len, feeds.values()))
    # What waits is published together, and never a value twice but for its findings.
    assert len(feeds) <= batches <= 2 * len(answers) + len(clients)
    assert len(again) < len(once) / 1000
    watch.lap("share the values")

    # 4. Both neighbours' readers find all of it: a value as the text that was printed, a missing one as missing, with
    #    the mark that stood in its place.
    for reader, client in clients.items():
        theirs = {key: cell for key, cell in expected.items() if key.party != reader}
        found = readings(client, set(PARTIES) - {reader})
        assert [(key, cell, found.get(key)) for key, cell in theirs.items() if found.get(key) != cell][:3] == []
        assert (len(found), missing(found)) == (len(theirs), missing(theirs))
    watch.lap("read it at the neighbours")

    rows = sum(source.rows for source in sources)
    print(f"\n{rows:,} rows, {sum(tally.values()):,} records, {missing(expected):,} missing, {batches} batches", watch)


@pytest.fixture
def folder(shared: Path) -> Path:
    """The folder with the published data."""
    real = shared / "testdata" / "real"
    if not real.is_dir():
        pytest.skip("the published monitoring data are not here")
    return real


@pytest.fixture
def districts(tmp_path: Path) -> Iterator[Districts]:
    """The three gateways, by party: processes that know each other and share air, water and sites."""
    nodes = {party: make_node(tmp_path, party) for party in PARTIES}
    introduce(*nodes.values())
    bring_plan(plan_document(*DATASETS), *nodes.values())
    with running(*nodes.values()):
        yield nodes


class Stopwatch:
    """Seconds of each lap, by its name."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._laps[name], self._since = now - self._since, now

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self._laps.items())


def missing(cells: dict[Key, Cell]) -> int:
    return sum(cell.value is None for cell in cells.values())


def submissions(sources: list[Source], party: str) -> Iterator[bytes]:
    """What a district hands in, file by file, some thousand lines at a time."""
    for source in sources:
        lines = source.readings.get(party, [])
        for start in range(0, len(lines), TOGETHER):
            yield b"\n".join(lines[start : start + TOGETHER])


def printed_again(path: Path) -> tuple[int, int]:
    """How many cells of the water file say the same as the row before of their station and time, and how many differ.

    Counted on the text: columns 3 and 4 are station and time, 6 to 16 the factors; no cell has a comma in it.
    """
    last: dict[tuple[str, ...], list[str]] = {}
    same = different = 0
    for line in path.read_text("utf-8").splitlines()[1:]:
        columns = line.split(",")
        place, cells = tuple(columns[2:4]), columns[5:16]
        if place[1][:1].isdigit():
            before = last.get(place, [])
            same += sum(one == other for one, other in zip(cells, before, strict=False))
            different += sum(one != other for one, other in zip(cells, before, strict=False))
            last[place] = cells
    return same, different


def taken(client: PartnerClient) -> dict[str, str]:
    """The newest batch (manifest hash) of every feed that the client's gateway has published or taken so far."""
    return {head.dataset: head.manifest for head in client.feeds()[0] if head.seq}


def has_looked(node: Node) -> bool:
    """Whether a district has published all it has, and its rules have looked at it."""
    with node.gateway.database.read() as session:
        return waiting_since(session) is None and not queue.waiting(session)


def lines_of(feeds: Feeds) -> tuple[dict[tuple[Any, ...], Any], list[Any]]:
    """Every value by its key and revision as it was first published, and the lines that came for one of them again."""
    once: dict[tuple[Any, ...], Any] = {}
    again = []
    for (provider, _), batches in feeds.items():
        for batch in (one for one in batches if one.manifest.first):
            for line in map(json.loads, batch.lines):
                key = (provider, line["site"], line["factor"], line["at"], line["rev"])
                if once.setdefault(key, line) is not line:
                    again.append(line)
    return once, again


def follow(feeds: Feeds, districts: Districts, clients: Clients) -> None:
    """Read on in every feed at its provider, each batch verified and following on the one before."""
    for (provider, dataset), batches in feeds.items():
        keys = manifest_keys(districts[provider])
        while frames := clients[provider].feed_page(provider, dataset, after=len(batches)):
            for frame in frames:
                batch = open_batch(from_frame(frame), keys)
                assert batch.manifest.seq == len(batches) + 1
                assert batch.manifest.prev == (batches[-1].hash if batches else "")
                batches.append(batch)


def manifest_keys(node: Node) -> dict[str, Ed25519PublicKey]:
    """What a party signs its batches with, by `kid`, as it publishes it."""
    return {jwk.kid: jwk.public for jwk in open_document(node.document).keys.manifest}


def readings(client: PartnerClient, providers: set[str]) -> dict[Key, Cell]:
    """Everything of these providers that the client's gateway gives its reader, page by page; no value comes twice."""
    found: dict[Key, Cell] = {}
    for provider in sorted(providers):
        cursor: str | None = ""
        while cursor is not None:
            asked = {"party": provider, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
            page = client.get("/v1/observations", asked).json()
            for one in page["observations"]:
                key = Key(one["provider"], one["site"], one["factor"], one["at"])
                assert key not in found
                found[key] = Cell(one["value"], one.get("flag", ""))
            cursor = page["next"]
    return found

"""Publishing, and the feed as it is served: stored zstd frames, or decompressed for those who do not take zstd.

The limit of serving is a file server of the same bytes: Starlette's FileResponse behind the same uvicorn and TLS, with
no token, no grant and no database. The same client reads from both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from bench.caller import Caller
from bench.databases import new_database
from bench.gateways import DATASET, LINGER_NONE, PROVIDER, STATION, add_access, make_gateway, make_provider
from bench.processes import running
from bench.readings import SIZE, ndjson, observation_lines
from bench.rounds import Contestant, Measure, Ratio, Work, play, timed
from gateway.ingest.submissions import submit
from gateway.service import Gateway
from gateway.store import feeds
from partners.plans import plans_in_force
from schemas.batch import MAX_RECORDS, Batch, write_batch
from schemas.times import now_millis, utc_text

FRAMES = "feed as zstd frames"
PLAIN = "feed decompressed"
FILE_FRAMES = "limit: file of those frames"
FILE_PLAIN = "limit: file, decompressed"

_PLAIN = 20  # batches of the page that is decompressed: some 38 MiB
_PATH = f"/v1/feeds/{PROVIDER}/{DATASET}"
_ACCEPT = {FRAMES: {"Accept": "application/zstd"}, PLAIN: {"Accept": "*/*"}}
_MIB = 1024 * 1024


def measure_publishing(engines: dict[str, str], folder: Path, *, rounds: int, bodies: int) -> Measure:
    """Rows a second from the queue into signed batches; `engines` gives an empty database of each engine."""
    with ExitStack() as stack:
        contestants: dict[str, Contestant] = {}
        for engine, url in engines.items():
            gateway = make_provider(folder / f"publish-{engine}", url, linger=LINGER_NONE)
            stack.callback(gateway.close)
            _publish(gateway)
            contestants[f"publishing on {engine}"] = _publishing(gateway, bodies)
        rates = play(contestants, rounds)
    note = "selected, projected, signed, compressed, logged, pinned; by one process that does nothing else"
    return Measure("Publishing", "observations/s", rates, notes=[note])


def measure_feed(engine: str, folder: Path, server: str, *, rounds: int, batches: int) -> Measure:
    """Bytes a second of one page of `batches` batches of 10,000 observations, over HTTPS; of the last 20 of them where
    they are decompressed."""
    gateway = make_provider(folder / "feed", new_database(engine, folder, server))
    access = add_access(gateway, "bench-reader", "reader", "feeds:read")
    frames, files = _fill(gateway, batches)
    gateway.close()
    page = f"{_PATH}?after=0"
    last = f"{_PATH}?after={max(batches - _PLAIN, 0)}"
    pages = folder / "pages"
    pages.mkdir()
    (pages / "frames").write_bytes(frames)
    (pages / "plain").write_bytes(files)
    spare = make_gateway(folder / "files", "330503", f"sqlite:///{folder}/unused.db")
    spare.close()
    with ExitStack() as stack:
        stack.enter_context(running("gateway", folder / "feed"))
        stack.enter_context(running("files", folder / "files", str(pages)))
        reader = stack.enter_context(Caller(access.url, access.ca_pem, access))
        anyone = stack.enter_context(Caller(spare.settings.url, spare.settings.tls.ca.read_text()))
        rates = play(
            {
                FRAMES: _reading(reader, page, _ACCEPT[FRAMES], len(frames)),
                FILE_FRAMES: _reading(anyone, "/frames", {}, len(frames)),
                PLAIN: _reading(reader, last, _ACCEPT[PLAIN], len(files)),
                FILE_PLAIN: _reading(anyone, "/plain", {}, len(files)),
            },
            rounds,
        )
    ratios = [Ratio(FRAMES, FILE_FRAMES, 0.5), Ratio(PLAIN, FILE_PLAIN)]
    size = (
        f"a page has {batches} batches, {len(frames) / _MIB:.1f} MiB of frames, or {len(files) / _MIB:.1f} MiB of lines"
    )
    return Measure(f"Feed served from {engine}", "MiB/s", rates, ratios, [size])


def _publish(gateway: Gateway) -> list[Batch]:
    """Everything that waits."""
    batches: list[Batch] = []
    while made := gateway.publisher.publish_due(now=now_millis()):
        batches += made
    return batches


def _publishing(gateway: Gateway, bodies: int) -> Contestant:
    numbers = count()

    def turn(_round: int) -> Work:
        for _ in range(bodies):
            submit(gateway, STATION, "application/x-ndjson", ndjson(next(numbers)), now=now_millis())
        with timed(bodies * SIZE) as work:
            made = _publish(gateway)
        if sum(batch.manifest.count for batch in made) != work.count:
            raise RuntimeError("not everything that was handed in was published")
        return work

    return turn


def _fill(gateway: Gateway, batches: int) -> tuple[bytes, bytes]:
    """Put `batches` batches into the feed, as the publisher would; all frames in one piece, and the last files."""
    frames, files = [], []
    for batch in make_batches(gateway, batches):
        with gateway.database.write() as session:
            feeds.append_batch(session, feeds.lock_head(session, PROVIDER, DATASET), batch, at=now_millis())
        gateway.heads.pin_feed(PROVIDER, DATASET, batch.manifest.seq, batch.hash)
        frames.append(feeds.to_frame(batch.file))
        files.append(batch.file)
    return b"".join(frames), b"".join(files[-_PLAIN:])


def make_batches(gateway: Gateway, how_many: int, *, after: Batch | None = None, first: int = 0) -> Iterator[Batch]:
    """Signed batches of 10,000 observations each, from body number `first` on, that follow on the batch `after`."""
    bodies = MAX_RECORDS // SIZE
    with gateway.database.read() as session:
        found = plans_in_force(session, now_millis()).dataset(PROVIDER, DATASET)
    assert found is not None
    for number in range(how_many):
        start = first + number * bodies
        lines = [line for body in range(start, start + bodies) for line in observation_lines(body, rev=1)]
        after = write_batch(
            gateway.keys.manifest, lines, provider=PROVIDER, dataset=DATASET, plan=found[0].reference,
            plan_digest=found[0].digest, seq=after.manifest.seq + 1 if after else 1, prev=after.hash if after else "",
            first="", last="", created=utc_text(now_millis()),
        )  # fmt: skip
        yield after


def _reading(caller: Caller, path: str, headers: dict[str, str], size: int) -> Contestant:
    """Read the page a few times over, so that a turn takes long enough to be timed."""
    times = max(1, 32 * _MIB // size)

    def turn(_round: int) -> Work:
        with timed(times * size / _MIB) as work:
            for _ in range(times):
                if len(caller.call("GET", path, headers=headers)) != size:
                    raise RuntimeError("the answer is not the page that was expected")
        return work

    return turn

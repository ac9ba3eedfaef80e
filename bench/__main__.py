"""`python -m bench [--quick] [PART …]`: measure, print, and write `bench/results.json`. `bench/README.md` explains."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.access import measure_access
from bench.apply import measure_apply
from bench.databases import ENGINES, new_database, psycopg_address, running_postgres
from bench.feed import measure_feed, measure_publishing
from bench.hj212 import measure_hj212
from bench.ingest import measure_ingest
from bench.log import measure_audit, measure_log
from bench.loggers import measure_loggers
from bench.machine import describe_machine
from bench.rounds import Measure
from gateway.server import spare_collecting

RESULTS = Path(__file__).with_name("results.json")
PARTS = ("ingest", "publish", "feed", "apply", "hj212", "loggers", "log", "audit", "access")


@dataclass(frozen=True)
class Size:
    """How much is done: rounds, and work of one turn."""

    rounds: int
    bodies: int  # of 1,000 observations
    batches: int  # of 10,000 observations
    requests: int
    packets: int
    each: int  # packets of each of a thousand data loggers
    steps: int  # of 1,000 log entries
    audited: int  # log entries


FULL = Size(rounds=5, bodies=20, batches=3, requests=150, packets=2_000, each=10, steps=10, audited=100_000)
QUICK = Size(rounds=3, bodies=8, batches=1, requests=60, packets=500, each=4, steps=4, audited=20_000)
_PAGE = 100  # batches of a page of a feed: nearly the 8 MiB at which a page ends


class Bench:
    """One run: a folder that is thrown away, a PostgreSQL server, and how much to do."""

    def __init__(self, folder: Path, server: str, size: Size) -> None:
        self._folder = folder
        self._server = server
        self._size = size

    def measure(self, part: str) -> Iterator[Measure]:
        """The measures of one of `PARTS`, one after the other as they are finished."""
        methods = (
            self._ingest, self._publish, self._feed, self._apply, self._hj212, self._loggers, self._log, self._audit,
            self._access,
        )  # fmt: skip
        return dict(zip(PARTS, methods, strict=True))[part]()

    def _ingest(self) -> Iterator[Measure]:
        for engine in ENGINES:
            where = self._room(f"ingest-{engine}")
            yield measure_ingest(engine, where, self._server, rounds=self._size.rounds, bodies=self._size.bodies)

    def _publish(self) -> Iterator[Measure]:
        where = self._room("publish")
        engines = {engine: new_database(engine, where, self._server) for engine in ENGINES}
        yield measure_publishing(engines, where, rounds=self._size.rounds, bodies=self._size.bodies)

    def _feed(self) -> Iterator[Measure]:
        for engine in ENGINES:
            where = self._room(f"feed-{engine}")
            yield measure_feed(engine, where, self._server, rounds=self._size.rounds, batches=_PAGE)

    def _apply(self) -> Iterator[Measure]:
        for engine in ENGINES:
            where = self._room(f"apply-{engine}")
            yield measure_apply(engine, where, self._server, rounds=self._size.rounds, batches=self._size.batches)

    def _hj212(self) -> Iterator[Measure]:
        yield measure_hj212(rounds=self._size.rounds, packets=self._size.packets)

    def _loggers(self) -> Iterator[Measure]:
        for engine in ENGINES:
            where = self._room(f"loggers-{engine}")
            yield measure_loggers(engine, where, self._server, rounds=self._size.rounds, packets=self._size.each)

    def _log(self) -> Iterator[Measure]:
        for engine in ENGINES:
            where = self._room(f"log-{engine}")
            yield measure_log(engine, where, self._server, rounds=self._size.rounds, steps=self._size.steps)

    def _audit(self) -> Iterator[Measure]:
        yield measure_audit(self._room("audit"), rounds=self._size.rounds, entries=self._size.audited)

    def _access(self) -> Iterator[Measure]:
        for engine in ENGINES:
            where = self._room(f"access-{engine}")
            yield measure_access(engine, where, self._server, rounds=self._size.rounds, requests=self._size.requests)

    def _room(self, name: str) -> Path:
        room = self._folder / name
        room.mkdir()
        return room


def show(console: Console, measure: Measure) -> None:
    """One measure as a table, its ratios and its notes below."""
    table = Table(title=f"{measure.title} ({measure.unit})", title_justify="left", title_style="bold")
    table.add_column("")
    for heading in ("median", "lowest", "highest"):
        table.add_column(heading, justify="right")
    for name, rates in measure.rates.items():
        table.add_row(name, *(f"{rate:,.0f}" for rate in (median(rates), min(rates), max(rates))))
    console.print(table)
    for ratio in measure.ratios:
        each = measure.quotients(ratio)
        middle = median(each)
        verdict = ""
        if ratio.target is not None:
            reached = "[green]reached[/]" if middle >= ratio.target else "[red]not reached[/]"
            verdict = f"   asked for {ratio.target:g}: {reached}"
        spread = f"({min(each):.2f} to {max(each):.2f})"
        console.print(f"  {ratio.of} / {ratio.by}: [bold]{middle:.2f}[/] {spread}{verdict}", soft_wrap=True)
    for note in measure.notes:
        console.print(f"  [dim]{note}[/]", soft_wrap=True)
    console.print()


def main() -> None:
    """Measure what was asked for, everything by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"what to measure: {', '.join(PARTS)}; everything by default")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and less work: under two minutes")
    arguments = parser.parse_args()
    unknown = set(arguments.part) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    console = Console()
    spare_collecting()  # as a serving process does: some contestants work in this one
    with tempfile.TemporaryDirectory(prefix="taipu-bench-") as name, running_postgres(Path(name)) as server:
        machine = describe_machine(psycopg_address(server))
        console.print(f"[bold]{machine}[/]\n", soft_wrap=True)
        bench = Bench(Path(name), server, QUICK if arguments.quick else FULL)
        measures = []
        for part in dict.fromkeys(arguments.part) or PARTS:
            for measure in bench.measure(part):
                show(console, measure)
                measures.append(measure)
    command = " ".join(("python -m bench", *sys.argv[1:]))
    written = {
        "command": command, "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine,
        "measures": [measure.as_json() for measure in measures],
    }  # fmt: skip
    RESULTS.write_text(json.dumps(written, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""`taipu demo --check`: three gateways, one of them killed in the middle, and afterwards nothing missing or doubled.

Every gateway is handed at least as many observations as asked for, all three at once. While batches flow Jiashan's is
killed with SIGKILL and started again. When all is quiet the gateways are stopped, their stores compared record by
record with what was handed in, and every batch, receipt and log verified.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import exists, select

from audit import log as exchange_log
from audit.tables import log_outbox
from gateway.db import Database
from gateway.demo.comparison import compare, read_store
from gateway.demo.feed import submit
from gateway.demo.network import Member, connect, create_network
from gateway.demo.processes import Node, kill, running, start, wait_ready
from gateway.demo.proofs import verify_all
from gateway.demo.workload import Registration, Submission, Workload, make_workload
from gateway.home import open_home
from gateway.service import Gateway
from gateway.store import tables
from gateway.store.evidence import evidence_counts
from partners.client import PartnerClient
from partners.tables import delivery, receipt
from schemas.times import now_millis

OBSERVATIONS = 5_000  # at each gateway
KILLED = "330421"
_AWAY = 0.5  # seconds between the kill and the new start
_QUIET_WITHIN = 45.0  # seconds after the last submission
_LOOK = 0.1  # seconds

Tell = Callable[[str], None]


@dataclass
class Progress:
    """How far one party's submitter has come, for the one who waits for the middle."""

    done: int = 0
    held: int = 0
    duplicates: int = 0
    problems: list[str] = field(default_factory=list)


def run_check(root: Path, observations: int, *, server: str | None, tell: Tell) -> int:
    """The whole scenario in `root`, which must be empty; its result as one JSON line on standard output.

    Returns 0 if nothing is missing, nothing doubled and everything verifies, otherwise 1. `tell` hears of the progress.

    Raises:
        DemoError: the gateways cannot be made or started.
    """
    began = time.monotonic()
    now = now_millis()
    # Nobody opens its pages, and a demonstration may be running beside it: it leaves the usual ports alone.
    members = create_network(root, now=now, server=server, ports={})
    tell(f"simulated data; three gateways at {', '.join(member.url for member in members)}")
    works = [make_workload(member.party, observations, now) for member in members]
    with running(members) as nodes:
        tell(f"handing in {sum(work.observations for work in works):,} readings, and killing {KILLED} in the middle")
        problems = _hand_in(nodes, works, tell)
        if not _wait_until_quiet(members):
            problems.append(f"not all was delivered and receipted within {_QUIET_WITHIN} s")
        tell("all quiet; stopping")
    result, more = _judge(root, members, works, tell)
    problems += more
    for problem in problems:
        tell(problem)
    result["seconds"] = round(time.monotonic() - began, 1)
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    return 1 if problems else 0


def _hand_in(nodes: list[Node], works: list[Workload], tell: Tell) -> list[str]:
    """Every party's steps, each party from a thread of its own, with a kill in the middle; what went wrong."""
    stop = threading.Event()
    progress = [Progress() for _ in works]
    with ThreadPoolExecutor(len(nodes)) as threads:
        try:
            busy = [
                threads.submit(_work, node.member, work, one, stop)
                for node, work, one in zip(nodes, works, progress, strict=True)
            ]
            victim = next(index for index, node in enumerate(nodes) if node.member.party == KILLED)
            _restart_midway(nodes, victim, works[victim], progress[victim], busy, tell)
            for future in busy:
                future.result()
        finally:
            stop.set()
    duplicates, held = (sum(getattr(one, name) for one in progress) for name in ("duplicates", "held"))
    tell(f"all is handed in; {duplicates:,} duplicates were recognised, {held:,} records had to wait")
    return [problem for one in progress for problem in one.problems]


def _restart_midway(
    nodes: list[Node], victim: int, work: Workload, progress: Progress, busy: list[Future[None]], tell: Tell
) -> None:
    while progress.done < len(work.steps) // 2 and not busy[victim].done():
        time.sleep(_LOOK / 10)
    kill(nodes[victim])
    tell(f"{KILLED} is killed after {progress.done} of {len(work.steps)} steps")
    time.sleep(_AWAY)
    nodes[victim] = start(nodes[victim].member)
    wait_ready([nodes[victim]])
    tell(f"{KILLED} answers again; {sum(future.done() for future in busy)} of {len(busy)} parties are done")


def _work(member: Member, work: Workload, progress: Progress, stop: threading.Event) -> None:
    with connect(member.station) as client:
        for step in work.steps:
            if isinstance(step, Registration):
                _register(member, step)
            else:
                _submit(client, step, progress, stop, member.party)
            progress.done += 1


def _submit(client: PartnerClient, step: Submission, progress: Progress, stop: threading.Event, party: str) -> None:
    answer = submit(client, step.content, step.media_type, stop)
    if answer.get("refused"):
        progress.problems.append(f"{party} refused {answer['refused']} of {step.count} records")
    progress.held += int(answer.get("held", 0))
    progress.duplicates += int(answer.get("duplicates", 0))


def _register(member: Member, step: Registration) -> None:
    """As an administrator's command would: into the database of a gateway that runs, or is just being killed."""
    gateway = Gateway(open_home(member.home))
    with gateway.database.write() as session:
        gateway.devices.register(session, [step.device], now=now_millis())
    gateway.close()


def _wait_until_quiet(members: list[Member]) -> bool:
    """Until nothing is on its way any more; False if that takes too long."""
    deadline = time.monotonic() + _QUIET_WITHIN
    with ExitStack() as stack:
        databases = [Database(member.database, pool=2) for member in members]
        for database in databases:
            stack.callback(database.close)
        quiet = 0
        while time.monotonic() < deadline:
            # Twice in a row: what leaves one database has to be seen in the next.
            quiet = quiet + 1 if all(_is_quiet(database) for database in databases) else 0
            if quiet == 2:
                return True
            time.sleep(_LOOK)
    return False


def _is_quiet(database: Database) -> bool:
    with database.read() as session:
        head = exchange_log.head(session)
        waiting = (
            exists(select(tables.queue.c.id)),
            exists(select(tables.held.c.id)),
            exists(select(log_outbox.c.id)),
            exists(select(delivery.c.seq).where(delivery.c.state == "pending")),
            exists(select(receipt.c.hash).where(receipt.c.state == "pending")),
        )
        return head.size == head.signed_size and not any(session.execute(select(*waiting)).one())


def _judge(root: Path, members: list[Member], works: list[Workload], tell: Tell) -> tuple[dict[str, Any], list[str]]:
    """The figures for the JSON line, and everything that is wrong."""
    expected = {revision: record for work in works for revision, record in work.expected.items()}
    with _opened(members) as gateways:
        stores, doubled, strange = {}, 0, list[str]()
        for party, gateway in gateways.items():
            with gateway.database.read() as session:
                stores[party], twice = read_store(session)
                strange += (f"{party} keeps evidence against {code}" for code in evidence_counts(session))
            doubled += twice
        tell("stores read; comparing record by record")
        compared = compare(expected, stores)
        tell("verifying batches, receipts and logs")
        proofs = verify_all(gateways, root)
    problems = [*compared.problems, *proofs.problems, *strange]
    if doubled:
        problems.append(f"{doubled} revisions are held twice")
    result = {
        "gateways": len(members),
        "submitted": len(expected),
        "replicated": compared.replicated,
        "missing": compared.missing,
        "duplicates": doubled,
        "batches": proofs.batches,
        "receipts": proofs.receipts,
        "log_entries": proofs.log_entries,
        "logs_verified": not proofs.problems,
    }
    return result, problems


@contextmanager
def _opened(members: list[Member]) -> Iterator[Mapping[str, Gateway]]:
    with ExitStack() as stack:
        gateways = {}
        for member in members:
            gateways[member.party] = Gateway(open_home(member.home))
            stack.callback(gateways[member.party].close)
        yield gateways

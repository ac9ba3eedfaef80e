"""`taipu demo` and `taipu demo --check`: everything from making three homes to leaving nothing behind."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from gateway.demo.check import OBSERVATIONS, run_check
from gateway.demo.feed import HISTORY_DAYS, feed_live, load_history
from gateway.demo.live import SIMULATED, addresses, show
from gateway.demo.network import (
    DESCRIPTION_FILE,
    PARTIES,
    Member,
    check_ports,
    create_network,
    describe,
    is_network,
    open_network,
)
from gateway.demo.postgres import drop_database
from gateway.demo.processes import Node, running
from gateway.settings import ENV_PREFIX
from partners.keys import write_private
from schemas.times import now_millis

DATABASE_VARIABLE = "TAIPU_DEMO_DATABASE"


def run(*, check: bool, keep: Path | None, observations: int = OBSERVATIONS) -> int:
    """Show three gateways exchanging simulated data until Ctrl-C, or with `check` see that nothing is lost.

    The data stay in `keep`, where a later start goes on; without it they are removed at the end. The check hands in so
    many `observations` at each gateway. Returns the exit code: 1 where it finds something missing, doubled or unproved.

    Raises:
        DemoError: the gateways cannot be made or started.
    """
    screen, errors = Console(), Console(stderr=True)
    try:
        with _interruptible(), _own_environment() as server, _directory(keep, server) as root:
            if check:
                return run_check(root, observations, server=server, tell=lambda text: errors.out(text, highlight=False))
            _run_live(screen, root, server)
    except KeyboardInterrupt:
        if check:
            raise  # cut short, it has shown nothing
        errors.out("\nThe demonstration has ended; its gateways have stopped.", highlight=False)
    return 0


def _run_live(screen: Console, root: Path, server: str | None) -> None:
    if is_network(root):
        members = open_network(root)
        check_ports(members)
    else:
        screen.out(f"Making three gateways in {root}. {SIMULATED}", highlight=False)
        members = create_network(root, now=now_millis(), server=server)
    with running(members) as nodes:
        _write_description(root, members)
        screen.out(addresses(members), highlight=False)
        _exchange(screen, nodes)


def _exchange(screen: Console, nodes: list[Node]) -> None:
    """Feed all three, each from a thread of its own, and show what comes of it, until interrupted."""
    stopping, now = threading.Event(), now_millis()
    loaded: set[str] = set()

    def feed(member: Member) -> None:
        load_history(member, now, stopping)
        loaded.add(member.party)
        feed_live(member, now, stopping)

    def activity() -> str:
        if len(loaded) < len(nodes):
            return f"simulated stations hand in {HISTORY_DAYS} days of hourly history"
        return "simulated stations send an HJ 212 packet for every minute"

    with ThreadPoolExecutor(len(nodes)) as threads:
        feeding: list[Future[None]] = [threads.submit(feed, node.member) for node in nodes]
        try:
            # A thread that feeds ends only with an error.
            show(screen, nodes, activity, lambda seconds: bool(wait(feeding, seconds, FIRST_COMPLETED).done))
        finally:
            stopping.set()
    for future in feeding:
        future.result()


def _write_description(root: Path, members: list[Member]) -> None:
    """Complete or not at all, since programs wait for it; for its owner alone: a database's address may be secret."""
    finished, draft = root / DESCRIPTION_FILE, root / f".{DESCRIPTION_FILE}"
    draft.unlink(missing_ok=True)
    write_private(draft, json.dumps(describe(members), ensure_ascii=False, indent=2).encode())
    draft.replace(finished)


@contextmanager
def _directory(keep: Path | None, server: str | None) -> Iterator[Path]:
    """`keep`, or a directory (and databases) that end with the block."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="taipu-demo-", ignore_cleanup_errors=True) as made:
        try:
            yield Path(made)
        finally:
            for party in PARTIES if server else ():
                drop_database(str(server), party)


@contextmanager
def _own_environment() -> Iterator[str | None]:
    """The PostgreSQL server to use, if one is named; and no other variable of ours while the block lasts.

    What is set for one gateway would be taken by all three, and they may not have the same address or database.
    """
    ours = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(ENV_PREFIX)}
    try:
        yield ours.get(DATABASE_VARIABLE) or None
    finally:
        os.environ.update(ours)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Being told to end is the same as Ctrl-C, also where a shell had us ignore that."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

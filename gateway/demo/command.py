"""`taipu demo` and `taipu demo --check`: everything from making three homes to leaving nothing behind."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from gateway.demo.check import OBSERVATIONS, run_check
from gateway.demo.feed import HISTORY_DAYS, feed_live, load_history
from gateway.demo.joining import join_nanxun
from gateway.demo.live import SIMULATED, addresses, show, where
from gateway.demo.network import (
    DESCRIPTION_FILE,
    NANXUN,
    PARTIES,
    Member,
    check_ports,
    create_network,
    describe,
    has_nanxun,
    is_network,
    let_people_in,
    make_nanxun,
    open_network,
)
from gateway.demo.people import PEOPLE_FILE
from gateway.demo.postgres import drop_database
from gateway.demo.processes import Node, running, start, wait_ready
from gateway.settings import ENV_PREFIX
from partners.keys import write_private
from schemas.times import now_millis

DATABASE_VARIABLE = "TAIPU_DEMO_DATABASE"


def run(*, check: bool, keep: Path | None, with_nanxun: bool = False, observations: int = OBSERVATIONS) -> int:
    """Show three gateways exchanging simulated data until Ctrl-C, or with `check` see that nothing is lost.

    `with_nanxun` has a fourth join while they run, which sees what a bilateral plan gives it. The data stay in `keep`,
    where a later start goes on; without it they are removed at the end. The check hands in so many `observations` at
    each gateway. Returns the exit code: 1 where it finds something missing, doubled or unproved.

    Raises:
        DemoError: the gateways cannot be made or started.
    """
    screen, errors = Console(), Console(stderr=True)
    try:
        with _interruptible(), _own_environment() as server, _directory(keep, server) as root:
            if check:
                return run_check(root, observations, server=server, tell=lambda text: errors.out(text, highlight=False))
            _run_live(screen, root, server, with_nanxun=with_nanxun)
    except KeyboardInterrupt:
        if check:
            raise  # cut short, it has shown nothing
        errors.out("\nThe demonstration has ended; its gateways have stopped.", highlight=False)
    return 0


def _run_live(screen: Console, root: Path, server: str | None, *, with_nanxun: bool) -> None:
    if is_network(root):
        members = open_network(root)
        check_ports(members)
    else:
        screen.out(f"Making three gateways in {root}. {SIMULATED}", highlight=False)
        members = create_network(root, now=now_millis(), server=server)
        let_people_in(root, now=now_millis())
    with running(members) as nodes:
        _write_description(root, members)
        screen.out(f"{addresses(members)}\nWho may sign in there, and how: {root / PEOPLE_FILE}", highlight=False)
        newcomer = partial(_join, screen, root, server, nodes) if with_nanxun and not has_nanxun(root) else None
        _exchange(screen, nodes, newcomer)


def _join(screen: Console, root: Path, server: str | None, nodes: list[Node]) -> Member:
    """Nanxun's gateway is made and started, and Wujiang's and it come to know each other; the others go on."""
    member = make_nanxun(root, now=now_millis(), server=server)
    nodes.append(start(member))
    wait_ready(nodes[-1:])
    join_nanxun(root, now=now_millis())
    member = open_network(root)[-1]
    _write_description(root, [*(node.member for node in nodes[:-1]), member])
    screen.out(f"Nanxun has joined, and sees what its plan with Wujiang gives it:\n{where(member)}", highlight=False)
    return member


def _exchange(screen: Console, nodes: list[Node], newcomer: Callable[[], Member] | None) -> None:
    """Feed all, each from a thread of its own, and show what comes of it, until interrupted. A `newcomer` joins once
    the others have their history."""
    stopping, now = threading.Event(), now_millis()
    loaded: set[str] = set()
    all_loaded = threading.Event()

    def feed(member: Member) -> None:
        load_history(member, now, stopping)
        loaded.add(member.party)
        if len(loaded) == len(PARTIES):
            all_loaded.set()
        feed_live(member, now, stopping)

    def join(newcomer: Callable[[], Member]) -> None:
        while not all_loaded.wait(0.1):
            if stopping.is_set():
                return
        feed(newcomer())

    def activity() -> str:
        if len(loaded) < len(nodes):
            return f"simulated stations hand in {HISTORY_DAYS} days of hourly history"
        return "simulated stations send an HJ 212 packet for every minute"

    with ThreadPoolExecutor(len(nodes) + 1) as threads:
        feeding: list[Future[None]] = [threads.submit(feed, node.member) for node in nodes]
        if newcomer is not None:
            feeding.append(threads.submit(join, newcomer))
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
            for party in (*PARTIES, NANXUN) if server else ():
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

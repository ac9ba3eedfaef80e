"""The command line as a test runs it: in this process, with no traceback forgiven; or as a process of its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.home import open_home
from gateway.service import Gateway
from tests.people import session_of, two_people
from tests.world import Node

_ENDING = 20  # seconds
_COMMAND = [sys.executable, "-c", "from gateway.cli import app; app()"]


def taipu(*arguments: object, given: str | bytes | None = None, env: dict[str, str] | None = None) -> Result:
    """What `taipu ARGUMENTS` prints and how it ends; an exception that it does not explain fails the test."""
    words = [str(argument) for argument in arguments]
    with own_logging():
        return CliRunner().invoke(app, words, input=given, env=env, catch_exceptions=False, prog_name="taipu")


def register(home: Path, *words: object) -> Result:
    """`taipu client add WORDS` as two persons do it; what the first of them is told where it is refused."""
    node = Node(Gateway(open_home(home)), "")
    proposer, approver = ({"TAIPU_SESSION": session_of(node, one)} for one in two_people(node))
    node.gateway.close()
    done = taipu("client", "add", *words, "--home", home, env=proposer)
    if done.exit_code == 0:
        approved = taipu("proposal", "approve", *done.stderr.splitlines()[0].split()[-3:], "--home", home, env=approver)
        assert approved.exit_code == 0, approved.output
    return done


@contextmanager
def quiet() -> Iterator[None]:
    """Gateways that run in this process write their logs nowhere, so that a command's output is its own."""
    with own_logging(), Path(os.devnull).open("w") as nowhere:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(nowhere))
        yield


@contextmanager
def own_logging() -> Iterator[None]:
    """What the block makes of logging ends with it: `serve` sends logs to a standard error that the test has taken."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    try:
        yield
    finally:
        structlog.configure(**before)
        root.handlers = handlers
        root.setLevel(level)


def taipu_json(*arguments: object, code: int = 0) -> Any:
    """The JSON that a command prints, which must end with `code`."""
    done = taipu(*arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def refused(done: Result, code: str, exit_code: int = 1) -> None:
    """The command said this on standard error, nothing on standard output, and ended so."""
    assert done.stderr.startswith(f"{code}: "), done.output
    assert (done.stdout, done.exit_code) == ("", exit_code)


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`taipu ARGUMENTS` as a process with pipes; killed by its id if the block leaves it running."""
    words = [*_COMMAND, *map(str, arguments)]
    pipe = subprocess.PIPE
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell in the background has us ignore it
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=_ROOT, preexec_fn=heed
    ) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


def ended(started: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a process that is about to end."""
    stdout, stderr = started.communicate(timeout=_ENDING)
    return started.returncode, stdout, stderr


_ROOT = Path(__file__).resolve().parents[2]

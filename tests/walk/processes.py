"""Gateways as processes of their own: started, waited for, and stopped by their ids whatever happens in between.

Homes are prepared with `tests.world`. From then on a test meets a gateway over HTTPS, as everybody else does, and may
look into its database as its administrator does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from partners.client import PartnerClient
from partners.errors import PartnerUnreachableError
from partners.reach import ANYWHERE
from tests.world import Node

STARTING = 30  # seconds until a process must answer; it takes one or two
STOPPING = 15  # seconds until it must have ended; requests under way get two
_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def running(*nodes: Node) -> Iterator[None]:
    """Every node serves as a process of its own inside this block; at its end all have stopped, and none complained."""
    processes = []
    try:
        for node in nodes:
            node.gateway.close()  # the process opens the home for itself
            processes.append(_start(node))
        for node, process in zip(nodes, processes, strict=True):
            _wait_until_ready(node, process)
        yield
    finally:
        for process in processes:
            process.terminate()
        for node in nodes:
            node.stop()
        for process in processes:
            _wait_until_ended(process)
    for node, process in zip(nodes, processes, strict=True):
        said = _said(node)
        assert process.returncode == 0, said
        assert "Traceback" not in said, said


def _start(node: Node) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.walk.serve", str(_home(node))]
    with (_home(node) / "serve.log").open("wb") as log:
        return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)


def _wait_until_ready(node: Node, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + STARTING
    with PartnerClient(node.url, node.ca_pem, reach=ANYWHERE) as anybody:
        while True:
            assert process.poll() is None, _said(node)
            assert time.monotonic() < end, _said(node)
            try:
                anybody.party_document()
            except PartnerUnreachableError:
                time.sleep(0.05)
            else:
                return


def _wait_until_ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate(timeout=STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _said(node: Node) -> str:
    """What the process has written, for whoever has to find out why a test failed."""
    return (_home(node) / "serve.log").read_text("utf-8", "replace")


def _home(node: Node) -> Path:
    return node.gateway.settings.home

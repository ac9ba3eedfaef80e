"""Gateways as processes: started, waited for, stopped and killed, each by its own process id."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from gateway.demo.errors import DemoError
from gateway.demo.network import Member

LOG_FILE = "gateway.log"  # what a gateway's process writes, in its home
READY_WITHIN = 60.0  # seconds; an ordinary start takes two or three
_STOP_WITHIN = 15.0  # seconds
_LOOK = 0.05  # seconds


@dataclass(frozen=True)
class Node:
    """A member's running gateway."""

    member: Member
    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@contextmanager
def running(members: Sequence[Member]) -> Iterator[list[Node]]:
    """The members' gateways, answering; stopped at the end of the block, with whatever node has taken a place in it.

    Raises:
        DemoError: one of them did not start.
    """
    nodes: list[Node] = []
    try:
        nodes += (start(member) for member in members)  # one by one: where one fails, those before it are stopped
        wait_ready(nodes)
        yield nodes
    finally:
        stop(nodes)


def start(member: Member) -> Node:
    """Start the gateway of `member`. It ends when this process does, however that ends.

    A session of its own: Ctrl-C in the terminal reaches us alone, and we stop the gateways in order.
    """
    with (member.home / LOG_FILE).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "gateway.demo.node", str(member.home)],
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    return Node(member, process)


def wait_ready(nodes: Sequence[Node]) -> None:
    """Until every node's `/healthz` says that it is well, over TLS under that gateway's own authority.

    Raises:
        DemoError: one ended instead, or took too long.
    """
    deadline = time.monotonic() + READY_WITHIN
    for node in nodes:
        member = node.member
        context = ssl.create_default_context(cafile=str(member.ca))
        with httpx.Client(verify=context, trust_env=False) as client:
            while not _is_healthy(client, member.console):
                if not node.alive:
                    raise DemoError(f"the gateway of {member.party} ended. Its last words:\n{last_words(member)}")
                if time.monotonic() > deadline:
                    raise DemoError(f"the gateway of {member.party} does not answer at {member.console}")
                time.sleep(_LOOK)


def stop(nodes: Sequence[Node]) -> None:
    """Ask all to stop, and return when they have; one that does not is killed."""
    for node in nodes:
        node.process.terminate()
    deadline = time.monotonic() + _STOP_WITHIN
    for node in nodes:
        try:
            node.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            node.process.kill()
        _reap(node)


def kill(node: Node) -> None:
    """End a node as a power cut would (SIGKILL)."""
    node.process.kill()
    _reap(node)


def last_words(member: Member, lines: int = 12) -> str:
    """The end of what the gateway's process wrote."""
    text = (member.home / LOG_FILE).read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _reap(node: Node) -> None:
    node.process.wait()
    if node.process.stdin is not None:
        node.process.stdin.close()


def _is_healthy(client: httpx.Client, console: str) -> bool:
    try:
        return client.get(f"{console}/healthz").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False

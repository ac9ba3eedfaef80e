"""A world of gateways for tests: real ones, each with its own home and database, over TLS on loopback.

They run in threads of the test process, so that a test can look into them; `tests/walk` runs them as processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any

import uvloop
from joserfc.jwk import ECKey

from gateway import party_document, plans, registry
from gateway.app import create_console_app, create_partner_app
from gateway.home import create_home, open_home
from gateway.migrations import upgrade
from gateway.server import make_server
from gateway.service import Gateway
from gateway.settings import FILE_NAME
from gateway.workers import Duties
from partners.client import PartnerClient
from partners.document import open_document
from partners.oauth.client import GatewayAuth
from partners.oauth.clients import Client
from partners.oauth.keys import public_jwks
from partners.oauth.metadata import TOKEN_PATH
from partners.oauth.store import add_client
from partners.principal import ClientKind, Principal
from partners.reach import ANYWHERE
from schemas.times import now_millis

WUJIANG, JIASHAN, QINGPU = PARTIES = ("320509", "330421", "310118")


@dataclass
class Node:
    """One running gateway. `duties` is None where the test does the background work step by step itself."""

    gateway: Gateway
    document: str
    duties: Duties | None = None
    _stop: list[Callable[[], None]] = field(default_factory=list)

    @property
    def party(self) -> str:
        return self.gateway.party

    @property
    def url(self) -> str:
        return self.gateway.settings.url

    @property
    def ca_pem(self) -> str:
        return self.gateway.settings.tls.ca.read_text()

    def station(self) -> Principal:
        """A station platform of this party, as the gateway knows it once its token has been checked."""
        return Principal(self.party, f"{self.party}-station", "station", frozenset({"records:submit"}), "")

    def client(
        self, party: str | None = None, *, kind: ClientKind = "reader", scopes: Collection[str] = ("records:read",),
        client_id: str = "",
    ) -> PartnerClient:  # fmt: skip
        """A client of `party` (this one by default), registered here, that speaks HTTPS with tokens and proofs."""
        party = party or self.party
        client_id = client_id or f"{party}-{kind}-{time.monotonic_ns()}"
        key = ECKey.generate_key("P-256", auto_kid=True)
        jwks = json.dumps(public_jwks([key]))
        with self.gateway.database.write() as session:
            add_client(session, Client(client_id, party, kind, frozenset(scopes), jwks), now_millis())
        auth = GatewayAuth(
            issuer=self.url, token_endpoint=self.url + TOKEN_PATH, client_id=client_id, key=key, scopes=scopes
        )
        client = PartnerClient(self.url, self.ca_pem, auth, reach=ANYWHERE)
        self._stop.append(client.close)
        return client

    def stop(self) -> None:
        while self._stop:
            self._stop.pop()()


def make_node(
    folder: Path, party: str, database_url: str | None = None, chosen: Mapping[str, str] = MappingProxyType({})
) -> Node:
    """A gateway with its home under `folder`, migrated, not yet serving; `chosen` are lines of its settings by those
    that stand there as defaults."""
    port, console = free_port(), free_port()
    create_home(
        folder / party, party, f"https://127.0.0.1:{port}", now=now_millis(),
        settings={"partners.networks": "127.0.0.0/8"},
    )  # fmt: skip
    changes = {
        'partner = "127.0.0.1:8443"': f'partner = "127.0.0.1:{port}"',
        'console = "127.0.0.1:8444"': f'console = "127.0.0.1:{console}"',
        "min = 1.0": "min = 0.05",
        "max = 900.0": "max = 0.2",
        "checkpoint = 0.25": "checkpoint = 0.02",
        "poll_wait = 30.0": "poll_wait = 2.0",
        'database_url = "sqlite:///taipu.db"': f'database_url = "{database_url or "sqlite:///taipu.db"}"',
        **chosen,
    }
    settings = folder / party / FILE_NAME
    text = settings.read_text()
    for default, line in changes.items():
        assert f"# {default}" in text
        text = text.replace(f"# {default}", line)
    settings.write_text(text)
    home = open_home(folder / party)
    document = party_document.sign_document(home, now=now_millis())
    gateway = Gateway(home)
    upgrade(gateway.database)
    return Node(gateway, document, _stop=[gateway.close])


def introduce(*nodes: Node) -> None:
    """Register every node at every other one."""
    for node in nodes:
        for other in nodes:
            if other is not node:
                fingerprint = open_document(other.document).fingerprint
                registry.add_partner(
                    node.gateway, other.document, url=other.url, ca_pem=None, fingerprint=fingerprint, now=now_millis()
                )


def bring_plan(document: bytes, *nodes: Node) -> None:
    """The same plan at every node."""
    for node in nodes:
        plans.bring_plan(node.gateway, document, now=now_millis())


def serve(node: Node, *, duties: bool = True) -> None:
    """Answer requests on the partner listener and the console, and do the background duties unless told not to."""
    gateway = node.gateway
    partner = create_partner_app(gateway)
    servers = [
        make_server(partner, gateway.settings.listen.partner, gateway.settings, gateway.certificates),
        make_server(
            create_console_app(gateway, partner),
            gateway.settings.listen.console,
            gateway.settings,
            gateway.certificates,
        ),
    ]

    async def both() -> None:
        await asyncio.gather(*(server.serve() for server in servers))

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(both())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_for(lambda: all(server.started for server in servers))

    def stop() -> None:
        gateway.heads_watch.stop()
        for server in servers:
            server.should_exit = True
        thread.join(10)

    node._stop.append(stop)
    if duties:
        node.duties = Duties(gateway)
        node.duties.start()
        node._stop.append(node.duties.stop)


@contextmanager
def running(*nodes: Node) -> Iterator[None]:
    """The nodes serve inside this block, duties included, and are stopped and closed at its end."""
    try:
        for node in nodes:
            serve(node)
        yield
    finally:
        for node in nodes:
            node.stop()


def wait_for(reached: Callable[[], bool], *, seconds: float = 20) -> None:
    """Until `reached()`; fails the test after so many seconds."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def free_port() -> int:
    """A port nobody listens on at this moment: none that was given out a while ago, or that another worker gives out.

    Below the ports that the system gives to whoever connects, which would take one between now and its use.
    """
    for port in _PORTS:
        with socket.socket() as probe:
            # Connections of an earlier test that linger do not count: a server may listen beside them.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("a cycle never ends")


def _ports_of(worker: str) -> Iterator[int]:
    """The ports of one of at most four workers of a test run, again and again."""
    first = 11_000 + 5_000 * int(worker.removeprefix("gw") or "0")
    return cycle(range(first, first + 5_000))


_PORTS = _ports_of(os.environ.get("PYTEST_XDIST_WORKER", ""))


def plan_document(*datasets: dict[str, Any], version: int = 1, parties: Collection[str] = PARTIES) -> bytes:
    """A plan between `parties`, in force since the beginning of 2026, with these datasets."""
    document = {
        "plan": "tri-district-monitoring",
        "version": version,
        "title": {"zh": "监测数据共享方案", "en": "Shared monitoring data plan"},
        "parties": sorted(parties),
        "effective": "2026-01-01T00:00:00+08:00",
        "until": "2029-12-31T24:00:00+08:00",
        "notice": "P90D",
        "defaults": {
            "format": "taipu-batch/1", "sharing": "conditional", "conditions": "用于水环境联防联控", "grade": "general",
            "retention": "P5Y",
        },
        "datasets": [_dataset(**dataset) for dataset in datasets],
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False).encode()


def _dataset(**members: Any) -> dict[str, Any]:
    """A whole entry of the catalogue with these `members`."""
    rhythm = (
        {"cadence": {"every": "PT1H", "due": "PT1H"}} if members.get("kind", "observation") == "observation" else {}
    )
    return {
        "title": {"zh": "监测数据", "en": "Monitoring data"},
        "provider": WUJIANG,
        "unit_in_charge": "环境监测站",
        "recipients": [JIASHAN, QINGPU],
        "kind": "observation",
        "select": {},
        "linger": "PT0S",
        "mode": "pull",
        "purpose": "太浦河水源地预警",
        **rhythm,
        **members,
    }


SITES = {"id": "wj-sites", "kind": "site"}
ANTIMONY = {"id": "wj-antimony", "select": {"programmes": ["water-auto"], "factors": ["w20004"]}}


def site_line(site: str = "320509-SW-0003", **members: Any) -> bytes:
    """A water station's record."""
    record = {
        "kind": "site", "id": site, "type": "water-station", "name": {"zh": "平望"}, "district": site[:6],
        "programmes": ["water-auto"],
    }  # fmt: skip
    return json.dumps(record | members, ensure_ascii=False).encode()


def reading_line(minute: int = 0, value: str | None = "0.0021", **members: Any) -> bytes:
    """A minute value of antimony at that station, `minute` minutes after ten o'clock."""
    at = f"2026-11-20T{10 + minute // 60:02}:{minute % 60:02}:00+08:00"
    record = {
        "kind": "observation", "site": "320509-SW-0003", "factor": "w20004", "at": at, "value": value, "unit": "mg/L",
        "stat": "avg", "period": "PT1M", "flag": "N", "profile": "hj212-2017",
    }  # fmt: skip
    return json.dumps(record | members, ensure_ascii=False).encode()

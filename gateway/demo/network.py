"""Three homes that know each other: made once, opened again as often as one likes.

    DIR/<party>/            a gateway's home; `taipu serve DIR/<party>` would run it as well
    DIR/clients/*.pem       the keys of the station and reader clients of each party
    DIR/plan.yaml           the plan; written last, so where it stands the rest is complete
    DIR/demo.json           where everything is, for programs

What two administrators do by telephone, comparing fingerprints, is done here by one process that holds both ends. It
must never touch a directory that holds something else.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from audit.note import NoteSigner
from gateway import party_document, plans, registry
from gateway.demo.errors import DemoError
from gateway.demo.postgres import create_database
from gateway.demo.stations import device_of, stations_of
from gateway.home import Home, create_home, open_home
from gateway.migrations import upgrade
from gateway.service import Gateway
from partners.client import PartnerClient
from partners.document import open_document
from partners.keys import load_ec, private_pem, write_private
from partners.oauth.client import GatewayAuth
from partners.oauth.clients import Client
from partners.oauth.keys import load_signing_key, public_jwks
from partners.oauth.metadata import TOKEN_PATH
from partners.oauth.store import add_client
from partners.principal import ClientKind
from schemas.times import BEIJING

PORTS = {"320509": (8443, 8444), "330421": (8453, 8454), "310118": (8463, 8464)}  # partner listener, console
PARTIES = tuple(PORTS)
PLAN_FILE = "plan.yaml"
DESCRIPTION_FILE = "demo.json"
_HOST = "127.0.0.1"
_QUICK: dict[str, str | float] = {"retry.min": 0.2, "retry.max": 2.0, "checkpoint": 0.1}  # s; people are watching


@dataclass(frozen=True)
class Access:
    """A client of a party at one gateway, ready to use: where, as whom, with which key file and scopes."""

    at: str
    url: str
    ca: Path
    client_id: str
    key: Path
    scope: str


@dataclass(frozen=True)
class Member:
    """One gateway of the demonstration. `readers` begin with the one at its own gateway; `station` submits there."""

    party: str
    home: Path
    url: str
    console: str
    ca: Path
    database: str
    log_vkey: str
    station: Access
    readers: tuple[Access, ...]


def create_network(
    root: Path, *, now: int, server: str | None = None, ports: Mapping[str, tuple[int, int]] = PORTS
) -> list[Member]:
    """Make three homes under `root`, which is empty or not there yet. `now` in ms UTC.

    The databases are SQLite files in the homes, or made anew on the PostgreSQL `server` (a URL). A party listens on its
    `ports`, if it has any and they are free; otherwise on free ones that the system chooses.

    Raises:
        DemoError: `demo.directory-occupied`, `demo.database-failed`.
    """
    if root.exists() and any(root.iterdir()):
        raise DemoError(f"{root} is not empty, and holds no finished demonstration", code="demo.directory-occupied")
    homes = [_create_home(root, party, now, server, ports.get(party, (0, 0))) for party in PARTIES]
    (root / "clients").mkdir(mode=0o700)
    documents = {home.settings.party: party_document.sign_document(home, now=now) for home in homes}
    effective = datetime.fromtimestamp(now // 1000, BEIJING).isoformat()
    plan = files(__package__).joinpath(PLAN_FILE).read_text(encoding="utf-8").replace("EFFECTIVE", effective)
    with _opened(homes) as gateways:
        for gateway in gateways:
            upgrade(gateway.database)
            _introduce(gateway, documents, now)
            plans.bring_plan(gateway, plan.encode(), now=now)
            with gateway.database.write() as session:
                gateway.devices.register(session, map(device_of, stations_of(gateway.party)), now=now)
        _add_clients(root, gateways, now)
    (root / PLAN_FILE).write_text(plan, encoding="utf-8")
    return open_network(root)


def open_network(root: Path) -> list[Member]:
    """The members that `create_network` made under `root`.

    Raises:
        DemoError: `demo.directory-occupied`: there is no finished demonstration.
    """
    if not is_network(root):
        raise DemoError(f"{root} holds no finished demonstration", code="demo.directory-occupied")
    homes = {party: open_home(root / party) for party in PARTIES}
    return [_member(root, homes, party) for party in PARTIES]


def is_network(root: Path) -> bool:
    """Whether `root` holds a demonstration that was made to the end."""
    return (root / PLAN_FILE).is_file()


def check_ports(members: list[Member]) -> None:
    """That nobody else listens where the members will: their partners know these addresses and no others.

    Raises:
        DemoError: `demo.port-taken`.
    """
    for member in members:
        for url in (member.url, member.console):
            if not _is_free(int(url.rpartition(":")[2])):
                raise DemoError(f"{url} of {member.party} is in use by another program", code="demo.port-taken")


def describe(members: list[Member]) -> dict[str, Any]:
    """Where everything is, for programs."""
    return {
        "parties": [
            {
                "party": member.party,
                "url": member.url,
                "console": member.console,
                "ca": str(member.ca),
                "home": str(member.home),
                "database": member.database,
                "log_vkey": member.log_vkey,
                "clients": [
                    {name: str(value) for name, value in vars(access).items()}
                    for access in (*member.readers, member.station)
                ],
            }
            for member in members
        ]
    }


def connect(access: Access) -> PartnerClient:
    """A client that speaks for `access`; close it when done."""
    key = load_signing_key(load_ec(access.key, None))
    auth = GatewayAuth(
        issuer=access.url, token_endpoint=access.url + TOKEN_PATH, client_id=access.client_id, key=key,
        scopes=access.scope.split(),
    )  # fmt: skip
    return PartnerClient(access.url, access.ca.read_text(encoding="ascii"), auth)


def _create_home(root: Path, party: str, now: int, server: str | None, ports: tuple[int, int]) -> Home:
    partner, console = (port if port and _is_free(port) else _free_port() for port in ports)
    settings: dict[str, str | float] = {
        **_QUICK, "listen.partner": f"{_HOST}:{partner}", "listen.console": f"{_HOST}:{console}",
    }  # fmt: skip
    if server is not None:
        settings["database_url"] = create_database(server, party)
    return create_home(root / party, party, f"https://{_HOST}:{partner}", now=now, settings=settings)


@contextmanager
def _opened(homes: list[Home]) -> Iterator[list[Gateway]]:
    with ExitStack() as stack:
        gateways = []
        for home in homes:
            gateways.append(Gateway(home))
            stack.callback(gateways[-1].close)
        yield gateways


def _introduce(gateway: Gateway, documents: dict[str, str], now: int) -> None:
    """Register the other two, each under the fingerprint of the identity that signed its document."""
    for party, token in documents.items():
        if party != gateway.party:
            document = open_document(token)
            registry.add_partner(
                gateway, token, url=document.issuer, ca_pem=None, fingerprint=document.fingerprint, now=now
            )


def _add_clients(root: Path, gateways: list[Gateway], now: int) -> None:
    """A key for each party's station and reader; the reader is registered at all three gateways, under one name."""
    for gateway in gateways:
        party = gateway.party
        _add_client(root, [gateway], party, "station", now)
        _add_client(root, gateways, party, "reader", now)


def _add_client(root: Path, gateways: list[Gateway], party: str, kind: ClientKind, now: int) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    write_private(_key_file(root, party, kind), private_pem(private, None))
    jwks = json.dumps(public_jwks([load_signing_key(private)]))
    for gateway in gateways:
        scopes = frozenset(_scope(kind, party, gateway.party).split())
        with gateway.database.write() as session:
            add_client(session, Client(f"{party}-{kind}", party, kind, scopes, jwks), now)


def _scope(kind: ClientKind, party: str, at: str) -> str:
    if kind == "station":
        return "records:submit"
    return "records:read feeds:read audit:read" if party == at else "records:read feeds:read"


def _member(root: Path, homes: dict[str, Home], party: str) -> Member:
    settings, keys = homes[party].settings, homes[party].keys

    def access(kind: ClientKind, at: str) -> Access:
        there = homes[at].settings
        scope = _scope(kind, party, at)
        return Access(at, there.url, there.tls.ca, f"{party}-{kind}", _key_file(root, party, kind), scope)

    others = [code for code in PARTIES if code != party]
    return Member(
        party=party,
        home=settings.home,
        url=settings.url,
        console=f"https://{settings.listen.console}",
        ca=settings.tls.ca,
        database=settings.database_url.get_secret_value(),
        log_vkey=NoteSigner(settings.log_origin, keys.log.private).vkey,
        station=access("station", party),
        readers=tuple(access("reader", at) for at in (party, *others)),
    )


def _key_file(root: Path, party: str, kind: ClientKind) -> Path:
    return root.resolve() / "clients" / f"{party}-{kind}.pem"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of an earlier run that linger do not count: a server may listen beside them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    return port

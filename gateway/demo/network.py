"""Three homes that know each other, and a fourth that may join: made once, opened again as often as one likes.

    DIR/<party>/            a gateway's home; `taipu serve DIR/<party>` would run it as well
    DIR/clients/*.pem       the keys of the station and reader clients of each party
    DIR/plan.yaml           the plan; written last, so where it stands the rest is complete
    DIR/nanxun.yaml         the bilateral plan, where Nanxun has joined; written last, too
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
from gateway.demo.people import let_in, write_sign_ins
from gateway.demo.postgres import create_database
from gateway.demo.stations import device_of, stations_of
from gateway.home import Home, create_home, open_home
from gateway.migrations import upgrade
from gateway.service import Gateway
from gateway.settings import FILE_NAME
from partners.client import PartnerClient
from partners.document import open_document
from partners.keys import load_ec, private_pem, write_private
from partners.oauth.client import GatewayAuth
from partners.oauth.clients import Client
from partners.oauth.keys import load_signing_key, public_jwks
from partners.oauth.metadata import TOKEN_PATH
from partners.oauth.store import add_client
from partners.principal import ClientKind
from partners.reach import ANYWHERE
from schemas.times import BEIJING

WUJIANG = "320509"
PARTIES = (WUJIANG, "330421", "310118")
NANXUN = "330503"
PORTS = {  # partner listener, console
    WUJIANG: (8443, 8444), "330421": (8453, 8454), "310118": (8463, 8464), NANXUN: (8473, 8474),
}  # fmt: skip
PLAN_FILE = "plan.yaml"
BILATERAL_FILE = "nanxun.yaml"
DESCRIPTION_FILE = "demo.json"
_HOST = "127.0.0.1"
_QUICK: dict[str, str | float] = {
    "retry.min": 0.2,
    "retry.max": 2.0,
    "checkpoint": 0.1,  # s; people are watching
    "partners.networks": "127.0.0.0/8",
}


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
    plan = dated_plan(PLAN_FILE, now)
    with opened(homes) as gateways:
        for gateway in gateways:
            _furnish(gateway, now)
            _introduce(gateway, documents, now)
            plans.bring_plan(gateway, plan.encode(), now=now)
        for gateway in gateways:
            add_client_of(root, [gateway], gateway.party, "station", now)
            add_client_of(root, gateways, gateway.party, "reader", now)
    (root / PLAN_FILE).write_text(plan, encoding="utf-8")
    return open_network(root)


def make_nanxun(root: Path, *, now: int, server: str | None = None) -> Member:
    """Make the home of Nanxun's gateway in a network that is there, known to nobody yet. `now` in ms UTC."""
    home = _create_home(root, NANXUN, now, server, PORTS[NANXUN])
    party_document.sign_document(home, now=now)
    with opened([home]) as (gateway,):
        _furnish(gateway, now)
        add_client_of(root, [gateway], NANXUN, "station", now)
    return _member(root, NANXUN)


def let_people_in(root: Path, *, now: int) -> None:
    """Found every gateway under `root` that nobody has founded yet; the sign-ins are in `people.json`."""
    homes = [open_home(path.parent) for path in sorted(root.glob(f"*/{FILE_NAME}"))]
    with opened(homes) as gateways:
        for gateway in gateways:
            write_sign_ins(root, let_in(gateway, now=now))


def open_network(root: Path) -> list[Member]:
    """The members that `create_network` made under `root`, and Nanxun's where it has joined.

    Raises:
        DemoError: `demo.directory-occupied`: there is no finished demonstration.
    """
    if not is_network(root):
        raise DemoError(f"{root} holds no finished demonstration", code="demo.directory-occupied")
    joined = (NANXUN,) if has_nanxun(root) else ()
    return [_member(root, party) for party in (*PARTIES, *joined)]


def has_nanxun(root: Path) -> bool:
    """Whether Nanxun has joined the demonstration under `root`."""
    return (root / BILATERAL_FILE).is_file()


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
    return PartnerClient(access.url, access.ca.read_text(encoding="ascii"), auth, reach=ANYWHERE)


def _create_home(root: Path, party: str, now: int, server: str | None, ports: tuple[int, int]) -> Home:
    partner, console = (port if port and _is_free(port) else _free_port() for port in ports)
    settings: dict[str, str | float] = {
        **_QUICK, "listen.partner": f"{_HOST}:{partner}", "listen.console": f"{_HOST}:{console}",
    }  # fmt: skip
    if server is not None:
        settings["database_url"] = create_database(server, party)
    return create_home(root / party, party, f"https://{_HOST}:{partner}", now=now, settings=settings)


@contextmanager
def opened(homes: list[Home]) -> Iterator[list[Gateway]]:
    """The gateways of these homes, beside the processes that may be running them."""
    with ExitStack() as stack:
        gateways = []
        for home in homes:
            gateways.append(Gateway(home))
            stack.callback(gateways[-1].close)
        yield gateways


def _introduce(gateway: Gateway, documents: dict[str, str], now: int) -> None:
    """Register the others, each under the fingerprint of the identity that signed its document."""
    for party, token in documents.items():
        if party != gateway.party:
            document = open_document(token)
            registry.add_partner(
                gateway, token, url=document.issuer, ca_pem=None, fingerprint=document.fingerprint, now=now
            )


def _furnish(gateway: Gateway, now: int) -> None:
    """The database, and the loggers of the party's stations."""
    upgrade(gateway.database)
    with gateway.database.write() as session:
        gateway.devices.register(session, map(device_of, stations_of(gateway.party)), now=now)


def dated_plan(name: str, effective_at: int) -> str:
    """A plan of the demonstration that comes into force at `effective_at` (ms UTC), a whole second."""
    effective = datetime.fromtimestamp(effective_at // 1000, BEIJING).isoformat()
    return files(__package__).joinpath(name).read_text(encoding="utf-8").replace("EFFECTIVE", effective)


def add_client_of(root: Path, gateways: list[Gateway], party: str, kind: ClientKind, now: int) -> None:
    """A key of the party's for a client of this kind, registered at all of `gateways` under one name."""
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


def _member(root: Path, party: str) -> Member:
    home = open_home(root / party)
    settings, keys = home.settings, home.keys

    def access(kind: ClientKind, at: str) -> Access:
        there = settings if at == party else open_home(root / at).settings
        scope = _scope(kind, party, at)
        return Access(at, there.url, there.tls.ca, f"{party}-{kind}", _key_file(root, party, kind), scope)

    others = [code for code in PARTIES if code != party] if party != NANXUN else [WUJIANG]
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

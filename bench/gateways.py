"""Gateways to measure: a home with its own database, the stations registered, a plan in force, one client each.

All settings are the defaults unless a measure says otherwise; nothing is tuned for the figures.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import ECKey

from bench.readings import FACTORS, site_lines
from gateway import party_document, plans, registry
from gateway.home import create_home, open_home
from gateway.ingest.submissions import submit
from gateway.migrations import upgrade
from gateway.service import Gateway
from partners.document import open_document
from partners.oauth.clients import Client
from partners.oauth.keys import public_jwks
from partners.oauth.store import add_client
from partners.principal import ClientKind, Principal
from schemas.times import now_millis

PROVIDER, RECIPIENT = "320509", "330421"
DATASET = "wj-water"
STATION = Principal(PROVIDER, "bench-station", "station", frozenset({"records:submit"}), "")
LINGER_LONG = "PT12H"  # nothing is published while we look
LINGER_NONE = "PT0S"  # everything is published at once


@dataclass(frozen=True)
class Access:
    """A client's way to a gateway: where it is, whom to trust there, and the key to sign with."""

    url: str
    ca_pem: str
    client_id: str
    key: ECKey
    scope: str


def make_gateway(folder: Path, party: str, database_url: str, **chosen: float) -> Gateway:
    """A gateway of `party` with its home in `folder` and an empty, migrated database.

    `chosen` are settings other than the default ones: `loggers__idle` is `loggers.idle`.
    """
    partner, console = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings: dict[str, str | float] = {
        "listen.partner": partner,
        "listen.console": console,
        "database_url": database_url,
        "partners.networks": "127.0.0.0/8",
    }
    settings |= {name.replace("__", "."): value for name, value in chosen.items()}
    create_home(folder, party, f"https://{partner}", now=now_millis(), settings=settings)
    home = open_home(folder)
    party_document.sign_document(home, now=now_millis())
    gateway = Gateway(home)
    upgrade(gateway.database)
    return gateway


def make_provider(folder: Path, database_url: str, *, linger: str = LINGER_LONG, **chosen: float) -> Gateway:
    """The provider's gateway: it knows the plan and its own stations. `chosen` as for `make_gateway`."""
    gateway = make_gateway(folder, PROVIDER, database_url, **chosen)
    plans.bring_plan(gateway, _plan(linger), now=now_millis())
    submit(gateway, STATION, "application/x-ndjson", site_lines(), now=now_millis())
    return gateway


def make_recipient(folder: Path, database_url: str, provider: Gateway) -> Gateway:
    """A gateway that receives the provider's dataset, under the same plan."""
    gateway = make_gateway(folder, RECIPIENT, database_url)
    plans.bring_plan(gateway, _plan(LINGER_LONG), now=now_millis())
    token, url = party_document.own_document(provider.home), provider.settings.url
    fingerprint = open_document(token).fingerprint
    registry.add_partner(gateway, token, url=url, ca_pem=None, fingerprint=fingerprint, now=now_millis())
    return gateway


def add_access(gateway: Gateway, client_id: str, kind: ClientKind, scope: str) -> Access:
    """Register a client of the gateway's own party, with a key made here."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    jwks = json.dumps(public_jwks([key]))
    with gateway.database.write() as session:
        add_client(session, Client(client_id, gateway.party, kind, frozenset(scope.split()), jwks), now_millis())
    return Access(gateway.settings.url, gateway.settings.tls.ca.read_text(), client_id, key, scope)


def free_port() -> int:
    """A port nobody listens on: a gateway's address is in its tokens, so it must be known before it serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _plan(linger: str) -> bytes:
    dataset = {
        "provider": PROVIDER, "recipients": [RECIPIENT], "linger": linger, "mode": "pull", "purpose": "联防联控",
        "unit_in_charge": "监测站", "title": {"zh": "水质", "en": "Water quality"},
    }  # fmt: skip
    programme = {"programmes": ["water-auto"]}
    readings = {
        **dataset, "id": DATASET, "kind": "observation", "select": {**programme, "factors": list(FACTORS)},
        "cadence": {"every": "PT1M", "due": "PT5M"},
    }  # fmt: skip
    sites = {**dataset, "id": "wj-sites", "kind": "site", "select": programme}
    document = {
        "plan": "bench", "version": 1, "title": {"zh": "测试方案", "en": "Plan of the benchmark"},
        "parties": [PROVIDER, RECIPIENT], "effective": "2026-01-01T00:00:00+08:00",
        "until": "2035-12-31T24:00:00+08:00", "notice": "P90D",
        "defaults": {
            "format": "taipu-batch/1", "sharing": "conditional", "conditions": "联防联控", "grade": "general",
            "retention": "P5Y",
        },
        "datasets": [readings, sites],
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False).encode()

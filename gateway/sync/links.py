"""One client for each partner, made from what its party document says and what was pinned."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.service import Gateway
from partners import tables
from partners.client import OwnCertificate, PartnerClient
from partners.directory import Party
from partners.oauth.client import GatewayAuth
from partners.oauth.keys import load_signing_key

SCOPES = ("feeds:read", "feeds:push", "receipts:write")


class Links:
    """Keeps connections to partners open, and makes a new one when a partner's address or authority changes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()  # guards `_clients`
        self._clients: dict[str, tuple[tuple[str, str], PartnerClient]] = {}

    def to(self, party: Party) -> PartnerClient:
        """The client of `party`, shared by all threads."""
        where = (party.url, party.ca_pem)
        with self._lock:
            known = self._clients.get(party.code)
            if known is not None and known[0] == where:
                return known[1]
            client = PartnerClient(party.url, party.ca_pem, self._auth(party), own_certificate(self._gateway))
            self._clients[party.code] = (where, client)
        if known is not None:
            known[1].close()
        return client

    def close(self) -> None:
        with self._lock:
            for _, client in self._clients.values():
                client.close()
            self._clients.clear()

    def _auth(self, party: Party) -> GatewayAuth:
        return GatewayAuth(
            issuer=party.issuer,
            token_endpoint=party.document.endpoints["token"],
            client_id=gateway_client_id(self._gateway.party),
            key=load_signing_key(self._gateway.keys.oauth.private),
            scopes=SCOPES,
            certified=True,
        )


def own_certificate(gateway: Gateway) -> OwnCertificate:
    """The certificate of our own listeners, which says for the caller's end of a connection whose gateway calls."""
    tls = gateway.settings.tls
    return OwnCertificate(tls.certificate, tls.key, gateway.settings.passphrase())


def gateway_client_id(party: str) -> str:
    """The client_id under which a party's gateway is registered at its partners."""
    return f"{party}-gateway"


@dataclass(frozen=True)
class Contact:
    """When (ms UTC) a call of ours to a party last went well and last failed, and why: empty after a success."""

    succeeded: int | None = None
    failed: int | None = None
    error: str = ""


def contacts(session: Connection) -> dict[str, Contact]:
    """How the last calls went, by party; a party that was never called is not there."""
    rows = session.execute(select(tables.contact))
    return {row.party: Contact(row.succeeded, row.failed, row.error) for row in rows}


def note_contact(session: Connection, party: str, *, now: int, error: str = "") -> None:
    """How the last call to `party` went: an empty `error` means well. `now` in ms UTC."""
    table = tables.contact
    values = {"failed": now, "error": error[:500]} if error else {"succeeded": now, "error": ""}
    if session.execute(table.update().where(table.c.party == party).values(**values)).rowcount == 0:
        session.execute(table.insert().values(party=party, **{"error": "", **values}))

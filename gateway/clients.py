"""Clients of this gateway: stations, readers and auditors that may ask it for tokens."""

from __future__ import annotations

from audit.entry import make_entry
from audit.form import CLIENT_REGISTERED
from audit.log import append
from gateway.service import Gateway
from partners.oauth.clients import Client
from partners.oauth.store import add_client
from schemas.times import utc_text


def register_client(gateway: Gateway, client: Client, *, now: int) -> None:
    """Keep a client's record, so that it may ask for tokens from now on. `now` in ms UTC.

    Raises:
        RegistrationError, SignatureError: it cannot be kept; nothing has changed.
    """
    with gateway.database.write() as session:
        add_client(session, client, now)
        keys = sorted(key.thumbprint for key in client.keys.values())
        detail = {"client": client.client_id, "kind": client.kind, "scope": sorted(client.scopes), "keys": keys}
        entry = make_entry(CLIENT_REGISTERED, at=utc_text(now), party=gateway.party, peer=client.party, detail=detail)
        append(session, entry)

"""Bringing others in: partners, and their gateways as clients here."""

from __future__ import annotations

from audit.entry import make_entry
from audit.form import PARTNER_REGISTERED
from audit.log import append
from gateway.service import Gateway
from gateway.sync.links import SCOPES, gateway_client_id
from partners.directory import Party, register_party
from partners.document import PartyError, claimed_party
from partners.oauth.clients import Client
from partners.oauth.store import add_client
from schemas.times import utc_text


def add_partner(gateway: Gateway, token: str, *, url: str, ca_pem: str | None, fingerprint: str, now: int) -> Party:
    """Register a party under the fingerprint that was compared, and its gateway as a client here. `now` in ms UTC.

    Raises:
        PartyDocumentError, PartyError, RegistrationError: it cannot be registered; nothing has changed.
    """
    if claimed_party(token) == gateway.party:
        raise PartyError("a party is no partner of its own", code="party.own")
    with gateway.database.write() as session:
        party = register_party(session, token, url=url, ca_pem=ca_pem, fingerprint=fingerprint, now=now)
        client = Client(
            client_id=gateway_client_id(party.code),
            party=party.code,
            kind="gateway",
            scopes=frozenset(SCOPES),
            jwks="",  # those of its document, whichever is in force
        )
        add_client(session, client, now)
        detail = {"fingerprint": party.fingerprint, "serial": party.document.serial, "url": party.url}
        entry = make_entry(PARTNER_REGISTERED, at=utc_text(now), party=gateway.party, peer=party.code, detail=detail)
        append(session, entry)
    return party

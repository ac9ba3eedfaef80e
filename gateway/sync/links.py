"""One client for each partner, made from what its party document says and what was pinned; and what may pass over it.

What goes to and from a partner in its state, `may_pass` decides for pull and push alike.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from gateway.service import Gateway
from partners.client import OwnCertificate, PartnerClient
from partners.directory import Party
from partners.document import PartyDocument
from partners.oauth.client import GatewayAuth
from partners.oauth.keys import load_signing_key
from partners.oauth.metadata import TOKEN_PATH
from partners.plans import Plans
from schemas.plan import Dataset

SCOPES = ("feeds:read", "feeds:push", "receipts:write")


@dataclass(frozen=True)
class _Link:
    where: tuple[str, str]
    client: PartnerClient
    auth: GatewayAuth


def may_pass(party: Party, dataset: Dataset | None) -> bool:
    """Whether batches of `dataset` go to or from `party` in its state; None: of one that no plan in force has."""
    passes = dataset is not None and dataset.despite_suspension  # safety alerts, where the plan says so
    return party.exchanges or (party.state == "suspended" and passes)


def has_to_do(party: Party, plans: Plans) -> bool:
    """Whether anything at all goes to or from `party` in its state, under the plans in force."""
    return party.exchanges or any(
        may_pass(party, dataset)
        for plan in plans.plans
        for dataset in plan.datasets
        if dataset.provider == party.code or dataset.received_by(party.code)
    )


class Links:
    """Keeps connections to partners open, and makes a new one when a partner's address or authority changes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()  # guards `_links`
        self._links: dict[str, _Link] = {}

    def to(self, party: Party) -> PartnerClient:
        """The client of `party`, shared by all threads. It authenticates with our oauth key of this moment."""
        where = (party.url, party.ca_pem)
        key = load_signing_key(self._gateway.keys.oauth.private)
        with self._lock:
            known = self._links.get(party.code)
            if known is not None and known.where == where:
                known.auth.use_key(key)
                return known.client
            auth = gateway_auth(self._gateway, party.document)
            client = PartnerClient(*where, auth, own_certificate(self._gateway), reach=self._gateway.reach)
            link = self._links[party.code] = _Link(where, client, auth)
        if known is not None:
            known.client.close()
        return link.client

    def close(self) -> None:
        with self._lock:
            for link in self._links.values():
                link.client.close()
            self._links.clear()

    def drop(self, code: str) -> None:
        """Close the connections to a party that nothing goes to any more."""
        with self._lock:
            known = self._links.pop(code, None)
        if known is not None:
            known.client.close()


def gateway_auth(gateway: Gateway, document: PartyDocument) -> GatewayAuth:
    """How this gateway gets tokens from the party of `document`."""
    return GatewayAuth(
        issuer=document.issuer,
        token_endpoint=document.endpoints.get("token", document.issuer + TOKEN_PATH),
        client_id=gateway_client_id(gateway.party),
        key=load_signing_key(gateway.keys.oauth.private),
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

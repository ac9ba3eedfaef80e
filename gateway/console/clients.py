"""Clients over HTTP: shown, proposed, taken away. What is proposed is approved at `/api/proposals`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from gateway.api.access import Home
from gateway.clients import propose_client, propose_keys, revoke_client
from gateway.console.access import may
from gateway.console.forms import Form
from gateway.errors import NotFoundError
from gateway.people.person import Person
from gateway.proposals import Proposal
from partners.oauth.clients import Client, TokenBinding
from partners.oauth.keys import MAX_KEY_SET
from partners.oauth.registered import ClientKey, read_client_keys
from partners.oauth.store import all_keys, clients, endings, keys_of, load_client
from schemas.times import now_millis, to_millis, utc_text

router = APIRouter(prefix="/api/clients")

Reader = Annotated[Person, Depends(may("registry.read"))]
Proposer = Annotated[Person, Depends(may("client.propose"))]
Revoker = Annotated[Person, Depends(may("client.revoke"))]


class NewKeys(Form):
    """Public keys as a JWK set, or PEM keys and certificates; `ends` is RFC 3339."""

    keys: str = Field(max_length=MAX_KEY_SET)
    ends: str | None = None
    reason: str = ""

    def read(self, now: int) -> list[ClientKey]:
        """The keys, good from `now` on."""
        return read_client_keys(self.keys, begins=now, ends=None if self.ends is None else to_millis(self.ends))


class NewClient(NewKeys):
    """A client to be registered. A partner's gateway comes with its partner."""

    client_id: str = Field(max_length=128)
    party: str = Field(max_length=32)
    kind: Literal["station", "reader", "auditor"]
    scopes: list[str] = Field(max_length=16)
    binding: TokenBinding = "dpop"
    subject: str | None = None


class Revocation(Form):
    """The key or certificate that ends; the whole client where none is named."""

    kid: str | None = Field(default=None, max_length=128)


@router.get("", summary="Every client, with its keys and when the last of them ends")
def list_clients(_person: Reader, gateway: Home) -> list[dict[str, Any]]:
    """Partners' gateways and clients that have ended, too."""
    now = now_millis()
    with gateway.database.read() as session:
        found, keys = clients(session, now=now), all_keys(session)
        ending = {(one.client_id, one.what): one.days for one in endings(session, now)}
    return [
        {
            **_described(one, keys.get(one.client_id, [])), "key_ends_in_days": ending.get((one.client_id, "key")),
            "certificate_ends_in_days": ending.get((one.client_id, "certificate")),
        }
        for one in found
    ]  # fmt: skip


@router.get("/{client_id}", summary="One client")
def read_client(client_id: str, _person: Reader, gateway: Home) -> dict[str, Any]:
    """With its keys and certificates, those that have ended too."""
    with gateway.database.read() as session:
        found, keys = load_client(session, client_id), keys_of(session, client_id)
    if found is None:
        raise NotFoundError("there is no such client", code="client.unknown")
    return _described(found, keys)


@router.post("", status_code=202, summary="Propose a client")
def post_client(form: NewClient, person: Proposer, gateway: Home) -> dict[str, Any]:
    """It is registered when somebody else has approved it."""
    now = now_millis()
    marked = person.account if form.binding == "none" else None
    client = Client(
        form.client_id, form.party, form.kind, frozenset(form.scopes), "", binding=form.binding, subject=form.subject,
        unbound_by=marked,
    )  # fmt: skip
    return _proposed(propose_client(gateway, client, form.read(now), by=person, reason=form.reason, now=now))


@router.post("/{client_id}/keys", status_code=202, summary="Propose more keys for a client")
def post_keys(client_id: str, form: NewKeys, person: Proposer, gateway: Home) -> dict[str, Any]:
    """Beside those it has, so that one can follow the other."""
    now = now_millis()
    return _proposed(propose_keys(gateway, client_id, form.read(now), by=person, reason=form.reason, now=now))


@router.post("/{client_id}/revoke", summary="End a client, or one of its keys, at once")
def end_client(client_id: str, form: Revocation, person: Revoker, gateway: Home) -> dict[str, Any]:
    """From its next request on it is refused."""
    revoke_client(gateway, client_id, by=person, kid=form.kid, now=now_millis())
    return {"client_id": client_id, "kid": form.kid, "ended": True}


def _described(client: Client, keys: list[ClientKey]) -> dict[str, Any]:
    return {
        "client_id": client.client_id, "party": client.party, "kind": client.kind, "state": client.state,
        "scopes": sorted(client.scopes), "binding": client.binding, "subject": client.subject,
        "unbound_by": client.unbound_by,
        "keys": [
            {
                "kid": key.kid, "certificate": key.is_certificate, "begins": utc_text(key.begins),
                "ends": None if key.ends is None else utc_text(key.ends),
            }
            for key in keys
        ],
    }  # fmt: skip


def _proposed(proposal: Proposal) -> dict[str, Any]:
    return {"proposal": proposal.id, "digest": proposal.digest, "expires": utc_text(proposal.expires)}

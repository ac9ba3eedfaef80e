"""`/api/keys`: this gateway's own keys, as `taipu keys` shows and changes them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway import key_revocation, key_rotation, party_document, tls_rotation
from gateway.api.access import Home
from gateway.console.access import may
from gateway.expiry import expiries
from gateway.people.person import Person
from gateway.store.own_keys import doubted, exchanges
from partners.document import MAX_DOCUMENT, open_document
from partners.keys import Rotating
from schemas.times import beijing_text, now_millis, to_millis

router = APIRouter(prefix="/api/keys", tags=["keys"])

Reader = Annotated[Person, Depends(may("registry.read"))]
Rotator = Annotated[Person, Depends(may("key.rotate"))]
Revoker = Annotated[Person, Depends(may("key.revoke"))]


class Revocation(BaseModel):
    """Which key, and what became of it: `compromised_since` (RFC 3339), or lost where that is not given."""

    model_config = ConfigDict(extra="forbid")

    kid: str = Field(default="", max_length=64)
    compromised_since: str | None = None
    reason: str = ""


class Signed(BaseModel):
    """A party document that the identity key signed off line."""

    model_config = ConfigDict(extra="forbid")

    document: str = Field(max_length=MAX_DOCUMENT)


@router.get("", summary="Every key, the step that is due for it, and what that waits for")
def read_keys(gateway: Home, _: Reader) -> dict[str, Any]:
    """Also which document of ours each partner holds, and what ends soon."""
    now = now_millis()
    own = open_document(party_document.published_document(gateway))
    with gateway.database.read() as session:
        held = {party: row.holds for party, row in exchanges(session).items()}
        alarms = {party: row.alarm for party, row in exchanges(session).items() if row.alarm}
    return {
        "keys": [status.as_json() for status in key_rotation.key_statuses(gateway, now=now)],
        "document": {
            "serial": own.serial, "expires": own.expires, "due": party_document.is_stale(gateway, now=now),
            "held_by": held,
        },
        "alarms": alarms,
        "ending": [
            {"what": one.what, "ends": beijing_text(one.ends)} for one in expiries(gateway, now=now) if one.level(now)
        ],
    }  # fmt: skip


@router.post("/tls/renew", summary="A new server certificate")
def renew_certificate(gateway: Home, person: Rotator) -> dict[str, Any]:
    """From the authority in use; listeners take it up by themselves."""
    made = tls_rotation.rotate_certificate(gateway, by=person, now=now_millis())
    return {"ends": made.not_valid_after_utc.isoformat()}


@router.post("/authority/rotate", summary="The next step of the TLS authority's rotation")
def rotate_authority(gateway: Home, person: Rotator) -> dict[str, Any]:
    """Make and publish the next authority, or have it issue. 409 where that waits for something."""
    now = now_millis()
    key = tls_rotation.rotate_authority(gateway, by=person, now=now)
    return {"kid": key.kid, "state": key.phase(now)}


@router.post("/{use}/rotate", summary="The next step of a rotation")
def rotate_key(gateway: Home, person: Rotator, use: Rotating) -> dict[str, Any]:
    """Make and publish the next key, or take it into use. 409 where that waits for something."""
    return key_rotation.rotate(gateway, use, by=person, now=now_millis()).as_json()


@router.post("/{use}/retire", summary="Destroy the private halves of old keys")
def retire_key(gateway: Home, person: Rotator, use: Rotating) -> dict[str, Any]:
    """409 while something that an old key signed may still come."""
    return {"destroyed": key_rotation.retire(gateway, use, by=person, now=now_millis())}


@router.post("/{use}/revoke", summary="Propose to revoke a key", status_code=201)
def revoke_key(gateway: Home, person: Revoker, use: Rotating, body: Revocation) -> dict[str, Any]:
    """Somebody else approves it, under the digest in the answer."""
    since = to_millis(body.compromised_since) if body.compromised_since is not None else None
    proposal = key_revocation.propose_revocation(
        gateway, use, since=since, kid=body.kid, by=person, reason=body.reason, now=now_millis()
    )
    return {"proposal": proposal.id, "digest": proposal.digest, "content": dict(proposal.content)}


@router.post("/{use}/stop", summary="Have a key sign nothing more, at once")
def stop_key(gateway: Home, person: Revoker, use: Rotating) -> dict[str, Any]:
    """One person may; what became of the key, two decide."""
    return {"stopped": key_revocation.stop_key(gateway, use, by=person, now=now_millis()).kid}


@router.get("/document", summary="The party document that has to be signed next")
def read_draft(gateway: Home, _: Rotator) -> PlainTextResponse:
    """A draft, to be carried to the identity key."""
    return PlainTextResponse(party_document.draft_text(party_document.draft_document(gateway, now=now_millis())))


@router.post("/document", summary="Publish a party document that was signed elsewhere", status_code=201)
def install_document(gateway: Home, person: Rotator, body: Signed) -> dict[str, Any]:
    """It has to say just what our keys are now."""
    done = party_document.install_document(gateway, body.document.strip(), by=person, now=now_millis())
    return {"serial": done.serial, "expires": done.expires}


@router.get("/doubted", summary="Batches that a stolen key signed and nothing pins from before")
def read_doubted(gateway: Home, _: Reader) -> dict[str, Any]:
    """Held as evidence, and not to be relied on."""
    with gateway.database.read() as session:
        return {"batches": [vars(one) | {"at": beijing_text(one.at)} for one in doubted(session)]}

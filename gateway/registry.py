"""Who this gateway is to others, and bringing others in: the party document, partners, their gateways' clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from audit.entry import make_entry
from audit.form import CLIENT_REGISTERED, DEVICES_REGISTERED, PARTNER_REGISTERED, PLAN_IN_FORCE
from audit.log import append
from audit.note import NoteSigner
from gateway.home import Home, HomeError
from gateway.service import Gateway
from gateway.sync.links import SCOPES, gateway_client_id
from partners.directory import Party, register_party
from partners.document import (
    Jwk,
    Keys,
    Log,
    Names,
    PartyDocument,
    PartyError,
    Retired,
    Tls,
    claimed_party,
    make_document,
)
from partners.keys import KeysError
from partners.oauth.clients import Client
from partners.oauth.keys import load_signing_key, public_jwks
from partners.oauth.metadata import JWKS_PATH, TOKEN_PATH
from partners.oauth.store import add_client
from partners.plans import add_plan
from schemas.devices import Device, DeviceError, parse_devices
from schemas.districts import find_district
from schemas.factors import Factors
from schemas.mappings import MeaningError, check_meaning
from schemas.plan import Plan
from schemas.times import utc_text

LIFE = timedelta(days=400)  # of a party document: a year, and a month to notice that it was not renewed
DOCUMENT_FILE = "party.jws"
_NAMED = 100  # devices that one log entry names; an entry is short


def sign_document(home: Home, *, now: int, serial: int = 1) -> str:
    """This gateway's party document, signed anew; kept beside the settings, since the identity key may be off line.

    Raises:
        KeysError: `keys.missing`: the identity key is not here.
    """
    settings, keys = home.settings, home.keys
    if keys.identity is None:
        raise KeysError("the identity key is kept elsewhere; sign the party document there", code="keys.missing")
    district = find_district(settings.party)
    issued = datetime.fromtimestamp(now / 1000, UTC)
    document = PartyDocument(
        party=settings.party,
        names=Names(zh=district.name_zh, en=district.name_en)
        if district
        else Names(zh=settings.party, en=settings.party),
        versions=(1,),
        issuer=settings.url,
        endpoints={
            "token": settings.url + TOKEN_PATH,
            "jwks": settings.url + JWKS_PATH,
            "feeds": settings.url + "/v1/feeds",
            "inbox": settings.url + "/v1/inbox",
            "receipts": settings.url + "/v1/receipts",
            "log": settings.url + "/log",
        },
        identity=Jwk.of(keys.identity.public),
        keys=Keys(
            manifest=(Jwk.of(keys.manifest.public),),
            oauth=public_jwks([load_signing_key(keys.oauth.private)]),
            witness=NoteSigner(settings.log_origin + "/witness", keys.witness.private).vkey,
        ),
        retired=Retired(),
        log=Log(origin=settings.log_origin, vkey=NoteSigner(settings.log_origin, keys.log.private).vkey),
        tls=Tls(ca=settings.tls.ca.read_text(encoding="ascii")),
        serial=serial,
        issued=issued.isoformat(timespec="seconds"),
        expires=(issued + LIFE).isoformat(timespec="seconds"),
    )
    token = make_document(keys.identity, document)
    (settings.home / DOCUMENT_FILE).write_text(token, encoding="ascii")
    return token


def own_document(home: Home) -> str:
    """The party document as it was last signed.

    Raises:
        HomeError: `home.document-missing`.
    """
    try:
        return (home.settings.home / DOCUMENT_FILE).read_text(encoding="ascii").strip()
    except OSError as error:
        raise HomeError(f"{DOCUMENT_FILE} cannot be read: {error.strerror}", code="home.document-missing") from error


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
            jwks=party.jwks,
        )
        add_client(session, client, now)
        detail = {"fingerprint": party.fingerprint, "serial": party.document.serial, "url": party.url}
        entry = make_entry(PARTNER_REGISTERED, at=utc_text(now), party=gateway.party, peer=party.code, detail=detail)
        append(session, entry)
    return party


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


def bring_devices(gateway: Gateway, document: bytes, *, now: int) -> list[Device]:
    """Register the data loggers of a document; what was held for them is released soon after. `now` in ms UTC.

    Raises:
        DeviceError, LimitError: the document is not valid; nothing has changed.
    """
    devices = list(parse_devices(document).values())
    _check_codes(devices, gateway.governed.at(now)[Factors])
    with gateway.database.write() as session:
        gateway.devices.register(session, devices, now=now)
        detail = {"devices": [device.mn for device in devices[:_NAMED]], "count": len(devices)}
        append(session, make_entry(DEVICES_REGISTERED, at=utc_text(now), party=gateway.party, detail=detail))
    gateway.signals.arrived.send()
    return devices


def _check_codes(devices: list[Device], factors: Factors) -> None:
    """That no code says by its name that it is another factor than the one it is registered as, antimony above all."""
    faults: list[tuple[str, str]] = []
    for index, device in enumerate(devices):
        for code, known in device.factors.items():
            try:
                check_meaning(code, known.factor, factors)
            except MeaningError as error:
                faults.append((f"/devices/{index}/factors/{code}", error.detail))
    if faults:
        detail = "; ".join(f"{pointer}: {text}" for pointer, text in faults)
        raise DeviceError(detail, code="device.contradicts", pointers=[pointer for pointer, _ in faults])


def bring_plan(gateway: Gateway, document: bytes, *, now: int) -> Plan:
    """Keep a plan document; it is in force from its own instant on. `now` in ms UTC.

    Raises:
        PlanError: not valid, or other content for a version known already.
    """
    with gateway.database.write() as session:
        plan = add_plan(session, document, now=now)
        detail = {"plan": plan.reference, "digest": plan.digest, "effective": plan.effective.isoformat()}
        append(session, make_entry(PLAN_IN_FORCE, at=utc_text(now), party=gateway.party, detail=detail))
    return plan

"""Partners' party documents, kept up to date: asked for every so often, and at once when a key is unknown.

A document with a higher serial, signed by the pinned identity, is taken by itself: the partner's keys change with it,
its gateway's client keys here, too, and the log says so. Another identity is an alarm, and changes nothing: a person
asks by telephone. An expired document is an alarm, not a stop. The document proves itself, so it is also asked for
where the partner's certificate is no longer one we trust: it may name the authority that is new.

Each request tells the partner which of its documents we hold, so that it knows when its next key may be used.
"""

from __future__ import annotations

import json
import re
import time
from urllib.parse import parse_qsl

import structlog
from sqlalchemy import update

from audit.entry import make_entry
from audit.form import FINDING, PARTNER_DOCUMENT
from audit.log import append
from gateway.db import WriteSession
from gateway.key_trust import doubt_held
from gateway.service import Gateway
from gateway.store import own_keys
from gateway.sync.links import Links, gateway_client_id
from partners import tables
from partners.client import PartnerClient
from partners.directory import Party, find_party, parties, refresh_party
from partners.document import PartyDocument, PartyDocumentError, claimed_party
from partners.errors import PartnerRefusedError, PartnerUnreachableError
from partners.oauth.keys import load_key_set
from partners.principal import Principal
from schemas import jws
from schemas.errors import SharingError, SignatureError
from schemas.times import now_millis, utc_text

log = structlog.get_logger()

PATH = "/.well-known/taipu"
AT_MOST_EVERY = 10.0  # seconds between two requests for one document, whoever asks for it
EXPIRED = "partner.document-expired"

_TAG = re.compile(r'"([1-9]\d{0,15})"', re.ASCII)


class Refresher:
    """Keeps one partner's document up to date; one thread uses it."""

    def __init__(self, gateway: Gateway, links: Links, code: str) -> None:
        self._gateway = gateway
        self._links = links
        self._code = code
        self._asked: float | None = None  # when we asked last, by the monotonic clock

    def step(self) -> bool:
        """Ask for the document if that is due; whether there was a new one."""
        refresh = self._gateway.settings.keys.refresh
        since = None if self._asked is None else time.monotonic() - self._asked
        urgent = self._code in self._gateway.asked and (since is None or since >= min(AT_MOST_EVERY, refresh))
        if since is not None and since < refresh and not urgent:
            return False
        self._asked = time.monotonic()
        self._gateway.asked.discard(self._code)
        with self._gateway.database.read() as session:
            party = find_party(session, self._code)
        return party is not None and party.state == "active" and refresh_once(self._gateway, self._links, party)


def refresh_once(gateway: Gateway, links: Links, party: Party) -> bool:
    """Ask `party` for its document and take it; whether it was new. What is wrong with it becomes an alarm."""
    try:
        token = _fetch(gateway, links, party)
        changed = token is not None and take_document(gateway, token, now=now_millis())
    except PartyDocumentError as error:
        _alarm(gateway, party, error.code, error.detail)
        return False
    except SharingError as error:
        log.warning("document.not-fetched", party=party.code, code=error.code, detail=error.detail)
        return False
    if changed:
        with gateway.database.read() as session:
            party = find_party(session, party.code) or party
        _tell(links, party)
    expired = party.document.expired(now_millis())
    _alarm(gateway, party, EXPIRED if expired else "", f"the document of {party.code} has expired")
    return changed


def take_document(gateway: Gateway, token: str, *, now: int) -> bool:
    """Take a registered partner's document; True when it says something new. `now` in ms UTC.

    Raises:
        PartyDocumentError, PartyError: as `partners.directory.refresh_party`; nothing has changed.
    """
    with gateway.database.write() as session:
        if not refresh_party(session, token, now=now):
            return False
        party = find_party(session, claimed_party(token))
        assert party is not None  # it was registered, or nothing could have changed
        _follow(session, party)
        doubtful = doubt_held(gateway, session, party, now=now)
        _log(gateway, session, party, doubtful, now)
    gateway.signals.logged.send()
    log.info("document.taken", party=party.code, serial=party.document.serial)
    if doubtful:
        log.error("key.compromised", party=party.code, batches=doubtful)
    return True


def notice_assertion(gateway: Gateway, body: bytes) -> None:
    """A token request was refused. Where a partner's gateway signed it with a key we do not know, there may be a newer
    document: whoever sent it, asking for that does no harm, and happens rarely."""
    try:
        assertion = dict(parse_qsl(body.decode("ascii"), max_num_fields=32)).get("client_assertion", "")
        header, claims = jws.peek(assertion)
    except (ValueError, SignatureError):
        return
    with gateway.database.read() as session:
        known = parties(session)
    for party in known:
        is_its_gateway = claims.get("sub") == gateway_client_id(party.code) and party.state == "active"
        if is_its_gateway and header.get("kid") not in load_key_set(party.jwks):
            gateway.ask_document(party.code)


def document_tag(document: PartyDocument) -> str:
    """The entity tag of a document."""
    return f'"{document.serial}"'


def note_held(gateway: Gateway, caller: Principal, tag: str, *, now: int) -> None:
    """A partner's gateway says which document of ours it holds."""
    match = _TAG.fullmatch(tag)
    if match is None or caller.kind != "gateway" or caller.party == gateway.party:
        return
    with gateway.database.read() as session:
        known = own_keys.exchanges(session).get(caller.party)
    serial = int(match[1])
    if known is None or (known.holds or 0) < serial:
        with gateway.database.write() as session:
            own_keys.note_exchange(session, caller.party, holds=serial, told=now)


def _fetch(gateway: Gateway, links: Links, party: Party) -> str | None:
    """The partner's document, None where it is the one we hold."""
    with gateway.database.write() as session:
        own_keys.note_exchange(session, party.code, asked=now_millis())
    try:
        answer = links.to(party).get(PATH, headers={"If-None-Match": document_tag(party.document)}, accept=(200, 304))
        return answer.text.strip() if answer.status == 200 else None
    except (PartnerRefusedError, PartnerUnreachableError) as error:
        # Perhaps its keys or its authority have changed: the document says so, and needs neither to prove itself.
        log.info("document.asked-plainly", party=party.code, code=error.code)
        with PartnerClient(party.url, None) as anybody:
            return anybody.party_document().strip()


def _tell(links: Links, party: Party) -> None:
    """Tell the partner that we hold its new document; if that fails, the next request does."""
    try:
        links.to(party).get(PATH, headers={"If-None-Match": document_tag(party.document)}, accept=(200, 304))
    except SharingError as error:
        log.info("document.not-told", party=party.code, code=error.code)


def _follow(session: WriteSession, party: Party) -> None:
    """The partner's gateway authenticates here with the keys that the document names."""
    table = tables.client
    here = (table.c.client_id == gateway_client_id(party.code), table.c.party == party.code)
    session.execute(update(table).where(*here).values(jwks=json.dumps(party.document.keys.oauth)))


def _log(gateway: Gateway, session: WriteSession, party: Party, doubtful: int, now: int) -> None:
    document = party.document
    detail = {
        "serial": document.serial,
        "manifest": [jwk.kid for jwk in document.keys.manifest],
        "retired": [old.key.kid for old in document.retired.manifest],
    }
    append(
        session,
        make_entry(PARTNER_DOCUMENT, at=utc_text(now), party=gateway.party, peer=party.code, detail=detail),
    )
    if doubtful:
        found = {"code": "key.compromised", "count": doubtful}
        entry = make_entry(FINDING, at=utc_text(now), party=gateway.party, peer=party.code, detail=found)
        append(session, entry)


def _alarm(gateway: Gateway, party: Party, code: str, detail: str) -> None:
    """Raise an alarm once, and end it once what was wrong is right again."""
    with gateway.database.read() as session:
        known = own_keys.exchanges(session).get(party.code)
    if code == (known.alarm if known else ""):
        return
    now = now_millis()
    with gateway.database.write() as session:
        own_keys.note_exchange(session, party.code, alarm=code, alarmed=now if code else None)
        if code:
            entry = make_entry(FINDING, at=utc_text(now), party=gateway.party, peer=party.code, detail={"code": code})
            append(session, entry)
    if code:
        log.error("document.alarm", party=party.code, code=code, detail=detail)
        gateway.signals.logged.send()

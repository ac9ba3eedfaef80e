"""This gateway's own party document: what it says of itself to partners, signed by its identity (3-protocol).

The first one is a file beside the settings, since the identity key that signs it may be off line and there is no
database yet. Each later one has a higher serial; it stands in the database, for all hosts, and in that file, too. What
is in it follows from the settings and the key ring: a key is published by being in the ring. Where the identity key is
off line, `draft_document` is carried there, signed by `sign_draft`, and comes back through `install_document`.

What this module must never do: publish a document that partners would not take, or that says something else than the
ring does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy.exc import IntegrityError

from audit import log as exchange_log
from audit.entry import make_entry
from audit.form import KEY_CHANGED
from audit.keys import origin_of
from audit.log import append
from audit.note import NoteVerifier
from gateway.db import WriteSession
from gateway.errors import ConflictError
from gateway.files import replace_file
from gateway.home import Home, HomeError
from gateway.keyring import public_of
from gateway.people.person import Person, actor_of
from gateway.service import Gateway
from gateway.store import own_keys
from gateway.store.own_keys import OwnKey, Use
from partners.document import (
    MAX_DOCUMENT,
    Jwk,
    Keys,
    LastBatch,
    Log,
    Names,
    PartyDocument,
    PartyDocumentError,
    Retired,
    RetiredKey,
    RetiredVkey,
    Tls,
    make_document,
    open_document,
)
from partners.keys import KeysError
from partners.oauth.metadata import JWKS_PATH, TOKEN_PATH
from schemas import jws
from schemas.districts import find_district
from schemas.times import DAY, to_millis, utc_text

LIFE = timedelta(days=400)  # of a party document: a year, and a month to notice that it was not renewed
DOCUMENT_FILE = "party.jws"
_TRIES = 5  # to publish, while others publish too
RENEW = 30 * DAY  # ms before its end that a document is signed anew by itself, where the identity key is here


def sign_document(home: Home, *, now: int, serial: int = 1) -> str:
    """This gateway's first party document, kept beside the settings. `now` in ms UTC.

    Raises:
        KeysError: `keys.missing`: the identity key is not here.
    """
    keys = home.keys
    if keys.identity is None:
        raise KeysError("the identity key is kept elsewhere; sign the party document there", code="keys.missing")
    uses: tuple[Use, ...] = ("manifest", "log", "witness", "oauth")
    first = [OwnKey(getattr(keys, use).kid, use, public_of(getattr(keys, use)), made=0, begins=0) for use in uses]
    origin = home.settings.log_origin
    token = make_document(keys.identity, _document(home, Jwk.of(keys.identity.public), first, origin, serial, now))
    (home.settings.home / DOCUMENT_FILE).write_text(token, encoding="ascii")
    return token


def own_document(home: Home) -> str:
    """The party document as it was last signed, as far as this host's file knows.

    Raises:
        HomeError: `home.document-missing`.
    """
    try:
        return (home.settings.home / DOCUMENT_FILE).read_text(encoding="ascii").strip()
    except OSError as error:
        raise HomeError(f"{DOCUMENT_FILE} cannot be read: {error.strerror}", code="home.document-missing") from error


def published_document(gateway: Gateway) -> str:
    """The party document in force: the newest that any host published. Raises as `own_document` does."""
    kept = gateway.keys.document()
    return own_document(gateway.home) if kept is None else kept[1]


def draft_document(gateway: Gateway, *, now: int) -> PartyDocument:
    """The document that has to be signed next: what the settings and the ring say at `now` (ms UTC)."""
    present = open_document(published_document(gateway))
    identity = gateway.keys.identity
    public = present.identity if identity is None else Jwk.of(identity.public)
    with gateway.database.read() as session:
        origin = origin_of(gateway.settings.log_origin, exchange_log.head(session).shard)
    return _document(gateway.home, public, gateway.keys.held(), origin, present.serial + 1, now)


def is_stale(gateway: Gateway, *, now: int) -> bool:
    """Whether the document in force says something else than the ring does, or ends soon."""
    present = open_document(published_document(gateway))
    wanted = draft_document(gateway, now=now)
    return not _same(present, wanted) or to_millis(present.expires) < now + RENEW


def publish_document(gateway: Gateway, *, by: Person | None = None, now: int) -> PartyDocument | None:
    """Sign and publish what the ring says now; None where the document in force says that already.

    Raises:
        KeysError: `keys.missing`: the identity key is off line; `draft_document` has what to sign.
    """
    for _ in range(_TRIES):
        if not is_stale(gateway, now=now):
            return None
        if gateway.keys.identity is None:
            detail = "the identity key is off line: `taipu keys document` writes down what it has to sign"
            raise KeysError(detail, code="keys.missing")
        document = draft_document(gateway, now=now)
        try:
            _put_in_force(gateway, make_document(gateway.keys.identity, document), document, by, now)
        except PartyDocumentError as error:
            if error.code != "partner.serial-older":
                raise
            gateway.keys.forget()  # the duty, or another process, published at this moment: perhaps all there is to say
        else:
            return document
    raise ConflictError("documents are published faster than this one can be", code="keys.waiting")


def install_document(gateway: Gateway, token: str, *, by: Person, now: int) -> PartyDocument:
    """Publish a document that the identity key signed off line.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        PartyDocumentError: it is not signed by our identity, or `partner.serial-older`, or
            `document.outdated`: it does not say what the ring says now, and has to be drafted anew.
    """
    by.require("key.rotate")
    present = open_document(published_document(gateway))
    document = open_document(token, pinned=present.fingerprint)
    if document.serial <= present.serial:
        raise PartyDocumentError(f"serial {present.serial} is in force", code="partner.serial-older")
    if not _same(document, draft_document(gateway, now=now)):
        detail = "keys have changed since this was drafted: draft the document anew"
        raise PartyDocumentError(detail, code="document.outdated")
    _put_in_force(gateway, token, document, by, now)
    return document


def draft_text(document: PartyDocument) -> str:
    """A document not signed yet, to be carried to the identity key."""
    return json.dumps(msgspec.to_builtins(document), ensure_ascii=False, indent=2) + "\n"


def sign_draft(identity: jws.SigningKey, text: str) -> str:
    """Sign a draft where the identity key is; the document to carry back.

    Raises:
        PartyDocumentError: it is no draft, or one of another identity.
    """
    try:
        document = msgspec.json.decode(text.encode()[: 4 * MAX_DOCUMENT], type=PartyDocument)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise PartyDocumentError("this is not a draft of a party document") from error
    return make_document(identity, document)


def _put_in_force(gateway: Gateway, token: str, document: PartyDocument, by: Person | None, now: int) -> None:
    with gateway.database.write() as session:
        own_keys.one_at_a_time(session)
        try:
            with session.begin_nested():
                own_keys.add_document(session, document.serial, token, now=now)
        except IntegrityError as error:
            detail = f"serial {document.serial} was published by somebody else just now"
            raise PartyDocumentError(detail, code="partner.serial-older") from error
        for key in own_keys.all_keys(session):
            if key.published is None:
                own_keys.change_key(session, key.kid, published=now, serial=document.serial)
        _log(gateway, session, document, by, now)
    gateway.keys.forget()
    replace_file(gateway.settings.home / DOCUMENT_FILE, token.encode("ascii"))
    gateway.signals.logged.send()


def _log(gateway: Gateway, session: WriteSession, document: PartyDocument, by: Person | None, now: int) -> None:
    actor = actor_of(gateway.home, by.account) if by else None
    detail = {"what": "published", "serial": document.serial, "expires": document.expires}
    append(session, make_entry(KEY_CHANGED, at=utc_text(now), party=gateway.party, actor=actor, detail=detail))


def _same(one: PartyDocument, other: PartyDocument) -> bool:
    """Whether two documents say the same, whenever they were signed."""
    plain = {"serial": 1, "issued": "", "expires": ""}
    return msgspec.structs.replace(one, **plain) == msgspec.structs.replace(other, **plain)


def _document(home: Home, identity: Jwk, keys: Iterable[OwnKey], origin: str, serial: int, now: int) -> PartyDocument:
    """The document of these keys; `origin` is that of the log's shard in force."""
    settings = home.settings
    district = find_district(settings.party)
    issued = datetime.fromtimestamp(now // 1000, UTC)
    keys = list(keys)
    vkeys = [_vkey(key, origin) for key in _published(keys, "log")]
    witnesses = [_vkey(key, settings.log_origin + "/witness") for key in _published(keys, "witness")]
    return PartyDocument(
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
        identity=identity,
        keys=Keys(
            manifest=tuple(_jwk(key) for key in _published(keys, "manifest")),
            oauth={"keys": [json.loads(key.public) for key in _published(keys, "oauth")]},
            witness=witnesses[0],
            witnesses=tuple(witnesses[1:]),
        ),
        retired=_retired(keys, settings.log_origin),
        log=Log(origin=origin, vkey=vkeys[0], vkeys=tuple(vkeys[1:])),
        tls=Tls(ca=settings.tls.ca.read_text(encoding="ascii")),
        serial=serial,
        issued=issued.isoformat(timespec="seconds"),
        expires=(issued + LIFE).isoformat(timespec="seconds"),
    )


def _published(keys: Iterable[OwnKey], use: str) -> list[OwnKey]:
    """The keys of a use that others take as good: oldest first, since what changes at an instant must not depend on
    when a document was signed; an old one stays among them until its end is settled."""
    return [key for key in keys if key.use == use and not key.over]


def _retired(keys: Iterable[OwnKey], origin: str) -> Retired:
    old = [key for key in keys if key.over and key.begins is not None]
    return Retired(
        manifest=tuple(_retired_key(key) for key in old if key.use == "manifest"),
        log=tuple(vkey for key in keys if key.use == "log" for vkey in _retired_log(key)),
        witness=tuple(_retired_vkey(key, origin + "/witness") for key in old if key.use == "witness"),
    )


def _retired_key(key: OwnKey) -> RetiredKey:
    assert key.ends is not None
    last = {name: LastBatch(seq=seq, manifest=manifest) for name, (seq, manifest) in (key.last or {}).items()}
    compromised = utc_text(key.since) if key.since is not None else ""
    return RetiredKey(
        key=_jwk(key), ended=utc_text(key.ends)[:10], last=last, until=utc_text(key.ends), compromised=compromised
    )


def _retired_log(key: OwnKey) -> Iterator[RetiredVkey]:
    """What a log key stands for of the past: also one in use, if it signed the end of a shard before."""
    for origin, (size, _) in (key.last or {}).items():
        yield _retired_vkey(key, origin, size)


def _retired_vkey(key: OwnKey, name: str, size: int | None = None) -> RetiredVkey:
    ended = key.ends if key.ends is not None else key.begins
    assert ended is not None
    return RetiredVkey(vkey=_vkey(key, name), ended=utc_text(ended)[:10], size=size)


def _jwk(key: OwnKey) -> Jwk:
    return Jwk.of(jws.load_public(key.public))


def _vkey(key: OwnKey, name: str) -> str:
    return NoteVerifier(name, jws.load_public(key.public)).vkey

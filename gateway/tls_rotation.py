"""Rotation of what TLS rests on: the server certificate at any time, and the authority that issued it in steps.

    1. `rotate_authority`   the next authority is made; `tls/ca.pem`, and so the party document, has both
    2. `rotate_authority`   once every active partner holds that document: it issues the server certificate
    3. `settle`             once the overlap is over the old one leaves the file and the document

Stations and readers are given `tls/ca.pem` by hand: they need the new one within the overlap. Listeners take a new
certificate up by themselves (`gateway.served_certificate`). Only for the files that `taipu init` made; a certificate
that somebody else issued is renewed there.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from audit.entry import make_entry
from audit.form import KEY_CHANGED
from audit.log import append
from gateway.errors import ConflictError
from gateway.files import replace_file
from gateway.home import issue_authority, renew_certificate, require_own_certificate
from gateway.key_rotation import log_change, obstacle_of
from gateway.party_document import publish_document
from gateway.people.person import Person, actor_of
from gateway.service import Gateway
from gateway.store import own_keys
from gateway.store.own_keys import OwnKey
from partners.keys import private_pem, write_private
from schemas.jws import b64encode
from schemas.times import utc_text

_NEXT = "ca-next.key"


def rotate_certificate(gateway: Gateway, *, by: Person, now: int) -> x509.Certificate:
    """A new server certificate from the authority in use; listeners take it up by themselves. `now` in ms UTC.

    Raises:
        AccessDeniedError: `person.not-permitted`, `person.confirm-again`.
        HomeError: as `renew_certificate`.
    """
    _require(by, now)
    made = renew_certificate(gateway.home, now=now)
    with gateway.database.write() as session:
        detail = {"what": "renewed", "use": "tls", "certificate": _digest(made)}
        actor = actor_of(gateway.home, by.account)
        append(session, make_entry(KEY_CHANGED, at=utc_text(now), party=gateway.party, actor=actor, detail=detail))
    gateway.certificates.look()
    gateway.signals.logged.send()
    return made


def rotate_authority(gateway: Gateway, *, by: Person, now: int) -> OwnKey:
    """Take the step of the authority's rotation that is due: make and publish the next one, or have it issue.

    Raises:
        AccessDeniedError: `person.not-permitted`, `person.confirm-again`.
        ConflictError: `keys.waiting`.
        HomeError: as `renew_certificate`.
    """
    _require(by, now)
    require_own_certificate(gateway.home)
    coming = gateway.keys.next("tls", now)
    changed = _begin(gateway, by, now) if coming is None else _take_into_use(gateway, coming, by, now)
    gateway.keys.forget()
    gateway.certificates.look()
    if gateway.keys.identity is not None:
        publish_document(gateway, by=by, now=now)
    gateway.signals.logged.send()
    return changed


def _begin(gateway: Gateway, by: Person, now: int) -> OwnKey:
    settings, file = gateway.settings, gateway.settings.tls.ca
    key = ec.generate_private_key(ec.SECP256R1())
    made = issue_authority(key, settings.party, now=now)
    new = OwnKey(_digest(made), "tls", _pem(made), made=now)
    with gateway.database.write() as session:
        own_keys.one_at_a_time(session)
        rows = own_keys.keys_of(session, "tls")
        if any(row.phase(now) == "next" for row in rows):
            raise ConflictError("somebody else made the next authority just now", code="keys.waiting")
        if not rows:
            present = x509.load_pem_x509_certificates(file.read_bytes())[0]
            first = OwnKey(_digest(present), "tls", _pem(present), made=0, published=0, serial=1, begins=0)
            own_keys.add_key(session, first)
        _next_key(gateway).unlink(missing_ok=True)  # one that a step left which did not get this far
        write_private(_next_key(gateway), private_pem(key, settings.passphrase()))
        own_keys.add_key(session, new)
        log_change(gateway, session, "made", new, by, now)
        replace_file(file, file.read_bytes().rstrip(b"\n") + b"\n" + new.public.encode("ascii"))
    return new


def _take_into_use(gateway: Gateway, coming: OwnKey, by: Person, now: int) -> OwnKey:
    file = gateway.settings.tls.ca
    with gateway.database.write() as session:
        own_keys.one_at_a_time(session)
        waits_for, missing = obstacle_of(gateway, session, coming, now)
        if waits_for:
            raise ConflictError(waits_for, code="keys.waiting", extra={"missing": list(missing)})
        old = [row for row in own_keys.keys_of(session, "tls") if row.phase(now) == "in use"]
        for row in old:
            own_keys.change_key(session, row.kid, ends=now, reason="rotated")
        own_keys.change_key(session, coming.kid, begins=now)
        log_change(gateway, session, "in-use", coming, by, now, begins=utc_text(now))
        _next_key(gateway).rename(file.with_name("ca.key"))
        replace_file(file, "".join([coming.public, *(row.public for row in old)]).encode("ascii"))
        renew_certificate(gateway.home, now=now)
    return replace(coming, begins=now)


def _require(by: Person, now: int) -> None:
    by.require("key.rotate")
    by.require_recent(now)


def _next_key(gateway: Gateway) -> Path:
    return gateway.settings.tls.ca.with_name(_NEXT)


def _digest(certificate: x509.Certificate) -> str:
    return b64encode(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")

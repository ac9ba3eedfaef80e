"""What an operator wants to know of a gateway that does not do as it should: every cause tried, one by one.

Can be run beside the running service, and when it does not start. What builds on something that is broken is not tried:
without keys there is no database to speak of. Changes nothing.
"""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from gateway.agreements.standing import undecided_plans
from gateway.connection_test import try_partner
from gateway.health import Check, check_health, tried
from gateway.home import Home
from gateway.loggers.figures import CONNECTIONS, all_figures
from gateway.loggers.strangers import strangers_of
from gateway.migrations import require_current
from gateway.party_document import own_document, published_document
from gateway.service import Gateway
from gateway.settings import Settings, load_settings
from gateway.store import feeds
from gateway.sync.apply import TOLERATED_SKEW
from partners.directory import Party, parties
from partners.document import host_of, open_document
from partners.keys import load_keys
from partners.plans import plans_in_force
from schemas.errors import SharingError
from schemas.times import DAY, beijing_text, millis_of, to_millis

NOTICE = 14 * DAY  # ms before its end that a certificate or document counts as ill
FIGURES_LIFE = 60_000  # ms without a word of the listener for data loggers, which writes every few seconds
DISK = 1024 * 1024 * 1024  # bytes that should be free


class IllnessError(SharingError):
    """Something a gateway lives by is not as it should be; `code` says what."""

    code = "doctor.ill"


def examine(directory: Path, *, now: int) -> list[Check]:
    """Everything there is to check at the home `directory`, in order of what builds on what. `now` in ms UTC."""
    try:
        settings = load_settings(directory)
    except SharingError as error:
        return [Check("settings", ok=False, text=error.diagnostics())]
    return [
        Check("settings", ok=True, text=f"party {settings.party} at {settings.url}"),
        tried("disk", lambda: _check_disk(settings)),
        tried("certificate", lambda: _check_certificate(settings, now)),
        *_check_keys(settings, now),
    ]


def _check_disk(settings: Settings) -> str:
    free = shutil.disk_usage(settings.home).free
    text = f"{free / DISK:.1f} GiB free"
    if free < DISK:
        raise IllnessError(f"{text}; at least 1 GiB is needed", code="disk.full")
    return text


def _check_certificate(settings: Settings, now: int) -> str:
    """The chain loads with its key, names our host and is within its dates, and so is the authority."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        settings.tls.certificate, settings.tls.key, settings.passphrase() or b""
    )
    server = x509.load_pem_x509_certificate(settings.tls.certificate.read_bytes())
    host = host_of(settings.url)
    if host not in _names(server):
        raise IllnessError(f"the certificate does not name {host}", code="certificate.name")
    authorities = x509.load_pem_x509_certificates(settings.tls.ca.read_bytes())
    ends = min(one.not_valid_after_utc for one in (server, *authorities))
    begins = max(one.not_valid_before_utc for one in (server, *authorities))
    if millis_of(begins) > now:
        raise IllnessError(f"not valid before {beijing_text(millis_of(begins))}", code="certificate.early")
    return _lasting("certificate", millis_of(ends), now)


def _check_keys(settings: Settings, now: int) -> Iterator[Check]:
    try:
        keys = load_keys(settings.home / "keys", passphrase=settings.passphrase())
    except SharingError as error:
        yield Check("keys", ok=False, text=error.diagnostics())
        return
    yield Check("keys", ok=True, text="all read" if keys.identity else "all read; the identity key is kept elsewhere")
    home = Home(settings, keys)
    yield tried("document", lambda: _check_document(home, now))
    gateways: list[Gateway] = []

    def check_database() -> str:
        gateways.append(Gateway(home))
        require_current(gateways[0].database)
        return f"{gateways[0].database.engine.dialect.name}, with the schema of this program"

    database = tried("database", check_database)
    yield database
    for gateway in gateways:
        if database.ok:
            yield from _check_running(gateway, now)
        gateway.close()


def _check_document(home: Home, now: int) -> str:
    """What partners read of us lasts."""
    document = open_document(own_document(home))
    return _lasting("document", to_millis(document.expires), now)


def _check_running(gateway: Gateway, now: int) -> Iterator[Check]:
    yield tried("clock", lambda: _check_clock(gateway, now))
    yield tried("published keys", lambda: _check_signing(gateway))
    heads = tried("head store", lambda: _check_heads(gateway))
    if not heads.ok:
        gateway.read_only = IllnessError(heads.text, code="gateway.read-only")
    yield heads
    yield from check_health(gateway)
    yield tried("plans", lambda: _check_plans(gateway, now))
    if gateway.settings.loggers.listen is not None:
        yield tried("data loggers", lambda: _check_loggers(gateway, now))
    with gateway.database.read() as session:
        known = parties(session)
    for party in known:
        if party.exchanges:
            yield tried(f"partner {party.code}", lambda party=party: _check_partner(gateway, party, now))  # type: ignore[misc]


def _check_signing(gateway: Gateway) -> str:
    """What partners read of us is what we sign with."""
    document = open_document(published_document(gateway))
    if gateway.keys.manifest.kid not in {key.kid for key in document.keys.manifest}:
        raise IllnessError("the party document names another manifest key", code="document.stale")
    return f"document {document.serial} names what we sign with"


def _check_clock(gateway: Gateway, now: int) -> str:
    """Ours must not be behind what it said when it published last."""
    with gateway.database.read() as session:
        newest = max((head.created for head in feeds.heads_of(session, gateway.party)), default=0)
    if newest > now + TOLERATED_SKEW:
        raise IllnessError(f"the newest batch was published at {beijing_text(newest)}", code="clock.behind")
    return beijing_text(now // 1000 * 1000)


def _check_heads(gateway: Gateway) -> str:
    gateway.sequencer.recover()
    return f"the log and {gateway.publisher.check_pinned()} feeds are as they were given out"


def _check_plans(gateway: Gateway, now: int) -> str:
    with gateway.database.read() as session:
        undecided, in_force = undecided_plans(session, now), plans_in_force(session, now).plans
    if undecided:
        detail = f"nothing is published under {', '.join(undecided)}: it is not known here which version is in force"
        raise IllnessError(detail, code="plan.undecided")
    return f"in force: {', '.join(plan.reference for plan in in_force)}" if in_force else "none is in force"


def _check_loggers(gateway: Gateway, now: int) -> str:
    """Their listener writes its figures down every few seconds; who sends unregistered is a person's to see."""
    address = gateway.settings.loggers.listen
    with gateway.database.read() as session:
        figures = max(all_figures(session).values(), key=lambda one: one["at"], default={"at": 0})
        strangers = len(strangers_of(session))
    if now - figures["at"] > FIGURES_LIFE:
        raise IllnessError(f"nobody listens at {address}", code="loggers.not-listening")
    devices = f"{strangers} devices are not registered" if strangers else "all devices are registered"
    return f"{figures[CONNECTIONS]} connections at {address}; {devices}"


def _check_partner(gateway: Gateway, party: Party, now: int) -> str:
    """The connection test: what it fails at first is what to see to."""
    report = try_partner(gateway, party, now=now)
    if report.failure is not None:
        raise IllnessError(f"{report.failure.name}: {report.failure.text}", code=report.failure.code)
    clock = next(step for step in report.steps if step.name == "clock")
    return f"reached, and both call each other; {clock.text}"


def _lasting(what: str, end: int, now: int) -> str:
    days = (end - now) // DAY
    if end <= now:
        raise IllnessError(f"expired at {beijing_text(end)}", code=f"{what}.expired")
    if end <= now + NOTICE:
        raise IllnessError(f"expires in {days} days, at {beijing_text(end)}", code=f"{what}.expiring")
    return f"valid for {days} days"


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = names.get_values_for_type(x509.IPAddress)
    return {*names.get_values_for_type(x509.DNSName), *map(str, addresses)}

"""TLS of the listeners: the profile, client certificates where the application sees them, and the proof that it does.

The Mozilla intermediate profile: TLS 1.2 and 1.3, forward secrecy, authenticated encryption, one certificate. The
partner listener may ask for a client certificate and never demands one; the console's never asks, or browsers would
offer their owners a choice of certificates.

A handshake says that an authority vouches for a certificate, and no more than that. Whether it is registered for a
client is asked at each request (`Client.accepts_certificate`), so nothing here has to know who was suspended or when.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from anyio import to_thread
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.db import Database
from gateway.setting_groups import Address
from gateway.settings import Settings
from partners.document import PartyError, check_ca
from partners.keys import private_pem, write_private
from partners.tables import party
from schemas.errors import SharingError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
# The standard library can name one group and no list of them. OpenSSL's own list has X448 and P-521 in it, which the
# profile does not; P-256 is in everybody's. A client that guesses another one pays a second round trip per connection.
GROUP = "prime256v1"
REREAD = 1.0  # seconds until an authority that the registry has, or no longer has, counts
_PROOF_TIMEOUT = 10  # seconds

log = structlog.get_logger()


class CertifiedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with the caller's certificate (DER) in the scope, in the form of the ASGI TLS extension."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the certificate once for a connection: it cannot change on it, for nobody may renegotiate."""
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert(binary_form=True) if secured is not None else None
        self._chain = [certificate] if certificate else []

    def on_message_begin(self) -> None:
        """Every request of the connection gets it."""
        super().on_message_begin()
        self.scope["extensions"] = {"tls": {"client_cert_chain": self._chain}}


def tls_context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 or newer under the settings' certificate; nobody is asked for theirs."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    made.set_ecdh_curve(GROUP)
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.load_cert_chain(settings.tls.certificate, settings.tls.key, settings.passphrase())
    return made


def choosing(listening: ssl.SSLContext, current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """`listening`, for a listener, each handshake of which goes on with the `current` context of its moment.

    A context is replaced and never changed: a handshake on the event loop may be reading it while another thread has
    something new to say.
    """

    def choose(handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = current()

    listening.sni_callback = choose
    return listening


class ClientAuthorities:
    """Which authorities may vouch for client certificates: those of the settings, and partners' from the registry.

    The registry is read again every second, not in a handshake: that runs on the event loop, which must not wait for a
    database. A handshake is judged by what was read last.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._known: object = None  # what `_current` was made from: authorities, and our own certificate's files
        self._current = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # replaced by `reread`, and never changed
        self._awaited = ""  # the thumbprint that `prove` sends
        self._arrived = threading.Event()
        self._lock = threading.Lock()  # held while a context is made
        self.reread()

    def context(self) -> ssl.SSLContext:
        """What a listener is given. Each handshake goes on with the authorities known at its moment."""
        return choosing(self._make([]), lambda: self._current)

    def reread(self, passing: str = "") -> None:
        """Take the authorities as they are in the registry now, and `passing` (PEM) beside them; our certificate, too.

        Raises:
            SharingError: `tls.client-ca-unusable`: the file of the settings is no certificates.
        """
        with self._lock:
            with self._database.read() as session:
                partners = session.scalars(select(party.c.ca_pem).where(party.c.state != "ended"))
                wanted = frozenset({*partners, self._configured(), passing} - {""})
            files = (self._settings.tls.certificate, self._settings.tls.key)
            found = wanted, tuple(file.stat().st_mtime_ns for file in files)
            if found != self._known:
                self._current = self._make(sorted(wanted))
                self._known = found

    async def run(self) -> None:
        """Keep up with the registry until cancelled."""
        while True:
            await asyncio.sleep(REREAD)
            try:
                await to_thread.run_sync(self.reread)
            except (SharingError, SQLAlchemyError, OSError) as error:
                # What was read last goes on counting: whoever replaces certificate and key may be between the two, and
                # what depends on the database will say the same, louder.
                log.warning("tls.authorities-not-read", error=type(error).__name__)

    def notice(self, certificate: bytes | None) -> None:
        """A request came with this certificate in its scope: is it the one that `prove` waits for?"""
        if self._awaited and certificate is not None and hashlib.sha256(certificate).hexdigest() == self._awaited:
            self._arrived.set()

    def prove(self, address: Address) -> None:
        """Send one request to ourselves at `address` with a certificate made for that, and see it arrive.

        Raises:
            SharingError: `tls.client-certificates-ineffective`: it did not. Client certificates are configured, and
                whatever is bound to one would be refused to its owner, or worse.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _throw_away(key)
        pem = certificate.public_bytes(Encoding.PEM)
        self._awaited = certificate.fingerprint(SHA256()).hex()
        self.reread(pem.decode("ascii"))
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "certificate.pem"
                write_private(file, pem + private_pem(key, None))
                _ask(address, file)
            arrived, reason = self._arrived.is_set(), "it did not reach the application"
        except (OSError, http.client.HTTPException) as error:
            arrived, reason = False, str(error)
        finally:
            self._awaited = ""
            self.reread()
        if not arrived:
            detail = f"client certificates are configured and not effective: {reason}"
            raise SharingError(detail, code="tls.client-certificates-ineffective")

    def _configured(self) -> str:
        file = self._settings.tls.client_ca
        try:
            return check_ca(file.read_text(encoding="ascii")) if file is not None else ""
        except (OSError, UnicodeDecodeError, PartyError) as error:
            raise SharingError(f"{file} cannot be read as certificates", code="tls.client-ca-unusable") from error

    def _make(self, authorities: list[str]) -> ssl.SSLContext:
        made = tls_context(self._settings)
        made.verify_mode = ssl.CERT_OPTIONAL
        # A session that is resumed is not verified again.
        made.options |= ssl.OP_NO_TICKET
        made.num_tickets = 0
        for pem in authorities:
            try:
                made.load_verify_locations(cadata=pem)
            except ssl.SSLError as error:
                # Not an error of ours to stop at: one partner's odd authority must not shut out the others.
                log.warning("tls.authority-not-taken", reason=error.reason)
        return made


def _throw_away(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate that vouches for itself, for ten minutes."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Taipu asks itself")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(minutes=5))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, SHA256())
    )


def _ask(address: Address, certificate: Path) -> None:
    """One request that anybody may send. Who answers does not matter: it is asked of this process what it saw."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate)
    everywhere: Mapping[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    host = everywhere.get(address.host, address.host)
    connection = http.client.HTTPSConnection(host, address.port, timeout=_PROOF_TIMEOUT, context=context)
    try:
        connection.request("GET", "/.well-known/taipu")
        connection.getresponse().read()
    finally:
        connection.close()

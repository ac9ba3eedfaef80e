"""Authorities and certificates for tests of mutual TLS, and a listener that says what its application sees."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.client import HTTPSConnection
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fastapi import FastAPI, Request

from gateway.app import create_partner_app
from gateway.certificates import peer_certificate
from gateway.server import make_server
from gateway.setting_groups import Address
from partners.keys import private_pem, write_private
from partners.oauth.certificates import certificate_thumbprint
from schemas.times import now_millis
from tests.world import Node, free_port, wait_for


@dataclass(frozen=True)
class Certified:
    """A certificate, and the file that holds it with its key."""

    certificate: x509.Certificate
    file: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def thumbprint(self) -> str:
        return certificate_thumbprint(self.der)

    @property
    def subject(self) -> str:
        return self.certificate.subject.rfc4514_string()


class Authority:
    """A certificate authority that keeps its files in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        folder.mkdir(exist_ok=True, parents=True)

    @cached_property
    def pem(self) -> str:
        builder = self._builder(self._name, self._key.public_key(), 0, 10)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode()

    def issue(self, name: str, *, begins: int = -1, ends: int = 1) -> Certified:
        """A client's certificate for `name`, valid from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(subject, key.public_key(), begins, ends).sign(self._key, SHA256())
        file = self._folder / f"{certificate.serial_number}.pem"
        write_private(file, certificate.public_bytes(Encoding.PEM) + private_pem(key, None))
        return Certified(certificate, file)

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey, begins: int, ends: int
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC).replace(microsecond=0)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins))
            .not_valid_after(now + timedelta(days=ends))
        )


def say_what_is_seen(app: FastAPI, node: Node) -> None:
    """A route `/seen/CLIENT` beside the others: which certificate the application sees, and whether it is CLIENT's."""

    @app.get("/seen/{client_id}")
    def see(request: Request, client_id: str) -> dict[str, object]:
        certificate = peer_certificate(request.scope)
        client = node.gateway.load_client(client_id)
        accepted = client is not None and client.accepts_certificate(certificate, now_millis())
        return {"thumbprint": certificate and certificate_thumbprint(certificate), "accepted": accepted}


@contextmanager
def listening_over_tls(node: Node, app: FastAPI | None = None) -> Iterator[Address]:
    """The node's partner listener on loopback, with a route beside its own that says which certificate it sees."""
    app = app or create_partner_app(node.gateway)

    say_what_is_seen(app, node)
    address = Address("127.0.0.1", free_port())
    server = make_server(app, address, node.gateway.settings)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(10)


def connection(node: Node, address: Address, certified: Certified | None = None) -> HTTPSConnection:
    """A connection of somebody with this certificate, opened with its first request and then kept."""
    context = ssl.create_default_context(cadata=node.ca_pem)
    if certified is not None:
        context.load_cert_chain(certified.file)
    return HTTPSConnection(address.host, address.port, timeout=10, context=context)

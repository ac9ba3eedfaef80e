"""What this gateway lives by and that ends some day: warned of thirty and seven days before, and when it has ended.

Certificates, its own party document, and those of its partners. Keys end by being rotated, at nobody's day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from gateway.party_document import published_document
from gateway.service import Gateway
from partners.directory import parties
from partners.document import open_document
from schemas.errors import SharingError
from schemas.times import DAY, millis_of, to_millis

NOTICES = (30 * DAY, 7 * DAY)  # ms


@dataclass(frozen=True)
class Expiry:
    """Something that ends at `ends` (ms UTC)."""

    what: str
    ends: int

    def level(self, now: int) -> int:
        """How urgent it is at `now`: 0 not yet, 1 within thirty days, 2 within seven, 3 it has ended."""
        if now >= self.ends:
            return 3
        return sum(self.ends - now <= notice for notice in NOTICES)


def expiries(gateway: Gateway, *, now: int) -> list[Expiry]:
    """Everything that ends, soonest first; what cannot be read counts as ended at `now`."""
    return sorted(_all(gateway, now), key=lambda one: (one.ends, one.what))


def _all(gateway: Gateway, now: int) -> Iterator[Expiry]:
    settings = gateway.settings
    for what, path in (("server certificate", settings.tls.certificate), ("certificate authority", settings.tls.ca)):
        yield Expiry(what, _certificate_ends(path, now))
    try:
        yield Expiry("party document", to_millis(open_document(published_document(gateway)).expires))
    except SharingError:
        yield Expiry("party document", now)
    with gateway.database.read() as session:
        known = parties(session)
    for party in known:
        if party.state != "ended":
            yield Expiry(f"party document of {party.code}", to_millis(party.document.expires))


def _certificate_ends(path: Path, now: int) -> int:
    """When the first of the certificates in a file ends to be good; the first is the one in use."""
    try:
        first = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError):
        return now
    return millis_of(first.not_valid_after_utc)

"""The parties this gateway exchanges with, and the party document of each that is in force.

An identity is pinned when a party is registered, after two administrators compared its fingerprint; from then on a
document with a higher serial, signed by that identity, replaces the party's other keys by itself. The text is kept as
it was signed and verified whenever it is read, so that write access to the database is not enough to make us trust a
key.

What this module must never do: go back to an older document, or move a pin. A new identity is a new registration, which
takes two persons and a telephone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from partners import tables
from partners.document import (
    PartyDocument,
    PartyDocumentError,
    PartyError,
    check_ca,
    claimed_party,
    host_of,
    is_party,
    open_document,
)

PartyState = Literal["active", "suspended"]


@dataclass(frozen=True)
class Party:
    """A party as this gateway knows it. `added` and `refreshed` (when its document was last seen) are ms UTC.

    `url` and `ca_pem` are where it is reached and which authorities are trusted there. `token` is the text of
    `document` as the party signed it.
    """

    code: str
    state: PartyState
    url: str
    ca_pem: str
    fingerprint: str
    document: PartyDocument
    token: str
    added: int
    refreshed: int

    @property
    def manifest_keys(self) -> dict[str, Ed25519PublicKey]:
        """Present and retired manifest keys by `kid`; how far a retired one vouches, `document.retired` says."""
        return self.document.manifest_keys

    @property
    def log_vkey(self) -> str:
        """What verifies its log's checkpoints (C2SP vkey)."""
        return self.document.log.vkey

    @property
    def jwks(self) -> str:
        """Its oauth keys: a JWK set (RFC 7517) as JSON text, as a client record keeps it."""
        return json.dumps(self.document.keys.oauth)

    @property
    def issuer(self) -> str:
        return self.document.issuer


def register_party(
    session: Connection, token: str, *, url: str, ca_pem: str | None, fingerprint: str, now: int
) -> Party:
    """Add the party of the document `token` under the `fingerprint` that was compared; `now` in ms UTC.

    `url` and `ca_pem` are how the administrators reach it, which behind a proxy need not be what the document says;
    `ca_pem` None means the document's authorities.

    Raises:
        PartyDocumentError: `partner.document-invalid` or `partner.fingerprint-differs`.
        PartyError: `party.exists`, `party.url-invalid` or `party.ca-invalid`.
    """
    document = open_document(token, pinned=fingerprint)
    host_of(url)
    row = {
        "code": document.party,
        "state": "active",
        "url": url,
        "ca_pem": check_ca(ca_pem or document.tls.ca),
        "fingerprint": document.fingerprint,
        "added": now,
        **_current(token, document, now),
    }
    try:
        with session.begin_nested():  # so that the caller's transaction survives the refusal and can log it
            session.execute(insert(tables.party).values(row))
    except IntegrityError as error:
        raise PartyError(f"party {document.party} is registered already", code="party.exists") from error
    return _party(session.execute(select(tables.party).where(tables.party.c.code == document.party)).one())


def refresh_party(session: Connection, token: str, *, now: int) -> bool:
    """Take the newest document of a registered party; True when it says something new. `now` in ms UTC.

    The document in force, seen again, only moves `refreshed`. Where the party was reached as its document said, a new
    address or authority in the document is followed; what an administrator set otherwise stays.

    Raises:
        PartyDocumentError: also `partner.fingerprint-differs`, and `partner.serial-older` for any other document whose
            serial is not higher.
        PartyError: `party.unknown`.
    """
    table = tables.party
    known = find_party(session, claimed_party(token))
    if known is None:
        raise PartyError("no party of this code is registered", code="party.unknown")
    document = open_document(token, pinned=known.fingerprint)
    if token == known.token:
        session.execute(update(table).where(table.c.code == known.code).values(refreshed=now))
        return False
    values = _current(token, document, now)
    if known.url == known.document.issuer:
        values["url"] = document.issuer
    if known.ca_pem == known.document.tls.ca:
        values["ca_pem"] = document.tls.ca
    # The serial is compared in the statement: two refreshes at one time must not end with the older document.
    newer = (table.c.code == known.code) & (table.c.serial < document.serial)
    if session.execute(update(table).where(newer).values(values)).rowcount != 1:
        detail = f"a document of {known.code} with serial {known.document.serial} is in force"
        raise PartyDocumentError(detail, code="partner.serial-older")
    return True


def change_state(session: Connection, code: str, state: PartyState) -> None:
    """Suspend a party, or take it up again. Who may decide that, and how many, the caller has seen to.

    Raises:
        PartyError: `party.unknown`.
    """
    table = tables.party
    if session.execute(update(table).where(table.c.code == code).values(state=state)).rowcount != 1:
        raise PartyError("no party of this code is registered", code="party.unknown")


def find_party(session: Connection, code: str) -> Party | None:
    """The party `code`, or None.

    Raises:
        PartyDocumentError: the stored document is not what the pinned identity signed: the database was changed.
    """
    if not is_party(code):  # hostile text must not reach the database driver, which has errors of its own for some
        return None
    row = session.execute(select(tables.party).where(tables.party.c.code == code)).one_or_none()
    return None if row is None else _party(row)


def parties(session: Connection) -> list[Party]:
    """All registered parties, suspended ones too, in the order of their codes. Raises as `find_party` does."""
    return [_party(row) for row in session.execute(select(tables.party).order_by(tables.party.c.code))]


def _current(token: str, document: PartyDocument, now: int) -> dict[str, object]:
    return {
        "name_zh": document.names.zh,
        "name_en": document.names.en,
        "document": token,
        "serial": document.serial,
        "refreshed": now,
    }


def _party(row: Row[Any]) -> Party:
    document = _verified(row.document, row.fingerprint)
    if document.party != row.code:
        raise PartyDocumentError(f"the stored document of {row.code} is another party's")
    return Party(
        code=row.code,
        state=row.state,
        url=row.url,
        ca_pem=row.ca_pem,
        fingerprint=row.fingerprint,
        document=document,
        token=row.document,
        added=row.added,
        refreshed=row.refreshed,
    )


@lru_cache(maxsize=128)  # the same few documents for every request, and their signatures never change
def _verified(token: str, fingerprint: str) -> PartyDocument:
    return open_document(token, pinned=fingerprint)

"""The parties this gateway exchanges with, their states, and the party document of each that is in force.

An identity is pinned when a party is registered, after two administrators compared its fingerprint; from then on a
document with a higher serial, signed by that identity, replaces the party's other keys by itself. The text is kept as
it was signed and verified whenever it is read, so that write access to the database is not enough to make us trust a
key.

A party is `approved` once two persons have pinned it, `active` once the exchange has gone both ways since, `suspended`
by one person at once, and `ended` for good: then nothing is exchanged any more, and its keys stay, so that history
verifies.

What this module must never do: go back to an older document, or move a pin by itself. A new identity is a decision of
two persons with a telephone (`replace_identity`); who decided, the caller has seen to.
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

PartyState = Literal["approved", "active", "suspended", "ended"]

EXCHANGING: tuple[PartyState, ...] = ("approved", "active")
_BEFORE: dict[PartyState, tuple[PartyState, ...]] = {  # which state each of them may follow
    "approved": ("suspended",),
    "active": ("approved",),
    "suspended": EXCHANGING,
    "ended": ("approved", "active", "suspended"),
}


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
    def exchanges(self) -> bool:
        """Whether batches go to and fro. While it is suspended, only what the plan lets pass nevertheless."""
        return self.state in EXCHANGING

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


@dataclass(frozen=True)
class Change:
    """A party came to `state` at `at` (ms UTC). `actor` is an account, empty where it came about by itself.

    `proposal` is what two persons decided, empty where it took one. `replaced` is the document of the identity that was
    pinned before, where that changed.
    """

    state: PartyState
    at: int
    actor: str
    reason: str
    proposal: str
    replaced: str | None = None


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
        "state": "approved",
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
    """Suspend a party, take it up again, or end it. Who may decide that, and how many, the caller has seen to.

    Raises:
        PartyError: `party.unknown`, or `party.state-wrong`: from its state there is no way to that one.
    """
    table = tables.party
    from_there = (table.c.code == code) & table.c.state.in_(_BEFORE[state])
    if session.execute(update(table).where(from_there).values(state=state)).rowcount != 1:
        known = party_states(session).get(code)
        if known is None:
            raise PartyError("no party of this code is registered", code="party.unknown")
        raise PartyError(f"party {code} is {known}, and cannot be {state} next", code="party.state-wrong")


def replace_identity(
    session: Connection, token: str, *, url: str, ca_pem: str | None, fingerprint: str, now: int
) -> Party:
    """Pin another identity for a registered party; how the party was before this. The rest as for `register_party`.

    Raises:
        PartyDocumentError, PartyError: as `register_party` does; also `party.unknown`, and `party.state-wrong` where it
            is ended.
    """
    document = open_document(token, pinned=fingerprint)
    host_of(url)
    before = find_party(session, document.party)
    if before is None:
        raise PartyError("no party of this code is registered", code="party.unknown")
    if before.state == "ended":
        raise PartyError(f"party {before.code} is ended", code="party.state-wrong")
    values = {
        "url": url,
        "ca_pem": check_ca(ca_pem or document.tls.ca),
        "fingerprint": document.fingerprint,
        **_current(token, document, now),
    }
    session.execute(update(tables.party).where(tables.party.c.code == before.code).values(values))
    return before


def note_change(
    session: Connection, code: str, state: PartyState, *, now: int, actor: str = "", reason: str = "",
    proposal: str = "", replaced: str | None = None,
) -> None:  # fmt: skip
    """Keep that the party came to this state, by whom and why; `replaced` is the document of a former identity."""
    session.execute(
        insert(tables.party_change).values(
            party=code, state=state, at=now, actor=actor, reason=reason, proposal=proposal, replaced=replaced
        )
    )


def party_changes(session: Connection) -> dict[str, list[Change]]:
    """What became of each party, oldest first."""
    found: dict[str, list[Change]] = {}
    for row in session.execute(select(tables.party_change).order_by(tables.party_change.c.id)):
        change = Change(row.state, row.at, row.actor, row.reason, row.proposal, row.replaced)
        found.setdefault(row.party, []).append(change)
    return found


def party_states(session: Connection) -> dict[str, PartyState]:
    """The state of every registered party, without looking at their documents."""
    return {row.code: row.state for row in session.execute(select(tables.party.c.code, tables.party.c.state))}


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

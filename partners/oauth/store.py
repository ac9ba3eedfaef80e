"""Client records in the database: functions that take a connection and never end its transaction. Times are ms UTC.

A client is what its record, its party and the clock make it at the moment it is loaded: a key outside its time is not
there, a client of a party that has ended has ended. A partner's gateway has no keys here: its keys are those of the
party document in force, so that they rotate with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from partners.directory import find_party
from partners.errors import RegistrationError
from partners.oauth.clients import Client, ClientState
from partners.oauth.keys import MAX_KEYS
from partners.oauth.registered import ClientKey, read_client_keys
from partners.principal import SCOPES
from partners.tables import MAX_CLIENT_ID, UNBOUND_SCOPES, client, client_key, party
from schemas.times import DAY, now_millis

CLIENT_ID = re.compile(rf"[!-~]{{1,{MAX_CLIENT_ID}}}")
"""What a client_id looks like: printable ASCII without spaces. Nothing else is worth asking a database for."""
MAX_SUBJECT = 512  # characters

_PARTY = re.compile(r"[a-z0-9-]{2,32}")
_ENDED = ("proposed", "ended")  # states of a party whose clients are none, or none any more
_RECORDS = select(client, party.c.state.label("party_state"), party.c.ca_pem).outerjoin(
    party, party.c.code == client.c.party
)


def load_client(connection: Connection, client_id: str, *, now: int | None = None) -> Client | None:
    """The client's record as it stands in this transaction, at `now` or else by the clock."""
    if not CLIENT_ID.fullmatch(client_id):
        return None
    row = connection.execute(_RECORDS.where(client.c.client_id == client_id)).one_or_none()
    if row is None:
        return None
    return _client(connection, row, keys_of(connection, client_id), now_millis() if now is None else now)


def clients(connection: Connection, *, now: int | None = None) -> list[Client]:
    """All client records, ended ones too, by party and id."""
    moment = now_millis() if now is None else now
    keys = all_keys(connection)
    rows = connection.execute(_RECORDS.order_by(client.c.party, client.c.client_id)).all()
    return [_client(connection, row, keys.get(row.client_id, []), moment) for row in rows]


def add_client(connection: Connection, new: Client, now: int, keys: Sequence[ClientKey] = ()) -> None:
    """Keep a new client, `created` at `now`, with `keys`, or else those of its `jwks` and `certificates` from now on.

    Raises:
        RegistrationError: `client.malformed`: its id, party or scopes are not possible; `client.binding`: its tokens
            cannot be bound as it says; `client.exists`; `client.key-exists`, `client.keys-full`.
        SignatureError: it has no keys, or one that is not accepted.
    """
    check_client(new)
    keys = keys or [ClientKey(thumbprint, None, now) for thumbprint in sorted(new.certificates)]
    if new.jwks:
        keys = [*keys, *read_client_keys(new.jwks, begins=now)]
    of_partner = _is_partner(connection, new.party)
    _check_binding(new, keys, of_partner=of_partner)
    if new.kind != "gateway" or not of_partner or keys:
        _check_keys([], keys, now)
    row = {
        "client_id": new.client_id,
        "party": new.party,
        "kind": new.kind,
        "scope": " ".join(scope for scope in SCOPES if scope in new.scopes),
        "binding": new.binding,
        "unbound_by": new.unbound_by,
        "subject": new.subject,
        "state": new.state,
        "created": now,
    }
    try:
        with connection.begin_nested():  # so that the caller's transaction survives the refusal and can log it
            connection.execute(insert(client).values(row))
            _insert_keys(connection, new.client_id, keys)
    except IntegrityError as error:
        raise RegistrationError("a client of this id is registered already", code="client.exists") from error


def check_client(new: Client) -> None:
    """Go on only with a record that could be kept, whatever is registered already. Raises as `add_client` does."""
    if not CLIENT_ID.fullmatch(new.client_id) or not _PARTY.fullmatch(new.party):
        raise RegistrationError("a client has an id in printable ASCII and the id of a party")
    if not new.scopes or not new.scopes.issubset(SCOPES):
        raise RegistrationError("a client has scopes, and only such as exist")
    if (new.binding == "none") != (new.unbound_by is not None):
        raise _binding("an administrator has to say that tokens are bound to nothing, and only then are they")
    if new.binding == "none" and not new.scopes.issubset(UNBOUND_SCOPES):
        raise _binding(f"tokens that are bound to nothing have no other scopes than {' '.join(UNBOUND_SCOPES)}")
    if new.subject is not None and (new.binding != "mtls" or not 1 <= len(new.subject) <= MAX_SUBJECT):
        raise _binding("the subject of a certificate belongs to a client with the binding mtls")


def add_keys(connection: Connection, client_id: str, keys: Sequence[ClientKey], now: int) -> None:
    """Give a client more keys or certificates, beside those it has.

    Raises:
        RegistrationError: `client.unknown`, `client.key-exists` or `client.keys-full`.
        SignatureError: one of them is not accepted.
    """
    found = load_client(connection, client_id, now=now)
    if found is None:
        raise RegistrationError("there is no such client", code="client.unknown")
    held = keys_of(connection, client_id)
    if found.kind == "gateway" and not held and _is_partner(connection, found.party):
        detail = "the keys of a partner's gateway are those of its party document"
        raise RegistrationError(detail, code="client.keys-of-document")
    _check_keys(held, keys, now)
    _insert_keys(connection, client_id, keys)


def end_key(connection: Connection, client_id: str, kid: str, now: int) -> None:
    """Take one key or certificate away, from `now` on; it stays on record.

    Raises:
        RegistrationError: `client.key-unknown`: there is none of this name that has not ended.
    """
    held = {key.kid: key for key in keys_of(connection, client_id)}
    key = held.get(kid)
    if key is None or (key.ends is not None and key.ends <= now):
        raise RegistrationError("the client has no such key", code="client.key-unknown")
    row = (client_key.c.client_id == client_id) & (client_key.c.kid == kid)
    begins = min(key.begins, now)  # one that had not begun never will
    connection.execute(update(client_key).where(row).values(begins=begins, ends=now))


def change_client(connection: Connection, client_id: str, state: ClientState) -> None:
    """Suspend or end a client. What has ended stays so.

    Raises:
        RegistrationError: `client.unknown`, or `client.ended`.
    """
    row = connection.execute(select(client.c.state).where(client.c.client_id == client_id)).one_or_none()
    if row is None:
        raise RegistrationError("there is no such client", code="client.unknown")
    if row.state == "ended":
        raise RegistrationError("the client has ended; register another one", code="client.ended")
    connection.execute(update(client).where(client.c.client_id == client_id).values(state=state))


def keys_of(connection: Connection, client_id: str) -> list[ClientKey]:
    """Keys and certificates of a client, ended ones too, oldest first."""
    return all_keys(connection, client_id).get(client_id, [])


def all_keys(connection: Connection, client_id: str | None = None) -> dict[str, list[ClientKey]]:
    """Those of every client, or of one, by client."""
    query = select(client_key).order_by(client_key.c.begins, client_key.c.kid)
    found: dict[str, list[ClientKey]] = {}
    for row in connection.execute(query if client_id is None else query.where(client_key.c.client_id == client_id)):
        found.setdefault(row.client_id, []).append(ClientKey(row.kid, row.jwk, row.begins, row.ends))
    return found


@dataclass(frozen=True)
class Ending:
    """A client whose last key or last certificate ends at `ends` (ms UTC), `days` from now; fewer than 0: it has."""

    client_id: str
    what: str  # key | certificate
    ends: int
    days: int


def endings(connection: Connection, now: int) -> list[Ending]:
    """For every active client, when its last key and its last certificate end; those without an end are not there."""
    active = set(connection.scalars(select(client.c.client_id).where(client.c.state == "active")))
    found = []
    for client_id, keys in sorted(all_keys(connection).items()):
        for what, some in _by_sort(keys).items():
            last = [key.ends for key in some if key.ends is not None]
            if client_id in active and last and len(last) == len(some):
                found.append(Ending(client_id, what, max(last), (max(last) - now) // DAY))
    return found


def _is_partner(connection: Connection, code: str) -> bool:
    return connection.execute(select(party.c.code).where(party.c.code == code)).one_or_none() is not None


def _by_sort(keys: Sequence[ClientKey]) -> Mapping[str, list[ClientKey]]:
    return {
        "key": [key for key in keys if not key.is_certificate],
        "certificate": [key for key in keys if key.is_certificate],
    }


def _check_binding(new: Client, keys: Sequence[ClientKey], *, of_partner: bool) -> None:
    if new.binding == "none" and of_partner:
        raise _binding("only a client of this gateway's own party may have tokens that are bound to nothing")
    if new.subject is not None and not of_partner:
        raise _binding("a certificate is known by its subject only where a registered partner's authority issued it")
    if new.binding == "mtls" and new.subject is None and not any(key.is_certificate for key in keys):
        raise _binding("the binding mtls needs a certificate, or the subject of those that its party issues")


def _check_keys(held: Sequence[ClientKey], new: Sequence[ClientKey], now: int) -> None:
    """There is a key to prove who it is with, no name stands for two, and there are not more than one can follow."""
    names = [key.kid for key in (*held, *new)]
    if len(set(names)) != len(names):
        raise RegistrationError("a key of this name is registered already", code="client.key-exists")
    for some in _by_sort([key for key in (*held, *new) if key.ends is None or key.ends > now]).values():
        if len(some) > MAX_KEYS:
            raise RegistrationError(f"a client has at most {MAX_KEYS} keys at a time", code="client.keys-full")
    if not any(key.jwk is not None for key in (*held, *new)):
        raise RegistrationError("a client has a key to prove who it is with", code="client.keyless")


def _insert_keys(connection: Connection, client_id: str, keys: Sequence[ClientKey]) -> None:
    rows = [
        {"client_id": client_id, "kid": key.kid, "jwk": key.jwk, "begins": key.begins, "ends": key.ends} for key in keys
    ]
    if rows:
        connection.execute(insert(client_key), rows)


def _client(connection: Connection, row: Row[Any], keys: Sequence[ClientKey], now: int) -> Client:
    good = [key for key in keys if key.good_at(now)]
    jwks = ", ".join(key.jwk for key in good if key.jwk is not None)
    return Client(
        client_id=row.client_id,
        party=row.party,
        kind=row.kind,
        scopes=frozenset(row.scope.split()),
        jwks=_of_document(connection, row) if not keys else jwks and f'{{"keys": [{jwks}]}}',
        state=_state(row),
        binding=row.binding,
        party_suspended=row.party_state == "suspended",
        certificates=frozenset(key.kid for key in good if key.is_certificate),
        subject=row.subject,
        authority=row.ca_pem if row.subject is not None and row.ca_pem is not None else "",
        unbound_by=row.unbound_by,
    )


def _state(row: Row[Any]) -> ClientState:
    # A client whose tokens are bound to nothing is of the home party, which is no partner: any other is a forgery.
    if row.party_state in _ENDED or (row.binding == "none" and row.party_state is not None):
        return "ended"
    return cast("ClientState", row.state)


def _of_document(connection: Connection, row: Row[Any]) -> str:
    known = find_party(connection, row.party) if row.kind == "gateway" else None
    return "" if known is None else json.dumps(known.document.keys.oauth)


def _binding(detail: str) -> RegistrationError:
    return RegistrationError(detail, code="client.binding")

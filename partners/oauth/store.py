"""Client records in the database: functions that take a connection and never end its transaction."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import IntegrityError

from partners.errors import RegistrationError
from partners.oauth.clients import Client
from partners.oauth.keys import load_key_set
from partners.principal import SCOPES
from partners.tables import MAX_CLIENT_ID, client

CLIENT_ID = re.compile(rf"[!-~]{{1,{MAX_CLIENT_ID}}}")
"""What a client_id looks like: printable ASCII without spaces. Nothing else is worth asking a database for."""

_PARTY = re.compile(r"[a-z0-9-]{2,32}")


def load_client(connection: Connection, client_id: str) -> Client | None:
    """The client's record as it stands in this transaction."""
    if not CLIENT_ID.fullmatch(client_id):
        return None
    row = connection.execute(select(client).where(client.c.client_id == client_id)).one_or_none()
    return None if row is None else _client(row)


def add_client(connection: Connection, new: Client, now: int) -> None:
    """Keep a new client, `created` at `now` (milliseconds UTC).

    Raises:
        RegistrationError: `client.malformed`: its id, party or scopes are not possible; `client.exists`.
        SignatureError: it has no keys, or one that is not accepted.
    """
    if not CLIENT_ID.fullmatch(new.client_id) or not _PARTY.fullmatch(new.party):
        raise RegistrationError("a client has an id in printable ASCII and the id of a party")
    if not new.scopes or not new.scopes.issubset(SCOPES):
        raise RegistrationError("a client has scopes, and only such as exist")
    load_key_set(new.jwks)
    row = {
        "client_id": new.client_id,
        "party": new.party,
        "kind": new.kind,
        "scope": " ".join(scope for scope in SCOPES if scope in new.scopes),
        "binding": new.binding,
        "jwks": new.jwks,
        "state": new.state,
        "created": now,
    }
    try:
        with connection.begin_nested():  # so that the caller's transaction survives the refusal and can log it
            connection.execute(insert(client).values(row))
    except IntegrityError as error:
        raise RegistrationError("a client of this id is registered already", code="client.exists") from error


def clients(connection: Connection) -> list[Client]:
    """All client records, ended ones too, by party and id."""
    rows = connection.execute(select(client).order_by(client.c.party, client.c.client_id))
    return [_client(row) for row in rows]


def _client(row: Row[Any]) -> Client:
    return Client(
        client_id=row.client_id,
        party=row.party,
        kind=row.kind,
        scopes=frozenset(row.scope.split()),
        jwks=row.jwks,
        state=row.state,
        binding=row.binding,
    )

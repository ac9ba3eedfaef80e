"""Access tokens that end before their time: one by one (RFC 7009), or all of a client's at once.

Both are rows in the database, asked at every request, so that they hold at every worker and after a restart. A token
lives five minutes, and a row no longer than the tokens it ends. Times are milliseconds UTC.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from partners.oauth.token_keys import TOKEN_LIFETIME
from partners.tables import token_cut, token_revoked


def revoke_token(connection: Connection, jti: str, client_id: str, *, expires: int) -> None:
    """End one token, issued to `client_id`, that would end by itself at `expires`."""
    statement = _insert(connection, token_revoked).on_conflict_do_nothing()
    connection.execute(statement, {"jti": jti, "client_id": client_id, "expires": expires})


def cut_tokens(connection: Connection, client_id: str, before: int) -> None:
    """End every token that `client_id` was given before the instant `before`: for administrators, and never undone.

    A token tells the second it was issued in, so those of the same second are ended too.
    """
    row = {"client_id": client_id, "before": before, "expires": before + TOKEN_LIFETIME * 1000}
    statement = _insert(connection, token_cut)
    newer = {name: statement.excluded[name] for name in ("before", "expires")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[token_cut.c.client_id], set_=newer, where=token_cut.c.before < statement.excluded.before
        ),
        row,
    )


def is_revoked(connection: Connection, jti: str, client_id: str, *, issued: int) -> bool:
    """Whether a token of `client_id`, issued at `issued`, was ended before its time."""
    one = select(token_revoked.c.jti).where(token_revoked.c.jti == jti)
    cut = select(token_cut.c.client_id).where(token_cut.c.client_id == client_id, token_cut.c.before > issued)
    return connection.execute(one.union_all(cut).limit(1)).first() is not None


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)

"""How the last contact with each partner went: calls of ours, and theirs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from gateway.db import Database
from partners import tables
from partners.principal import Principal

_NOTED = 60_000  # ms: how stale `called` may be, so that not every request writes


@dataclass(frozen=True)
class Contact:
    """When (ms UTC) a call of ours to a party last went well and last failed, and why: empty after a success.

    `skew` is by how much (ms) its clock was ahead of ours then, None where it did not say. `called` is when (ms UTC)
    its gateway last called us with a token, to about a minute.
    """

    succeeded: int | None = None
    failed: int | None = None
    error: str = ""
    skew: int | None = None
    called: int | None = None


def contacts(session: Connection) -> dict[str, Contact]:
    """How the last calls went, by party; a party that was never called is not there."""
    rows = session.execute(select(tables.contact))
    return {row.party: Contact(row.succeeded, row.failed, row.error, row.skew, row.called) for row in rows}


def note_contact(session: Connection, party: str, *, now: int, error: str = "", skew: int | None = None) -> None:
    """How the last call to `party` went: an empty `error` means well. `now` in ms UTC, `skew` in ms where known."""
    values: dict[str, object] = {"failed": now, "error": error[:500]} if error else {"succeeded": now, "error": ""}
    _note(session, party, values if skew is None else {**values, "skew": skew})


class Calls:
    """Writes down when partners' gateways call us, each at most once a minute, so that reads stay reads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, int] = {}  # ms UTC; two threads that both write do no harm

    def note(self, caller: Principal, *, now: int) -> None:
        """`caller` has shown a token and its proof at `now` (ms UTC)."""
        if caller.kind == "gateway" and now - self._noted.get(caller.party, 0) > _NOTED:
            self._noted[caller.party] = now
            with self._database.write() as session:
                _note(session, caller.party, {"called": now})


def _note(session: Connection, party: str, values: dict[str, object]) -> None:
    table = tables.contact
    update = table.update().where(table.c.party == party).values(values)
    if session.execute(update).rowcount:
        return
    try:
        with session.begin_nested():
            session.execute(table.insert().values({"party": party, "error": "", **values}))
    except IntegrityError:  # a call of theirs and one of ours were the first at one time
        session.execute(update)

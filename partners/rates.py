"""How often each client has asked for the datasets that have a rate: a row for each, in the database, for all workers.

A request costs one statement, and only where the plan bounds it. The row is worth nothing once its window is over; then
it serves the next one, so the table never has more rows than there are clients and rates.
"""

from __future__ import annotations

from sqlalchemy import Connection, Insert, case
from sqlalchemy.dialects import postgresql, sqlite

from partners.tables import request_count


def count_request(session: Connection, client_id: str, provider: str, dataset: str, window: int) -> int:
    """Count one request in the window that began at `window` (ms UTC); how many it has now.

    A worker whose clock is behind counts in the newest window there is.
    """
    table = request_count
    insert = postgresql.insert if session.dialect.name == "postgresql" else sqlite.insert
    new = insert(table).values(client_id=client_id, provider=provider, dataset=dataset, began=window, requests=1)
    begun = new.excluded.began > table.c.began
    statement: Insert = new.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={
            "began": case((begun, new.excluded.began), else_=table.c.began),
            "requests": case((begun, 1), else_=table.c.requests + 1),
        },
    )
    return int(session.execute(statement.returning(table.c.requests)).scalar_one())

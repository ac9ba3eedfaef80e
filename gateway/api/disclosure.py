"""What is shown is logged before it is shown: who, for what purpose, with which filter, and how much.

An entry for an answer that then gets lost on the way says more was seen than was; the other way round would hide it.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

from audit.entry import make_entry
from audit.form import READ
from audit.log import append
from gateway.service import Gateway
from partners.principal import Principal
from schemas.times import utc_text


def log_disclosure(
    gateway: Gateway, caller: Principal, request: Request, shown: Mapping[str, object], *, now: int
) -> None:
    """Log that `caller` is shown what `shown` describes: counts, numbers, filters, never values. `now` in ms UTC."""
    detail = {"path": request.url.path, **shown}
    entry = make_entry(
        READ, at=utc_text(now), party=gateway.party, actor=caller.client_id, peer=caller.party, detail=detail
    )
    with gateway.database.write() as session:
        append(session, entry)
    gateway.signals.logged.send()

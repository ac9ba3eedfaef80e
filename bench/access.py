"""Tokens and protected reads: what it costs to know who asks, at an idle gateway, over one HTTPS connection.

The limit is the same application with nobody asked for a token: no proof to sign for the client, none to check for the
gateway. A read of observations is logged before it is answered, with and without.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.caller import Caller
from bench.databases import new_database
from bench.gateways import STATION, add_access, make_provider
from bench.processes import running
from bench.readings import SITES, ndjson
from bench.rounds import Contestant, Measure, Ratio, Work, play, timed
from gateway.ingest.submissions import submit
from schemas.times import now_millis

TOKENS = "tokens given"
LIST = "list of feeds, protected"
LIST_OPEN = "list of feeds, open"
READ = "10 observations, protected"
READ_OPEN = "10 observations, open"

_LIST = "/v1/feeds"
_UNLIMITED = 100_000.0  # token requests a second of one address: what is measured is the work, not the limit
_READ = f"/v1/observations?site={SITES[0]}&limit=10"


def measure_access(engine: str, folder: Path, server: str, *, rounds: int, requests: int) -> Measure:
    """Requests a second, one after the other; `requests` to a turn."""
    with ExitStack() as stack:
        callers = []
        for name in ("protected", "open"):
            home = folder / name
            gateway = make_provider(home, new_database(engine, folder, server), token_rate=_UNLIMITED)
            submit(gateway, STATION, "application/x-ndjson", ndjson(0), now=now_millis())
            access = add_access(gateway, "bench-reader", "reader", "feeds:read records:read")
            gateway.close()
            stack.enter_context(running("gateway" if name == "protected" else "open", home))
            known = access if name == "protected" else None
            callers.append(stack.enter_context(Caller(access.url, access.ca_pem, known)))
        protected, opened = callers
        contestants: dict[str, Contestant] = {
            TOKENS: _asking(protected.fetch_token, requests),
            LIST: _asking(lambda: protected.call("GET", _LIST), requests),
            LIST_OPEN: _asking(lambda: opened.call("GET", _LIST), requests),
            READ: _asking(lambda: protected.call("GET", _READ), requests),
            READ_OPEN: _asking(lambda: opened.call("GET", _READ), requests),
        }
        rates = play(contestants, rounds)
    # A token has no open twin: what it costs is told against the simplest answer the same application gives to anybody.
    ratios = [Ratio(TOKENS, LIST_OPEN), Ratio(LIST, LIST_OPEN), Ratio(READ, READ_OPEN)]
    return Measure(f"Access on {engine}", "requests/s", rates, ratios)


def _asking(ask: Callable[[], object], requests: int) -> Contestant:
    def turn(_round: int) -> Work:
        with timed(requests) as work:
            for _ in range(requests):
                ask()
        return work

    return turn

"""Ingest: NDJSON bodies of 1,000 new observations, each answered by a signed receipt, against the limit and the peer.

Everything is on at our gateway: token and proof, strict schema, grant, revisions and history, the bytes kept, the queue
of what to publish, the log entry, the receipt; its background duties run beside it in the same process. The second of
our gateways also publishes what it takes, and its time runs until nothing waits in the queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from joserfc.jwk import ECKey
from sqlalchemy import func, select

from bench import naive
from bench.caller import Caller
from bench.databases import new_database
from bench.gateways import LINGER_NONE, STATION, Access, add_access, make_gateway, make_provider
from bench.processes import running
from bench.raw import open_raw
from bench.readings import SIZE, json_array, ndjson, raw_rows
from bench.rounds import Contestant, Measure, Ratio, Work, play, timed
from gateway.db import Database
from gateway.ingest.submissions import submit
from gateway.store import tables
from partners.oauth.dpop import make_proof
from schemas.times import now_millis

OURS = "gateway over HTTPS"
TWICE = "gateway over HTTPS, two clients"
PUBLISHING = "gateway over HTTPS, until all is published"
INSIDE = "gateway, submit() in process"
LIMIT = "limit: the rows alone"
PEER = "peer: FastAPI, pydantic, ORM upsert"
MERGE = "peer: FastAPI, pydantic, session.merge"

_NDJSON = {"Content-Type": "application/x-ndjson"}
_TARGETS = {"SQLite": 0.4, "PostgreSQL": 0.5}
_MERGED = 4  # bodies of the slow peer in a turn


@dataclass
class _Hands:
    """What submitting bodies cost this process, besides waiting for the answers."""

    busy: float = 0.0
    waited: float = 0.0


def measure_ingest(engine: str, folder: Path, server: str, *, rounds: int, bodies: int) -> Measure:
    """Rates of `bodies` bodies a turn on one engine."""
    hands = _Hands()
    with ExitStack() as stack:
        contestants: dict[str, Contestant] = {
            LIMIT: _raw(new_database(engine, folder, server), bodies),
            **_over_https(stack, engine, folder, server, bodies, hands),
            PUBLISHING: _publishing(stack, engine, folder, server, bodies),
            INSIDE: _in_process(stack, folder / "inside", new_database(engine, folder, server), bodies),
            **_peers(stack, engine, folder, server, bodies),
        }
        rates = play(contestants, rounds)
    ratios = [Ratio(OURS, LIMIT, _TARGETS[engine]), Ratio(OURS, PEER, 10.0), Ratio(OURS, MERGE)]
    ratios += [Ratio(PUBLISHING, LIMIT), Ratio(OURS, INSIDE), Ratio(PEER, LIMIT)]
    note = f"the client was busy for {hands.busy / hands.waited:.0%} of the time of `{OURS}`; {_signing_cost()}"
    return Measure(f"Ingest on {engine}", "observations/s", rates, ratios, [note])


def _raw(url: str, bodies: int) -> Contestant:
    store, numbers = open_raw(url), count()

    def turn(_round: int) -> Work:
        ready = [raw_rows(number) for number in _next(numbers, bodies)]
        with timed(bodies * SIZE) as work:
            for rows in ready:
                store(rows)
        return work

    return turn


def _over_https(
    stack: ExitStack, engine: str, folder: Path, server: str, bodies: int, hands: _Hands
) -> Mapping[str, Contestant]:
    """One client, and two at once, of the same gateway."""
    gateway = make_provider(folder / "https", new_database(engine, folder, server))
    accesses = [add_access(gateway, f"bench-station-{n}", "station", "records:submit") for n in range(2)]
    gateway.close()
    stack.enter_context(running("gateway", folder / "https"))
    callers = [stack.enter_context(_caller(access)) for access in accesses]
    numbers = count()

    def one(_round: int) -> Work:
        ready = [ndjson(number) for number in _next(numbers, bodies)]
        busy = time.process_time()
        with timed(bodies * SIZE) as work:
            _submit(callers[0], ready)
        hands.busy += time.process_time() - busy
        hands.waited += work.seconds
        return work

    def two(_round: int) -> Work:
        ready = [ndjson(number) for number in _next(numbers, bodies)]
        threads = [threading.Thread(target=_submit, args=(callers[n], ready[n::2])) for n in range(2)]
        with timed(bodies * SIZE) as work:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return work

    return {OURS: one, TWICE: two}


def _publishing(stack: ExitStack, engine: str, folder: Path, server: str, bodies: int) -> Contestant:
    """A gateway that publishes at once; a turn ends when its queue is empty."""
    url = new_database(engine, folder, server)
    gateway = make_provider(folder / "publishing", url, linger=LINGER_NONE)
    access = add_access(gateway, "bench-station", "station", "records:submit")
    gateway.close()
    stack.enter_context(running("gateway", folder / "publishing"))
    caller = stack.enter_context(_caller(access))
    database = Database(url)
    stack.callback(database.close)
    numbers = count()

    def turn(_round: int) -> Work:
        ready = [ndjson(number) for number in _next(numbers, bodies)]
        with timed(bodies * SIZE) as work:
            _submit(caller, ready)
            while _queued(database):
                time.sleep(0.01)
        return work

    return turn


def _in_process(stack: ExitStack, home: Path, url: str, bodies: int) -> Contestant:
    """The same without HTTP, TLS, token and proof, and without background duties."""
    gateway = make_provider(home, url)
    stack.callback(gateway.close)
    numbers = count()

    def turn(_round: int) -> Work:
        ready = [ndjson(number) for number in _next(numbers, bodies)]
        with timed(bodies * SIZE) as work:
            for body in ready:
                submit(gateway, STATION, _NDJSON["Content-Type"], body, now=now_millis())
        return work

    return turn


def _peers(stack: ExitStack, engine: str, folder: Path, server: str, bodies: int) -> Mapping[str, Contestant]:
    """The peer behind the same uvicorn and TLS: it borrows a gateway's home for its certificate alone."""
    spare = make_gateway(folder / "peer", "330503", f"sqlite:///{folder}/unused.db")
    spare.close()
    stack.enter_context(running("naive", folder / "peer", new_database(engine, folder, server)))
    settings = spare.settings
    headers = {"Authorization": f"Bearer {naive.make_token(int(time.time()))}", "Content-Type": "application/json"}
    caller = stack.enter_context(Caller(settings.url, settings.tls.ca.read_text(), headers=headers))
    numbers = count()

    def turn(path: str, size: int) -> Contestant:
        def take_turn(_round: int) -> Work:
            ready = [json_array(number) for number in _next(numbers, size)]
            with timed(size * SIZE) as work:
                for body in ready:
                    caller.call("POST", path, body)
            return work

        return take_turn

    return {PEER: turn("/observations", bodies), MERGE: turn("/merge", min(bodies, _MERGED))}


def _caller(access: Access) -> Caller:
    return Caller(access.url, access.ca_pem, access)


def _submit(caller: Caller, bodies: list[bytes]) -> None:
    for body in bodies:
        caller.call("POST", "/v1/submissions", body, _NDJSON)


def _queued(database: Database) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).select_from(tables.queue)).scalar_one()


def _next(numbers: Iterator[int], how_many: int) -> list[int]:
    return [next(numbers) for _ in range(how_many)]


def _signing_cost(times: int = 200) -> str:
    """What a proof costs whoever signs it: most of the client's own work."""
    key = ECKey.generate_key("P-256")
    begun = time.perf_counter()
    for _ in range(times):
        make_proof(key, "POST", "https://127.0.0.1/v1/submissions", now_millis(), token="token")
    return f"signing a proof takes it {(time.perf_counter() - begun) / times * 1e6:.0f} µs"

"""What the OAuth tables do on PostgreSQL, where they hold for every worker and host."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, Table, create_engine, text

from partners import tables
from partners.oauth.clients import Client
from partners.oauth.replay import DatabaseReplay, forget_expired
from partners.oauth.store import add_client, load_client
from tests.conftest import new_postgres
from tests.partners.oauth_world import NOW, jwks_of, key_of


@pytest.fixture(scope="module")
def engine(postgres: str) -> Iterator[Engine]:
    engine = create_engine(new_postgres(postgres), pool_size=8)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("seen", [tables.assertion_seen, tables.proof_seen], ids=lambda table: table.name)
def test_of_many_workers_with_one_jti_one_gets_through(engine: Engine, seen: Table) -> None:
    replay = DatabaseReplay(engine.begin, seen)
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda _: replay.remember("one", "jti", expires=NOW, now=NOW), range(8)))
    assert sorted(verdicts) == [False] * 7 + [True]
    assert replay.remember("two", "jti", expires=NOW, now=NOW)


def test_what_was_used_stays_used_when_the_request_around_it_is_rolled_back(engine: Engine) -> None:
    replay = DatabaseReplay(engine.begin, tables.proof_seen)
    with engine.connect() as request:
        request.execute(text("SELECT 1"))
        assert replay.remember("key", "rolled back", expires=NOW, now=NOW)
        request.rollback()
    assert not replay.remember("key", "rolled back", expires=NOW, now=NOW)


def test_old_rows_are_cleared_away(engine: Engine) -> None:
    DatabaseReplay(engine.begin, tables.proof_seen).remember("key", "old", expires=1, now=0)
    with engine.begin() as connection:
        assert forget_expired(connection, 2) == 1


def test_proofs_stay_out_of_the_write_ahead_log_and_assertions_do_not(engine: Engine) -> None:
    with engine.connect() as connection:
        query = "SELECT relname, relpersistence FROM pg_class WHERE relkind = 'r' AND relname LIKE '%_seen'"
        rows = connection.execute(text(query))
        assert {row[0]: row[1] for row in rows} == {"assertion_seen": "p", "proof_seen": "u"}


def test_a_client_comes_back_as_it_was_kept_and_impossible_ids_find_nobody(engine: Engine) -> None:
    kept = Client("kept", "330503", "station", frozenset({"records:submit"}), jwks_of(key_of("Ed25519")))
    with engine.begin() as connection:
        add_client(connection, kept, NOW)
        assert load_client(connection, "kept") == kept
        for nobody in ("nobody", "", "kept\0", "kept\ud800", "é", "k" * 5000):
            assert load_client(connection, nobody) is None

"""How often a client has asked: counted once for each request, by however many workers, on either database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gateway.db import Database
from partners.rates import count_request
from partners.tables import request_count


def counter(database: Database) -> Callable[..., int]:
    def count(client: str = "c", dataset: str = "d", window: int = 60_000) -> int:
        with database.write() as session:
            return count_request(session, client, "320509", dataset, window)

    return count


def test_each_client_and_each_dataset_is_counted_by_itself(database: Database) -> None:
    count = counter(database)
    assert [count(), count(), count()] == [1, 2, 3]
    assert count(client="other") == 1
    assert count(dataset="other") == 1
    assert count() == 4


def test_a_new_window_begins_at_one_and_uses_the_same_row(database: Database) -> None:
    count = counter(database)
    assert [count(), count(), count(window=120_000), count(window=120_000)] == [1, 2, 1, 2]
    with database.read() as session:
        rows = session.execute(request_count.select()).all()
    assert len(rows) == 1


def test_a_worker_whose_clock_is_behind_begins_no_old_window_again(database: Database) -> None:
    count = counter(database)
    assert [count(window=120_000), count(window=60_000), count(window=120_000)] == [1, 2, 3]


def test_many_workers_lose_no_request(database: Database) -> None:
    count = counter(database)
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: count(), range(80)))
    assert sorted(seen) == list(range(1, 81))

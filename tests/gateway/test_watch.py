"""Waiting for a feed: ended by what the caller reads, by its time or the end of the process, and by nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.gateway.callers import Caller, caller, listening
from tests.gateway.hands import hand_in, publish
from tests.world import WUJIANG, Node, reading_line


@pytest.fixture
def reader(wujiang: Node) -> Iterator[Caller]:
    """A reader of the home party's own feeds."""
    publish(wujiang)
    with listening(wujiang) as http:
        yield caller(http, wujiang, WUJIANG, "feeds:read")


def waited(reader: Caller, seconds: float, meanwhile: Callable[[], Any]) -> tuple[int, float]:
    """Status of a request that waits while something happens every 0.1 s, and the seconds it took."""
    seen = reader.get("/v1/feeds").headers["etag"]
    answers: list[Any] = []
    path = f"/v1/feeds?wait={seconds}"
    thread = threading.Thread(target=lambda: answers.append(reader.get(path, headers={"If-None-Match": seen})))
    begun = time.monotonic()
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        meanwhile()
    return answers[0].status_code, time.monotonic() - begun


def test_what_happens_in_the_log_alone_ends_no_wait(wujiang: Node, reader: Caller) -> None:
    def log_something() -> None:
        hand_in(wujiang, b"{}")
        wujiang.gateway.sequencer.step()

    status, seconds = waited(reader, 0.7, log_something)
    assert (status, seconds > 0.65) == (304, True)


def test_a_new_batch_ends_the_wait_at_once(wujiang: Node, reader: Caller) -> None:
    hand_in(wujiang, reading_line(0))
    status, seconds = waited(reader, 20, lambda: publish(wujiang))
    assert (status, seconds < 2) == (200, True)


def test_the_end_of_the_process_ends_every_wait_at_once(wujiang: Node, reader: Caller) -> None:
    def stop() -> None:
        reader.http.portal.call(wujiang.gateway.heads_watch.stop)  # type: ignore[union-attr]

    status, seconds = waited(reader, 20, stop)
    assert (status, seconds < 2) == (304, True)

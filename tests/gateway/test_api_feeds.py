"""`/v1/feeds`: who may read which feed, stored frames byte for byte, and requests that wait and cost nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from starlette.testclient import TestClient

from audit.form import READ
from audit.heads import HeadStore
from gateway.publish import Publisher
from gateway.store import feeds
from partners.client import ZSTD, split_frames
from schemas.batch import MEDIA_TYPE, Batch, open_batch
from schemas.times import now_millis
from tests.gateway.callers import Caller, caller, code_of, listening
from tests.gateway.hands import carry, entries, hand_in, publish
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

SECRET = {"id": "wj-secret", "select": {"factors": ["w01003"]}, "recipients": [QINGPU]}
OF_JIASHAN = {"id": "js-sites", "kind": "site", "provider": JIASHAN, "recipients": [WUJIANG, QINGPU]}
PLAN = plan_document(SITES, ANTIMONY, SECRET, OF_JIASHAN)
FEED = f"/v1/feeds/{WUJIANG}/wj-antimony"
TAKES_ZSTD = {"Accept": ZSTD}
THREADS = 5


class World:
    """Wujiang's gateway with three batches of antimony and one that Jiashan published, and who reads there."""

    def __init__(self, node: Node, http: TestClient, batches: list[Batch]) -> None:
        self.node = node
        self.http = http
        self.batches = batches
        self.jiashan = caller(http, node, JIASHAN, "feeds:read")
        self.qingpu = caller(http, node, QINGPU, "feeds:read")
        self.stranger = caller(http, node, "330503", "feeds:read")
        self.home = caller(http, node, WUJIANG, "feeds:read")

    def frame(self, seq: int) -> bytes:
        with self.node.gateway.database.read() as session:
            batch = feeds.find_batch(session, WUJIANG, "wj-antimony", seq)
        assert batch is not None
        return batch.frame


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("feeds")
    node, jiashan = make_node(folder, WUJIANG), make_node(folder, JIASHAN)
    introduce(node, jiashan)
    bring_plan(PLAN, node, jiashan)
    hand_in(jiashan, site_line("330421-SW-0001"))
    carry(publish(jiashan)[0], jiashan, node)
    hand_in(node, site_line())
    batches = []
    for minute in range(3):
        hand_in(node, reading_line(minute), reading_line(minute, factor="w01003", unit="[NTU]"))
        batches += [batch for batch in publish(node) if batch.manifest.dataset == "wj-antimony"]
    assert [batch.manifest.seq for batch in batches] == [1, 2, 3]
    settings = node.gateway.settings
    node.gateway.settings = settings.model_copy(update={"threads": THREADS})
    with listening(node) as http:
        yield World(node, http, batches)
    for one in (node, jiashan):
        one.stop()


def listed(reader: Caller) -> dict[tuple[str, str], int]:
    """The numbers of the heads a reader is shown."""
    answer = reader.get("/v1/feeds")
    assert answer.status_code == 200, answer.text
    return {(row["provider"], row["dataset"]): row["seq"] for row in answer.json()["feeds"]}


def test_everybody_is_shown_the_feeds_it_may_read_and_no_others(world: World) -> None:
    sites, secret = {(WUJIANG, "wj-sites"): 1, (WUJIANG, "wj-antimony"): 3}, {(WUJIANG, "wj-secret"): 3}
    its_own = {(JIASHAN, "js-sites"): 1}
    assert listed(world.jiashan) == sites | its_own
    assert listed(world.qingpu) == sites | secret
    assert listed(world.stranger) == {}
    assert listed(world.home) == sites | secret | its_own


def test_a_page_is_the_stored_frames_byte_for_byte(world: World) -> None:
    answer = world.jiashan.get(FEED, headers=TAKES_ZSTD)
    assert answer.headers["content-type"] == ZSTD
    assert answer.headers["taipu-head"] == "3"
    assert answer.headers["vary"] == "Accept"
    assert "link" not in answer.headers
    assert answer.content == b"".join(world.frame(seq) for seq in (1, 2, 3))
    key = world.node.gateway.keys.manifest
    opened = [open_batch(feeds.from_frame(frame), {key.kid: key.public}) for frame in split_frames(answer.content)]
    assert [batch.hash for batch in opened] == [batch.hash for batch in world.batches]


def test_who_takes_no_zstd_gets_the_same_unpacked(world: World) -> None:
    answer = world.jiashan.get(FEED, params={"after": 1})
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.content == world.batches[1].file + world.batches[2].file
    whole = zstandard.ZstdDecompressor().stream_reader(
        world.jiashan.get(FEED, params={"after": 1}, headers=TAKES_ZSTD).content, read_across_frames=True
    )
    assert whole.read() == answer.content


def test_a_page_ends_after_so_many_bytes_and_names_the_next(world: World) -> None:
    settings = world.node.gateway.settings
    world.node.gateway.settings = settings.model_copy(update={"max_feed_page_bytes": 1})
    try:
        link, found = FEED, []
        while link:
            answer = world.jiashan.get(link, headers=TAKES_ZSTD)
            found.append(answer.content)
            link = answer.headers.get("link", "").removeprefix("<").partition(">")[0]
    finally:
        world.node.gateway.settings = settings
    assert found == [world.frame(seq) for seq in (1, 2, 3)]


def test_at_the_head_a_page_is_empty_and_beyond_it_an_error_that_names_the_head(world: World) -> None:
    at_head = world.jiashan.get(FEED, params={"after": 3})
    assert (at_head.status_code, at_head.content) == (200, b"")
    answer = world.jiashan.get(FEED, params={"after": 4})
    assert code_of(answer, 400) == "feed.cursor-beyond-head"
    assert (answer.json()["head"], answer.json()["manifest"]) == (3, world.batches[2].hash)
    assert code_of(world.jiashan.get(FEED, params={"after": 10**30}), 400) == "feed.cursor-beyond-head"


def test_one_batch_never_changes_and_may_be_kept_for_ever(world: World) -> None:
    answer = world.jiashan.get(f"{FEED}/2", headers=TAKES_ZSTD)
    assert answer.content == world.frame(2)
    assert answer.headers["etag"] == f'"{world.batches[1].hash}"'
    assert "immutable" in answer.headers["cache-control"]
    again = world.jiashan.get(f"{FEED}/2", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert world.jiashan.get(f"{FEED}/2", headers={"If-None-Match": '"other"'}).content == world.batches[1].file


@pytest.mark.parametrize("seq", [0, -1, 4, 10**30])
def test_a_number_that_was_not_given_out_is_not_there(world: World, seq: int) -> None:
    assert code_of(world.jiashan.get(f"{FEED}/{seq}"), 404) == "batch.not-found"


def test_a_provider_reads_its_own_feed_back_from_a_partner(world: World) -> None:
    answer = world.jiashan.get(f"/v1/feeds/{JIASHAN}/js-sites")
    assert answer.status_code == 200
    assert b"330421-SW-0001" in answer.content


@pytest.mark.parametrize("path", ["", "/1"])
def test_a_third_partys_feed_is_not_relayed(world: World, path: str) -> None:
    assert code_of(world.qingpu.get(f"/v1/feeds/{JIASHAN}/js-sites{path}"), 403) == "access.not-relayed"


@pytest.mark.parametrize("path", ["wj-secret", "wj-secret/1", "wj-secret?after=99", "nothing"])
def test_what_the_plan_does_not_give_is_refused_whether_it_is_there_or_not(world: World, path: str) -> None:
    assert code_of(world.jiashan.get(f"/v1/feeds/{WUJIANG}/{path}"), 403) == "access.not-granted"


def test_what_is_served_is_logged_with_its_numbers(world: World) -> None:
    before = len(entries(world.node, READ))
    world.jiashan.get(FEED, params={"after": 1})
    world.jiashan.get(f"{FEED}/3")
    world.jiashan.get(FEED, params={"after": 3})  # nothing was shown
    page, single = entries(world.node, READ)[before:]
    assert page["detail"] == {"path": FEED, "from": 2, "to": 3, "purpose": "太浦河水源地预警"}
    assert single["detail"] == {"path": f"{FEED}/3", "seq": 3, "purpose": "太浦河水源地预警"}
    assert page["actor"] == world.jiashan.client_id


def test_nothing_beyond_what_is_pinned_is_served(tmp_path: Path) -> None:
    """As when the process stops between the commit and the pin."""
    node = make_node(tmp_path, WUJIANG)
    bring_plan(PLAN, node)
    hand_in(node, site_line(), reading_line(0))
    publish(node)
    hand_in(node, reading_line(1))
    gateway = node.gateway
    elsewhere = HeadStore(tmp_path / "elsewhere.db")
    crashed = Publisher(WUJIANG, gateway.database, elsewhere, gateway.keys, gateway.interning, gateway.sites)
    (unpinned,) = crashed.publish_due(now=now_millis())
    assert unpinned.manifest.seq == 2
    with listening(node) as http:
        reader = caller(http, node, JIASHAN, "feeds:read")
        assert listed(reader)[WUJIANG, "wj-antimony"] == 1
        assert reader.get(FEED).headers["taipu-head"] == "1"
        assert unpinned.file not in reader.get(FEED).content
        assert code_of(reader.get(FEED, params={"after": 2}), 400) == "feed.cursor-beyond-head"
        assert code_of(reader.get(f"{FEED}/2"), 404) == "batch.not-found"
        gateway.publisher.recover()
        assert reader.get(f"{FEED}/2").content == unpinned.file
    elsewhere.close()
    node.stop()


def test_who_joined_later_and_was_given_no_history_gets_what_was_made_since(tmp_path: Path) -> None:
    node = make_node(tmp_path, WUJIANG)
    bring_plan(plan_document(SITES, ANTIMONY | {"recipients": [JIASHAN]}), node)
    before = now_millis() - 20_000
    hand_in(node, site_line(), reading_line(0), at=before)
    publish(node, at=before)
    document = plan_document(SITES, ANTIMONY | {"recipients": [JIASHAN, QINGPU]}, version=2)
    joined = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 10)).encode()
    bring_plan(document.replace(b"2026-01-01T00:00:00+08:00", joined), node)
    hand_in(node, reading_line(1))
    (batch,) = publish(node)
    with listening(node) as http:
        assert caller(http, node, JIASHAN, "feeds:read").get(FEED).content.endswith(batch.file)
        late = caller(http, node, QINGPU, "feeds:read")
        assert late.get(FEED).content == batch.file
        assert code_of(late.get(f"{FEED}/1"), 404) == "batch.not-found"
        assert late.get(f"{FEED}/2").content == batch.file
    node.stop()


def etag_of(reader: Caller) -> str:
    return str(reader.get("/v1/feeds").headers["etag"])


def wait_for_feeds(reader: Caller, seen: str, seconds: float) -> tuple[Any, float]:
    """The answer to a request that waits, and how long it took."""
    began = time.monotonic()
    answer = reader.get(f"/v1/feeds?wait={seconds}", headers={"If-None-Match": seen})
    return answer, time.monotonic() - began


def test_who_waits_in_vain_is_told_that_nothing_has_changed(world: World) -> None:
    seen = etag_of(world.jiashan)
    answer, took = wait_for_feeds(world.jiashan, seen, 0.3)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", seen)
    assert 0.3 <= took < 2


def test_who_has_seen_something_else_does_not_wait(world: World) -> None:
    answer, took = wait_for_feeds(world.jiashan, '"other"', 10)
    assert answer.status_code == 200
    assert took < 2


def test_many_wait_without_holding_a_thread_and_hear_of_a_new_batch_at_once(world: World) -> None:
    waiters = [caller(world.http, world.node, JIASHAN, "feeds:read") for _ in range(12 * THREADS)]
    for waiter in waiters:
        waiter.fetch_token()
    seen = etag_of(world.jiashan)
    heard: list[float] = []

    def wait(waiter: Caller) -> int:
        answer, _ = wait_for_feeds(waiter, seen, 30)
        heard.append(time.monotonic())
        assert {row["dataset"]: row["seq"] for row in answer.json()["feeds"]}["wj-sites"] == 2
        return int(answer.status_code)

    with ThreadPoolExecutor(len(waiters)) as pool:
        answers = [pool.submit(wait, waiter) for waiter in waiters]
        time.sleep(1)
        assert not heard
        began = time.monotonic()
        assert world.jiashan.get(FEED).status_code == 200
        assert time.monotonic() - began < 1
        hand_in(world.node, site_line("320509-SW-0005"))
        publish(world.node)
        published = time.monotonic()
        assert {answer.result(10) for answer in answers} == {200}
    assert min(heard) - published < 1
    assert threading.active_count() < len(waiters)


def test_a_grant_that_ends_while_somebody_waits_is_not_honoured_any_more(world: World) -> None:
    reader = caller(world.http, world.node, QINGPU, "feeds:read")
    seen = etag_of(reader)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for_feeds, reader, seen, 30)
        time.sleep(0.2)
        ended = plan_document(SITES | {"recipients": [JIASHAN]}, ANTIMONY | {"recipients": [JIASHAN]}, version=2)
        bring_plan(ended, world.node)
        hand_in(world.node, site_line("320509-SW-0006"))
        publish(world.node)
        answer, _ = waiting.result(10)
    assert answer.json() == {"feeds": []}

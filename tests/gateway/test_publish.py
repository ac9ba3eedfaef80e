"""From accepted records to signed batches: numbers without gaps, a chain, only what the plan in force shares, pinned
before it is served."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from audit.form import BATCH_PUBLISHED
from gateway.api.feeds import served_head
from gateway.errors import RolledBackError
from gateway.health import check_health
from gateway.publish import Publisher
from gateway.service import Gateway
from gateway.store import feeds, queue
from gateway.workers import Duties
from partners import tables as partner_tables
from schemas.batch import MAX_BYTES, MAX_RECORDS, Batch, open_batch
from schemas.times import DAY, now_millis, to_millis
from tests.gateway.hands import counts, entries, hand_in, publish, records_in
from tests.world import ANTIMONY, SITES, WUJIANG, Node, bring_plan, plan_document, reading_line, site_line

SECOND = 1_000


def manifests(node: Node, dataset: str = "wj-antimony") -> list[Batch]:
    """Every batch of the feed, opened and verified, in order."""
    key = node.gateway.keys.manifest
    with node.gateway.database.read() as session:
        found = list(feeds.batches(session, node.party, dataset, first=1, last=10**9))
    return [open_batch(feeds.from_frame(batch.frame), {key.kid: key.public}) for batch in found]


def times_of(node: Node, dataset: str = "wj-antimony") -> list[int]:
    return [to_millis(batch.manifest.created) for batch in manifests(node, dataset)]


def served(node: Node, dataset: str = "wj-antimony") -> int:
    """The newest number that anybody is given."""
    with node.gateway.database.read() as session:
        return served_head(node.gateway, feeds.head(session, node.party, dataset)).seq


def publish_all(node: Node) -> list[Batch]:
    """Publish until nothing waits any more."""
    made: list[Batch] = []
    while more := publish(node):
        made += more
    return made


def waiting(node: Node) -> set[str]:
    with node.gateway.database.read() as session:
        return set(queue.waiting(session))


def test_a_batch_says_what_it_holds_and_under_which_plan(wujiang: Node) -> None:
    publish(wujiang)
    hand_in(wujiang, *(reading_line(minute) for minute in (2, 0, 1)))
    (batch,) = publish(wujiang)
    plan = json.loads(plan_document(SITES, ANTIMONY))
    manifest = batch.manifest
    assert (manifest.provider, manifest.dataset, manifest.seq) == (WUJIANG, "wj-antimony", 1)
    assert (manifest.plan, manifest.count, manifest.prev) == (f"{plan['plan']}@1", 3, "")
    assert (manifest.first, manifest.last) == ("2026-11-20T10:00:00+08:00", "2026-11-20T10:02:00+08:00")
    assert [record["at"][14:16] for record in records_in([batch])] == ["00", "01", "02"]
    assert {record["rev"] for record in records_in([batch])} == {1}
    assert manifests(wujiang) == [batch]
    assert waiting(wujiang) == set()


def test_each_batch_names_its_predecessor_and_is_logged_and_on_its_way_to_every_recipient(wujiang: Node) -> None:
    for minute in range(3):
        hand_in(wujiang, reading_line(minute))
        publish(wujiang)
    made = manifests(wujiang)
    assert [batch.manifest.seq for batch in made] == [1, 2, 3]
    assert [batch.manifest.prev for batch in made] == ["", made[0].hash, made[1].hash]
    logged = [entry["manifest"] for entry in entries(wujiang, BATCH_PUBLISHED) if entry["dataset"] == "wj-antimony"]
    assert logged == [batch.hash for batch in made]
    with wujiang.gateway.database.read() as session:
        rows = session.execute(partner_tables.delivery.select()).all()
    assert {(row.seq, row.recipient, row.state) for row in rows if row.dataset == "wj-antimony"} == {
        (seq, party, "pending") for seq in (1, 2, 3) for party in ("330421", "310118")
    }


def test_many_submitters_and_publishers_at_once_make_one_chain_without_gaps_and_lose_nothing(wujiang: Node) -> None:
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                hand_in(wujiang, *(reading_line(number * 100 + turn * 20 + minute) for minute in range(20)))
                wujiang.gateway.publisher.publish("wj-antimony", now=now_millis())
        except BaseException as error:  # noqa: BLE001 - a thread's fault has to reach the test
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    made = manifests(wujiang)
    assert [batch.manifest.seq for batch in made] == list(range(1, len(made) + 1))
    assert [batch.manifest.prev for batch in made] == ["", *(batch.hash for batch in made[:-1])]
    assert len({record["at"] for record in records_in(made)}) == sum(batch.manifest.count for batch in made) == 400
    assert served(wujiang) == len(made)


def test_created_never_decreases_when_the_clock_steps_back(wujiang: Node) -> None:
    now = now_millis()
    for minute, at in enumerate((now, now - DAY, now - 1, now + 5)):
        hand_in(wujiang, reading_line(minute), at=at)
        wujiang.gateway.publisher.publish("wj-antimony", now=at)
    assert times_of(wujiang) == [now, now, now, now + 5]


def bring(node: Node, *datasets: dict[str, Any], version: int = 2, **members: Any) -> None:
    """A newer version of the plan, in force at once."""
    document = json.loads(plan_document(*datasets, version=version)) | members
    bring_plan(json.dumps(document).encode(), node)


def test_only_what_the_dataset_selects_is_shared(wujiang: Node) -> None:
    hand_in(wujiang, site_line("320509-SW-0009", programmes=["other"]))
    publish(wujiang)
    chosen = reading_line(0), reading_line(1, factor="w21003"), reading_line(2, site="320509-SW-0009")
    assert counts(hand_in(wujiang, *chosen)) == {"accepted": 3}
    assert [record["at"][14:16] for record in records_in(publish(wujiang))] == ["00"]


def test_what_the_dataset_hides_never_leaves(wujiang: Node) -> None:
    bring(wujiang, SITES | {"hide": ["owner"]}, ANTIMONY | {"hide": ["instrument", "received"]})
    reading = reading_line(0, instrument="secret", method="HJ 1046", received="2026-11-20T10:00:01+08:00")
    hand_in(wujiang, site_line("320509-SW-0004", owner="secret"), reading)
    shared = publish(wujiang)
    assert b"secret" not in b"".join(batch.file for batch in shared)
    (record,) = [record for record in records_in(shared) if record["kind"] == "observation"]
    assert record["method"] == "HJ 1046"
    assert not {"instrument", "received"} & record.keys()


def test_a_dataset_lingers_so_that_batches_get_fuller(wujiang: Node) -> None:
    bring(wujiang, SITES, ANTIMONY | {"linger": "PT10S"})
    now = now_millis()
    hand_in(wujiang, reading_line(0), at=now)
    hand_in(wujiang, reading_line(1), at=now + 9 * SECOND)
    assert [batch.manifest.dataset for batch in publish(wujiang, at=now + 9 * SECOND)] == ["wj-sites"]
    (batch,) = publish(wujiang, at=now + 10 * SECOND)
    assert batch.manifest.count == 2


def test_many_small_submissions_become_one_batch(wujiang: Node) -> None:
    publish(wujiang)
    for minute in range(25):
        hand_in(wujiang, reading_line(minute))
    (batch,) = publish(wujiang)
    assert batch.manifest.count == 25


def test_a_batch_ends_where_it_would_hold_too_many_records_or_bytes(wujiang: Node) -> None:
    publish(wujiang)
    for part in range(3):
        hand_in(wujiang, *(reading_line(n % 800, sample=f"{part}-{n // 800}") for n in range(4_000)))
    assert [batch.manifest.count for batch in publish(wujiang)] == [MAX_RECORDS, 2_000]
    many = [f"{number:0128}" for number in range(230)]  # some 30,000 bytes
    hand_in(wujiang, *(site_line(f"320509-SW-{n:04}", upstream=many) for n in range(1_000, 1_600)))
    made = publish_all(wujiang)
    assert sum(batch.manifest.count for batch in made) == 600
    assert len(made) == 2
    assert all(batch.manifest.bytes <= MAX_BYTES for batch in made)
    assert made[0].manifest.bytes + len(site_line(upstream=many)) + 1_000 > MAX_BYTES


def test_nothing_is_served_before_it_is_pinned_and_the_next_start_pins_what_was_committed(wujiang: Node) -> None:
    publish(wujiang)
    hand_in(wujiang, reading_line(0))
    publish(wujiang)
    hand_in(wujiang, reading_line(1))
    stop_between_commit_and_pin(wujiang)
    assert [batch.manifest.seq for batch in manifests(wujiang)] == [1, 2]
    assert served(wujiang) == 1
    wujiang.gateway.publisher.recover()
    assert served(wujiang) == 2
    wujiang.gateway.publisher.recover()
    assert served(wujiang) == 2


def test_the_next_batch_takes_an_unpinned_one_along(wujiang: Node) -> None:
    hand_in(wujiang, reading_line(0))
    stop_between_commit_and_pin(wujiang)
    hand_in(wujiang, reading_line(1))
    publish(wujiang)
    assert served(wujiang) == 2


class _GoneError(Exception):
    """The process is no more."""


class _DiesBeforePinning:
    """The head store of a process that has nothing pinned when it publishes, and ends before it pins."""

    def __init__(self) -> None:
        self._asked = False

    def feed_head(self, provider: str, dataset: str) -> None:
        if self._asked:
            raise _GoneError
        self._asked = True


def stop_between_commit_and_pin(node: Node) -> None:
    gateway = node.gateway
    doomed = Publisher(
        node.party, gateway.database, _DiesBeforePinning(),  # type: ignore[arg-type]
        gateway.keys, gateway.interning, gateway.sites,
    )  # fmt: skip
    with pytest.raises(_GoneError):
        doomed.publish("wj-antimony", now=now_millis())


def test_a_database_behind_the_head_store_publishes_nothing_and_says_so(wujiang: Node) -> None:
    hand_in(wujiang, reading_line(0))
    publish(wujiang)
    wujiang.gateway.heads.pin_feed(WUJIANG, "wj-antimony", 2, "x" * 43)
    with pytest.raises(RolledBackError) as caught:
        wujiang.gateway.publisher.recover()
    assert caught.value.code == "gateway.rolled-back"
    duties = Duties(wujiang.gateway)
    duties.start()
    duties.stop()
    assert reason_for_reading_only(wujiang.gateway) == "gateway.rolled-back"
    checks = {check.name: check.ok for check in check_health(wujiang.gateway)}
    assert checks == {"sign": True, "write": True, "log": True, "publish": False}
    hand_in(wujiang, reading_line(1))
    with pytest.raises(RolledBackError):
        publish(wujiang)
    assert len(manifests(wujiang)) == 1


def reason_for_reading_only(gateway: Gateway) -> str:
    return gateway.read_only.code if gateway.read_only is not None else ""


def test_a_database_with_another_batch_under_a_pinned_number_publishes_nothing(wujiang: Node) -> None:
    hand_in(wujiang, reading_line(0))
    stop_between_commit_and_pin(wujiang)
    wujiang.gateway.heads.pin_feed(WUJIANG, "wj-antimony", 1, "x" * 43)
    Duties(wujiang.gateway).start()
    assert reason_for_reading_only(wujiang.gateway) == "head.conflict"


def test_a_plan_that_switches_while_records_wait_decides_what_leaves(wujiang: Node) -> None:
    publish(wujiang)
    hand_in(wujiang, reading_line(0), reading_line(1, period="PT1H"))
    bring(wujiang, SITES, ANTIMONY | {"select": {"factors": ["w20004"], "periods": ["PT1H"]}})
    (batch,) = publish(wujiang)
    assert batch.manifest.plan.endswith("@2")
    assert [record["period"] for record in records_in([batch])] == ["PT1H"]
    assert waiting(wujiang) == set()


def test_what_the_plan_keeps_from_everybody_is_never_published(wujiang: Node) -> None:
    kept = {
        "select": {"factors": ["w21003"]},
        "sharing": "not-shared",
        "citation": "示范区条例第1条",
        "conditions": None,
    }
    document = json.loads(plan_document(SITES, ANTIMONY, {"id": "wj-kept"} | kept, version=2))
    for member in ("recipients", "conditions"):
        del document["datasets"][-1][member]
    publish(wujiang)
    bring_plan(json.dumps(document).encode(), wujiang)
    assert counts(hand_in(wujiang, reading_line(0, factor="w21003"))) == {"accepted": 1}
    assert publish(wujiang) == []
    with wujiang.gateway.database.write() as session:
        queue.enqueue(session, "wj-kept", "site", [("320509-SW-0003", 1)], at=1)
    assert (publish(wujiang), waiting(wujiang), served(wujiang, "wj-kept")) == ([], set(), 0)


def test_what_waits_for_a_dataset_that_no_plan_names_stays_until_one_does_again(wujiang: Node) -> None:
    publish(wujiang)
    hand_in(wujiang, reading_line(0))
    bring(wujiang, SITES)
    assert publish(wujiang) == []
    assert wujiang.gateway.publisher.publish("wj-antimony", now=now_millis()) == []
    assert waiting(wujiang) == {"wj-antimony"}
    bring(wujiang, SITES, ANTIMONY, version=3)
    (batch,) = publish(wujiang)
    assert (batch.manifest.seq, batch.manifest.plan[-2:]) == (1, "@3")


def test_when_the_plan_has_ended_nothing_leaves(wujiang: Node) -> None:
    publish(wujiang)
    hand_in(wujiang, reading_line(0))
    bring(wujiang, SITES, ANTIMONY, until="2026-11-01T00:00:00+08:00")
    assert publish(wujiang) == []
    assert counts(hand_in(wujiang, reading_line(1))) == {"accepted": 1}


def test_a_revision_travels_in_the_same_feed_and_so_does_the_one_before_it(wujiang: Node) -> None:
    publish(wujiang)
    hand_in(wujiang, reading_line(0, "0.1"))
    hand_in(wujiang, reading_line(0, "0.2", reason="calibration"))
    assert [(record["rev"], record["value"]) for record in records_in(publish(wujiang))] == [(1, "0.1"), (2, "0.2")]
    hand_in(wujiang, site_line(name={"zh": "新平望"}, reason="renamed"))
    assert [record["name"]["zh"] for record in records_in(publish(wujiang))] == ["新平望"]


def test_sites_leave_before_the_readings_that_need_them(wujiang: Node) -> None:
    hand_in(wujiang, site_line("320509-SW-0009"), reading_line(7, site="320509-SW-0009"))
    assert [batch.manifest.dataset for batch in publish(wujiang)] == ["wj-sites", "wj-antimony"]


def test_one_dataset_that_cannot_be_published_does_not_hold_up_the_others(wujiang: Node) -> None:
    hand_in(wujiang, reading_line(0))
    wujiang.gateway.heads.pin_feed(WUJIANG, "wj-sites", 7, "x" * 43)
    with pytest.raises(RolledBackError):
        publish(wujiang)
    assert (served(wujiang), manifests(wujiang, "wj-sites"), waiting(wujiang)) == (1, [], {"wj-sites"})


def test_who_is_overtaken_while_pinning_goes_on(wujiang: Node) -> None:
    hand_in(wujiang, reading_line(0))
    stop_between_commit_and_pin(wujiang)
    hand_in(wujiang, reading_line(1))
    gateway, heads = wujiang.gateway, _Overtaken(wujiang)
    slow = Publisher(
        WUJIANG, gateway.database, heads, gateway.keys, gateway.interning, gateway.sites  # type: ignore[arg-type]
    )  # fmt: skip
    assert [batch.manifest.seq for batch in slow.publish("wj-antimony", now=now_millis())] == [2]
    assert served(wujiang) == 2


class _Overtaken:
    """The head store of a process that another one, quicker by a moment, pins everything in front of."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.feed_head = node.gateway.heads.feed_head

    def pin_feed(self, provider: str, dataset: str, seq: int, manifest: str) -> None:
        self._node.gateway.publisher.recover()
        self._node.gateway.heads.pin_feed(provider, dataset, seq, manifest)

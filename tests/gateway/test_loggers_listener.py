"""The listener for data loggers: what is answered is stored, what is not stored is not answered, whatever comes."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from sqlalchemy import select, text

from gateway.loggers import intake
from gateway.loggers.figures import all_figures
from gateway.store import tables
from gateway.tls import tls_context
from schemas.errors import SharingError
from schemas.times import to_millis
from tests.gateway.hands import entries, publish, records_in, rows_of, stored
from tests.gateway.loggers import (
    MN,
    Logger,
    PoisonedDoor,
    Running,
    eventually,
    heartbeat,
    listening,
    message,
    packet,
    register,
    says,
)
from tests.world import Node

OTHER = "010000A8900016F000169DC1"
BROKEN_SUM = packet(1)[:-6] + b"0000\r\n"


@pytest.fixture
def running(wujiang: Node) -> Iterator[Running]:
    """A listener of Wujiang's gateway, and one registered logger."""
    register(wujiang)
    with listening(wujiang) as started:
        yield started


@pytest.fixture
def logger(running: Running) -> Iterator[Logger]:
    with Logger(running.port) as connected:
        yield connected


def evidence(node: Node) -> list[str]:
    with node.gateway.database.read() as session:
        return list(session.scalars(select(tables.evidence.c.code).order_by(tables.evidence.c.id)))


@contextmanager
def writing_blocked(node: Node) -> Iterator[None]:
    """Nobody else can commit a submission inside the block."""
    with node.gateway.database.write() as session:
        if session.dialect.name == "postgresql":
            session.execute(text("LOCK TABLE submission IN EXCLUSIVE MODE"))
        yield


@contextmanager
def failing(node: Node) -> Iterator[None]:
    """Every commit of a submission fails inside the block."""
    rename = "ALTER TABLE {} RENAME TO {}"
    with node.gateway.database.write() as session:
        session.execute(text(rename.format("submission", "submission_away")))
    yield
    with node.gateway.database.write() as session:
        session.execute(text(rename.format("submission_away", "submission")))


def test_data_are_answered_by_9014_with_their_request_number_once_they_are_stored(
    wujiang: Node, logger: Logger
) -> None:
    before = time.time()
    logger.send(packet())
    (heard,) = logger.heard()
    assert (heard.cn, heard.qn, heard.mn, heard.st, heard.flag) == ("9014", message().qn, MN, "91", 4)
    assert [value for _, _, value in stored(wujiang)] == ["0.0021"]
    (record,) = [one for one in records_in(publish(wujiang)) if one["kind"] == "observation"]
    assert before <= to_millis(record["received"]) / 1000 + 0.001 <= time.time()
    assert record["sent"] == "2026-11-20T10:01:00+08:00"


def test_nothing_is_answered_before_the_commit(wujiang: Node, logger: Logger) -> None:
    with writing_blocked(wujiang):
        logger.send(packet())
        assert logger.hears_nothing()
    assert says(logger.heard()[0]) == ("9014", "")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        pytest.param(heartbeat(), "9013", id="a heartbeat"),
        pytest.param(heartbeat(cn="1013"), "9013", id="a request for the time"),
        pytest.param(packet(x01="7"), "9014", id="data of a factor that nobody mapped"),
        pytest.param(packet(value="much"), "9014", id="data that are no number"),
        pytest.param(heartbeat(cn="2051"), "9014", id="data without a value"),
    ],
)
def test_whatever_is_committed_is_answered_or_it_would_come_for_ever(
    wujiang: Node, logger: Logger, sent: bytes, answer: str
) -> None:
    logger.send(sent)
    assert says(logger.heard()[0]) == (answer, "")
    assert rows_of(wujiang)["submission"] == 2  # the site's, and this one


def test_what_asks_for_no_answer_is_stored_and_gets_none(wujiang: Node, logger: Logger) -> None:
    logger.send(packet(0, flag=4), packet(1))
    assert len(logger.heard()) == 1
    assert len(stored(wujiang)) == 2
    assert logger.hears_nothing()


def test_packets_may_come_in_halves_and_stick_together(wujiang: Node, logger: Logger) -> None:
    stream = b"".join(packet(minute) for minute in range(5))
    for start in range(0, len(stream), 97):
        logger.send(stream[start : start + 97])
        time.sleep(0.002)
    assert [one.qn for one in logger.heard(5)] == [message(minute).qn for minute in range(5)]
    assert len(stored(wujiang)) == 5


def test_what_is_sent_again_changes_nothing_and_is_answered_again(wujiang: Node, logger: Logger) -> None:
    for _ in range(3):
        logger.send(packet())
        assert says(logger.heard()[0]) == ("9014", "")
    logger.send(packet(late=600))
    logger.heard()
    assert rows_of(wujiang)["observation_history"] == 0
    assert [(rev, value) for _, rev, value in stored(wujiang)] == [(1, "0.0021")]


def test_packets_of_many_loggers_share_a_submission_with_one_receipt_and_one_entry(
    wujiang: Node, running: Running
) -> None:
    mns = [f"{number:024X}" for number in range(20)]
    for mn in mns:
        register(wujiang, mn=mn)
    eventually(lambda: mns[-1] in running.listener.devices)
    loggers = [Logger(running.port) for _ in mns]
    with writing_blocked(wujiang):
        for number, (mn, one) in enumerate(zip(mns, loggers, strict=True)):
            one.send(packet(number, mn=mn))
        eventually(lambda: running.counts()["packets"] == len(mns))
    for one in loggers:
        assert says(one.heard()[0]) == ("9014", "")
        one.close()
    assert len(stored(wujiang)) == len(mns)
    assert rows_of(wujiang)["submission"] <= 1 + 3
    assert len(entries(wujiang, "taipu/submission/1")) == rows_of(wujiang)["submission"]


def test_a_wrong_check_sum_is_not_answered_but_counted_and_some_are_kept(
    wujiang: Node, running: Running, logger: Logger
) -> None:
    logger.send(BROKEN_SUM, packet(2))
    (heard,) = logger.heard()
    assert heard.qn == message(2).qn
    assert logger.hears_nothing()
    for _ in range(40):
        logger.send(BROKEN_SUM, packet(3))
        logger.heard()
    eventually(lambda: running.counts()["refused.packet.crc-wrong"] == 41)
    eventually(lambda: "packet.crc-wrong" in evidence(wujiang))
    assert len(evidence(wujiang)) <= 20


def test_evidence_has_the_bytes_that_were_wrong(wujiang: Node, logger: Logger) -> None:
    logger.send(packet(0), packet(1), BROKEN_SUM, packet(2))
    logger.heard(3)
    eventually(lambda: evidence(wujiang) == ["packet.crc-wrong"])
    with wujiang.gateway.database.read() as session:
        content = session.execute(select(tables.evidence.c.content)).scalar_one()
    assert content.startswith(BROKEN_SUM)


def test_a_lone_packet_waits_for_nobody_and_those_that_follow_share_a_commit(wujiang: Node) -> None:
    register(wujiang)
    with listening(wujiang, gather=1.0) as running, Logger(running.port) as logger:
        begun = time.monotonic()
        logger.send(packet(0))
        logger.heard()
        assert time.monotonic() - begun < 0.8
        for minute in range(1, 6):
            logger.send(packet(minute, flag=4))
            time.sleep(0.02)
        with Logger(running.port) as other:
            other.send(packet(6))
            other.heard()
        assert 0.8 < time.monotonic() - begun < 3
    assert rows_of(wujiang)["submission"] <= 1 + 1 + 2


def test_a_group_that_is_large_enough_does_not_wait(wujiang: Node) -> None:
    register(wujiang)
    with listening(wujiang, gather=5.0, max_packets=10) as running, Logger(running.port) as logger:
        logger.send(packet(0))
        logger.heard()
        begun = time.monotonic()
        logger.send(*(packet(minute) for minute in range(1, 31)))
        logger.heard(30)
        assert time.monotonic() - begun < 4


def test_a_wrong_password_is_refused_and_nothing_is_stored(wujiang: Node, running: Running, logger: Logger) -> None:
    register(wujiang, more="password: s3cret")
    eventually(lambda: running.listener.devices[MN].password == "s3cret")
    logger.send(packet(pw="000000"), packet(1, pw="000000", flag=4))
    assert [says(one) for one in logger.heard()] == [("9011", "3")]
    assert logger.hears_nothing()
    logger.send(packet(pw="s3cret"))
    assert says(logger.heard()[0]) == ("9014", "")
    assert (len(stored(wujiang)), running.counts()["refused.password-wrong"]) == (1, 2)


def test_whoever_tries_passwords_is_sent_away(wujiang: Node, running: Running, logger: Logger) -> None:
    register(wujiang, more="password: s3cret")
    eventually(lambda: running.listener.devices[MN].password == "s3cret")
    logger.send(*(packet(pw=f"{number:06}") for number in range(60)))
    assert logger.is_closed()


def test_a_device_from_a_network_that_is_not_its_own_is_refused(
    wujiang: Node, running: Running, logger: Logger
) -> None:
    register(wujiang, more="networks: [10.1.0.0/16]")
    eventually(lambda: running.listener.devices[MN].networks == ("10.1.0.0/16",))
    logger.send(packet())
    assert says(logger.heard()[0]) == ("9011", "2")
    register(wujiang, more='networks: [10.1.0.0/16, "127.0.0.0/8"]')
    eventually(lambda: len(running.listener.devices[MN].networks) == 2)
    logger.send(packet())
    assert says(logger.heard()[0]) == ("9014", "")


def test_a_failed_commit_answers_nobody_and_the_logger_sends_again(
    wujiang: Node, running: Running, logger: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "AFTER_FAULT", 0.05)
    with failing(wujiang):
        logger.send(packet(0), packet(1))
        eventually(lambda: running.counts()["failed-commits"] >= 1)
        assert logger.hears_nothing()
    logger.send(packet(0), packet(1))
    assert [says(one) for one in logger.heard(2)] == [("9014", "")] * 2
    assert len(stored(wujiang)) == 2


def test_what_nobody_would_send_again_waits_for_the_database(
    wujiang: Node, running: Running, logger: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "AFTER_FAULT", 0.05)
    with failing(wujiang):
        logger.send(packet(0, flag=4))
        eventually(lambda: running.counts()["failed-commits"] >= 3)
    eventually(lambda: len(stored(wujiang)) == 1)


def test_a_read_only_gateway_takes_nothing_in(wujiang: Node, running: Running, logger: Logger) -> None:
    wujiang.gateway.read_only = SharingError("the log contradicts itself", code="log.corrupt")
    logger.send(packet())
    assert logger.hears_nothing()
    assert stored(wujiang) == []


def test_a_packet_that_cannot_be_stored_is_set_aside_and_takes_nobody_along(
    wujiang: Node, running: Running, logger: Logger
) -> None:
    wujiang.gateway.door = PoisonedDoor(wujiang.gateway.door, "6.66")  # type: ignore[assignment]
    logger.send(packet(0), packet(1, "6.66"), packet(2), packet(3))
    assert [one.qn for one in logger.heard(3)] == [message(minute).qn for minute in (0, 2, 3)]
    assert logger.hears_nothing()
    assert len(stored(wujiang)) == 3
    assert evidence(wujiang) == ["packet.set-aside"]


def test_a_connection_cut_in_the_middle_of_a_packet_leaves_no_trace_but_a_count(
    wujiang: Node, running: Running
) -> None:
    for cut in (3, 40, len(packet()) - 3):
        with Logger(running.port) as logger:
            logger.send(packet()[:cut])
    eventually(lambda: running.counts()["connections"] == 0)
    with Logger(running.port) as logger:
        logger.send(packet())
        logger.heard()
    assert len(stored(wujiang)) == 1


def test_a_logger_that_stops_sending_still_gets_its_answers(running: Running, logger: Logger) -> None:
    logger.send(packet(0), packet(1))
    logger.socket.shutdown(1)
    assert len(logger.heard(2)) == 2
    assert logger.is_closed()


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"what is this " * 10_000, id="text"),
        pytest.param(b"#" * 130_000, id="marks"),
        pytest.param(b"##0900" * 20_000, id="headers"),
        pytest.param(bytes(range(256)) * 500, id="every byte"),
        pytest.param(BROKEN_SUM * 60, id="wrong check sums"),
    ],
)
def test_a_flood_of_garbage_ends_its_connection_and_no_other(running: Running, logger: Logger, flood: bytes) -> None:
    with Logger(running.port) as flooding:
        flooding.socket.settimeout(10)
        with suppress(ConnectionError):  # it is closed while it still sends
            flooding.send(flood)
        assert flooding.is_closed()
    logger.send(packet())
    assert says(logger.heard()[0]) == ("9014", "")
    assert running.counts()["refused.garbage"] == 1


def test_a_packet_longer_than_any_costs_itself(running: Running, logger: Logger) -> None:
    logger.send(b"##9999" + b"x" * 200 + b"\r\n", packet())
    assert says(logger.heard()[0]) == ("9014", "")
    assert running.counts()["refused.packet.too-large"] == 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param({"max_connections": 2}, "connections", id="in all"),
        pytest.param({"max_per_address": 2}, "connections-of-address", id="of an address"),
    ],
)
def test_connections_beyond_the_cap_are_closed_at_once_until_one_ends(
    wujiang: Node, settings: dict[str, int], reason: str
) -> None:
    register(wujiang)
    with listening(wujiang, **settings) as running, Logger(running.port) as first, Logger(running.port) as second:
        eventually(lambda: running.counts()["connections"] == 2)
        with Logger(running.port) as third:
            assert third.is_closed()
        assert running.counts()[f"refused.{reason}"] == 1
        second.close()
        eventually(lambda: running.counts()["connections"] == 1)
        with Logger(running.port) as third:
            for one in (first, third):
                one.send(packet())
                assert says(one.heard()[0]) == ("9014", "")


def test_nobody_connects_from_a_network_that_is_not_on_the_list(wujiang: Node) -> None:
    with listening(wujiang, networks=["10.0.0.0/8"]) as running, Logger(running.port) as logger:
        assert logger.is_closed()
        assert running.counts()["refused.address"] == 1


def test_who_never_says_anything_is_closed_and_who_does_may_be_silent_for_longer(
    running: Running, logger: Logger
) -> None:
    logger.send(packet())
    logger.heard()
    with Logger(running.port) as silent:
        assert silent.is_closed()
    logger.send(packet(1))
    assert says(logger.heard()[0]) == ("9014", "")


def test_silence_longer_than_the_setting_ends_a_connection(wujiang: Node) -> None:
    register(wujiang)
    with listening(wujiang, idle=1) as running, Logger(running.port) as logger:
        logger.send(packet())
        logger.heard()
        assert logger.is_closed()
        assert running.counts()["closed.idle"] == 1


def test_of_two_connections_of_one_device_the_silent_older_one_is_closed(running: Running, logger: Logger) -> None:
    logger.send(packet(0))
    logger.heard()
    with Logger(running.port) as newer:
        newer.send(packet(1))
        newer.heard()
        assert logger.is_closed()
        newer.send(packet(2))
        assert says(newer.heard()[0]) == ("9014", "")


def test_a_connection_that_speaks_for_several_devices_outlives_one_of_them(
    wujiang: Node, running: Running, logger: Logger
) -> None:
    register(wujiang, mn=OTHER)
    eventually(lambda: OTHER in running.listener.devices)
    logger.send(packet(0), packet(0, mn=OTHER))
    logger.heard(2)
    with Logger(running.port) as newer:
        newer.send(packet(1))
        newer.heard()
        time.sleep(0.9)  # longer than a superseded connection may be silent
        logger.send(packet(2, mn=OTHER))
        assert says(logger.heard()[0]) == ("9014", "")


def test_who_does_not_read_its_answers_is_cut_off_and_holds_up_nobody(
    wujiang: Node, running: Running, logger: Logger
) -> None:
    register(wujiang, mn=OTHER)
    eventually(lambda: OTHER in running.listener.devices)
    with Logger(running.port, buffer=4_096) as deaf:
        many = b"".join(packet(minute, mn=OTHER) for minute in range(1_000))
        deaf.socket.settimeout(0.5)

        def send() -> None:
            try:
                for _ in range(60):
                    deaf.socket.sendall(many)
            except OSError:
                return  # held back, then cut off

        sending = threading.Thread(target=send)
        sending.start()
        logger.send(packet())
        assert says(logger.heard()[0]) == ("9014", "")
        eventually(lambda: running.counts()["refused.answers-not-read"] == 1)
        sending.join(10)
    logger.send(packet(1))
    assert says(logger.heard()[0]) == ("9014", "")


def test_nothing_more_is_read_from_a_logger_whose_packets_wait_and_nothing_is_lost(
    wujiang: Node, running: Running, logger: Logger
) -> None:
    packets = [packet(minute) for minute in range(12_000)]
    sending = threading.Thread(target=logger.send, args=packets)
    with writing_blocked(wujiang):
        sending.start()
        time.sleep(1.0)
        waiting = running.counts()["waiting"] * len(packets[0])
        assert waiting <= 300 * 1024, "one read of one connection"
    logger.socket.settimeout(60)
    assert len(logger.heard(len(packets))) == len(packets)
    sending.join()
    assert len(stored(wujiang)) == len(packets)


def test_nothing_more_is_read_from_anybody_once_too_much_waits(wujiang: Node) -> None:
    register(wujiang)
    many = b"".join(packet(minute) for minute in range(400))
    with listening(wujiang, buffer_bytes=64 * 1024) as running, ExitStack() as stack:
        loggers = [stack.enter_context(Logger(running.port)) for _ in range(12)]
        eventually(lambda: running.counts()["connections"] == len(loggers))
        with writing_blocked(wujiang):
            for one in loggers:
                one.send(many)
            time.sleep(0.5)
            held = running.counts()["waiting"] * len(packet())
        assert held < 64 * 1024 + 256 * 1024 < len(loggers) * len(many) / 2, "the limit, and one read beyond it"
        for one in loggers:
            assert len(one.heard(400)) == 400
    assert len(stored(wujiang)) == 400


def test_a_stop_during_a_commit_answers_what_is_committed_and_then_closes(
    wujiang: Node, running: Running, logger: Logger
) -> None:
    with writing_blocked(wujiang):
        logger.send(packet())
        eventually(lambda: running.counts()["packets"] == 1)
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        time.sleep(0.2)
    assert says(logger.heard()[0]) == ("9014", "")
    assert logger.is_closed()
    stopping.join(10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))
    assert len(stored(wujiang)) == 1


def test_loggers_may_speak_tls_under_the_gateways_certificate(wujiang: Node) -> None:
    register(wujiang)
    trust = ssl.create_default_context(cadata=wujiang.ca_pem)
    with (
        listening(wujiang, tls=tls_context(wujiang.gateway.settings)) as running,
        Logger(running.port, tls=trust) as logger,
    ):
        for minute in range(3):
            logger.send(packet(minute))
            assert says(logger.heard()[0]) == ("9014", "")
        with Logger(running.port) as plain:
            plain.send(packet(9))
            assert plain.is_closed()
    assert len(stored(wujiang)) == 3


def test_figures_are_written_down_and_go_on_after_a_restart(wujiang: Node) -> None:
    register(wujiang)
    with listening(wujiang) as running, Logger(running.port) as logger:
        logger.send(packet(), BROKEN_SUM)
        logger.heard()
        eventually(lambda: "refused.packet.crc-wrong" in running.counts())
        name = running.listener.address
    with wujiang.gateway.database.read() as session:
        figures = all_figures(session)[name]
    assert {key: figures[key] for key in ("packets", "answers", "connections", "waiting")} == {
        "packets": 1, "answers": 1, "connections": 0, "waiting": 0,
    }  # fmt: skip
    assert figures["refused.packet.crc-wrong"] == 1

"""Asking a logger for its history: each step of the standard, and whatever may come between two of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from gateway.loggers import requests
from gateway.loggers.requests import HistoryRequest, Overtime, ask_history, find_request
from schemas.hj212 import Message, encode_packet
from schemas.times import now_millis, to_millis
from tests.gateway.commands import quiet, refused, taipu, taipu_json
from tests.gateway.hands import stored
from tests.gateway.loggers import MN, Logger, Running, eventually, heartbeat, listening, packet, register
from tests.world import Node

HASTE = Overtime(answer=0.3, repeats=3, silence=0.8)
FROM, TO = to_millis("2026-11-20T10:00:00+08:00"), to_millis("2026-11-20T10:30:00+08:00")


@pytest.fixture
def running(wujiang: Node) -> Iterator[Running]:
    register(wujiang)
    with listening(wujiang, overtime=HASTE) as started:
        yield started


@pytest.fixture
def logger(running: Running) -> Iterator[Logger]:
    """A logger that has said that it is there."""
    with connected(running) as one:
        yield one


def connected(running: Running) -> Logger:
    one = Logger(running.port)
    one.send(packet(900))
    one.hear("9014")  # a request may come before it
    return one


def ask(node: Node, mn: str = MN) -> int:
    return ask_history(node.gateway, mn, "minute", FROM, TO, now=now_millis())


def request(node: Node, number: int) -> HistoryRequest:
    with node.gateway.database.read() as session:
        return find_request(session, number)


def becomes(node: Node, number: int, state: str) -> HistoryRequest:
    eventually(lambda: request(node, number).state == state)
    return request(node, number)


def reply(asked: Message, cn: str, code: int) -> bytes:
    """What a field unit says of a request: 9011 or 9012."""
    name = "QnRtn" if cn == "9011" else "ExeRtn"
    return encode_packet(
        Message(cn=cn, qn=asked.qn, st="91", pw=asked.pw, mn=asked.mn, flag=4, fields={name: str(code)})
    )


def test_a_request_goes_out_is_answered_brings_data_and_is_done(wujiang: Node, logger: Logger) -> None:
    number = ask(wujiang)
    (asked,) = logger.heard()
    assert (asked.cn, asked.mn, asked.st, asked.flag, asked.pw) == ("2051", MN, "21", 5, "123456")
    assert asked.fields == {"BeginTime": "20261120100000", "EndTime": "20261120103000"}
    logger.send(reply(asked, "9011", 1))
    assert becomes(wujiang, number, "answered").detail == "ready to execute"
    logger.send(*(packet(minute, late=7_000) for minute in range(31)))
    assert {one.cn for one in logger.heard(31)} == {"9014"}
    logger.send(reply(asked, "9012", 1))
    found = becomes(wujiang, number, "done")
    assert (found.packets, found.detail) == (31, "done")
    assert len(stored(wujiang)) == 31 + 1


def test_the_devices_own_password_goes_with_the_request(wujiang: Node) -> None:
    register(wujiang, more="password: s3cret")
    with listening(wujiang) as running, Logger(running.port) as logger:
        logger.send(packet(pw="s3cret"))
        logger.heard()
        ask(wujiang)
        assert logger.heard()[0].pw == "s3cret"


@pytest.mark.parametrize(
    ("cn", "code", "state", "detail"),
    [
        pytest.param("9011", 2, "refused", "refused", id="it will not"),
        pytest.param("9011", 3, "refused", "wrong password (PW)", id="it does not know us"),
        pytest.param("9012", 5, "refused", "failed: the unit is busy", id="it cannot"),
        pytest.param("9012", 100, "done", "the logger has no data of this span", id="it has nothing"),
        pytest.param("9012", 1, "done", "done", id="it was done before it said that it would begin"),
    ],
)
def test_what_the_logger_says_ends_the_request(
    wujiang: Node, logger: Logger, cn: str, code: int, state: str, detail: str
) -> None:
    number = ask(wujiang)
    logger.send(reply(logger.heard()[0], cn, code))
    assert becomes(wujiang, number, state).detail == detail


def test_an_answer_to_another_request_changes_nothing(wujiang: Node, logger: Logger) -> None:
    number = ask(wujiang)
    (asked,) = logger.heard()
    other = Message(cn="2051", qn="20200101000000000", pw="123456", mn=MN)
    logger.send(reply(other, "9011", 2), reply(other, "9012", 1), reply(asked, "9011", 1))
    assert becomes(wujiang, number, "answered").packets == 0


def test_without_an_answer_the_same_packet_is_sent_three_times_and_then_given_up(wujiang: Node, logger: Logger) -> None:
    number = ask(wujiang)
    begun = time.monotonic()
    first, *more = logger.heard(3)
    assert 0.5 < time.monotonic() - begun < 2
    assert [one.qn for one in more] == [first.qn] * 2
    assert becomes(wujiang, number, "timed-out").detail == "no answer to 3 requests"
    assert logger.hears_nothing()


def test_a_logger_that_falls_silent_in_between_is_not_waited_for_for_ever(wujiang: Node, logger: Logger) -> None:
    number = ask(wujiang)
    (asked,) = logger.heard()
    logger.send(reply(asked, "9011", 1), packet(0), packet(1))
    logger.heard(2)
    found = becomes(wujiang, number, "timed-out")
    assert found.detail == "the logger fell silent after 2 packets, before it said that it was done"


def test_data_that_come_without_9011_show_that_it_began(wujiang: Node, logger: Logger) -> None:
    number = ask(wujiang)
    logger.heard()
    logger.send(packet(3))
    assert becomes(wujiang, number, "answered").packets == 1


def test_what_is_outside_the_span_or_of_another_sort_is_not_counted(wujiang: Node, logger: Logger) -> None:
    number = ask(wujiang)
    (asked,) = logger.heard()
    logger.send(reply(asked, "9011", 1), packet(31), packet(1, cn="2061"), packet(30))
    logger.heard(3)
    logger.send(reply(asked, "9012", 1))
    assert becomes(wujiang, number, "done").packets == 1


def test_a_request_waits_until_its_logger_connects(wujiang: Node, running: Running) -> None:
    number = ask(wujiang)
    time.sleep(0.3)
    assert request(wujiang, number).state == "waiting"
    with connected(running) as logger:
        logger.send(reply(logger.heard()[0], "9012", 1))
        becomes(wujiang, number, "done")


def test_a_heartbeat_alone_is_enough_to_be_asked(wujiang: Node, running: Running) -> None:
    number = ask(wujiang)
    with Logger(running.port) as logger:
        logger.send(heartbeat())
        logger.send(reply(logger.hear("2051"), "9012", 1))
        becomes(wujiang, number, "done")


def test_a_logger_whose_connection_ends_is_asked_anew_when_it_is_back(wujiang: Node, running: Running) -> None:
    number = ask(wujiang)
    with connected(running) as logger:
        logger.send(reply(logger.heard()[0], "9011", 1))
        becomes(wujiang, number, "answered")
    becomes(wujiang, number, "waiting")
    with connected(running) as logger:
        (asked,) = logger.heard()
        logger.send(reply(asked, "9012", 1))
        assert becomes(wujiang, number, "done").tries == 2


def test_a_logger_that_breaks_off_every_time_is_not_asked_for_ever(
    wujiang: Node, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_TRIES", 2)
    number = ask(wujiang)
    for state in ("waiting", "timed-out"):
        with connected(running) as logger:
            logger.heard()
        becomes(wujiang, number, state)


def test_a_request_survives_a_restart_of_the_listener(wujiang: Node) -> None:
    register(wujiang)
    number = ask(wujiang)
    with listening(wujiang) as running, connected(running) as logger:
        logger.send(reply(logger.heard()[0], "9011", 1))
        becomes(wujiang, number, "answered")
    with listening(wujiang) as running:
        assert request(wujiang, number).state == "waiting"
        with connected(running) as logger:
            logger.send(reply(logger.heard()[0], "9012", 1))
            becomes(wujiang, number, "done")


def test_the_newest_connection_of_a_device_is_asked(wujiang: Node, running: Running, logger: Logger) -> None:
    with Logger(running.port) as newer:
        newer.send(packet(901))
        newer.hear("9014")
        number = ask(wujiang)
        (asked,) = newer.heard()
        newer.send(reply(asked, "9012", 1))
        becomes(wujiang, number, "done")
    assert logger.hears_nothing() or logger.is_closed()


def test_one_logger_is_asked_one_thing_after_the_other(wujiang: Node, logger: Logger) -> None:
    numbers = [ask(wujiang), ask(wujiang)]
    (first,) = logger.heard()
    logger.send(reply(first, "9011", 1))
    becomes(wujiang, numbers[0], "answered")
    assert request(wujiang, numbers[1]).state == "waiting"
    logger.send(reply(first, "9012", 1))
    (second,) = logger.heard()
    assert second.qn > first.qn
    logger.send(reply(second, "9012", 1))
    becomes(wujiang, numbers[1], "done")


def test_the_command_waits_and_says_what_came(wujiang: Node, logger: Logger) -> None:
    home = wujiang.gateway.settings.home

    def play() -> None:
        (asked,) = logger.heard()
        logger.send(reply(asked, "9011", 1), packet(0), packet(1))
        logger.heard(2)
        logger.send(reply(asked, "9012", 1))

    playing = threading.Thread(target=play)
    playing.start()
    span = ("--from", "2026-11-20T10:00", "--to", "2026-11-20T10:30", "--data", "minute", "--home", home)
    with quiet():
        done = taipu("hj212", "request", MN, *span)
        playing.join()
        assert (done.exit_code, done.stdout) == (0, f"request 1 to {MN}: done, 2 packets came: done\n")
        assert taipu("hj212", "request", MN, *span, "--wait", "0").exit_code == 3
        found = taipu_json("hj212", "request", MN, *span, "--no-wait")
        assert (found["state"], found["begin"], found["command"]) == ("waiting", "2026-11-20T10:00:00+08:00", "2051")
        listed = taipu_json("hj212", "requests", "--home", home)
        assert ([one["id"] for one in listed], listed[2]["state"]) == ([3, 2, 1], "done")
        assert MN in taipu("hj212", "requests", "--home", home).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        pytest.param(("NOBODY", "--from", "2026-11-20", "--to", "2026-11-21"), "device.unknown", 1, id="nobody"),
        pytest.param((MN, "--from", "soon", "--to", "2026-11-21"), "input.needed", 2, id="no time"),
        pytest.param((MN, "--from", "0001-01-01", "--to", "2026-11-21"), "record.time-invalid", 1, id="too long ago"),
        pytest.param((MN, "--from", "2026-11-22", "--to", "2026-11-21"), "input.needed", 2, id="backwards"),
        pytest.param(
            (MN, "--from", "2026-11-20", "--to", "2026-11-21", "--data", "year"), "input.needed", 2, id="no such data"
        ),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    wujiang: Node, arguments: tuple[str, ...], code: str, exit_code: int
) -> None:
    register(wujiang)
    refused(taipu("hj212", "request", *arguments, "--home", wujiang.gateway.settings.home), code, exit_code)


def test_days_begin_at_midnight_in_beijing(wujiang: Node) -> None:
    register(wujiang)
    home = wujiang.gateway.settings.home
    found = taipu_json(
        "hj212", "request", MN, "--from", "2026-11-20", "--to", "2026-11-21", "--no-wait", "--home", home
    )
    assert (found["begin"], found["end"]) == ("2026-11-20T00:00:00+08:00", "2026-11-21T00:00:00+08:00")

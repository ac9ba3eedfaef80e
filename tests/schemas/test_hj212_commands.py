"""Commands and answers: who is answered with what, and every one of them is a packet that reads back as itself."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from schemas.hj212 import (
    HISTORIES,
    Frame,
    Message,
    Outcome,
    answer,
    encode_packet,
    is_heartbeat,
    outcome,
    parse_message,
    request_history,
    request_number,
    split_packets,
)

MN = "010000A8900016F000169DC0"
QN = "20260701100000123"
BEGIN = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
END = datetime(2026, 7, 1, 15, 0, tzinfo=UTC)


def received(cn: str, flag: int | None = 5, **members: object) -> Message:
    return Message(cn=cn, qn=QN, st="21", pw="123456", mn=MN, flag=flag, **members)  # type: ignore[arg-type]


def segment(message: Message) -> str:
    """The data segment as it is sent; it has been read back and found to be the same message."""
    (frame,) = split_packets(encode_packet(message))
    assert isinstance(frame, Frame)
    assert msgspec.structs.replace(parse_message(frame), deviations=()) == message
    return frame.segment.decode()


@pytest.mark.parametrize(
    ("cn", "answered_by"),
    [
        *((cn, "9014") for cn in ("2011", "2013", "2021", "2031", "2041", "2051", "2052", "2061", "2062", "2081")),
        *((cn, "9014") for cn in ("2111", "3019", "3020")),
        *((cn, "9013") for cn in ("9015", "1013", "9021", "2012", "2022")),
    ],
)
def test_data_are_answered_as_data_and_notices_as_notices(cn: str, answered_by: str):
    sent = answer(received(cn))
    assert sent is not None
    assert segment(sent) == f"QN={QN};ST=91;CN={answered_by};PW=123456;MN={MN};Flag=4;CP=&&&&"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(received("2011", 4), id="2017 that wants none"),
        pytest.param(received("2011", 8), id="2025 that wants none"),
        pytest.param(received("2011", 6), id="parts, and no answer wanted"),
        pytest.param(received("2011", None), id="no flag at all"),
        *(pytest.param(received(cn), id=f"an answer, {cn}") for cn in ("9011", "9012", "9013", "9014")),
    ],
)
def test_nobody_is_answered_who_did_not_ask(message: Message):
    assert answer(message) is None
    assert answer(message, cn="9011", code=4) is None


@pytest.mark.parametrize(("flag", "edition"), [(1, 0), (3, 0), (5, 4), (7, 4), (9, 8), (11, 8)])
def test_an_answer_bears_the_edition_of_what_it_answers_and_asks_for_nothing(flag: int, edition: int):
    sent = answer(received("2051", flag, pnum=2, pno=1))
    assert sent is not None
    assert (sent.flag, sent.pnum, sent.pno, sent.wants_answer) == (edition, None, None, False)


def test_the_edition_of_2005_names_the_answered_message_in_the_data_area():
    sent, refused = answer(received("2061", 1)), answer(received("2061", 1), cn="9011", code=3)
    assert sent is not None
    assert refused is not None
    assert segment(sent) == f"ST=91;CN=9014;PW=123456;MN={MN};Flag=0;CP=&&QN={QN}&&"
    assert segment(refused) == f"ST=91;CN=9011;PW=123456;MN={MN};Flag=0;CP=&&QN={QN};QnRtn=3&&"


def test_a_request_number_that_would_be_no_value_stays_in_the_header():
    sent = answer(msgspec.structs.replace(received("2061", 1), qn="2026,07"))
    assert sent is not None
    assert segment(sent) == f"QN=2026,07;ST=91;CN=9014;PW=123456;MN={MN};Flag=0;CP=&&&&"


def test_a_packet_without_a_request_number_is_answered_without_one():
    sent = answer(Message(cn="2011", st="21", pw="1", mn="A1", flag=5))
    assert sent is not None
    assert segment(sent) == "ST=91;CN=9014;PW=1;MN=A1;Flag=4;CP=&&&&"


def test_a_refusal_says_why():
    sent = answer(received("2011", 9), cn="9011", code=4)
    assert sent is not None
    assert segment(sent).endswith(f"CN=9011;PW=123456;MN={MN};Flag=8;CP=&&QnRtn=4&&")
    assert outcome(sent) == Outcome("request", QN, 4, "wrong device identifier (MN)")


@pytest.mark.parametrize(("cn", "code"), [("9014", 1), (None, 1), ("9011", None), ("9012", None)])
def test_a_code_and_the_command_that_carries_it_go_together(cn: str | None, code: int | None):
    with pytest.raises(RuntimeError):
        answer(received("2011"), cn=cn, code=code)


@pytest.mark.parametrize("cn", HISTORIES)
def test_history_is_asked_for_in_beijing_time(cn: str):
    message = request_history(MN, "21", "123456", cn, BEGIN, END, qn=QN, version=1)
    assert segment(message) == (
        f"QN={QN};ST=21;CN={cn};PW=123456;MN={MN};Flag=5;CP=&&BeginTime=20260701000000;EndTime=20260701230000&&"
    )


@pytest.mark.parametrize(("version", "flag", "span"), [(0, 1, ","), (1, 5, ";"), (2, 9, ";")])
def test_each_edition_writes_a_request_in_its_own_way(version: int, flag: int, span: str):
    message = request_history(MN, "21", "1", "2061", BEGIN, END, qn=QN, version=version)
    assert f"Flag={flag};CP=&&BeginTime=20260701000000{span}EndTime=20260701230000&&" in segment(message)


@pytest.mark.parametrize(
    ("cn", "begin", "end", "version"),
    [
        pytest.param("2011", BEGIN, END, 1, id="a command without history"),
        pytest.param("2061", END, BEGIN, 1, id="the end before the beginning"),
        pytest.param("2061", BEGIN.replace(tzinfo=None), END.replace(tzinfo=None), 1, id="times of no zone"),
        pytest.param("2061", BEGIN, END, 3, id="an edition that does not exist"),
    ],
)
def test_a_request_that_means_nothing_is_our_own_mistake(cn: str, begin: datetime, end: datetime, version: int):
    with pytest.raises(RuntimeError):
        request_history(MN, "21", "1", cn, begin, end, qn=QN, version=version)


@pytest.mark.parametrize(
    ("cn", "fields", "step", "code", "good"),
    [
        pytest.param("9011", {"QnRtn": "1"}, "request", 1, True, id="ready"),
        pytest.param("9011", {"QnRtn": "2"}, "request", 2, False, id="refused"),
        pytest.param("9011", {"QnRtn": "100"}, "request", 100, False, id="unknown fault"),
        pytest.param("9012", {"ExeRtn": "1"}, "result", 1, True, id="done"),
        pytest.param("9012", {"ExeRtn": "5"}, "result", 5, False, id="busy"),
        pytest.param("9012", {"ExeRtn": "100"}, "result", 100, True, id="no data"),
        pytest.param("9012", {"ExeRtn": "77"}, "result", 77, False, id="a code that does not exist"),
        pytest.param("9012", {"ExeRtn": "²"}, "result", None, False, id="a code that is no number"),
        pytest.param("9011", {}, "request", None, False, id="no code"),
    ],
)
def test_what_a_unit_says_of_a_request_is_read(
    cn: str, fields: dict[str, str], step: str, code: int | None, *, good: bool
):
    said = outcome(received(cn, 4, fields=fields))
    assert said is not None
    assert (said.step, said.qn, said.code, said.good) == (step, QN, code, good)
    assert said.text


def test_the_edition_of_2005_gives_the_request_number_among_the_data():
    said = outcome(Message(cn="9012", st="91", mn=MN, fields={"QN": QN, "ExeRtn": "1"}))
    assert said == Outcome("result", QN, 1, "done")


def test_other_messages_say_nothing_of_a_request():
    assert [outcome(received(cn)) for cn in ("2011", "9013", "9014")] == [None, None, None]


def test_a_heartbeat_is_told_from_data():
    assert [is_heartbeat(received(cn)) for cn in ("9015", "2011")] == [True, False]


def test_request_numbers_never_repeat_even_when_the_clock_does():
    instant = datetime(2026, 12, 31, 15, 59, 59, 999_000, tzinfo=UTC)
    first = request_number(instant)
    assert first == "20261231235959999"
    assert request_number(instant, after=first) == "20270101000000000"
    assert request_number(instant.replace(year=2025), after=first) == "20270101000000000"
    assert request_number(instant.replace(year=2028), after=first) == "20281231235959999"

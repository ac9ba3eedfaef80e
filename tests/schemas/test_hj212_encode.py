"""Writing packets: what is written reads back as itself, and what would not is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.devices import Device
from schemas.errors import PacketError
from schemas.hj212 import Frame, Message, encode_packet, measurement, parse_message, to_observations
from schemas.hj212.frame import frames

MN = "010000A8900016F000169DC0"
AT = datetime(2026, 7, 1, 2, 0, 0, tzinfo=UTC)
SENT = datetime(2026, 7, 1, 2, 0, 1, 123_000, tzinfo=UTC)


def decode(data: bytes) -> Message:
    (frame,) = frames(data)
    assert isinstance(frame, Frame)
    return parse_message(frame)


def test_the_official_example_is_written_byte_for_byte():
    message = Message(
        qn="20160801085857223", st="32", cn="1062", pw="100000", mn=MN, flag=5, fields={"RtdInterval": "30"}
    )
    assert encode_packet(message) == (
        b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;"
        b"CP=&&RtdInterval=30&&1C80\r\n"
    )


@pytest.mark.parametrize(
    ("cn", "attributes", "stats"),
    [
        ("2011", {"Rtd": "0.10", "Flag": "N"}, ["inst"]),
        (
            "2051",
            {"Min": "0.1", "Avg": "0.10", "Max": "0.2", "Cou": "5.00", "Flag": "N"},
            ["min", "avg", "max", "total"],
        ),
        ("2061", {"Avg": "0.10", "ZsAvg": "0.12", "Flag": "T"}, ["avg", "zs-avg"]),
        ("2031", {"Avg": "0.10", "Flag": "N"}, ["avg"]),
    ],
)
def test_a_station_can_write_its_measurements(cn: str, attributes: dict[str, str], stats: list[str]):
    message = decode(encode_packet(measurement(cn, MN, AT, {"w20004": attributes}, sent=SENT)))
    assert message.deviations == ()
    observations, _ = to_observations(message)
    assert [value.stat for value in observations] == stats
    assert {value.at for value in observations} == {"2026-07-01T10:00:00+08:00"}
    assert {value.sent for value in observations} == {"2026-07-01T10:00:01.123+08:00"}


def test_an_answer_is_a_message_as_well():
    upload = decode(encode_packet(measurement("2011", MN, AT, {"w20004": {"Rtd": "1"}}, sent=SENT)))
    answer = Message(qn=upload.qn, st="91", cn="9014", pw=upload.pw, mn=upload.mn, flag=4)
    assert b";CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&" in encode_packet(answer)


def test_parts_and_resending_are_written_in_the_standards_order():
    message = Message(qn="20260701100000123", st="21", cn="2011", pw="1", mn=MN, flag=11, pnum=2, pno=1, resent=True)
    assert b";Flag=11;PNUM=2;PNO=1;RF=1;CP=&&&&" in encode_packet(message)
    assert decode(encode_packet(message)) == message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"items": {"a1": {"Rtd": "1;a2-Rtd=5"}}}, "packet.malformed", id="a value that writes an item"),
        pytest.param({"items": {"a1": {"Rtd": "1,a1-Flag=N"}}}, "packet.malformed", id="a value that writes a flag"),
        pytest.param({"mn": "X;Flag=9"}, "packet.malformed", id="an MN that writes a flag"),
        pytest.param({"pw": "1;CP=&&"}, "packet.malformed", id="a password that writes data"),
        pytest.param({"items": {"a1": {"Info": "\r\n"}}}, "packet.malformed", id="a line end"),
        pytest.param({"items": {"a1": {"Info": "\ud800"}}}, "packet.malformed", id="half a character"),
        pytest.param({"items": {"a1": {}}}, "packet.malformed", id="a factor with nothing to say"),
        pytest.param({"cn": "x"}, "packet.malformed", id="no command"),
        pytest.param({"flag": 300}, "packet.malformed", id="a flag of two bytes"),
        pytest.param({"items": {"a1": {"Info": "x" * 1_000}}}, "packet.too-large", id="more than the standard allows"),
    ],
)
def test_a_message_that_would_not_read_back_as_itself_is_refused(changes: dict[str, object], code: str):
    members: dict[str, object] = {"qn": "20260701100000123", "st": "21", "cn": "2011", "mn": MN, "flag": 5}
    with pytest.raises(PacketError) as caught:
        encode_packet(Message(**(members | changes)))  # type: ignore[arg-type]
    assert caught.value.code == code


_CODE = st.from_regex(r"[a-z][0-9]{2,5}", fullmatch=True)
_VALUE = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters=";,& ="), max_size=8),
)
_NAMES = ["Rtd", "Avg", "Min", "Max", "Cou", "ZsRtd", "ZsAvg", "ZsMin", "ZsMax", "Flag", "EFlag", "SampleTime", "Info"]
_ATTRIBUTES = st.dictionaries(st.sampled_from(_NAMES), _VALUE, min_size=1, max_size=8)
_INFORMATION = st.dictionaries(st.from_regex(r"i[0-9]{5}-Info", fullmatch=True), _VALUE, min_size=1, max_size=3)
_MESSAGES = st.builds(
    Message,
    qn=st.from_regex(r"[0-9]{17}", fullmatch=True),
    st=st.from_regex(r"[0-9A-Z]{2}", fullmatch=True),
    cn=st.from_regex(r"[0-9]{4}", fullmatch=True),
    pw=st.from_regex(r"[0-9a-zA-Z]{6}", fullmatch=True),
    mn=st.from_regex(r"[0-9A-F]{24}", fullmatch=True),
    flag=st.integers(0, 255),
    pnum=st.none() | st.integers(1, 9_999),
    pno=st.none() | st.integers(1, 9_999),
    resent=st.booleans(),
    data_time=st.just("") | st.from_regex(r"[0-9]{14}", fullmatch=True),
    items=st.dictionaries(_CODE, _ATTRIBUTES | _INFORMATION, max_size=4),
    fields=st.dictionaries(st.sampled_from(["SystemTime", "QnRtn", "RtdInterval"]), _VALUE, max_size=2),
)


@settings(deadline=None, max_examples=150)
@given(_MESSAGES)
def test_what_is_written_reads_back_as_itself(message: Message):
    assert decode(encode_packet(message)) == message


@settings(deadline=None, max_examples=150)
@given(_MESSAGES, st.binary(min_size=16, max_size=16))
def test_what_is_written_in_cipher_reads_back_as_itself(message: Message, key: bytes):
    devices = {message.mn: Device(mn=message.mn, site="S1", profile="hj212-2025", key=key.hex())}
    packet = encode_packet(message, key=key.hex())
    (frame,) = frames(packet, devices)
    assert isinstance(frame, Frame)
    assert parse_message(frame, devices) == message
    assert frame.opened == (packet != encode_packet(message))

"""Data segments: found by name, every deviation noted, every contradiction refused or marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.devices import Device
from schemas.errors import PacketError
from schemas.hj212 import Frame, Message, parse_message, problems

MN = "010000A8900016F000169DC0"
HEAD = f"QN=20260701100000123;ST=21;CN=2011;PW=123456;MN={MN};Flag=5;"
AREA = "DataTime=20260701100000;w20004-Rtd=0.0021,w20004-Flag=N"


def read(
    head: str = HEAD, area: str = AREA, encoding: str = "utf-8", devices: dict[str, Device] | None = None
) -> Message:
    return parse_message(Frame(f"{head}CP=&&{area}&&".encode(encoding)), devices or {})


def deviations(message: Message) -> list[str]:
    return [note.code for note in message.deviations]


def test_a_standard_packet_is_read_without_deviations():
    assert read() == Message(
        qn="20260701100000123",
        st="21",
        cn="2011",
        pw="123456",
        mn=MN,
        flag=5,
        data_time="20260701100000",
        items={"w20004": {"Rtd": "0.0021", "Flag": "N"}},
    )


def test_a_message_keeps_the_place_of_its_packet():
    message = parse_message(Frame(f"{HEAD}CP=&&&&".encode(), number=7, offset=812))
    assert (message.number, message.offset) == (7, 812)


def test_items_keep_the_packets_order_and_values_their_text():
    message = read(area="b2-Avg=0.10,b2-Min=-0,b2-Max=1.50;a1-Avg=,a1-Flag=D")
    assert list(message.items) == ["b2", "a1"]
    assert message.items["b2"] == {"Avg": "0.10", "Min": "-0", "Max": "1.50"}
    assert message.items["a1"] == {"Avg": "", "Flag": "D"}


def test_attributes_of_one_factor_may_come_in_items_of_their_own():
    assert read(area="w20004-Rtd=1;w20004-Flag=N").items == {"w20004": {"Rtd": "1", "Flag": "N"}}


@pytest.mark.parametrize(
    ("flag", "version", "wants_answer"),
    [("0", 0, False), ("3", 0, True), ("4", 1, False), ("5", 1, True), ("8", 2, False), ("9", 2, True)],
)
def test_the_flag_names_the_edition_and_whether_an_answer_is_wanted(flag: str, version: int, wants_answer: bool):
    message = read(HEAD.replace("Flag=5", f"Flag={flag}"))
    assert (message.version, message.wants_answer) == (version, wants_answer)


def test_a_packet_without_a_flag_has_no_edition_and_wants_no_answer():
    message = read(HEAD.replace("Flag=5;", ""))
    assert (message.flag, message.version, message.wants_answer) == (None, None, False)


def test_parts_and_resending_are_read_from_the_header():
    message = read(HEAD + "PNUM=0003;PNO=0002;RF=1;")
    assert (message.pnum, message.pno, message.resent) == (3, 2, True)
    assert message.deviations == ()


def test_information_items_are_kept_under_the_factor_they_inform_about():
    message = read(area="PolId=w01019,i12001-Info=0,i12002-Info=1;PolId=w21001,i12001-Info=2")
    assert message.items == {
        "w01019": {"i12001-Info": "0", "i12002-Info": "1"},
        "w21001": {"i12001-Info": "2"},
    }


def test_what_is_not_about_a_factor_is_a_field():
    assert read(area="PolId=w01018;SystemTime=20160801085857").fields == {
        "PolId": "w01018",
        "SystemTime": "20160801085857",
    }


@pytest.mark.parametrize(
    ("head", "area", "expected"),
    [
        pytest.param(HEAD.replace(MN, "A110000_0001"), AREA, ["packet.mn-nonstandard"], id="MN of another form"),
        pytest.param(HEAD.replace(MN, ""), AREA, ["packet.mn-missing"], id="empty MN"),
        pytest.param(HEAD.replace(f"MN={MN};", ""), AREA, ["packet.mn-missing"], id="no MN"),
        pytest.param(HEAD.replace("QN=20260701100000123;", ""), AREA, ["packet.qn-missing"], id="no QN"),
        pytest.param(HEAD.replace("20260701100000123", "1617936069734"), AREA, ["packet.qn-malformed"], id="QN of 13"),
        pytest.param("ST=21;" + HEAD.replace("ST=21;", ""), AREA, ["packet.field-order"], id="ST first"),
        pytest.param(HEAD.replace("ST=21;", ""), AREA, ["packet.st-missing"], id="no ST"),
        pytest.param(HEAD.replace("Flag=5;", ""), AREA, ["packet.flag-missing"], id="no Flag"),
        pytest.param(HEAD.replace("Flag", "FLAG"), AREA, ["packet.field-name"], id="Flag in capitals"),
        pytest.param(HEAD.replace(";MN", ";,MN"), AREA, ["packet.field-name"], id="a comma before MN"),
        pytest.param(HEAD + "XX=1;", AREA, ["packet.field-unknown"], id="a field nobody knows"),
        pytest.param(HEAD + "junk;", AREA, ["packet.field-unknown"], id="a field without a value"),
        pytest.param(
            HEAD.replace("Flag=5", "Flag=256"),
            AREA,
            ["packet.number-malformed", "packet.flag-missing"],
            id="Flag of 256",
        ),
        pytest.param(HEAD + "PNUM=x;", AREA, ["packet.number-malformed"], id="PNUM that is no number"),
        pytest.param(HEAD + "RF=0;", AREA, ["packet.rf-malformed"], id="RF of 0"),
        pytest.param(HEAD, AREA + ";", ["packet.item-empty"], id="a trailing semicolon"),
        pytest.param(HEAD, AREA + ";junk", ["packet.item-malformed"], id="an item without a value"),
        pytest.param(HEAD, AREA + ";-Rtd=1", ["packet.item-malformed"], id="an attribute of nothing"),
        pytest.param(HEAD, f" {AREA.replace(',', ' , ')}", ["packet.blank"], id="blanks"),
        pytest.param(
            HEAD, AREA.replace("100000;", "100000000;"), ["packet.data-time-millis"], id="DataTime of 17 digits"
        ),
        pytest.param(HEAD, AREA + ";w20004-Rtd=0.1", ["packet.value-ambiguous"], id="two values for one attribute"),
        pytest.param(HEAD, AREA + ";w20004-Rtd=0.0021", [], id="one value twice"),
        pytest.param(HEAD, AREA + ";X=1;X=2", ["packet.field-repeated"], id="two values for one field"),
    ],
)
def test_what_deviates_is_understood_and_noted(head: str, area: str, expected: list[str]):
    message = read(head, area)
    assert deviations(message) == expected
    assert message.items["w20004"]["Rtd"] == "0.0021"
    assert message.items["w20004"]["Flag"] == "N"


def test_blanks_around_values_are_taken_off():
    assert read(area="a1-Rtd = 1 ; a1-Info=two words").items == {"a1": {"Rtd": "1", "Info": "two words"}}


@pytest.mark.parametrize(
    ("segment", "code"),
    [
        pytest.param(b"", "packet.malformed", id="nothing"),
        pytest.param(HEAD.encode() + b"CP=&&" + AREA.encode(), "packet.malformed", id="no closing mark"),
        pytest.param(HEAD.encode() + AREA.encode() + b"&&", "packet.malformed", id="no CP"),
        pytest.param(b"ST=21;CP=&&&&", "packet.malformed", id="no CN"),
        pytest.param(b"CN=20x1;CP=&&&&", "packet.malformed", id="CN that is no number"),
        pytest.param("CN=２０１１;CP=&&&&".encode(), "packet.encoding-wrong", id="header that is not ASCII"),
        pytest.param(b"CN=2011;MN=A;MN=B;CP=&&&&", "packet.malformed", id="two MN"),
        pytest.param(b"CN=2011;MN=" + b"A" * 65 + b";CP=&&&&", "packet.malformed", id="an endless MN"),
        pytest.param(b"CN=2011;CP=&&a1-Rtd=1\x00&&", "packet.malformed", id="a NUL"),
        pytest.param(b"CN=2011;CP=&&a1-Info=\xd0\xc5&&", "packet.encoding-wrong", id="GBK that nobody registered"),
        pytest.param(
            b"CN=2011;CP=&&" + b";".join(b"x%d" % n for n in range(200)) + b"&&", "packet.malformed", id="junk"
        ),
        pytest.param(b"CN=2011;CP=&&DataTime=1;DataTime=2&&", "packet.malformed", id="two DataTime"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(segment: bytes, code: str):
    with pytest.raises(PacketError) as caught:
        parse_message(Frame(segment, number=3, offset=99))
    assert caught.value.code == code
    assert caught.value.extra == {"packet": 3, "offset": 99}


def test_chinese_text_is_utf_8():
    assert read(area="a1-Info=正常").items["a1"]["Info"] == "正常"


def test_a_device_registered_as_sending_gbk_is_read_as_gbk_and_that_is_noted():
    devices = {MN: Device(mn=MN, site="S1", profile="hj212-2017", encoding="gbk")}
    message = read(area="a1-Info=正常", encoding="gbk", devices=devices)
    assert message.items["a1"]["Info"] == "正常"
    assert deviations(message) == ["packet.encoding"]


def test_a_device_registered_as_sending_gbk_may_have_come_to_send_utf_8_and_that_is_noted():
    devices = {MN: Device(mn=MN, site="S1", profile="hj212-2017", encoding="gbk")}
    message = read(area="a1-Info=正常运", devices=devices)
    assert message.items["a1"]["Info"] == "正常运"
    assert deviations(message) == ["packet.encoding"]
    assert deviations(read(devices=devices)) == [], "ASCII is the same in both"


def test_the_registration_of_another_device_does_not_change_the_encoding():
    devices = {"X": Device(mn="X", site="S1", profile="hj212-2017", encoding="gbk")}
    with pytest.raises(PacketError) as caught:
        read(area="a1-Info=正常", encoding="gbk", devices=devices)
    assert caught.value.code == "packet.encoding-wrong"


def test_a_header_in_the_standards_order_reads_as_it_does_field_by_field():
    """The standard's header takes a shorter way; another field behind it makes the reader go the long one."""
    short, long = read(), read(HEAD + "PNUM=1;PNO=1;")
    assert (long.qn, long.st, long.cn, long.pw, long.mn, long.flag) == (
        short.qn,
        short.st,
        short.cn,
        short.pw,
        short.mn,
        short.flag,
    )
    assert long.deviations == short.deviations == ()


_PIECES = ["w1-Rtd=1", "w1-Flag=N", "w2-Rtd=2", "DataTime=3", "PolId=w1", "A=", "=", "-x=1", "w-=1", "x", ""]
_AREAS = st.lists(st.sampled_from(_PIECES) | st.sampled_from(";,") | st.text("=,;-aB1", max_size=6), min_size=1).map(
    "".join
)


@settings(deadline=None, max_examples=300)
@given(_AREAS.filter(bool) | st.lists(st.sampled_from(_PIECES[:6]), min_size=1, unique=True).map(";".join))
def test_an_area_of_known_names_reads_as_it_does_pair_by_pair(area: str):
    """Names that are remembered take a shorter way; one more that is no name makes the reader go the long one."""
    try:
        long = read(area=f"!;{area}")
    except PacketError:
        with pytest.raises(PacketError):
            read(area=area)
        return
    short = read(area=area)
    assert (short.items, short.fields, short.data_time) == (long.items, long.fields, long.data_time)
    assert short.deviations == tuple(note for note in long.deviations if note.attribute != "!")


def test_every_code_of_the_codec_is_explained_in_one_place():
    pattern = re.compile(r"packet\.[a-z0-9-]+")
    sources = [path for path in Path(problems.__file__).parent.glob("*.py") if path.name != "problems.py"]
    used = {code for path in sources for code in pattern.findall(path.read_text(encoding="utf-8"))}
    assert used == set(pattern.findall(problems.__doc__ or ""))

"""Messages of several packets: each of ours stands by itself; those that others cut in the middle become one again."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import PacketError
from schemas.hj212 import (
    NOTED,
    Damage,
    Frame,
    Framer,
    Joiner,
    Message,
    crc16,
    encode_packet,
    measurement,
    parse_message,
    split_message,
    split_packets,
    to_observations,
)
from schemas.hj212.parts import MAX_CUTS, MAX_HELD

MN = "010000A8900016F000169DC0"
AT = datetime(2026, 7, 1, 2, 0, 0, tzinfo=UTC)
SENT = datetime(2026, 12, 31, 15, 59, 59, 999_000, tzinfo=UTC)
AREA = b"DataTime=20260701100000;w20004-Avg=12.5,w20004-Flag=N;w01001-Avg=7.30,w01001-Flag=N"


def part(area: bytes, number: int, of: int = 2, *, cn: str = "2051", mn: str = MN, head: str = "") -> bytes:
    counts = f"PNUM={of};PNO={number};"
    segment = f"QN=2026070110000000{number};ST=21;CN={cn};PW=123456;MN={mn};Flag=7;{head or counts}CP=&&".encode()
    segment += area + b"&&"
    return b"##%04d%b%04X\r\n" % (len(segment), segment, crc16(segment))


def codes(data: bytes) -> list[str]:
    return [found.code if isinstance(found, Damage) else "frame" for found in split_packets(data)]


def items(data: bytes) -> list[dict[str, dict[str, str]]]:
    return [parse_message(found).items for found in split_packets(data) if isinstance(found, Frame)]


def long_message(factors: int = 40, **members: object) -> Message:
    values = {f"w{20000 + number}": {"Avg": f"{number}.10", "Flag": "N"} for number in range(factors)}
    message = measurement("2051", MN, AT, values, sent=SENT, flag=9)
    return msgspec.structs.replace(message, **members)


def test_a_message_that_fits_is_not_split():
    message = long_message(3)
    assert split_message(message) == [message]


def test_a_longer_message_goes_in_parts_that_stand_by_themselves():
    message = long_message(resent=True)
    parts = split_message(message)
    assert len(parts) == 2
    assert [(one.pnum, one.pno, one.flag, one.resent) for one in parts] == [(2, 1, 11, True), (2, 2, 11, True)]
    assert [one.qn for one in parts] == ["20261231235959999", "20270101000000000"]
    assert {one.data_time for one in parts} == {message.data_time}
    assert parts[0].items | parts[1].items == message.items
    values, whole = [to_observations(one)[0] for one in parts], to_observations(message)[0]
    assert [value.value for part in values for value in part] == [value.value for value in whole]
    for one in parts:
        assert len(encode_packet(one)) <= 1_024 + 12


def test_other_fields_go_with_the_first_part():
    first, *others = split_message(long_message(fields={"SystemTime": "20260701100000"}))
    assert first.fields == {"SystemTime": "20260701100000"}
    assert all(other.fields == {} for other in others)


def test_what_fits_into_no_packet_is_refused_when_it_is_written():
    huge = long_message(1, items={"a1": {"Info": "x" * 1_200}, "a2": {"Rtd": "1"}})
    first, second = split_message(huge)
    assert encode_packet(second)
    with pytest.raises(PacketError) as caught:
        encode_packet(first)
    assert caught.value.code == "packet.too-large"


@pytest.mark.parametrize("qn", ["x", "20261331235959999", "99991231235959999", "２０２６１２３１２３５９５９９９９"])
def test_without_a_time_in_the_request_number_there_is_no_next_one(qn: str):
    with pytest.raises(PacketError) as caught:
        split_message(long_message(qn=qn))
    assert caught.value.code == "packet.malformed"


def test_parts_of_a_message_without_a_request_number_have_none():
    assert {one.qn for one in split_message(long_message(qn=""))} == {""}


@pytest.mark.parametrize("at", range(len(b"DataTime=20260701100000;"), len(AREA)))
def test_a_data_area_cut_anywhere_is_whole_again(at: int):
    (frame,) = split_packets(part(AREA[:at], 1) + part(AREA[at:], 2))
    assert isinstance(frame, Frame)
    message = parse_message(frame)
    assert message.items == {"w20004": {"Avg": "12.5", "Flag": "N"}, "w01001": {"Avg": "7.30", "Flag": "N"}}
    assert (message.pnum, message.pno, message.qn) == (None, None, "20260701100000001")
    assert [note.code for note in message.deviations] == ["packet.parts-joined"]
    assert codes(frame.packet) == ["frame"], "what is kept reads again"


def test_a_separator_that_got_lost_between_whole_items_is_put_back():
    before, after = AREA.split(b";w01001", 1)
    assert items(part(before, 1) + part(b"w01001" + after, 2)) == [
        {"w20004": {"Avg": "12.5", "Flag": "N"}, "w01001": {"Avg": "7.30", "Flag": "N"}}
    ]


def test_three_parts_and_counts_in_another_order_are_joined():
    data = b"".join(
        part(AREA[start : start + 30], number, head=f"PNO=000{number};PNUM=0003;")
        for number, start in ((1, 0), (2, 30), (3, 60))
    )
    assert items(data)[0]["w01001"] == {"Avg": "7.30", "Flag": "N"}
    assert len(items(data)) == 1


def test_parts_that_stand_by_themselves_are_not_joined_and_keep_their_order():
    first, second = AREA[:53], b"DataTime=20260701100000;w01001-Avg=7.30"
    other = part(AREA, 1, 1, mn="B1")
    found = list(split_packets(part(first, 1) + other + part(second, 2) + other))
    assert [item.number for item in found] == [1, 2, 3, 4]
    assert [list(one) for one in items(part(first, 1) + part(second, 2))] == [["w20004"], ["w01001"]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(part(AREA[40:], 2), ["packet.part-missing"], id="no beginning"),
        pytest.param(part(AREA[:40], 1, 3) + part(AREA[60:], 3, 3), ["frame", "packet.part-missing"], id="no middle"),
        pytest.param(
            part(AREA[:40], 1, 3) + part(AREA[40:60], 2, 3), ["packet.part-missing"], id="no end, after a cut"
        ),
        pytest.param(
            part(AREA[:40], 1) + part(AREA[40:], 2, mn="B1"), ["frame", "packet.part-missing"], id="another device"
        ),
        pytest.param(
            part(AREA[:40], 1) + part(AREA[40:], 2, cn="2061"), ["frame", "packet.part-missing"], id="another command"
        ),
        pytest.param(part(b"PolId=1", 2, cn="3020"), ["frame"], id="a command that has no DataTime"),
        pytest.param(part(AREA, 3, 2), ["frame"], id="more parts than there are"),
    ],
)
def test_parts_without_their_neighbours_are_named(data: bytes, expected: list[str]):
    assert codes(data) == expected


def test_half_a_value_is_left_out_where_its_other_half_is_missing():
    (frame,) = split_packets(part(AREA[: AREA.index(b"2.5,")], 1))  # w20004-Avg=1
    assert isinstance(frame, Frame)
    message = parse_message(frame)
    assert message.items == {}
    assert [note.code for note in message.deviations] == ["packet.part-open"]
    assert "w20004-Avg" in message.deviations[0].text
    _, findings = to_observations(message)
    assert [(one.code, one.factor, one.attribute) for one in findings if one.code not in NOTED] == [
        ("packet.part-open", "w20004", "Avg")
    ]


def test_a_receiver_that_joins_nothing_refuses_what_begins_in_the_middle():
    _, second = Framer().feed(part(AREA[:40], 1) + part(AREA[40:], 2))
    assert isinstance(second, Frame)
    with pytest.raises(PacketError) as caught:
        to_observations(parse_message(second))
    assert caught.value.code == "packet.part-missing"


def test_a_first_part_alone_is_whole_when_a_flag_closes_it():
    (message,) = items(part(AREA, 1))
    assert list(message) == ["w20004", "w01001"]


def test_a_part_sent_again_does_not_become_a_part_of_itself():
    again = part(AREA[:40], 1)
    assert codes(again + again + part(AREA[40:], 2)) == ["frame", "frame"]


def test_a_cut_part_sent_again_is_joined_once():
    first, second, third = part(AREA[:30], 1, 3), part(AREA[30:60], 2, 3), part(AREA[60:], 3, 3)
    assert items(first + second + second + third) == items(first + second + third)
    assert codes(first + second + second + third) == ["frame"]


def test_what_waits_for_a_part_is_bounded():
    other = part(AREA, 1, 1, mn="B1")
    joiner, (open_part,) = Joiner(), split_packets(part(AREA[:40], 1, head="PNUM=2;PNO=9;"))
    first = msgspec.structs.replace(open_part, segment=open_part.segment.replace(b"PNO=9", b"PNO=1"))
    (behind,) = split_packets(other)
    found = [len(joiner.add(item)) for item in [first, *[behind] * MAX_HELD]]
    assert found == [0] * MAX_HELD + [MAX_HELD + 1]
    assert joiner.finish() == []


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [(MAX_CUTS, ["frame"]), (MAX_CUTS + 1, ["packet.too-large", "packet.part-missing"])],
)
def test_a_message_is_cut_into_only_so_many_parts(cuts: int, expected: list[str]):
    pieces = [AREA[:40], *[b"x" * 900] * (cuts - 2), b",w1-Flag=N"]
    assert codes(b"".join(part(piece, number, cuts) for number, piece in enumerate(pieces, 1))) == expected


_VALUES = st.dictionaries(
    st.from_regex(r"[aw][0-9]{5}", fullmatch=True),
    st.fixed_dictionaries({"Avg": st.decimals(0, 9_999, places=3).map(str), "Flag": st.sampled_from("NDT")}),
    min_size=1,
    max_size=80,
)


@settings(deadline=None, max_examples=60)
@given(_VALUES, st.booleans(), st.sampled_from(["", "30" * 16]))
def test_what_is_split_and_written_reads_back_as_the_whole(values: dict[str, dict[str, str]], resent: bool, key: str):
    from schemas.devices import Device

    message = long_message(items=values, resent=resent)
    data = b"".join(encode_packet(one, key=key) for one in split_message(message))
    devices = {MN: Device(mn=MN, site="S1", profile="hj212-2025", key=key)}
    read = [parse_message(found, devices) for found in split_packets(data, devices) if isinstance(found, Frame)]
    assert {code: found for one in read for code, found in one.items.items()} == values
    assert all((one.data_time, one.resent, one.deviations) == (message.data_time, resent, ()) for one in read)


@settings(deadline=None, max_examples=100)
@given(st.sets(st.integers(24, len(AREA) - 1), min_size=1, max_size=5))
def test_any_cuts_give_the_whole_again(cuts: set[int]):
    edges = [0, *sorted(cuts), len(AREA)]
    count = len(edges) - 1
    data = b"".join(part(AREA[edges[n] : edges[n + 1]], n + 1, count) for n in range(count))
    assert items(data) == [{"w20004": {"Avg": "12.5", "Flag": "N"}, "w01001": {"Avg": "7.30", "Flag": "N"}}]

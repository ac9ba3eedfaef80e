"""Encrypted packets: the standard's own examples in both directions, and never a value out of the wrong key."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.devices import Device
from schemas.hj212 import Damage, Frame, Framer, crc16, encode_packet, parse_message, split_packets
from schemas.hj212.frame import frames
from schemas.hj212.sm4 import is_secret, seal, unseal

KEY, OTHER = "30" * 16, "0123456789abcdeffedcba9876543210"
MN = "010000A8900016F000169DC0"
HEAD = f"QN=20260701100000123;ST=31;CN=2051;PW=123456;MN={MN};Flag=9;"
AREA = "DataTime=20260701100000;a01011-Min=1.35,a01011-Avg=1.36,a01011-Flag=N"
SEGMENT = f"{HEAD}CP=&&{AREA}&&".encode()


def device(key: str = KEY, **members: Any) -> dict[str, Device]:
    return {MN: Device(mn=MN, site="S1", profile="hj212-2025", key=key, **members)}


def sent(segment: bytes, key: str = KEY) -> bytes:
    """The packet of a plain segment, enciphered."""
    return b"##%04d%b%04X\r\n" % (len(segment), seal(segment, key), crc16(segment))


def printed(area: bytes) -> bytes:
    blocks = len(area) // 16 * 16
    return b"{" + b",".join(b"0x%02X" % byte for byte in area[:blocks]) + b"}" + area[blocks:]


@pytest.fixture(scope="module")
def vectors(shared: Path) -> list[dict[str, Any]]:
    return json.loads((shared / "testdata" / "sm4_vectors.json").read_text("utf-8"))


def wire(vector: dict[str, Any]) -> bytes:
    """An example as the standard has it sent: the length of the binary bytes, and these."""
    head, _, _ = vector["plain_packet"].partition("CP=&&")
    return head.encode() + b"CP=&&" + bytes.fromhex(vector["cipher"]) + f"{vector['tail']}&&{vector['crc']}".encode()


def test_the_standards_examples_are_opened(vectors: list[dict[str, Any]]):
    for vector in vectors:
        (frame,) = split_packets(wire(vector), device(vector["key_hex"]))
        assert isinstance(frame, Frame)
        assert frame.segment.decode() == vector["plain_packet"][6:-4]
        assert frame.opened
        assert frame.packet == wire(vector)
        assert parse_message(frame).deviations == ()


def test_the_standards_examples_are_written_byte_for_byte(vectors: list[dict[str, Any]]):
    for vector in vectors:
        (frame,) = split_packets(vector["plain_packet"].encode())
        assert isinstance(frame, Frame)
        assert encode_packet(parse_message(frame), key=vector["key_hex"]) == wire(vector) + b"\r\n"


def test_the_standards_examples_are_read_as_they_are_printed(vectors: list[dict[str, Any]]):
    for vector in vectors:
        head, _, _ = vector["plain_packet"].partition("CP=&&")
        area = printed(bytes.fromhex(vector["cipher"]) + vector["tail"].encode())
        data = head.encode() + b"CP=&&" + area + f"&&{vector['crc']}".encode()
        first, second = split_packets(data + b"\r\n" + data, device(vector["key_hex"]))
        assert isinstance(first, Frame)
        assert isinstance(second, Frame)
        assert first.segment.decode() == vector["plain_packet"][6:-4]
        assert [note.code for note in first.deviations] == ["packet.cipher-printed"]
        assert (first.packet, second.segment, second.offset) == (data, first.segment, len(data) + 2)


def test_a_printed_packet_that_counts_what_it_sends_is_read_as_well():
    head, _, _ = SEGMENT.partition(b"CP=&&")
    area = head + b"CP=&&" + printed(seal(SEGMENT, KEY)[len(head) + 5 : -2]) + b"&&"
    (frame,) = split_packets(b"##%04d%b%04X" % (len(area), area, crc16(SEGMENT)), device())
    assert isinstance(frame, Frame)
    assert (frame.segment, frame.opened) == (SEGMENT, True)


@pytest.mark.parametrize(
    ("cn", "secret"),
    [
        *((cn, True) for cn in ("2011", "2051", "2999", "3020", "1014")),
        *((cn, False) for cn in ("9014", "9015", "1011", "3019", "2")),
    ],
)
def test_what_is_encrypted_is_the_standards_choice(cn: str, *, secret: bool):
    assert is_secret(cn) == secret


def test_an_answer_is_never_encrypted():
    segment = f"QN=20260701100000123;ST=91;CN=9011;MN={MN};Flag=8;CP=&&QnRtn=1;SystemTime=20260701100000&&"
    message = parse_message(Frame(segment.encode()))
    assert encode_packet(message, key=KEY) == encode_packet(message)


@pytest.mark.parametrize(
    ("devices", "code"),
    [
        pytest.param({}, "packet.key-missing", id="nobody registered it"),
        pytest.param(device(""), "packet.key-missing", id="registered without a key"),
        pytest.param(device(OTHER), "packet.key-wrong", id="another key"),
    ],
)
def test_without_the_right_key_there_is_no_frame_and_what_came_can_be_kept(devices: dict[str, Device], code: str):
    (damage,) = split_packets(sent(SEGMENT), devices)
    assert isinstance(damage, Damage)
    assert (damage.code, damage.mn, damage.packet + b"\r\n") == (code, MN, sent(SEGMENT))
    (frame,) = split_packets(damage.packet, device())
    assert isinstance(frame, Frame)
    assert frame.segment == SEGMENT


def test_the_wrong_key_gives_nothing_even_where_the_check_sum_happens_to_fit():
    """One wrong key in 256 passes the check sum; the opened area must read as one too."""
    passed = 0
    for number in range(3_000):
        wrong = f"{number:032x}"
        if crc16(unseal(seal(SEGMENT, KEY), wrong)) == crc16(SEGMENT):
            passed += 1
        assert all(isinstance(found, Damage) for found in split_packets(sent(SEGMENT), device(wrong)))
    assert passed > 3, "the check sum alone would have let some through"


def test_no_packet_is_lost_because_its_ciphertext_happens_to_fit_the_check_sum():
    happened = 0
    for number in range(3_000):
        segment = SEGMENT.replace(b"1.35", b"%04d" % number)
        happened += crc16(seal(segment, KEY)) == crc16(segment)
        (frame,) = split_packets(sent(segment), device())
        assert isinstance(frame, Frame)
        assert frame.segment == segment
    assert happened > 3


def test_a_device_with_a_key_may_send_in_clear_and_that_is_noted():
    (frame,) = split_packets(b"##%04d%b%04X" % (len(SEGMENT), SEGMENT, crc16(SEGMENT)), device())
    assert isinstance(frame, Frame)
    message = parse_message(frame, device())
    assert [note.code for note in message.deviations] == ["packet.unencrypted"]
    assert message.items["a01011"]["Avg"] == "1.36"


def test_a_plain_packet_that_is_damaged_is_not_called_encrypted():
    broken = SEGMENT.replace(b"1.36", b"1.3\xb6")
    for devices in ({}, device()):
        (damage,) = split_packets(b"##%04d%b%04X" % (len(broken), broken, crc16(SEGMENT)), devices)
        assert isinstance(damage, Damage)
        assert damage.code == "packet.crc-wrong"


def test_gbk_under_encryption_is_gbk():
    segment = f"{HEAD}CP=&&DataTime=20260701100000;a1-Rtd=1,a1-Info=正常运行中&&".encode("gbk")
    devices = device(encoding="gbk")
    (frame,) = split_packets(sent(segment), devices)
    assert isinstance(frame, Frame)
    message = parse_message(frame, devices)
    assert message.items["a1"]["Info"] == "正常运行中"
    assert [note.code for note in message.deviations] == ["packet.encoding"]


def test_a_lower_case_check_sum_is_noted_under_encryption_too():
    data = sent(SEGMENT)
    (frame,) = split_packets(data[:-6] + data[-6:].lower(), device())
    assert isinstance(frame, Frame)
    assert [note.code for note in frame.deviations] == ["packet.crc-lower-case"]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80), st.binary(min_size=16, max_size=16))
def test_sealing_and_unsealing_are_inverse_and_keep_the_length(area: bytes, key: bytes):
    segment = HEAD.encode() + b"CP=&&" + area + b"&&"
    sealed = seal(segment, key.hex())
    assert unseal(sealed, key.hex()) == segment
    assert len(sealed) == len(segment)
    blocks = len(area) // 16 * 16
    assert sealed[len(HEAD) + 5 + blocks :] == area[blocks:] + b"&&", "the tail stays in clear"


_AREA = seal(SEGMENT, KEY)[len(HEAD) + 5 : -2]
_PACKETS = st.sampled_from(
    [
        sent(SEGMENT),
        sent(SEGMENT, OTHER),
        sent(SEGMENT)[:-1],
        sent(SEGMENT)[:60],
        sent(SEGMENT)[: len(HEAD) + 11] + printed(_AREA) + b"&&%04X" % crc16(SEGMENT),
        SEGMENT,
        b"##0150",
        b"&&{0xE4,",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(_PACKETS, max_size=5).map(b"".join), st.lists(st.integers(min_value=0), max_size=12))
def test_what_is_opened_does_not_depend_on_how_the_stream_was_cut(data: bytes, cuts: list[int]):
    framer = Framer(device())
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found = [item for start, end in pairwise(edges) for item in framer.feed(data[start:end])]
    assert [*found, *framer.finish()] == list(frames(data, device()))

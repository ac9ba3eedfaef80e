"""Framing: every packet is found however the stream is cut, and every broken one is named with its place."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.hj212 import MAX_SEGMENT, Damage, Frame, Framer, crc16, split_packets

SEGMENT = b"QN=20260701100000123;ST=21;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&%b&&"
SHORT = SEGMENT % b"DataTime=20260701100000;w20004-Rtd=0.0021,w20004-Flag=N"
OTHER = SEGMENT % b"DataTime=20260701100100;w20004-Rtd=0.0022,w20004-Flag=N"

LETTERS = (
    b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"  # 1C80
)


def packet(segment: bytes, *, declared: int | None = None, crc: bytes | None = None, end: bytes = b"\r\n") -> bytes:
    length = len(segment) if declared is None else declared
    return b"##%04d%b%b%b" % (length, segment, crc or b"%04X" % crc16(segment), end)


def codes(found: list[Frame | Damage]) -> list[str]:
    return [item.code if isinstance(item, Damage) else "frame" for item in found]


def in_pieces(data: bytes, cuts: list[int]) -> list[Frame | Damage]:
    framer = Framer()
    found: list[Frame | Damage] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        found += framer.feed(data[start:end])
    return [*found, *framer.finish()]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"", b"\\r\\n", b"  \r\n\r\n"])
def test_packets_are_found_whatever_stands_between_them(end: bytes):
    found = list(split_packets(packet(SHORT, end=end) + packet(OTHER, end=end)))
    assert [item.segment for item in found if isinstance(item, Frame)] == [SHORT, OTHER]
    assert len(found) == 2


def test_a_byte_order_mark_before_the_first_packet_is_no_damage():
    assert codes(list(split_packets(b"\xef\xbb\xbf" + packet(SHORT)))) == ["frame"]


def test_a_frame_says_where_it_was():
    first, second = split_packets(packet(SHORT) + packet(OTHER))
    assert (first.number, first.offset) == (1, 0)
    assert (second.number, second.offset) == (2, len(packet(SHORT)))


def test_half_a_packet_waits_for_its_rest_and_comes_out_as_soon_as_it_is_whole():
    framer, data = Framer(), packet(SHORT, end=b"")
    assert list(framer.feed(data[:-1])) == []
    assert codes(list(framer.feed(data[-1:]))) == ["frame"]


def test_two_packets_in_one_read_come_out_of_one_read():
    framer = Framer()
    assert codes(list(framer.feed(packet(SHORT) + packet(OTHER)))) == ["frame", "frame"]


def test_packets_come_out_even_when_nobody_looks_at_them():
    framer = Framer()
    framer.feed(packet(SHORT))
    assert [item.number for item in framer.feed(packet(OTHER))] == [2]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(packet(SHORT, crc=b"0000"), "packet.crc-wrong", id="another check sum"),
        pytest.param(
            packet(SHORT[:-3] + b"M&&", crc=b"%04X" % crc16(SHORT)), "packet.crc-wrong", id="one byte changed"
        ),
        pytest.param(packet(SHORT, declared=len(SHORT) - 3), "packet.length-wrong", id="length three too small"),
        pytest.param(packet(SHORT, declared=len(SHORT) + 3), "packet.length-wrong", id="length three too large"),
        pytest.param(packet(SHORT, declared=900), "packet.length-wrong", id="length far too large"),
        pytest.param(packet(SHORT)[:-8], "packet.truncated", id="the end is missing"),
        pytest.param(b"##01", "packet.truncated", id="only the beginning of a header"),
        pytest.param(packet(SHORT, declared=MAX_SEGMENT + 1), "packet.too-large", id="length above the cap"),
        pytest.param(b"hello, world", "packet.no-header", id="something else altogether"),
        pytest.param(b"##ABCD" + SHORT, "packet.no-header", id="a length that is no number"),
        pytest.param(b"#", "packet.no-header", id="half a mark"),
    ],
)
def test_damage_is_named_by_what_is_wrong_and_the_next_packet_is_found(data: bytes, code: str):
    assert codes(list(split_packets(data)))[0] == code
    found = list(split_packets(data + packet(OTHER)))
    assert codes(found)[0].startswith("packet.")
    assert isinstance(found[-1], Frame)
    assert found[-1].segment == OTHER


def test_a_check_sum_with_its_bytes_swapped_is_explained():
    swapped = b"%04X" % int.from_bytes(crc16(SHORT).to_bytes(2, "big"), "little")
    (damage,) = split_packets(packet(SHORT, crc=swapped))
    assert isinstance(damage, Damage)
    assert "swapped" in damage.detail


def test_an_error_says_which_packet_and_which_byte():
    data = packet(SHORT) + packet(OTHER, crc=b"0000")
    damage = list(split_packets(data))[1]
    assert isinstance(damage, Damage)
    error = damage.error()
    assert error.code == "packet.crc-wrong"
    assert error.extra == {"packet": 2, "offset": len(packet(SHORT))}
    assert error.pointers == (f"packet 2, byte {len(packet(SHORT))}",)


@pytest.mark.parametrize(
    ("data", "deviation"),
    [
        pytest.param(
            packet(LETTERS, crc=b"%04x" % crc16(LETTERS)), "packet.crc-lower-case", id="check sum in lower case"
        ),
        pytest.param(packet(SEGMENT % (b"x=" + b"1" * 1_600)), "packet.over-1024", id="a long segment"),
        pytest.param(packet(SEGMENT % b"").replace(b"##0", b"##"), "packet.length-digits", id="three digits of length"),
    ],
)
def test_what_only_deviates_is_accepted_and_noted(data: bytes, deviation: str):
    (frame,) = split_packets(data)
    assert isinstance(frame, Frame)
    assert [note.code for note in frame.deviations] == [deviation]


def test_the_longest_segment_is_read_and_one_byte_more_is_not():
    body = b"x=" + b"1" * (MAX_SEGMENT - len(SEGMENT % b"x="))
    assert codes(list(split_packets(packet(SEGMENT % body)))) == ["frame"]
    assert codes(list(split_packets(packet(SEGMENT % (body + b"1")))))[0] == "packet.too-large"


def test_a_stream_of_rubbish_is_reported_once_and_never_piles_up():
    framer = Framer()
    found = [item for _ in range(1_000) for item in framer.feed(b"abc\r\n#" * 100)]
    assert codes(found) == ["packet.no-header"]
    assert codes(list(framer.feed(packet(SHORT)))) == ["frame"]


def test_a_length_that_never_fills_holds_back_no_more_than_one_packet():
    """A hostile or broken header makes the reader wait; every later packet must come out within one packet's bytes."""
    framer = Framer()
    found = list(framer.feed(b"##%04d" % MAX_SEGMENT))
    for _ in range(2 * MAX_SEGMENT // len(packet(SHORT))):
        found += framer.feed(packet(SHORT))
    assert codes(found)[0] == "packet.length-wrong"
    assert len(found) > MAX_SEGMENT // len(packet(SHORT))
    assert set(codes(found)[1:]) == {"frame"}


_PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                packet(SHORT),
                packet(OTHER, end=b""),
                packet(OTHER, end=b"\\r\\n"),
                packet(SHORT, crc=b"FFFF"),
                packet(SHORT, declared=len(SHORT) + 5),
                packet(SHORT, declared=9_999),
                packet(SHORT)[:50],
                b"###",
                b"##12",
                b"\\",
            ]
        ),
        st.binary(max_size=20),
    ),
    max_size=8,
).map(b"".join)


@settings(deadline=None, max_examples=200)
@given(_PIECES, st.lists(st.integers(min_value=0), max_size=12))
def test_what_is_found_does_not_depend_on_how_the_stream_was_cut(data: bytes, cuts: list[int]):
    assert in_pieces(data, cuts) == list(split_packets(data))


@settings(deadline=None, max_examples=30)
@given(_PIECES)
def test_a_stream_read_byte_by_byte_gives_the_same(data: bytes):
    assert in_pieces(data, list(range(len(data)))) == list(split_packets(data))


@settings(deadline=None)
@given(st.lists(st.sampled_from([SHORT, OTHER, SEGMENT % b""]), max_size=6), st.lists(st.integers(min_value=0)))
def test_whole_packets_all_come_out_in_order_and_nothing_else(segments: list[bytes], cuts: list[int]):
    found = in_pieces(b"".join(packet(segment) for segment in segments), cuts)
    assert [item.segment for item in found if isinstance(item, Frame)] == segments
    assert [item.number for item in found] == list(range(1, len(segments) + 1))


def test_a_long_text_is_read_in_pieces_and_keeps_its_offsets():
    data = packet(SHORT) * 1_000
    found = list(split_packets(data))
    assert [item.offset for item in found] == list(range(0, len(data), len(packet(SHORT))))

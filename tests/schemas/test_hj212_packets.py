"""The codec against packets from the field: every good one is understood, every bad one is named for what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import PacketError
from schemas.hj212 import Damage, Frame, Message, parse_message, split_packets, to_observations

FILE = Path(__file__).resolve().parents[2].parent / "shared" / "testdata" / "hj212_packets.jsonl"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the packets from the field are not part of the project")

MEASUREMENTS = {"2011", "2051", "2061", "2031"}
DEVIATIONS = {
    "lower-case CRC": {"packet.crc-lower-case"},
    "no QN first": {"packet.qn-missing", "packet.field-order"},
    "no header Flag": {"packet.flag-missing", "packet.field-name"},
    "MN not 24 hex chars": {"packet.mn-nonstandard", "packet.mn-missing"},
    "trailing ; before closing &&": {"packet.item-empty"},
    "data segment over 1024": {"packet.over-1024"},
}


def rows(*, good: bool) -> list[dict[str, Any]]:
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    return [row for row in map(json.loads, lines) if (row["crc_ok"] and row["len_ok"]) == good]


def read(row: dict[str, Any]) -> Message:
    (frame,) = split_packets(row["packet"].encode())
    assert isinstance(frame, Frame)
    return parse_message(frame)


def test_the_collection_is_whole():
    assert (len(rows(good=True)), len(rows(good=False))) == (76, 14)


def test_every_good_packet_is_understood():
    for row in rows(good=True):
        message = read(row)
        assert (message.st, message.cn) == (row["st"], row["cn"])
        if row["flag"]:
            assert str(message.flag) == row["flag"]


def test_every_deviation_that_was_seen_by_hand_is_noted():
    for row in rows(good=True):
        noted = {note.code for note in read(row).deviations}
        for text in row["notes"]:
            if text in DEVIATIONS:
                assert noted & DEVIATIONS[text], (text, row["packet"])


def test_every_measurement_gives_all_its_values():
    for row in rows(good=True):
        message = read(row)
        if message.cn not in MEASUREMENTS or not message.mn:
            continue
        observations, findings = to_observations(message)
        sent = [name for item in message.items.values() for name in item if name != "Flag"]
        refused = [found for found in findings if found.code != "packet.period-assumed"]
        assert len(observations) + len(refused) == len(sent)
        assert [found.attribute for found in refused] in ([], ["td"])  # one packet misspells Rtd


def test_the_one_measurement_without_an_mn_is_refused():
    (row,) = [row for row in rows(good=True) if not read(row).mn]
    with pytest.raises(PacketError) as caught:
        to_observations(read(row))
    assert caught.value.code == "packet.mn-invalid"


def test_every_bad_packet_is_named_for_its_length_or_its_check_sum():
    for row in rows(good=False):
        (damage,) = split_packets(row["packet"].encode())
        assert isinstance(damage, Damage)
        if row["len_declared"] == 9_999:
            assert damage.code == "packet.too-large"
        else:
            assert damage.code == ("packet.crc-wrong" if row["len_ok"] else "packet.length-wrong"), row["packet"]


@pytest.mark.parametrize("end", [b"\r\n", b"", b"\n"])
def test_all_packets_in_one_stream_lose_no_good_one(end: bytes):
    every = rows(good=True) + rows(good=False)
    every = [row for pair in zip(every[::2], every[1::2], strict=True) for row in reversed(pair)]
    found = list(split_packets(b"".join(row["packet"].encode() + end for row in every)))
    segments = [item.segment for item in found if isinstance(item, Frame)]
    assert segments == [row["packet"].encode()[6:-4] for row in every if row["crc_ok"] and row["len_ok"]]
    assert len(found) - len(segments) == 14

"""Cases of hostile HJ 212 streams: whatever comes, packets or damage come out of it, and nothing else happens.

`check` is what must hold for any bytes. `Bender` makes streams of the protocol's own pieces, bent, with a length and a
check sum that fit more often than not; `one_input` gives the bytes of a coverage-guided fuzzer such a frame.
"""

from __future__ import annotations

import contextlib
import random

import msgspec

from schemas.devices import Device, DeviceFactor
from schemas.errors import PacketError
from schemas.hj212 import (
    Damage,
    Frame,
    Framer,
    Message,
    answer,
    crc16,
    encode_packet,
    outcome,
    parse_message,
    split_message,
    split_packets,
    to_observations,
)
from schemas.hj212.frame import frames
from schemas.hj212.sm4 import seal
from schemas.records import check_record

KEY, OTHER = "30" * 16, "0f" * 16
MNS = ("010000A8900016F000169DC0", "A110000_0001", "88888880000137", "X")
_FACTORS = {
    "w20004": DeviceFactor("w20004", "mg/L"),
    "011": DeviceFactor("w01018", "mg/L", "end"),
    "a34004": DeviceFactor("a34004", "ug/m3"),
}
DEVICES = {
    MNS[0]: Device(mn=MNS[0], site="S1", profile="hj212-2025", key=KEY, minute="PT1M", factors=_FACTORS),
    MNS[1]: Device(mn=MNS[1], site="S2", profile="surface-water", encoding="gbk", factors=_FACTORS),
    MNS[2]: Device(mn=MNS[2], site="S3", profile="hj212-2017", encoding="gbk", key=OTHER, label="end"),
}


def check(data: bytes, cuts: list[int]) -> None:
    """Everything the codec does with a stream. Raises AssertionError, or what should never be raised."""
    for devices in ({}, DEVICES):
        whole = list(frames(data, devices))
        assert _in_pieces(data, cuts, devices) == whole, "what is found depends on how the stream was cut"
        assert [item.number for item in whole] == list(range(1, len(whole) + 1))
        offsets = [item.offset for item in whole]
        assert offsets == sorted(set(offsets))
        for item in whole:
            if isinstance(item, Frame):
                assert data.startswith(item.packet, item.offset)
        for item in [*whole, *(item for item in split_packets(data, devices) if item not in whole)]:
            with contextlib.suppress(PacketError):
                _take(item, devices)


def _take(item: Frame | Damage, devices: dict[str, Device]) -> None:
    if isinstance(item, Damage):
        raise item.error()
    message = parse_message(item, devices)
    _answer(message)
    with contextlib.suppress(PacketError):
        for part in split_message(message):
            assert _again(encode_packet(part)) == _content(part)
    for record in to_observations(message, devices.get(message.mn))[0]:
        if record.unit is not None:
            check_record(record)  # what a registered device sends is a record, or was left out by name


def _answer(message: Message) -> None:
    """Whatever was understood can be answered, or needs no answer."""
    said, reply = outcome(message), answer(message)
    assert said is None or said.text
    if reply:
        try:
            sent = encode_packet(reply)
        except PacketError as error:
            raise AssertionError("an answer cannot be sent") from error
        assert _again(sent) == _content(reply)


def _in_pieces(data: bytes, cuts: list[int], devices: dict[str, Device]) -> list[Frame | Damage]:
    framer = Framer(devices)
    found: list[Frame | Damage] = []
    start = 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        found += framer.feed(data[start:end])
        start = end
    return [*found, *framer.finish()]


def _again(packet: bytes) -> Message:
    (frame,) = frames(packet)
    assert isinstance(frame, Frame)
    return _content(parse_message(frame))


def _content(message: Message) -> Message:
    return msgspec.structs.replace(message, deviations=(), number=1, offset=0)


class Bender:
    """Streams made of the protocol's pieces, each bent a little; all of it from one seed."""

    _HEADER = (
        ("QN=20260701100000123", "QN=1617936069734"),
        ("ST=21", "ST=91"),
        ("PW=123456",),
        ("PNUM=2", "PNUM=3"),
        ("PNO=1", "PNO=2", "PNO=3"),
        ("RF=1", "RF=0"),
    )
    _CNS = ("2011", "2051", "2061", "2031", "3020", "9011", "9012", "9014", "9015", "1014")
    _NAMES = ("w20004", "011", "a34004", "LA", "PolId", "锑", "")
    _ATTRIBUTES = ("Rtd", "Avg", "Min", "Max", "Cou", "ZsRtd", "ZsAvg", "Flag", "EFlag", "SampleTime", "Info", "td")
    _VALUES = ("0.10", "-0.5", "12", "3.50", "", "N", "N", "T", "1e9", "20260701100000", "20260701093000", " 1 ")
    _ODD_VALUES = ("正常", "=", "&&", "\x00", "７", "\x1f", "##0012")
    _TIMES = ("20260701100000", "20260701100000123", "00010101000000", "99991231235959", "20260230000000", "x", "")
    _LIKELY_TIMES = (*_TIMES[:1] * 6, *_TIMES)
    _MARKS = (b"&&", b";", b"=", b",", b"##", b"CP=&&", b"PNUM=3;PNO=2;", b"{0x", b"-", b"\xff")
    _BETWEEN = (b"\r\n", b"", b"\n", b"\\r\\n", b"##", b"#", b"\xef\xbb\xbf", b"##01", b"junk##0012")

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def stream(self) -> tuple[bytes, list[int]]:
        """A stream of up to four packets, and where to cut it."""
        rand = self._random
        made = [self._packet() if rand.random() < 0.9 else self._cut() for _ in range(rand.randint(1, 4))]
        data = b"".join(one + rand.choice(self._BETWEEN) for one in made)
        if rand.random() < 0.3:
            data = self._bent(data)
        return data, [rand.randrange(len(data) + 1) for _ in range(rand.choice((0, 1, 3, 9)))]

    def inputs(self) -> list[bytes]:
        """What a coverage-guided fuzzer begins with: one case of each mode of `one_input`."""
        bare = self.stream()[0], *(self.segment().encode() for _ in range(3))
        return [bytes((mode, 40, 200)) + data for mode, data in enumerate(bare)]

    def words(self) -> list[str]:
        """What a coverage-guided fuzzer may put together."""
        pairs = [f"-{attribute}=" for attribute in self._ATTRIBUTES]
        heads = [f"CN={cn};" for cn in self._CNS] + [f"MN={mn};" for mn in MNS]
        heads += [f"{field};" for group in self._HEADER for field in group]
        others = ("DataTime=", "Flag=9;", "CP=&&", "{0xE4,", "##0100")
        return [*pairs, *heads, *self._TIMES[:-1], *self._NAMES[:4], *others]

    def _packet(self) -> bytes:
        rand = self._random
        segment = self.segment().encode(rand.choice(("utf-8", "utf-8", "gbk")), "replace")
        if rand.random() < 0.3:
            segment = self._bent(segment)
        sent = segment
        if rand.random() < 0.3:
            sent = seal(segment, rand.choice((KEY, OTHER)))
            if rand.random() < 0.2:
                sent = self._printed(sent)
        length = len(segment if rand.random() < 0.5 else sent) + (0 if rand.random() < 0.9 else rand.randint(-9, 9))
        crc = b"%04X" % (crc16(segment) if rand.random() < 0.95 else rand.randrange(65_536))
        digits = b"%04d" if rand.random() < 0.9 else b"%03d"
        return b"##" + digits % max(length, 0) + sent + (crc if rand.random() < 0.9 else crc.lower())

    def _cut(self) -> bytes:
        """A message whose data area was cut into parts anywhere; now and then one of them is missing."""
        rand = self._random
        area = f"DataTime={self._TIMES[0]};{';'.join(self._item() for _ in range(4))}".encode()
        edges = [0, *sorted(rand.randrange(20, len(area)) for _ in range(rand.randint(1, 3))), len(area)]
        parts = []
        for number in range(1, len(edges)):
            head = f"QN=20260701100000123;ST=21;CN=2061;MN={MNS[3]};Flag=7;PNUM={len(edges) - 1};PNO={number};CP=&&"
            segment = head.encode() + area[edges[number - 1] : edges[number]] + b"&&"
            parts.append(b"##%04d%b%04X" % (len(segment), segment, crc16(segment)))
        return b"".join(part for part in parts if rand.random() < 0.9)

    def segment(self) -> str:
        """A data segment, every part of it one that a device has sent or might send."""
        rand = self._random
        flag = f"Flag={rand.choice((0, 1, 3, 4, 5, 7, 8, 9, 11, 255, 300))}"
        header = [f"CN={rand.choice(self._CNS)}", f"MN={rand.choice(MNS)}", flag]
        header += [rand.choice(group) for group in self._HEADER if rand.random() < 0.4]
        if rand.random() < 0.3:
            rand.shuffle(header)
        area = [f"DataTime={rand.choice(self._LIKELY_TIMES)}"] if rand.random() < 0.8 else []
        area += [self._item() for _ in range(rand.choice((0, 1, 2, 5, 40)))]
        return f"{';'.join(header)};CP=&&{';'.join(area)}&&"

    def _item(self) -> str:
        rand = self._random
        if rand.random() < 0.1:
            return f"{rand.choice(('QnRtn', 'ExeRtn', 'QN', 'SystemTime', 'PolId'))}={rand.choice(self._VALUES)}"
        name = rand.choice(self._NAMES)
        count = rand.randint(1, 3)
        values = self._VALUES if rand.random() < 0.96 else self._ODD_VALUES
        return ",".join(f"{name}-{rand.choice(self._ATTRIBUTES)}={rand.choice(values)}" for _ in range(count))

    def _printed(self, sealed: bytes) -> bytes:
        head, opening, area = sealed.partition(b"CP=&&")
        blocks = max(len(area) - 2, 0) // 16 * 16
        return head + opening + b"{" + b",".join(b"0x%02X" % one for one in area[:blocks]) + b"}" + area[blocks:]

    def _bent(self, data: bytes) -> bytes:
        """One change: bytes flipped, cut out, doubled, moved, or put in."""
        rand, size = self._random, len(data)
        start = rand.randrange(size + 1)
        end = min(size, start + rand.choice((0, 1, 2, 8, 64)))
        middle = data[start:end]
        match rand.randrange(5):
            case 0:
                middle = bytes(one ^ (1 << rand.randrange(8)) for one in middle)
            case 1:
                middle = b""
            case 2:
                middle += middle
            case 3:
                middle = rand.choice(
                    (b"&&", b";", b"=", b",", b"##", b"CP=&&", b"PNUM=3;PNO=2;", b"{0x", b"-", b"\xff")
                )
            case _:
                return data[:start] + data[end:] + middle
        return data[:start] + middle + data[end:]


def one_input(data: bytes) -> None:
    """A case of atheris: two bytes say how to cut and whether to give the rest a length and a check sum that fit."""
    mode, cut, rest = data[:1], data[1:3], data[3:]
    match mode[0] % 4 if mode else 0:
        case 1:
            rest = b"##%04d%b%04X" % (len(rest), rest, crc16(rest))
        case 2:
            rest = b"##%04d%b%04X" % (len(rest), seal(rest, KEY), crc16(rest))
        case 3:
            half = len(rest) // 2
            head = b"CN=2051;MN=X;Flag=7;PNUM=2;PNO=%d;CP=&&%b&&"
            both = [head % (number, area) for number, area in ((1, rest[:half]), (2, rest[half:]))]
            rest = b"".join(b"##%04d%b%04X\r\n" % (len(one), one, crc16(one)) for one in both)
    check(rest, list(cut))

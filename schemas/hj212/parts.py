"""Messages of several packets: PNUM and PNO of HJ 212-2017 6.3.2, examples C.49 and C.50.

A data segment has at most 1,024 bytes. A longer message goes in parts, each a packet with a request number and an
answer of its own. In the standard's examples each part repeats DataTime and holds whole factors, so that it can be
read, stored and answered by itself. That is how we write them, and nothing waits for anything.

Some units may cut the data area wherever the 1,024 bytes end. Their later parts begin in the middle, have no DataTime,
and mean nothing alone: those are laid together again. This module must never join parts of two messages, or make of
half a value a whole one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from schemas.devices import Device
from schemas.hj212.commands import following
from schemas.hj212.encode import write_segment
from schemas.hj212.frame import NO_DEVICES, STANDARD_SEGMENT, Damage, Frame, frames
from schemas.hj212.message import PART_OPEN, Message
from schemas.hj212.problems import Finding

MAX_HELD = 64  # messages whose further parts are waited for; units send the parts of one without a pause
MAX_CUTS = 64  # parts that one message may be cut into
_MOST_PARTS = 9_999
_Key = tuple[bytes, bytes, int]

_HEADER = re.compile(rb"(?:^|[;,]) *(CN|MN|PNUM|PNO) *= *([^;]*)")
_COUNTS = re.compile(rb"(?<=;) *(?:PNUM|PNO) *=[^;]*;")
_BY_ITSELF = re.compile(rb"(?:^|[;,]) *DataTime *=")
_ITEM = re.compile(rb" *[0-9A-Za-z_.]+-[A-Za-z]+ *=")


def split_message(message: Message) -> list[Message]:
    """`message` as messages that fit into one packet each, in order; itself alone when it fits.

    Each part has DataTime and whole factors, the first one the other fields as well. Request numbers follow on each
    other by a millisecond. A single factor, or fields, too large for any packet make a part that cannot be encoded.

    Raises:
        PacketError: `packet.malformed`: the message's QN is no time, so no number can follow it.
    """
    if len(write_segment(message)) <= STANDARD_SEGMENT:
        return [message]
    flag = (message.flag or 0) | 0b10
    part = msgspec.structs.replace(message, flag=flag, pnum=_MOST_PARTS, pno=_MOST_PARTS, items={}, fields={})
    room = STANDARD_SEGMENT - len(write_segment(part))
    shares: list[dict[str, dict[str, str]]] = [{}]
    left = room - _size(fields=message.fields)
    for code, attributes in message.items.items():
        size = _size(items={code: attributes})
        if size > left and (shares[-1] or len(shares) == 1):
            shares.append({})
            left = room
        shares[-1][code] = attributes
        left -= size
    if not shares[0] and not message.fields:
        del shares[0]
    return _numbered(message, part, shares)


def _size(**content: dict[str, dict[str, str]] | dict[str, str]) -> int:
    """Bytes that these items or fields add to a data area, the separator before them included."""
    written = len(write_segment(Message(cn="", **content)))  # type: ignore[arg-type]
    return written - len(write_segment(Message(cn=""))) + 1


def _numbered(message: Message, part: Message, shares: list[dict[str, dict[str, str]]]) -> list[Message]:
    parts: list[Message] = []
    qn = message.qn
    for number, items in enumerate(shares, 1):
        fields = message.fields if number == 1 else {}
        parts.append(msgspec.structs.replace(part, qn=qn, pnum=len(shares), pno=number, items=items, fields=fields))
        qn = following(qn) if qn else ""
    return parts


def split_packets(data: bytes, devices: Mapping[str, Device] = NO_DEVICES) -> Iterator[Frame | Damage]:
    """The packets of a whole text, such as a submission, damaged places between them; `devices` have the keys.

    Parts that were cut in the middle come as one frame, in the place of the first of them.
    """
    joiner = Joiner()
    for found in frames(data, devices):
        yield from joiner.add(found)
    yield from joiner.finish()


class _Place:
    """What stands in one place of the input: a packet, or parts of one message that follow on each other.

    `settled` is what comes of it; None as long as the next part may show that the last one was cut.
    """

    def __init__(self, frame: Frame, key: _Key, pno: int) -> None:
        self.parts, self.key, self.next = [frame], key, pno + 1
        self.settled: Frame | Damage | None = None

    def append(self, frame: Frame) -> None:
        self.parts.append(frame)
        self.next += 1

    def complete(self) -> None:
        """Nothing of it is missing: it was not cut, or its last part is here."""
        self.settled = _join(self.parts)

    def give_up(self) -> None:
        """The next part is missing."""
        count = len(self.parts)
        if count == 1:
            self.settled = _without_last(self.parts[0])
        else:
            self.settled = _missing(
                self.parts[0], f"{count} parts of a message were cut apart, and the next is missing"
            )


class Joiner:
    """Lays parts that were cut in the middle together. What is whole by itself passes through, in its order.

    Only the part that follows shows whether one was cut, so a part waits for that, and what came later waits behind it,
    up to `MAX_HELD` packets. A receiver that has to answer each packet before it gets the next cannot wait so, and
    does without.
    """

    def __init__(self) -> None:
        self._places: list[_Place | Frame | Damage] = []  # in order; the first one waits for its next part
        self._open: dict[_Key, _Place] = {}  # by MN, CN and PNUM

    def add(self, found: Frame | Damage) -> list[Frame | Damage]:
        """What `found` completes or settles, in order."""
        if isinstance(found, Damage) or b"PNO" not in found.segment:
            if not self._places:
                return [found]
            self._places.append(found)
        else:
            self._add_part(found)
        return self._drain(MAX_HELD)

    def finish(self) -> list[Frame | Damage]:
        """Nothing will follow: what was waited for is missing."""
        return self._drain(0)

    def _add_part(self, frame: Frame) -> None:
        head, area = _split(frame)
        header = {name: value.strip() for name, value in _HEADER.findall(head)}
        pnum, pno = _count(header.get(b"PNUM")), _count(header.get(b"PNO"))
        if not 1 <= pno <= pnum or pnum < 2 or not header.get(b"CN", b"").startswith(b"2"):
            self._places.append(frame)
            return
        key = (header.get(b"MN", b""), header[b"CN"], pnum)
        place = self._open.pop(key, None)
        if not area or _BY_ITSELF.search(area):
            self._end(place, whole=True)
            place = _Place(frame, key, pno)
            self._places.append(place)
        elif place and place.next == pno:
            place.append(frame)
        elif place and place.parts[-1].segment == frame.segment:  # sent again, since the answer to it got lost
            self._open[key] = place
            return
        else:
            self._end(place, whole=False)
            detail = f"part {pno} of {pnum} begins in the middle, and part {pno - 1} is not before it"
            self._places.append(_missing(frame, detail))
            return
        if pno == pnum:
            place.complete()
        elif len(place.parts) == MAX_CUTS:
            detail = f"a message is cut into more than {MAX_CUTS} parts"
            place.settled = _missing(place.parts[0], detail, "packet.too-large")
        else:
            self._open[key] = place

    def _end(self, place: _Place | None, *, whole: bool) -> None:
        """Another part came than the one that was waited for: one that is `whole` itself says the last one is too."""
        if place and whole and len(place.parts) == 1:
            place.complete()
        elif place:
            place.give_up()

    def _drain(self, held: int) -> list[Frame | Damage]:
        """The settled places up to the first open one, which is settled when more than `held` wait behind it."""
        done: list[Frame | Damage] = []
        for place in self._places:
            if isinstance(place, _Place):
                if place.settled is None and len(self._places) - len(done) <= held:
                    break
                if place.settled is None:
                    self._open.pop(place.key, None)
                    place.give_up()
                assert place.settled is not None
                done.append(place.settled)
            else:
                done.append(place)
        del self._places[: len(done)]
        return done


def _without_last(frame: Frame) -> Frame:
    """A part whose next one is missing: its last value may be cut, and is left out, unless a flag came after it."""
    head, area = _split(frame)
    start = _last_pair(area)
    name, equals, _ = area[start:].partition(b"=")
    if not equals or name.endswith(b"-Flag") or name == b"DataTime":
        return frame
    text = name[:40].decode("ascii", "replace")
    code, _, attribute = text.rpartition("-")
    note = Finding(PART_OPEN, f"the next part is missing, and `{text}` may be cut: it was left out", code, attribute)
    segment = head + area[:start].rstrip(b";,") + b"&&"
    return msgspec.structs.replace(frame, segment=segment, deviations=(*frame.deviations, note))


def _join(parts: list[Frame]) -> Frame:
    if len(parts) == 1:
        return parts[0]
    head, area = _split(parts[0])
    for part in parts[1:]:
        area = _append(area, _split(part)[1])
    note = Finding("packet.parts-joined", f"the data area was cut into {len(parts)} parts and is one again")
    return Frame(
        segment=_COUNTS.sub(b"", head) + area + b"&&",
        number=parts[0].number,
        offset=parts[0].offset,
        deviations=(*(note for part in parts for note in part.deviations), note),
        packet=b"".join(part.packet for part in parts),
        opened=all(part.opened for part in parts),
    )


def _append(area: bytes, more: bytes) -> bytes:
    """One area behind the other. Where both ends are whole, their separator was left out."""
    name, _, value = area[_last_pair(area) :].partition(b"=")
    return area + b";" + more if name and value and _ITEM.match(more) else area + more


def _last_pair(area: bytes) -> int:
    """Where the last name and value of an area begin."""
    return max(area.rfind(b";"), area.rfind(b",")) + 1


def _missing(frame: Frame, detail: str, code: str = "packet.part-missing") -> Damage:
    return Damage(code, detail, frame.number, frame.offset)


def _split(frame: Frame) -> tuple[bytes, bytes]:
    """The header with `CP=&&`, and the data area, of a segment that has both; else nothing and all of it."""
    head, opening, area = frame.segment.partition(b"CP=&&")
    return head + opening, area.removesuffix(b"&&")


def _count(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) <= 4 else 0

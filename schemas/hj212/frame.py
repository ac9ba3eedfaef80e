"""Packets out of a stream of bytes, by their length field: HJ 212-2017 6.3.1, with what real field units do to it.

A packet is `##`, four digits that count the bytes of the data segment, the data segment, four hexadecimal digits of
check sum, CR LF. The length alone says where it ends: splitting at CR LF or `&&` breaks on units that send neither, and
on encrypted segments that contain both. Accepted with a deviation: a check sum in lower case, a segment above 1,024
bytes up to `MAX_SEGMENT`, a length of three digits. Accepted silently, since it lies between packets: CR LF, LF,
blanks, nothing, a byte order mark, or `\\r\\n` spelled out. After damage the search goes on at the next `##` among
the bytes already read.

This module must never decode text, drop the tail of a half packet, or hold more than one packet back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from schemas.errors import PacketError
from schemas.hj212.crc import crc16
from schemas.hj212.problems import Finding, packet_error

STANDARD_SEGMENT = 1_024  # bytes of a data segment, HJ 212-2017 6.3.1
MAX_SEGMENT = 4_096  # bytes we agree to read; the longest of 157 packets seen in the field has 1,623

_HEADER = re.compile(rb"##(\d{3,4})")
_HEADER_SIZE = 6  # bytes to wait for before a header is judged
_CRC_SIZE = 4
_PIECE = 65_536  # bytes of a long text that are read at a time
_BETWEEN = re.compile(rb"(?:[\r\n\t ]|\\[rn]|\xef\xbb\xbf)+")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")
_CLOSING = re.compile(rb"&&[0-9A-Fa-f]{4}(?=##|[\r\n\\]|$)")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One packet whose length and check sum are right: its data segment, and where it was in the input.

    `number` counts from 1 what the input held, damage included; `offset` is the byte of its `##`.
    """

    segment: bytes
    number: int = 1
    offset: int = 0
    deviations: tuple[Finding, ...] = ()


class Damage(msgspec.Struct, frozen=True, gc=False):
    """A place where no packet could be read, and why; one for each broken packet or run of foreign bytes."""

    code: str
    detail: str
    number: int
    offset: int

    def error(self) -> PacketError:
        """The same as an error, with its place."""
        return packet_error(self.code, self.detail, number=self.number, offset=self.offset)


class Framer:
    """Reads one stream. What it yields does not depend on how the stream was cut into pieces."""

    def __init__(self) -> None:
        self._buffer = b""  # less than one packet between two calls
        self._start = 0  # offset of the buffer's first byte in the stream
        self._number = 0
        self._searching = False  # inside damage that has been reported already

    def feed(self, data: bytes) -> Iterator[Frame | Damage]:
        """Take `data` in, and give every packet it completes, at once and in order."""
        return iter(self._read(data, final=False))

    def finish(self) -> Iterator[Frame | Damage]:
        """The stream has ended: a half packet still held is now damage, and packets hidden behind it are found."""
        return iter(self._read(b"", final=True))

    def _read(self, data: bytes, *, final: bool) -> list[Frame | Damage]:
        buffer = self._buffer + data
        found: list[Frame | Damage] = []
        at = 0
        while at < len(buffer):
            if not buffer.startswith(b"##", at):
                after = self._skip(buffer, at, final=final)
                if after > at:
                    at = after
                    continue
            size, item = self._take(buffer, at, final=final)
            if size == 0:
                break
            at += size
            if item is not None:
                found.append(item)
        self._buffer = buffer[at:]
        self._start += at
        return found

    def _skip(self, buffer: bytes, at: int, *, final: bool) -> int:
        """The end of what nobody misses at `at`: line ends and blanks, or, inside damage, all up to the next `##`."""
        if self._searching:
            start = buffer.find(b"##", at)
            waits = buffer.endswith(b"#") and not final  # it may be the first half of the next one
            return start if start >= 0 else len(buffer) - waits
        match = _BETWEEN.match(buffer, at)
        return match.end() if match else at

    def _take(self, buffer: bytes, at: int, *, final: bool) -> tuple[int, Frame | Damage | None]:
        """What stands at `at`, and how many bytes are done with; 0 bytes: wait for more."""
        if len(buffer) - at < _HEADER_SIZE and not final:
            return 0, None
        header = _HEADER.match(buffer, at)
        if header is not None:
            return self._packet(buffer, header, final=final)
        if self._searching:
            return 1, None
        if buffer.startswith(b"##", at) and len(buffer) - at < _HEADER_SIZE:
            return 1, self._damage("packet.truncated", "the input ends inside a packet's header", at)
        return 1, self._damage("packet.no-header", "these bytes are not `##` and a length", at)

    def _packet(self, buffer: bytes, header: re.Match[bytes], *, final: bool) -> tuple[int, Frame | Damage | None]:
        """Judge the packet that `header` opens. Behind a broken one the search begins right after its `##`."""
        at, body = header.span()
        declared = int(header[1])
        end = body + declared
        if declared > MAX_SEGMENT:
            detail = f"the length field says {declared} bytes; at most {MAX_SEGMENT} are read"
            return 2, self._damage("packet.too-large", detail, at)
        if len(buffer) < end + _CRC_SIZE:
            return (2, self._damage(*_explain_short(buffer[body:], declared), at)) if final else (0, None)
        segment = buffer[body:end]
        given = buffer[end : end + _CRC_SIZE]
        computed = b"%04X" % crc16(segment)
        if given != computed and given.upper() != computed:
            return 2, self._damage(*_explain_mismatch(segment, given, computed), at)
        self._number += 1
        self._searching = False
        deviations: tuple[Finding, ...] = ()
        if given != computed or declared > STANDARD_SEGMENT or len(header[1]) == 3:
            deviations = _deviations(declared, len(header[1]), lower_case=given != computed)
        return end + _CRC_SIZE - at, Frame(segment, self._number, self._start + at, deviations)

    def _damage(self, code: str, detail: str, at: int) -> Damage:
        self._number += 1
        self._searching = True
        return Damage(code, detail, self._number, self._start + at)


def split_packets(data: bytes) -> Iterator[Frame | Damage]:
    """The packets of a whole text, such as a submission, damaged places between them."""
    framer = Framer()
    for start in range(0, len(data), _PIECE):
        yield from framer.feed(data[start : start + _PIECE])
    yield from framer.finish()


def _explain_short(rest: bytes, declared: int) -> tuple[str, str]:
    """Code and sentence for a packet whose length field leads past the end of the input; `rest` follows the header."""
    closing = _CLOSING.search(rest)
    if closing is None:
        missing = declared + _CRC_SIZE - len(rest)
        return "packet.truncated", f"the input ends {missing} bytes before the packet does"
    return "packet.length-wrong", f"the length field says {declared} bytes, the data segment has {closing.start() + 2}"


def _explain_mismatch(segment: bytes, given: bytes, computed: bytes) -> tuple[str, str]:
    """Code and sentence for a check sum that does not fit: is it the sum, or is the length wrong already?

    Every data segment ends in `&&` (HJ 212-2017 6.3.2). Where the length leads to something else, it is the length.
    """
    if not segment.endswith(b"&&") or _HEX.fullmatch(given) is None:
        return "packet.length-wrong", f"the length field says {len(segment)} bytes, and no data segment ends there"
    says, gives = given.decode("ascii").upper(), computed.decode("ascii")
    swapped = "; its two bytes are swapped" if says == gives[2:] + gives[:2] else ""
    return "packet.crc-wrong", f"the packet says {says}, its bytes give {gives}{swapped}"


def _deviations(declared: int, digits: int, *, lower_case: bool) -> tuple[Finding, ...]:
    """What an accepted packet does otherwise than the standard's frame."""
    found = []
    if lower_case:
        found.append(Finding("packet.crc-lower-case", "the check sum is written in lower case"))
    if declared > STANDARD_SEGMENT:
        found.append(Finding("packet.over-1024", f"the data segment has {declared} bytes, the standard allows 1024"))
    if digits == 3:
        found.append(Finding("packet.length-digits", "the length has three digits instead of four"))
    return tuple(found)

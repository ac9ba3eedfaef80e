"""Packets out of a stream of bytes, by their length field: HJ 212-2017 6.3.1, with what real field units do to it.

A packet is `##`, four digits that count the bytes of the data segment, the data segment, four hexadecimal digits of
check sum, CR LF. The length alone says where it ends: splitting at CR LF or `&&` breaks on units that send neither, and
on encrypted segments that contain both. Accepted with a deviation: a check sum in lower case, a segment above 1,024
bytes up to `MAX_SEGMENT`, a length of three digits. Accepted silently, since it lies between packets: CR LF, LF,
blanks, nothing, a byte order mark, or `\\r\\n` spelled out. After damage the search goes on at the next `##` among
the bytes already read.

The check sum is over the bytes received, unless they are encrypted: then it is over the plain segment, and a segment
that does not fit is opened with the key of the device that its clear header names.

This module must never decode text, drop the tail of a half packet, or hold more than one packet back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from schemas.devices import Device
from schemas.errors import PacketError
from schemas.hj212 import sm4
from schemas.hj212.crc import crc16
from schemas.hj212.problems import Finding, packet_error

STANDARD_SEGMENT = 1_024  # bytes of a data segment, HJ 212-2017 6.3.1
MAX_PRINTED = 5 * STANDARD_SEGMENT  # bytes of an encrypted segment that is printed, five characters for each byte
MAX_SEGMENT = 4_096  # bytes we agree to read; the longest of 157 packets seen in the field has 1,623

_HEADER = re.compile(rb"##(\d{3,4})")
_HEADER_SIZE = 6  # bytes to wait for before a header is judged
_CRC_SIZE = 4
_PIECE = 65_536  # bytes of a long text that are read at a time
_BETWEEN = re.compile(rb"(?:[\r\n\t ]|\\[rn]|\xef\xbb\xbf)+")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")
_READS_ITSELF = b"CP=&&DataTime="  # of a packet that opens like this nobody asks whether it is encrypted
NO_DEVICES: Mapping[str, Device] = MappingProxyType({})
_CLOSING = re.compile(rb"&&[0-9A-Fa-f]{4}(?=##|[\r\n\\]|$)")
_PRINTED = Finding("packet.cipher-printed", "the encrypted bytes are printed as text instead of sent as they are")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One packet whose length and check sum are right: its data segment, and where it was in the input.

    `number` counts from 1 what the input held, damage included; `offset` is the byte of its `##`. `packet` is the bytes
    it came as, from `##` to its check sum; where they are encrypted, `opened` is true and `segment` is in clear.
    """

    segment: bytes
    number: int = 1
    offset: int = 0
    deviations: tuple[Finding, ...] = ()
    packet: bytes = b""
    opened: bool = False


class Damage(msgspec.Struct, frozen=True, gc=False):
    """A place where no packet could be read, and why; one for each broken packet or run of foreign bytes.

    Where only a key is missing or wrong, `packet` is the bytes to read again with another key, and `mn` the device that
    their header names, unproven. Both are empty for all other damage.
    """

    code: str
    detail: str
    number: int
    offset: int
    mn: str = ""
    packet: bytes = b""

    def error(self) -> PacketError:
        """The same as an error, with its place."""
        return packet_error(self.code, self.detail, number=self.number, offset=self.offset)


class Framer:
    """Reads one stream. What it yields does not depend on how the stream was cut into pieces.

    `devices`, by MN, have the keys of encrypted packets; the mapping is asked anew for each packet.
    """

    def __init__(self, devices: Mapping[str, Device] = NO_DEVICES) -> None:
        self._devices = devices
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
        fits = given == computed or given.upper() == computed
        if not fits or (self._devices and _READS_ITSELF not in segment):
            return self._sealed(buffer, header, segment, fits=fits, final=final)
        deviations: tuple[Finding, ...] = ()
        if given != computed or declared > STANDARD_SEGMENT or len(header[1]) == 3:
            deviations = _deviations(declared, len(header[1]), given)
        return self._frame(buffer[at : end + _CRC_SIZE], segment, at, deviations)

    def _sealed(
        self, buffer: bytes, header: re.Match[bytes], segment: bytes, *, fits: bool, final: bool
    ) -> tuple[int, Frame | Damage | None]:
        """Judge a packet that is encrypted, or broken, or (`fits`) only opens in an unusual way."""
        at, body = header.span()
        declared = len(segment)
        end = body + declared
        printed = 0 if fits else sm4.printed_size(segment)
        if printed and printed <= MAX_PRINTED:
            end = body + printed
            if len(buffer) < end + _CRC_SIZE and not final:
                return 0, None
            segment = buffer[body:end]
        given = buffer[end : end + _CRC_SIZE]
        binary = sm4.from_print(segment)
        mn, key = sm4.sender(binary, self._devices)
        deviations = _deviations(declared, len(header[1]), given)
        if key and not (fits and sm4.is_readable(binary)):
            opened = sm4.unseal(binary, key)
            if given.upper() == b"%04X" % crc16(opened) and sm4.is_readable(opened):
                deviations += () if binary is segment else (_PRINTED,)
                return self._frame(buffer[at : end + _CRC_SIZE], opened, at, deviations, opened=True)
        if fits:
            return self._frame(buffer[at : end + _CRC_SIZE], segment, at, deviations)
        if binary.endswith(b"&&") and _HEX.fullmatch(given) and sm4.looks_sealed(binary):
            code, detail = _explain_sealed(mn, key)
            return 2, self._damage(code, detail, at, mn, buffer[at : end + _CRC_SIZE])
        segment, given = buffer[body : body + declared], buffer[body + declared : body + declared + _CRC_SIZE]
        return 2, self._damage(*_explain_mismatch(segment, given, b"%04X" % crc16(segment)), at)

    def _frame(
        self, packet: bytes, segment: bytes, at: int, deviations: tuple[Finding, ...], *, opened: bool = False
    ) -> tuple[int, Frame]:
        self._number += 1
        self._searching = False
        return len(packet), Frame(segment, self._number, self._start + at, deviations, packet, opened)

    def _damage(self, code: str, detail: str, at: int, mn: str = "", packet: bytes = b"") -> Damage:
        self._number += 1
        self._searching = True
        return Damage(code, detail, self._number, self._start + at, mn, packet)


def frames(data: bytes, devices: Mapping[str, Device] = NO_DEVICES) -> Iterator[Frame | Damage]:
    """The packets of a whole text, damaged places between them; `schemas.hj212.split_packets` also joins parts."""
    framer = Framer(devices)
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


def _explain_sealed(mn: str, key: str) -> tuple[str, str]:
    """Code and sentence for a packet that is encrypted and cannot be opened."""
    who = f"{mn[:40]!r}"
    if not key:
        return "packet.key-missing", f"the data area is encrypted, and no key is registered for the MN {who}"
    return "packet.key-wrong", f"the key registered for {who} does not open the data area, or the packet is damaged"


def _deviations(declared: int, digits: int, given: bytes) -> tuple[Finding, ...]:
    """What an accepted packet does otherwise than the standard's frame."""
    found = []
    if given != given.upper():
        found.append(Finding("packet.crc-lower-case", "the check sum is written in lower case"))
    if declared > STANDARD_SEGMENT:
        found.append(Finding("packet.over-1024", f"the data segment has {declared} bytes, the standard allows 1024"))
    if digits == 3:
        found.append(Finding("packet.length-digits", "the length has three digits instead of four"))
    return tuple(found)

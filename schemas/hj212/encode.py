"""A message as a packet: what a field unit sends and a host answers, exactly as HJ 212-2017 6.3 writes it.

Fields in the standard's order, UTF-8, an upper-case check sum, CR LF. Nothing is bent to fit: a message that would not
read back as itself (a value with a `;` in it, a second meaning of a name) or is longer than the standard allows is
refused; `schemas.hj212.parts` makes several of a longer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from schemas.errors import PacketError
from schemas.hj212.commands import digits, request_number
from schemas.hj212.crc import crc16
from schemas.hj212.frame import STANDARD_SEGMENT, Frame
from schemas.hj212.message import Message, parse_message
from schemas.hj212.sm4 import is_secret, seal


def measurement(
    cn: str,
    mn: str,
    at: datetime,
    items: Mapping[str, Mapping[str, str]],
    *,
    sent: datetime,
    st: str = "21",
    pw: str = "123456",
    flag: int = 5,
) -> Message:
    """A message of measured values: `cn` 2011, 2051, 2061 or 2031; `items` as `{"w20004": {"Avg": "0.10"}}`.

    `at` is DataTime, the start of the period or the instant; `sent` gives the QN. Both are aware, and written as
    Beijing time. The default flag says HJ 212-2017 and asks for an answer.
    """
    return Message(
        cn=cn,
        qn=request_number(sent),
        st=st,
        pw=pw,
        mn=mn,
        flag=flag,
        data_time=digits(at),
        items={code: dict(attributes) for code, attributes in items.items()},
    )


def encode_packet(message: Message, *, key: str = "") -> bytes:
    """The packet of `message`, from `##` to CR LF. Its place and deviations are not part of it.

    `key`, 32 hexadecimal digits, enciphers the data area where HJ 212-2025 has a field unit do so: measured values,
    information, new keys. A host sends in clear, and gives none.

    Raises:
        PacketError: `packet.too-large`: the data segment has more than 1,024 bytes and must be split;
            `packet.malformed`: the message cannot be written so that it reads back as itself.
    """
    segment = write_segment(message)
    if len(segment) > STANDARD_SEGMENT:
        detail = f"the data segment has {len(segment)} bytes; above {STANDARD_SEGMENT} it must be split"
        raise PacketError(detail, code="packet.too-large")
    if _content(parse_message(Frame(segment))) != _content(message):
        raise PacketError("a name or value of the message holds a mark that HJ 212 gives another meaning")
    sent = seal(segment, key) if key and is_secret(message.cn) else segment
    return b"##%04d%b%04X\r\n" % (len(segment), sent, crc16(segment))


def write_segment(message: Message) -> bytes:
    """The data segment of any length, unchecked, fields in the order of HJ 212-2017 table 3."""
    header = {"QN": message.qn, "ST": message.st, "CN": message.cn, "PW": message.pw, "MN": message.mn}
    counts = {"Flag": message.flag, "PNUM": message.pnum, "PNO": message.pno}
    parts = [f"{name}={text}" for name, text in header.items() if text]
    parts += [f"{name}={count}" for name, count in counts.items() if count is not None]
    parts += ["RF=1"] if message.resent else []
    area = [f"DataTime={message.data_time}"] if message.data_time else []
    area += _fields(message)
    area += [_item(code, attributes) for code, attributes in message.items.items()]
    try:
        return f"{';'.join(parts)};CP=&&{';'.join(area)}&&".encode()
    except UnicodeEncodeError as error:
        raise PacketError("the message holds text that is not Unicode") from error


def _fields(message: Message) -> list[str]:
    """The members of the data area that are no factor's. HJ/T 212-2005 writes a time span as one item."""
    written = [f"{name}={text}" for name, text in message.fields.items()]
    if message.version == 0 and tuple(message.fields) == ("BeginTime", "EndTime"):
        return [",".join(written)]
    return written


def _item(code: str, attributes: Mapping[str, str]) -> str:
    """One factor's attributes; information items (`i12001-Info`) stand behind the factor they inform about."""
    if any("-" in attribute for attribute in attributes):
        return ",".join((f"PolId={code}", *(f"{name}={text}" for name, text in attributes.items())))
    return ",".join(f"{code}-{name}={text}" for name, text in attributes.items())


def _content(message: Message) -> Message:
    return msgspec.structs.replace(message, deviations=(), number=1, offset=0)

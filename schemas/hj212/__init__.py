"""HJ 212, the protocol of field units and their hosts (污染物在线监控（监测）系统数据传输标准): bytes ↔ messages.

    for found in split_packets(data, devices):              # or Framer(devices).feed(piece) on a stream
        if isinstance(found, Damage): ...                   # found.error() names packet, byte and reason
        message = parse_message(found, devices)             # PacketError: this packet only
        observations, findings = to_observations(message, devices.get(message.mn))

    reply = answer(message)                                 # 9014, 9013 or None; encode_packet(reply) is what to send
    packets = [encode_packet(part, key=key) for part in split_message(message)]

HJ/T 212-2005, HJ 212-2017 and HJ 212-2025 share the frame; editions differ in the flag, in codes and in what follows
PNO. Everything here is pure: no clock, no files, no network. What the bytes say is kept as text; times without a zone
are Beijing time.
"""

from __future__ import annotations

from schemas.hj212.commands import (
    DATA_ANSWER,
    HISTORIES,
    NO_DATA,
    NOTICE_ANSWER,
    REQUEST_ANSWER,
    RESULT,
    Outcome,
    answer,
    is_heartbeat,
    outcome,
    request_history,
    request_number,
)
from schemas.hj212.crc import crc16
from schemas.hj212.encode import encode_packet, measurement
from schemas.hj212.frame import MAX_SEGMENT, Damage, Frame, Framer
from schemas.hj212.message import Message, parse_message
from schemas.hj212.observations import ASSUMED_MINUTE_PERIOD, read_profile, to_observations
from schemas.hj212.parts import Joiner, split_message, split_packets
from schemas.hj212.problems import NOTED, Finding

__all__ = [
    "ASSUMED_MINUTE_PERIOD",
    "DATA_ANSWER",
    "HISTORIES",
    "MAX_SEGMENT",
    "NOTED",
    "NOTICE_ANSWER",
    "NO_DATA",
    "REQUEST_ANSWER",
    "RESULT",
    "Damage",
    "Finding",
    "Frame",
    "Framer",
    "Joiner",
    "Message",
    "Outcome",
    "answer",
    "crc16",
    "encode_packet",
    "is_heartbeat",
    "measurement",
    "outcome",
    "parse_message",
    "read_profile",
    "request_history",
    "request_number",
    "split_message",
    "split_packets",
    "to_observations",
]

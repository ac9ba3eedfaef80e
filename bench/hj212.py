"""HJ 212: packets to observations with every check, against a plain loop that splits and sums.

The loop is what many receivers are: it believes the length field, computes the check sum with a 256-entry table, splits
at `;` and `,`, and keeps text. It finds no damage, knows no device, no unit, no flag and no time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bench.rounds import Contestant, Measure, Ratio, Work, play, timed
from schemas.devices import Device, DeviceFactor
from schemas.factors import all_factors
from schemas.hj212 import encode_packet, measurement, parse_message, split_packets, to_observations
from schemas.records import check_record
from schemas.times import BEIJING

_MN = "010000A8900016F000169DC0"
_FACTORS = tuple(code for code in sorted(all_factors()) if code.startswith("w"))[:20]
_BEGIN = datetime(2026, 9, 1, tzinfo=BEIJING)


def measure_hj212(*, rounds: int, packets: int) -> Measure:
    """Packets a second: 4 and 20 instant values in one packet, 8 factors with minimum, mean and maximum."""
    contestants: dict[str, Contestant] = {}
    ratios = []
    for name, cn, factors in (("4 values", "2011", 4), ("20 values", "2011", 20), ("24 values, minute", "2051", 8)):
        ready = [_packet(cn, factors, minute) for minute in range(packets)]
        contestants[f"decoded, {name}"] = _decoding(ready)
        contestants[f"plain loop, {name}"] = _splitting(ready)
        ratios.append(Ratio(f"decoded, {name}", f"plain loop, {name}", 1.0))
    return Measure("HJ 212 packets to observations", "packets/s", play(contestants, rounds), ratios)


def _packet(cn: str, factors: int, minute: int) -> bytes:
    at = _BEGIN + timedelta(minutes=minute)

    def value(number: int) -> str:
        return f"{(minute * 37 + number * 11) % 977 / 10:.1f}"

    items = {
        code: {"Rtd": value(number), "Flag": "N"}
        if cn == "2011"
        else {"Min": value(number), "Avg": value(number + 1), "Max": value(number + 2), "Flag": "N"}
        for number, code in enumerate(_FACTORS[:factors])
    }
    return encode_packet(measurement(cn, _MN, at, items, sent=at + timedelta(seconds=1)))


def _decoding(packets: list[bytes]) -> Contestant:
    factors = {code: DeviceFactor(code, "mg/L") for code in _FACTORS}
    device = Device(mn=_MN, site="320509-SW-0003", profile="hj212-2017", minute="PT1M", factors=factors)
    devices, data = {device.mn: device}, b"".join(packets)

    def turn(_round: int) -> Work:
        with timed(len(packets)) as work:
            for found in split_packets(data, devices):
                message = parse_message(found, devices)  # type: ignore[arg-type]  # damage would end the benchmark
                records, _ = to_observations(message, devices.get(message.mn))
                for record in records:
                    check_record(record)
        return work

    return turn


def _splitting(packets: list[bytes]) -> Contestant:
    def turn(_round: int) -> Work:
        with timed(len(packets)) as work:
            for packet in packets:
                _split(packet)
        return work

    return turn


def _shift(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (0xA001 if register & 1 else 0)
    return register


_TABLE = [_shift(byte) for byte in range(256)]


def _split(packet: bytes) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    size = int(packet[2:6])
    segment = packet[6 : 6 + size]
    register = 0xFFFF
    for byte in segment:
        register = _TABLE[(register >> 8) ^ byte]
    if register != int(packet[6 + size : 10 + size], 16):
        raise ValueError("the check sum is wrong")
    head, area = segment.decode().split("CP=&&", 1)
    header = dict(part.split("=", 1) for part in head.split(";") if part)
    values = []
    for group in area[:-2].split(";"):
        for pair in group.split(","):
            name, value = pair.split("=", 1)
            if "-" in name:
                code, attribute = name.split("-", 1)
                values.append((code, attribute, value))
            else:
                header[name] = value
    return header, values

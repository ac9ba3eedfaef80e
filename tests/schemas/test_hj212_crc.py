"""The check sum: published values, and the standard's own procedure bit by bit as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.hj212 import crc16


def bit_by_bit(data: bytes) -> int:
    """Appendix A of HJ 212-2017 as it is written: high byte against the data, eight shifts, the low bit decides."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ byte
        for _ in range(8):
            falls_out = register & 1
            register >>= 1
            if falls_out:
                register ^= 0xA001
    return register


def modbus(data: bytes) -> int:
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            falls_out = register & 1
            register >>= 1
            if falls_out:
                register ^= 0xA001
    return register


OFFICIAL = b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"123456789", 0x2F80, id="the usual check string"),
        pytest.param(OFFICIAL, 0x1C80, id="example of HJ 212-2017 appendix A"),
        pytest.param(b"", 0xFFFF, id="nothing leaves the register as it began"),
    ],
)
def test_the_check_sum_has_its_published_values(data: bytes, expected: int):
    assert crc16(data) == expected


def test_the_check_sum_is_not_modbus():
    assert modbus(b"123456789") == 0x4B37  # so the routine below is MODBUS indeed
    assert crc16(b"123456789") != 0x4B37
    assert crc16(OFFICIAL) != modbus(OFFICIAL)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_folding_gives_what_the_standards_own_procedure_gives(data: bytes):
    assert crc16(data) == bit_by_bit(data)


@pytest.mark.parametrize("size", [*range(1, 70), 1_023, 1_024, 1_025, 4_096, 9_999])
def test_folding_is_right_at_every_length_around_a_block(size: int):
    data = bytes((7 * index + 13) % 256 for index in range(size))
    assert crc16(data) == bit_by_bit(data)


def test_eight_steps_over_zeros_bring_every_register_back():
    """What the folding rests on, and why whole blocks may change places unnoticed."""
    assert all(bit_by_bit(bytes((byte,)) + bytes(8)) == bit_by_bit(bytes((byte,))) for byte in range(256))
    assert crc16(b"AAAAAAAABBBBBBBB......") == crc16(b"BBBBBBBBAAAAAAAA......")


def test_one_flipped_bit_is_always_noticed():
    for index in range(len(OFFICIAL)):
        for bit in range(8):
            flipped = bytearray(OFFICIAL)
            flipped[index] ^= 1 << bit
            assert crc16(bytes(flipped)) != 0x1C80

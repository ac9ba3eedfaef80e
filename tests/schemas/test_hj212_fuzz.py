"""A few hundred cases of the fuzzer (`python -m tests.fuzz.hj212`) in every run of the suite."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import PacketError
from schemas.hj212 import parse_message
from schemas.hj212.frame import Frame, frames
from tests.fuzz.hj212_cases import DEVICES, Bender, check, one_input


@pytest.mark.parametrize("seed", range(4))
def test_bent_streams_give_packets_or_damage_and_nothing_else(seed: int):
    bender = Bender(seed)
    for _ in range(100):
        check(*bender.stream())


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400))
def test_any_bytes_in_a_frame_that_fits_give_packets_or_damage_and_nothing_else(data: bytes):
    one_input(data)


def test_the_bender_is_not_only_rubbish():
    """Of its streams, a good part must get as far as messages, some of them out of cipher, or it tests little."""
    bender, messages, opened = Bender(1), 0, 0
    for _ in range(200):
        for found in frames(bender.stream()[0], DEVICES):
            if isinstance(found, Frame):
                opened += found.opened
                messages += parses(found)
    assert messages > 100
    assert opened > 10


def parses(frame: Frame) -> bool:
    try:
        return bool(parse_message(frame, DEVICES).cn)
    except PacketError:
        return False

"""Who may send: judged by MN, network and PW, and by nothing else."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from gateway.loggers.admission import is_within, judge, may_be_listed
from schemas.devices import Device
from schemas.hj212 import Message

MN = "010000A8900016F000169DC0"


def device(**members: Any) -> dict[str, Device]:
    return {MN: Device(mn=MN, site="320509-SW-0003", profile="hj212-2017", **members)}


@pytest.mark.parametrize(
    ("registered", "message", "address", "verdict"),
    [
        pytest.param(device(), {}, "192.0.2.1", "welcome", id="no password and no network registered"),
        pytest.param(device(), {"pw": "anything"}, "192.0.2.1", "welcome", id="a password that nobody asked for"),
        pytest.param({}, {}, "192.0.2.1", "stranger", id="not registered"),
        pytest.param({}, {"mn": ""}, "192.0.2.1", "mn-missing", id="no MN"),
        pytest.param(device(password="abc"), {"pw": "abc"}, "192.0.2.1", "welcome", id="the right password"),
        pytest.param(device(password="abc"), {"pw": "ABC"}, "192.0.2.1", "password-wrong", id="another password"),
        pytest.param(device(password="abc"), {}, "192.0.2.1", "password-wrong", id="no password"),
        pytest.param(device(networks=("192.0.2.0/24",)), {}, "192.0.2.1", "welcome", id="its network"),
        pytest.param(device(networks=("192.0.2.0/24",)), {}, "192.0.3.1", "network-wrong", id="another network"),
        pytest.param(device(networks=("192.0.2.0/24",)), {}, "::ffff:192.0.2.1", "welcome", id="IPv4 as IPv6"),
        pytest.param(device(networks=("fd00::/8",)), {}, "fd12::1%eth0", "welcome", id="an address with a zone"),
        pytest.param(
            device(password="abc", networks=("192.0.2.0/24",)), {"pw": "abc"}, "10.0.0.1", "network-wrong",
            id="the right password from elsewhere",
        ),
    ],
)  # fmt: skip
def test_a_packet_is_judged(registered: dict[str, Device], message: dict[str, str], address: str, verdict: str) -> None:
    assert judge(Message(**{"cn": "2051", "mn": MN, **message}), registered, address) == verdict


def test_an_address_of_one_family_is_in_no_network_of_the_other() -> None:
    everything = [ipaddress.ip_network("0.0.0.0/0")]
    assert is_within("192.0.2.1", everything)
    assert not is_within("fd00::1", everything)
    assert not is_within("192.0.2.1", [])


@pytest.mark.parametrize("mn", ["", "a b", "a\nb", "站", "x" * 65, "a/b", "<b>"])
def test_an_mn_that_could_mislead_a_reader_is_not_listed(mn: str) -> None:
    assert not may_be_listed(mn)

"""Whether a packet may be taken: is its MN registered, does its PW fit, does it come from where it may come from?

HJ 212 proves nothing: a PW crosses the network in clear, and anybody can write an MN. What is judged here keeps
mistakes and idle hands out; loggers whose network cannot be trusted belong behind TLS and an allow-list of networks.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

from gateway.setting_groups import Network
from schemas.devices import Device
from schemas.hj212 import Message

Verdict = Literal["welcome", "stranger", "password-wrong", "network-wrong", "mn-missing"]

QN_RETURN: dict[Verdict, int] = {"network-wrong": 2, "password-wrong": 3, "stranger": 4, "mn-missing": 4}
"""What 9011 says of what is not taken (QnRtn, HJ 212-2017 table 7): refused, wrong PW, wrong MN."""

_STRANGER_MN = re.compile(r"[0-9A-Za-z._:-]{1,64}", re.ASCII)


def judge(message: Message, devices: Mapping[str, Device], address: str) -> Verdict:
    """What to do with a packet that came from the IP `address`; `devices` are the registered ones, by MN."""
    device = devices.get(message.mn)
    if device is None:
        return "stranger" if may_be_listed(message.mn) else "mn-missing"
    if device.networks and not is_within(address, _networks(device.networks)):
        return "network-wrong"
    if device.password and not hmac.compare_digest(message.pw.encode(), device.password.encode()):
        return "password-wrong"
    return "welcome"


def may_be_listed(mn: str) -> bool:
    """Whether an MN that nobody registered may stand in a list for people."""
    return _STRANGER_MN.fullmatch(mn) is not None


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an IP address lies in one of `networks`; one of IPv4 that comes as IPv6 is the same address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)


@lru_cache(maxsize=4_096)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)

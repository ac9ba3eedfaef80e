"""Where calls of ours may go: what a partner's address resolves to is judged, and that very address is used."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator

import httpcore
import pytest

from partners.client import PartnerClient
from partners.errors import PartnerError, PartnerRefusedError, PartnerUnreachableError
from partners.reach import ANYWHERE, PUBLIC, GuardedBackend, Reach, embedded

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
INSIDE = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "not an address", "",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "172.32.0.1", "2400:3200::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


def says(*answers: list[str]) -> Reach:
    """A reach whose resolver gives these answers one after the other, the last one again and again."""
    left = list(answers)
    return Reach(resolve=lambda _host, _port: left.pop(0) if len(left) > 1 else left[0])


@pytest.mark.parametrize("address", INSIDE)
def test_ssrf_via_partner_given_url_no_address_of_our_own_network_is_called(address: str) -> None:
    with pytest.raises(PartnerRefusedError) as caught:
        says([address]).addresses("gateway.example", 443, timeout=3)
    assert caught.value.code == "partner.address-not-allowed"


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_allowed(address: str) -> None:
    assert says([address]).addresses("gateway.example", 443, timeout=3) == [address]


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_a_network_that_the_operator_named_is_allowed_and_no_other(address: str) -> None:
    named = Reach([LOOPBACK], resolve=lambda _host, _port: [address])
    assert named.addresses("gateway.example", 443, timeout=3) == [address]
    with pytest.raises(PartnerRefusedError):
        Reach([LOOPBACK], resolve=lambda _host, _port: ["10.0.0.1"]).addresses("x.example", 443, timeout=3)


def test_a_name_with_one_address_inside_is_refused_as_a_whole() -> None:
    with pytest.raises(PartnerRefusedError):
        says(["8.8.8.8", "10.0.0.1"]).addresses("gateway.example", 443, timeout=3)


def test_a_name_that_nobody_knows_is_unreachable() -> None:
    with pytest.raises(PartnerUnreachableError) as caught:
        says([]).addresses("gateway.example", 443, timeout=3)
    assert caught.value.code == "partner.name-unknown"


def test_a_name_server_that_never_answers_does_not_hold_us() -> None:
    asleep = threading.Event()
    slow = Reach(resolve=lambda _host, _port: [str(asleep.wait(20))])
    begun = time.monotonic()
    with pytest.raises(PartnerUnreachableError) as caught:
        slow.addresses("gateway.example", 443, timeout=0.2)
    asleep.set()
    assert caught.value.code == "partner.name-unknown"
    assert time.monotonic() - begun < 2


def test_the_address_an_ipv6_address_stands_for_is_found() -> None:
    assert str(embedded(ipaddress.ip_address("64:ff9b::7f00:1"))) == "127.0.0.1"
    assert embedded(ipaddress.ip_address("2400:3200::1")) is None


@pytest.fixture
def doors() -> Iterator[list[socket.socket]]:
    """Two listening sockets on one port of two loopback addresses."""
    first = socket.create_server(("127.0.0.1", 0))
    second = socket.create_server(("127.0.0.2", first.getsockname()[1]))
    yield [first, second]
    for door in (first, second):
        door.close()


def test_ssrf_by_dns_rebinding_the_address_that_was_judged_is_the_one_that_is_called(
    doors: list[socket.socket],
) -> None:
    """The first answer is allowed and the second is not: the second is never asked for, let alone used."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    reach = Reach([ipaddress.ip_network("127.0.0.2/32")], resolve=rebinding)
    port = doors[0].getsockname()[1]
    stream = GuardedBackend(reach).connect_tcp("gateway.example", port, 3)
    assert stream.get_extra_info("server_addr")[0] == "127.0.0.2"
    stream.close()
    assert asked == ["gateway.example"]
    with pytest.raises(PartnerRefusedError):  # the next connection is judged anew
        GuardedBackend(reach).connect_tcp("gateway.example", port, 3)


@pytest.mark.parametrize("url", ["https://127.0.0.1:{}", "https://localhost:{}", "https://[::1]:{}"])
def test_a_client_calls_nothing_inside_unless_it_is_told_to(doors: list[socket.socket], url: str) -> None:
    """What turns this red: a client whose connections are not made by the guard."""
    doors[0].setblocking(False)
    with PartnerClient(url.format(doors[0].getsockname()[1]), None) as client:
        with pytest.raises(PartnerRefusedError) as caught:
            client.party_document()
        assert caught.value.code == "partner.address-not-allowed"
    with pytest.raises(BlockingIOError):
        doors[0].accept()


def test_an_address_where_nobody_listens_is_passed_over_for_the_next(doors: list[socket.socket]) -> None:
    port = doors[0].getsockname()[1]
    reach = Reach([LOOPBACK], resolve=lambda _host, _port: ["127.0.0.3", "127.0.0.2"])
    stream = GuardedBackend(reach).connect_tcp("gateway.example", port, 3)
    assert stream.get_extra_info("server_addr")[0] == "127.0.0.2"
    stream.close()
    nobody = Reach([LOOPBACK], resolve=lambda _host, _port: ["127.0.0.3"])
    with pytest.raises(httpcore.ConnectError):
        GuardedBackend(nobody).connect_tcp("gateway.example", port, 3)


def test_whoever_takes_a_connection_and_says_nothing_holds_us_no_longer_than_our_patience(
    doors: list[socket.socket],
) -> None:
    url = f"https://127.0.0.1:{doors[0].getsockname()[1]}"
    begun = time.monotonic()
    with PartnerClient(url, None, reach=ANYWHERE, patience=0.3) as client, pytest.raises(PartnerError) as caught:
        client.party_document()
    assert caught.value.code == "partner.unreachable"
    assert time.monotonic() - begun < 2


def test_public_is_what_a_client_is_given_that_is_not_told_otherwise() -> None:
    with pytest.raises(PartnerRefusedError):
        PUBLIC.addresses("127.0.0.1", 443, timeout=3)
    assert ANYWHERE.addresses("127.0.0.1", 443, timeout=3) == ["127.0.0.1"]

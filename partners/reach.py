"""Where our calls may go: an address that a partner gave must not lead into our own network (SSRF).

A name is resolved when a connection is made, every address it resolves to is judged, and the connection goes to one of
those very addresses: a name that means something else a moment later (DNS rebinding) changes nothing. Public addresses
are allowed, and of the others only those in networks that the operator named (`partners.networks`).

What this module must never do: connect to a name, or judge one address and use another.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from partners.errors import PartnerRefusedError, PartnerUnreachableError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

MAX_ADDRESSES = 16  # a name with more is no gateway's
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
_MAX_HOST = 253  # characters


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses the system has for a name, in the order it prefers them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Reach:
    """Public addresses and those in `networks`; with `anywhere` all there are, for addresses our own people chose."""

    def __init__(
        self, networks: Iterable[Network] = (), *, anywhere: bool = False, resolve: Resolver = system_resolver
    ) -> None:
        self._networks = tuple(networks)
        self._anywhere = anywhere
        self._resolve = resolve

    def addresses(self, host: str, port: int, *, timeout: float | None) -> list[str]:
        """The addresses of `host`, all of them allowed. `timeout` in seconds.

        One that is not allowed refuses the name as a whole: nobody's gateway is at home and abroad at one time.

        Raises:
            PartnerUnreachableError: `partner.name-unknown`.
            PartnerRefusedError: `partner.address-not-allowed`.
        """
        found = _in_time(self._resolve, host[:_MAX_HOST], port, timeout)[:MAX_ADDRESSES]
        if not found:
            raise PartnerUnreachableError(f"{host} has no address", code="partner.name-unknown")
        for text in found:
            if not self._allows(text):
                detail = f"{host} is at {text}, which is no public address and in none of partners.networks"
                raise PartnerRefusedError(detail, code="partner.address-not-allowed")
        return found

    def _allows(self, text: str) -> bool:
        if self._anywhere:
            return True
        try:
            address = ipaddress.ip_address(text)  # one with a zone (fe80::1%eth0) is read, too
        except ValueError:
            return False
        inner = embedded(address)
        return all(_is_public(one) or self._names(one) for one in (inner if inner is not None else address,))

    def _names(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


ANYWHERE = Reach(anywhere=True)
"""For addresses that our own people gave us about our own gateways, not a partner's."""
PUBLIC = Reach()


def embedded(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 address stands for (mapped, NAT64, 6to4): that is where it leads."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _is_public(address: Address) -> bool:
    # Of IPv6 only global unicast: the standard library calls some of the rest global, site-local addresses among them.
    unicast = isinstance(address, ipaddress.IPv4Address) or address in _GLOBAL_UNICAST
    return unicast and address.is_global and not address.is_multicast


def _in_time(resolve: Resolver, host: str, port: int, timeout: float | None) -> list[str]:
    """What `resolve` finds. It knows no time limit: it works in a thread, which is left behind if it takes too long."""
    found: list[list[str]] = []

    def look() -> None:
        try:
            found.append(resolve(host, port))
        except (OSError, UnicodeError):  # no such name, or one that cannot be one
            found.append([])

    thread = threading.Thread(target=look, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(timeout)
    if not found:
        raise PartnerUnreachableError(f"no name server says in time where {host} is", code="partner.name-unknown")
    return found[0]


class GuardedBackend(httpcore.NetworkBackend):
    """How an HTTP client of ours connects: only where `reach` allows, and no connection outlives `patience` seconds."""

    def __init__(self, reach: Reach, patience: float | None = None) -> None:
        self._reach = reach
        self._patience = patience
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        """A connection to one of the addresses of `host`, the first that takes one.

        Raises:
            PartnerError: as `Reach.addresses` does.
            httpcore.ConnectError, httpcore.ConnectTimeout: nobody there takes one.
        """
        failed: Exception = httpcore.ConnectError("nobody was tried")
        end = None if self._patience is None else time.monotonic() + self._patience
        for address in self._reach.addresses(host, port, timeout=_left(end, timeout)):
            try:
                opened = self._plain.connect_tcp(address, port, _left(end, timeout), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return opened if end is None else _Ending(opened, end)
        raise failed


class _Ending(httpcore.NetworkStream):
    """A connection with an end: whoever answers byte by byte does not hold us for longer than was meant."""

    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self._stream = stream
        self._end = end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._end, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._end, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Ending(self._stream.start_tls(ssl_context, server_hostname, _left(self._end, timeout)), self._end)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(end: float | None, timeout: float | None) -> float | None:
    """Seconds until `end` (monotonic), at most `timeout`; so few where it is past that the next step fails at once."""
    if end is None:
        return timeout
    left = max(0.001, end - time.monotonic())
    return left if timeout is None else min(left, timeout)

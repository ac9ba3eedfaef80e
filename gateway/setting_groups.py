"""Groups of settings: what stands under one heading of `taipu.toml`, and how addresses and networks are written.

A group says what each of its settings means in the text below it, which `taipu init` writes into the file.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationInfo, field_validator

from schemas.errors import SharingError
from schemas.positions import DATUMS

MIB = 1024 * 1024

_HOST_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})", re.ASCII)


class SettingsError(SharingError):
    """The settings cannot be used; `pointers` name every one at fault."""

    code = "settings.invalid"


@dataclass(frozen=True)
class Address:
    """Where a listener listens. Port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _read_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _HOST_PORT.fullmatch(value)
    if match is None or int(match[2]) > 65_535:
        raise ValueError("must be host:port, for example 127.0.0.1:8443 or [::1]:8443")
    return Address(match[1].strip("[]"), int(match[2]))


def read_address(text: str) -> Address:
    """An address as it is written in a setting.

    Raises:
        SettingsError: it is none.
    """
    try:
        return cast("Address", _read_address(text))
    except ValueError as error:
        raise SettingsError(str(error)) from error


ListenAddress = Annotated[InstanceOf[Address], BeforeValidator(_read_address)]


def _read_network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise ValueError("must be networks, for example 10.1.0.0/16 or fd00::/8") from None


def _read_list(value: object) -> object:
    """A list of the file, or of a variable: there its parts stand between commas or blanks."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Annotated[Network, BeforeValidator(_read_network)], ...], BeforeValidator(_read_list)]


class _Group(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class Listen(_Group):
    """Two listeners, so that no browser is asked for a client certificate and no partner reaches the console."""

    partner: ListenAddress = Address("127.0.0.1", 8443)
    """Where partners' gateways and other clients connect."""
    console: ListenAddress = Address("127.0.0.1", 8444)
    """Where people's browsers connect."""


class Tls(_Group):
    """PEM files; `taipu init` makes the ones named here."""

    certificate: Path = Path("tls/server.pem")
    """The server certificate, followed by intermediate ones if there are any."""
    key: Path = Path("tls/server.key")
    """The server certificate's private key, under `key_passphrase` if that is set."""
    ca: Path = Path("tls/ca.pem")
    """The certificate authority that partners must trust in order to reach this gateway."""
    client_certificates: Literal["none", "optional"] = "none"
    """Whether the partner listener asks callers for a certificate, which tokens can then be bound to."""
    client_ca: Path | None = None
    """Authorities of client certificates, beside those of the registered partners, which count in any case."""
    proxy: Networks = ()
    """Addresses of reverse proxies whose `Client-Cert` header (RFC 9440) is believed; from all others it is ignored."""


class Retry(_Group):
    """How long to wait after a partner could not be reached: twice as long each time, between these."""

    min: float = Field(default=1.0, ge=0.01, le=3600)
    """Shortest wait, seconds."""
    max: float = Field(default=900.0, ge=0.01, le=86_400)
    """Longest wait, seconds."""

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("min", 0):
            raise ValueError("must not be less than retry.min")
        return value


class KeySettings(_Group):
    """How this gateway's own keys follow one another, and how it learns of its partners' new ones."""

    overlap: float = Field(default=86_400.0, ge=0, le=31 * 86_400)
    """Seconds after which a new key is used although a partner has not taken the document that names it."""
    refresh: float = Field(default=600.0, ge=0.05, le=86_400)
    """Seconds between two requests for a partner's party document; an unknown key asks for it at once."""


class Partners(_Group):
    """Where partners' gateways may be; an address that a stranger gave must not lead into a network of ours."""

    networks: Networks = ()
    """Networks in which partners may be although they are not public, such as 10.1.0.0/16; public ones always may."""


class Loggers(_Group):
    """The listener for HJ 212 data loggers; its defaults are for a district of a thousand of them."""

    listen: ListenAddress | None = None
    """Where data loggers connect over TCP; without it `taipu serve` has no such listener."""
    tls: bool = False
    """Speak TLS with loggers that can, under the certificate of `[tls]`."""
    networks: Networks = ()
    """Networks that data loggers connect from, such as 10.0.0.0/8; none named: from anywhere."""
    max_connections: int = Field(default=2_000, ge=1, le=100_000)
    """Connections at one time; another one is closed at once."""
    max_per_address: int = Field(default=200, ge=1, le=100_000)
    """Connections at one time from one address; loggers of a mobile network may share one."""
    idle: float = Field(default=3_900.0, ge=1, le=86_400)
    """Silence after which a connection is closed, seconds; the longest real-time interval of HJ 212 is an hour."""
    gather: float = Field(default=0.25, ge=0, le=5)
    """Shortest time between two commits, seconds; packets of all loggers that come meanwhile share the next one."""
    max_packets: int = Field(default=1_000, ge=1, le=10_000)
    """Packets after which a commit does not wait for more."""
    buffer_bytes: int = Field(default=32 * MIB, ge=64 * 1024, le=1024 * MIB)
    """Bytes of packets that may wait for their commit; beyond, nothing more is read from anybody."""
    strangers_days: int = Field(default=30, ge=1, le=3_650)
    """Days that packets of a device that is not registered are kept."""


class OutlineFile(_Group):
    """The districts' borders, to find positions given in another reference system than they say."""

    file: Path | None = None
    """A GeoJSON file whose features carry a district's or party's code as `adcode` or `party`."""
    datum: str = ""
    """Its reference system, which nothing in the file tells: CGCS2000, WGS84, GCJ-02, BD-09 or EPSG:4549."""
    tolerance: float = Field(default=100.0, ge=0, le=10_000)
    """How far outside its district a position may lie, metres: outlines are simplified, border sections on the line."""

    @field_validator("datum")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        if value not in DATUMS and (value or info.data.get("file")):
            raise ValueError(f"must be one of {', '.join(DATUMS)}")
        return value

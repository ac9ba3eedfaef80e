"""Registered HJ 212 devices: what a packet does not say and a gateway has to know.

A packet carries neither a site, nor units, nor how its times are labelled, nor which table of flags holds. A person
registers that once for each device identifier (MN), as YAML or JSON:

    devices:
      - mn: 010000A8900016F000169DC0
        site: 320509-SW-0003
        profile: hj212-2017
        minute: PT1M
        password: "204718"
        networks: [10.1.0.0/16]
        factors:
          w20004: {unit: mg/L}
          "011": {factor: w01018, unit: mg/L}

`password` (the packet's PW) and `networks` guard the device's own connection to a listener: without them any PW and any
address will do. A device that encrypts (HJ 212-2025) also has its `key`, one that sends old Chinese text its
`encoding`.

Every scalar here is text. The YAML reader never turns one into a number, so an MN of digits keeps its leading zeros and
the code `011` is not nine. The document is strict: unknown members are refused by name, all faults at once. Whether a
factor, unit or site exists is not decided here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Literal, get_args

import msgspec

from schemas.documents import FAULTY, Reading, escape, load_document
from schemas.errors import LimitError, SharingError
from schemas.periods import PERIODS

MAX_DOCUMENT = 1_048_576  # bytes; YAML is read at some 50 to 100 kB a second, JSON at 5 MB
CODE = re.compile(r"[0-9A-Za-z_.]{1,32}", re.ASCII)
"""A factor's code as a device writes it: `w20004`, `011`, `PM25`; the hyphen before its attribute ends it."""
MINUTE_PERIODS = tuple(period for period in PERIODS if period.startswith("PT") and period.endswith("M"))
"""The periods minute data may have: those HJ 212-2017 table 4 allows for MinInterval."""

Profile = Literal["hj212-2005", "hj212-2017", "hj212-2025", "surface-water"]
"""Which edition's rules hold, above all which table of flags. `surface-water` is HJ 1404 and what came before it."""
Label = Literal["start", "end", "instant"]
"""What DataTime names: the start of the period (HJ 212), its end (hourly air), or the moment of sampling.

Only `end` moves a time, back by the period; the period itself is the command's under every label.
"""
Encoding = Literal["utf-8", "gbk"]
PASSWORD = re.compile(r"[!-:<-~]{1,32}", re.ASCII)
"""A PW: the standard has six characters, and any but the `;` that would end it are seen in the field."""

_OPTIONAL = ("minute", "label", "encoding", "password", "networks", "factors", "key")
_KEY = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)


class DeviceError(SharingError):
    """A registration of devices is not valid; `pointers` and `extra["faults"]` list every fault."""

    code = "device.malformed"


class DeviceFactor(msgspec.Struct, frozen=True):
    """What one code of a device means: our factor code, the unit its values are in, how its times are labelled.

    `unit` None stands for a code that nobody registered; a registration always has one.
    """

    factor: str
    unit: str | None
    label: Label = "start"


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One registered device. `factors` is keyed by the code as the device writes it.

    `minute` is the period of its minute data, None when nobody registered one. `password` is the PW its packets must
    carry; empty: any will do. `networks` are where it may connect from; none: anywhere. `key`, 32 hexadecimal digits,
    opens its packets when it encrypts them (SM4, HJ 212-2025); empty when it does not. Password and key are secrets:
    they are never shown.
    """

    mn: str
    site: str
    profile: Profile
    minute: str | None = None
    label: Label = "start"
    encoding: Encoding = "utf-8"
    password: str = ""
    networks: tuple[str, ...] = ()
    factors: dict[str, DeviceFactor] = {}
    key: str = ""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What a log or a traceback may show."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        secrets = {"password": "***" if self.password else "", "key": "***" if self.key else ""}
        return list((shown | secrets).items())

    def __repr__(self) -> str:
        return f"Device({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def parse_devices(data: bytes) -> dict[str, Device]:
    """The devices of a registration document, by MN.

    Raises:
        LimitError: the document is larger than `MAX_DOCUMENT`.
        DeviceError: it is not YAML or JSON, or breaks a rule; every fault is listed with its JSON pointer.
    """
    if len(data) > MAX_DOCUMENT:
        raise LimitError(f"a registration of devices has at most {MAX_DOCUMENT} bytes")
    document = _Reading(load_document(data, DeviceError))
    devices = document.devices()
    document.raise_faults(DeviceError)
    return devices


class _Reading(Reading):
    """One pass over a registration."""

    def __init__(self, document: object) -> None:
        super().__init__()
        self._document = document

    def devices(self) -> dict[str, Device]:
        devices: dict[str, Device] = {}
        top = self.mapping(self._document, "", ("devices",), ())
        listed = top.get("devices", [])
        if not isinstance(listed, list):
            self.fault("/devices", "is not a list")
            return devices
        for index, entry in enumerate(listed):
            device = self._device(entry, f"/devices/{index}")
            if device.mn in devices and device.mn != FAULTY:
                self.fault(f"/devices/{index}/mn", f"{device.mn} is registered twice")
            devices[device.mn] = device
        return devices

    def _device(self, entry: object, pointer: str) -> Device:
        required = ("mn", "site", "profile")
        members = self.mapping(entry, pointer, required, _OPTIONAL)
        label: Label = self.choice(members, "label", pointer, get_args(Label), "start")
        codes = self.mapping(members.get("factors", {}), f"{pointer}/factors", (), None)
        return Device(
            mn=self.text(members, "mn", pointer),
            site=self.text(members, "site", pointer),
            profile=self.choice(members, "profile", pointer, get_args(Profile), "hj212-2017"),
            minute=self.choice(members, "minute", pointer, MINUTE_PERIODS, None),
            label=label,
            encoding=self.choice(members, "encoding", pointer, get_args(Encoding), "utf-8"),
            password=self._password(members, pointer),
            networks=self._networks(members.get("networks", []), f"{pointer}/networks"),
            key=self._key(members, pointer),
            factors={
                code: self._factor(code, entry, f"{pointer}/factors/{escape(code)}", label)
                for code, entry in codes.items()
            },
        )

    def _factor(self, code: str, entry: object, pointer: str, label: Label) -> DeviceFactor:
        if CODE.fullmatch(code) is None:
            self.fault(pointer, "is not a code of 1 to 32 letters, digits, `_` and `.`")
        members = self.mapping(entry, pointer, ("unit",), ("factor", "label"))
        return DeviceFactor(
            factor=self.text(members, "factor", pointer) if "factor" in members else code,
            unit=self.text(members, "unit", pointer),
            label=self.choice(members, "label", pointer, get_args(Label), label),
        )

    def _password(self, members: dict[str, object], pointer: str) -> str:
        value = members.get("password", "")
        if "password" in members and (not isinstance(value, str) or PASSWORD.fullmatch(value) is None):
            self.fault(f"{pointer}/password", "is not 1 to 32 printable ASCII characters without `;` and blanks")
        return value if isinstance(value, str) else ""

    def _networks(self, value: object, pointer: str) -> tuple[str, ...]:
        """Networks as `10.1.0.0/16` or `fd00::/8`; a single address is a network of one."""
        if not isinstance(value, list):
            self.fault(pointer, "is not a list")
            return ()
        for index, text in enumerate(value):
            try:
                ipaddress.ip_network(text if isinstance(text, str) else "")
            except ValueError:
                self.fault(f"{pointer}/{index}", "is not a network, such as 10.1.0.0/16")
        return tuple(text for text in value if isinstance(text, str))

    def _key(self, members: dict[str, object], pointer: str) -> str:
        value = members.get("key", "")
        if "key" in members and not (isinstance(value, str) and _KEY.fullmatch(value)):
            self.fault(f"{pointer}/key", "is not an SM4 key of 32 hexadecimal digits")
            return ""
        return str(value)

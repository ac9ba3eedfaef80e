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
import json
import re
from collections.abc import Hashable
from typing import Any, Literal, cast, get_args

import msgspec
import yaml

from schemas.errors import LimitError, SharingError
from schemas.periods import PERIODS

MAX_DOCUMENT = 1_048_576  # bytes; YAML is read at some 50 to 100 kB a second, JSON at 5 MB
MAX_TEXT = 128  # characters of one scalar, as in the records it ends up in
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
_FAULTY = "\0"  # stands for a text whose fault is noted, so that reading goes on; no document can say it


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
    document = _Reading(_load(data))
    devices = document.devices()
    if document.faults:
        raise DeviceError(
            "; ".join(f"{pointer or '/'}: {text}" for pointer, text in document.faults),
            pointers=[pointer or "/" for pointer, _ in document.faults],
            extra={"faults": [{"pointer": pointer, "text": text} for pointer, text in document.faults]},
        )
    return devices


class _Reading:
    """One pass over a document that notes every fault instead of stopping at the first."""

    def __init__(self, document: object) -> None:
        self.faults: list[tuple[str, str]] = []
        self._document = document

    def devices(self) -> dict[str, Device]:
        devices: dict[str, Device] = {}
        top = self._mapping(self._document, "", ("devices",), ())
        listed = top.get("devices", [])
        if not isinstance(listed, list):
            self._fault("/devices", "is not a list")
            return devices
        for index, entry in enumerate(listed):
            device = self._device(entry, f"/devices/{index}")
            if device.mn in devices and device.mn != _FAULTY:
                self._fault(f"/devices/{index}/mn", f"{device.mn} is registered twice")
            devices[device.mn] = device
        return devices

    def _device(self, entry: object, pointer: str) -> Device:
        required = ("mn", "site", "profile")
        members = self._mapping(entry, pointer, required, _OPTIONAL)
        label: Label = self._choice(members, "label", pointer, get_args(Label), "start")
        codes = self._mapping(members.get("factors", {}), f"{pointer}/factors", (), None)
        return Device(
            mn=self._text(members, "mn", pointer),
            site=self._text(members, "site", pointer),
            profile=self._choice(members, "profile", pointer, get_args(Profile), "hj212-2017"),
            minute=self._choice(members, "minute", pointer, MINUTE_PERIODS, None),
            label=label,
            encoding=self._choice(members, "encoding", pointer, get_args(Encoding), "utf-8"),
            password=self._password(members, pointer),
            networks=self._networks(members.get("networks", []), f"{pointer}/networks"),
            key=self._key(members, pointer),
            factors={
                code: self._factor(code, entry, f"{pointer}/factors/{_escape(code)}", label)
                for code, entry in codes.items()
            },
        )

    def _factor(self, code: str, entry: object, pointer: str, label: Label) -> DeviceFactor:
        if CODE.fullmatch(code) is None:
            self._fault(pointer, "is not a code of 1 to 32 letters, digits, `_` and `.`")
        members = self._mapping(entry, pointer, ("unit",), ("factor", "label"))
        return DeviceFactor(
            factor=self._text(members, "factor", pointer) if "factor" in members else code,
            unit=self._text(members, "unit", pointer),
            label=self._choice(members, "label", pointer, get_args(Label), label),
        )

    def _password(self, members: dict[str, object], pointer: str) -> str:
        value = members.get("password", "")
        if "password" in members and (not isinstance(value, str) or PASSWORD.fullmatch(value) is None):
            self._fault(f"{pointer}/password", "is not 1 to 32 printable ASCII characters without `;` and blanks")
        return value if isinstance(value, str) else ""

    def _networks(self, value: object, pointer: str) -> tuple[str, ...]:
        """Networks as `10.1.0.0/16` or `fd00::/8`; a single address is a network of one."""
        if not isinstance(value, list):
            self._fault(pointer, "is not a list")
            return ()
        for index, text in enumerate(value):
            try:
                ipaddress.ip_network(text if isinstance(text, str) else "")
            except ValueError:
                self._fault(f"{pointer}/{index}", "is not a network, such as 10.1.0.0/16")
        return tuple(text for text in value if isinstance(text, str))

    def _mapping(
        self, value: object, pointer: str, required: tuple[str, ...], optional: tuple[str, ...] | None
    ) -> dict[str, object]:
        """`value` as a mapping with these members and no others; `optional` None admits any name.

        What is missing is a fault here, and no second one where it is read.
        """
        if not isinstance(value, dict):
            self._fault(pointer, "is not a mapping")
            return {}
        for name in required:
            if name not in value:
                self._fault(pointer, f"lacks `{name}`")
        if optional is not None:
            for name in value:
                if name not in required and name not in optional:
                    self._fault(f"{pointer}/{_escape(name)}", "is not a member we know")
        return cast("dict[str, object]", value)

    def _text(self, members: dict[str, object], name: str, pointer: str) -> str:
        if name not in members:
            return _FAULTY
        value = members[name]
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > MAX_TEXT:
            self._fault(f"{pointer}/{name}", f"is not text of 1 to {MAX_TEXT} printable characters; quote it in JSON")
            return _FAULTY
        return value

    def _key(self, members: dict[str, object], pointer: str) -> str:
        value = members.get("key", "")
        if "key" in members and not (isinstance(value, str) and _KEY.fullmatch(value)):
            self._fault(f"{pointer}/key", "is not an SM4 key of 32 hexadecimal digits")
            return ""
        return str(value)

    def _choice(
        self, members: dict[str, object], name: str, pointer: str, choices: tuple[Any, ...], default: Any
    ) -> Any:
        value = members.get(name, default)
        if name in members and value not in choices:
            self._fault(f"{pointer}/{name}", f"is not one of {', '.join(choices)}")
            return default
        return value

    def _fault(self, pointer: str, text: str) -> None:
        self.faults.append((pointer, text))


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _load(data: bytes) -> object:
    """The document as mappings, lists and text. JSON is tried first where it may be: it reads much faster."""
    try:
        text = data.decode("utf-8-sig")
        if text.lstrip().startswith("{"):
            try:
                return json.loads(text, object_pairs_hook=_unique, parse_int=float)  # a number is a fault anyway
            except json.JSONDecodeError:
                pass  # a YAML mapping may open with a brace as well
        return yaml.load(text, Loader=_TextLoader)  # noqa: S506 - a BaseLoader makes text, lists and mappings only
    except UnicodeDecodeError as error:
        raise DeviceError("the document is not UTF-8") from error
    except RecursionError as error:
        raise DeviceError("the document is nested too deeply") from error
    except yaml.YAMLError as error:
        raise DeviceError(f"the document is neither JSON nor YAML: {' '.join(str(error).split())[:200]}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str) or not name.isprintable():
            raise DeviceError("a member's name is not printable text")
        if name in members:
            raise DeviceError(f"`{name[:MAX_TEXT]}` is given twice in one mapping")
        members[name] = value
    return members


class _TextLoader(yaml.BaseLoader):
    """YAML with every scalar as text, without aliases (they can make a small document huge) or repeated members."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise DeviceError("the document uses an alias (`*name`); write the members out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002
        build = self.construct_object
        return dict(_unique([(build(key, deep=True), build(value, deep=True)) for key, value in node.value]).items())

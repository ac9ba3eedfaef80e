"""A data segment as a message: `QN=…;ST=…;CN=…;PW=…;MN=…;Flag=…;CP=&&…&&`, HJ 212-2017 6.3.2 and 6.3.3.

Fields are found by name and not by place, since field units put them in any order. What can be understood is
understood, and every rule it breaks is noted in `deviations`; what would have to be guessed is refused. Text is UTF-8.
What is not is read as GBK where the device is registered as sending that, which is noted, and else refused.

This module must never change a value's text, or make of two contradicting values the one it likes better.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from schemas.devices import Device
from schemas.errors import PacketError
from schemas.hj212.frame import NO_DEVICES, Frame
from schemas.hj212.problems import Finding, packet_error
from schemas.hj212.sm4 import BLOCK, is_secret

MAX_MN = 64  # characters; the standard has 24, and no more were seen in the field
MAX_DEVIATIONS = 100  # of one packet; a reader of the report learns nothing from more

AMBIGUOUS = "packet.value-ambiguous"
"""The deviation of a value that the packet gives twice, and differently: `items` has the first, nobody may use it."""

PART_OPEN = "packet.part-open"
"""The deviation of a part whose last value was left out, since its other half may be in a part that is missing."""

STANDARD_MN = re.compile(r"[0-9A-F]{24}", re.ASCII)

_FIELDS = ("QN", "ST", "CN", "PW", "MN", "Flag", "PNUM", "PNO", "RF")
_FIELDS_FOLDED = {name.casefold(): name for name in _FIELDS}
_STANDARD_HEADER = re.compile(
    r"QN=(?P<QN>\d{17});ST=(?P<ST>[0-9A-Z]{2});CN=(?P<CN>\d{4});PW=(?P<PW>[^;]*);MN=(?P<MN>[^;]*);Flag=(?P<Flag>\d\d?);",
    re.ASCII,
)
_NO_MARKS = bytes(set(range(256)) - set(b"=,;"))
_MAX_LAYOUT = 500  # parts of an area whose layout is remembered: 250 pairs, in 1,024 bytes there are some 70
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BLANKS = re.compile(r"(?<! ) +(?=[;,=])|(?<=[;,=]) +")  # written so that a long run of blanks is read once
_DIGITS = re.compile(r"\d{1,4}", re.ASCII)
_QN = re.compile(r"\d{17}", re.ASCII)
_CN = re.compile(r"\d{4}", re.ASCII)


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One understood packet. Text is as the packet wrote it; an empty text is a field the packet does not have.

    `items` maps a factor's code, in the packet's order, to its attributes (`{"w20004": {"Rtd": "0.0021", "Flag":
    "N"}}`); an item of the form `PolId=w01019,i12001-Info=0` is kept under the factor it names, with the attribute
    `i12001-Info`. `fields` holds the other members of the data area but DataTime, which is `data_time`. `resent` is
    RF=1 of HJ 212-2025. `number` and `offset` say where the packet was in its input.
    """

    cn: str
    qn: str = ""
    st: str = ""
    pw: str = ""
    mn: str = ""
    flag: int | None = None
    pnum: int | None = None
    pno: int | None = None
    resent: bool = False
    data_time: str = ""
    items: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    deviations: tuple[Finding, ...] = ()
    number: int = 1
    offset: int = 0

    @property
    def version(self) -> int | None:
        """The edition in the flag's upper bits: 0 is 2005, 1 is 2017, 2 is 2025; None without a flag.

        Surface-water stations send 2 as well, since long before 2025.
        """
        return None if self.flag is None else self.flag >> 2

    @property
    def wants_answer(self) -> bool:
        """The flag's lowest bit: the sender waits for a reply. (2017 calls it A and 2025 D; the bit is the same.)"""
        return bool(self.flag and self.flag & 1)


def parse_message(frame: Frame, devices: Mapping[str, Device] = NO_DEVICES) -> Message:
    """The message in a frame. `devices`, by MN, give the encoding of text that is not UTF-8.

    The caller must still ask whether the device may send at all, and `to_observations` what the values are.

    Raises:
        PacketError: `packet.malformed` or `packet.encoding-wrong`, with the packet's place.
    """
    notes = _Notes(frame)
    head, _, area = frame.segment.partition(b"CP=&&")
    if not area.endswith(b"&&"):
        raise notes.refuse("packet.malformed", "the data segment has no `CP=&&…&&`")
    header = _read_header(notes.text(head, "ascii"), notes)
    mn = header["MN"]
    device = devices.get(mn)
    encoding: str = device.encoding if device else "utf-8"
    if device and device.key and not frame.opened and is_secret(header["CN"]) and len(area) >= BLOCK + 2:
        notes.note("packet.unencrypted", "the device has a key, but sent this in clear")
    if encoding != "utf-8" and not area.isascii():
        encoding = _fall_back(area, encoding, notes)
    body = notes.text(area[:-2], encoding)
    items, fields = _read_area(body, notes)
    data_time = fields.pop("DataTime", "")
    if len(data_time) == 17:
        notes.note("packet.data-time-millis", "DataTime has 17 digits instead of 14")
    return Message(
        cn=header["CN"],
        qn=header.get("QN", ""),
        st=header.get("ST", ""),
        pw=header.get("PW", ""),
        mn=mn,
        flag=int(header["Flag"]) if "Flag" in header else None,
        pnum=int(header["PNUM"]) if "PNUM" in header else None,
        pno=int(header["PNO"]) if "PNO" in header else None,
        resent=header.get("RF") == "1",
        data_time=data_time,
        items=items,
        fields=fields,
        deviations=notes.all(),
        number=frame.number,
        offset=frame.offset,
    )


def _fall_back(area: bytes, registered: str, notes: _Notes) -> str:
    """The encoding of text that is not ASCII, from a device registered as not sending UTF-8: noted either way."""
    try:
        area.decode("utf-8")
    except UnicodeDecodeError:
        notes.note("packet.encoding", f"text is in {registered}, as registered, and not in UTF-8")
        return registered
    notes.note("packet.encoding", f"text is in UTF-8, although {registered} is registered")
    return "utf-8"


class _Notes:
    """The deviations of one packet as they are found, each once for its place."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._found: dict[tuple[str, str, str], Finding] = {}

    def note(self, code: str, text: str, factor: str = "", attribute: str = "") -> None:
        """Remember a deviation; where there are too many, the packet is not worth listing them."""
        self._found.setdefault((code, factor, attribute), Finding(code, text, factor, attribute))
        if len(self._found) > MAX_DEVIATIONS:
            raise self.refuse("packet.malformed", f"the packet deviates in more than {MAX_DEVIATIONS} places")

    def refuse(self, code: str, detail: str) -> PacketError:
        return packet_error(code, detail, number=self._frame.number, offset=self._frame.offset)

    def all(self) -> tuple[Finding, ...]:
        return (*self._frame.deviations, *self._found.values()) if self._found else self._frame.deviations

    def text(self, data: bytes, encoding: str) -> str:
        """Bytes as text without control characters, and without blanks around its marks."""
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            raise self.refuse("packet.encoding-wrong", f"byte {error.start} is not {encoding.upper()}") from error
        if not text.isprintable() and _CONTROL.search(text):
            raise self.refuse("packet.malformed", "the data segment holds a control character")
        if " " in text:
            tight = _BLANKS.sub("", text).strip(" ")
            if tight != text:
                self.note("packet.blank", "there are blanks around names or values")
            return tight
        return text


def _read_header(text: str, notes: _Notes) -> dict[str, str]:
    """The fields before CP by their standard names, in the packet's order; CN and MN are there, the rest may be absent.

    Raises:
        PacketError: without a CN nobody can say what the packet is; a longer MN than any device has is hostile.
    """
    standard = _STANDARD_HEADER.fullmatch(text)
    header = standard.groupdict() if standard else _search_header(text, notes)
    if STANDARD_MN.fullmatch(header["MN"]) is None:
        _check_mn(header["MN"], notes)
    return header


def _search_header(text: str, notes: _Notes) -> dict[str, str]:
    """The same for a header that is not quite the standard's: field by field, with a note for each difference."""
    header: dict[str, str] = {}
    for part in text.removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        if name not in _FIELDS:
            field = _FIELDS_FOLDED.get(name.strip(",").casefold())
            if field is None or not equals:
                notes.note("packet.field-unknown", f"{part[:40]!r} is not a field of the header", attribute=name[:40])
                continue
            notes.note("packet.field-name", f"`{name}` was read as `{field}`", attribute=field)
            name = field
        if header.setdefault(name, value) != value:
            raise notes.refuse("packet.malformed", f"the header has two different `{name}`")
    if _CN.fullmatch(header.get("CN", "")) is None:
        raise notes.refuse("packet.malformed", "the header has no command code CN of four digits")
    for name, most in (("Flag", 255), ("PNUM", 9_999), ("PNO", 9_999)):
        if name in header and (_DIGITS.fullmatch(header[name]) is None or int(header[name]) > most):
            notes.note("packet.number-malformed", f"`{name}` is not a number up to {most}", attribute=name)
            del header[name]
    _note_absent(header, notes)
    return {"MN": ""} | header


def _note_absent(header: dict[str, str], notes: _Notes) -> None:
    """Note what the standard asks of a header and this one does not have."""
    if "QN" not in header:
        notes.note("packet.qn-missing", "the packet has no request number QN")
    elif _QN.fullmatch(header["QN"]) is None:
        notes.note("packet.qn-malformed", "the QN is not a time of 17 digits")
    elif next(iter(header)) != "QN":
        notes.note("packet.field-order", "the QN is not the first field")
    if not header.get("ST"):
        notes.note("packet.st-missing", "the packet has no system code ST")
    if "Flag" not in header:
        notes.note("packet.flag-missing", "the header has no Flag, so it does not say its edition")
    if header.get("RF", "1") != "1":
        notes.note("packet.rf-malformed", "RF is only ever 1, or absent")


def _check_mn(mn: str, notes: _Notes) -> None:
    if len(mn) > MAX_MN:
        raise notes.refuse("packet.malformed", f"the MN has more than {MAX_MN} characters")
    if mn:
        notes.note("packet.mn-nonstandard", "the MN is not 24 digits and letters A to F")
    else:
        notes.note("packet.mn-missing", "the packet does not say which device sent it")


def _read_area(text: str, notes: _Notes) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Items and fields of the data area (what stands between the two `&&`).

    A field unit sends the same names in the same order all its life; only values change. So names are taken apart once,
    and an area of known names is split and its values are put in their places.
    """
    if not text:
        return {}, {}
    parts = text.replace(";", "=").replace(",", "=").split("=")
    if len(parts) <= _MAX_LAYOUT:
        layout = _layout(tuple(parts[::2]), text.encode().translate(None, _NO_MARKS))
        if layout is not None:
            return layout.fill(parts[1::2])
    return _search_area(text, notes)


class _Layout:
    """Where the values of an area are: items as code and the places of their attributes, fields as name and place."""

    def __init__(self, items: dict[str, dict[str, int]], fields: dict[str, int]) -> None:
        self._items = [(code, list(places.items())) for code, places in items.items()]
        self._fields = list(fields.items())
        # Most real-time items are a value and its flag; two at a time is twice as fast as any number at a time.
        self._twos = [(code, *two[0], *two[1]) for code, two in self._items if len(two) == 2]

    def fill(self, values: list[str]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """Items and fields with these values."""
        if len(self._twos) == len(self._items):
            items = {code: {name: values[at], other: values[then]} for code, name, at, other, then in self._twos}
        else:
            items = {code: {name: values[at] for name, at in places} for code, places in self._items}
        return items, {name: values[at] for name, at in self._fields}


@lru_cache(maxsize=1_024)  # shapes, not packets: devices of one make share theirs
def _layout(names: tuple[str, ...], marks: bytes) -> _Layout | None:
    """Where the values of an area with these names are; None where something about it wants a closer look."""
    count = len(names)
    if len(marks) != 2 * count - 1 or marks[::2] != b"=" * count or b"=" in marks[1::2] or len(set(names)) < count:
        return None  # not pairs, or a name twice
    items: dict[str, dict[str, int]] = {}
    fields: dict[str, int] = {}
    for place, name in enumerate(names):
        code, hyphen, attribute = name.rpartition("-")
        if not (code and attribute if hyphen else name and name != "PolId"):
            return None
        if hyphen:
            items.setdefault(code, {})[attribute] = place
        else:
            fields[name] = place
    return _Layout(items, fields)


def _search_area(text: str, notes: _Notes) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The same pair by pair, with a note for everything that deviates."""
    items: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    for group in text.split(";"):
        pairs = group.split(",")
        if len(pairs) > 1 and group.startswith("PolId="):
            _read_information(pairs, items, notes)
            continue
        for pair in pairs:
            name, equals, value = pair.partition("=")
            code, hyphen, attribute = name.rpartition("-")
            if code and attribute and equals:
                item = items.get(code)
                if item is None:
                    items[code] = {attribute: value}
                elif item.setdefault(attribute, value) != value:
                    _contradiction(notes, code, attribute, item[attribute], value)
            elif name and equals and not hyphen:
                if fields.setdefault(name, value) != value:
                    _field_contradiction(notes, name)
            elif pair:
                notes.note("packet.item-malformed", f"{pair[:40]!r} is not a name and a value", attribute=name[:40])
            else:
                notes.note("packet.item-empty", "there is a separator with nothing before or after it")
    return items, fields


def _read_information(pairs: list[str], items: dict[str, dict[str, str]], notes: _Notes) -> None:
    """An item `PolId=w01019,i12001-Info=0`: information about one factor, kept under that factor."""
    code = pairs[0].partition("=")[2]
    item = items.setdefault(code, {})
    for pair in pairs[1:]:
        name, equals, value = pair.partition("=")
        if not equals or "-" not in name:
            notes.note("packet.item-malformed", f"{pair[:40]!r} is not a name and a value", code, name[:40])
        elif item.setdefault(name, value) != value:
            _contradiction(notes, code, name, item[name], value)


def _contradiction(notes: _Notes, code: str, attribute: str, first: str, second: str) -> None:
    """The same attribute of the same factor twice and differently: nobody knows which one is true."""
    text = f"`{code}-{attribute}` is given as {first[:40]!r} and as {second[:40]!r}"
    notes.note(AMBIGUOUS, text, code, attribute)


def _field_contradiction(notes: _Notes, name: str) -> None:
    """A field twice and differently. Two times for the same values cannot both hold, so that packet is refused."""
    if name == "DataTime":
        raise notes.refuse("packet.malformed", "the packet has two different DataTime")
    notes.note("packet.field-repeated", f"`{name}` is given more than once; the first one is kept", attribute=name)

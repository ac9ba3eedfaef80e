"""From bytes to a parcel: the records that can be understood, and what is wrong with the rest, place by place.

One bad line costs that line. What is understood in form but names something unknown (a factor, a unit, a device) is
held with its own bytes, so that it can come through this same door again when that is known. A code that this party
has a mapping for is translated here, before anything is judged, and the report says by which version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.ingest.terms import Terms
from schemas.devices import Device
from schemas.errors import LimitError, PacketError, RecordError, SharingError, UnresolvedError
from schemas.factors import Factors
from schemas.flags import Flags
from schemas.hj212 import NOTED, Damage, Message, parse_message, split_packets, to_observations
from schemas.mappings import Meaning
from schemas.records import Observation, Record, check_record, decode_line, decode_open_line, encode_record
from schemas.sheets import CSV, SHEETS, XLSX, Finding, Through, place, read_grid, read_sheet
from schemas.times import beijing_text

NDJSON = "application/x-ndjson"
JSON = "application/json"
HJ212 = "text/vnd.hj212"
MEDIA_TYPES = (NDJSON, JSON, HJ212, CSV, XLSX)

MAX_LINES = 200_000  # records of one submission; a larger load is several
_SHOWN = 200  # bytes of the offending text that a report repeats


class Item(msgspec.Struct, frozen=True, gc=False):
    """One record, where it stood, and the bytes it came as."""

    place: str
    record: Record
    content: bytes
    media_type: str = NDJSON
    more: dict[str, bytes] | None = None  # members of a later schema version, as they were written


@dataclass(frozen=True)
class Problem:
    """One line of the report. `verdict` is refused, held, revised or noted."""

    place: str
    verdict: str
    code: str
    detail: str
    pointers: tuple[str, ...] = ()
    text: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "place": self.place,
            "verdict": self.verdict,
            "code": self.code,
            "detail": self.detail,
            "pointers": list(self.pointers),
            "text": self.text,
        }


@dataclass(frozen=True)
class Waiting:
    """Content that waits for `name` of the sort `waits_for` (site, factor, unit or device)."""

    place: str
    content: bytes
    media_type: str
    waits_for: str
    name: str


@dataclass
class Parcel:
    """What one submission or batch turned out to hold."""

    items: list[Item] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mapped: set[str] = field(default_factory=set)  # codes whose translation the report has told

    def refuse(self, place: str, error: SharingError, content: bytes) -> None:
        text = content[:_SHOWN].decode("utf-8", "replace")
        self.problems.append(Problem(place, "refused", error.code, error.detail, error.pointers, text))

    def hold(self, waiting: Waiting, code: str, detail: str) -> None:
        self.waiting.append(waiting)
        text = waiting.content[:_SHOWN].decode("utf-8", "replace")
        self.problems.append(Problem(waiting.place, "held", code, detail, (), text))

    def tell(self, place: str, code: str, meaning: Meaning, reference: str) -> None:
        """Once for each code: what it was taken to mean, and by which version of the mappings."""
        if code not in self.mapped:
            self.mapped.add(code)
            detail = f"{code} is {meaning.factor} ({meaning.name}) by {reference}, here and wherever it stands in this"
            self.problems.append(Problem(place, "noted", "record.factor-mapped", detail, ("/factor",)))


def unpack(
    media_type: str, content: bytes, devices: Mapping[str, Device], terms: Terms, through: Through | None = None, *,
    received: Sequence[int] = (),
) -> Parcel:  # fmt: skip
    """The parcel in `content`, of one of `MEDIA_TYPES`, read in these terms. A sheet is read `through` its profile.

    A logger cannot say when its packet arrived, so `received` does, in ms UTC: one instant for each packet in turn, the
    last one for all that follow. Records say it themselves.

    Raises:
        LimitError: more records than one submission may hold.
        RecordError: the whole is not what its media type says (`submission.not-json`, `submission.media-type`), or
            there is nothing in it (`submission.empty`).
    """
    if not content or content.isspace():
        raise _empty()
    match media_type:
        case "application/x-ndjson":
            return unpack_lines(content.split(b"\n"), terms)
        case "application/json":
            return unpack_lines(_array(content), terms, word="element")
        case "text/vnd.hj212":
            return _unpack_packets(content, devices, terms, [beijing_text(at) for at in received])
    if media_type in SHEETS:
        return _unpack_sheet(media_type, content, through)
    raise RecordError(f"records come as {', '.join(MEDIA_TYPES)}", code="submission.media-type")


def unpack_lines(
    lines: Iterable[bytes], terms: Terms, *, word: str = "line", first: int = 1, later: bool = False
) -> Parcel:
    """One record a line, the first numbered `first`; empty ones are passed over but counted: places are true.

    `later`: the lines are of a later minor version of the schema, whose new members are set aside and kept.
    """
    parcel = Parcel()
    tables, words = terms.tables, terms.codes.words if terms.codes else frozenset()
    for number, raw in enumerate(lines, first):
        line = raw.strip(b" \r\t")
        if not line:
            continue
        if number > MAX_LINES:
            raise LimitError(f"a submission holds at most {MAX_LINES} records", code="submission.too-many")
        place = f"{word} {number}"
        more: dict[str, bytes] | None = None
        try:
            if later:
                record, more = decode_open_line(line)
            else:
                record = decode_line(line)
            if type(record) is Observation and record.factor in words:
                record = _translated(parcel, place, record, terms)
            check_record(record, tables)
        except UnresolvedError as error:
            parcel.hold(Waiting(place, line, NDJSON, error.waits_for, error.name), error.code, error.detail)
        except SharingError as error:
            parcel.refuse(place, error, line)
        else:
            parcel.items.append(Item(place, record, line, more=more))
    return parcel


def _translated(parcel: Parcel, place: str, record: Observation, terms: Terms) -> Observation:
    """The record under the factor that its code means."""
    translated, meaning = terms.translated(record)
    if meaning is not None and terms.codes is not None:
        parcel.tell(place, record.factor, meaning, terms.codes.reference)
    return translated


def _unpack_packets(content: bytes, devices: Mapping[str, Device], terms: Terms, received: Sequence[str]) -> Parcel:
    """One HJ 212 packet after another, however they follow on each other. A broken packet costs that packet."""
    parcel = Parcel()
    for found in split_packets(content, devices):
        if isinstance(found, Damage):
            _add_damage(parcel, found, content, devices)
            continue
        try:
            message = parse_message(found, devices)
            device = devices.get(message.mn)
            records, findings = to_observations(message, device, terms.tables[Flags])
        except PacketError as error:
            parcel.refuse(f"packet {found.number}", error, found.segment)
            continue
        for finding in findings:
            place = _packet_place(found.number, finding.factor, finding.attribute)
            verdict = "noted" if finding.code in NOTED else "refused"
            parcel.problems.append(Problem(place, verdict, finding.code, finding.text))
        if device is not None:
            records = _in_our_codes(parcel, records, message, device, terms)
        if received:
            instant = received[min(found.number, len(received)) - 1]
            records = [msgspec.structs.replace(record, received=instant) for record in records]
        _add_packet(parcel, found.packet, message, device, records, terms)
        if len(parcel.items) > MAX_LINES:
            raise LimitError(f"a submission holds at most {MAX_LINES} records", code="submission.too-many")
    return parcel


def _unpack_sheet(media_type: str, content: bytes, through: Through | None) -> Parcel:
    """The records of a sheet, each with the line it would have come as: that is what waits where something does.

    The tables in force are those of `through`. Its profile speaks the shared codes: the party's own are not looked for.
    """
    if through is None:
        message = "a sheet comes with the name of the profile that reads it (profile=NAME)"
        raise RecordError(message, code="submission.profile-missing")
    parcel = Parcel()
    grid = read_grid(media_type, content, through.profile)
    for found in read_sheet(grid, through.profile, through.use):
        where = place(found.row, found.column)
        if isinstance(found, Finding):
            _add_finding(parcel, where, found)
        else:
            parcel.items.append(Item(where, found.record, encode_record(found.record)))
        if len(parcel.items) > MAX_LINES:
            raise LimitError(f"a submission holds at most {MAX_LINES} records", code="submission.too-many")
    if not parcel.items and not parcel.problems:
        raise _empty()
    return parcel


def _add_finding(parcel: Parcel, where: str, found: Finding) -> None:
    if found.record is not None:
        parcel.waiting.append(Waiting(where, encode_record(found.record), NDJSON, found.waits_for, found.name))
    parcel.problems.append(Problem(where, found.verdict, found.code, found.detail, found.pointers, found.text))


def _add_damage(parcel: Parcel, found: Damage, content: bytes, devices: Mapping[str, Device]) -> None:
    """An encrypted packet waits for its device, whose registration may bring the key; everything else is refused."""
    place = f"packet {found.number}"
    if found.code == "packet.key-missing" and found.mn and found.mn not in devices:
        parcel.hold(Waiting(place, found.packet, HJ212, "device", found.mn), found.code, found.detail)
    else:
        parcel.refuse(place, found.error(), content[found.offset : found.offset + _SHOWN])


def _add_packet(
    parcel: Parcel, packet: bytes, message: Message, device: Device | None, records: Iterable[Observation],
    terms: Terms,
) -> None:  # fmt: skip
    """The values that are understood; the packet itself once for each thing that its registration does not say."""
    unknown: dict[str, str] = {}
    for record in records:
        place = _packet_place(message.number, record.factor, record.stat)
        if record.unit is None:
            unknown.setdefault(message.mn if device is None else f"{message.mn}/{record.factor}", place)
            continue
        try:
            check_record(record, terms.tables)
        except UnresolvedError as error:
            parcel.hold(Waiting(place, packet, HJ212, error.waits_for, error.name), error.code, error.detail)
        except SharingError as error:
            parcel.refuse(place, error, packet)
        else:
            parcel.items.append(Item(place, record, packet, HJ212))
    for name, place in unknown.items():
        detail = f"no registration gives unit and site for {name}; the packet waits for one"
        parcel.hold(Waiting(place, packet, HJ212, "device", name), "record.device-unknown", detail)


def _in_our_codes(
    parcel: Parcel, records: Iterable[Observation], message: Message, device: Device, terms: Terms
) -> list[Observation]:
    """A registered device's values under the factors that its codes mean. Its own registration goes first."""
    registered = {known.factor for code, known in device.factors.items() if known.factor != code}
    found: list[Observation] = []
    taken: dict[str, str] = {}
    for record in records:
        place = _packet_place(message.number, record.factor, record.stat)
        settled = record.factor in registered and terms.tables[Factors].known(record.factor)
        translated, meaning = (record, None) if settled else terms.translated(record, packet=True)
        if translated.unit is None:
            found.append(record)  # it waits for its unit under the code that the device writes
            continue
        if taken.setdefault(translated.factor, record.factor) != record.factor:
            detail = f"`{taken[translated.factor]}` is {translated.factor} already"
            parcel.problems.append(Problem(place, "refused", "packet.factor-repeated", detail))
            continue
        if meaning is not None and terms.codes is not None:
            parcel.tell(place, record.factor, meaning, terms.codes.reference)
        found.append(translated)
    return found


def _packet_place(number: int, factor: str, attribute: str) -> str:
    return ", ".join(part for part in (f"packet {number}", factor, attribute) if part)


def _array(content: bytes) -> list[bytes]:
    """The elements of a JSON array, each as the bytes it was written in."""
    try:
        elements = [bytes(raw) for raw in msgspec.json.decode(content, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("the body is not one JSON array", code="submission.not-json") from error
    if not elements:
        raise _empty()
    return elements


def _empty() -> RecordError:
    return RecordError("there are no records in this", code="submission.empty")

"""The strict reader of record lines: bytes → a record, or an error that names the place.

Two steps, because they fail differently. `decode_line` is about form: JSON, members, types. `check_record` is about
sense: identifiers, decimals, times, units and factors known here. An unknown factor or unit is not refused but held
(`UnresolvedError`); whether the site is known is the gateway's to say, since only it knows the sites.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from schemas import factors, periods, units
from schemas.errors import LimitError, RecordError
from schemas.records.observation import Observation
from schemas.records.site import Site
from schemas.times import to_millis

MAX_LINE = 65_536  # bytes of one record line
MAX_TEXT = 128  # characters of an identifier

_decoder = msgspec.json.Decoder(Observation | Site, strict=True)
_encoder = msgspec.json.Encoder()
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_UNKNOWN_MEMBER = re.compile(r"Object contains unknown field `(.*?)`")
_PLACE = re.compile(r"(.*) - at `\$(.*)`$")


def decode_line(line: bytes) -> Observation | Site:
    """One record from one line, its form checked.

    Raises:
        LimitError: `line` is longer than 65,536 bytes.
        RecordError: not JSON (`record.not-json`), an unknown member (`record.member-unknown`), an unknown kind
            (`record.kind-unknown`) or a member of the wrong type (`record.malformed`).
    """
    if len(line) > MAX_LINE:
        raise LimitError(f"a record line holds at most {MAX_LINE} bytes", code="record.too-large")
    try:
        record: Observation | Site = _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RecordError("the line is not one JSON object", code="record.not-json") from None
    return record


def encode_record(record: Observation | Site) -> bytes:
    """The line of `record`, without its newline: members in schema order, defaults left out."""
    return _encoder.encode(record)


def check_record(record: Observation | Site) -> None:
    """That `record` makes sense: identifiers, decimal, times, period, factor and unit.

    Raises:
        RecordError: it never can (`record.identifier-invalid`, `record.value-malformed`, `record.time-invalid` …).
        UnresolvedError: it may once its factor or unit is known here.
    """
    if isinstance(record, Site):
        _check_site(record)
    else:
        _check_observation(record)


def _check_observation(record: Observation) -> None:
    value = record.value
    if value is not None:
        if _DECIMAL.fullmatch(value) is None:
            message = f"{value[:40]!r} is not a plain decimal; write qualifiers in `q`"
            raise RecordError(message, code="record.value-malformed", pointers=["/value"])
    elif record.q is not None:
        raise RecordError("a qualifier needs a value", code="record.value-malformed", pointers=["/q"])
    if record.rev < 0:
        raise RecordError("a revision is a positive number", code="record.rev-invalid", pointers=["/rev"])
    to_millis(record.at)
    for text in (record.sent, record.received):
        if text:
            to_millis(text)
    if record.sample or record.flag or record.method or record.instrument or record.reason:
        _check_texts(record)
    _check_measure(record.site, record.factor, record.unit, record.period)


@lru_cache(maxsize=65_536)  # a series repeats these four for ever; an error is not cached
def _check_measure(site: str, factor: str, unit: str | None, period: str) -> None:
    _check_identifier(site, "/site")
    _check_identifier(factor, "/factor")
    if not periods.is_period(period):
        # `PT60M` and `PT1H` would be two keys for one value.
        message = f"{period[:40]!r} is not one of the periods in use ({', '.join(periods.PERIODS)})"
        raise RecordError(message, code="record.period-invalid", pointers=["/period"])
    factors.factor(factor)
    if unit is None:
        message = "a shared value has a unit; the device's registration gives one"
        raise RecordError(message, code="record.unit-missing", pointers=["/unit"])
    units.unit(unit)


def _check_site(record: Site) -> None:
    _check_identifier(record.id, "/id")
    for programme in record.programmes:
        _check_identifier(programme, "/programmes")
    if not record.name.zh:
        raise RecordError("a site has a Chinese name", pointers=["/name/zh"])
    if record.rev < 0:
        raise RecordError("a revision is a positive number", code="record.rev-invalid", pointers=["/rev"])


def _check_texts(record: Observation) -> None:
    for name in ("sample", "flag", "profile", "method", "instrument", "reason"):
        if len(getattr(record, name)) > MAX_TEXT:
            raise RecordError(f"`{name}` holds at most {MAX_TEXT} characters", pointers=[f"/{name}"])


def _check_identifier(text: str, pointer: str) -> None:
    if _IDENTIFIER.fullmatch(text) is None:
        message = f"{text[:40]!r} is not an identifier (letters, digits, `.` `_` `:` `-`)"
        raise RecordError(message, code="record.identifier-invalid", pointers=[pointer])


def _explain(message: str) -> RecordError:
    """msgspec's sentence as our error: the member by name, the place as a JSON pointer."""
    place = _PLACE.match(message)
    text, path = (place[1], place[2]) if place else (message, "")
    pointer = path.replace(".", "/").replace("[", "/").replace("]", "")
    unknown = _UNKNOWN_MEMBER.match(text)
    if unknown:
        name = unknown[1]
        return RecordError(f"unknown member `{name}`", code="record.member-unknown", pointers=[f"{pointer}/{name}"])
    if path == ".kind" or "required field `kind`" in text:
        return RecordError(text, code="record.kind-unknown", pointers=["/kind"])
    return RecordError(text, pointers=[pointer or "/"])

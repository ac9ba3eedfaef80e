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
MAX_TEXT = 128  # characters of an identifier or a short text
MAX_SITE = MAX_LINE // 2  # bytes of a site's line as handed in: what a gateway adds to it must not make it too large
MAX_REV = 2**31 - 1

_decoder = msgspec.json.Decoder(Observation | Site, strict=True)
_encoder = msgspec.json.Encoder()
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_TEXT = re.compile(rf"[^\x00-\x1f\x7f]{{0,{MAX_TEXT}}}")  # a database takes no NUL, a person no control characters
_UNKNOWN_MEMBER = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_PLACE = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)


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
            raise _no_decimal(value, "/value")
    elif record.q is not None:
        raise RecordError("a qualifier needs a value", code="record.value-malformed", pointers=["/q"])
    _check_rev(record.rev)
    _check_time(record.at, "/at")
    if record.sent:
        _check_time(record.sent, "/sent")
    if record.received:
        _check_time(record.received, "/received")
    if record.sample or record.reason or record.confirms:
        _check_texts(sample=record.sample, reason=record.reason, confirms=record.confirms)
    _check_rest(
        record.site, record.factor, record.unit, record.period, record.flag, record.profile, record.method,
        record.instrument, record.detection, record.determination,
    )  # fmt: skip


@lru_cache(maxsize=65_536)  # a series repeats these for ever; an error is not cached
def _check_rest(
    site: str, factor: str, unit: str | None, period: str, flag: str, profile: str, method: str, instrument: str,
    detection: str, determination: str,
) -> None:  # fmt: skip
    _check_identifier(site, "/site")
    _check_identifier(factor, "/factor")
    if not periods.is_period(period):
        # `PT60M` and `PT1H` would be two keys for one value.
        message = f"{period[:40]!r} is not one of the periods in use ({', '.join(periods.PERIODS)})"
        raise RecordError(message, code="record.period-invalid", pointers=["/period"])
    _check_texts(flag=flag, profile=profile, method=method, instrument=instrument)
    for name, limit in (("detection", detection), ("determination", determination)):
        if limit and _DECIMAL.fullmatch(limit) is None:
            raise _no_decimal(limit, f"/{name}")
    factors.factor(factor)
    if unit is None:
        message = "a shared value has a unit; the device's registration gives one"
        raise RecordError(message, code="record.unit-missing", pointers=["/unit"])
    _check_texts(unit=unit)
    if len(unit) > units.MAX_TEXT:
        raise RecordError(f"`unit` holds at most {units.MAX_TEXT} characters", pointers=["/unit"])
    code = units.unit(unit).code
    if code != unit:
        # Two spellings would be two contents of one value. Sheets and loggers are translated before they come here.
        raise RecordError(f"{unit!r} is written {code!r} (UCUM)", code="record.unit-spelling", pointers=["/unit"])


def _check_site(record: Site) -> None:
    _check_identifier(record.id, "/id")
    for programme in record.programmes:
        _check_identifier(programme, "/programmes")
    if not record.name.zh:
        raise RecordError("a site has a Chinese name", pointers=["/name/zh"])
    _check_rev(record.rev)
    if len(encode_record(record)) > MAX_SITE:
        raise LimitError(f"a site's line holds at most {MAX_SITE} bytes", code="record.too-large")


def _no_decimal(text: str, pointer: str) -> RecordError:
    message = f"{text[:40]!r} is not a plain decimal; write qualifiers in `q`"
    return RecordError(message, code="record.value-malformed", pointers=[pointer])


def _check_time(text: str, pointer: str) -> None:
    try:
        to_millis(text)
    except RecordError as error:
        raise RecordError(error.detail, code=error.code, pointers=[pointer]) from None


def _check_rev(rev: int) -> None:
    if not 0 <= rev <= MAX_REV:
        raise RecordError("a revision is a positive number", code="record.rev-invalid", pointers=["/rev"])


def _check_texts(**texts: str) -> None:
    for name, text in texts.items():
        if _TEXT.fullmatch(text) is None:
            message = f"`{name}` holds at most {MAX_TEXT} characters, and no control characters"
            raise RecordError(message, pointers=[f"/{name}"])


def _check_identifier(text: str, pointer: str) -> None:
    if _IDENTIFIER.fullmatch(text) is None:
        message = f"{text[:40]!r} is not an identifier (letters, digits, `.` `_` `:` `-`)"
        raise RecordError(message, code="record.identifier-invalid", pointers=[pointer])


def _explain(message: str) -> RecordError:
    """msgspec's sentence as our error: the member by name, the place as a JSON pointer."""
    place = _PLACE.fullmatch(message)
    text, path = (place[1], place[2]) if place else (message, "")
    pointer = path.replace(".", "/").replace("[", "/").replace("]", "")
    unknown = _UNKNOWN_MEMBER.fullmatch(text)
    if unknown:
        name = unknown[1][:MAX_TEXT]
        where = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"  # RFC 6901
        return RecordError(f"unknown member `{name}`", code="record.member-unknown", pointers=[where])
    if path == ".kind" or "required field `kind`" in text:
        return RecordError(text, code="record.kind-unknown", pointers=["/kind"])
    return RecordError(text, pointers=[pointer or "/"])

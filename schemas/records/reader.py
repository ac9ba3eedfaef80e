"""The strict reader of record lines: bytes → a record, or an error that names the place.

Two steps, because they fail differently. `decode_line` is about form: JSON, members, types. `check_record` is about
sense: identifiers, decimals, times, units and factors known here. An unknown factor or unit is not refused but held
(`UnresolvedError`); whether the site is known is the gateway's to say, since only it knows the sites.

Districts upgrade at different speeds: in a batch of a higher minor schema version (`decode_open_line`) members that
this version does not know are set aside, kept, and never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from schemas import periods
from schemas.errors import LimitError, RecordError
from schemas.factors import Factors
from schemas.records import agreement, case, inspection, mark, retraction, site, source
from schemas.records.agreement import Agreement
from schemas.records.case import Case
from schemas.records.inspection import Inspection
from schemas.records.keys import check_key
from schemas.records.mark import Mark
from schemas.records.observation import Observation
from schemas.records.parts import (
    MAX_REV,
    MAX_TEXT,
    check_decimal,
    check_identifier,
    check_identifiers,
    check_rev,
    check_texts,
    check_time,
    is_decimal,
)
from schemas.records.retraction import Retraction
from schemas.records.site import Site
from schemas.records.source import Source
from schemas.tables import Tables, shipped_tables
from schemas.times import to_millis
from schemas.units import MAX_TEXT as MAX_UNIT
from schemas.units import Units

Record: TypeAlias = Observation | Site | Source | Mark | Inspection | Case | Agreement | Retraction
"""Every kind a line may carry."""
Statement: TypeAlias = Site | Source | Mark | Inspection | Case | Agreement | Retraction
"""Every kind but observation: few of each, kept as their lines."""

MAX_LINE = 65_536  # bytes of one record line
MAX_STATEMENT = MAX_LINE // 2  # bytes as handed in, observations apart: what a gateway adds must not make it too large

_decoder = msgspec.json.Decoder(Record, strict=True)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()
_UNKNOWN_MEMBER = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_PLACE = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)


def decode_line(line: bytes) -> Record:
    """One record from one line, its form checked.

    Raises:
        LimitError: `line` is longer than 65,536 bytes.
        RecordError: not JSON (`record.not-json`), an unknown member (`record.member-unknown`), an unknown kind
            (`record.kind-unknown`) or a member of the wrong type (`record.malformed`).
    """
    if len(line) > MAX_LINE:
        raise LimitError(f"a record line holds at most {MAX_LINE} bytes", code="record.too-large")
    try:
        record: Record = _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RecordError("the line is not one JSON object", code="record.not-json") from None
    return record


def decode_open_line(line: bytes) -> tuple[Record, dict[str, bytes]]:
    """One record of a higher minor version, and the members that this version does not know, as they were written.

    What is unknown inside a member is left out of the record likewise; whoever keeps the line keeps that too.

    Raises:
        LimitError, RecordError: as `decode_line`.
    """
    document: Any = None
    set_aside: dict[str, bytes] = {}
    current = line
    while True:  # each turn takes one member out, and there are fewer of them than bytes in a line
        try:
            return decode_line(current), set_aside
        except RecordError as error:
            if error.code != "record.member-unknown":
                raise
            name = str(error.extra["member"])
            *parents, _ = error.pointers[0].split("/")[1:]
        if document is None:
            document, raw = msgspec.json.decode(line), _members.decode(line)
        if not parents:
            set_aside[name] = bytes(raw[name])
        inner = document
        for parent in parents:
            inner = inner[int(parent)] if isinstance(inner, list) else inner[parent]
        del inner[name]
        current = _encoder.encode(document)


def encode_record(record: Record) -> bytes:
    """The line of `record`, without its newline: members in schema order, defaults left out."""
    return _encoder.encode(record)


def check_record(record: Record, tables: Tables | None = None) -> None:
    """That `record` makes sense: identifiers, decimal, times, period, factor and unit.

    `tables` are those in force; None: the ones that ship, for whoever has no gateway.

    Raises:
        LimitError: `record.too-large`: it is longer than what a gateway may hand on.
        RecordError: it never can (`record.identifier-invalid`, `record.value-malformed`, `record.time-invalid` …).
        UnresolvedError: it may once its factor or unit is known here.
    """
    if type(record) is Observation:
        _check_observation(record, tables or shipped_tables())
        return
    check_rev(record.rev)
    check_texts(reason=record.reason)
    _CHECKS[type(record)](record)
    # An act of governance is made by its gateway, which adds nothing to it, and carries a whole plan.
    limit = MAX_LINE if type(record) is Agreement else MAX_STATEMENT
    if len(encode_record(record)) > limit:
        raise LimitError(f"the line of such a record holds at most {limit} bytes", code="record.too-large")


def _check_observation(record: Observation, tables: Tables) -> None:
    """The checks are called only where they would fail: this runs for every value there is."""
    value = record.value
    if value is None:
        if record.q is not None:
            raise RecordError("a qualifier needs a value", code="record.value-malformed", pointers=["/q"])
    elif not is_decimal(value):
        check_decimal(value, "/value")
    if not 0 <= record.rev <= MAX_REV:
        check_rev(record.rev)
    try:
        to_millis(record.at)
    except RecordError:
        check_time(record.at, "/at")
    if record.sent:
        check_time(record.sent, "/sent")
    if record.received:
        check_time(record.received, "/received")
    if record.sampled:
        check_time(record.sampled, "/sampled")
    if record.sample or record.reason or record.confirms or record.remark:
        check_texts(sample=record.sample, reason=record.reason, confirms=record.confirms, remark=record.remark)
    if record.findings:
        check_identifiers(findings=record.findings)
    _check_rest(
        tables, record.site, record.factor, record.unit, record.period, record.flag, record.profile, record.method,
        record.instrument, record.detection, record.determination,
    )  # fmt: skip


@lru_cache(maxsize=65_536)  # a series repeats these for ever; an error is not cached
def _check_rest(
    tables: Tables, site: str, factor: str, unit: str | None, period: str, flag: str, profile: str, method: str,
    instrument: str, detection: str, determination: str,
) -> None:  # fmt: skip
    check_identifier(site, "/site")
    check_identifier(factor, "/factor")
    if not periods.is_period(period):
        # `PT60M` and `PT1H` would be two keys for one value.
        message = f"{period[:40]!r} is not one of the periods in use ({', '.join(periods.PERIODS)})"
        raise RecordError(message, code="record.period-invalid", pointers=["/period"])
    check_texts(flag=flag, profile=profile, method=method, instrument=instrument)
    for name, limit in (("detection", detection), ("determination", determination)):
        if limit:
            check_decimal(limit, f"/{name}")
    tables[Factors].factor(factor)
    if unit is None:
        message = "a shared value has a unit; the device's registration gives one"
        raise RecordError(message, code="record.unit-missing", pointers=["/unit"])
    check_texts(unit=unit)
    if len(unit) > MAX_UNIT:
        raise RecordError(f"`unit` holds at most {MAX_UNIT} characters", pointers=["/unit"])
    code = tables[Units].unit(unit).code
    if code != unit:
        # Two spellings would be two contents of one value. Sheets and loggers are translated before they come here.
        raise RecordError(f"{unit!r} is written {code!r} (UCUM)", code="record.unit-spelling", pointers=["/unit"])


def _check_case(step: Case) -> None:
    case.check(step)
    for index, reference in enumerate(step.about):
        check_key(reference.kind, reference.key, f"/about/{index}/key")
        if reference.provider:
            check_identifier(reference.provider, f"/about/{index}/provider")


def _check_retraction(record: Retraction) -> None:
    retraction.check(record)
    check_key(record.of, record.key, "/key")


_CHECKS: dict[type, Callable[[Any], None]] = {
    Site: site.check,
    Source: source.check,
    Mark: mark.check,
    Inspection: inspection.check,
    Case: _check_case,
    Agreement: agreement.check,
    Retraction: _check_retraction,
}


def _explain(message: str) -> RecordError:
    """msgspec's sentence as our error: the member by name, the place as a JSON pointer."""
    place = _PLACE.fullmatch(message)
    text, path = (place[1], place[2]) if place else (message, "")
    pointer = path.replace(".", "/").replace("[", "/").replace("]", "")
    unknown = _UNKNOWN_MEMBER.fullmatch(text)
    if unknown:
        name = unknown[1][:MAX_TEXT]
        where = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"  # RFC 6901
        extra: dict[str, object] = {"member": unknown[1]}
        return RecordError(f"unknown member `{name}`", code="record.member-unknown", pointers=[where], extra=extra)
    if path == ".kind" or "required field `kind`" in text:
        return RecordError(text, code="record.kind-unknown", pointers=["/kind"])
    return RecordError(text, pointers=[pointer or "/"])

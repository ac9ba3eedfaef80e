"""Between a record and its stored row: the one place that knows both forms.

A retraction of a reading is stored as what it is, the next revision of that reading: a row without a value whose state
says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

import msgspec

from gateway.store.interning import SeriesKey, State
from gateway.store.observations import Row, bucket_of
from schemas.records import Observation, Record, Retraction, encode_record
from schemas.times import beijing_text, to_millis

_encode = msgspec.json.encode


class Extra(msgspec.Struct, frozen=True, omit_defaults=True):
    """Members that few readings carry. `more` are members of a later schema version, as they were written."""

    reason: str = ""
    resent: bool = False
    remark: str = ""
    sampled: str = ""
    author: str = ""
    more: dict[str, msgspec.Raw] = {}


def row_of(record: Observation, series_id: int, state_id: int, more: Mapping[str, bytes] | None = None) -> Row:
    """`record`, which has passed `check_record`, as a stored row; `more` are its members that we do not know."""
    at = to_millis(record.at)
    return Row(
        bucket_of(at),
        series_id,
        at,
        record.sample,
        record.rev or 1,  # the first, unless somebody has numbered it
        record.value,
        state_id,
        record.confirms or None,
        to_millis(record.sent) if record.sent else None,
        to_millis(record.received) if record.received else None,
        _extra_of(record, more) if record.reason or record.resent or record.remark or record.sampled or more else None,
    )


def retraction_row(retraction: Retraction, series_id: int, state_id: int) -> Row:
    """The row of a retraction of a reading; `state_id` is that of the state RETRACTED."""
    at = to_millis(str(retraction.key["at"]))
    extra = Extra(reason=retraction.reason, author=retraction.author)
    return Row(
        bucket_of(at), series_id, at, str(retraction.key["sample"]), retraction.rev or 1, None, state_id, None, None,
        None, _encode(extra).decode(),
    )  # fmt: skip


def with_reason(row: Row, reason: str) -> Row:
    """`row` as a revision that says why its value changed."""
    return row._replace(extra=_reasoned(row.extra, reason))


def record_of(row: Row, series: SeriesKey, state: State, findings: tuple[str, ...] = ()) -> Observation | Retraction:
    """The record behind a stored row, with what was found about it; its times read in Beijing time."""
    extra = extra_of(row)
    if state.retracted:
        key: dict[str, str | int] = {
            "site": series.site, "factor": series.factor, "origin": series.origin, "stat": series.stat,
            "period": series.period, "at": beijing_text(row.at), "sample": row.sample,
        }  # fmt: skip
        return Retraction(of="observation", key=key, rev=row.rev, reason=extra.reason, author=extra.author)
    return Observation(
        site=series.site, factor=series.factor, origin=series.origin, stat=series.stat, period=series.period,  # type: ignore[arg-type]
        at=beijing_text(row.at), sample=row.sample, rev=row.rev, value=row.value,
        q=state.q, unit=state.unit, flag=state.flag, profile=state.profile, review=state.review,  # type: ignore[arg-type]
        method=state.method, instrument=state.instrument, detection=state.detection,
        determination=state.determination, nondetects=state.nondetects, confirms=row.link or "",  # type: ignore[arg-type]
        sampled=extra.sampled,
        sent=beijing_text(row.sent) if row.sent is not None else "",
        received=beijing_text(row.received) if row.received is not None else "",
        reason=extra.reason, resent=extra.resent, remark=extra.remark, findings=findings,
    )  # fmt: skip


def extra_of(row: Row) -> Extra:
    """The rare members of a stored row."""
    return msgspec.json.decode(row.extra, type=Extra) if row.extra else _NO_EXTRA


def project(record: Record, hide: Collection[str], more: Mapping[str, msgspec.Raw] | None = None) -> bytes:
    """The line of `record` without the members the dataset hides, and with those of a later version (`more`)."""
    if not (hide or more):
        return encode_record(record)
    members: dict[str, object] = {**msgspec.to_builtins(record), **(more or {})}
    return _encode({name: value for name, value in members.items() if name not in hide})


_NO_EXTRA = Extra()


def _extra_of(record: Observation, more: Mapping[str, bytes] | None) -> str:
    if more:
        raw = {name: msgspec.Raw(value) for name, value in more.items()}
        extra = Extra(record.reason, record.resent, record.remark, record.sampled, more=raw)
        return _encode(extra).decode()
    return _extra_text(record.reason, record.resent, record.remark, record.sampled)


@lru_cache(maxsize=256)
def _extra_text(reason: str, resent: bool, remark: str, sampled: str) -> str:
    return _encode(Extra(reason, resent, remark, sampled)).decode()


@lru_cache(maxsize=256)
def _reasoned(extra: str | None, reason: str) -> str:
    old = msgspec.json.decode(extra, type=Extra) if extra else _NO_EXTRA
    return _encode(msgspec.structs.replace(old, reason=reason)).decode()

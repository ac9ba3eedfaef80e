"""Between a record and its stored row: the one place that knows both forms."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import msgspec

from gateway.store.interning import SeriesKey, State
from gateway.store.observations import Row, bucket_of
from schemas.records import Observation, Record, encode_record
from schemas.times import beijing_text, to_millis

_encode = msgspec.json.encode


class Extra(msgspec.Struct, frozen=True, omit_defaults=True):
    """Members that few readings carry."""

    reason: str = ""
    resent: bool = False


def row_of(record: Observation, series_id: int, state_id: int) -> Row:
    """`record`, which has passed `check_record`, as a stored row."""
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
        _extra_text(record.reason, record.resent) if record.reason or record.resent else None,
    )


def with_reason(row: Row, reason: str, *, resent: bool) -> Row:
    """`row` as a revision that says why its value changed."""
    return row._replace(extra=_extra_text(reason, resent))


def record_of(row: Row, series: SeriesKey, state: State) -> Observation:
    """The record behind a stored row; its times read in Beijing time."""
    extra = msgspec.json.decode(row.extra, type=Extra) if row.extra else Extra()
    return Observation(
        site=series.site, factor=series.factor, origin=series.origin, stat=series.stat, period=series.period,  # type: ignore[arg-type]
        at=beijing_text(row.at), sample=row.sample, rev=row.rev, value=row.value,
        q=state.q, unit=state.unit, flag=state.flag, profile=state.profile, review=state.review,  # type: ignore[arg-type]
        method=state.method, instrument=state.instrument, detection=state.detection,
        determination=state.determination, confirms=row.link or "",
        sent=beijing_text(row.sent) if row.sent is not None else "",
        received=beijing_text(row.received) if row.received is not None else "",
        reason=extra.reason, resent=extra.resent,
    )  # fmt: skip


def project(record: Record, hide: Collection[str]) -> bytes:
    """The line of `record` without the members the dataset hides."""
    if not hide:
        return encode_record(record)
    members = msgspec.to_builtins(record)
    return _encode({name: value for name, value in members.items() if name not in hide})


@lru_cache(maxsize=256)
def _extra_text(reason: str, resent: bool) -> str:
    return _encode(Extra(reason, resent)).decode()

"""What was held comes through the door again when what it waited for is here.

Each release is an act of its own. What still cannot be understood is held again under what it waits for now, so
nothing is lost and nothing goes round in circles: only content whose missing thing has arrived is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, delete, func, or_, select

from audit.entry import make_entry
from audit.form import RELEASE
from audit.log import append
from gateway.db import ReadSession, WriteSession
from gateway.ingest.parcel import HJ212, NDJSON, Parcel, unpack, unpack_lines
from gateway.ingest.terms import Terms
from gateway.service import Gateway
from gateway.store import tables
from gateway.store.acts import begin_act
from partners.plans import plans_in_force
from schemas.devices import Device
from schemas.errors import SharingError
from schemas.factors import Factors
from schemas.records import Observation, decode_line
from schemas.tables import Tables
from schemas.times import utc_text
from schemas.units import Units

_held = tables.held
_TOGETHER = 5_000  # lines of one release
_CHUNK = 500  # rows of one statement


def release_arrived(gateway: Gateway, *, now: int) -> int:
    """Take in everything held whose missing thing is known by now; how many held lines or packets that were."""
    columns = (_held.c.provider, _held.c.waits_for, _held.c.name)
    in_force = gateway.governed.at(now)
    with gateway.database.read() as session:
        waiting = session.execute(select(*columns, func.max(_held.c.act_id).label("newest")).group_by(*columns)).all()
        devices = gateway.devices.of(session) if any(row.waits_for == "device" for row in waiting) else {}
        terms = {row.provider: _terms(gateway, in_force, row.provider) for row in waiting}
        arrived = [row for row in waiting if _is_known(gateway, session, devices, terms[row.provider], *row[:3])]
    return sum(_release(gateway, terms[row.provider], *row, now=now) for row in arrived)


def held_counts(session: ReadSession) -> list[tuple[str, str, str, int, int]]:
    """What waits: provider, sort, name, how many, and since when (ms UTC) the oldest."""
    columns = (_held.c.provider, _held.c.waits_for, _held.c.name)
    query = select(*columns, func.count(), func.min(_held.c.since)).group_by(*columns).order_by(*columns)
    return [tuple(row) for row in session.execute(query)]


def _terms(gateway: Gateway, in_force: Tables, provider: str) -> Terms:
    return Terms.at_home(in_force, provider) if provider == gateway.party else Terms(in_force)


def _is_known(
    gateway: Gateway, session: ReadSession, devices: Mapping[str, Device], terms: Terms, provider: str,
    waits_for: str, name: str,
) -> bool:  # fmt: skip
    """Whether what waits for this would not wait for it again: if that were not so, it would go round for ever."""
    match waits_for:
        case "site":
            return bool(gateway.sites.programmes(session, provider, [name]))
        case "device":
            mn, _, code = name.partition("/")
            device = devices.get(mn)
            return device is not None and (not code or code in device.factors or _has_unit(terms, code))
        case "factor":
            return terms.tables[Factors].known(name) or _is_mapped(session, terms, provider, name)
    return terms.tables[Units].known(name)


def _has_unit(terms: Terms, code: str) -> bool:
    """Whether a mapping gives the code of a packet a factor and a unit, so that no registration need."""
    meaning = terms.codes.find(code, hj212=True) if terms.codes else None
    return meaning is not None and meaning.unit is not None


def _is_mapped(session: ReadSession, terms: Terms, provider: str, code: str) -> bool:
    """Whether a mapping says what `code` means in something that is held for it."""
    if terms.codes is None or terms.codes.find(code, hj212=True) is None:
        return False
    if terms.codes.find(code, hj212=False) is not None:
        return True
    # Only the codes of 2005 know it: they speak for packets, and for lines that say they come from an HJ 212 device.
    query = select(_held.c.media_type, _held.c.content).where(
        _held.c.provider == provider, _held.c.waits_for == "factor", _held.c.name == code,
        or_(_held.c.media_type == HJ212, _content_has(session, b"hj212-")),
    )  # fmt: skip
    return any(row.media_type == HJ212 or _speaks_hj212(row.content) for row in session.execute(query))


def _content_has(session: ReadSession, text: bytes) -> ColumnElement[bool]:
    """A look at the bytes by the database, so that not every held line is carried here and read each second."""
    if session.dialect.name == "sqlite":
        return func.instr(_held.c.content, text) > 0
    return _held.c.content.bool_op("LIKE")(b"%" + text + b"%")


def _speaks_hj212(line: bytes) -> bool:
    try:
        record = decode_line(line)
    except SharingError:  # held by an earlier release of this program, and no record to this one
        return False
    return isinstance(record, Observation) and record.profile.startswith("hj212-")


def _release(gateway: Gateway, terms: Terms, provider: str, waits_for: str, name: str, newest: int, *, now: int) -> int:
    """Release what acts up to `newest` left waiting: what this release itself holds again is not looked at again."""
    released = 0
    while True:
        with gateway.database.read() as session:
            waiting = (_held.c.provider == provider, _held.c.waits_for == waits_for, _held.c.name == name)
            query = select(_held).where(*waiting, _held.c.act_id <= newest)
            rows = session.execute(query.order_by(_held.c.id).limit(_TOGETHER)).all()
            devices = gateway.devices.of(session)
        if not rows:
            return released
        own = provider == gateway.party
        # A partner's lines may be of a later version of the schema, as they were when they came.
        parcel = unpack_lines([row.content for row in rows if row.media_type == NDJSON], terms, later=not own)
        # A packet is held once for each of its values that waits, and taken in as a whole.
        came: dict[bytes, int] = {}
        for row in rows:
            if row.media_type == HJ212:
                came.setdefault(row.content, row.since)
        for packet, since in came.items():
            _merge(parcel, unpack(HJ212, packet, devices, terms, received=(since,)))
        prepared = gateway.door.prepare(provider, parcel, now=now)
        with gateway.database.write() as session:
            # Were another process quicker, what it took in would come again here, as duplicates.
            _take_out(session, [row.id for row in rows])
            act = begin_act(session, "release", provider, f"{waits_for}:{name}", at=now, submitted=own)
            tally = gateway.door.take(session, prepared, act, plans_in_force(session, now))
            detail = {"waited_for": waits_for, "name": name, "tables": terms.references(), **tally.counts()}
            append(session, make_entry(RELEASE, at=utc_text(now), party=gateway.party, peer=provider, detail=detail))
        released += len(rows)
        gateway.settle(provider, tally)


def _take_out(session: WriteSession, ids: list[int]) -> None:
    for start in range(0, len(ids), _CHUNK):
        session.execute(delete(_held).where(_held.c.id.in_(ids[start : start + _CHUNK])))


def _merge(parcel: Parcel, other: Parcel) -> None:
    parcel.items += other.items
    parcel.waiting += other.waiting
    parcel.problems += other.problems

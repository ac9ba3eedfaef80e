"""Devices that send and are not registered: listed for the administrator, their packets kept within bounds.

A stranger is answered 9011 with QnRtn 4, wrong MN (HJ 212-2017 table 7), and never 9014: keeping its packets is a
courtesy with limits, so the logger must go on holding its data as its own. When somebody registers the device, what was
kept goes through the door like any other submission, as far as the registration lets it in.

Anybody can send under any MN, so everything here is bounded: devices in all and from one address, bytes of one and of
all, packets of one commit. What is beyond is counted and not kept; nobody can push another device's packets out.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from sqlalchemy import delete, func, insert, select, update

from gateway.db import Database, ReadSession, WriteSession
from gateway.errors import NotFoundError
from gateway.loggers.admission import judge
from gateway.store import tables
from schemas.devices import Device
from schemas.errors import PacketError
from schemas.hj212 import Damage, parse_message, split_packets

LISTED = 1_000  # devices in all
PER_ADDRESS = 50  # devices that came from one address
PER_DEVICE = 1024 * 1024  # bytes kept of one device; its oldest packets go first
IN_ALL = 64 * 1024 * 1024  # bytes kept; beyond, nothing more is
AT_ONCE = 200  # packets of one commit: strangers must not hold up those who are known
_TOGETHER = 1_000  # packets of one submission

_stranger, _packet = tables.stranger, tables.stranger_packet
log = structlog.get_logger()


class Visit(NamedTuple):
    """One packet of a stranger; `at` in ms UTC is when it came, `packet` the bytes it came as."""

    mn: str
    address: str
    at: int
    packet: bytes


class Stranger(NamedTuple):
    """A device nobody registered: where it came from last, when it was seen (ms UTC), how many packets came, and how
    many bytes of them are kept."""

    mn: str
    address: str
    first: int
    last: int
    packets: int
    kept: int


def strangers_of(session: ReadSession) -> list[Stranger]:
    """Every stranger, the one seen last first."""
    return [Stranger(*row) for row in session.execute(select(_stranger).order_by(_stranger.c.last.desc()))]


def note_strangers(session: WriteSession, visits: Sequence[Visit]) -> list[str]:
    """List who came and keep what they sent, within the bounds above; the MNs that are new."""
    by_mn: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits[:AT_ONCE]:
        by_mn[visit.mn].append(visit)
    known = {stranger.mn: stranger for stranger in strangers_of(session)}
    in_all = sum(stranger.kept for stranger in known.values())
    new = []
    for mn, came in sorted(by_mn.items()):
        if mn not in known:
            if len(known) >= LISTED or _from_address(known, came[0].address) >= PER_ADDRESS:
                continue
            known[mn] = Stranger(mn, came[0].address, came[0].at, came[0].at, 0, 0)
            session.execute(insert(_stranger).values(**known[mn]._asdict()))
            new.append(mn)
        kept = _keep(session, known[mn], came, room=IN_ALL - in_all)
        in_all += kept - known[mn].kept
        values = {"address": came[-1].address, "last": came[-1].at, "packets": known[mn].packets + len(came)}
        session.execute(update(_stranger).where(_stranger.c.mn == mn).values(**values, kept=kept))
    return new


def _from_address(known: Mapping[str, Stranger], address: str) -> int:
    return sum(stranger.address == address for stranger in known.values())


def _keep(session: WriteSession, stranger: Stranger, came: Sequence[Visit], *, room: int) -> int:
    """Keep the packets that are new; how many bytes of this stranger are kept then."""
    fresh = {hashlib.sha256(visit.packet).digest(): visit for visit in came}
    query = select(_packet.c.digest).where(_packet.c.mn == stranger.mn, _packet.c.digest.in_(list(fresh)))
    for held in session.scalars(query):
        del fresh[held]
    rows = []
    for digest, visit in fresh.items():
        if len(visit.packet) <= room:
            room -= len(visit.packet)
            rows.append({**_row(visit), "digest": digest})
    if rows:
        session.execute(insert(_packet), rows)
    kept = stranger.kept + sum(len(row["content"]) for row in rows)
    return kept - _make_room(session, stranger.mn, kept - PER_DEVICE)


def _row(visit: Visit) -> dict[str, Any]:
    return {"mn": visit.mn, "address": visit.address, "at": visit.at, "content": visit.packet}


def _make_room(session: WriteSession, mn: str, excess: int) -> int:
    """Let go of a stranger's oldest packets until `excess` bytes are gone; how many were."""
    if excess <= 0:
        return 0
    freed = newest = 0
    query = select(_packet.c.id, func.length(_packet.c.content)).where(_packet.c.mn == mn).order_by(_packet.c.id)
    for number, size in session.execute(query):
        freed, newest = freed + size, number
        if freed >= excess:
            break
    session.execute(delete(_packet).where(_packet.c.mn == mn, _packet.c.id <= newest))
    return freed


def take_in_registered(
    database: Database, devices: Mapping[str, Device], submit: Callable[[Sequence[Visit]], object]
) -> int:
    """`submit` what was kept of strangers that are registered by now; how many packets that were."""
    with database.read() as session:
        found = [mn for mn in session.scalars(select(_stranger.c.mn)) if mn in devices]
    return sum(_take_in(database, mn, devices, submit) for mn in found)


def _take_in(
    database: Database, mn: str, devices: Mapping[str, Device], submit: Callable[[Sequence[Visit]], object]
) -> int:
    """All packets of one device, submission by submission. A stop in between repeats one: its values are duplicates."""
    taken = dropped = 0
    while True:
        with database.read() as session:
            query = select(_packet).where(_packet.c.mn == mn).order_by(_packet.c.id).limit(_TOGETHER)
            rows = session.execute(query).all()
        visits = [Visit(mn, row.address, row.at, row.content) for row in rows]
        admitted = [visit for visit in visits if _admitted(visit, devices)]
        if admitted:
            submit(admitted)
        with database.write() as session:
            _delete(session, [row.id for row in rows])
            if len(rows) < _TOGETHER:
                session.execute(delete(_stranger).where(_stranger.c.mn == mn))
        taken += len(admitted)
        dropped += len(rows) - len(admitted)
        if len(rows) < _TOGETHER:
            log.info("loggers.stranger-registered", mn=mn, taken=taken, dropped=dropped)
            return taken


def _admitted(visit: Visit, devices: Mapping[str, Device]) -> bool:
    """Whether the registration would have let this packet in."""
    (found, *_) = split_packets(visit.packet, devices)
    if isinstance(found, Damage):
        return False
    try:
        message = parse_message(found, devices)
    except PacketError:
        return False
    return judge(message, devices, visit.address) == "welcome"


def expire_strangers(session: WriteSession, *, before: int) -> tuple[int, int]:
    """Forget packets that came before an instant (ms UTC), and devices not seen since; how many of each."""
    old = select(_packet.c.mn, func.sum(func.length(_packet.c.content)), func.count()).where(_packet.c.at < before)
    packets = 0
    for mn, size, count in session.execute(old.group_by(_packet.c.mn)).all():
        packets += count
        session.execute(update(_stranger).where(_stranger.c.mn == mn).values(kept=_stranger.c.kept - size))
    if packets:
        session.execute(delete(_packet).where(_packet.c.at < before))
    gone = session.execute(delete(_stranger).where(_stranger.c.last < before)).rowcount
    return gone, packets


def forget_stranger(session: WriteSession, mn: str) -> None:
    """Take a device off the list, with all that is kept of it.

    Raises:
        NotFoundError: it is not on the list.
    """
    if not session.execute(delete(_stranger).where(_stranger.c.mn == mn)).rowcount:
        raise NotFoundError(f"{mn} is not on the list of strangers", code="device.no-stranger")
    session.execute(delete(_packet).where(_packet.c.mn == mn))


def _delete(session: WriteSession, ids: list[int]) -> None:
    for start in range(0, len(ids), 500):
        session.execute(delete(_packet).where(_packet.c.id.in_(ids[start : start + 500])))

"""Positions: coordinates as given, in a declared reference system, as CGCS2000 degrees of a stated precision.

Chinese maps shift positions on purpose: GCJ-02 is 486 m off at Qingpu, far enough to put a station across the river,
and BD-09 is GCJ-02 shifted once more. What was given is kept; what is derived here says by which way it came:

- CGCS2000 (EPSG:4490) as it stands; WGS 84 too, since the two differ by less than a metre and PROJ itself knows no
  better than to take one for the other;
- GCJ-02 and BD-09 by inverting the published approximation of the shift (prcoords), good to about a metre;
- EPSG:4549, metres of the 3-degree Gauss-Krüger zone of 120° E, by PROJ.

A position that cannot be right is reported, never silently mended: `check_position` gives findings for a site's
provider. They refuse nothing, since a station whose coordinates are wrong still measures what it measures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, get_args

from schemas.errors import RecordError
from schemas.records.parts import Datum, Position
from schemas.records.site import Site

if TYPE_CHECKING:
    from pyproj import Transformer

    from schemas.outlines import Outlines

DATUMS: tuple[Datum, ...] = get_args(Datum)
COORDINATE = r"-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,12})?"
"""The form of a coordinate; finer than a thousandth of a millimetre nobody knows where a station is."""
CHINA = (73.0, 3.0, 136.0, 54.0)
"""West, south, east, north in degrees; well within the box in which positions are shifted at all."""

_coordinate = re.compile(COORDINATE)
_DEGREE = 111_320.0  # metres in a degree of latitude, near enough to state a precision
_EASTING = (300_000.0, 700_000.0)  # metres; the zone is 1.5 degrees either side of 500000, and some use it wider
_NORTHING = (2_000_000.0, 6_000_000.0)  # metres; latitudes 18 to 54
_ZONE_PREFIX = 1_000_000.0  # an easting above it begins with its zone's number, which EPSG:4549 has not


class Pair(NamedTuple):
    """East before north: degrees, or metres in EPSG:4549."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Located:
    """A position in CGCS2000: decimal text, degrees, east and north.

    `precision` is how far off it may be, metres: what the digits given allow, or the way it came, whichever is worse.
    `via` is `as-given`, `wgs84-taken-as-cgcs2000`, `gcj02-undone`, `bd09-undone` or `epsg4549-projected`.
    """

    longitude: str
    latitude: str
    precision: float
    via: str

    @property
    def pair(self) -> Pair:
        """The same as numbers, to compute with."""
        return Pair(float(self.longitude), float(self.latitude))


@dataclass(frozen=True, slots=True)
class Finding:
    """What is odd about a position: a stable code, one sentence, and where."""

    code: str
    detail: str
    pointers: tuple[str, ...] = ("/position",)


def check_position(site: Site, outlines: Outlines | None = None) -> list[Finding]:
    """What is odd about where `site` says it is; an empty list where it has no position.

    `outlines` are the districts' borders if the operator has given some; without them only the numbers are judged.
    """
    if site.position is None:
        return []
    try:
        located = locate(site.position)
    except RecordError as error:
        return [Finding(error.code, error.detail, error.pointers)]
    return [] if outlines is None else outlines.district_fit(site.position, located, site.district)


def locate(position: Position) -> Located:
    """Where `position` is in CGCS2000.

    Raises:
        RecordError: `position.malformed` (not decimals), `position.swapped` (x and y in each other's place),
            `position.out-of-bounds` (no such place in that reference system).
    """
    for name, text in (("x", position.x), ("y", position.y)):
        if _coordinate.fullmatch(text) is None:
            detail = f"{text[:40]!r} is not a coordinate: a plain decimal of at most 9 digits and 12 decimals"
            raise RecordError(detail, code="position.malformed", pointers=[f"/position/{name}"])
    given = Pair(float(position.x), float(position.y))
    if position.datum == "EPSG:4549":
        _check_metres(given)
    else:
        _check_degrees(given, position.datum)
    step = 10.0 ** -min(_decimals(position.x), _decimals(position.y)) / 2
    precision = step if position.datum == "EPSG:4549" else step * _DEGREE
    if position.datum in ("CGCS2000", "WGS84"):
        own, via = (0.0, "as-given") if position.datum == "CGCS2000" else (1.0, "wgs84-taken-as-cgcs2000")
        return Located(position.x, position.y, max(precision, own), via)
    convert, own, via = _WAYS[position.datum]
    place = convert(given)
    return Located(f"{place.x:.8f}", f"{place.y:.8f}", max(precision, own), via)


def to_cgcs2000(datum: Datum) -> Callable[[Pair], Pair]:
    """The function that takes coordinates of `datum` to CGCS2000 degrees, for whoever has many of them."""
    return _WAYS[datum][0] if datum in _WAYS else _as_given


def _check_degrees(given: Pair, datum: Datum) -> None:
    west, south, east, north = CHINA
    in_china = west <= given.x <= east and south <= given.y <= north
    if not in_china and west <= given.y <= east and south <= given.x <= north:
        detail = "x is the longitude (east) and y the latitude (north); here they stand in each other's place"
        raise RecordError(detail, code="position.swapped", pointers=["/position"])
    if not in_china:
        detail = f"{given.x:.6g} E, {given.y:.6g} N is not in China, or not in degrees as {datum} has them"
        raise RecordError(detail, code="position.out-of-bounds", pointers=["/position"])


def _check_metres(given: Pair) -> None:
    x, y = given
    if _EASTING[0] <= x <= _EASTING[1] and _NORTHING[0] <= y <= _NORTHING[1]:
        return
    if _EASTING[0] <= y <= _EASTING[1] and _NORTHING[0] <= x <= _NORTHING[1]:
        detail = "x is the easting and y the northing, though survey sheets call them Y and X; here they are swapped"
        raise RecordError(detail, code="position.swapped", pointers=["/position"])
    hint = "; an easting of EPSG:4549 has no zone number before it" if x > _ZONE_PREFIX else ""
    detail = f"{x:.10g}, {y:.10g} is not in the zone of 120° E, where eastings are near 500000 m{hint}"
    raise RecordError(detail, code="position.out-of-bounds", pointers=["/position"])


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _as_given(given: Pair) -> Pair:
    return given


def _undo_gcj02(given: Pair) -> Pair:
    import prcoords  # type: ignore[import-untyped]  # only where a position is converted: start-up does not pay

    found = prcoords.gcj_wgs_bored((given.y, given.x))
    return Pair(found.lon, found.lat)


def _undo_bd09(given: Pair) -> Pair:
    import prcoords

    found = prcoords.bd_wgs_bored((given.y, given.x))
    return Pair(found.lon, found.lat)


def _from_4549(given: Pair) -> Pair:
    longitude, latitude = _projection().transform(given.x, given.y)
    return Pair(longitude, latitude)


@cache
def _projection() -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs("EPSG:4549", "EPSG:4490", always_xy=True)


_WAYS: dict[Datum, tuple[Callable[[Pair], Pair], float, str]] = {
    "GCJ-02": (_undo_gcj02, 1.0, "gcj02-undone"),
    "BD-09": (_undo_bd09, 1.0, "bd09-undone"),
    "EPSG:4549": (_from_4549, 0.0, "epsg4549-projected"),
}
"""Conversion, its own precision in metres, and its name. A shift is undone by a published approximation of it."""

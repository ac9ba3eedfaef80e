"""Outlines of districts, given by an operator, and whether a position lies in its own.

A wrong reference system shows nowhere in the numbers: a station moved by 486 m is still a plausible station. It shows
where a point falls outside its district as declared and inside it when read in another system. Near the middle of a
district it does not show at all, so no finding is no proof.

Outlines are GeoJSON (RFC 7946) with a district's or party's code as `adcode` or `party`. Their reference system is
declared beside them and never guessed: the outlines most people have are drawn on shifted maps themselves. They are
simplified, and border sections stand on the border: a point counts as inside within `tolerance` metres of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.errors import SharingError
from schemas.positions import CHINA, Finding, Located, Pair, to_cgcs2000
from schemas.records.parts import Datum, Position

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

MAX_DOCUMENT = 32 * 1024 * 1024  # bytes; the four districts' outlines have 75 kB
_NAMES: dict[Datum, str] = {"CGCS2000": "cgcs2000", "WGS84": "cgcs2000", "GCJ-02": "gcj02", "BD-09": "bd09"}
_METRES = 111_320.0  # in a degree of latitude, and of longitude at the equator: 0.5 % off at worst


class OutlineError(SharingError):
    """Outlines cannot be used; `pointers` name the feature."""

    code = "outlines.malformed"


@dataclass(frozen=True, slots=True)
class _Outline:
    """One district's border in metres east and north of `origin`, good enough within a district."""

    origin: Pair
    shape: BaseGeometry

    def distance(self, place: Pair) -> float:
        """Metres from `place` to the district; 0 inside."""
        import shapely

        return float(self.shape.distance(shapely.Point(*_metres(place, self.origin))))


class Outlines:
    """The districts' borders by code, in CGCS2000."""

    def __init__(self, outlines: Mapping[str, _Outline], tolerance: float) -> None:
        self._outlines = dict(outlines)
        self._tolerance = tolerance

    @classmethod
    def read(cls, document: bytes, datum: Datum, *, tolerance: float = 100.0) -> Outlines:
        """The outlines in a GeoJSON FeatureCollection whose coordinates are of `datum`.

        Raises:
            OutlineError: it is not such a collection, or a feature names no district or has no area.
        """
        if len(document) > MAX_DOCUMENT:
            raise OutlineError(f"outlines hold at most {MAX_DOCUMENT} bytes", code="outlines.too-large")
        try:
            features = json.loads(document, parse_constant=_refuse_constant)["features"]
            if not isinstance(features, list):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise OutlineError("outlines are a GeoJSON FeatureCollection") from None
        read = (_read_feature(feature, datum, number) for number, feature in enumerate(features))
        return cls(dict(read), tolerance)

    @property
    def districts(self) -> tuple[str, ...]:
        """The codes there are outlines of, in the order of the file."""
        return tuple(self._outlines)

    def district_fit(self, position: Position, located: Located, district: str) -> list[Finding]:
        """Whether `position`, found to be at `located`, lies in `district`; empty if it does or no outline is known.

        `position.looks-like-gcj02` (or `-bd09`, `-cgcs2000`): it would, were its coordinates of that reference system
        and not of the declared one. `position.outside-district`: it would in none.
        """
        outline = self._outlines.get(district)
        if outline is None:
            return []
        off = outline.distance(located.pair)
        if off <= self._tolerance:
            return []
        where = f"{off:.0f} m outside the district {district}"
        for other, name in _NAMES.items():
            if position.datum not in ("EPSG:4549", other) and _NAMES[position.datum] != name:
                place = to_cgcs2000(other)(Pair(float(position.x), float(position.y)))
                if outline.distance(place) <= 0:
                    detail = f"as {position.datum} the position lies {where}; read as {other} it lies inside"
                    return [Finding(f"position.looks-like-{name}", detail)]
        return [Finding("position.outside-district", f"the position lies {where}")]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"JSON has no {name}")  # Python's own reader takes NaN and Infinity


def _read_feature(feature: Any, datum: Datum, number: int) -> tuple[str, _Outline]:
    where = [f"/features/{number}"]
    try:
        properties = feature["properties"]
        code = str(properties.get("adcode") or properties["party"])
        return code, _outline(feature["geometry"], datum)
    except OutlineError as error:
        raise OutlineError(error.detail, pointers=where) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
        detail = "a feature has a district's code as `adcode` or `party`, and a polygon as its geometry"
        raise OutlineError(detail, pointers=where) from None


def _outline(geometry: Any, datum: Datum) -> _Outline:
    import numpy as np
    import shapely
    from shapely.geometry import shape

    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        raise OutlineError("a district's outline is a Polygon or a MultiPolygon")
    convert = to_cgcs2000(datum)
    given = shape(geometry)
    west, south, east, north = given.bounds
    in_china = CHINA[0] <= west <= east <= CHINA[2] and CHINA[1] <= south <= north <= CHINA[3]
    if datum != "EPSG:4549" and not in_china:
        raise OutlineError(f"an outline of {datum} has degrees in China, east before north")
    centre = given.centroid
    origin = convert(Pair(centre.x, centre.y))
    moved = shapely.transform(
        given, lambda points: np.array([_metres(convert(Pair(float(x), float(y))), origin) for x, y in points])
    )
    # A ring that crosses itself, as simplified ones do, has no inside to ask for until it is mended.
    return _Outline(origin, moved if moved.is_valid else shapely.make_valid(moved))


def _metres(place: Pair, origin: Pair) -> tuple[float, float]:
    """East and north of `origin`, on a plane that touches the earth there."""
    east = (place.x - origin.x) * math.cos(math.radians(origin.y)) * _METRES
    return east, (place.y - origin.y) * _METRES

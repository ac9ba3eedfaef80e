"""Positions: every reference system arrives at the same place; what cannot be right is said, never silently mended."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import prcoords
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.outlines import OutlineError, Outlines
from schemas.positions import Pair, check_position, locate, to_cgcs2000
from schemas.records.parts import Datum, Name, Position
from schemas.records.site import Site

QINGPU = Pair(121.11, 31.15)
DISTRICTS = ("310118", "320509", "330421", "330503")
EAST, NORTH = st.floats(118.6, 121.4), st.floats(28.0, 34.0)


def metres(one: Pair, other: Pair) -> tuple[float, float]:
    """East and north from one place to another."""
    east = (other.x - one.x) * math.cos(math.radians(one.y)) * 111_320
    return east, (other.y - one.y) * 111_320


def shifted(place: Pair, datum: Datum) -> Pair:
    """`place` as a map of `datum` shows it."""
    turn = {"GCJ-02": prcoords.wgs_gcj, "BD-09": prcoords.wgs_bd}[datum]
    found = turn((place.y, place.x))
    return Pair(found.lon, found.lat)


def position(place: Pair, datum: Datum) -> Position:
    return Position(f"{place.x:.8f}", f"{place.y:.8f}", datum)


def site(where: Position | None, district: str = "310118") -> Site:
    return Site(id="s", type="section", name=Name("断面"), district=district, position=where)


def codes(where: Position | None, outlines: Outlines | None = None, district: str = "310118") -> list[str]:
    return [finding.code for finding in check_position(site(where, district), outlines)]


def square(district: str = "310118", centre: Pair = QINGPU, half: float = 0.05) -> bytes:
    """A district's outline: a square about `centre`, sides in degrees."""
    x, y = centre
    ring = [
        [x - half, y - half],
        [x + half, y - half],
        [x + half, y + half],
        [x - half, y + half],
        [x - half, y - half],
    ]
    feature = {
        "type": "Feature",
        "properties": {"adcode": int(district)},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


def test_at_qingpu_the_shift_is_486_metres_and_undoing_it_leads_back() -> None:
    east, north = metres(QINGPU, shifted(QINGPU, "GCJ-02"))
    assert (round(east), round(north)) == (439, -210)
    assert round(math.hypot(east, north)) == 486
    found = locate(position(shifted(QINGPU, "GCJ-02"), "GCJ-02"))
    assert math.hypot(*metres(QINGPU, found.pair)) < 0.01
    assert (found.via, found.precision) == ("gcj02-undone", 1.0)


@pytest.mark.parametrize("datum", ["GCJ-02", "BD-09"])
@given(east=EAST, north=NORTH)
def test_a_shifted_position_comes_back_to_where_it_is(datum: Datum, east: float, north: float) -> None:
    place = Pair(east, north)
    found = locate(position(shifted(place, datum), datum))
    assert math.hypot(*metres(place, found.pair)) < 0.05  # the inverse of BD-09 is good to 2 cm


@given(east=EAST, north=NORTH)
def test_metres_of_the_zone_come_back_to_where_they_are(east: float, north: float) -> None:
    from pyproj import Transformer

    x, y = Transformer.from_crs("EPSG:4490", "EPSG:4549", always_xy=True).transform(east, north)
    found = locate(Position(f"{x:.3f}", f"{y:.3f}", "EPSG:4549"))
    assert math.hypot(*metres(Pair(east, north), found.pair)) < 0.01
    assert (found.via, found.precision) == ("epsg4549-projected", 0.0005)


def test_the_central_meridian_has_the_false_easting_and_no_other_shift() -> None:
    found = locate(Position("500000", "3448000.00", "EPSG:4549"))
    assert found.longitude == "120.00000000"


@pytest.mark.parametrize(
    ("datum", "x", "precision", "via"),
    [
        ("CGCS2000", "121.110000", 0.056, "as-given"),
        ("CGCS2000", "121.1", 5566.0, "as-given"),
        ("WGS84", "121.11000000", 1.0, "wgs84-taken-as-cgcs2000"),
        ("WGS84", "121.110", 55.66, "wgs84-taken-as-cgcs2000"),
    ],
)
def test_degrees_stay_as_they_were_given_and_say_how_far_off_they_may_be(
    datum: Datum, x: str, precision: float, via: str
) -> None:
    found = locate(Position(x, "31.1500000000", datum))
    assert (found.longitude, found.latitude, found.via) == (x, "31.1500000000", via)
    assert found.precision == pytest.approx(precision, rel=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "NaN", "inf", "-inf", "1e400", "1e2", "+121.1", "121,1", "121.1 ", "121.1\n", "121°6'36\"", "0x79",
        "١٢١", "121.", ".5", "0121.1", "1" * 10, "1." + "1" * 13, "9" * 100_000, "\0", "--1", "121.1.1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("datum", ["CGCS2000", "GCJ-02", "EPSG:4549"])
def test_what_is_no_decimal_is_said_to_be_malformed_at_its_place(text: str, datum: Datum) -> None:
    for where, pointer in (
        (Position(text, "31.15", datum), "/position/x"),
        (Position("121", text, datum), "/position/y"),
    ):
        (finding,) = check_position(site(where))
        assert (finding.code, finding.pointers) == ("position.malformed", (pointer,))
        assert len(finding.detail) < 300


@pytest.mark.parametrize(
    ("x", "y", "datum", "code"),
    [
        ("31.15", "121.11", "CGCS2000", "position.swapped"),
        ("31.15", "121.11", "GCJ-02", "position.swapped"),
        ("3448000", "605000", "EPSG:4549", "position.swapped"),
        ("0", "0", "WGS84", "position.out-of-bounds"),
        ("-121.11", "31.15", "WGS84", "position.out-of-bounds"),
        ("121.11", "91", "WGS84", "position.out-of-bounds"),
        ("12111", "3115", "CGCS2000", "position.out-of-bounds"),
        ("605000", "3448000", "CGCS2000", "position.out-of-bounds"),
        ("2.35", "48.86", "GCJ-02", "position.out-of-bounds"),
        ("121.11", "31.15", "EPSG:4549", "position.out-of-bounds"),
        ("40605000", "3448000", "EPSG:4549", "position.out-of-bounds"),
    ],
)
def test_numbers_that_are_no_place_are_said_to_be_so(x: str, y: str, datum: Datum, code: str) -> None:
    where = Position(x, y, datum)
    assert codes(where) == [code]
    with pytest.raises(RecordError) as caught:
        locate(where)
    assert caught.value.code == code


def test_an_easting_with_its_zone_number_is_explained() -> None:
    (finding,) = check_position(site(Position("40605000", "3448000", "EPSG:4549")))
    assert "zone number" in finding.detail


@given(
    x=st.one_of(st.text(max_size=20), st.floats().map(repr), st.decimals().map(str)),
    y=st.one_of(st.text(max_size=20), st.floats().map(repr)),
    datum=st.sampled_from(["CGCS2000", "WGS84", "GCJ-02", "BD-09", "EPSG:4549"]),
)
def test_no_text_raises_anything_else(x: str, y: str, datum: Datum) -> None:
    assert all(code.startswith("position.") for code in codes(Position(x, y, datum), OUTLINE))


OUTLINE = Outlines.read(square(), "CGCS2000")
# 300 m west of the eastern side: inside as it is, 133 m outside once shifted 433 m to the east.
NEAR_THE_SIDE = Pair(QINGPU.x + 0.05 - 300 / 111_320 / math.cos(math.radians(31.15)), QINGPU.y)


def test_a_site_without_a_position_or_without_a_known_outline_is_not_judged() -> None:
    assert codes(None, OUTLINE) == []
    assert codes(position(QINGPU, "CGCS2000")) == []
    assert codes(position(Pair(120.0, 30.0), "CGCS2000"), OUTLINE, "320509") == []


def test_a_position_that_fits_only_after_undoing_the_shift_is_reported() -> None:
    as_shown = shifted(NEAR_THE_SIDE, "GCJ-02")
    assert codes(position(as_shown, "GCJ-02"), OUTLINE) == []
    for datum in ("WGS84", "CGCS2000"):
        (finding,) = check_position(site(position(as_shown, datum)), OUTLINE)
        assert finding.code == "position.looks-like-gcj02"
        assert "133 m outside the district 310118; read as GCJ-02 it lies inside" in finding.detail


def test_every_wrong_declaration_that_shows_is_named() -> None:
    east_side = Pair(QINGPU.x + 0.049, QINGPU.y)
    west_side = Pair(QINGPU.x - 0.049, QINGPU.y)
    assert codes(position(shifted(east_side, "BD-09"), "CGCS2000"), OUTLINE) == ["position.looks-like-bd09"]
    assert codes(position(west_side, "GCJ-02"), OUTLINE) == ["position.looks-like-cgcs2000"]


def test_a_position_that_fits_in_no_reference_system_is_outside() -> None:
    assert codes(position(Pair(120.5, 31.0), "CGCS2000"), OUTLINE) == ["position.outside-district"]
    assert codes(Position("500000", "3448000", "EPSG:4549"), OUTLINE) == ["position.outside-district"]
    assert codes(Position("605850.0", "3448200.0", "EPSG:4549"), OUTLINE) == []


@pytest.mark.parametrize(("tolerance", "expected"), [(100.0, []), (50.0, ["position.outside-district"])])
def test_a_border_section_may_stand_a_little_outside(tolerance: float, expected: list[str]) -> None:
    outlines = Outlines.read(square(), "CGCS2000", tolerance=tolerance)
    place = Pair(QINGPU.x - 0.05 - 80 / 95_400, QINGPU.y)  # 80 m west; undoing a shift leads further west
    assert codes(position(place, "CGCS2000"), outlines) == expected


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{}", b"null", b'{"features":{}}', b"\xff", b'{"features":[1]}', b'{"features":[{}]}',
        b"[" * 100_000, square().replace(b'"adcode"', b'"code"'), square().replace(b'"Polygon"', b'"Point"'),
        square().replace(b'"Polygon"', b'"LineString"'), square().replace(b"121.16", b"NaN"),
        square().replace(b"121.16", b'"x"'), square().replace(b"121.16", b"1e400"),
        square(centre=Pair(31.15, 121.11)), square(centre=Pair(2.0, 48.0)),
        b'{"features":[{"properties":{"adcode":1},"geometry":{"type":"Polygon","coordinates":[]}}]}',
        b'{"features":[{"properties":{"adcode":1},"geometry":{"type":"Polygon","coordinates":[[[121,31]]]}}]}',
        b'{"features":[{"properties":{"adcode":1},"geometry":null}]}',
    ],
)  # fmt: skip
def test_outlines_that_are_none_are_refused(document: bytes) -> None:
    with pytest.raises(OutlineError) as caught:
        Outlines.read(document, "CGCS2000")
    assert caught.value.code == "outlines.malformed"


def test_outlines_on_a_shifted_map_are_moved_before_they_are_used() -> None:
    drawn = square(centre=shifted(QINGPU, "GCJ-02"))
    inside = position(Pair(QINGPU.x - 0.05 + 200 / 95_400, QINGPU.y), "CGCS2000")  # 240 m outside what is drawn
    assert codes(inside, Outlines.read(drawn, "GCJ-02")) == []
    assert codes(inside, Outlines.read(drawn, "CGCS2000")) == ["position.outside-district"]


@pytest.mark.parametrize("district", DISTRICTS)
def test_a_wrong_declaration_shows_along_a_real_districts_eastern_border(shared: Path, district: str) -> None:
    """Points 250 m inside, moved as a shifted map moves them, declared WGS 84."""
    document = (shared / f"testdata/real/geo/boundary_{district}_gcj02.geojson").read_bytes()
    outlines, strict = Outlines.read(document, "GCJ-02"), Outlines.read(document, "GCJ-02", tolerance=0)
    polygons = json.loads(document)["features"][0]["geometry"]["coordinates"]
    border = (to_cgcs2000("GCJ-02")(Pair(*point)) for polygon in polygons for point in polygon[0])
    inside = [
        place
        for x, y in border
        if not codes(position(place := Pair(x - 250 / 95_400, y), "CGCS2000"), strict, district)
    ]
    wrong = [codes(position(shifted(place, "GCJ-02"), "WGS84"), outlines, district) for place in inside]
    assert set(map(tuple, wrong)) == {(), ("position.looks-like-gcj02",)}
    assert sum(map(len, wrong)) > len(wrong) / 5


@pytest.mark.parametrize("place", ["330421001", "3562A", "3271A"])
def test_real_air_stations_lie_in_their_districts(shared: Path, place: str) -> None:
    folder = shared / "testdata/real/geo"
    rows = [line.split(",") for line in (folder / "air_stations.csv").read_text().splitlines()]
    row = next(row for row in rows if row[0] == place)
    district = row[6]
    outlines = Outlines.read((folder / f"boundary_{district}_gcj02.geojson").read_bytes(), "GCJ-02")
    assert codes(Position(row[3], row[4], "WGS84"), outlines, district) == []


def test_start_up_does_not_pay_for_the_geometry() -> None:
    heavy = "{'pyproj', 'shapely', 'numpy', 'prcoords'}"
    words = f"import sys, gateway.cli, schemas.outlines, schemas.positions; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

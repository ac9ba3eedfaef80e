"""`site`: a place where something is measured or discharged: station, section, lake point, source, outlet, route.

Key within its provider: `id`. Programmes are what the plan selects by, so a site must arrive before its readings can
be placed; readings that come first wait for it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SiteType = Literal["water-station", "section", "lake-point", "drinking-source", "air-station", "outlet", "mobile-route"]
WaterType = Literal["river", "lake", "reservoir"]
Datum = Literal["CGCS2000", "WGS84", "GCJ-02", "BD-09", "EPSG:4549"]


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name in Chinese and, where there is one, English."""

    zh: str
    en: str = ""


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name the site had, with the dates (YYYY-MM-DD) between which it was used; empty means open."""

    name: str
    since: str = ""
    until: str = ""


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Coordinates as given, decimal text: degrees, or metres for EPSG:4549; `datum` declares their reference system."""

    x: str
    y: str
    datum: Datum


class Site(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="site",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """A place, by an `id` its provider chose once and keeps.

    `upstream`, `downstream` name neighbouring sites, `border` the parties it stands between. `target` is the class the
    site is to meet. `opened`, `closed` are dates; a closed site keeps its history.
    """

    id: str
    type: SiteType
    name: Name
    district: str
    aliases: tuple[Alias, ...] = ()
    water: str = ""
    water_type: WaterType | None = None
    position: Position | None = None
    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()
    border: tuple[str, ...] = ()
    target: str = ""
    programmes: tuple[str, ...] = ()
    owner: str = ""
    opened: str = ""
    closed: str = ""
    rev: int = 0
    reason: str = ""

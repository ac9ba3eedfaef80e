"""`site`: a place where something is measured or discharged: station, section, lake point, source, outlet, route.

Key within its provider: `id`. Programmes are what the plan selects by, so a site must arrive before its readings can
be placed; readings that come first wait for it. An outlet of a pollution source is a site of type `outlet` that names
its `source` and the outlet's own code there.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from schemas.errors import RecordError
from schemas.identifiers import check_outlet_code, check_unit_id
from schemas.records.parts import (
    Alias,
    Name,
    Position,
    check_aliases,
    check_dates,
    check_identifier,
    check_identifiers,
    check_name,
    check_position,
    check_texts,
)

SiteType = Literal["water-station", "section", "lake-point", "drinking-source", "air-station", "outlet", "mobile-route"]
WaterType = Literal["river", "lake", "reservoir"]
Discharge = Literal["direct", "indirect"]


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
    site is to meet. `areas` are the areas with rules of their own that it lies in (`taihu`, `special-protection`).
    `source` and `outlet` belong to an outlet: the enterprise's unit id and the outlet's code (HJ 608), and `discharge`
    says whether it goes into the water or to another treatment plant. `opened`, `closed` are dates; a closed site keeps
    its history.
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
    areas: tuple[str, ...] = ()
    owner: str = ""
    source: str = ""
    outlet: str = ""
    discharge: Discharge | None = None
    opened: str = ""
    closed: str = ""
    rev: int = 0
    reason: str = ""

    def called(self, name: str, day: date) -> bool:
        """Whether the site was called `name` on `day`: its name now, or an alias that was in use then."""
        if any(alias.name == name for alias in self.aliases):
            return any(alias.name == name and alias.used_on(day) for alias in self.aliases)
        return name in (self.name.zh, self.name.en)


def check(site: Site) -> None:
    """That a site makes sense. Raises RecordError."""
    check_identifier(site.id, "/id")
    check_identifier(site.district, "/district")
    check_identifiers(programmes=site.programmes, areas=site.areas, upstream=site.upstream, downstream=site.downstream)
    check_identifiers(border=site.border)
    check_texts(water=site.water, target=site.target, owner=site.owner)
    check_name(site.name, "a site")
    check_aliases(site.aliases)
    check_position(site.position)
    check_dates(opened=site.opened, closed=site.closed)
    if bool(site.source) != bool(site.outlet):
        raise RecordError("an outlet names its source and its code there, both", pointers=["/outlet"])
    if site.source:
        check_unit_id(site.source, "/source")
        check_outlet_code(site.outlet, "/outlet")
    if (site.source or site.discharge) and site.type != "outlet":
        raise RecordError("only an outlet has a source and a way of discharge", pointers=["/type"])

"""Where a limit is asked for: what a table of limits may know of a site and of the enterprise behind it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from schemas.records.site import Discharge, Site, SiteType, WaterType
from schemas.records.source import Source

WaterClass = Literal["I", "II", "III", "IV", "V"]
Zone = Literal["1", "2"]

CLASSES: tuple[WaterClass, ...] = ("I", "II", "III", "IV", "V")
CLASS_ZH = dict(zip(CLASSES, "ⅠⅡⅢⅣⅤ", strict=True))
_CLASS_WORDS: dict[str, WaterClass] = {
    **{roman: roman for roman in CLASSES},
    **{str(number): roman for number, roman in enumerate(CLASSES, start=1)},
    **dict(zip("一二三四五", CLASSES, strict=True)),
}
_ZONE_WORDS: dict[str, Zone] = {"1": "1", "2": "2", "一": "1", "二": "2", "I": "1", "II": "2"}
_AFFIXES = re.compile(r"^CLASS|类(水质?|区)?$|级$|\s")


@dataclass(frozen=True, slots=True)
class Place:
    """A site as limits see it. Empty means not known, and what is not known meets no condition.

    `district` is the six digits of an administrative division; `areas` are the ids or names of areas that a limit may
    be bound to (`taihu`, `special-protection`); `categories` are those of the source an outlet belongs to. `target` is
    the water class the site is to meet, `zone` the class of its ambient-air function area.
    """

    site_type: SiteType
    district: str = ""
    water_type: WaterType | None = None
    areas: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    discharge: Discharge | None = None
    target: WaterClass | None = None
    zone: Zone | None = None

    @classmethod
    def of(cls, site: Site, source: Source | None = None) -> Place:
        """The place that a site is; `source` is the enterprise whose outlet it is.

        Of a site's `target`, water sites name a water class and air stations the class of their zone; a text that is
        neither is not known.
        """
        of_air = site.type == "air-station"
        return cls(
            site_type=site.type,
            district=site.district,
            water_type=site.water_type or ("lake" if site.type == "lake-point" else None),  # as reservoirs are limited
            areas=site.areas,
            categories=source.categories if source is not None else (),
            discharge=site.discharge,
            target=None if of_air else water_class_named(site.target),
            zone=zone_named(site.target) if of_air else None,
        )


def water_class_named(text: str) -> WaterClass | None:
    """The class that people write as `III`, `Ⅲ`, `Ⅲ类`, `3` or `三类`; None where it is none of these."""
    return _CLASS_WORDS.get(_bare(text))


def zone_named(text: str) -> Zone | None:
    """The class of an ambient-air function area, written `1`, `一类区`, `二级`; None where it is none of these."""
    return _ZONE_WORDS.get(_bare(text))


def _bare(text: str) -> str:
    return _AFFIXES.sub("", unicodedata.normalize("NFKC", text[:20]).upper())

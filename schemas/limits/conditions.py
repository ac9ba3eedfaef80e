"""What a limit asks of a place, and the sentence for the first condition that the place does not meet.

What a site does not say meets no condition, with one exception: an air station without a zone is in class 2, which is
every place that is not a nature reserve or a scenic area (GB 3095).
"""

from __future__ import annotations

from schemas.limits.place import CLASS_ZH, Place
from schemas.limits.sentences import AREAS, CATEGORIES, DISCHARGES, PERIODS, SITES, WATERS, Sentence, said
from schemas.limits.table import Limit
from schemas.times import beijing_text


def why_not(limit: Limit, place: Place, at: int, period: str) -> Sentence | None:
    """The first reason why `place` does not come under `limit` at `at` (ms UTC); None where it does."""
    return (
        _not_in_force(limit, at)
        or _other_site(limit, place)
        or _other_period(limit, period)
        or _other_water(limit, place)
        or _elsewhere(limit, place)
        or _other_source(limit, place)
        or _other_discharge(limit, place)
        or _other_class(limit, place)
        or _other_zone(limit, place)
    )


def _not_in_force(limit: Limit, at: int) -> Sentence | None:
    if at < limit.since:
        day = beijing_text(limit.since)[:10]
        return Sentence(f"自{day}起施行，当日尚未施行。", f"It comes into force on {day}, after the date asked for.")
    if at >= limit.until:
        day = beijing_text(limit.until)[:10]
        return Sentence(f"自{day}起不再适用。", f"It no longer applies from {day} on.")
    return None


def _other_site(limit: Limit, place: Place) -> Sentence | None:
    if not limit.site_types or place.site_type in limit.site_types:
        return None
    (zh, en), (here_zh, here_en) = said(SITES, limit.site_types), said(SITES, place.site_type)
    return Sentence(
        f"只适用于{zh}，该站点是{here_zh}。", f"It is for sites of type {en}, and this one is of type {here_en}."
    )


def _other_period(limit: Limit, period: str) -> Sentence | None:
    if not limit.period or limit.period == period:
        return None
    (zh, en), (asked_zh, asked_en) = said(PERIODS, limit.period), said(PERIODS, period)
    return Sentence(f"针对{zh}，所问为{asked_zh}。", f"It is for {en}; asked for are {asked_en}.")


def _other_water(limit: Limit, place: Place) -> Sentence | None:
    if not limit.water_types or place.water_type in limit.water_types:
        return None
    zh, en = said(WATERS, limit.water_types)
    if place.water_type is None:
        return Sentence(
            f"只适用于{zh}，该站点未注明水体类型。",
            f"It is for water of type {en}, and the site does not say which type it is at.",
        )
    here_zh, here_en = said(WATERS, place.water_type)
    return Sentence(
        f"只适用于{zh}，该站点的水体是{here_zh}。",
        f"It is for water of type {en}, and the site is at water of type {here_en}.",
    )


def _elsewhere(limit: Limit, place: Place) -> Sentence | None:
    if limit.districts and not place.district.startswith(limit.districts):
        return Sentence(
            f"只在区划代码以{'、'.join(limit.districts)}开头的地区适用，该站点在{place.district or '未注明的地区'}。",
            f"It is local to divisions whose code begins with {' or '.join(limit.districts)}, "
            f"and the site is in {place.district or 'none that is named'}.",
        )
    if limit.areas and not set(limit.areas) & set(place.areas):
        zh, en = said(AREAS, limit.areas)
        return Sentence(
            f"只适用于{zh}，该站点未列入。", f"It is for sites in the {en}, and this one is not listed there."
        )
    return None


def _other_source(limit: Limit, place: Place) -> Sentence | None:
    if not limit.categories or set(limit.categories) & set(place.categories):
        return None
    zh, en = said(CATEGORIES, limit.categories)
    return Sentence(
        f"只适用于{zh}类污染源，该站点未登记为此类污染源的排放口。",
        f"It is for sources of category {en}, and the site is not known as an outlet of one.",
    )


def _other_discharge(limit: Limit, place: Place) -> Sentence | None:
    if not limit.discharge or limit.discharge == place.discharge:
        return None
    zh, en = said(DISCHARGES, limit.discharge)
    if not place.discharge:
        return Sentence(
            f"只适用于{zh}，该排放口未注明排放方式。", f"It is for {en}, and the outlet does not say which its is."
        )
    here_zh, here_en = said(DISCHARGES, place.discharge)
    return Sentence(f"只适用于{zh}，该排放口为{here_zh}。", f"It is for {en}, and the outlet's is {here_en}.")


def _other_class(limit: Limit, place: Place) -> Sentence | None:
    if not limit.water_class or limit.water_class == place.target:
        return None
    zh, en = f"属{CLASS_ZH[limit.water_class]}类", f"It is of class {limit.water_class}"
    if place.target is None:
        return Sentence(f"{zh}，该站点未定目标类别。", f"{en}, and the site names no class that it is to meet.")
    return Sentence(
        f"{zh}，该站点目标为{CLASS_ZH[place.target]}类。", f"{en}, and the site is to meet class {place.target}."
    )


def _other_zone(limit: Limit, place: Place) -> Sentence | None:
    zone = place.zone or "2"
    if not limit.zone or limit.zone == zone:
        return None
    return Sentence(
        f"属{limit.zone}类区，该站点在{zone}类区{'' if place.zone else '（未注明，按2类）'}。",
        f"It is of zone class {limit.zone}, and the site is in class {zone}{'' if place.zone else ', naming none'}.",
    )

"""Sentences about limits in Chinese and English: what a limit is, and why a place does not come under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.limits.place import CLASS_ZH, Place
from schemas.limits.table import Limit
from schemas.times import beijing_text

PERIOD_WORDS = {
    "PT0S": ("瞬时值", "instantaneous values"),
    "PT1H": ("1小时平均", "1-hour means"),
    "PT8H": ("日最大8小时平均", "daily maximum 8-hour means"),
    "P1D": ("24小时平均", "24-hour means"),
    "P3M": ("季平均", "quarterly means"),
    "P1Y": ("年平均", "annual means"),
}
_SITES = {
    "water-station": ("水质自动站", "water station"),
    "section": ("断面", "section"),
    "lake-point": ("湖库点位", "lake point"),
    "drinking-source": ("饮用水水源地", "drinking-water source"),
    "air-station": ("空气站", "air station"),
    "outlet": ("排放口", "outlet"),
    "mobile-route": ("走航路线", "mobile route"),
}
_WATERS = {"river": ("河流", "river"), "lake": ("湖泊", "lake"), "reservoir": ("水库", "reservoir")}
_DISCHARGE = {"direct": ("直接排放", "direct discharge"), "indirect": ("间接排放", "indirect discharge")}
CONFIDENCE_WORDS = {
    "confirmed": ("已核实", "confirmed"),
    "single": ("仅一个来源", "from one source"),
    "unconfirmed": ("未经核实", "unconfirmed"),
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence in both languages, with its full stops."""

    zh: str
    en: str

    def __add__(self, other: Sentence) -> Sentence:
        return Sentence(self.zh + other.zh, f"{self.en} {other.en}")


def described(limit: Limit) -> Sentence:
    """What a limit is: its standard, value, and for what."""
    word_zh, word_en = ("限值", "limit") if limit.kind == "limit" else ("参考限值", "reference value")
    zh = [limit.standard, *filter(None, [limit.clause_zh])]
    en = [limit.standard, *filter(None, [limit.clause_en])]
    if limit.water_class:
        zh.append(f"{CLASS_ZH[limit.water_class]}类")
        en.append(f"class {limit.water_class}")
    if limit.zone:
        zh.append(f"{limit.zone}类区")
        en.append(f"zone class {limit.zone}")
    if limit.water_types:
        zh.append("、".join(_zh(_WATERS, one) for one in limit.water_types))
        en.append("/".join(limit.water_types))
    if limit.period:
        zh.append(period_words(limit.period)[0])
        en.append(period_words(limit.period)[1])
    return Sentence(f"{' '.join(zh)}：{word_zh} {limit.bound}。", f"{', '.join(en)}: {word_en} {limit.bound}.")


def why_not(limit: Limit, place: Place, at: int, period: str) -> Sentence | None:
    """The first reason why `place` does not come under `limit` at `at` (ms UTC); None where it does."""
    return (
        _not_in_force(limit, at)
        or _other_site(limit, place)
        or _other_period(limit, period)
        or _other_water(limit, place)
        or _elsewhere(limit, place)
        or _other_source(limit, place)
        or _other_grade(limit, place)
    )


def period_words(period: str) -> tuple[str, str]:
    """The words for an averaging period, Chinese and English; the period itself where there are none."""
    return PERIOD_WORDS.get(period, (period, f"{period} means"))


def site_words(place: Place) -> tuple[str, str]:
    """The words for the kind of site, Chinese and English."""
    return _SITES[place.site_type]


def _not_in_force(limit: Limit, at: int) -> Sentence | None:
    if at < limit.since:
        day = beijing_text(limit.since)[:10]
        return Sentence(
            f"自{day}起施行，当日尚未施行。", f"It comes into force on {day}, later than the date asked for."
        )
    if at >= limit.until:
        day = beijing_text(limit.until)[:10]
        return Sentence(f"自{day}起不再适用。", f"It no longer applies from {day} on.")
    return None


def _other_site(limit: Limit, place: Place) -> Sentence | None:
    if not limit.site_types or place.site_type in limit.site_types:
        return None
    wanted = "、".join(_zh(_SITES, one) for one in limit.site_types)
    return Sentence(
        f"只适用于{wanted}，该站点是{site_words(place)[0]}。",
        f"It is for sites of type {_or(limit.site_types)}, and this one is a {site_words(place)[1]}.",
    )


def _other_period(limit: Limit, period: str) -> Sentence | None:
    if not limit.period or limit.period == period:
        return None
    of, asked = period_words(limit.period), period_words(period) if period else ("未指明周期的值", "no named period")
    return Sentence(f"针对{of[0]}，所问为{asked[0]}。", f"It limits {of[1]}; asked for are {asked[1]}.")


def _other_water(limit: Limit, place: Place) -> Sentence | None:
    if not limit.water_types or place.water_type in limit.water_types:
        return None
    wanted = "、".join(_zh(_WATERS, one) for one in limit.water_types)
    if place.water_type is None:
        return Sentence(
            f"只适用于{wanted}，该站点未注明水体类型。",
            f"It is for a {_or(limit.water_types)}, and the site does not say which type of water it is at.",
        )
    return Sentence(
        f"只适用于{wanted}，该站点位于{_zh(_WATERS, place.water_type)}。",
        f"It is for a {_or(limit.water_types)}, and this site is at a {place.water_type}.",
    )


def _elsewhere(limit: Limit, place: Place) -> Sentence | None:
    if limit.districts and not place.district.startswith(limit.districts):
        codes = "、".join(limit.districts)
        return Sentence(
            f"只在区划代码以{codes}开头的地区适用，该站点在{place.district or '未注明的地区'}。",
            f"It is local to divisions {_or(limit.districts)}…, and this site is in {place.district or 'none named'}.",
        )
    if limit.areas and not set(limit.areas) & set(place.areas):
        return Sentence(
            f"只适用于{limit.areas[-1]}，该站点未列入。",
            f"It is for sites in the area {limit.areas[0]}, and this site is not listed in it.",
        )
    return None


def _other_source(limit: Limit, place: Place) -> Sentence | None:
    if limit.categories and not set(limit.categories) & set(place.categories):
        return Sentence(
            f"只适用于类别为{'、'.join(limit.categories)}的污染源，该站点的污染源不属此类。",
            f"It is for sources of category {_or(limit.categories)}, and the source of this site is not one.",
        )
    if limit.discharge and limit.discharge != place.discharge:
        zh, en = _DISCHARGE[limit.discharge]
        if not place.discharge:
            return Sentence(
                f"只适用于{zh}，该排放口未注明去向。", f"It is for {en}, and the outlet does not say which it is."
            )
        here_zh, here_en = _DISCHARGE[place.discharge]
        return Sentence(f"只适用于{zh}，该排放口为{here_zh}。", f"It is for {en}, and the outlet is one of {here_en}.")
    return None


def _other_grade(limit: Limit, place: Place) -> Sentence | None:
    if limit.water_class and limit.water_class != place.target:
        name = CLASS_ZH[limit.water_class]
        if place.target is None:
            return Sentence(
                f"属{name}类，该站点未定目标类别。",
                f"It is of class {limit.water_class}; the site has no target class.",
            )
        return Sentence(
            f"属{name}类，该站点目标为{CLASS_ZH[place.target]}类。",
            f"It is of class {limit.water_class}; the site is to meet class {place.target}.",
        )
    if limit.zone and limit.zone != (place.zone or "2"):
        here = f"{place.zone}类区" if place.zone else "2类区（未注明，按2类）"
        return Sentence(
            f"属{limit.zone}类区，该站点在{here}。",
            f"It is of zone class {limit.zone}; the site is in zone class {place.zone or '2, where none is named'}.",
        )
    return None


def _zh(words: Mapping[str, tuple[str, str]], one: str) -> str:
    """The Chinese word for one of the table's words; itself where there is none."""
    return words.get(one, (one, one))[0]


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(words)

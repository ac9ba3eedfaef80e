"""The words in which limits are explained, Chinese and English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.limits.place import CLASS_ZH
from schemas.limits.table import Limit


@dataclass(frozen=True, slots=True)
class Sentence:
    """One or more sentences in both languages, with their full stops."""

    zh: str
    en: str

    def __add__(self, other: Sentence) -> Sentence:
        return Sentence(self.zh + other.zh, f"{self.en} {other.en}")


Words = Mapping[str, tuple[str, str]]
"""Words of the tables, each in Chinese and in English."""

SITES: Words = {
    "water-station": ("水质自动站", "water station"),
    "section": ("断面", "section"),
    "lake-point": ("湖库点位", "lake point"),
    "drinking-source": ("饮用水水源地", "drinking-water source"),
    "air-station": ("空气站", "air station"),
    "outlet": ("排放口", "outlet"),
    "mobile-route": ("走航路线", "mobile route"),
}
WATERS: Words = {"river": ("河流", "river"), "lake": ("湖泊", "lake"), "reservoir": ("水库", "reservoir")}
AREAS: Words = {"taihu": ("太湖地区", "Taihu area"), "special-protection": ("特别保护区域", "special-protection area")}
CATEGORIES: Words = {"dyeing": ("纺织染整", "textile dyeing")}
DISCHARGES: Words = {"direct": ("直接排放", "direct discharge"), "indirect": ("间接排放", "indirect discharge")}
PERIODS: Words = {
    "": ("未指明周期的值", "values of no named period"),
    "PT0S": ("瞬时值", "instantaneous values"),
    "PT1H": ("1小时平均", "1-hour means"),
    "PT8H": ("日最大8小时平均", "daily maximum 8-hour means"),
    "P1D": ("24小时平均", "24-hour means"),
    "P3M": ("季平均", "quarterly means"),
    "P1Y": ("年平均", "annual means"),
}
KINDS: Words = {"limit": ("限值", "limit"), "reference": ("参考限值", "reference value")}
CONFIDENCES: Words = {
    "confirmed": ("已核实", "confirmed"),
    "single": ("仅一个来源", "one source"),
    "unconfirmed": ("未经核实", "unconfirmed"),
}
RULES: Words = {"full": ("全数值比较", "full value"), "rounded": ("修约值比较", "rounded value")}


def said(words: Words, of: str | Iterable[str]) -> tuple[str, str]:
    """One word or several of the tables as people say them; a word that has no translation stands for itself."""
    pairs = [words.get(one, (one, one)) for one in ([of] if isinstance(of, str) else of)]
    return "、".join(zh for zh, _ in pairs), " or ".join(en for _, en in pairs)


def described(limit: Limit) -> Sentence:
    """What a limit is: its standard, for what, and its value."""
    parts = [(limit.standard, limit.standard)]
    if limit.clause_zh:
        parts.append((limit.clause_zh, limit.clause_en))
    if limit.water_class:
        parts.append((f"{CLASS_ZH[limit.water_class]}类", f"class {limit.water_class}"))
    if limit.zone:
        parts.append((f"{limit.zone}类区", f"zone class {limit.zone}"))
    if limit.water_types:
        parts.append(said(WATERS, limit.water_types))
    if limit.period:
        parts.append(said(PERIODS, limit.period))
    kind_zh, kind_en = said(KINDS, limit.kind)
    zh, en = " ".join(zh for zh, _ in parts), ", ".join(en for _, en in parts)
    return Sentence(f"{zh}：{kind_zh} {limit.bound}。", f"{en}: {kind_en} {limit.bound}.")

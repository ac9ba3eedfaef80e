"""Which limit applies at a place, for a factor, at an instant, and why; and why no other does.

The order among limits that all apply is fixed: a limit before a reference value; a local one before a national one; the
one with more conditions before the more general; then the stricter. Whatever is passed over is named with its reason,
so that whoever reads a judgement can see what it rests on.

An unconfirmed limit is not skipped, since a local limit that does exist would bind; the explanation says so and names
what stands behind it. What a judgement does with that is for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.limits.conditions import why_not
from schemas.limits.place import Place
from schemas.limits.sentences import AREAS, CATEGORIES, DISCHARGES, SITES, WATERS, Sentence, described, said
from schemas.limits.table import Limit, Limits
from schemas.tables import shipped_tables
from schemas.units import unit


@dataclass(frozen=True, slots=True)
class Considered:
    """A limit of the factor that does not apply, and why not."""

    limit: Limit
    reason: Sentence


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which limit applies; None where none does, for which `why` says so.

    `fallback` is the first in the order that is not `unconfirmed`, where the one that applies is. `others` are first
    those that would apply as well, in their order, then the rest in the order of the table. `table` is the version that
    decided (`limits@1`).
    """

    place: Place
    factor: str
    at: int
    period: str
    limit: Limit | None
    fallback: Limit | None
    why: Sentence
    others: tuple[Considered, ...]
    table: str


def explain(place: Place, factor: str, at: int, period: str = "", limits: Limits | None = None) -> Explanation:
    """Which limit applies to a value of `factor` (a code) measured at `place` at `at` (ms UTC), and why.

    `period` is the averaging period of the value as observations name it (`PT1H`, `P1D`); limits of surface water and
    of discharges hold for values of any period.
    """
    limits = limits or shipped_tables()[Limits]
    apply: list[Limit] = []
    others: list[Considered] = []
    for limit in limits.of(factor):
        reason = why_not(limit, place, at, period)
        if reason is None:
            apply.append(limit)
        else:
            others.append(Considered(limit, reason))
    apply.sort(key=_order)  # where two are equal in all of it, the table's order decides
    first = apply[0] if apply else None
    others = [Considered(limit, _why_behind(limit, apply[0])) for limit in apply[1:]] + others
    return Explanation(
        place=place,
        factor=factor,
        at=at,
        period=period,
        limit=first,
        fallback=_trusted(apply[1:]) if first and first.confidence == "unconfirmed" else None,
        why=_why(first, place) if first else _why_none(others),
        others=tuple(others),
        table=limits.reference,
    )


def _trusted(limits: Sequence[Limit]) -> Limit | None:
    return next((one for one in limits if one.confidence != "unconfirmed"), None)


def _order(limit: Limit) -> tuple[bool, bool, int, Decimal]:
    return limit.kind != "limit", limit.level != "local", -_conditions(limit), _looseness(limit)


def _conditions(limit: Limit) -> int:
    """How closely a limit names its place."""
    conditions = (limit.districts, limit.areas, limit.categories, limit.discharge, limit.water_types, limit.water_class)
    return sum(map(bool, conditions))


def _looseness(limit: Limit) -> Decimal:
    """What sorts the stricter of two limits first: the lower upper bound, or the higher lower one."""
    bound, sign = (limit.high, 1) if limit.high is not None else (limit.low, -1)
    return sign * bound * unit(limit.unit).factor if bound is not None else Decimal(0)


def _why_behind(limit: Limit, first: Limit) -> Sentence:
    if limit.kind != first.kind:
        return Sentence("有限值适用，参考限值不用。", "A limit applies, so the reference value is not used.")
    if limit.level != first.level:
        return Sentence("地方标准优先于国家标准。", "A local limit goes before a national one.")
    if _conditions(limit) != _conditions(first):
        return Sentence("另有更具体的限值适用。", "A limit that names this place more closely applies.")
    return Sentence("另有更严的限值适用。", "A stricter limit applies.")


def _why(limit: Limit, place: Place) -> Sentence:
    why = described(limit) + _because(limit, place)
    if limit.kind == "reference":
        why += Sentence(
            "此处没有限值适用，参考限值仅供比较，不判超标。",
            "No limit binds here; a reference value is for comparison only and is never exceeded.",
        )
    if limit.zone and place.zone is None:
        why += Sentence("未注明功能区类别，按2类区。", "The site names no zone, so it is taken as zone class 2.")
    if limit.confidence == "unconfirmed":
        why += Sentence(
            "该限值未经核实，判定须由人确认。", "This limit is unconfirmed: a judgement by it needs a person."
        )
    return why


def _because(limit: Limit, place: Place) -> Sentence:
    (here_zh, here_en), reasons = said(SITES, place.site_type), []
    if limit.level == "local":
        reasons.append(("地方标准优先", "local limits go before national ones"))
    if limit.areas:
        zh, en = said(AREAS, [one for one in limit.areas if one in place.areas])
        reasons.append((f"站点位于{zh}", f"the site lies in the {en}"))
    if limit.categories:
        zh, en = said(CATEGORIES, [one for one in limit.categories if one in place.categories])
        reasons.append((f"其污染源属{zh}类", f"its source is of category {en}"))
    if limit.discharge:
        zh, en = said(DISCHARGES, limit.discharge)
        reasons.append((f"其排放方式为{zh}", f"its discharge is {en}"))
    if limit.water_class:
        reasons.append(("这是站点的目标类别", "it is the class that the site is to meet"))
    if limit.water_types and place.water_type:
        zh, en = said(WATERS, place.water_type)
        reasons.append((f"水体是{zh}", f"the water is of type {en}"))
    reasons.append((f"站点是{here_zh}", f"the site is of type {here_en}"))
    return Sentence(
        f"适用理由：{'；'.join(zh for zh, _ in reasons)}。", f"It applies because {'; '.join(en for _, en in reasons)}."
    )


def _why_none(others: list[Considered]) -> Sentence:
    if not others:
        return Sentence("限值表中没有该因子。", "The table of limits has nothing for this factor.")
    return Sentence("没有限值或参考限值适用。", "No limit and no reference value applies.")

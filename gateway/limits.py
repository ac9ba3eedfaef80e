"""Which limits apply at a site that this gateway knows: the site, its source, the factor, then `schemas.limits`.

The site as it stands now is asked, since a class or an area that was entered late was meant for earlier values too.
What changes with the date are the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.db import ReadSession
from gateway.store.records import current_record
from schemas.errors import RecordError, UnresolvedError
from schemas.factors import Factor, Factors, Medium
from schemas.limits import Explanation, Limits, Place, explain
from schemas.records import Site, Source
from schemas.tables import Tables

_SUGGESTED = 8  # factors that a sentence about an unclear name lists
R = TypeVar("R", Site, Source)


@dataclass(frozen=True, slots=True)
class Answer:
    """What limits say of one factor at one site: an explanation for each averaging period that has limits of its own.

    `source` is the enterprise whose outlet the site is; None where it is none, or its record is not here.
    """

    site: Site
    source: Source | None
    factor: Factor
    explanations: tuple[Explanation, ...]


def explain_at(
    session: ReadSession, provider: str, site_id: str, named: str, at: int, period: str | None, tables: Tables
) -> Answer:
    """Which limits apply to a factor, by its code or its Chinese name, at a site of `provider` at `at` (ms UTC).

    `period` asks for one averaging period; None for every one that has limits of its own.

    Raises:
        UnresolvedError: `record.site-unknown`, `record.factor-unknown`.
        RecordError: `record.factor-ambiguous`: the name is that of several factors.
    """
    site = _record(session, provider, site_id, Site)
    if site is None:
        detail = f"{provider} has no site {site_id[:40]!r} here; is it another party's?"
        raise UnresolvedError(detail, waits_for="site", name=site_id[:128])
    source = _record(session, provider, site.source, Source) if site.source else None
    factor = factor_called(named, tables[Factors], medium_of(site))
    place, limits = Place.of(site, source), tables[Limits]
    periods = [period] if period is not None else limits.periods(factor.code) or ("",)
    found = tuple(explain(place, factor.code, at, one, limits) for one in periods)
    return Answer(site, source, factor, found)


def factor_called(named: str, factors: Factors, medium: Medium | None) -> Factor:
    """The factor with this code or this Chinese name; of one name in water and in air, that of `medium`.

    Raises as `explain_at` does.
    """
    if factors.known(named):
        return factors.factor(named)
    called = [one for one in factors.by_code.values() if one.name_zh == named]
    if len(called) > 1:
        called = [one for one in called if one.medium == medium] or called
    if not called:
        near = [one for one in factors.by_code.values() if named and named in one.name_zh]
        hint = f"; there are {_listed(near)}" if near else "; give a code of HJ 525 or HJ 524, or a Chinese name"
        detail = f"{named[:40]!r} is not a known factor{hint}"
        raise UnresolvedError(detail, waits_for="factor", name=named[:40])
    if len(called) > 1:
        detail = f"{named[:40]!r} is the name of {_listed(called)}; give the code"
        raise RecordError(detail, code="record.factor-ambiguous")
    return called[0]


def medium_of(site: Site) -> Medium | None:
    """What is measured at a site: water or air; None of a mobile route, which may measure either."""
    if site.type == "mobile-route":
        return None
    return "air" if site.type == "air-station" or site.outlet.startswith("DA") else "water"


def _record(session: ReadSession, provider: str, key: str, kind: type[R]) -> R | None:
    found = current_record(session, provider, kind.__name__.lower(), key)
    return found if isinstance(found, kind) else None


def _listed(factors: Sequence[Factor]) -> str:
    shown = ", ".join(f"{one.code} {one.name_zh}" for one in factors[:_SUGGESTED])
    return f"{shown} …" if len(factors) > _SUGGESTED else shown

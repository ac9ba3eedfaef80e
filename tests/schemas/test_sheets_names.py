"""Names of sites by the day: what was renamed is found under both names, and no name is guessed."""

from __future__ import annotations

from datetime import date

import pytest

from schemas.records.parts import Alias
from schemas.sheets.names import SiteNames

NAMES = SiteNames(
    [
        ("A", Alias("平望大桥")),
        ("A", Alias("平望", until="2019-12-31")),
        ("B", Alias("平望")),
        ("C", Alias("金 泽")),
        ("D", Alias("界标")),
        ("E", Alias("界标")),
        ("F", Alias("老闸", "2010-01-01", "2012-12-31")),
        ("G", Alias("老闸", "2012-12-31", "")),
    ]
)


@pytest.mark.parametrize(
    ("name", "day", "site"),
    [
        ("平望", "2019-12-31", "A"),
        ("平望", "2020-01-01", "B"),
        ("平望大桥", "2001-01-01", "A"),
        ("金泽", "2026-01-01", "C"),
        ("界标", "2026-01-01", None),
        ("老闸", "2009-12-31", None),
        ("老闸", "2011-06-01", "F"),
        ("老闸", "2012-12-31", None),
        ("老闸", "2013-01-01", "G"),
        ("无名", "2026-01-01", None),
    ],
)
def test_a_name_is_the_one_site_that_bore_it_on_the_day(name: str, day: str, site: str | None) -> None:
    assert NAMES.find(name, date.fromisoformat(day)) == site

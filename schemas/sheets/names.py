"""Which site bore a name on a day: sheets call sites by their names, and sections are renamed.

A name that was given up is the old site's on the days it was used, whoever bears it today.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from schemas.sheets.grid import plain


class Called(NamedTuple):
    """A site's name; `since` and `until` (YYYY-MM-DD, both included) where it was used between these days only."""

    name: str
    site: str
    since: str = ""
    until: str = ""

    @property
    def dated(self) -> bool:
        return bool(self.since or self.until)

    def on(self, day: str) -> bool:
        return (not self.since or self.since <= day) and (not self.until or day <= self.until)


class SiteNames:
    """The names of one provider's sites."""

    def __init__(self, names: Iterable[Called] = ()) -> None:
        self._names: dict[str, list[Called]] = defaultdict(list)
        for one in names:
            self._names[plain(one.name)].append(one)

    def find(self, name: str, day: date) -> str | None:
        """The one site that was called `name` on `day`; None where there is none, or more than one."""
        used = [one for one in self._names.get(plain(name), ()) if one.on(day.isoformat())]
        sites = {one.site for one in used if one.dated} or {one.site for one in used}
        return sites.pop() if len(sites) == 1 else None

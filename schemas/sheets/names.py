"""Which site bore a name on a day: sheets call sites by their names, and sections are renamed.

A name that was given up is the old site's on the days it was used, whoever bears it today.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from schemas.records.parts import Alias
from schemas.sheets.grid import plain


class SiteNames:
    """The names of one provider's sites: each a site's id and what it is or was called; without days, always."""

    def __init__(self, names: Iterable[tuple[str, Alias]] = ()) -> None:
        self._names: dict[str, list[tuple[str, Alias]]] = defaultdict(list)
        for site, name in names:
            self._names[plain(name.name)].append((site, name))

    def find(self, name: str, day: date) -> str | None:
        """The one site that was called `name` on `day`; None where there is none, or more than one."""
        used = [(site, one) for site, one in self._names.get(plain(name), ()) if one.used_on(day)]
        sites = {site for site, one in used if one.since or one.until} or {site for site, _ in used}
        return sites.pop() if len(sites) == 1 else None

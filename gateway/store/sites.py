"""Which sites are known, and the programmes they belong to: asked for with every reading, so remembered.

A site that is not in the memory is looked for in the database once more before a reading is held for it. A changed
site is forgotten by the process that takes the change; other processes forget everything every few seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import msgspec
from sqlalchemy import select

from gateway.db import ReadSession
from gateway.store import tables
from schemas.records.parts import Alias
from schemas.sheets.names import SiteNames

_KEEP = 5.0  # seconds another process's change may go unseen
_CHUNK = 500


class Sites:
    """Programmes by provider and site."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._programmes: dict[tuple[str, str], frozenset[str]] = {}
        self._since = time.monotonic()

    def programmes(self, session: ReadSession, provider: str, sites: Iterable[str]) -> dict[str, frozenset[str]]:
        """The programmes of each known site of `sites`; an unknown one is absent."""
        known = self._fresh()
        wanted = set(sites)
        missing = [site for site in wanted if (provider, site) not in known]
        for start in range(0, len(missing), _CHUNK):
            for site in _load(session, provider, missing[start : start + _CHUNK]):
                known[provider, site.id] = frozenset(site.programmes)
        return {site: known[provider, site] for site in wanted if (provider, site) in known}

    def forget(self, provider: str, site: str) -> None:
        """Its record has changed: ask the database next time."""
        self._fresh().pop((provider, site), None)

    def _fresh(self) -> dict[tuple[str, str], frozenset[str]]:
        with self._lock:
            if time.monotonic() - self._since > _KEEP:
                self._programmes, self._since = {}, time.monotonic()
            return self._programmes


def names_of_sites(session: ReadSession, provider: str) -> SiteNames:
    """What each site of `provider` is called, and was called when."""
    table = tables.record
    query = select(table.c.line).where(table.c.provider == provider, table.c.kind == "site").order_by(table.c.key)
    names: list[tuple[str, Alias]] = []
    for line in session.execute(query).scalars():
        site = msgspec.json.decode(line, type=_Named)
        names += [(site.id, Alias(name)) for name in site.name.values() if name]
        names += [(site.id, Alias(one.name, one.since, one.until)) for one in site.aliases]
    return SiteNames(names)


class _Alias(msgspec.Struct):
    """As much of an alias as this version knows."""

    name: str
    since: str = ""
    until: str = ""


class _Named(msgspec.Struct):
    """As much of a site's line as names it. A retraction, which may be what is current, has no names."""

    id: str = ""
    name: dict[str, str] = {}
    aliases: tuple[_Alias, ...] = ()


class _Known(msgspec.Struct):
    """As much of a site's line as is asked for here; whatever else is in it."""

    kind: str
    id: str = ""
    programmes: tuple[str, ...] = ()


def _load(session: ReadSession, provider: str, sites: list[str]) -> list[_Known]:
    table = tables.record
    query = select(table.c.line).where(table.c.provider == provider, table.c.kind == "site", table.c.key.in_(sites))
    found = [msgspec.json.decode(line, type=_Known) for line in session.execute(query).scalars()]
    return [site for site in found if site.kind == "site"]  # a retraction may be what is current

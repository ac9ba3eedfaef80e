"""Profiles that this gateway reads sheets through: those that ship, and those that people register here.

A version once registered is never changed, since submissions name it; what changes is the next version. A profile that
ships cannot be replaced under its name. A sheet's sites are looked up in the profile first, then among the names
of the gateway's own sites, so that a clerk may write 急水港桥 and need not know its id.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sqlalchemy import insert, select

from gateway.db import ReadSession, WriteSession
from gateway.errors import ConflictError, NotFoundError
from gateway.store import tables
from gateway.store.sites import names_of_sites
from schemas.sheets import Profile, Through, Use, parse_profile, shipped_names, shipped_profile
from schemas.sheets.profile import shipped_document
from schemas.sheets.profile_document import NAME
from schemas.tables import Tables

_profile = tables.profile
_VERSION = re.compile(r"[1-9]\d{0,5}", re.ASCII)


def register_profile(session: WriteSession, document: bytes, tables: Tables, *, now: int) -> Profile:
    """Keep a profile's document under its name and version; `now` in ms UTC. The same document again changes nothing.

    Raises:
        ProfileError: it is not a valid profile.
        ConflictError: `profile.shipped` or `profile.version-exists`.
    """
    profile = parse_profile(document, tables)
    if profile.name in shipped_names():
        raise ConflictError(f"{profile.name} ships with this program; take another name", code="profile.shipped")
    held = _body(session, profile.name, profile.version)
    if held == document:
        return profile
    if held is not None:
        message = f"{profile.reference} is registered with other content; raise its version"
        raise ConflictError(message, code="profile.version-exists")
    session.execute(insert(_profile).values(name=profile.name, version=profile.version, body=document, added=now))
    return profile


def find_profile(session: ReadSession, reference: str, tables: Tables) -> tuple[Profile, bytes]:
    """The profile named `air-hourly@1`, or the newest version of `air-hourly`, with its document.

    `tables` are those in force, by which it was registered and is read.

    Raises:
        NotFoundError: `profile.unknown`.
    """
    name, _, version = reference.partition("@")
    if name in shipped_names():
        profile = _shipped(name)
        if version in ("", str(profile.version)):
            return profile, shipped_document(name)
    elif NAME.fullmatch(name) and (version == "" or _VERSION.fullmatch(version)):
        body = _body(session, name, int(version) if version else None)
        if body is not None:
            return _parsed(body, tables), body
    raise NotFoundError(f"there is no profile {reference[:80]!r}", code="profile.unknown")


def list_profiles(session: ReadSession, tables: Tables) -> list[Profile]:
    """Every profile, shipped ones first, in the order of names and versions."""
    query = select(_profile.c.body).order_by(_profile.c.name, _profile.c.version)
    return [*map(_shipped, shipped_names()), *(_parsed(body, tables) for body in session.execute(query).scalars())]


def reading_through(
    session: ReadSession, reference: str, tables: Tables, *, party: str, now: int, year: int | None = None
) -> Through:  # fmt: skip
    """The profile `reference`, with what this gateway knows of the sites of `party`. Raises as `find_profile`."""
    profile, _ = find_profile(session, reference, tables)
    return Through(profile, Use(now=now, year=year, names=names_of_sites(session, party), tables=tables))


def _body(session: ReadSession, name: str, version: int | None) -> bytes | None:
    query = select(_profile.c.body).where(_profile.c.name == name).order_by(_profile.c.version.desc()).limit(1)
    if version is not None:
        query = query.where(_profile.c.version == version)
    found: bytes | None = session.execute(query).scalar()
    return found


@lru_cache(maxsize=64)
def _shipped(name: str) -> Profile:
    return shipped_profile(name)


@lru_cache(maxsize=256)
def _parsed(body: bytes, tables: Tables) -> Profile:
    return parse_profile(body, tables)

"""`source`: a pollution source, an enterprise with its outlets.

Key within its provider: `id`, the unit id of HJ 608-2017 (`91130200699229617X001P`). Its outlets (`DW001`, `DA001`) are
sites of type `outlet` that name it, so that what they discharge is measured like anything else. A closed source keeps
its history.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from schemas.errors import RecordError
from schemas.identifiers import check_credit_code, check_outlet_code, check_unit_id
from schemas.records.parts import (
    Alias,
    Name,
    Position,
    check_aliases,
    check_dates,
    check_decimal,
    check_identifier,
    check_identifiers,
    check_name,
    check_position,
    check_texts,
    written,
)

SourceState = Literal["operating", "suspended", "closed"]
_INDUSTRY = re.compile(r"(?:[A-T])?\d{2,4}", re.ASCII)  # GB/T 4754: division, group or class, its section before it


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom to call. Personal data: a dataset that does not need it hides `contacts`."""

    name: str
    role: str = ""
    telephone: str = ""


class Source(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="source",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """An enterprise by its unit id.

    `industry` is a GB/T 4754-2017 code. `categories` are what plans and limits select by: `dyeing`,
    `water-jet-looms`, `electroplating`, `voc`, `soil-key-list`, `solid-waste`, `hazardous-waste` and others.
    `border_distance` is in metres to the nearest border between parties. `outlets` are codes of HJ 608.
    """

    id: str
    name: Name
    district: str
    aliases: tuple[Alias, ...] = ()
    credit_code: str = ""
    industry: str = ""
    categories: tuple[str, ...] = ()
    position: Position | None = None
    border_distance: str = ""
    state: SourceState = written("operating")
    outlets: tuple[str, ...] = ()
    contacts: tuple[Contact, ...] = ()
    opened: str = ""
    closed: str = ""
    rev: int = 0
    reason: str = ""


def check(source: Source) -> None:
    """That a source makes sense. Raises RecordError."""
    check_unit_id(source.id, "/id")
    if source.credit_code:
        check_credit_code(source.credit_code, "/credit_code")
    check_identifier(source.district, "/district")
    check_identifiers(categories=source.categories, outlets=source.outlets)
    for outlet in source.outlets:
        check_outlet_code(outlet, "/outlets")
    check_name(source.name, "a source")
    check_aliases(source.aliases)
    check_position(source.position)
    if source.border_distance:
        check_decimal(source.border_distance, "/border_distance")
    if source.industry and _INDUSTRY.fullmatch(source.industry) is None:
        raise RecordError("an industry is a code of GB/T 4754, such as C1713", pointers=["/industry"])
    check_dates(opened=source.opened, closed=source.closed)
    if source.closed and source.state != "closed":
        raise RecordError("a source with a day of closing is closed", pointers=["/state"])
    for index, contact in enumerate(source.contacts):
        where = f"contacts/{index}"
        check_texts(**{f"{where}/{name}": getattr(contact, name) for name in ("name", "role", "telephone")})

"""`/v1/schemas`, `/v1/factors`, `/v1/units`, `/v1/flags`, `/v1/quality-rules`: the shared language, for everybody.

Public: how a record is written is no secret, and whoever is to hand one in has no token yet when asking. Answers carry
an ETag (RFC 9110), so that a station platform may ask every day and is told in a few bytes that nothing changed.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Response

from gateway.api.access import Home
from gateway.errors import NotFoundError
from gateway.service import Gateway
from gateway.store.versions import all_versions
from schemas.batch import SCHEMA_VERSION
from schemas.publication import json_schema, kinds, table_schema
from schemas.publication.titles import title
from schemas.quality import QualityRules, as_document
from schemas.tables import Table, shipped
from schemas.times import utc_text

router = APIRouter()

_DAY = "public, max-age=86400"  # a published schema only ever gains members
_ASK = "public, no-cache"  # a table's next version holds from its instant on, to the millisecond
_IfNoneMatch = Annotated[str, Header()]


@router.get("/v1/schemas", summary="The record kinds of the shared schema, and where each is described")
async def read_schemas(if_none_match: _IfNoneMatch = "") -> Response:
    """Version, kinds with their names in Chinese and English, and the addresses of their two schemas."""
    return _answer(_index(), "application/json", _DAY, if_none_match)


@router.get("/v1/schemas/{kind}", summary="One record kind as JSON Schema (2020-12)")
async def read_schema(kind: str, if_none_match: _IfNoneMatch = "") -> Response:
    """Titles and descriptions in English; in Chinese as `x-title-zh` and `x-description-zh`."""
    _check_kind(kind)
    return _answer(_json_schema(kind), "application/schema+json", _DAY, if_none_match)


@router.get("/v1/schemas/{kind}/table", summary="One record kind as Frictionless Table Schema, for spreadsheets")
async def read_table_schema(kind: str, if_none_match: _IfNoneMatch = "") -> Response:
    """One column a member; parts are spread over columns, lists are JSON in one cell."""
    _check_kind(kind)
    return _answer(_table_schema(kind), "application/json", _DAY, if_none_match)


@router.get("/v1/factors", summary="Factor codes (HJ 525, HJ 524) with names and usual units")
def read_factors(gateway: Home, if_none_match: _IfNoneMatch = "") -> Response:
    """The version of the table that decides now, row by row, with sources and how far each is to be trusted."""
    return _answer_table(gateway, "factors", if_none_match)


@router.get("/v1/units", summary="Units (UCUM) with their exact factors and the spellings that sheets may use")
def read_units(gateway: Home, if_none_match: _IfNoneMatch = "") -> Response:
    """The version of the table that decides now."""
    return _answer_table(gateway, "units", if_none_match)


@router.get("/v1/flags", summary="Data flags by profile, and whether a value marked so is valid")
def read_flags(gateway: Home, if_none_match: _IfNoneMatch = "") -> Response:
    """The version of the table that decides now."""
    return _answer_table(gateway, "flags", if_none_match)


@router.get("/v1/quality-rules", summary="The quality rules in force, their parameters, and the versions of the table")
def read_rules(gateway: Home, if_none_match: _IfNoneMatch = "") -> Response:
    """Every rule with its titles, what it says in both languages, where it runs, and its parameters with the reason.

    `history` has every version that decides or has decided, by its effective instant; who proposed and approved it is
    this party's own affair.
    """
    with gateway.database.read() as session:
        own = [one.as_table() for one in all_versions(session, QualityRules.table) if one.state == "approved"]
    versions = sorted([shipped(QualityRules.table), *own], key=lambda table: (table.effective, table.version))
    document = {**as_document(gateway.tables[QualityRules]), "history": [_named(table) for table in versions]}
    return _answer(msgspec.json.encode(document), "application/json", _ASK, if_none_match)


def _check_kind(kind: str) -> None:
    if kind not in kinds():
        raise NotFoundError(f"{kind[:40]!r} is no record kind of the shared schema {SCHEMA_VERSION}")


@cache
def _index() -> bytes:
    listed = [
        {
            "kind": kind,
            "title": title(kind).en,
            "x-title-zh": title(kind).zh,
            "version": SCHEMA_VERSION,
            "schema": f"/v1/schemas/{kind}",
            "table": f"/v1/schemas/{kind}/table",
        }
        for kind in kinds()
    ]
    return msgspec.json.encode({"version": SCHEMA_VERSION, "schemas": listed})


@cache
def _json_schema(kind: str) -> bytes:
    return msgspec.json.encode(json_schema(kind))


@cache
def _table_schema(kind: str) -> bytes:
    return msgspec.json.encode(table_schema(kind))


def _answer_table(gateway: Gateway, name: str, if_none_match: str) -> Response:
    table = next(table for table in gateway.tables if table.name == name)
    return _answer(msgspec.json.encode({**_named(table), "rows": table.rows}), "application/json", _ASK, if_none_match)


def _named(table: Table) -> dict[str, object]:
    return {"table": table.reference, "digest": table.digest, "effective": utc_text(table.effective)}


def _answer(body: bytes, media_type: str, caching: str, if_none_match: str) -> Response:
    etag = '"' + base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:18]).decode() + '"'
    headers = {"ETag": etag, "Cache-Control": caching}
    known = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)

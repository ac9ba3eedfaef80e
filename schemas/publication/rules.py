"""What members of one record say of each other, as JSON Schema: the second half of what the strict reader checks."""

from __future__ import annotations

from typing import get_args

from schemas.publication.forms import Schema, key_schema
from schemas.records.keys import KEYS
from schemas.records.retraction import RetractedKind


def rules(of: str) -> list[Schema]:
    """The conditions that hold in a record of a kind, or in a part; each is a schema for the whole of it."""
    return {
        "observation": [_where(_has("q"), _has("value"))],
        "site": [
            _where(_given("source"), _given("outlet")),
            _where(_given("outlet"), _given("source")),
            _where({"anyOf": [_given("source"), _has("discharge")]}, _is("type", "outlet")),
        ],
        "source": [_where(_given("closed"), _is("state", "closed"))],
        "inspection": [
            {"anyOf": [_given("site"), _given("source")]},
            _each("signed", {"not": _is("verdict", "refused")}),
            _each("recognised", _where(_is("verdict", "refused"), _given("text", r"\S"))),
        ],
        "agreement": [
            _where(_is("act", "proposal"), _given("document", r"\S")),
            _where({"anyOf": [_is("act", "signature"), _is("act", "completion")]}, _some("signatures")),
            _where(_is("act", "lapse"), _given("text", r"\S")),
            _where(_is("act", "withdrawal"), {"allOf": [_given("effective"), _given("text", r"\S")]}),
        ],
        "retraction": [
            _where(_is("of", kind), {"properties": {"key": key_schema(kind)}}) for kind in get_args(RetractedKind)
        ],
        "Reference": [_where(_is("kind", kind), {"properties": {"key": key_schema(kind)}}) for kind in KEYS],
    }.get(of, [])


def _where(condition: Schema, consequence: Schema) -> Schema:
    return {"if": condition, "then": consequence}


def _given(member: str, pattern: str = ".") -> Schema:
    """The text `member` is there and not empty."""
    return {"required": [member], "properties": {member: {"pattern": pattern}}}


def _some(member: str) -> Schema:
    """The list `member` is there and not empty."""
    return {"required": [member], "properties": {member: {"minItems": 1}}}


def _has(member: str) -> Schema:
    """`member` is there and not null."""
    return {"required": [member], "properties": {member: {"type": "string"}}}


def _is(member: str, value: str) -> Schema:
    return {"required": [member], "properties": {member: {"const": value}}}


def _each(member: str, schema: Schema) -> Schema:
    return {"properties": {member: {"items": schema}}}

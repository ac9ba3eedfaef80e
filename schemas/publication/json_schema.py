"""A record kind as JSON Schema (2020-12), made from its struct and its titles.

Titles and descriptions are English; Chinese ones, the names of values and the key stand under names of our own, which
`$comment` explains to whoever reads the schema. What the reader demands beyond a struct's types (a unit, though a line
may leave it out on the way from a logger) is demanded here too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, get_args

from msgspec import inspect

import schemas.data
from schemas.batch import SCHEMA_VERSION
from schemas.publication.forms import Schema, list_schema, number_schema, text_schema
from schemas.publication.rules import rules
from schemas.publication.titles import Title, all_titles, title, values
from schemas.records import KEYS, Record

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_COMMENT = (
    "x-title-zh and x-description-zh: title and description in Chinese. x-values: each value in Chinese and English. "
    "x-key: the members that tell a provider's records of this kind apart."
)
DEMANDED = {("observation", "unit")}
"""Members that a struct lets be absent and `check_record` does not."""


def kinds() -> tuple[str, ...]:
    """Every record kind that is published, in the order of the titles."""
    return tuple(of for of, member, _ in all_titles() if not member and of in _structs())


def json_schema(kind: str) -> Schema:
    """The JSON Schema of a record of `kind`; KeyError where there is no such kind."""
    struct = _structs()[kind]
    parts: dict[str, Schema] = {}
    body = _object(kind, struct, parts)
    properties = {"kind": {"const": kind, "title": "Kind of record", "x-title-zh": "记录类型"}, **body["properties"]}
    return {
        "$schema": DIALECT,
        "$id": f"urn:taipu:schema:{SCHEMA_VERSION}:{kind}",
        "$comment": _COMMENT,
        **title(kind).as_schema(),
        "x-version": SCHEMA_VERSION,
        "x-key": list(KEYS.get(kind, ("of", "key"))),
        **body,
        "properties": properties,
        "required": ["kind", *body["required"]],
        "examples": [example(kind)],
        **({"$defs": dict(sorted(parts.items()))} if parts else {}),
    }


@cache
def _examples() -> Mapping[str, Any]:
    text = files(schemas.data).joinpath("examples.jsonl").read_text(encoding="utf-8")
    return {record["kind"]: record for record in map(json.loads, text.splitlines())}


def example(kind: str) -> dict[str, Any]:
    """A record of `kind` as it is handed in."""
    return dict(_examples()[kind])


@cache
def _structs() -> Mapping[str, inspect.StructType]:
    found = [inspect.type_info(struct) for struct in get_args(Record)]
    return {str(one.tag): one for one in found if isinstance(one, inspect.StructType)}


def _object(of: str, struct: inspect.StructType, parts: dict[str, Schema]) -> Schema:
    """Members of a kind or part; the parts they are made of go into `parts`."""
    properties = {field.encode_name: _member(of, field, parts) for field in struct.fields}
    needed = [field.encode_name for field in struct.fields if field.required or (of, field.encode_name) in DEMANDED]
    schema: Schema = {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}
    conditions = rules(of)
    return schema | ({"allOf": conditions} if conditions else {})


def _member(of: str, field: inspect.Field, parts: dict[str, Schema]) -> Schema:
    name = field.encode_name
    about = title(of, name)
    kind, nullable = _without_null(field.type)
    schema = _typed(kind, about, of, name, parts, optional=field.default == "")
    if nullable and (of, name) not in DEMANDED:
        schema = _or_null(schema)
    shown = about.as_schema()
    names = {value: [title(of, name, value).zh, title(of, name, value).en] for value in values(of, name)}
    return {
        **shown,
        **schema,
        **({"x-values": names} if names else {}),
        **({"examples": [_example(about, schema)]} if about.example else {}),
    }


def _typed(kind: inspect.Type, about: Title, of: str, name: str, parts: dict[str, Schema], *, optional: bool) -> Schema:
    match kind:
        case inspect.StrType():
            return text_schema(about.form, optional=optional)
        case inspect.IntType():
            return number_schema(about.form)
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.LiteralType():
            return {"type": "string", "enum": list(values(of, name))}
        case inspect.DictType():
            return {"type": "object"}
        case inspect.StructType():
            return _part(kind, parts)
        case inspect.VarTupleType(item_type=inspect.StructType() as item):
            return {"type": "array", "items": _part(item, parts)}
        case inspect.VarTupleType():
            return list_schema(about.form)
        case _:
            raise RuntimeError(f"{of}.{name}: no schema for {kind}")


def _part(struct: inspect.StructType, parts: dict[str, Schema]) -> Schema:
    of = struct.cls.__name__
    if of not in parts:
        parts[of] = {}  # no part holds itself; the order is that of the first use
        parts[of] = title(of).as_schema() | _object(of, struct, parts)
    return {"$ref": f"#/$defs/{of}"}


def _without_null(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    if not isinstance(kind, inspect.UnionType):
        return kind, False
    (other,) = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    return other, True


def _or_null(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    enumeration = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **enumeration}


def _example(about: Title, schema: Schema) -> Any:
    if schema["type"] == "integer":
        return int(about.example)
    return [about.example] if schema["type"] == "array" else about.example

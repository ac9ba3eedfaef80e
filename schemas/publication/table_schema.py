"""A record kind as a Frictionless Table Schema: the columns of a spreadsheet that says the same.

A part is spread over columns (`name.zh`, `position.x`); a list is one cell that holds a JSON array. An empty cell is a
member that is left out. Decimals stay text, or a spreadsheet would turn `0.10` into 0.1. Patterns are those of XML
Schema: whole cells, without anchors and without groups that do not count.
"""

from __future__ import annotations

from schemas.batch import SCHEMA_VERSION
from schemas.publication.forms import TEXTS, Schema
from schemas.publication.json_schema import json_schema
from schemas.publication.titles import title

PROFILE = "https://datapackage.org/profiles/2.0/tableschema.json"
_SPREAD = ("Name", "Position")
_SHOWN = ("title", "x-title-zh", "description", "x-description-zh", "x-values")


def table_schema(kind: str) -> Schema:
    """The Table Schema of a sheet of records of `kind`; KeyError where there is no such kind."""
    schema = json_schema(kind)
    fields: list[Schema] = []
    for name in schema["properties"]:
        if name != "kind":
            fields += _columns(kind, name, schema, needed=name in schema["required"])
    return {
        "$schema": PROFILE,
        **title(kind).as_schema(),
        "x-version": SCHEMA_VERSION,
        "x-kind": kind,
        "fields": fields,
        "missingValues": [""],
        "primaryKey": schema["x-key"],
    }


def _columns(kind: str, name: str, schema: Schema, *, needed: bool) -> list[Schema]:
    member = schema["properties"][name]
    part = _part_of(member)
    if part not in _SPREAD:
        return [_field(kind, name, name, member, needed=needed)]
    inner = schema["$defs"][part]
    return [
        _field(part, one, f"{name}.{one}", _titled(member, inner_member), needed=needed and one in inner["required"])
        for one, inner_member in inner["properties"].items()
    ]


def _part_of(member: Schema) -> str:
    reference: str = next((one["$ref"] for one in (member, *member.get("anyOf", ())) if "$ref" in one), "")
    return reference.rpartition("/")[2]


def _titled(member: Schema, inner: Schema) -> Schema:
    """The column's titles name the part too: two columns are not both called “Chinese name”."""
    both = {name: f"{member[name]} · {inner[name]}" for name in ("title", "x-title-zh")}
    return {**inner, **both}


def _field(of: str, member: str, column: str, schema: Schema, *, needed: bool) -> Schema:
    types = schema.get("type", "object")
    kind, nullable = (types, False) if isinstance(types, str) else (types[0], True)
    constraints: Schema = {"required": True} if needed and not nullable else {}
    if kind == "string":
        constraints |= _text_constraints(title(of, member).form, schema)
    if kind == "integer":
        constraints |= {name: schema[name] for name in ("minimum", "maximum") if name in schema}
    shown = {name: schema[name] for name in _SHOWN if name in schema}
    example = {"example": schema["examples"][0]} if kind in ("string", "integer") and "examples" in schema else {}
    return {"name": column, "type": kind, **shown, **example, **({"constraints": constraints} if constraints else {})}


def _text_constraints(form: str, schema: Schema) -> Schema:
    if not form:
        return {"enum": [value for value in schema["enum"] if value is not None]}
    constraints = dict(TEXTS[form])
    if "\\u" in constraints.get("pattern", ""):
        del constraints["pattern"]  # it keeps out control characters, which no cell holds and XML Schema cannot name
    if "pattern" in constraints:
        constraints["pattern"] = constraints["pattern"].replace("(?:", "(")
    return constraints

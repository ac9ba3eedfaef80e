"""Nothing that was published is taken back: a change within a major version only adds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from schemas.batch import SCHEMA_VERSION
from schemas.publication import json_schema, kinds
from tests.schemas.additive import narrowed
from tests.schemas.published import broken, files, text_of, versions

Schema = dict[str, Any]
Change = Callable[[Schema], Any]


def test_the_present_schemas_keep_what_was_published() -> None:
    assert SCHEMA_VERSION in versions()
    assert broken(versions()) == []


@pytest.mark.parametrize(("path", "schema"), list(files()), ids=lambda part: part.name if hasattr(part, "name") else "")
def test_the_published_files_are_what_the_code_generates(path: Any, schema: Schema) -> None:
    """If this fails after a change that only adds: `python -m tests.schemas.published`."""
    assert path.read_text(encoding="utf-8") == text_of(schema)


@pytest.mark.parametrize("kind", kinds())
def test_a_schema_adds_to_itself(kind: str) -> None:
    assert narrowed(json_schema(kind), json_schema(kind)) == []


def changed(kind: str, change: Change) -> Schema:
    schema = copy.deepcopy(json_schema(kind))
    change(schema)
    return schema


def members(schema: Schema) -> Any:
    return schema["properties"]


def require(schema: Schema, name: str) -> None:
    schema["required"].append(name)


BREAKING: dict[str, tuple[str, Change]] = {
    "a member removed": ("site", lambda schema: members(schema).pop("owner")),
    "a member renamed": ("site", lambda schema: members(schema).update(holder=members(schema).pop("owner"))),
    "a member of a part removed": ("site", lambda schema: schema["$defs"]["Alias"]["properties"].pop("until")),
    "a type changed": ("observation", lambda schema: members(schema)["value"].update(type=["number", "null"])),
    "null taken away": ("observation", lambda schema: members(schema)["value"].update(type="string")),
    "null taken away from a part": (
        "site", lambda schema: members(schema).update(position={"$ref": "#/$defs/Position"})
    ),
    "a list made one": ("site", lambda schema: members(schema).update(programmes={"type": "string"})),
    "an optional member required": ("observation", lambda schema: require(schema, "method")),
    "a new member required": (
        "mark", lambda schema: (members(schema).update(phone={"type": "string"}), require(schema, "phone"))
    ),
    "a member of a part required": ("site", lambda schema: require(schema["$defs"]["Name"], "en")),
    "an enumeration's value removed": ("observation", lambda schema: members(schema)["origin"]["enum"].remove("lab")),
    "a period removed": ("observation", lambda schema: members(schema)["period"]["enum"].remove("PT4H")),
    "an enumeration where there was none": ("case", lambda schema: members(schema)["state"].update(enum=["opened"])),
    "a pattern tightened": ("site", lambda schema: members(schema)["id"].update(pattern="^[A-Z]+$")),
    "a pattern where there was none": ("site", lambda schema: members(schema)["rev"].update(pattern="^1$")),
    "a pattern of a list's items tightened": (
        "site", lambda schema: members(schema)["programmes"]["items"].update(pattern="^water$")
    ),
    "a text made shorter": ("site", lambda schema: members(schema)["owner"].update(maxLength=64)),
    "a number bounded": ("case", lambda schema: members(schema)["step"].update(maximum=100)),
    "an empty list refused": ("mark", lambda schema: members(schema)["factors"].update(minItems=1)),
    "doubles refused": ("inspection", lambda schema: members(schema)["basis"].update(uniqueItems=True)),
    "a new condition": (
        "mark", lambda schema: schema.setdefault("allOf", []).append({"if": {"required": ["to"]}, "then": False})
    ),
    "a condition changed": ("site", lambda schema: schema["allOf"][2].update(then=False)),
    "an alternative removed": ("inspection", lambda schema: schema["allOf"][0]["anyOf"].pop()),
    "another key": ("observation", lambda schema: schema["x-key"].remove("sample")),
    "a word that nobody compares": ("mark", lambda schema: schema.update(maxProperties=3)),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_takes_away_is_found(name: str) -> None:
    kind, change = BREAKING[name]
    assert narrowed(json_schema(kind), changed(kind, change)) != []


ADDITIVE: dict[str, tuple[str, Change]] = {
    "a new optional member": ("site", lambda schema: members(schema).update(depth={"type": "string"})),
    "a new optional part": (
        "site",
        lambda schema: (
            schema["$defs"].update(Gate={"type": "object", "properties": {}, "required": []}),
            members(schema).update(gate={"$ref": "#/$defs/Gate"}),
        ),
    ),
    "a new value of an enumeration": ("observation", lambda schema: members(schema)["origin"]["enum"].append("model")),
    "null admitted": ("site", lambda schema: members(schema)["owner"].update(type=["string", "null"])),
    "a member no longer required": ("mark", lambda schema: schema["required"].remove("entered")),
    "a longer text": ("site", lambda schema: members(schema)["owner"].update(maxLength=256)),
    "a pattern dropped": ("site", lambda schema: members(schema)["owner"].pop("pattern")),
    "a condition dropped": ("site", lambda schema: schema["allOf"].pop()),
    "another title": (
        "site",
        lambda schema: members(schema)["owner"].update({"title": "Holder", "x-title-zh": "单位"}),
    ),
    "a kind more that can be withdrawn": (
        "retraction",
        lambda schema: (
            members(schema)["of"]["enum"].append("agreement"),
            schema["allOf"].append({"if": {"properties": {"of": {"const": "agreement"}}}, "then": {"type": "object"}}),
        ),
    ),
}


@pytest.mark.parametrize("name", ADDITIVE)
def test_a_change_that_only_adds_is_let_through(name: str) -> None:
    kind, change = ADDITIVE[name]
    schema = changed(kind, change)
    assert schema != json_schema(kind)
    assert narrowed(json_schema(kind), schema) == []

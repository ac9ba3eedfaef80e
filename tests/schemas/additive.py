"""Whether a schema only adds to an earlier one: what every reader and writer of 1.0 relies on for all of 1.x.

A record that the earlier schema admitted must be admitted by the later one, and a member that the earlier one had must
be there. Patterns and conditions cannot be compared in general, so they may be dropped and never changed: whoever has
to widen one raises the major version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_LOWER = ("minimum", "minLength", "minItems")
_UPPER = ("maximum", "maxLength", "maxItems")
_SAME = ("pattern", "const", "format", "uniqueItems", "not", "if", "then", "else", "additionalProperties")
_SHOWN = ("title", "description", "examples", "$comment", "$id", "$schema", "$defs")


def narrowed(earlier: Schema, later: Schema) -> list[str]:
    """Every way in which `later` does less than `earlier`, with its place; empty where it only adds."""
    return list(_compare(earlier, later, "", earlier, later))


def _compare(old: Schema, new: Schema, place: str, old_root: Schema, new_root: Schema) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    yield from _types(old, new, place)
    yield from _bounds(old, new, place)
    yield from _members(old, new, place, old_root, new_root)
    if "items" in new:
        yield from _compare(old.get("items", {}), new["items"], f"{place}/items", old_root, new_root)
    for name in ("anyOf", "allOf"):
        yield from _lists(name, old, new, place, old_root, new_root)
    if of_key := set(old.get("x-key", [])) ^ set(new.get("x-key", [])):
        yield f"{place}: the key changed by {sorted(of_key)}"
    if unknown := {name for name in {*old, *new} if name not in _KNOWN and not name.startswith("x-")}:
        yield f"{place}: nobody has said how to compare {sorted(unknown)}"


_KNOWN = {
    *_LOWER, *_UPPER, *_SAME, *_SHOWN, "type", "enum", "properties", "required", "items", "anyOf", "allOf", "$ref"
}  # fmt: skip


def _resolved(schema: Schema, root: Schema) -> Schema:
    """A reference replaced by what it names; what stands beside it stays."""
    if "$ref" not in schema:
        return schema
    target: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return {**target, **{name: value for name, value in schema.items() if name != "$ref"}}


def _types(old: Schema, new: Schema, place: str) -> Iterator[str]:
    if "type" in new:
        lost = _as_set(old.get("type", ["anything"])) - _as_set(new["type"])
        if lost - ({"integer"} if "number" in _as_set(new["type"]) else set()):
            yield f"{place}: the type {sorted(lost)} is gone"
    if "enum" in new:
        lost = {repr(value) for value in old.get("enum", ["anything"])} - {repr(value) for value in new["enum"]}
        if lost:
            yield f"{place}: the value {sorted(lost)} is gone"


def _as_set(types: str | list[str]) -> set[str]:
    return {types} if isinstance(types, str) else set(types)


def _bounds(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for name in _LOWER:
        if name in new and (name not in old or new[name] > old[name]):
            yield f"{place}: {name} is raised"
    for name in _UPPER:
        if name in new and (name not in old or new[name] < old[name]):
            yield f"{place}: {name} is lowered"
    for name in _SAME:
        if name in new and new[name] != old.get(name):
            yield f"{place}: {name} is tightened or changed"


def _members(old: Schema, new: Schema, place: str, old_root: Schema, new_root: Schema) -> Iterator[str]:
    for name, member in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from _compare(member, new["properties"][name], f"{place}/{name}", old_root, new_root)
        elif "properties" in new or new.get("additionalProperties") is False:
            yield f"{place}/{name}: the member is gone"
    if added := set(new.get("required", [])) - set(old.get("required", [])):
        yield f"{place}: {sorted(added)} is required now"


def _lists(name: str, old: Schema, new: Schema, place: str, old_root: Schema, new_root: Schema) -> Iterator[str]:
    """Alternatives may be added and not taken away; conditions the other way round. Each is compared with its like."""
    olds, news = old.get(name, []), new.get(name, [])
    kept, free = (olds, news) if name == "anyOf" else (news, olds)
    if name == "anyOf" and news and not olds:
        yield f"{place}: {name} is new"
    if name == "anyOf" and not news:
        return
    for number, one in enumerate(kept):
        if name == "allOf" and _says_nothing_of(old, one):
            continue
        pairs = [(one, other) if name == "anyOf" else (other, one) for other in free]
        if not any(not list(_compare(first, second, place, old_root, new_root)) for first, second in pairs):
            yield f"{place}: {name} {number} has no counterpart"


def _says_nothing_of(old: Schema, condition: Schema) -> bool:
    """Whether a condition is about a value that the earlier schema did not have, and so about none of its records."""
    members = condition.get("if", {}).get("properties", {})
    return any(
        "enum" in old["properties"].get(name, {}) and member.get("const") not in old["properties"][name]["enum"]
        for name, member in members.items()
        if "const" in member
    )

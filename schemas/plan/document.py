"""Plan documents as bytes: YAML or JSON to one value, and that value to the bytes that are signed.

A plan is countersigned by parties whose gateways may read it with other programs, so one document must mean one thing.
A document that begins with `{` is JSON (RFC 8259); anything else is YAML, of which only the plain part is taken: no
anchors, aliases, tags, merge keys or second document, and no number that two readers could read differently. `true`,
`false`, `null` and whole decimal numbers are what they seem; times, dates, `yes` and `011` are text. Fractions are
refused in both: a value is a decimal, written as text, and never a double. Duplicate members are refused.

The YAML is read from its events, never composed into nodes, so nothing expands, and depth is bounded. What this module
must never do: fill in a default. `canonical` is RFC 8785 of the document as given.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import NoReturn, TypeAlias, cast

import rfc8785
import yaml

from schemas.errors import PlanError

Value: TypeAlias = "bool | int | str | list[Value] | dict[str, Value] | None"

MAX_BYTES = 256 * 1024  # of one document; some 500 datasets, and 3 s of YAML at the very worst
MAX_DEPTH = 12  # of nested lists and mappings; a plan needs 5
MAX_INTEGER = 2**53 - 1  # beyond it JSON readers disagree (RFC 8259, section 6)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_FRACTION = re.compile(
    r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?[0-9]+e[-+]?[0-9]+|[-+]?\.(inf|nan)", re.ASCII | re.IGNORECASE
)
_WORDS: dict[str, Value] = {"": None, "~": None, "null": None, "true": True, "false": False}
_LAYOUT = "\n\t"  # the control characters that text may hold


def read_document(data: bytes) -> dict[str, Value]:
    """The mapping that `data` says, every text and number checked, no text normalised.

    Raises:
        PlanError: `plan.too-large`, or `plan.malformed` with the place.
    """
    if len(data) > MAX_BYTES:
        raise PlanError(f"a plan has at most {MAX_BYTES} bytes, this one {len(data)}", code="plan.too-large")
    try:
        text = data.decode("utf-8").removeprefix("\N{BOM}")
    except UnicodeDecodeError as error:
        raise PlanError(f"the document is not UTF-8: byte {error.start}") from None
    document = _from_json(text) if text.lstrip(" \t\r\n").startswith("{") else _from_yaml(text)
    _check(document, "", MAX_DEPTH)
    if not isinstance(document, dict):
        raise PlanError("a plan is a mapping of members", pointers=[""])
    return document


def canonical(document: dict[str, Value]) -> bytes:
    """The document in the JSON Canonicalization Scheme (RFC 8785): what parties sign."""
    return rfc8785.dumps(document)


def digest(canonical_bytes: bytes) -> str:
    """base64url SHA-256 without padding, as batches name a plan's version."""
    return base64.urlsafe_b64encode(hashlib.sha256(canonical_bytes).digest()).rstrip(b"=").decode()


def step(pointer: str, member: str | int) -> str:
    """The JSON pointer (RFC 6901) of a member of what `pointer` points to; long names are cut."""
    return f"{pointer}/{str(member)[:64].replace('~', '~0').replace('/', '~1')}"


def _from_json(text: str) -> Value:
    def members(pairs: list[tuple[str, Value]]) -> Value:
        mapping: dict[str, Value] = {}
        for name, value in pairs:
            if name in mapping:
                _refuse(f"the member {name[:64]!r} occurs twice")
            mapping[name] = value
        return mapping

    try:
        return cast(
            "Value",
            json.loads(text, object_pairs_hook=members, parse_float=_refuse_fraction, parse_constant=_refuse_fraction),
        )
    except RecursionError:
        _refuse(f"the document nests deeper than {MAX_DEPTH}")
    except ValueError as error:
        _refuse(f"not JSON: {error}")


def _from_yaml(text: str) -> Value:
    try:
        events = (event for event in yaml.parse(text, Loader=yaml.SafeLoader))
        documents = [_yaml_value(events, next(events), 0) for event in events if _begins_document(event)]
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # escapes beyond Unicode, endless integers
        _refuse(f"not YAML: {' '.join(str(error).split())[:200]}")
    if len(documents) != 1:
        _refuse(f"one document is expected, not {len(documents)}")
    return documents[0]


def _begins_document(event: yaml.Event) -> bool:
    return isinstance(event, yaml.DocumentStartEvent)


def _yaml_value(events: Iterator[yaml.Event], event: yaml.Event, depth: int) -> Value:
    """The value that begins with `event`; takes its further events from `events`."""
    if depth > MAX_DEPTH:
        _refuse(f"the document nests deeper than {MAX_DEPTH}", event)
    if isinstance(event, yaml.NodeEvent) and event.anchor is not None:  # an alias has one, too
        _refuse("anchors and aliases are not taken", event)
    if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
        _refuse("tags are not taken", event)
    if isinstance(event, yaml.ScalarEvent):
        return _plain_scalar(event) if event.style is None else str(event.value)
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Value] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_yaml_value(events, event, depth + 1))
        return items
    mapping: dict[str, Value] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        name = _yaml_value(events, event, depth + 1)
        if not isinstance(name, str):
            _refuse("a member's name is text; quote it", event)
        if name in mapping:
            _refuse(f"the member {name[:64]!r} occurs twice", event)
        mapping[name] = _yaml_value(events, next(events), depth + 1)
    return mapping


def _plain_scalar(event: yaml.ScalarEvent) -> Value:
    """What an unquoted scalar means: fewer things than in any YAML schema, and the same ones everywhere."""
    text = event.value
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        _refuse(f"{text[:40]} is a fraction: a value is a decimal, so put it in quotes", event)
    return str(text)


def _refuse_fraction(text: str) -> NoReturn:
    _refuse(f"{text[:40]} is a fraction: a value is a decimal, so put it in quotes")


def _check(value: Value, pointer: str, depth: int) -> None:
    """What both readers let through and we do not: deep nesting, unsafe numbers, text that cannot be written."""
    if depth < 0:
        raise PlanError(f"the document nests deeper than {MAX_DEPTH}", pointers=[pointer])
    if isinstance(value, dict):
        for name, member in value.items():
            _check(name, pointer, depth)
            _check(member, step(pointer, name), depth - 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, step(pointer, index), depth - 1)
    elif isinstance(value, str):
        if any(unicodedata.category(one) in {"Cc", "Cs"} and one not in _LAYOUT for one in value):
            raise PlanError("text must not hold control characters or half characters", pointers=[pointer])
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise PlanError("the number is too large: put it in quotes", pointers=[pointer])


def _refuse(detail: str, event: yaml.Event | None = None) -> NoReturn:
    where = [f"line {event.start_mark.line + 1}"] if event is not None and event.start_mark is not None else []
    raise PlanError(detail, pointers=where)

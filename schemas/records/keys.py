"""Keys: what tells a provider's records of one kind apart, and their one spelling as text.

A key is stored, queued and named in retractions and references, so two spellings of one instant must not become two
keys: times in keys are written in Beijing time, without a fraction where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from schemas.errors import RecordError
from schemas.records.parts import check_identifier, check_texts, check_time, plain_time

KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "site": ("id",),
        "source": ("id",),
        "observation": ("site", "factor", "origin", "stat", "period", "at", "sample"),
        "mark": ("site", "type", "from", "author"),
        "inspection": ("id",),
        "case": ("case", "step"),
        "agreement": ("plan", "version", "party", "act"),
    }
)
"""The members of each kind's key, in order. A retraction has the key of what it withdraws."""

IMMUTABLE = frozenset({"mark", "case", "agreement"})
"""Kinds whose records are never revised; marks and cases may be withdrawn, an act of governance stays."""

_TIMES = frozenset({"at", "from"})
_NUMBERS = frozenset({"step", "version"})
_FREE = frozenset({"author", "sample"})  # the last of their keys, so that any text in them stays unambiguous


def kind_of(record: msgspec.Struct) -> str:
    """The kind of a record, as its line names it."""
    return str(record.__struct_config__.tag)


def key_of(record: Any) -> str:
    """The key of a record as one text: its members with blanks between them. A retraction's is what it withdraws."""
    kind = kind_of(record)
    if kind == "retraction":
        return key_text(record.of, record.key)
    return key_text(kind, {name: getattr(record, f"{name}_" if name == "from" else name) for name in KEYS[kind]})


def key_text(kind: str, key: Mapping[str, str | int]) -> str:
    """The members of a key that `check_key` has passed, as one text."""
    return " ".join(plain_time(str(key[name])) if name in _TIMES else str(key[name]) for name in KEYS[kind])


def check_key(kind: str, key: Mapping[str, str | int], pointer: str) -> None:
    """That `key` is one of `kind`: its members and no others, each possible.

    Raises:
        RecordError: `record.key-invalid` where members lack or are too many; otherwise as the member's own check.
    """
    members = KEYS.get(kind)
    if members is None or key.keys() != set(members):
        expected = ", ".join(members) if members else f"no kind {kind[:40]!r}"
        raise RecordError(f"a key has these members: {expected}", code="record.key-invalid", pointers=[pointer])
    for name, value in key.items():
        where = f"{pointer}/{name}"
        if name in _NUMBERS:
            if not isinstance(value, int) or value < 1:
                raise RecordError(f"a {name} is a number from 1", code="record.key-invalid", pointers=[where])
        elif not isinstance(value, str):
            raise RecordError("this member of a key is text", code="record.key-invalid", pointers=[where])
        elif name in _TIMES:
            check_time(value, where)
        elif name in _FREE:
            check_texts(**{f"{pointer[1:]}/{name}": value})
        else:
            check_identifier(value, where)

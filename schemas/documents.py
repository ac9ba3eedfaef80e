"""Documents that people write, in YAML or JSON: read strictly, with all faults at once.

Registrations of devices and sheet profiles are such documents. Every scalar is text: the YAML reader never turns one
into a number, so a code of digits keeps its leading zeros. Unknown members are refused by name, repeated ones too, and
aliases (they can make a small document huge). What a member means is said by the module that reads it, which makes its
reading a child of `Reading`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any, cast

import yaml

from schemas.errors import SharingError

MAX_TEXT = 128  # characters of one scalar, as in the records it ends up in
FAULTY = "\0"  # stands for a text whose fault is noted, so that reading goes on; no document can say it


class Reading:
    """One pass over a document that notes every fault, with its JSON pointer, instead of stopping at the first."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []

    def raise_faults(self, error: type[SharingError]) -> None:
        """Raise `error` with every fault there is, in `pointers` and in `extra["faults"]`."""
        if self.faults:
            raise error(
                "; ".join(f"{pointer or '/'}: {text}" for pointer, text in self.faults),
                pointers=[pointer or "/" for pointer, _ in self.faults],
                extra={"faults": [{"pointer": pointer, "text": text} for pointer, text in self.faults]},
            )

    def mapping(
        self, value: object, pointer: str, required: tuple[str, ...], optional: tuple[str, ...] | None
    ) -> dict[str, object]:
        """`value` as a mapping with these members and no others; `optional` None admits any name.

        What is missing is a fault here, and no second one where it is read.
        """
        if not isinstance(value, dict):
            self.fault(pointer, "is not a mapping")
            return {}
        for name in required:
            if name not in value:
                self.fault(pointer, f"lacks `{name}`")
        if optional is not None:
            for name in value:
                if name not in required and name not in optional:
                    self.fault(f"{pointer}/{escape(name)}", "is not a member we know")
        return cast("dict[str, object]", value)

    def text(self, members: dict[str, object], name: str, pointer: str) -> str:
        """The text of a member, or `FAULTY`."""
        if name not in members:
            return FAULTY
        value = members[name]
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > MAX_TEXT:
            self.fault(f"{pointer}/{name}", f"is not text of 1 to {MAX_TEXT} printable characters; quote it in JSON")
            return FAULTY
        return value

    def choice(
        self, members: dict[str, object], name: str, pointer: str, choices: tuple[Any, ...], default: Any
    ) -> Any:
        """The member as one of `choices`; `default` where it is absent or another."""
        value = members.get(name, default)
        if name in members and value not in choices:
            self.fault(f"{pointer}/{name}", f"is not one of {', '.join(choices)}")
            return default
        return value

    def fault(self, pointer: str, text: str) -> None:
        self.faults.append((pointer, text))


def escape(name: str) -> str:
    """`name` as one step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def load_document(data: bytes, error: type[SharingError]) -> object:
    """The document as mappings, lists and text. JSON is tried first where it may be: it reads much faster.

    Raises:
        SharingError: of the class `error`: not UTF-8, neither YAML nor JSON, nested too deeply, an alias, a member
            given twice.
    """
    try:
        text = data.decode("utf-8-sig")
        if text.lstrip().startswith("{"):
            try:
                return json.loads(text, object_pairs_hook=_unique, parse_int=float)  # a number is a fault anyway
            except json.JSONDecodeError:
                pass  # a YAML mapping may open with a brace as well
        return yaml.load(text, Loader=_TextLoader)  # noqa: S506 - a BaseLoader makes text, lists and mappings only
    except _DocumentFault as fault:
        raise error(fault.args[0]) from fault
    except UnicodeDecodeError as fault:
        raise error("the document is not UTF-8") from fault
    except RecursionError as fault:
        raise error("the document is nested too deeply") from fault
    except yaml.YAMLError as fault:
        raise error(f"the document is neither JSON nor YAML: {' '.join(str(fault).split())[:200]}") from fault


class _DocumentFault(Exception):  # noqa: N818 - becomes the caller's own error before anybody sees it
    """What this module finds wrong with a document, until it is the error of the document's kind."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str) or not name.isprintable():
            raise _DocumentFault("a member's name is not printable text")
        if name in members:
            raise _DocumentFault(f"`{name[:MAX_TEXT]}` is given twice in one mapping")
        members[name] = value
    return members


class _TextLoader(yaml.BaseLoader):
    """YAML with every scalar as text, without aliases (they can make a small document huge) or repeated members."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _DocumentFault("the document uses an alias (`*name`); write the members out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002
        build = self.construct_object
        return dict(_unique([(build(key, deep=True), build(value, deep=True)) for key, value in node.value]).items())

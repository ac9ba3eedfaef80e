"""The auditor's own memory: for each log, the last head that was proved. The cheapest strong witness there is.

A JSON file of the auditor's, `{origin: {"size": …, "root": base64}}`. It never moves backwards.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.checkpoint import MAX_SIZE, Checkpoint
from audit.errors import EvidenceError
from audit.evidence import read_file
from audit.merkle import HASH_SIZE
from audit.note import decode_base64

_MODE = 0o600


@dataclass(frozen=True)
class Visit:
    """The head of a log when it was last proved."""

    size: int
    root: bytes


def read_visit(path: Path, origin: str) -> Visit | None:
    """The last visit to the log `origin`; None when there was none.

    Raises:
        EvidenceError: the file is not one of ours. It is left as it is.
    """
    visit = _load(path).get(origin)
    if visit is None:
        return None
    try:
        size, root = visit["size"], decode_base64(visit["root"])
        if type(size) is not int or not 0 <= size <= MAX_SIZE or len(root) != HASH_SIZE:
            raise ValueError("no log has this size and root")
    except (ValueError, TypeError, KeyError) as error:
        raise EvidenceError(f"{path.name} does not hold the heads of earlier visits") from error
    return Visit(size, root)


def write_visits(path: Path, heads: Iterable[Checkpoint]) -> None:
    """Remember `heads`, which have been proved to continue the last visit's. All or none, and on disk."""
    visits = _load(path)
    for head in heads:
        visits[head.origin] = {"size": head.size, "root": base64.b64encode(head.root).decode("ascii")}
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, _MODE)) as file:
        json.dump(visits, file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _load(path: Path) -> dict[str, Any]:
    try:
        visits = json.loads(read_file(path) or b"{}")
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{path.name} is not JSON") from error
    if not isinstance(visits, dict):
        raise EvidenceError(f"{path.name} does not hold the heads of earlier visits")
    return visits

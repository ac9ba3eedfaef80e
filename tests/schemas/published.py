"""The schemas as they were published, one folder a version: `python -m tests.schemas.published` writes the present one.

A folder is a promise to whoever built on it. Titles may be mended and members added; what takes away from a promise is
not written, and the version has to be raised first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.batch import SCHEMA_VERSION
from schemas.publication import json_schema, kinds, table_schema
from tests.schemas.additive import narrowed

FOLDER = Path(__file__).parent / "published"


def files() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every file of the present version, with what it holds."""
    for kind in kinds():
        yield FOLDER / SCHEMA_VERSION / f"{kind}.json", json_schema(kind)
        yield FOLDER / SCHEMA_VERSION / f"{kind}.table.json", table_schema(kind)


def text_of(schema: dict[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def earlier(version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON Schemas of one published version, by kind."""
    for path in sorted((FOLDER / version).glob("*.json")):
        if not path.name.endswith(".table.json"):
            yield path.stem, json.loads(path.read_text(encoding="utf-8"))


def broken(versions: list[str]) -> list[str]:
    """Every promise of these versions that the present schemas do not keep."""
    found = []
    for version in versions:
        for kind, schema in earlier(version):
            if kind not in kinds():
                found.append(f"{version} {kind}: the kind is gone")
            else:
                found += [f"{version} {kind}{fault}" for fault in narrowed(schema, json_schema(kind))]
    return found


def versions() -> list[str]:
    """The published versions that the present one has to keep: all of its major version."""
    major = SCHEMA_VERSION.partition(".")[0]
    return sorted(path.name for path in FOLDER.glob(f"{major}.*"))


def main() -> None:
    if faults := broken(versions()):
        sys.exit("not written, since this takes away from what was published:\n" + "\n".join(faults))
    for path, schema in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(schema), encoding="utf-8")


if __name__ == "__main__":
    main()

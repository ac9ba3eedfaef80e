"""Where the third-party vectors lie. They are read in place, never copied; tests are skipped where they are absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="the shared third-party vectors are not here")


def load(*path: str) -> Any:
    return json.loads(VECTORS.joinpath(*path).read_bytes())


def files(folder: str) -> list[Path]:
    return sorted((VECTORS / folder).rglob("*.json"))

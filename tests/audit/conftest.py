"""Evidence that several tests start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.evidence_world import Exchange, usual


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The evidence of a small log: one bundle, three batches, two receipts."""
    return usual().write(tmp_path / "evidence")


@pytest.fixture(scope="session")
def large() -> Exchange:
    """A log of 603 entries and no files: two full tiles and a part of a third."""
    return Exchange(entries=usual(chatter=300).entries)

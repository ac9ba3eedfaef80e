"""One gateway, or two that know each other, each test its own and once on each database engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.hands import SITE_OF_WUJIANG, hand_in
from tests.world import ANTIMONY, JIASHAN, SITES, WUJIANG, Node, bring_plan, introduce, make_node, plan_document


@pytest.fixture
def wujiang(tmp_path: Path, database_url: str) -> Iterator[Node]:
    """Wujiang's gateway with the plan and one site, on either database. No duties: the test takes each step."""
    node = make_node(tmp_path, WUJIANG, database_url)
    bring_plan(plan_document(SITES, ANTIMONY), node)
    hand_in(node, SITE_OF_WUJIANG)
    yield node
    node.stop()


@pytest.fixture
def jiashan(tmp_path: Path, wujiang: Node) -> Iterator[Node]:
    """Jiashan's gateway, which Wujiang's knows and the other way round; on SQLite, with the same plan."""
    node = make_node(tmp_path, JIASHAN)
    introduce(wujiang, node)
    bring_plan(plan_document(SITES, ANTIMONY), node)
    yield node
    node.stop()

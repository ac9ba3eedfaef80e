"""One gateway for a variant of the suite, at which nobody else asks for anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.suite import Suite
from tests.world import WUJIANG, make_node


@pytest.fixture(scope="module", params=["dpop", "mtls"])
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The gateway and its two clients, once for each variant."""
    yield from _suite(tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def dpop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The variant `dpop` alone."""
    yield from _suite(tmp_path_factory, "dpop")


def _suite(tmp_path_factory: pytest.TempPathFactory, variant: str) -> Iterator[Suite]:
    node = make_node(tmp_path_factory.mktemp("suite"), WUJIANG)
    made = Suite(node, variant)
    with made.http:
        yield made
    node.stop()

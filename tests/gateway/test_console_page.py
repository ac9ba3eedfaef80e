"""The console's page: what stands on it, what it says when there is nothing, and what a hostile text does to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway.app import create_console_app, create_partner_app
from gateway.errors import RolledBackError
from gateway.store import feeds
from gateway.sync.contacts import note_contact
from schemas.times import now_millis
from tests.gateway.hands import hand_in, publish
from tests.world import (
    ANTIMONY,
    JIASHAN,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    introduce,
    make_node,
    plan_document,
    reading_line,
    site_line,
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = make_node(tmp_path, WUJIANG)
    yield made
    made.stop()


@pytest.fixture
def console(node: Node) -> Iterator[TestClient]:
    app = create_console_app(node.gateway, create_partner_app(node.gateway))
    with TestClient(app, base_url="https://console.example") as client:
        yield client


def words(page: str) -> str:
    """The page's text without its marks, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_an_empty_gateway_says_how_to_fill_each_part(console: TestClient) -> None:
    answer = console.get("/")
    assert answer.status_code == 200
    shown = words(answer.text)
    assert "吴江区 Wujiang District · 320509" in shown
    for hint in ("taipu plan apply", "taipu send", "taipu partner propose", "没有等待的记录"):
        assert hint in shown


def test_feeds_partners_what_waits_and_the_log_are_shown(node: Node, console: TestClient, tmp_path: Path) -> None:
    other = make_node(tmp_path / "other", JIASHAN)
    introduce(node, other)
    bring_plan(plan_document(SITES, ANTIMONY), node)
    hand_in(node, site_line(), reading_line(), reading_line(site="320509-SW-0009"), reading_line(1, factor="w99999"))
    publish(node)
    while node.gateway.sequencer.step():
        pass
    shown = words(console.get("/").text)
    assert "wj-antimony 1" in shown
    assert "嘉善县 Jiashan County · 330421" in shown
    assert "投递中 pending 2" in shown
    assert "320509 站点 site 320509-SW-0009 1" in shown
    assert "320509 因子 factor w99999 1" in shown
    with node.gateway.database.read() as session:
        assert len(feeds.heads_of(session, WUJIANG)) == 2
    other.stop()


def test_what_is_wrong_is_said_in_words_and_not_by_colour_alone(node: Node, console: TestClient) -> None:
    node.gateway.read_only = RolledBackError("the database is behind what was given out")
    shown = words(console.get("/").text)
    assert "异常 publish gateway.rolled-back: the database is behind what was given out" in shown


def test_text_from_elsewhere_stays_text(node: Node, console: TestClient, tmp_path: Path) -> None:
    other = make_node(tmp_path / "other", JIASHAN)
    introduce(node, other)
    with node.gateway.database.write() as session:
        note_contact(session, JIASHAN, now=now_millis(), error="<script>alert(1)</script>")
    page = console.get("/").text
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    other.stop()


def test_the_page_fetches_nothing_from_elsewhere_and_runs_no_script(console: TestClient) -> None:
    answer = console.get("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    addresses = re.findall(r"(?:src|href)=\"([^\"]+)\"", answer.text)
    assert all(address.startswith("/") for address in addresses)
    style = console.get("/static/console.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "@import" not in style.text
    assert "url(" not in style.text

"""What a dataset hides is absent wherever its recipients look: in pages and in batches, member by member."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.store.lines import project
from schemas.plan.advice import NEEDED
from schemas.records import Observation, Site
from tests.gateway.callers import caller, listening
from tests.gateway.hands import hand_in, publish, records_in
from tests.world import JIASHAN, WUJIANG, Node, bring_plan, make_node, plan_document, reading_line, site_line

ALWAYS = {"kind", "rev"}
FULL: dict[str, dict[str, Any]] = {
    "observation": json.loads(
        reading_line(
            instrument="probe-7", method="HJ 694", detection="0.0002", determination="0.0008", remark="windy",
            sent="2026-11-20T10:00:01+08:00", received="2026-11-20T10:00:02+08:00",
        )
    ),
    "site": json.loads(site_line(owner="Bureau of Wujiang", opened="2020-01-01", water="Taipu")),
}  # fmt: skip
KINDS = {"observation": Observation, "site": Site}


def hideable(kind: str) -> list[str]:
    """The members that `plan check` lets a dataset of this kind hide."""
    members = {field.encode_name for field in msgspec.structs.fields(KINDS[kind])}
    return sorted(members - {*NEEDED[kind], *ALWAYS})


@pytest.mark.parametrize("member", hideable("observation"))
def test_each_member_of_a_reading_is_left_out_where_it_is_hidden_and_the_others_stay(member: str) -> None:
    record = msgspec.convert(FULL["observation"], Observation)
    whole, left = json.loads(project(record, ())), json.loads(project(record, (member,)))
    assert member not in left
    assert {name: value for name, value in whole.items() if name != member} == {
        name: value for name, value in left.items() if name in whole
    }


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    sites = {"id": "wj-sites", "kind": "site", "recipients": [JIASHAN], "hide": hideable("site")}
    readings = {
        "id": "wj-antimony", "select": {"factors": ["w20004"]}, "recipients": [JIASHAN],
        "hide": hideable("observation"),
    }  # fmt: skip
    bring_plan(plan_document(sites, readings), node)
    lines = [json.dumps(FULL[kind], ensure_ascii=False).encode() for kind in ("site", "observation")]
    assert hand_in(node, *lines)["accepted"] == 2
    yield node
    node.stop()


def test_whatever_can_be_hidden_is_in_no_page_and_in_no_batch_of_a_recipient_and_at_home_it_is(node: Node) -> None:
    with listening(node) as http:
        partner, home = (caller(http, node, party, "records:read") for party in (JIASHAN, WUJIANG))
        for kind in ("site", "observation"):
            (shown,) = partner.get(f"/v1/{kind}s").json()[f"{kind}s"]
            (whole,) = home.get(f"/v1/{kind}s").json()[f"{kind}s"]
            hidden = set(hideable(kind))
            assert not hidden & shown.keys()
            assert shown.keys() <= {*NEEDED[kind], *ALWAYS, "provider", "valid", "invalid_by"}
            assert hidden & FULL[kind].keys() <= whole.keys()
    for record in records_in(publish(node)):
        assert not set(hideable(record["kind"])) & record.keys()

"""A plan agreed between running gateways over HTTPS, with a lead of seconds, while records flow."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.agreements.acts import propose_plan, propose_signature
from gateway.approvals import approve
from gateway.plans import bring_plan as adopt
from partners.plans import find_plan, plans_in_force
from schemas.times import now_millis, utc_text
from tests.gateway.agreement_world import PLAN, head_of
from tests.gateway.hands import hand_in
from tests.people import two_people
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    introduce,
    make_node,
    plan_document,
    reading_line,
    running,
    site_line,
    wait_for,
)

LEVELS = {"id": "wj-levels", "select": {"factors": ["w01014"]}}


def verdict(node: Node, version: int) -> tuple[str | None, str]:
    with node.gateway.database.read() as session:
        known = find_plan(session, PLAN, version)
    return (known.verdict, known.ground) if known else (None, "unknown")


def next_version(number: int, seconds: float, *datasets: dict[str, object]) -> bytes:
    document = json.loads(plan_document(SITES, ANTIMONY, *datasets, version=number))
    document |= {"effective": utc_text(now_millis() + int(seconds * 1000)), "lead": "PT1S"}
    return json.dumps(document).encode()


def sign(node: Node, version: int) -> None:
    wei, li = two_people(node)
    proposal = propose_signature(node.gateway, PLAN, version, by=wei, now=now_millis())
    approve(node.gateway, proposal.id, by=li, digest=proposal.digest, now=now_millis())


def in_force(node: Node) -> list[str]:
    with node.gateway.database.read() as session:
        return [plan.reference for plan in plans_in_force(session, now_millis()).plans]


def test_running_gateways_agree_switch_together_and_let_lapse_what_one_does_not_sign(tmp_path: Path) -> None:
    wujiang, jiashan, qingpu = nodes = [make_node(tmp_path, party) for party in (WUJIANG, JIASHAN, QINGPU)]
    introduce(*nodes)
    first = json.loads(plan_document(SITES, ANTIMONY)) | {"lead": "PT1S"}
    for node in nodes:
        adopt(node.gateway, json.dumps(first).encode(), now=now_millis())
    with running(*nodes):
        hand_in(wujiang, site_line(), reading_line(0))
        wait_for(lambda: head_of(qingpu, WUJIANG, "wj-antimony") == 1)

        propose_plan(jiashan.gateway, next_version(2, 6, LEVELS), by=two_people(jiashan)[0], now=now_millis())
        wait_for(lambda: all(verdict(node, 2) == (None, "") for node in nodes))
        for node in nodes:
            sign(node, 2)
        wait_for(lambda: all(verdict(node, 2) == ("in-force", "signed-by-all") for node in nodes))
        wait_for(lambda: all(in_force(node) == [f"{PLAN}@2"] for node in nodes))
        hand_in(wujiang, reading_line(1), reading_line(2, "3.1", factor="w01014", unit="m"))
        wait_for(lambda: head_of(qingpu, WUJIANG, "wj-levels") == 1)
        wait_for(lambda: head_of(jiashan, WUJIANG, "wj-antimony") == 2)

        propose_plan(qingpu.gateway, next_version(3, 3, LEVELS), by=two_people(qingpu)[0], now=now_millis())
        wait_for(lambda: all(verdict(node, 3) == (None, "") for node in nodes))
        sign(qingpu, 3)
        sign(wujiang, 3)
        wait_for(lambda: all(verdict(node, 3)[0] == "lapsed" for node in nodes))
        assert verdict(jiashan, 3) in ((("lapsed", "not-signed-here")), ("lapsed", "said-by-proposer"))
        hand_in(wujiang, reading_line(3))
        wait_for(lambda: head_of(qingpu, WUJIANG, "wj-antimony") == 3)
        assert all(in_force(node) == [f"{PLAN}@2"] for node in nodes)

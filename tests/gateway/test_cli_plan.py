"""`taipu plan`: people of a party propose, sign, leave and look, each as who they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from gateway.approvals import approve
from gateway.cli.exits import ExitCode
from gateway.proposals import open_proposals
from schemas.times import now_millis, utc_text
from tests.gateway.agreement_world import DAY, PLAN
from tests.gateway.commands import refused, taipu, taipu_json
from tests.people import person, session_of, two_people
from tests.world import ANTIMONY, SITES, WUJIANG, Node, bring_plan, make_node, plan_document, wait_for

ZINC = {"id": "wj-zinc", "select": {"factors": ["w20123"]}}
FIRST = plan_document(SITES, ANTIMONY)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG)
    yield node
    node.stop()


def plan(node: Node, *words: object, by: Any = None, **options: Any) -> Result:
    """`taipu plan WORDS` at the node, as somebody who is signed in."""
    env = {"TAIPU_SESSION": session_of(node, by or two_people(node)[0]), "TAIPU_HOME": str(node.gateway.settings.home)}
    return taipu("plan", *words, env=env, **options)


def approved(node: Node) -> None:
    """Somebody else approves the one thing that is proposed."""
    _, approver = two_people(node)
    with node.gateway.database.read() as session:
        (proposal,) = open_proposals(session, now=now_millis())
    approve(node.gateway, proposal.id, by=approver, digest=proposal.digest, now=now_millis())


def second(**members: Any) -> bytes:
    document = json.loads(plan_document(SITES, ANTIMONY, ZINC, version=2))
    return json.dumps(document | {"effective": utc_text(now_millis() + 2 * DAY)} | members).encode()


def stands(node: Node) -> list[tuple[str, str]]:
    found = taipu_json("plan", "list", "--home", node.gateway.settings.home)
    return [(one["plan"], one["state"]) for one in found]


def test_a_first_version_is_adopted_by_two_persons_and_listed(node: Node) -> None:
    done = plan(node, "adopt", "-", "--reason", "signed on paper", given=FIRST)
    assert done.exit_code == 0, done.output
    assert "taipu proposal approve" in done.stderr
    assert stands(node) == []
    approved(node)
    assert stands(node) == [(f"{PLAN}@1", "in force")]
    assert "监测数据共享方案" in taipu("plan", "list", "--home", node.gateway.settings.home).stdout
    refused(plan(node, "adopt", "-", given=second()), "plan.not-first")


def test_a_version_is_proposed_by_one_and_signed_by_two(node: Node) -> None:
    bring_plan(FIRST, node)
    done = plan(node, "propose", "-", given=second())
    assert done.exit_code == 0, done.output
    assert stands(node) == [(f"{PLAN}@1", "in force"), (f"{PLAN}@2", "proposed")]
    assert plan(node, "sign", f"{PLAN}@2").exit_code == 0
    said = plan(node, "status", PLAN).stdout
    assert "signed by nobody" in said
    assert "missing: 310118, 320509, 330421, by" in said
    approved(node)
    assert "signed by 320509" in plan(node, "status", PLAN).stdout
    refused(plan(node, "sign", f"{PLAN}@2"), "plan.signed")
    refused(plan(node, "sign", f"{PLAN}@9"), "plan.unknown")
    refused(plan(node, "sign", "nothing"), "input.malformed")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (plan_document(SITES, ANTIMONY | {"provider": "110000"}, version=2), "plan.refused"),
        (plan_document(SITES, version=2), "plan.too-late"),
        (b"x" * 300_000, "input.too-large"),
    ],
)
def test_what_cannot_be_signed_is_not_proposed(node: Node, document: bytes, code: str) -> None:
    bring_plan(FIRST, node)
    refused(plan(node, "propose", "-", given=document), code)


@pytest.mark.parametrize("words", [("propose", "-"), ("adopt", "-"), ("sign", f"{PLAN}@2"), ("dispose", PLAN)])
def test_who_may_not_and_who_is_nobody_change_nothing(node: Node, words: tuple[str, ...]) -> None:
    bring_plan(FIRST, node)
    analyst = person(node, "an", "analyst")
    refused(plan(node, *words, by=analyst, given=second()), "person.not-permitted")
    env = {"TAIPU_HOME": str(node.gateway.settings.home), "XDG_STATE_HOME": str(node.gateway.settings.home)}
    assert taipu("plan", *words, given=second(), env=env).stderr.startswith("session.missing: ")


def test_a_party_withdraws_with_notice_and_only_then_disposes(node: Node) -> None:
    bring_plan(FIRST, node)
    soon, late = (utc_text(now_millis() + days * DAY) for days in (10, 91))
    refused(plan(node, "withdraw", PLAN, "--effective", soon, "--reason", "moves"), "plan.notice-short")
    refused(plan(node, "withdraw", PLAN, "--effective", "soon", "--reason", "moves"), "input.malformed")
    assert plan(node, "withdraw", PLAN, "--effective", late, "--reason", "moves").exit_code == 0
    approved(node)
    assert "320509 leaves from" in plan(node, "status").stdout
    approver = two_people(node)[1]
    refused(plan(node, "dispose", PLAN, "--destroyed", "330421/a=1", by=approver), "plan.not-withdrawn")
    refused(plan(node, "dispose", PLAN, "--destroyed", "everything", by=approver), "input.malformed")


def test_show_explains_a_version_and_gives_its_document(node: Node) -> None:
    bring_plan(FIRST, node)
    assert "wj-antimony" in plan(node, "show", f"{PLAN}@1").stdout
    shown = taipu_json("plan", "show", f"{PLAN}@1", "--home", node.gateway.settings.home)
    assert json.loads(shown["document"]) == json.loads(FIRST)
    refused(plan(node, "show", f"{PLAN}@7"), "plan.unknown")


def test_status_fails_where_nothing_may_be_published(node: Node) -> None:
    bring_plan(json.dumps(json.loads(FIRST) | {"lead": "PT1S"}).encode(), node)
    effective = now_millis() + 3_000
    done = plan(node, "propose", "-", given=second(effective=utc_text(effective), lead="PT1S"))
    assert done.exit_code == 0, done.output
    assert plan(node, "status").exit_code == ExitCode.OK
    wait_for(lambda: now_millis() >= effective)
    done = plan(node, "status")
    assert done.exit_code == ExitCode.FAILED
    assert "nothing is published under" in done.stderr
    assert "Nothing is published under" in taipu("sync", "status", "--home", node.gateway.settings.home).stdout


def test_explain_and_diff_need_no_gateway(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_bytes(FIRST)
    (tmp_path / "new.json").write_bytes(plan_document(SITES, version=2))
    assert "wj-antimony" in taipu("plan", "explain", tmp_path / "old.json").stdout
    done = taipu("plan", "diff", tmp_path / "old.json", tmp_path / "new.json")
    assert done.exit_code == 0
    assert any(line.startswith("ends: ") and "wj-antimony" in line for line in done.stdout.splitlines())
    said = taipu_json("plan", "diff", tmp_path / "old.json", tmp_path / "new.json")
    assert {one["effect"] for one in said["changes"]} >= {"ends"}
    assert said["short_of_notice"]

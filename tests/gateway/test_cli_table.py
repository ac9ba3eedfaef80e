"""`taipu table`: what decides, shown, proposed by one person and approved by another from a terminal."""

from __future__ import annotations

import os

import pytest

from gateway.home import open_home
from gateway.service import Gateway
from schemas.tables import parse_rows, shipped, table_names
from tests.gateway.commands import refused, taipu, taipu_json
from tests.people import person, session_of
from tests.world import QINGPU, Node

ROW = f"{QINGPU},own,XS-07,总锑,w20004,ug/L,,agreed with the laboratory"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    monkeypatch.setattr("gateway.store.versions.NOTICE", 0)  # what is approved decides at once
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path):
    directory = tmp_path / "home"
    assert taipu("init", directory, "--party", QINGPU, "--url", "https://gateway.qingpu.example").exit_code == 0
    return directory


@pytest.fixture
def people(home):
    """Two who may propose and approve, signed in at terminals of their own: the environment of each."""
    gateway = Gateway(open_home(home))
    node = Node(gateway, "")
    secrets = [session_of(node, person(node, name, "analyst", "approver")) for name in ("lihua", "wangfang")]
    gateway.close()
    return [{"TAIPU_SESSION": secret} for secret in secrets]


@pytest.fixture
def sheet(home, tmp_path):
    """The mappings in force as `show` prints them, with one row more."""
    path = tmp_path / "mappings.csv"
    path.write_text(taipu("table", "show", "mappings", "--home", home).stdout + ROW + "\n")
    return path


def proposed(home, sheet, people, *options):
    done = taipu("table", "propose", "mappings", sheet, "--home", home, *options, env=people[0])
    assert done.exit_code == 0, done.output
    return done.stdout.split("digest ")[1].strip()


def versions(home):
    return {f"{one['table']}@{one['version']}": one for one in taipu_json("table", "list", "--home", home)}


def test_every_table_is_listed_with_its_version_and_that_it_decides(home):
    listed = versions(home)
    assert listed.keys() == {shipped(name).reference for name in table_names()}
    assert all(one["in_force"] and one["state"] == "shipped" for one in listed.values())
    assert "factors" in taipu("table", "list", "--home", home).stdout


def test_a_version_is_shown_as_the_csv_that_propose_takes(home):
    shown = taipu("table", "show", "flags", "--home", home)
    assert parse_rows(shown.stdout.encode()) == shipped("flags").rows
    assert shown.stderr.startswith("flags@1, from ")


def test_one_person_proposes_and_another_approves_what_the_digest_names(home, sheet, people):
    digest = proposed(home, sheet, people, "--note", "the laboratory's code")
    refused(taipu("table", "approve", "mappings", 1001, "--digest", digest, "--home", home), "session.missing")
    own = taipu("table", "approve", "mappings", 1001, "--digest", digest, "--home", home, env=people[0])
    refused(own, "table.own-proposal")
    other = taipu("table", "approve", "mappings", 1001, "--digest", "notthisone", "--home", home, env=people[1])
    refused(other, "table.changed")
    assert not versions(home)["mappings@1001"]["in_force"]
    done = taipu("table", "approve", "mappings", 1001, "--digest", digest[:8], "--home", home, env=people[1])
    assert done.stdout.startswith("mappings@1001 decides from ")
    listed = versions(home)
    assert (listed["mappings@1001"]["in_force"], listed["mappings@1"]["in_force"]) == (True, False)
    assert listed["mappings@1001"]["note"] == "the laboratory's code"
    assert (listed["mappings@1001"]["proposer"], listed["mappings@1001"]["decider"]) == ("lihua", "wangfang")


def test_whoever_gives_no_digest_is_shown_the_difference_and_asked(home, sheet, people):
    digest = proposed(home, sheet, people)
    done = taipu("table", "approve", "mappings", 1001, "--home", home, env=people[1])
    assert (done.exit_code, done.stdout) == (2, f"--- mappings@1\n+++ mappings@1001\n+{ROW}\n")
    assert digest in done.stderr
    assert "input.needed" in done.stderr
    assert versions(home)["mappings@1001"]["state"] == "proposed"


@pytest.mark.parametrize(("answer", "state"), [("y\n", "approved"), ("n\n", "proposed"), ("\n", "proposed")])
def test_the_answer_at_the_terminal_decides(home, sheet, people, monkeypatch, answer, state):
    proposed(home, sheet, people)
    monkeypatch.setattr("gateway.cli.table.somebody_is_there", lambda: True)
    taipu("table", "approve", "mappings", 1001, "--home", home, given=answer, env=people[1])
    assert versions(home)["mappings@1001"]["state"] == state


def test_going_back_and_the_difference_of_two_versions(home, sheet, people):
    digest = proposed(home, sheet, people)
    taipu("table", "approve", "mappings", 1001, "--digest", digest, "--home", home, env=people[1])
    assert taipu("table", "diff", "mappings", 1001, 1, "--home", home).stdout == (
        f"--- mappings@1001\n+++ mappings@1\n-{ROW}\n"
    )
    back = taipu("table", "rollback", "mappings", 1, "--home", home, env=people[1])
    assert back.stdout.startswith("mappings@1002 is proposed")
    assert versions(home)["mappings@1002"]["note"] == "goes back to mappings@1"
    assert taipu("table", "diff", "mappings", 1, 1002, "--home", home).stdout == ""
    rejected = taipu("table", "reject", "mappings", 1002, "--home", home, env=people[0])
    assert (rejected.exit_code, rejected.stdout) == (0, "mappings@1002 is rejected\n")


def test_what_cannot_be_done_is_said_by_its_code(home, sheet, people, tmp_path):
    refused(taipu("table", "show", "wishes", "--home", home), "table.unknown")
    refused(taipu("table", "show", "flags", "--version", 7, "--home", home), "table.version-unknown")
    refused(taipu("table", "rollback", "flags", 1001, "--home", home, env=people[0]), "table.version-unknown")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(sheet.read_text().replace(ROW, ROW.replace("w20004", "w20141")))
    done = taipu("table", "propose", "mappings", wrong, "--home", home, env=people[0])
    refused(done, "table.malformed")
    assert "is antimony" in done.stderr
    assert "row 95" in done.stderr
    when = ("--effective", "tomorrow")
    refused(taipu("table", "propose", "mappings", sheet, "--home", home, *when, env=people[0]), "input.malformed")
    refused(taipu("table", "propose", "mappings", sheet, "--home", home), "session.missing")

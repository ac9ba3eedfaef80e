"""`taipu partner`: tried, proposed, approved by telephone, listed with the missing step, suspended, resumed, ended."""

from __future__ import annotations

import os
import re

import pytest

from gateway.cli.exits import ExitCode
from tests.gateway.commands import refused, taipu, taipu_json
from tests.people import person, session_of, two_people
from tests.world import QINGPU, WUJIANG, free_port, introduce, make_node, serve

EIGHT = r"([0-9a-f]{4} ){7}[0-9a-f]{4}"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def ours(tmp_path):
    node = make_node(tmp_path / "ours", QINGPU)
    yield node
    node.stop()


@pytest.fixture
def home(ours):
    return ours.gateway.settings.home


@pytest.fixture
def wei(ours):
    """Runs a command as the system administrator."""
    return as_person(ours, two_people(ours)[0])


@pytest.fixture
def li(ours):
    """Runs a command as the approver."""
    return as_person(ours, two_people(ours)[1])


def as_person(node, who):
    secret, home = session_of(node, who), node.gateway.settings.home
    return lambda *words, **options: taipu(*words, "--home", home, env={"TAIPU_SESSION": secret}, **options)


@pytest.fixture
def wujiang(tmp_path):
    """A gateway of another party that serves."""
    node = make_node(tmp_path / "theirs", WUJIANG)
    serve(node, duties=False)
    yield node
    node.stop()


@pytest.fixture
def document(wujiang, tmp_path):
    """Wujiang's party document as a file."""
    path = tmp_path / "wujiang.jws"
    path.write_text(taipu("partner", "show", "--home", wujiang.gateway.settings.home, "--document").stdout)
    return path


@pytest.fixture
def fingerprint(wujiang):
    return taipu_json("partner", "show", "--home", wujiang.gateway.settings.home)["fingerprint"]


@pytest.fixture
def registered(ours, wujiang):
    introduce(ours, wujiang)


def listed(home):
    return taipu_json("partner", "list", "--home", home)


def states(home):
    return {one["party"]: one["state"] for one in listed(home)}


def test_our_own_fingerprint_is_shown_in_eight_groups_and_as_a_code(home):
    shown = taipu("partner", "show", "--home", home, "--qr").stdout
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in shown.splitlines()[:9])
    assert lines["party"] == QINGPU
    assert re.fullmatch(EIGHT, lines["fingerprint"])
    assert "▄" in shown


@pytest.mark.parametrize("source", ["file", "address"])
def test_a_partner_is_proposed_by_one_and_approved_by_another_who_has_telephoned(
    home, wei, li, document, fingerprint, wujiang, source
):
    done = wei("partner", "propose", document if source == "file" else wujiang.url, "--reason", "joins the zone")
    assert done.exit_code == 0, done.output
    assert "✓ address" in done.stderr
    assert "✗ our access" in done.stderr
    (known,) = listed(home)
    assert (known["party"], known["state"], known["missing"]["code"]) == (WUJIANG, "proposed", "step.approve")
    assert known["fingerprint"] == fingerprint
    done = li("partner", "approve", WUJIANG, given="y\ny\n")
    assert done.exit_code == 0, done.output
    assert fingerprint in done.stderr
    assert "▄" in done.stderr
    assert "joins the zone" in done.stderr
    assert done.stdout.startswith(f"{WUJIANG} (吴江区")
    (known,) = listed(home)
    assert (known["state"], known["missing"]["code"], known["url"]) == ("approved", "step.call", wujiang.url)
    assert [change["actor"] for change in known["changes"]] == ["li"]


@pytest.mark.parametrize("answers", ["n\n", "\n", "yep\n", "y\nn\n"])
def test_any_other_answer_changes_nothing(home, wei, li, document, answers):
    wei("partner", "propose", document)
    done = li("partner", "approve", WUJIANG, given=answers)
    assert done.exit_code == ExitCode.FAILED
    assert "input.declined" in done.stderr
    assert states(home) == {WUJIANG: "proposed"}


def test_without_a_person_to_ask_the_fingerprint_and_the_digest_are_given(home, wei, li, document, fingerprint):
    digest = re.search(r"digest (\S+)", wei("partner", "propose", document).stderr)[1]
    approve = ("partner", "approve", WUJIANG, "--no-input")
    for words, code, exit_code in [
        ([], "input.needed", ExitCode.USAGE),
        (["--digest", digest], "input.needed", ExitCode.USAGE),
        (["--fingerprint", fingerprint], "input.needed", ExitCode.USAGE),
        (["--fingerprint", "0000 " * 8, "--digest", digest], "partner.fingerprint-differs", ExitCode.FAILED),
        (["--fingerprint", fingerprint, "--digest", "x" * 43], "proposal.changed", ExitCode.FAILED),
    ]:
        done = li(*approve, *words)
        assert f"{code}: " in done.stderr
        assert done.exit_code == exit_code
    assert states(home) == {WUJIANG: "proposed"}
    as_people_copy_it = fingerprint.upper().replace(" ", "-")
    assert li(*approve, "--fingerprint", as_people_copy_it, "--digest", digest[:8]).exit_code == 0
    assert states(home) == {WUJIANG: "approved"}


def test_one_admin_registers_a_rogue_partner_nobody_else_can_do_it_for_them(ours, home, wei, document):
    refused(taipu("partner", "propose", document, "--home", home), "session.missing")
    assert wei("partner", "propose", document).exit_code == 0
    assert wei("partner", "approve", WUJIANG, given="y\ny\n").stderr.startswith("person.not-permitted")
    chen = as_person(ours, person(ours, "chen", "operator"))
    refused(chen("partner", "propose", document), "person.not-permitted")
    assert states(home) == {WUJIANG: "proposed"}


def test_what_is_no_partner_is_not_proposed(home, wei, document, tmp_path, fingerprint, wujiang):
    (tmp_path / "broken.jws").write_text("eyJh.e30.x")
    cases = [
        ([home / "party.jws"], "party.own", ExitCode.FAILED),
        ([tmp_path / "nothing"], "input.unreadable", ExitCode.FAILED),
        ([tmp_path / "broken.jws"], "partner.document-invalid", ExitCode.FAILED),
        ([f"https://127.0.0.1:{free_port()}"], "partner.unreachable", ExitCode.UNREACHABLE),
        (["https://Not A Host"], "party.url-invalid", ExitCode.FAILED),
        (["https://192.168.1.1:8443"], "partner.address-not-allowed", ExitCode.FAILED),
        ([document, "--fingerprint", "0000 " * 8], "partner.fingerprint-differs", ExitCode.FAILED),
    ]
    for words, code, exit_code in cases:
        refused(wei("partner", "propose", *words), code, exit_code)
    assert listed(home) == []


def test_a_test_says_each_step_and_ends_with_what_failed(home, wujiang, registered, document):
    ours = ("--home", home)
    for source in (wujiang.url, WUJIANG, document):
        done = taipu("partner", "test", source, *ours)
        assert done.exit_code == ExitCode.FAILED  # theirs has never called
        assert "access.never-called" in done.stdout
        assert "they know us and give us tokens" in done.stdout
    found = taipu_json("partner", "test", wujiang.url, *ours, code=ExitCode.FAILED)
    assert [step["result"] for step in found["steps"]] == ["ok"] * 7 + ["failed"]
    nobody = f"https://127.0.0.1:{free_port()}"
    found = taipu_json("partner", "test", nobody, *ours, code=ExitCode.UNREACHABLE)
    assert found["steps"][1]["code"] == "partner.unreachable"
    found = taipu_json("partner", "test", wujiang.url, "--ca", home / "tls" / "ca.pem", *ours, code=ExitCode.FAILED)
    assert found["steps"][2]["code"] == "certificate.authority-unknown"


def test_a_partner_is_suspended_by_one_resumed_by_two_and_ended_by_two(home, wei, li, registered):
    done = wei("partner", "suspend", WUJIANG, "--reason", "their key was lost")
    assert done.exit_code == 0, done.output
    assert listed(home)[0]["missing"]["code"] == "step.resume"
    refused(wei("partner", "suspend", WUJIANG, "--reason", "again"), "party.state-wrong")
    refused(li("partner", "approve", WUJIANG, given="y\n"), "proposal.unknown")
    assert wei("partner", "resume", WUJIANG, "--reason", "a new key").exit_code == 0
    assert listed(home)[0]["missing"]["code"] == "step.approve"
    assert li("partner", "approve", WUJIANG, given="y\n").exit_code == 0
    assert states(home) == {WUJIANG: "approved"}
    assert wei("partner", "end", WUJIANG, "--reason", "the plan has ended").exit_code == 0
    assert li("partner", "approve", WUJIANG, given="y\n").exit_code == 0
    assert states(home) == {WUJIANG: "ended"}
    shown = taipu("partner", "show", WUJIANG, "--home", home, "--qr").stdout
    told = [line.split("  ")[1:] for line in shown.splitlines() if re.match(r"20\d\d-", line)]
    assert told == [
        ["approved", "by itself"], ["suspended", "wei", "their key was lost"], ["approved", "li", "a new key"],
        ["ended", "li", "the plan has ended"],
    ]  # fmt: skip


def test_another_identity_is_announced_as_one(home, wei, li, registered, tmp_path, fingerprint):
    other = make_node(tmp_path / "anew", WUJIANG)
    other.stop()
    path = tmp_path / "anew.jws"
    path.write_text(other.document)
    refused(wei("partner", "propose", path), "party.exists")
    assert wei("partner", "propose", path, "--new-identity").exit_code == 0
    done = li("partner", "approve", WUJIANG, given="y\ny\n")
    assert f"REPLACES the identity {fingerprint}" in done.stderr
    assert done.exit_code == 0, done.output
    assert listed(home)[0]["fingerprint"] != fingerprint


def test_the_list_is_a_table_for_people(home, registered, fingerprint):
    shown = taipu("partner", "list", "--home", home).stdout
    assert shown.splitlines()[0].split() == [
        "PARTY", "NAME", "STATE", "MISSING", "CALLED", "CALLED", "US", "SKEW", "DOCUMENT", "URL", "FINGERPRINT",
    ]  # fmt: skip
    assert fingerprint in shown
    assert "is it serving?" in shown
    assert "399 days" in shown


def test_a_party_that_is_not_there_is_not_shown(home):
    refused(taipu("partner", "show", "999999", "--home", home), "party.unknown")

"""`taipu client`, `device` and `plan`: whom and what a gateway knows."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest
from joserfc.jwk import ECKey

from gateway.cli.exits import ExitCode
from gateway.home import open_home
from gateway.service import Gateway
from partners.client_file import read_client_file
from tests.gateway.commands import refused, register, taipu, taipu_json
from tests.people import session_of, two_people
from tests.world import ANTIMONY, QINGPU, SITES, WUJIANG, Node, plan_document

DEVICES = """\
devices:
  - mn: "010000A8900016F000169DC0"
    site: 320509-SW-0003
    profile: hj212-2017
    minute: PT1M
    factors:
      w20004: {unit: mg/L}
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path):
    directory = tmp_path / "home"
    assert taipu("init", directory, "--party", QINGPU, "--url", "https://gateway.qingpu.example").exit_code == 0
    return directory


def test_a_client_gets_a_key_that_only_its_owner_reads_and_a_file_that_works(home, tmp_path):
    key = tmp_path / "station.pem"
    done = register(
        home, "--id", "pingwang", "--party", QINGPU, "--kind", "station", "--scope", "records:submit", "--key-out", key,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    (tmp_path / "station.json").write_text(done.stdout)
    known = read_client_file(tmp_path / "station.json")
    assert (known.client_id, known.url, known.scopes) == (
        "pingwang", "https://gateway.qingpu.example", ("records:submit",),
    )  # fmt: skip
    known.connect().close()
    (listed,) = taipu_json("client", "list", "--home", home)
    assert listed == {
        "client_id": "pingwang", "party": QINGPU, "kind": "station", "state": "active", "binding": "dpop",
        "scopes": ["records:submit"],
    }  # fmt: skip


def test_a_client_may_bring_public_keys_of_its_own(home, tmp_path):
    public = ECKey.generate_key("P-256", auto_kid=True).as_dict(private=False)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public]}))
    done = register(
        home, "--id", "reader", "--party", WUJIANG, "--kind", "reader", "--scope", "records:read feeds:read", "--scope",
        "audit:read", "--jwks", tmp_path / "jwks.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (listed,) = taipu_json("client", "list", "--home", home)
    assert listed["scopes"] == ["audit:read", "feeds:read", "records:read"]


def test_a_client_that_cannot_be_is_refused_and_leaves_no_key_behind(home, tmp_path):
    def add(**changed):
        given = {"id": "one", "party": QINGPU, "kind": "station", "scope": "records:submit"}
        given |= {"key-out": tmp_path / "k.pem", **changed}
        return register(home, *(word for name in given for word in (f"--{name}", given[name])))

    assert add().exit_code == 0
    kept = (tmp_path / "k.pem").read_bytes()
    refused(add(id="two"), "keys.exist")
    assert (tmp_path / "k.pem").read_bytes() == kept
    other = tmp_path / "other.pem"
    for changed, code in [
        ({"id": "one"}, "client.exists"),
        ({"id": "with space"}, "client.malformed"),
        ({"scope": "records:everything"}, "client.malformed"),
        ({"party": "Q"}, "client.malformed"),
    ]:
        refused(add(**{"key-out": other, **changed}), code)
        assert not other.exists()
    refused(add(id="three", **{"key-out": tmp_path / "no" / "folder.pem"}), "input.unreadable")
    assert add(kind="gateway", id="four").exit_code == ExitCode.USAGE
    assert [one["client_id"] for one in taipu_json("client", "list", "--home", home)] == ["one"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("{", "key.refused", id="not JSON"),
        pytest.param('{"keys": []}', "key.refused", id="no key"),
        pytest.param(json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), "key.private", id="shared secret"),
        pytest.param(json.dumps({"keys": [ECKey.generate_key().as_dict(private=True)]}), "key.private", id="secret"),
    ],
)
def test_keys_that_are_not_accepted_are_refused(home, tmp_path, text, code):
    (tmp_path / "jwks.json").write_text(text)
    done = register(
        home, "--id", "one", "--party", QINGPU, "--kind", "reader", "--scope", "records:read", "--jwks",
        tmp_path / "jwks.json",
    )  # fmt: skip
    refused(done, code)


def test_client_add_is_nobodys_who_is_not_signed_in(home, tmp_path):
    words = ("--id", "one", "--party", QINGPU, "--kind", "reader", "--scope", "records:read", "--key-out")
    refused(taipu("client", "add", *words, tmp_path / "k.pem", "--home", home), "session.missing")
    assert not (tmp_path / "k.pem").exists()
    assert taipu_json("client", "list", "--home", home) == []


def test_keys_are_added_by_two_shown_and_ended_by_one(home, tmp_path):
    register(home, "--id", "one", "--party", QINGPU, "--kind", "reader", "--scope", "records:read", "--key-out",
             tmp_path / "k.pem")  # fmt: skip
    node = Node(Gateway(open_home(home)), "")
    wei, li = ({"TAIPU_SESSION": session_of(node, one)} for one in two_people(node))
    node.gateway.close()
    public = ECKey.generate_key("P-256", auto_kid=True).as_dict(private=False)
    (tmp_path / "next.json").write_text(json.dumps({"keys": [public]}))
    done = taipu("client", "add-key", "one", tmp_path / "next.json", "--ends", "2099-01-01", "--home", home, env=wei)
    assert done.exit_code == 0, done.output
    assert taipu("proposal", "approve", *done.stderr.split()[-3:], "--home", home, env=li).exit_code == 0
    keys = taipu_json("client", "show", "one", "--home", home)["keys"]
    assert {key["kid"]: key["ends"] for key in keys}[public["kid"]] == "2099-01-01T08:00:00+08:00"
    first = next(key["kid"] for key in keys if key["kid"] != public["kid"])
    assert taipu("client", "revoke", "one", "--key", first, "--home", home, env=wei).exit_code == 0
    assert taipu("client", "revoke", "one", "--home", home, env=li).exit_code == 0
    assert taipu_json("client", "list", "--home", home)[0]["state"] == "ended"
    refused(taipu("client", "show", "nobody", "--home", home), "client.unknown")


def test_client_list_says_whose_last_key_ends_soon(home, tmp_path):
    soon = datetime.now(UTC) + timedelta(days=5)
    register(home, "--id", "one", "--party", QINGPU, "--kind", "reader", "--scope", "records:read", "--key-out",
             tmp_path / "k.pem", "--ends", f"{soon:%Y-%m-%d}")  # fmt: skip
    assert "one: its last key ends in 4 days" in taipu("client", "list", "--home", home).stderr


@pytest.mark.parametrize("keys", [[], ["--jwks", "a", "--key-out", "b"]], ids=["neither", "both"])
def test_a_client_has_keys_from_one_source(home, keys):
    words = ["--id", "one", "--party", QINGPU, "--kind", "reader", "--scope", "records:read", *keys]
    assert taipu("client", "add", *words, "--home", home).exit_code == ExitCode.USAGE


def test_devices_are_registered_from_a_document_and_listed(home):
    done = taipu("device", "add", "-", "--home", home, given=DEVICES)
    assert (done.exit_code, done.stderr) == (0, "")
    (device,) = taipu_json("device", "list", "--home", home)["devices"]
    assert (device["mn"], device["site"]) == ("010000A8900016F000169DC0", "320509-SW-0003")
    again = taipu("device", "add", "-", "--home", home, given=DEVICES.replace("0003", "0004"))
    assert again.exit_code == 0
    assert "320509-SW-0004" in taipu("device", "list", "--home", home).stdout


def test_the_key_of_a_device_is_kept_and_never_listed(home):
    key = "0123456789abcdef0123456789abcdef"
    done = taipu("device", "add", "-", "--home", home, given=DEVICES + f'    key: "{key}"\n')
    listed = taipu("device", "list", "--home", home, "--json")
    for shown in (done, listed, taipu("device", "list", "--home", home)):
        assert key not in shown.stdout + shown.stderr
    (device,) = json.loads(listed.stdout)["devices"]
    assert (device["encrypts"], "key" in device) == (True, False)


def test_a_document_of_devices_with_faults_changes_nothing(home):
    refused(taipu("device", "add", "-", "--home", home, given=DEVICES + "  - mn: x\n"), "device.malformed")
    refused(taipu("device", "add", "/nowhere", "--home", home), "input.unreadable")
    assert taipu_json("device", "list", "--home", home) == {"devices": []}


def test_plan_check_says_who_gets_what_in_either_language(tmp_path):
    (tmp_path / "plan.json").write_bytes(plan_document(SITES, ANTIMONY))
    english, chinese = (taipu("plan", "check", tmp_path / "plan.json", "--lang", lang) for lang in ("en", "zh"))
    assert (english.exit_code, chinese.exit_code) == (0, 0)
    assert "wj-antimony: limited to the factors Antimony (w20004)." in english.stdout.splitlines()
    assert "wj-antimony" in chinese.stdout
    assert "锑" in chinese.stdout
    without_unit = json.loads(plan_document(SITES, ANTIMONY))
    del without_unit["datasets"][1]["unit_in_charge"]
    incomplete = taipu("plan", "check", "-", given=json.dumps(without_unit).encode())
    assert incomplete.exit_code == ExitCode.FAILED
    assert "/datasets/1: refusal: " in incomplete.stderr, "what is missing is told where it is missing"
    assert "unit_in_charge" in incomplete.stderr


def test_plan_check_points_to_every_reason_not_to_sign(tmp_path):
    stranger = ANTIMONY | {"provider": "110000", "select": {"factors": ["w99999"]}}
    done = taipu("plan", "check", "-", given=plan_document(stranger))
    assert done.exit_code == ExitCode.FAILED
    assert "/datasets/0/provider: refusal: " in done.stderr
    assert "/datasets/0/select/factors: refusal: " in done.stderr
    said = json.loads(taipu("plan", "check", "-", "--json", given=plan_document(stranger)).stdout)
    assert {"factor-unknown", "provider-not-party"} <= {note["code"] for note in said["notes"]}


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        pytest.param(b"plan: [", "/", id="not YAML"),
        pytest.param(b"\xff", "/", id="not text"),
        pytest.param(plan_document(ANTIMONY | {"surprise": 1}), "/datasets/0/surprise", id="an unknown member"),
    ],
)
def test_plan_check_of_what_is_no_plan_points_to_the_fault(document, pointer):
    done = taipu("plan", "check", "-", given=document)
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr.startswith(f"{pointer}: refusal: ")
    assert "plan.malformed" in done.stderr

"""`taipu profile`: registered at a gateway, listed, shown, and drafted from a sheet."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.exits import ExitCode
from schemas.sheets.profile import shipped_document
from tests.gateway.commands import refused, taipu, taipu_json
from tests.world import WUJIANG, Node, make_node

PROFILE = """\
profile: lab
version: 2
title: {zh: 实验室}
site: {column: 断面, read: id}
time: {column: 时间, forms: ["YYYY-MM-DD hh:mm"], hours: instant}
factors: {锑(mg/L): {factor: w20004, unit: mg/L}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a gateway that nobody serves."""
    node: Node = make_node(tmp_path, WUJIANG)
    node.stop()
    return tmp_path / WUJIANG


def test_a_profile_is_added_listed_and_shown_as_it_was_written(home: Path) -> None:
    done = taipu("profile", "add", "-", "--home", home, given=PROFILE)
    assert (done.exit_code, done.stdout) == (0, "lab@2 reads 1 factors, wide\n")
    listed = taipu_json("profile", "list", "--home", home)["profiles"]
    assert listed[-1] == {"name": "lab", "version": 2, "origin": "here", "reads": "1 factors, wide", "title": "实验室"}
    shipped = {one["name"] for one in listed if one["origin"] == "shipped"}
    assert {"water-national", "air-hourly", "enterprise"} <= shipped
    assert "lab" in taipu("profile", "list", "--home", home).stdout
    for name in ("lab", "lab@2"):
        assert taipu("profile", "show", name, "--home", home).stdout == PROFILE
    refused(taipu("profile", "show", "lab@1", "--home", home), "profile.unknown")


def test_a_registered_version_is_not_changed(home: Path) -> None:
    taipu("profile", "add", "-", "--home", home, given=PROFILE)
    changed = taipu("profile", "add", "-", "--home", home, given=PROFILE.replace("mg/L)", "mg/L) "))
    refused(changed, "profile.version-exists")
    refused(taipu("profile", "add", "-", "--home", home, given="profile: 1"), "profile.malformed")


def test_a_shipped_profile_is_shown_without_a_gateway(tmp_path: Path) -> None:
    shown = taipu("profile", "show", "water-national", "--home", tmp_path)
    assert shown.stdout.encode().rstrip() == shipped_document("water-national").rstrip()


def test_a_draft_is_a_profile_that_reads_nothing_until_a_person_decided(tmp_path: Path) -> None:
    sheet, draft = tmp_path / "month.csv", tmp_path / "month.yaml"
    sheet.write_bytes("断面名称,监测时间,溶解氧(mg/L)\n急水港桥,2026-03-01 09:00,7.1\n".encode("gbk"))
    done = taipu("profile", "new", sheet, "--name", "month")
    assert done.exit_code == 0
    assert '"溶解氧(mg/L)": {factor: w01009, unit: "mg/L"}' in done.stdout
    assert "Decide the" in done.stderr
    draft.write_text(done.stdout, "utf-8")
    found = taipu_json("check", sheet, "--profile", draft, code=1)
    assert "still to be decided by a person" in found["problems"][0]["detail"]


def test_a_draft_needs_a_sheet_and_a_name(tmp_path: Path) -> None:
    (tmp_path / "records").write_bytes(b"{}")
    (tmp_path / "numbers.csv").write_bytes(b"1,2\n3,4\n")
    refused(taipu("profile", "new", tmp_path / "records"), "input.no-sheet")
    refused(taipu("profile", "new", tmp_path / "numbers.csv"), "sheet.header-missing")
    assert taipu("profile", "new", tmp_path / "numbers.csv", "--name", "Not So").exit_code == ExitCode.USAGE

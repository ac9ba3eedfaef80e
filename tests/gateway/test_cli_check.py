"""`taipu check`: any file is named for what it is, judged as a gateway would, and ends 0 or 1."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from openpyxl import Workbook, load_workbook

from gateway.cli.exits import ExitCode
from schemas import jws
from schemas.batch import write_batch
from tests.gateway.commands import refused, taipu, taipu_json
from tests.gateway.test_cli_hj212 import DEVICES, READINGS
from tests.world import reading_line, site_line

PROFILE = """\
profile: lab
version: 1
site: {column: 断面, read: name}
time: {column: 时间, forms: ["YYYY-MM-DD hh:mm", "MM-DD hh:mm"], hours: instant}
factors: {锑(mg/L): {factor: w20004, unit: mg/L}}
"""
SHEET = "断面,时间,锑(mg/L)\n急水港桥,2026-03-01 09:00,0.10\n"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with a profile, a table of sites, and a good and a bad sheet."""
    (tmp_path / "lab.yaml").write_text(PROFILE, "utf-8")
    (tmp_path / "sites.yaml").write_text("急水港桥: QP-1\n", "utf-8")
    (tmp_path / "good.csv").write_text(SHEET, "utf-8")
    (tmp_path / "bad.csv").write_text(SHEET + "急水港桥,2026-03-01 10:00,=一\n", "gbk")
    return tmp_path


def batch_file() -> bytes:
    key = jws.SigningKey("k", Ed25519PrivateKey.generate())
    return write_batch(
        key, [reading_line(0), b"{}"], provider="320509", dataset="d", plan="p", plan_digest="", seq=1, prev="",
        first="", last="", created="2026-01-01T00:00:00.000Z",
    ).file  # fmt: skip


@pytest.mark.parametrize(
    ("content", "kind", "records", "bad"),
    [
        (reading_line(0) + b"\n" + reading_line(1), "application/x-ndjson", 2, 0),
        (reading_line(0) + b"\n{}", "application/x-ndjson", 1, 1),
        (b"\xef\xbb\xbf{}", "application/x-ndjson", 0, 1),
        (b"[" + reading_line(0) + b"]", "application/json", 1, 0),
        (b"[{},", "application/json", 0, 1),
        (READINGS, "text/vnd.hj212", 0, 1),
        (batch_file(), "application/vnd.taipu.batch+ndjson", 1, 1),
        (b"x,y\n1,2\n", "text/csv", 0, 1),
        (b"PK\x03\x04junk", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", 0, 1),
    ],
    ids=["ndjson", "a bad line", "bom", "json", "no json", "packets of a stranger", "batch", "csv", "xlsx"],
)
def test_a_file_is_known_by_its_bytes_and_judged(
    content: bytes, kind: str, records: int, bad: int, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)
    found = taipu_json("check", tmp_path / "file", code=1 if bad else 0)
    assert (found["type"], found["records"], found["refused"] + found["held"]) == (kind, records, bad)


def test_packets_of_a_registered_device_are_good(tmp_path: Path) -> None:
    (tmp_path / "packets").write_bytes(READINGS)
    (tmp_path / "devices.yaml").write_text(DEVICES.replace("w20004:", "w01001: {unit: '[pH]'}\n      w20004:"))
    assert taipu_json("check", tmp_path / "packets", "--devices", tmp_path / "devices.yaml")["records"] == 2


def test_a_sheet_is_read_through_a_profile_with_the_sites_given(given: Path) -> None:
    found = taipu_json("check", given / "good.csv", "--profile", given / "lab.yaml", "--sites", given / "sites.yaml")
    assert (found["profile"], found["records"], found["problems"]) == ("lab@1", 1, [])


def test_what_a_sheet_says_twice_is_counted(given: Path) -> None:
    (given / "twice.csv").write_text(SHEET + SHEET.splitlines()[1] + "\n", "utf-8")
    found = taipu_json("check", given / "twice.csv", "--profile", given / "lab.yaml", "--sites", given / "sites.yaml")
    assert (found["records"], found["repeated"], found["refused"]) == (2, 1, 0)


def test_a_bad_sheet_ends_in_1_and_says_what_to_do_in_both_languages(given: Path) -> None:
    done = taipu("check", given / "bad.csv", "--profile", given / "lab.yaml", "--sites", given / "sites.yaml")
    assert done.exit_code == ExitCode.FAILED
    assert "row 3, column C: refused: sheet.value-unread: '=一'" in done.stdout
    assert "请只写数字" in done.stdout
    assert "Write the number alone" in done.stdout
    assert "sheet: noted: sheet.encoding-found" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 records, 0 repeated, 1 refused, 0 held, 1 noted"
    assert "CSV, read through lab@1" in done.stderr


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_sheet_is_written_out_with_its_reasons(given: Path, form: str) -> None:
    out = given / f"out.{form}"
    options = ("--profile", given / "lab.yaml", "--sites", given / "sites.yaml", "--out", out)
    assert taipu("check", given / "bad.csv", *options).exit_code == ExitCode.FAILED
    if form == "csv":
        rows = list(csv.reader(io.StringIO(out.read_text("utf-8-sig"), newline="")))
        assert rows[2][2] == "'=一", "what a spreadsheet would run is put behind an apostrophe"
        reason = rows[2][3]
    else:
        sheet = load_workbook(out).worksheets[0]
        assert sheet["C3"].value == "=一"
        reason = str(sheet["D3"].value)
    assert "sheet.value-unread" in reason


def test_a_workbook_is_written_out_as_that_workbook(given: Path) -> None:
    book = Workbook()
    for row in (["断面", "时间", "锑(mg/L)"], ["急水港桥", "2026-03-01 09:00", "x"]):
        book.worksheets[0].append(row)
    book.save(given / "lab.xlsx")
    options = ("--profile", given / "lab.yaml", "--sites", given / "sites.yaml", "--out", given / "out.xlsx")
    assert taipu("check", given / "lab.xlsx", *options).exit_code == ExitCode.FAILED
    assert load_workbook(given / "out.xlsx").worksheets[0]["C2"].comment is not None


def test_the_year_is_given_at_use(given: Path) -> None:
    (given / "short.csv").write_text(SHEET.replace("2026-", ""), "utf-8")
    options = ("--profile", given / "lab.yaml", "--sites", given / "sites.yaml")
    assert taipu_json("check", given / "short.csv", *options, code=1)["problems"][0]["code"] == "sheet.year-missing"
    assert taipu_json("check", given / "short.csv", *options, "--year", "2026")["profile"] == "lab@1?year=2026"


def test_a_shipped_profile_is_recognised_by_the_columns(shared: Path) -> None:
    found = taipu_json("check", shared / "testdata" / "real" / "air_hourly_cnemc_districts.csv")
    assert (found["profile"], found["records"], found["refused"]) == ("air-hourly@1", 52_896, 0)


def test_what_fits_no_profile_is_said_with_the_way_on(given: Path) -> None:
    done = taipu("check", given / "good.csv")
    assert done.exit_code == ExitCode.FAILED
    assert "sheet.profile-unclear" in done.stdout
    assert "taipu profile new" in done.stdout


def test_what_cannot_be_used_is_named(given: Path) -> None:
    refused(taipu("check", given / "absent"), "input.unreadable")
    refused(
        taipu("check", given / "good.csv", "--sites", given / "good.csv", "--profile", "air-hourly"),
        "profile.malformed",
    )
    refused(taipu("check", "-", "--out", given / "o.csv", given=reading_line(0)), "input.no-sheet")
    named = json.loads(taipu("check", given / "good.csv", "--profile", "nobody", "--json").stdout)
    assert [one["code"] for one in named["problems"]] == ["profile.unknown"]
    wrong = ("--profile", given / "lab.yaml", "--sites", given / "sites.yaml", "--out", given / "o.pdf")
    assert taipu("check", given / "good.csv", *wrong).exit_code == ExitCode.USAGE


def test_what_only_looks_odd_is_noted_and_ends_in_0(tmp_path: Path) -> None:
    file = tmp_path / "odd.ndjson"
    swapped = {"x": "30.98", "y": "120.64", "datum": "WGS84"}
    file.write_bytes(reading_line(0, "70", factor="w01001", unit="[pH]") + b"\n" + site_line(position=swapped))
    done = taipu("check", file, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == ExitCode.OK
    assert [(one["place"], one["verdict"], one["code"]) for one in told["problems"]] == [
        ("line 1", "noted", "quality.range"),
        ("line 2", "noted", "position.swapped"),
    ]

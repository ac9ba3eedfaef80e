"""Sheets over HTTP: through the one door, their bytes kept, and given back with the reasons beside the cells."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from sqlalchemy import select

from gateway.ingest.profiles import list_profiles, register_profile
from gateway.ingest.release import release_arrived
from gateway.ingest.submissions import find_submission
from gateway.store import tables
from schemas.errors import SharingError
from schemas.sheets import CSV, XLSX, shipped_profile
from schemas.tables import shipped_tables
from schemas.times import now_millis
from tests.gateway.callers import Caller, caller, code_of, listening
from tests.gateway.hands import counts, hand_in, rows_of, stored
from tests.world import WUJIANG, Node, reading_line, site_line

PATH = "/v1/submissions"
NAME = json.loads(site_line())["name"]["zh"]
PROFILE = """\
profile: lab
version: {version}
site: {{column: 断面, read: {read}}}
time: {{column: 时间, forms: ["YYYY-MM-DD hh:mm"], hours: instant}}
missing: {{"": omit}}
members: {{origin: lab, stat: sample, profile: manual}}
factors:
  锑(mg/L): {{factor: w20004, unit: mg/L}}
  pH: {{factor: w01001, unit: "[pH]"}}
"""


@dataclass
class World:
    """Wujiang's gateway with a profile of a laboratory's sheets."""

    node: Node
    station: Caller

    def send(self, content: bytes, media: str = CSV, query: str = "profile=lab") -> Any:
        return self.station.post(f"{PATH}?{query}", content=content, headers={"Content-Type": media})


@pytest.fixture
def world(wujiang: Node) -> Iterator[World]:
    register(wujiang, PROFILE.format(version=1, read="name"))
    with listening(wujiang) as http:
        yield World(wujiang, caller(http, wujiang, WUJIANG, "records:submit", kind="station"))


def register(node: Node, document: str) -> None:
    with node.gateway.database.write() as session:
        register_profile(session, document.encode(), shipped_tables(), now=now_millis())


def sheet(*rows: str) -> bytes:
    return "\n".join(["断面,时间,锑(mg/L),pH", *rows, ""]).encode()


GOOD, BAD = f"{NAME},2026-03-01 09:00,0.00210,7.30", f"{NAME},2026-03-01 10:00,一,7.10"


def test_a_sheet_is_records_its_bytes_are_kept_and_the_profile_that_read_it_is_named(world: World) -> None:
    answer = world.send(sheet(GOOD))
    assert (answer.status_code, counts(answer.json())) == (201, {"accepted": 2})
    assert {value for *_, value in stored(world.node)} == {"0.00210", "7.30"}, "the text of a value is never touched"
    content = world.station.get(f"{PATH}/{answer.json()['id']}/content")
    assert (content.content, content.headers["content-type"].partition(";")[0]) == (sheet(GOOD), CSV)
    with world.node.gateway.database.read() as session:
        assert find_submission(session, answer.json()["id"]).profile == "lab@1"


def test_the_same_sheet_again_is_answered_as_before_unless_another_profile_reads_it(world: World) -> None:
    first = world.send(sheet(GOOD))
    assert (again := world.send(sheet(GOOD))).status_code == 200
    assert again.json() == first.json()
    register(world.node, PROFILE.format(version=2, read="name"))
    newest = world.send(sheet(GOOD))
    assert (newest.status_code, counts(newest.json())) == (201, {"duplicates": 2})
    assert world.send(sheet(GOOD), query="profile=lab@1").json() == first.json()


def test_a_key_that_came_with_another_profile_is_refused(world: World) -> None:
    register(world.node, PROFILE.format(version=2, read="name"))
    headers = {"Content-Type": CSV, "Idempotency-Key": "march"}
    assert world.station.post(f"{PATH}?profile=lab@1", content=sheet(GOOD), headers=headers).status_code == 201
    answer = world.station.post(f"{PATH}?profile=lab@2", content=sheet(GOOD), headers=headers)
    assert code_of(answer, 409) == "submission.key-reused"


def test_refusals_come_back_as_the_same_sheet_in_csv(world: World) -> None:
    outcome = world.send(sheet(GOOD, BAD)).json()
    assert counts(outcome) == {"accepted": 3, "refused": 1}
    report = world.station.get(f"{outcome['report']}?format=csv")
    assert report.headers["content-type"].partition(";")[0] == CSV
    rows = list(csv.reader(io.StringIO(report.content.decode("utf-8-sig"), newline="")))
    assert [",".join(row[:4]) for row in rows] == ["断面,时间,锑(mg/L),pH", GOOD, BAD]
    assert rows[1][4] == ""
    assert "数值无法识别" in rows[2][4]
    lines = [json.loads(line) for line in world.station.get(outcome["report"]).content.splitlines()]
    told = [(line["place"], line["code"], line["text"]) for line in lines]
    assert told == [("row 3, column C", "sheet.value-unread", "一")]


def workbook_of(*rows: list[object]) -> bytes:
    book = Workbook()
    for row in (["断面", "时间", "锑(mg/L)", "pH"], *rows):
        book.worksheets[0].append(row)
    book.worksheets[0]["C2"].number_format = "0.00000"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_workbook_comes_back_as_that_workbook_with_the_cell_marked(world: World) -> None:
    content = workbook_of([NAME, "2026-03-01 09:00", 0.0021, 7.3], [NAME, "2026-03-01 10:00", "一", "ND"])
    outcome = world.send(content, XLSX).json()
    assert counts(outcome) == {"accepted": 2, "refused": 2}
    assert {value for *_, value in stored(world.node)} == {"0.00210", "7.3"}
    report = world.station.get(f"{outcome['report']}?format=xlsx")
    assert report.headers["content-type"] == XLSX
    back = load_workbook(io.BytesIO(report.content)).worksheets[0]
    assert (back["C2"].value, back["C3"].value) == (0.0021, "一")
    assert "sheet.detection-missing" in back["D3"].comment.text  # type: ignore[union-attr]
    assert world.station.get(f"{outcome['report']}?format=csv").status_code == 200


def test_a_value_that_differs_from_the_one_held_is_refused_beside_its_cell_in_the_clerks_words(world: World) -> None:
    assert world.send(sheet(GOOD)).status_code == 201
    outcome = world.send(sheet(GOOD.replace("7.30", "7.35"))).json()
    assert counts(outcome) == {"duplicates": 1, "refused": 1}
    report = world.station.get(f"{outcome['report']}?format=csv").content.decode("utf-8-sig")
    assert "record.reason-required" in report
    assert "observation" not in report


def test_the_report_of_other_records_may_be_a_sheet_too(world: World) -> None:
    headers = {"Content-Type": "application/x-ndjson"}
    outcome = world.station.post(PATH, content=reading_line(0) + b"\n{}", headers=headers).json()
    back = load_workbook(io.BytesIO(world.station.get(f"{outcome['report']}?format=xlsx").content)).worksheets[0]
    assert [cell.value for cell in back[2]][:4] == ["line 2", "refused", "/kind", "record.kind-unknown"]
    assert code_of(world.station.get(f"{outcome['report']}?format=pdf"), 400) == "request.malformed"


def test_a_site_that_has_not_arrived_is_waited_for_and_the_value_comes_in_then(world: World) -> None:
    register(world.node, PROFILE.format(version=2, read="id"))
    answer = world.send(sheet("WJ-NEW,2026-03-01 09:00,0.10,"))
    assert counts(answer.json()) == {"held": 1}
    hand_in(world.node, site_line("WJ-NEW"))
    assert release_arrived(world.node.gateway, now=now_millis()) == 1
    assert [value for *_, value in stored(world.node)] == ["0.10"]


def test_a_name_that_no_site_has_is_refused(world: World) -> None:
    answer = world.send(sheet("无名桥,2026-03-01 09:00,0.1,7"))
    assert code_of(answer, 422) == "submission.refused"
    report = world.station.get(answer.json()["report"]).content
    assert [json.loads(line)["code"] for line in report.splitlines()] == ["sheet.site-unknown"]


@pytest.mark.parametrize(
    ("content", "media", "query", "status", "code"),
    [
        (sheet(GOOD), CSV, "", 422, "submission.profile-missing"),
        (sheet(GOOD), CSV, "profile=nobody", 404, "profile.unknown"),
        (sheet(GOOD), CSV, "profile=lab@9", 404, "profile.unknown"),
        (sheet(GOOD), CSV, "profile=lab@%C2%B2", 404, "profile.unknown"),
        (sheet(GOOD), CSV, "profile=%00", 400, "request.malformed"),
        (sheet(GOOD), CSV, "profile=lab&year=12", 400, "request.malformed"),
        (sheet(GOOD), CSV, "profile=air-hourly", 422, "sheet.column-missing"),
        (sheet(), CSV, "profile=lab", 422, "submission.empty"),
        (sheet(GOOD), XLSX, "profile=lab", 422, "sheet.not-xlsx"),
        (b"", XLSX, "profile=lab", 422, "submission.empty"),
        (b"a\x00b", CSV, "profile=lab", 422, "sheet.nul"),
        (b"," * 3_000, CSV, "profile=lab", 413, "sheet.too-large"),
    ],
)
def test_what_is_no_sheet_of_the_profile_is_refused_whole_and_leaves_nothing(
    world: World, content: bytes, media: str, query: str, status: int, code: str
) -> None:
    before = rows_of(world.node)
    assert code_of(world.send(content, media, query), status) == code
    after = rows_of(world.node)
    assert {**after, "log": 0} == {**before, "log": 0}


def test_a_dry_run_of_a_sheet_keeps_nothing(world: World) -> None:
    before = rows_of(world.node)
    answer = world.send(sheet(GOOD, BAD), query="profile=lab&dry_run=true")
    assert (answer.status_code, counts(answer.json())) == (200, {"accepted": 3, "refused": 1})
    assert rows_of(world.node) == before


def test_the_year_of_dates_without_one_may_be_given(world: World, wujiang: Node) -> None:
    header = ",".join(shipped_profile("water-national").columns()[0])
    content = f"{header}\n{NAME},04-01 04:00,17.7{',' * 10}\n"
    answer = world.send(content.encode(), query="profile=water-national&year=2021")
    assert counts(answer.json()) == {"accepted": 11}
    assert {at for at, *_ in stored(wujiang)} == {1_617_220_800_000}, "2021-04-01 04:00 in Beijing"


def test_a_version_is_never_changed_and_what_ships_is_never_replaced(wujiang: Node) -> None:
    register(wujiang, PROFILE.format(version=1, read="name"))
    register(wujiang, PROFILE.format(version=1, read="name"))
    for document, code in (
        (PROFILE.format(version=1, read="id"), "profile.version-exists"),
        (PROFILE.format(version=1, read="id").replace("profile: lab", "profile: air-hourly", 1), "profile.shipped"),
    ):
        with pytest.raises(SharingError) as caught:
            register(wujiang, document)
        assert caught.value.code == code
    with wujiang.gateway.database.read() as session:
        assert [one.reference for one in list_profiles(session, shipped_tables())][-1] == "lab@1"


def test_an_old_name_is_the_site_that_bore_it_on_the_day_of_the_row(world: World) -> None:
    """The section 太浦闸 was renamed, and another one has had that name since."""
    hand_in(
        world.node,
        site_line("320509-OLD", name={"zh": "太浦闸下"}, aliases=[{"name": "太浦闸", "until": "2025-12-31"}]),
        site_line("320509-NEW", name={"zh": "新闸"}, aliases=[{"name": "太浦闸", "since": "2026-01-01"}]),
    )  # fmt: skip
    rows = sheet(
        "太浦闸,2025-12-31 23:00,0.00210,", "太浦闸,2026-01-01 00:00,0.00210,", "太浦闸下,2024-01-01 00:00,0.00210,"
    )
    assert counts(world.send(rows).json()) == {"accepted": 3}
    with world.node.gateway.database.read() as session:
        sites = {row.site for row in session.execute(select(tables.series))}
    assert sites == {"320509-OLD", "320509-NEW"}

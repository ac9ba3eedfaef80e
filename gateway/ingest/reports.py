"""The report of a submission as a sheet: the one that came, with what is wrong beside its cells.

What came as a sheet goes back as that sheet. For anything else the report is a sheet of its own: a row for each place,
with the rule, the offending text and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import zstandard

from gateway.db import ReadSession
from gateway.ingest.parcel import Problem
from gateway.ingest.profiles import find_profile
from schemas.sheets import SHEETS, XLSX, Grid, advice_on, read_grid, read_place
from schemas.sheets.annotated import Remark, annotated_csv, annotated_workbook
from schemas.tables import Tables

Format = Literal["csv", "xlsx"]
_COLUMNS = (
    "位置 / Place", "结果 / Verdict", "字段 / Field", "规则 / Rule", "原文 / Text", "说明 / Detail",
    "处理 / What to do",
)  # fmt: skip


def report_as_sheet(
    session: ReadSession, row: Any, problems: Iterable[Mapping[str, Any]], form: Format, tables: Tables
) -> bytes:
    """The report of the submission `row` in `form`, from the lines of its report; `tables` are those in force."""
    if row.media_type not in SHEETS:
        return write_sheet(_listed(problems), [], form)
    profile, _ = find_profile(session, row.profile.partition("?")[0], tables)
    content = zstandard.ZstdDecompressor().decompress(row.content)
    grid = read_grid(row.media_type, content, profile)
    remarks = remarks_of(problems)
    return write_sheet(grid, remarks, form, content if row.media_type == XLSX else None, header=profile.header)


def write_sheet(
    grid: Grid, remarks: Iterable[Remark], form: Format, content: bytes | None = None, *, header: int = 1
) -> bytes:
    """`grid` with its remarks. `content` is the workbook that it was read from, where it was one."""
    if form == "csv":
        return annotated_csv(grid, remarks, header=header)
    return annotated_workbook(content, grid, remarks, header=header)


def remarks_of(problems: Iterable[Mapping[str, Any]]) -> list[Remark]:
    """The lines of a report that stand somewhere in a sheet."""
    return [
        Remark(*where, line["verdict"], line["code"], line["detail"], _cell_text(line["text"]) if where[1] else "")
        for line in problems
        if (where := read_place(line["place"])) is not None
    ]


def _cell_text(text: str) -> str:
    """What the cell said. The store repeats a record's line, which whoever made the sheet has never seen."""
    return "" if text.startswith('{"kind":') else text


def as_lines(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems as the lines of a report."""
    return [problem.as_json() for problem in problems]


def _listed(problems: Iterable[Mapping[str, Any]]) -> Grid:
    rows = [list(_COLUMNS)]
    for line in problems:
        advice = advice_on(line["code"])
        rows.append(
            [
                line["place"], line["verdict"], " ".join(line["pointers"]), line["code"], line["text"],
                f"{advice.problem_zh} / {line['detail']}", f"{advice.advice_zh} / {advice.advice_en}",
            ]
        )  # fmt: skip
    return Grid(rows)

"""The page for data suppliers says what the program does: generated anew it is the same, in both languages.

If the comparison fails after a change of a table: `python -m gateway.suppliers`.
"""

from __future__ import annotations

import ast
import csv
import re
from pathlib import Path

import pytest

from gateway.suppliers import FILES, page
from gateway.suppliers.page import COMMON, Language
from schemas import factors
from schemas.data import read_table
from schemas.quality import CODES

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES: list[Language] = ["zh", "en"]
REPORTED = re.compile(r"(record|position|submission|case)\.[a-z][a-z0-9-]*[a-z0-9]")
PUT_TOGETHER = {
    *(f"record.{what}-unknown" for what in ("site", "factor", "unit", "device")),
    *(f"position.looks-like-{datum}" for datum in ("gcj02", "bd09", "cgcs2000")),
}
NOT_SUPPLIERS = {
    "record.rev-missing",  # of a partner's batch
    "position.datum",  # a member of a site, no code
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_what_the_tables_say(language: Language) -> None:
    assert (ROOT / "docs" / FILES[language]).read_text(encoding="utf-8") == page(language)


def shape(text: str) -> list[str]:
    """What both languages must have in common: code in the first cell of every row, headings' depth, addresses."""
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    headings = [line.split()[0] for line in text.splitlines() if line.startswith("#")]
    return [re.sub("[\u4e00-\u9fff]+", "", row).strip() for row in rows] + headings


def test_both_languages_say_the_same_in_the_same_order() -> None:
    chinese, english = page("zh"), page("en")
    assert shape(chinese) == shape(english)
    for pattern in (r"/v1/[a-z-]+", r"taipu [a-z]+(?: [a-z]+)?", r"`--[a-z-]+`", r"application/[a-z+-]+(?:\.[a-z-]+)*"):
        assert sorted(set(re.findall(pattern, chinese))) == sorted(set(re.findall(pattern, english)))


def test_the_common_factors_are_known_and_have_a_unit() -> None:
    known = factors.all_factors()
    assert [code for code in COMMON if code not in known or known[code].unit is None] == []


def codes_in(folder: str) -> set[str]:
    """Every text in the code below a folder that is the code of a problem a supplier may be told."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and REPORTED.fullmatch(node.value):
                found.add(node.value)
    return found


def test_every_problem_that_a_supplier_may_be_told_is_on_the_page() -> None:
    told = codes_in("schemas") | codes_in("gateway/ingest") | codes_in("gateway/api") | codes_in("gateway/store")
    assert len(told) > 40
    assert (told | PUT_TOGETHER) - NOT_SUPPLIERS - {row["code"] for row in read_table("advice.csv")} == set()


def test_every_packet_that_is_refused_is_on_the_page() -> None:
    refused = set()
    for path in (ROOT / "schemas/hj212").glob("*.py"):
        refused |= set(re.findall(r'packet_error\(\s*"(packet\.[a-z-]+)"', path.read_text(encoding="utf-8")))
    assert refused
    assert refused - {row["code"] for row in read_table("advice.csv")} == set()


def test_no_code_is_explained_twice_and_each_in_both_languages() -> None:
    rows = read_table("advice.csv")
    assert len({row["code"] for row in rows}) == len(rows)
    assert all(row.values() for row in rows)


@pytest.mark.parametrize("name", ["titles.csv", "advice.csv"])
def test_chinese_is_written_with_chinese_punctuation(name: str) -> None:
    with (ROOT / "schemas/data" / name).open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for column in (one for one in row if one.endswith("_zh")):
                assert not re.search("[\u4e00-\u9fff][,;:?!()]|[,;:?!()][\u4e00-\u9fff]", row[column]), row


def test_the_chinese_page_is_written_with_chinese_punctuation() -> None:
    prose = re.sub(r"```.*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)", "", page("zh"), flags=re.DOTALL)
    assert re.findall("[\u4e00-\u9fff][,;:?!()]|[,;:?!()][\u4e00-\u9fff]", prose) == []


def test_whatever_a_quality_rule_finds_has_advice() -> None:
    assert {f"quality.{code}" for code in CODES} <= {row["code"] for row in read_table("advice.csv")}

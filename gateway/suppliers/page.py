"""Tables of the shared schema as Markdown in one language, and the page they stand in.

Names and explanations come in pairs from the tables, so a function here takes the language and nothing else. What must
never be here: a rule, a code or a number of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.ingest.parcel import MAX_LINES
from schemas.batch import SCHEMA_VERSION
from schemas.data import read_table
from schemas.periods import PERIODS
from schemas.publication import example, json_schema, kinds
from schemas.publication.titles import title, values
from schemas.quality import RULES
from schemas.records.reader import MAX_LINE
from schemas.tables import shipped

Language = Literal["zh", "en"]
Schema = Mapping[str, Any]

FILES: Mapping[Language, str] = {"zh": "suppliers.zh.md", "en": "suppliers.md"}
COMMON = (
    "w01001", "w01010", "w01009", "w01014", "w01003", "w01019", "w01018", "w01017", "w21003", "w21011", "w21001",
    "w01012", "w22001", "w23002", "w20004", "w20117", "w20119", "w01016", "w19011", "w00000",
    "a34004", "a34002", "a21026", "a21004", "a05024", "a21005", "a21002", "a24088", "a00000",
)  # fmt: skip
"""Factors that the page names one by one; all of them are at `/v1/factors`."""
WATCHED = "w20004"
"""The factor whose limits the page gives: antimony, for whose sake the first districts exchange data."""

_HEADERS: Mapping[str, Mapping[Language, tuple[str, ...]]] = {
    "members": {
        "zh": ("字段", "名称", "必填", "填写", "示例"),
        "en": ("Member", "Name", "Needed", "What it holds", "Example"),
    },
    "factors": {"zh": ("代码", "因子", "常用单位"), "en": ("Code", "Factor", "Usual unit")},
    "units": {"zh": ("单位", "名称", "表格中也可写作"), "en": ("Unit", "Name", "Sheets may write")},
    "flags": {"zh": ("规范", "标记", "含义", "有效"), "en": ("Profile", "Flag", "Meaning", "Valid")},
    "limits": {
        "zh": ("标准", "适用", "限值", "说明"),
        "en": ("Standard", "Holds for", "Limit", "Remark"),
    },
    "rules": {"zh": ("代码", "规则", "说明"), "en": ("Code", "Rule", "What it finds")},
    "problems": {"zh": ("代码", "问题", "怎么办"), "en": ("Code", "Problem", "What to do")},
}
_YES: Mapping[Language, str] = {"zh": "是", "en": "yes"}
_NO: Mapping[Language, str] = {"zh": "否", "en": "no"}
_FORMS: Mapping[str, tuple[str, str]] = {
    "identifier": ("编号", "an identifier"),
    "identifiers": ("编号的列表", "a list of identifiers"),
    "some-identifiers": ("编号的列表，至少一个", "a list of identifiers, one at least"),
    "outlet-codes": ("列表", "a list"),
    "texts": ("文字的列表", "a list of texts"),
    "text": ("文字", "text"),
    "name": ("文字", "text"),
    "prose": ("文字，可多行", "text of several lines"),
    "decimal": ("十进制数", "a decimal"),
    "date": ("日期", "a date"),
    "time": ("时间，带时区", "an instant with its offset"),
    "period": ("时段", "a period"),
    "rev": ("整数", "a whole number"),
    "step": ("整数，从 1 起", "a whole number from 1"),
    "size": ("整数", "a whole number"),
    "key": ("字段与值", "members and their values"),
}
"""How a form is told to people; what is not here is told by its example."""


def page(language: Language) -> str:
    """The whole page as Markdown."""
    environment = Environment(
        loader=PackageLoader("gateway.suppliers", "."), undefined=StrictUndefined, autoescape=False,  # noqa: S701 - Markdown
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template(f"{language}.md").render(
        version=SCHEMA_VERSION,
        kinds=[_kind(kind, language) for kind in _handed_in()],
        parts=[_part(name, language) for name in _parts()],
        example=msgspec.json.encode(example("observation")).decode(),
        periods=" ".join(f"`{period}`" for period in PERIODS),
        factors=_factors(language),
        count=len(shipped("factors").rows),
        units=_units(language),
        flags=_flags(language),
        marks=_marks(language),
        limits=_limits(language),
        rules=_rules(language),
        problems=_problems(language),
        max_lines=f"{MAX_LINES:,}",
        max_line=f"{MAX_LINE:,}",
    )


def _table(name: str, language: Language, rows: Iterable[tuple[str, ...]]) -> str:
    headers = _HEADERS[name][language]
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _kind(kind: str, language: Language) -> dict[str, str]:
    schema, about = json_schema(kind), title(kind)
    return {
        "kind": kind,
        "title": about.zh if language == "zh" else about.en,
        "about": about.about_zh if language == "zh" else about.about_en,
        "key": ("、" if language == "zh" else ", ").join(f"`{name}`" for name in schema["x-key"]),
        "members": _members(kind, schema, language),
    }


def _handed_in() -> list[str]:
    """The kinds that suppliers hand in: acts of governance are made by people at the gateway."""
    return [kind for kind in kinds() if kind != "agreement"]


def _parts() -> list[str]:
    """The names of the parts that records are made of, in the order of their first use."""
    return list(dict.fromkeys(name for kind in _handed_in() for name in json_schema(kind).get("$defs", {})))


def _part(name: str, language: Language) -> dict[str, str]:
    schema = next(one["$defs"][name] for one in map(json_schema, _handed_in()) if name in one.get("$defs", {}))
    about = title(name)
    return {
        "title": about.zh if language == "zh" else about.en,
        "about": about.about_zh if language == "zh" else about.about_en,
        "members": _members(name, schema, language),
    }


def _members(of: str, schema: Schema, language: Language) -> str:
    needed = schema["required"]
    names = [name for name in schema["properties"] if name != "kind"]
    rows = (_member(of, name, schema["properties"][name], language, needed=name in needed) for name in names)
    return _table("members", language, rows)


def _member(of: str, name: str, member: Schema, language: Language, *, needed: bool) -> tuple[str, ...]:
    about = title(of, name)
    shown = f"`{about.example}`" if about.example else ""
    named = about.zh if language == "zh" else about.en
    return f"`{name}`", named, _YES[language] if needed else "", _holds(of, name, member, language), shown


def _holds(of: str, name: str, member: Schema, language: Language) -> str:
    """What to write into a member: its values where they are few, its form, and what there is to say."""
    zh = language == "zh"
    about = title(of, name)
    named = [(value, title(of, name, value)) for value in values(of, name)]
    listed = "，" if zh else ", "
    words = listed.join(f"`{value}` {one.zh if zh else one.en}" for value, one in named)
    if not words and about.form in _FORMS:
        words = _FORMS[about.form][0 if zh else 1]
    if not words and member.get("type") == "boolean":
        words = "`true` 或 `false`" if zh else "`true` or `false`"
    words = words or _made_of(member, language)
    more = about.about_zh if zh else about.about_en
    return ("；" if zh else "; ").join(part for part in (words, more) if part)


def _made_of(member: Schema, language: Language) -> str:
    """The part, or the list of parts, that a member consists of; empty where it consists of none."""
    for one, said in (
        (member, ("见“{}”", "see “{}”")),
        (member.get("items", {}), ("列表，见“{}”", "a list, see “{}”")),
    ):
        for reference in (one.get("$ref"), *(other.get("$ref") for other in one.get("anyOf", ()))):
            if reference:
                part = title(reference.rpartition("/")[2])
                return said[0].format(part.zh) if language == "zh" else said[1].format(part.en)
    return ""


def _factors(language: Language) -> str:
    rows = {row["code"]: row for row in shipped("factors").rows}
    return _table(
        "factors",
        language,
        ((f"`{code}`", rows[code][f"name_{language}"], f"`{rows[code]['unit']}`") for code in COMMON),
    )


def _units(language: Language) -> str:
    used = {row["unit"] for row in shipped("factors").rows if row["code"] in COMMON}
    rows = (row for row in shipped("units").rows if row["code"] in used)
    return _table(
        "units",
        language,
        ((f"`{row['code']}`", row[f"name_{language}"], " ".join(_spellings(row["aliases"]))) for row in rows),
    )


def _spellings(aliases: str) -> list[str]:
    return [f"`{alias}`" for alias in aliases.split("|") if alias]


def _flags(language: Language) -> str:
    none = "（空）" if language == "zh" else "(empty)"
    rows = (
        (
            f"`{row['profile']}`",
            f"`{row['flag']}`" if row["flag"] else none,
            row[f"meaning_{language}"],
            (_YES if row["valid"] == "yes" else _NO)[language] + (f" `{row['qualifier']}`" if row["qualifier"] else ""),
        )
        for row in shipped("flags").rows
    )
    return _table("flags", language, rows)


def _marks(language: Language) -> str:
    said = [f"`{row['type']}` {row[f'meaning_{language}']}" for row in shipped("marks").rows]
    return ("、" if language == "zh" else ", ").join(said)


def _rules(language: Language) -> str:
    zh = language == "zh"
    rows = (
        (f"`{rule.code}`", rule.title_zh if zh else rule.title_en, rule.about_zh if zh else rule.about_en)
        for rule in RULES
    )
    return _table("rules", language, rows)


def _limits(language: Language) -> str:
    """The limits of antimony, local before national as the table has them; unconfirmed ones say so."""
    zh = language == "zh"
    kinds_of = {"limit": ("限值", "limit"), "reference": ("参考限值", "reference only")}
    rows = []
    for row in (row for row in shipped("limits").rows if row["factor"] == WATCHED):
        sites = [title("site", "type", one) for one in row["site_types"].split("|")]
        codes = [f"`{one}`" for name in ("categories", "areas", "discharge") for one in row[name].split("|") if one]
        places = ("、" if zh else ", ").join([one.zh if zh else one.en for one in sites] + codes)
        doubt = ("未确认；" if zh else "unconfirmed; ") if row["confidence"] == "unconfirmed" else ""
        kind = kinds_of[row["kind"]][0 if zh else 1]
        value = f"`{row['high']} {row['unit']}` {kind}"
        rows.append((row["standard"], places, value, doubt + row[f"note_{language}"]))
    return _table("limits", language, rows)


def _problems(language: Language) -> str:
    rows = read_table("advice.csv")
    return _table(
        "problems",
        language,
        ((f"`{row['code']}`", row[f"problem_{language}"], row[f"advice_{language}"]) for row in rows),
    )

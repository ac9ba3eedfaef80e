"""A first profile for a sheet: what its headers say for certain filled in, everything else left to a person.

A guess never reads a sheet. What is not certain stands as `?`, which the strict reader of profiles refuses, with the
likely answer in a comment beside it. Certain is: a header whose name is one factor's name and whose unit is written in
it and fits that factor; a column headed as times or sites are, where there is one alone. Which end of its period a time
names no header says, so it is always asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from schemas import factors, units
from schemas.data import read_table
from schemas.errors import SharingError
from schemas.factors import Factor, Factors
from schemas.mappings import check_meaning
from schemas.sheets.grid import Grid, SheetError, plain
from schemas.sheets.moments import time_form
from schemas.sheets.profile_document import UNDECIDED, header_parts
from schemas.sheets.values import narrow
from schemas.tables import shipped_tables

_ASKED = f'"{UNDECIDED}"'
_LOOKED_AT = 20  # rows in which a header is looked for
_SAMPLES = 200  # rows whose cells are looked at
_TIME = ("监测时间", "采样时间", "时间", "日期", "time", "timepoint", "datetime", "date", "监测日期", "采样日期")
_SITE = ("断面名称", "站点名称", "点位名称", "测点名称", "站点", "点位", "site", "station", "stationcode", "sitecode",
         "站点编码", "断面", "监测点位", "排放口", "排放口编号", "排放口名称")  # fmt: skip
_ITEM = ("监测项目", "项目", "因子", "指标", "污染物", "item", "factor", "parameter", "监测因子", "污染物名称")
_VALUE = ("监测结果", "结果", "监测值", "数值", "浓度", "value", "result")
_UNIT = ("单位", "unit", "计量单位")
_FLAG = ("站点情况", "状态", "标记", "数据标识", "flag", "status")
_MARKS = ("--", "*", "-", "—", "/", "NA", "N/A", "NULL")
_FORMS = ("YYYY-MM-DD hh:mm:ss", "YYYY-MM-DD hh:mm", "YYYY/MM/DD hh:mm:ss", "YYYY/MM/DD hh:mm", "YYYY-MM-DDThhmm",
          "YYYY-MM-DDThh:mm:ss", "YYYY年MM月DD日 hh时", "YYYYMMDDhhmmss", "YYYYMMDDhh", "YYYY-MM-DD", "YYYY/MM/DD",
          "MM-DD hh:mm")  # fmt: skip


@dataclass
class _Columns:
    """The columns of a sheet by what their headers say they are; a header in several lists is in the first."""

    time: list[str] = field(default_factory=list)
    site: list[str] = field(default_factory=list)
    item: list[str] = field(default_factory=list)
    value: list[str] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    flag: list[str] = field(default_factory=list)
    factors: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def draft_profile(grid: Grid, name: str) -> str:
    """A profile's document for `grid`, in YAML, with comments on what a person must decide.

    Raises:
        SheetError: `sheet.header-missing`: no row looks like a header.
    """
    header = _header_row(grid)
    headers = [text.strip() for text in grid.rows[header - 1] if text.strip()]
    columns = _sorted_columns(headers)
    long = len(columns.item) == 1 and len(columns.value) == 1 and not columns.factors
    lines = [
        "# 由表格草拟的模板：标 ? 处须由人决定，改完之前不能使用。",
        "# Drafted from a sheet: a person decides wherever there is a `?`; until then it reads nothing.",
        f"profile: {_quoted(name)}",
        "version: 1",
        'title: {zh: "?", en: "?"}',
        *([f"sheet: {_quoted(grid.name)}"] if grid.name else []),
        *([f'header: "{header}"'] if header > 1 else []),
        f"layout: {'long' if long else 'wide'}",
        *_site_lines(columns),
        *_time_lines(grid, header, columns),
        *_missing_lines(grid, header),
        *_member_lines(columns),
        *(_item_lines(grid, header, columns) if long else _factor_lines(columns)),
        *_ignore_lines(columns, long=long),
    ]
    return "\n".join(lines) + "\n"


def _header_row(grid: Grid) -> int:
    """The row, of the first ones, with the most texts that say what a column is."""
    known = {plain(one) for words in (_TIME, _SITE, _ITEM, _VALUE, _UNIT, _FLAG) for one in words}
    best, found = 0, 0
    for number, row in enumerate(grid.rows[:_LOOKED_AT], 1):
        count = sum(plain(text) in known or bool(_named(header_parts(text)[0])) for text in row if text.strip())
        if count > best:
            best, found = count, number
    if not found:
        raise SheetError("no row names a time, a site or a factor, so none is a header", code="sheet.header-missing")
    return found


def _sorted_columns(headers: Iterable[str]) -> _Columns:
    columns = _Columns()
    kinds = {"time": _TIME, "site": _SITE, "item": _ITEM, "value": _VALUE, "unit": _UNIT, "flag": _FLAG}
    for header in headers:
        kind = next((kind for kind, words in kinds.items() if plain(header) in map(plain, words)), "")
        if not kind:
            kind = "factors" if _named(header_parts(header)[0]) or _unit_of(header) else "other"
        getattr(columns, kind).append(header)
    return columns


def _site_lines(columns: _Columns) -> Iterator[str]:
    column = _one(columns.site)
    asked = f"{_candidates(columns.site)}name 点位名称, id 点位编号: what the column holds"
    yield f'site: {{column: {column}, read: "?"}}   # {asked}'


def _time_lines(grid: Grid, header: int, columns: _Columns) -> Iterator[str]:
    yield "time:"
    yield f"  column: {_one(columns.time)}" + (f"   # {_candidates(columns.time)}" if len(columns.time) != 1 else "")
    texts = _texts(grid, header, columns.time[0]) if len(columns.time) == 1 else []
    forms = [form for form in _FORMS if any(_has_form(text, form) for text in texts)]
    yield f"  forms: {json.dumps(forms or ['?'], ensure_ascii=False)}"
    yield '  hours: "?"   # start 时段开始, end 时段结束（空气小时值）, instant 瞬时: which of them the times name'
    if "MM-DD hh:mm" in forms:
        yield '  year: "?"   # the sheet says no year: latest, or the year itself'
    if any(_has_form(text, form) for text in texts for form in ("YYYY-MM-DD", "YYYY/MM/DD")):
        yield '  date-only: "?"   # some times are a date alone: midnight or refuse'


def _missing_lines(grid: Grid, header: int) -> Iterator[str]:
    seen = {narrow(text) for row in grid.rows[header : header + _SAMPLES] for text in row}
    marks = [mark for mark in _MARKS if mark in seen]
    yield "missing:   # null 记为缺测, omit 不记: a value that is null, or none at all"
    yield '  "": "?"'
    for mark in marks:
        yield f'  {_quoted(mark)}: "?"'


def _member_lines(columns: _Columns) -> Iterator[str]:
    yield "members:"
    yield '  origin: "?"   # auto 自动, manual 手工, lab 实验室, mobile 移动'
    yield '  stat: "?"   # inst 瞬时, avg 均值, sample 样品'
    yield '  period: "?"   # PT0S, PT1H, P1D …'
    yield '  profile: "?"   # 标记表 the table of flags: manual, water-4h, hourly-air …'
    if columns.flag:
        yield f"  flag: {{column: {_one(columns.flag)}}}"


def _factor_lines(columns: _Columns) -> Iterator[str]:
    yield "factors:"
    for header in columns.factors or ["?"]:
        yield _factor_line(header)


def _factor_line(header: str) -> str:
    name, _ = header_parts(header)
    found, unit = _named(name), _unit_of(header)
    certain = len(found) == 1 and unit is not None and _fits(found[0], unit, name)
    code, asked = found[0].code if certain else _ASKED, _quoted(unit) if unit else _ASKED
    return f"  {_quoted(header)}: {{factor: {code}, unit: {asked}}}   # {_likely(found)}"


def _likely(found: list[Factor]) -> str:
    return ", ".join(f"{one.code} {one.name_zh}" for one in found[:4]) or "no factor has this name"


def _item_lines(grid: Grid, header: int, columns: _Columns) -> Iterator[str]:
    yield "items:"
    yield f"  item: {_quoted(columns.item[0])}"
    yield f"  value: {_quoted(columns.value[0])}"
    if len(columns.unit) == 1:
        yield f"  unit: {{column: {_quoted(columns.unit[0])}}}"
    else:
        yield '  unit: "?"'
    yield "  table:"
    for item in dict.fromkeys(_texts(grid, header, columns.item[0])):
        found = _named(item)
        yield f"    {_quoted(item)}: {found[0].code if len(found) == 1 else _ASKED}   # {_likely(found)}"


def _ignore_lines(columns: _Columns, *, long: bool) -> Iterator[str]:
    left = columns.other + ([] if long else [*columns.item, *columns.value, *columns.unit])
    if left:
        yield "ignore:   # 不读取的列；如有监测数据，请移到上面: not read; move up what holds values"
        yield from (f"  - {_quoted(header)}" for header in left)


def _one(headers: list[str]) -> str:
    return _quoted(headers[0]) if len(headers) == 1 else _ASKED


def _candidates(headers: list[str]) -> str:
    return "" if len(headers) == 1 else f"one of: {', '.join(headers) or 'the headers below'}. "


def _quoted(text: str) -> str:
    """`text` as a YAML scalar on one line, whatever it holds; JSON strings are YAML."""
    return json.dumps("".join(one if one.isprintable() else " " for one in text), ensure_ascii=False)


def _texts(grid: Grid, header: int, column: str) -> list[str]:
    number = [text.strip() for text in grid.rows[header - 1]].index(column) + 1
    rows = range(header + 1, min(len(grid.rows), header + _SAMPLES) + 1)
    return [text for row in rows if (text := narrow(grid.cell(row, number))) and text not in _MARKS]


def _has_form(text: str, form: str) -> bool:
    return time_form(form).fullmatch(text) is not None


def _named(name: str) -> list[Factor]:
    """The factors that a header's name may mean, by their own names and by those that sheets use."""
    key = plain(name).casefold()
    codes = dict.fromkeys([*_names().get(key, ()), *_synonyms().get(key, ())])
    return [factors.all_factors()[code] for code in codes]


def _unit_of(header: str) -> str | None:
    said = header_parts(header)[1]
    try:
        return units.unit(said).code if said else None
    except SharingError:
        return None


def _fits(factor: Factor, unit: str, name: str) -> bool:
    """Whether values in `unit` can be those of `factor`, and the name does not contradict it."""
    try:
        check_meaning(name, factor.code, shipped_tables()[Factors])
        return factor.unit is not None and units.unit(factor.unit).dimension == units.unit(unit).dimension
    except SharingError:
        return False


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    named: dict[str, tuple[str, ...]] = {}
    for one in factors.all_factors().values():
        for name in (one.name_zh, one.name_en, one.code):
            key = plain(name).casefold()
            named[key] = tuple(dict.fromkeys((*named.get(key, ()), one.code)))
    return named


@cache
def _synonyms() -> Mapping[str, tuple[str, ...]]:
    """How sheets call a factor besides its name."""
    named: dict[str, tuple[str, ...]] = {}
    for row in read_table("factor_names.csv"):
        key = plain(row["name"]).casefold()
        named[key] = (*named.get(key, ()), row["code"])
    return named

"""The quality rules as they are published: what each says, where it runs, and its parameters by a governed table.

The table is `data/quality-rules.csv`. A row gives parameters of one rule to a subject: `*`, a unit's dimension, a
medium, or a factor, each more particular than the one before, and to a period. Parameters of the more particular row go
before those of the others, one by one. `unit` is what `low`, `high`, `above` and `floor` are given in; they are
converted exactly to the unit of a value, or the row does not apply to it. Every figure is a setting with its reason
beside it: a gateway may bring in a new version, and each finding names the version it was found by.

What a rule finds is advice. It never keeps a value from being stored or shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Literal, NamedTuple

from schemas.errors import RecordError
from schemas.factors import Factors
from schemas.periods import is_period
from schemas.tables import FIRST_ROW, Row, Table, TableError, Tables, read_each
from schemas.units import Units

_BOUNDS = frozenset({"low", "high", "above", "floor"})  # given in the row's unit
_WHOLE_NUMBERS = frozenset({"minutes", "days", "manual_days", "digits", "count", "coarse", "last", "least"})
_NUMBERS = _BOUNDS | {"times", "plus", "share", "hours", "factor", "tolerance", "gap", "relative", "daily"}
_WHOLE_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
_AT_LEAST = {"factor": 1, "tolerance": 1, "last": 2, "least": 2}  # others are divided by the first two
_NEEDED: Mapping[str, frozenset[str]] = {
    "unit": frozenset({"total"}),
    "future": frozenset({"minutes"}),
    "ancient": frozenset({"days", "manual_days"}),
    "period-wrong": frozenset({"instants", "spans"}),
    "duplicate": frozenset({"digits"}),
    "frozen": frozenset({"count", "coarse", "hours", "above"}),
    "unit-suspect": frozenset({"factor", "tolerance", "last", "least", "digits"}),
    "jump": frozenset({"times", "last", "least", "gap", "relative", "floor", "daily"}),
}
"""What a rule cannot do without."""
_OF_A_SIBLING = frozenset({"whole", "times", "plus", "in"})
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """One rule: its stable code, and what it says to people. `door` rules need no history; `commit` rules do."""

    code: str
    where: Literal["door", "commit"]
    title_zh: str
    title_en: str
    about_zh: str
    about_en: str


class Finding(NamedTuple):
    """What a rule says of one value: the rule's code, a sentence for a person, and the table it was found by."""

    rule: str
    detail: str
    table: str


RULES = (
    Rule(
        "range", "door", "量程", "Range",
        "有效值超出该因子物理上或仪器上可能的范围。低于检出限和超量程的值按其限定符判断。",
        "A valid value lies outside what is physically possible for its factor, or what instruments can measure."
        " Values below detection or above range are judged by their qualifier.",
    ),
    Rule(
        "unit", "door", "单位", "Unit",
        "单位的量纲与因子不符，例如 pH 用 mg/L。",
        "The unit measures something else than the factor is, such as mg/L for pH.",
    ),
    Rule(
        "future", "door", "时间超前", "Future time",
        "测量时刻或平均时段的结束晚于收到时刻，超出时钟容差。",
        "The instant, or the end of the averaging period, is later than now by more than clocks are off.",
    ),
    Rule(
        "ancient", "door", "时间过旧", "Ancient time",
        "时间早于自动监测数据可能的年份，通常是时钟复位；手工和实验室数据另有期限。",
        "The time is further back than automatic data reach, as after a clock's reset; data brought in by hand may be"
        " older.",
    ),
    Rule(
        "period-wrong", "door", "时段不符", "Wrong period",
        "时段与统计方式不符（瞬时值带时段，均值无时段），或开始时刻不在时段的起点上。",
        "The period does not fit the statistic (an instant with a period, an average without), or does not begin where"
        " such a period begins.",
    ),
    Rule(
        "duplicate", "door", "重复报送", "Duplicate",
        "同一次报送中，同一站点、因子、时段、时刻的相同数值以不同来源或样品号出现：一次测量被报了两次。",
        "Within one submission the same value of one site, factor, period and instant comes under another origin or"
        " sample: one measurement handed in twice.",
    ),
    Rule(
        "sibling", "door", "部分大于总量", "Part above whole",
        "同一站点、同一时刻，部分大于总量，例如氨氮大于总氮、PM2.5 大于 PM10，超出容差。",
        "At one site and instant a part is more than the whole it belongs to, such as ammonia and total nitrogen, or"
        " PM2.5 and PM10, by more than two instruments differ.",
    ),
    Rule(
        "completeness", "commit", "有效率不足", "Completeness",
        "平均值所含的较短时段有效值的份额不足；提供方没有较短时段的数据时不判断。",
        "Too small a share of the shorter values of an average is valid. Not judged where the provider holds no shorter"
        " values.",
    ),
    Rule(
        "frozen", "commit", "恒值", "Frozen value",
        "连续多个有效值完全相同并持续一段时间。零值、检出限附近的值和只有一位有效数字的值不判断。",
        "Valid values one after another are equal to the last digit, for a number of values and a time. Zero, values at"
        " the detection limit and values of one digit are not judged.",
    ),
    Rule(
        "unit-suspect", "commit", "单位可疑", "Unit suspect",
        "与该站点近期数值相差约 1000 倍，可能错报了单位。原值照存照传，并立即告知提供方。",
        "About a factor 1000 off the recent values of its site, as when mg is declared for ug. Stored and shared as"
        " given, and its provider is told at once.",
    ),
    Rule(
        "jump", "commit", "突变", "Jump",
        "与近期有效值的中位数和前一个值都相差很大（按近期离散程度的倍数，不低于因子的下限）。",
        "Far from the median of the recent valid values and from the one before it, in multiples of their own spread"
        " and by no less than the factor's floor.",
    ),
)  # fmt: skip
"""Every rule, those of the door first."""

CODES = frozenset(rule.code for rule in RULES)


class _Row(NamedTuple):
    rule: str
    subject: str
    period: str
    unit: str
    parameters: Mapping[str, str]


class QualityRules:
    """The parameters of one version of the table.

    Raises:
        TableError: a row names an unknown rule, or a parameter that is not `name=value`; or no row for `*` gives a
            parameter that a rule cannot do without.
    """

    table: ClassVar[str] = "quality-rules"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        self.version = table
        self._rows: dict[str, list[_Row]] = {rule.code: [] for rule in RULES}
        for row in read_each(table, _COLUMNS, _read):
            self._rows[row.rule].append(row)
        for rule, needed in _NEEDED.items():
            given = {name for row in self.rows(rule, "*", "*", None) for name in row.parameters}
            if missing := needed - given:
                detail = f"no row of {rule} for every subject and period gives {', '.join(sorted(missing))}"
                raise TableError(detail, pointers=["row 1"])

    def contradictions(self, tables: Tables) -> Iterator[tuple[int, str]]:
        """Rows that speak of what the other tables do not know, by their number."""
        factors, units = tables[Factors].by_code, tables[Units].by_code
        media = {factor.medium for factor in factors.values()}
        subjects = {"*", *media, *(unit.dimension for unit in units.values()), *factors}
        for number, row in enumerate(self.version.rows, FIRST_ROW):
            if row["subject"] not in subjects:
                yield number, f"{row['subject'][:40]!r} is no factor, medium or dimension"
            elif row["unit"] and row["unit"] not in units:
                yield number, f"the unit {row['unit'][:40]!r} is not a UCUM code of {tables[Units].reference}"

    def rows(self, rule: str, subject: str, period: str, unit: str | None) -> list[_Row]:
        """The rows of `rule` that speak of `subject`, those for every period before those for `period`.

        Where some are given in the very `unit`, only those: stacks and the open air share codes, not units.
        """
        rows = [row for row in self._rows[rule] if row.subject == subject and row.period in ("*", period)]
        exact = [row for row in rows if row.unit and row.unit == unit]
        return sorted(exact or rows, key=lambda row: row.period != "*")


def parameters(tables: Tables, rule: str, factor: str, period: str, unit: str | None = None) -> dict[str, str]:
    """The parameters of `rule` for a value of `factor` over `period`, its bounds as decimals in `unit`.

    A bound is left out where no exact factor leads from its row's unit to `unit`.
    """
    rules, units = tables[QualityRules], tables[Units]
    dimension = [units.unit(unit).dimension] if unit else []
    found: dict[str, str] = {}
    for subject in ("*", *dimension, tables[Factors].factor(factor).medium, factor):
        for row in rules.rows(rule, subject, period, unit):
            found |= _converted(row, unit, units)
    return found


def as_document(rules: QualityRules) -> dict[str, object]:
    """The rules with their parameters, as `/v1/quality-rules` serves them."""
    table = rules.version
    return {
        "table": table.reference,
        "digest": table.digest,
        "severity": "advice",
        "rules": [
            {
                "code": rule.code,
                "version": table.version,
                "where": rule.where,
                "title": {"zh": rule.title_zh, "en": rule.title_en},
                "about": {"zh": rule.about_zh, "en": rule.about_en},
                "parameters": [
                    {name: row[name] for name in _COLUMNS[1:]} for row in table.rows if row["rule"] == rule.code
                ],
            }
            for rule in RULES
        ],
    }


_COLUMNS = ("rule", "subject", "period", "unit", "parameters", "basis")
_NAME_AND_VALUE = re.compile(r"([a-z_]+)=(\S+)", re.ASCII)


def _read(row: Row) -> _Row:
    if row["rule"] not in CODES:
        raise TableError(f"{row['rule'][:40]!r} is not a rule")
    if not row["subject"] or (row["period"] != "*" and not is_period(row["period"])):
        raise TableError("a row has a subject and a period (`*`: all of them)")
    found: dict[str, str] = {}
    for part in row["parameters"].split():
        match = _NAME_AND_VALUE.fullmatch(part)
        if match is None:
            raise TableError(f"{part[:40]!r} is not `name=value`")
        name, value = match.groups()
        if name in _NUMBERS and _NUMBER.fullmatch(value) is None:
            raise TableError(f"`{name}` is a number, not {value[:40]!r}")
        if name in _WHOLE_NUMBERS and _WHOLE_NUMBER.fullmatch(value) is None:
            raise TableError(f"`{name}` is a whole number, not {value[:40]!r}")
        if name in _AT_LEAST and Decimal(value) < _AT_LEAST[name]:
            raise TableError(f"`{name}` is at least {_AT_LEAST[name]}")
        found[name] = value
    if row["rule"] == "sibling" and not found.keys() >= _OF_A_SIBLING:
        raise TableError("a row of sibling gives whole, times, plus and in")
    return _Row(row["rule"], row["subject"], row["period"], row["unit"], found)


def _converted(row: _Row, unit: str | None, units: Units) -> dict[str, str]:
    if not row.unit or row.unit == unit:
        return dict(row.parameters)
    found = {name: value for name, value in row.parameters.items() if name not in _BOUNDS}
    with suppress(RecordError):
        for name in _BOUNDS & row.parameters.keys():
            found[name] = f"{units.convert(Decimal(row.parameters[name]), row.unit, unit or row.unit):f}"
    return found

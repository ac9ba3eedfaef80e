"""The quality rules as they are published: what each says, where it runs, and its parameters by a governed table.

The table is `data/quality-rules.csv`. A row gives parameters of one rule to a subject: `*`, a unit's dimension, a
medium, or a factor, each more particular than the one before, and to a period. Parameters of the more particular row go
before those of the others, one by one. `unit` is what `low`, `high`, `above` and `floor` are given in; they are
converted exactly to the unit of a value, or the row does not apply to it. Every figure is a setting with its reason
beside it: a gateway may bring in a new version, and each finding names the version it was found by.

What a rule finds is advice. It never keeps a value from being stored or shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Literal, NamedTuple

from schemas import factors, units
from schemas.errors import SharingError
from schemas.tables import Table, TableError, shipped

NAME = "quality-rules"
_CONVERTED = frozenset({"low", "high", "above", "floor"})


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


@dataclass(frozen=True)
class _Row:
    subject: str
    period: str
    unit: str
    parameters: Mapping[str, str]


class QualityRules:
    """The rules' parameters, from one version of the table.

    Raises:
        TableError: a row names an unknown rule, subject or unit, or a parameter that is not `name=value`.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.reference = table.reference
        self._rows: dict[str, list[_Row]] = {rule.code: [] for rule in RULES}
        for number, row in enumerate(table.rows, 1):
            try:
                self._rows[row["rule"]].append(_read(row))
            except (KeyError, ValueError, ArithmeticError, SharingError) as error:
                detail = f"row {number} of {table.reference} is not a rule's row: {error}"
                raise TableError(detail, pointers=[f"row {number}"]) from error

    def parameters(self, rule: str, factor: str, period: str, unit: str | None = None) -> dict[str, str]:
        """The parameters of `rule` for a value of `factor` over `period`, bounds as decimals in `unit`.

        Where two rows of one subject give bounds, the one in the very `unit` is taken: stacks and the open air share
        codes, not units.
        """
        found: dict[str, str] = {}
        for subject in _subjects(factor, unit):
            rows = [row for row in self._rows[rule] if row.subject == subject and row.period in ("*", period)]
            exact = [row for row in rows if row.unit and row.unit == unit]
            for row in sorted(exact or rows, key=lambda row: row.period != "*"):
                found |= _converted(row, unit)
        return found

    def as_document(self) -> dict[str, object]:
        """The rules with their parameters, as `/v1/quality-rules` serves them."""
        return {
            "table": self.reference,
            "digest": self.table.digest,
            "severity": "advice",
            "rules": [
                {
                    "code": rule.code,
                    "version": self.table.version,
                    "where": rule.where,
                    "title": {"zh": rule.title_zh, "en": rule.title_en},
                    "about": {"zh": rule.about_zh, "en": rule.about_en},
                    "parameters": [dict(row) for row in self.table.rows if row["rule"] == rule.code],
                }
                for rule in RULES
            ],
        }


@cache
def shipped_rules() -> QualityRules:
    """The rules by the version of the table that this package ships."""
    return QualityRules(shipped(NAME))


def _read(row: Mapping[str, str]) -> _Row:
    parameters = dict(part.split("=", 1) for part in row["parameters"].split())
    unit = row["unit"]
    for name in _CONVERTED & parameters.keys():
        Decimal(parameters[name])
        if unit:
            units.convert(Decimal(parameters[name]), unit, unit)
    return _Row(row["subject"], row["period"], unit, parameters)


def _subjects(factor: str, unit: str | None) -> list[str]:
    """What rows may speak of a value, from the general to the particular."""
    dimension = [units.unit(unit).dimension] if unit else []
    return ["*", *dimension, factors.factor(factor).medium, factor]


def _converted(row: _Row, unit: str | None) -> dict[str, str]:
    """The row's parameters with its bounds in `unit`; without them where no exact factor leads there."""
    if not row.unit or row.unit == unit:
        return dict(row.parameters)
    found = {name: text for name, text in row.parameters.items() if name not in _CONVERTED}
    if unit is not None:
        with suppress(SharingError):
            for name in _CONVERTED & row.parameters.keys():
                found[name] = f"{units.convert(Decimal(row.parameters[name]), row.unit, unit):f}"
    return found

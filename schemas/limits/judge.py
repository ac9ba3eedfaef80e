"""Whether a value keeps a limit, compared in both ways, each with its result.

GB/T 8170 knows two: the full value 全数值比较 as measured, and the value rounded 修约值比较 to the digits the limit is
written with. The limit says which one decides, the full value where it says nothing; the other is kept beside it. In
2014 5.02 µg/L of antimony stood against a limit of 5: exceeded by the one, kept by the other, and an industry stopped.

A value `<` its detection limit or `>` its range is a span, not a number: it is judged only where every number of the
span gets the same answer. Values that are not valid are never judged. A reference value 参考限值 is never exceeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from schemas.limits.sentences import Sentence
from schemas.limits.table import Limit
from schemas.rounding import rounded
from schemas.units import convert

Outcome = Literal["within", "exceeded", "above-reference", "not-judged"]
Qualifier = Literal["", "<", ">"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a value stands to a limit.

    `value` is the measured value in the limit's unit, `rounded` the same rounded to the limit's digits. `by_full` and
    `by_rounded` say whether it keeps the limit by either comparison, None where that cannot be said; `outcome` follows
    the one the limit asks for (`limit.rule`).
    """

    outcome: Outcome
    limit: Limit
    value: Decimal | None
    rounded: Decimal | None
    by_full: bool | None
    by_rounded: bool | None
    why: Sentence


def judge(value: Decimal | None, q: Qualifier, unit: str, limit: Limit, *, valid: bool) -> Verdict:
    """How `value` in `unit` stands to `limit`. `valid` is what flags and marks say of it.

    A value None (not measured) or not valid is not judged.

    Raises:
        UnresolvedError: the unit is not known.
        RecordError: `record.unit-mismatch`, `record.value-invalid`.
    """
    if value is None or not valid:
        return Verdict("not-judged", limit, None, None, None, None, _NOT_MEASURED if value is None else _NOT_VALID)
    measured = convert(value, unit, limit.unit)
    to_digits = rounded(measured, limit.decimals)
    by_full = keeps(measured, q, limit)
    by_rounded = keeps(to_digits, q, limit, rounded_span=True)
    kept = by_full if limit.rule == "full" else by_rounded
    return Verdict(
        _outcome(kept, limit),
        limit,
        measured,
        to_digits,
        by_full,
        by_rounded,
        _why(q, measured, to_digits, kept, limit),
    )


def keeps(value: Decimal, q: Qualifier, limit: Limit, *, rounded_span: bool = False) -> bool | None:
    """Whether a value in the limit's unit keeps it; None where only some numbers of its span do.

    The end of a span is not in it (`< 0.005` is never 0.005); of a rounded span it is, since numbers just inside
    round to it.
    """
    low, high = limit.low, limit.high
    if q == "":
        return (low is None or value >= low) and (high is None or value <= high)
    if q == "<":
        fails = low is not None and (value < low or (value == low and not rounded_span))
        return False if fails else _sure(low is None and high is not None and value <= high)
    fails = high is not None and (value > high or (value == high and not rounded_span))
    return False if fails else _sure(high is None and low is not None and value >= low)


def _sure(kept: bool) -> Literal[True] | None:
    return True if kept else None


def _outcome(kept: bool | None, limit: Limit) -> Outcome:
    if kept is None:
        return "not-judged"
    if kept:
        return "within"
    return "exceeded" if limit.kind == "limit" else "above-reference"


def _why(q: Qualifier, measured: Decimal, to_digits: Decimal, kept: bool | None, limit: Limit) -> Sentence:
    if kept is None:
        what = (
            ("检出限高于限值", "it lies below a detection limit that")
            if q == "<"
            else ("量程上限低于限值", "it lies above a range whose end")
        )
        return Sentence(
            f"{q}{measured} {limit.unit} 对 {limit.bound}：{what[0]}，可能超过也可能不超过，不能判定。",
            f"{q}{measured} {limit.unit} against {limit.bound} cannot be judged: {what[1]} may lie on either side.",
        )
    shown, way_zh, way_en = (measured, "全数值", "full") if limit.rule == "full" else (to_digits, "修约值", "rounded")
    if kept:
        zh, en = "未超过", "keeps"
    elif limit.kind == "limit":
        zh, en = "超标", "exceeds"
    else:
        zh, en = "高于参考限值（不判超标）", "lies beyond the reference value"
    return Sentence(
        f"按{way_zh}比较，{q}{shown} {limit.unit} 对 {limit.bound}：{zh}。",
        f"By {way_en} value, {q}{shown} {limit.unit} {en} {limit.bound}.",
    )


_NOT_MEASURED = Sentence("未测得，不判定。", "It was not measured, so it is not judged.")
_NOT_VALID = Sentence("该值无效，不判定。", "The value is not valid, so it is not judged.")
_SPANS = {"<": ("低于检出限", "a value below detection"), ">": ("超出量程", "a value above range")}

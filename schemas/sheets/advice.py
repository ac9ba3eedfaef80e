"""What a person who made a sheet can do about a problem, by its code, in Chinese and English.

The table is `data/advice.csv`; every code that reading a sheet can end in has a row, which a test holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from schemas.data import read_table


@dataclass(frozen=True)
class Advice:
    """What is wrong, in a few words, and what to do."""

    problem_zh: str
    problem_en: str
    advice_zh: str
    advice_en: str


_UNKNOWN = Advice("数据有问题", "a problem", "请联系网关管理员。", "Ask the gateway's administrator.")


def advice_on(code: str) -> Advice:
    """The advice on a problem's code; to ask the administrator where there is none."""
    return all_advice().get(code, _UNKNOWN)


@cache
def all_advice() -> Mapping[str, Advice]:
    """Every row by its code, in table order."""
    return {
        row["code"]: Advice(row["problem_zh"], row["problem_en"], row["advice_zh"], row["advice_en"])
        for row in read_table("advice.csv")
    }

"""Limits: which one applies where and when, and how a value stands to it.

    place      what a table of limits may know of a site
    table      the governed table (`limits@1`), one row for each value of each standard
    conditions what a limit asks of a place
    explain    which limit applies and why, and why no other does
    judge      a value against a limit, by full and by rounded value (GB/T 8170)
    sentences  the words of all that, Chinese and English

Nothing here decides what happens after an exceedance, and nothing reads a clock.
"""

from __future__ import annotations

from schemas.limits.explain import Considered, Explanation, explain
from schemas.limits.judge import Outcome, Verdict, judge
from schemas.limits.place import Place, water_class_named, zone_named
from schemas.limits.sentences import Sentence, described
from schemas.limits.table import Limit, Limits

__all__ = [
    "Considered",
    "Explanation",
    "Limit",
    "Limits",
    "Outcome",
    "Place",
    "Sentence",
    "Verdict",
    "described",
    "explain",
    "judge",
    "water_class_named",
    "zone_named",
]

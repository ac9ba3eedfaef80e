"""The shared-data plan: the document all parties countersign, and alone decides what flows (4-schema).

    document.py   bytes <-> value: the plain part of YAML, or JSON; RFC 8785 and its digest
    places.py     reading a value strictly, with JSON pointers, all faults at once
    reading.py    the value -> Plan
    model.py      Plan, Dataset, Selection: the decisions, pure and cheap
    advice.py     `plan check`: who gets what, and why a plan cannot be signed
    catalogue.py  the reasons that are law: what an entry of the catalogue states
    changes.py    `plan diff`: who gains and loses what with the next version, and whether notice was given
    wording.py    notes, and how they become sentences; sentences.py has these, in English and Chinese

A plan that parses is well formed; whether it may be signed, `check_plan` says. Nothing here knows who has signed it.
"""

from __future__ import annotations

from schemas.plan.advice import check_plan, explain
from schemas.plan.changes import Change, Effect, changes, short_of_notice
from schemas.plan.model import (
    Cadence,
    Campaign,
    Dataset,
    Plan,
    Rate,
    Reach,
    Recipient,
    Season,
    Selection,
    Threshold,
    Title,
)
from schemas.plan.reading import parse_plan
from schemas.plan.wording import Note

__all__ = [
    "Cadence",
    "Campaign",
    "Change",
    "Dataset",
    "Effect",
    "Note",
    "Plan",
    "Rate",
    "Reach",
    "Recipient",
    "Season",
    "Selection",
    "Threshold",
    "Title",
    "changes",
    "check_plan",
    "explain",
    "parse_plan",
    "short_of_notice",
]

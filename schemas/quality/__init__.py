"""Published checks on observations: what looks wrong is said, and nothing true is withheld.

    rules.py     what each rule says, and its parameters by the governed table `quality-rules`
    door.py      rules that need no history, for every submission and every partner's batch
    series.py    rules that look at the values before: frozen, jump, unit suspect, completeness; at the provider only

Pure: no clock, no store. A finding names the version of the table it was found by.
"""

from __future__ import annotations

from schemas.quality.door import DoorChecks
from schemas.quality.rules import CODES, RULES, Finding, QualityRules, Rule, as_document
from schemas.quality.series import Point, SeriesChecks

__all__ = ["CODES", "RULES", "DoorChecks", "Finding", "Point", "QualityRules", "Rule", "SeriesChecks", "as_document"]

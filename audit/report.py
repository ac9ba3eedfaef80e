"""What a verification found: one sentence for a lawyer, a row for each check, an exit code for a script.

The four outcomes are never confused. To say *tampering is proved* of evidence that is merely incomplete would be a
false accusation; to say *proved* of it, a false assurance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

SHOWN = 20  # findings of one row that are written out; the rest are counted


class Outcome(IntEnum):
    """What a check came to. The numbers are the exit codes of `taipu audit verify`."""

    PROVED = 0
    TAMPERED = 1  # what is here contradicts what was signed
    UNPROVED = 2  # nothing contradicts, but something is missing or withheld
    UNREADABLE = 3  # it cannot be read as evidence


# Proven tampering stands whatever else is wrong; what cannot be read weighs more than what is not there.
_GRAVITY = (Outcome.PROVED, Outcome.UNPROVED, Outcome.UNREADABLE, Outcome.TAMPERED)


def gravest(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of several together; of none, PROVED."""
    return max(outcomes, key=_GRAVITY.index, default=Outcome.PROVED)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in half a sentence that names the place."""

    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Row:
    """One check: what was looked at, how many, under whose key, what was found, and what it does not show."""

    number: int
    what: str
    count: int
    key: str
    findings: tuple[Finding, ...]
    not_shown: str

    @property
    def outcome(self) -> Outcome:
        return gravest(finding.outcome for finding in self.findings)


@dataclass(frozen=True)
class Report:
    """The rows of all checks that were made, in order, and the sentence that sums them up."""

    sentence: str
    rows: tuple[Row, ...]

    @property
    def exit_code(self) -> int:
        return int(gravest(row.outcome for row in self.rows))

    def as_json(self) -> str:
        """The report as a JSON text, for programs."""
        rows = [
            {
                "check": row.number,
                "what": row.what,
                "count": row.count,
                "key": row.key,
                "outcome": row.outcome.name.lower(),
                "findings": [
                    {"outcome": finding.outcome.name.lower(), "text": finding.text} for finding in row.findings[:SHOWN]
                ],
                "findings_total": len(row.findings),
                "not_shown": row.not_shown,
            }
            for row in self.rows
        ]
        report = {"sentence": self.sentence, "exit_code": self.exit_code, "rows": rows}
        return json.dumps(report, ensure_ascii=False, indent=2)

    def as_text(self) -> str:
        """The report as lines for a person."""
        lines = [self.sentence, ""]
        for row in self.rows:
            lines.append(f"{row.number:>2}  {row.outcome.name:<10}  {row.count:>9,}  {row.what}  [{row.key}]")
            lines += [f"      {finding.text}" for finding in row.findings[:SHOWN]]
            if len(row.findings) > SHOWN:
                lines.append(f"      and {len(row.findings) - SHOWN:,} more")
            lines.append(f"      does not show: {row.not_shown}")
        return "\n".join(lines) + "\n"


def unreadable(detail: str) -> Report:
    """The report on something that is no evidence at all."""
    finding = Finding(Outcome.UNREADABLE, detail)
    row = Row(0, "reading the evidence", 0, "none", (finding,), "anything about the log")
    return Report(f"This cannot be read as evidence: {detail}.", (row,))

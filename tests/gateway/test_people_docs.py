"""`docs/people.md` says of roles what the program does."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.people.changes import LONGEST_VISIT
from gateway.people.enrolment import LIFE
from gateway.people.passwords import AT_ONCE, SHORTEST, WAITING
from gateway.people.roles import CONFLICTS, MAY, NAMES, ROLES
from gateway.people.tries import BURST, FREE, LONGEST_DELAY
from gateway.proposals import LIFE as PROPOSAL_LIFE

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "people.md").read_text()
DAY = 24 * 3_600_000


def test_the_table_of_roles_is_what_the_program_lets_each_do() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{role}` | {' '.join(NAMES[role])} | {' '.join(f'`{one}`' for one in sorted(MAY[role]))} |"
        for role in ROLES
    ]
    assert rows == expected


def test_the_pairs_that_are_kept_apart_are_those() -> None:
    (sentence,) = re.findall(r"Nobody holds together: (.*?)\.", TEXT)
    first, second, third = sentence.split("; ")
    said = {frozenset(re.findall(r"`(\w+)`", first))}
    audit, *others = re.findall(r"`(\w+)`", second)
    said |= {frozenset((audit, other)) for other in others}
    assert third == "`visitor` and anything else"
    said |= {frozenset(("visitor", role)) for role in ROLES if role != "visitor"}
    assert said == CONFLICTS


def test_the_figures_are_those_of_the_program() -> None:
    assert (LIFE, PROPOSAL_LIFE, LONGEST_VISIT) == (DAY, 3 * DAY, 90 * DAY)
    assert (SHORTEST, FREE, LONGEST_DELAY, BURST) == (12, 5, 15 * 60_000, 30)
    assert (AT_ONCE, WAITING) == (2, 8)

"""What looks odd in a parcel, found at the door by the rules that need no history. Nothing is refused for it.

What is found about a value is kept with it and travels; what is found about a site is told to whoever handed it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.db import WriteSession
from gateway.ingest.parcel import Item, Problem
from gateway.ingest.tally import Tally
from gateway.store.acts import Act
from gateway.store.findings import Found, add_findings
from gateway.store.observations import Key, Row, Taken
from schemas.outlines import Outlines
from schemas.positions import check_position
from schemas.quality import DoorChecks, Finding
from schemas.records import Observation, Site, Statement
from schemas.tables import Tables

Findings = tuple[Finding, ...]


class DoorRules:
    """The rules in force, made once for each version of them; and the districts' outlines, where there are some."""

    def __init__(self, home: str, outlines: Outlines | None) -> None:
        self._home = home
        self._outlines = outlines
        self._made: tuple[Tables, DoorChecks] | None = None  # of the tables last in force

    def misplaced(self, statements: Sequence[tuple[Item, Statement]]) -> Iterator[Problem]:
        """What is odd about where sites say they are: they still measure."""
        for item, record in statements:
            if isinstance(record, Site) and record.position is not None:
                for found in check_position(record, self._outlines):
                    yield Problem(item.place, "noted", found.code, found.detail, found.pointers)

    def check(self, items: Sequence[Item], tables: Tables, now: int) -> dict[int, Findings]:
        """What is odd about values, by position in `items`; what is in order is absent. `now` in ms UTC."""
        if self._made is None or self._made[0] is not tables:
            self._made = (tables, DoorChecks(tables))
        checks = self._made[1]
        found: dict[int, Findings] = {}
        places: list[int] = []
        observations: list[Observation] = []
        for position, item in enumerate(items):
            record = item.record
            if isinstance(record, Observation):
                places.append(position)
                observations.append(record)
                if findings := checks.check(record, now=now):
                    found[position] = findings
        for place, finding in checks.check_together(observations):
            found[places[place]] = (*found.get(places[place], ()), finding)
        return found

    def keep(
        self, session: WriteSession, judged: Sequence[tuple[Item, Row, Findings]], taken: Taken, act: Act, tally: Tally
    ) -> None:
        """What came with the lines is kept as their provider's; what our rules add is told to whoever handed them in.

        A line may come again for its findings alone: then it is a duplicate, and they are what is new.
        """
        new = {**taken.accepted, **taken.revised}
        found: list[Found] = []
        for position, (item, row, findings) in enumerate(judged):
            given = item.record.findings if isinstance(item.record, Observation) else ()
            if not (given or findings):
                continue
            rev = new.get(position)
            if rev is not None:  # otherwise it was judged when it first came
                key = Key(*row.key, rev)
                for rule, detail, reference in findings:
                    if act.submitted or rule not in given:
                        tally.problems.append(Problem(item.place, "noted", f"quality.{rule}", detail))
                        found.append(Found(key, rule, self._home, reference, detail, act.at))
            if rev is not None or (position in taken.duplicates and not act.submitted):
                key = Key(*row.key, rev or row.rev)
                found += [Found(key, rule, act.provider, "", "", act.at) for rule in given]
        if found:
            add_findings(session, found)

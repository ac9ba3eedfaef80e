"""How a case goes: which state may follow which, who may bring it about, and within what time an answer is owed.

The table is `data/case-states.csv`, a governed table; a row says of one type of case that `state` may follow any of
`follows` (none: it opens the case) and by whom: the party that opened it, one it was addressed to, or either. `within`
is how long the other side then has: `10wd` working days, or an ISO 8601 duration. A drill goes exactly as a warning
does and never becomes one.

Pure: the steps taken so far are given by the caller, in the order of their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast, get_args

from schemas.errors import RecordError
from schemas.records.case import Case, CaseType
from schemas.tables import FIRST_ROW, Row, Table, TableError, faulty_rows, read_each

Actor = Literal["opener", "addressee", "either"]
_WITHIN = re.compile(r"[1-9]\d?wd|P(?=.)(?:\d+D)?(?:T\d+H)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class State:
    """One state of one type of case. `follows` empty: it opens the case. `within` empty: nothing is owed in it."""

    type: str
    state: str
    follows: frozenset[str]
    by: Actor
    within: str
    title_zh: str
    title_en: str
    source: str

    @property
    def opens(self) -> bool:
        return not self.follows


_COLUMNS = ("type", "state", "follows", "by", "within", "title_zh", "title_en", "source")


class CaseStates:
    """The states of cases in one version of the table, by type of case.

    Raises:
        TableError: a row is malformed, a type has a state twice, or a state follows one that its type does not have.
    """

    table: ClassVar[str] = "case-states"

    def __init__(self, table: Table) -> None:
        self.reference = table.reference
        self._states: dict[tuple[str, str], State] = {}
        states = read_each(table, _COLUMNS, _state)
        faults: list[tuple[int, str]] = []
        for number, state in enumerate(states, FIRST_ROW):
            if self._states.setdefault((state.type, state.state), state) is not state:
                faults.append((number, f"{state.type} has {state.state} twice"))
        for number, state in enumerate(states, FIRST_ROW):
            faults += [
                (number, f"{state.state} follows {name}, which {state.type} does not have")
                for name in sorted(state.follows)
                if (state.type, name) not in self._states
            ]
        if faults:
            raise faulty_rows(table.name, faults)

    def find(self, type_: str, state: str) -> State | None:
        """The row of one state, None where that type of case does not have it."""
        return self._states.get((type_, state))

    def of(self, type_: str) -> Mapping[str, State]:
        """Every state of one type, in the table's order."""
        return {state.state: state for state in self._states.values() if state.type == type_}

    def is_over(self, type_: str, state: str) -> bool:
        """Whether nothing can follow."""
        return not any(state in other.follows for other in self.of(type_).values())

    def check_step(self, step: Case, before: Sequence[Case]) -> None:
        """That `step` may be taken after the steps `before`, which are of the same case and in order.

        Raises:
            RecordError: `case.state-unknown`, `case.step-wrong` (number or type), `case.transition-illegal` (the state
                cannot follow), `case.actor-wrong` (not by this party), each with what would be right.
        """
        row = self.find(step.type, step.state)
        if row is None:
            known = ", ".join(self.of(step.type))
            raise RecordError(
                f"a {step.type} has these states: {known}", code="case.state-unknown", pointers=["/state"]
            )
        _check_number(step, before)
        if not before:
            if not row.opens:
                message = f"a {step.type} does not begin as {step.state}"
                raise RecordError(message, code="case.transition-illegal", pointers=["/state"])
            return
        last = before[-1]
        if last.state not in row.follows:
            after = ", ".join(one.state for one in self.of(step.type).values() if last.state in one.follows)
            message = f"after {last.state} a {step.type} is {after}" if after else f"this {step.type} is over"
            raise RecordError(message, code="case.transition-illegal", pointers=["/state"])
        _check_actor(row, step, before)


def _check_number(step: Case, before: Sequence[Case]) -> None:
    expected = before[-1].step + 1 if before else 1
    if step.step != expected:
        raise RecordError(f"step {expected} comes next", code="case.step-wrong", pointers=["/step"])
    if before and step.type != before[0].type:
        raise RecordError(f"this case is a {before[0].type}", code="case.step-wrong", pointers=["/type"])


def _check_actor(row: State, step: Case, before: Sequence[Case]) -> None:
    opener = before[0].from_
    addressed = {party for one in before for party in one.to} - {opener}
    allowed = {"opener": {opener}, "addressee": addressed, "either": {opener} | addressed}[row.by]
    if step.from_ not in allowed:
        message = f"{row.state} is for {', '.join(sorted(allowed)) or 'nobody'} to say"
        raise RecordError(message, code="case.actor-wrong", pointers=["/from"])


def _state(row: Row) -> State:
    if row["type"] not in get_args(CaseType):
        raise TableError(f"{row['type'][:40]!r} is not a type of case")
    if row["by"] not in get_args(Actor):
        raise TableError(f"`by` is one of {', '.join(get_args(Actor))}")
    if row["within"] and _WITHIN.fullmatch(row["within"]) is None:
        raise TableError("`within` is working days (10wd) or a duration (PT2H)")
    if not (row["state"] and row["title_zh"] and row["source"]):
        raise TableError("a state has a name, a Chinese title and a source")
    return State(
        type=row["type"],
        state=row["state"],
        follows=frozenset(filter(None, row["follows"].split("|"))),
        by=cast("Actor", row["by"]),
        within=row["within"],
        title_zh=row["title_zh"],
        title_en=row["title_en"],
        source=row["source"],
    )

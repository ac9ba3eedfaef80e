"""The states of a case: who may bring which about, and what may follow."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from schemas.cases import CaseStates
from schemas.errors import RecordError
from schemas.records import Case
from schemas.records.case import CaseType
from schemas.tables import Table, TableError, shipped

STATES = CaseStates(shipped("case-states"))
OPENER, ADDRESSEE, STRANGER = "320509", "330421", "310118"


def steps(type_: str, *taken: tuple[str, str]) -> list[Case]:
    """Steps of one case: who took each, and the state after it."""
    return [
        Case(
            case="c-1", step=number, type=type_, from_=party, to=(ADDRESSEE if party == OPENER else OPENER,),  # type: ignore[arg-type]
            state=state, at="2026-11-20T12:00:00+08:00",
        )
        for number, (party, state) in enumerate(taken, 1)
    ]  # fmt: skip


def refusal(type_: str, *taken: tuple[str, str]) -> str:
    *before, last = steps(type_, *taken)
    with pytest.raises(RecordError) as caught:
        STATES.check_step(last, before)
    return caught.value.code


WALKS = {
    "warning": [(OPENER, "opened"), (ADDRESSEE, "acknowledged"), (OPENER, "updated"), (OPENER, "ended")],
    "drill": [(OPENER, "opened"), (ADDRESSEE, "acknowledged"), (OPENER, "ended")],
    "information": [(OPENER, "sent"), (ADDRESSEE, "acknowledged"), (OPENER, "closed")],
    "search": [(OPENER, "opened"), (ADDRESSEE, "answered"), (OPENER, "ended")],
    "challenge": [(OPENER, "opened"), (ADDRESSEE, "verifying"), (ADDRESSEE, "corrected"), (OPENER, "closed")],
    "dispute": [(OPENER, "opened"), (ADDRESSEE, "negotiating"), (OPENER, "mediating"), (ADDRESSEE, "settled"),
                (OPENER, "closed")],
    "referral": [(OPENER, "sent"), (ADDRESSEE, "received"), (ADDRESSEE, "accepted"), (ADDRESSEE, "investigating"),
                 (ADDRESSEE, "result"), (OPENER, "closed")],
    "access-request": [(OPENER, "requested"), (ADDRESSEE, "completing"), (OPENER, "completed"),
                       (ADDRESSEE, "extended"), (ADDRESSEE, "approved"), (ADDRESSEE, "delivered"), (OPENER, "closed")],
}  # fmt: skip


def test_every_type_of_case_has_a_walk_here() -> None:
    assert set(WALKS) == set(get_args(CaseType)) == {type_ for type_ in get_args(CaseType) if STATES.of(type_)}


@pytest.mark.parametrize("type_", WALKS)
def test_a_case_goes_from_its_opening_to_its_end(type_: str) -> None:
    walk = steps(type_, *WALKS[type_])
    for number, step in enumerate(walk):
        STATES.check_step(step, walk[:number])
    assert not any(STATES.is_over(type_, step.state) for step in walk[:-1])
    assert STATES.is_over(type_, walk[-1].state)


@pytest.mark.parametrize("type_", WALKS)
def test_every_state_can_be_reached_and_every_case_can_end(type_: str) -> None:
    states = STATES.of(type_)
    reached = {name for name, state in states.items() if state.opens}
    assert len(reached) == 1
    for _ in states:
        reached |= {name for name, state in states.items() if state.follows & reached}
    assert reached == set(states)
    ends = {name for name in states if STATES.is_over(type_, name)}
    for _ in states:
        ends |= {name for name in states if any(name in states[end].follows for end in ends)}
    assert ends == set(states)


@pytest.mark.parametrize(
    ("type_", "taken", "code"),
    [
        ("warning", [(OPENER, "acknowledged")], "case.transition-illegal"),
        ("warning", [(OPENER, "opened"), (OPENER, "acknowledged")], "case.actor-wrong"),
        ("warning", [(OPENER, "opened"), (ADDRESSEE, "ended")], "case.actor-wrong"),
        ("warning", [(OPENER, "opened"), (STRANGER, "acknowledged")], "case.actor-wrong"),
        ("warning", [(OPENER, "opened"), (OPENER, "ended"), (OPENER, "updated")], "case.transition-illegal"),
        ("warning", [(OPENER, "burning")], "case.state-unknown"),
        ("referral", [(OPENER, "sent"), (ADDRESSEE, "returned"), (ADDRESSEE, "accepted")], "case.transition-illegal"),
        ("access-request", [(OPENER, "requested"), (ADDRESSEE, "completing"), (OPENER, "completed"),
                            (ADDRESSEE, "completing")], "case.transition-illegal"),
        ("challenge", [(OPENER, "opened"), (OPENER, "confirmed")], "case.actor-wrong"),
    ],
)  # fmt: skip
def test_a_step_that_may_not_be_taken_is_refused(type_: str, taken: list[tuple[str, str]], code: str) -> None:
    assert refusal(type_, *taken) == code


def test_numbers_follow_each_other_and_a_case_keeps_its_type() -> None:
    first, second = steps("warning", (OPENER, "opened"), (ADDRESSEE, "acknowledged"))
    for wrong, before in ((second, []), (first, [first]), (steps("drill", (OPENER, "opened"))[0], [first])):
        with pytest.raises(RecordError) as caught:
            STATES.check_step(wrong, before)
        assert caught.value.code == "case.step-wrong"


def test_a_drill_goes_exactly_as_a_warning_does() -> None:
    def shape(type_: str) -> dict[str, tuple[frozenset[str], str]]:
        return {name: (state.follows, state.by) for name, state in STATES.of(type_).items()}

    assert shape("drill") == shape("warning")


def changed(row: int, **members: str) -> Table:
    table = shipped("case-states")
    rows = list(table.rows)
    rows[row] = {**rows[row], **members}
    return replace(table, rows=tuple(rows))


@pytest.mark.parametrize(
    ("members", "row"),
    [
        ({"type": "quarrel"}, 3), ({"by": "everybody"}, 3), ({"within": "soon"}, 3), ({"follows": "asleep"}, 3),
        ({"title_zh": ""}, 3), ({"source": ""}, 3), ({"state": "opened"}, 3),
    ],
)  # fmt: skip
def test_a_malformed_table_is_refused_with_its_row(members: dict[str, str], row: int) -> None:
    with pytest.raises(TableError) as caught:
        CaseStates(changed(1, **members))
    assert f"row {row}" in caught.value.pointers

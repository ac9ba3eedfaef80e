"""In force or lapsed: what follows from what was published by when, case by case."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.agreements.deciding import TOLERATED_SKEW, Evidence, conclude
from partners.agreements import Act
from partners.plans import Known
from schemas.plan import parse_plan
from schemas.records import Agreement
from tests.world import JIASHAN, SITES, WUJIANG, plan_document

PLAN = parse_plan(json.dumps(json.loads(plan_document(SITES)) | {"lead": "PT1H"}).encode())
KNOWN = Known(PLAN, WUJIANG, 0, None, "")
EFFECTIVE, DEADLINE = KNOWN.effective, KNOWN.deadline
LOOKED_TOO_LATE = EFFECTIVE + TOLERATED_SKEW + 1
NOTHING = Evidence(completion=None, lapse=None, signed=True, given_out=True, looked=0)


def act(name: str, created: int | None, seen: int = 0) -> Act:
    record = Agreement(
        plan=PLAN.id, version=1, party=WUJIANG, act=name, digest=PLAN.digest, at="2025-12-01T00:00:00Z"  # type: ignore[arg-type]
    )  # fmt: skip
    return Act(record, "m" if created is not None else None, created, seen)


IN_TIME = replace(NOTHING, completion=act("completion", DEADLINE))
LATE_LEARNER = replace(NOTHING, completion=act("completion", DEADLINE, seen=EFFECTIVE + 1))
LAPSE = act("lapse", DEADLINE + 1)

CASES = {
    "nothing yet": (JIASHAN, NOTHING, DEADLINE + 1, None),
    "cut off at the instant and long after": (JIASHAN, NOTHING, EFFECTIVE + 10**9, None),
    "not signed here, to the deadline": (JIASHAN, replace(NOTHING, signed=False), DEADLINE, None),
    "not signed here, after it": (JIASHAN, replace(NOTHING, signed=False), DEADLINE + 1, "not-signed-here"),
    "the proposer says that it lapsed": (JIASHAN, replace(NOTHING, lapse=LAPSE), DEADLINE + 2, "said-by-proposer"),
    "all signed, at the deadline": (JIASHAN, IN_TIME, DEADLINE, "signed-by-all"),
    "all signed, a millisecond late": (
        JIASHAN, replace(NOTHING, completion=act("completion", DEADLINE + 1)), DEADLINE + 1, "signed-too-late",
    ),
    "learnt after the instant, more may follow": (JIASHAN, LATE_LEARNER, EFFECTIVE + 1, None),
    "learnt after the instant, all taken": (
        JIASHAN, replace(LATE_LEARNER, looked=EFFECTIVE + 1), EFFECTIVE + 2, "signed-by-all",
    ),
    "learnt after the instant, and that the proposer let it lapse": (
        JIASHAN, replace(LATE_LEARNER, looked=EFFECTIVE + 1, lapse=LAPSE), EFFECTIVE + 2, "said-by-proposer",
    ),
    "looked after the instant, within the skew of clocks": (
        JIASHAN, replace(NOTHING, looked=LOOKED_TOO_LATE - 1), LOOKED_TOO_LATE, None,
    ),
    "looked after the instant, and nothing there": (
        JIASHAN, replace(NOTHING, looked=LOOKED_TOO_LATE), LOOKED_TOO_LATE, "not-seen-in-time",
    ),
    "the proposer, to the deadline": (WUJIANG, NOTHING, DEADLINE, None),
    "the proposer, after it": (WUJIANG, NOTHING, DEADLINE + 1, "not-signed-by-all"),
    "the proposer, its completion not out": (
        WUJIANG, replace(NOTHING, completion=act("completion", None)), DEADLINE + 1, "not-signed-by-all",
    ),
    "the proposer, not yet pinned": (WUJIANG, replace(IN_TIME, given_out=False), EFFECTIVE + 1, None),
    "the proposer, pinned": (WUJIANG, IN_TIME, EFFECTIVE, "signed-by-all"),
    "the proposer, pinned after the instant": (WUJIANG, IN_TIME, EFFECTIVE + 1, "given-out-too-late"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_gateway_concludes_just_this(name: str) -> None:
    home, evidence, now, ground = CASES[name]
    found = conclude(KNOWN, evidence, home=home, now=now)
    assert (found.ground if found else None) == ground
    if found is not None:
        assert (found.verdict == "in-force") == (ground == "signed-by-all")

"""In force or lapsed: what follows from what was published by when, concluded once by every gateway for itself.

A version comes into force at its instant if its proposer's batch with all signatures was made its `lead` before. So
that no gateway concludes otherwise than the others, each rests on that batch, whose instant is signed:

- Whoever has it before the instant knows: its proposer gave it out before.
- Whoever gets it later, because it was cut off, takes all there is of the proposer's feed first. A proposer that had
  not given it out before the instant, after a crash, says there that the version lapsed.
- Whoever saw all of the proposer's feed after the instant, and not that batch in it, knows that there is none, whatever
  a later one claims: that is backdated, and evidence.
- Whoever did not sign by the deadline knows that nobody can have all signatures.

Until then a proposal is undecided, and from its instant on nothing is published under its plan here.
"""

from __future__ import annotations

from dataclasses import dataclass

from partners.agreements import Act
from partners.plans import Known, Verdict

TOLERATED_SKEW = 60_000  # ms that clocks may differ


@dataclass(frozen=True)
class Evidence:
    """What this gateway has of one version, as far as it was published.

    `signed`: it has signed itself. `given_out`: its own feed is served to its end. `looked`: when (ms UTC) it last had
    all of the proposer's feed.
    """

    completion: Act | None
    lapse: Act | None
    signed: bool
    given_out: bool
    looked: int


@dataclass(frozen=True)
class Conclusion:
    """What became of a version, on which ground, and the act that decided it."""

    verdict: Verdict
    ground: str
    act: Act | None = None


def conclude(known: Known, evidence: Evidence, *, home: str, now: int) -> Conclusion | None:
    """What the gateway of `home` must conclude at `now` (ms UTC), None where it cannot yet."""
    if evidence.completion is not None and evidence.completion.created is not None:
        return _completed(known, evidence.completion, evidence, home=home, now=now)
    if known.proposer == home:
        return Conclusion("lapsed", "not-signed-by-all") if now > known.deadline or evidence.lapse else None
    if evidence.lapse is not None:
        return Conclusion("lapsed", "said-by-proposer", evidence.lapse)
    if not evidence.signed and now > known.deadline:
        return Conclusion("lapsed", "not-signed-here")
    if evidence.looked > known.effective + TOLERATED_SKEW:
        return Conclusion("lapsed", "not-seen-in-time")
    return None


def _completed(known: Known, completion: Act, evidence: Evidence, *, home: str, now: int) -> Conclusion | None:
    assert completion.created is not None
    if completion.created > known.deadline:
        return Conclusion("lapsed", "signed-too-late", completion)
    in_force = Conclusion("in-force", "signed-by-all", completion)
    if known.proposer == home:
        if not evidence.given_out:
            return None
        return in_force if now <= known.effective else Conclusion("lapsed", "given-out-too-late", completion)
    if completion.seen <= known.effective:
        return in_force
    if evidence.looked < completion.seen:
        return None
    return Conclusion("lapsed", "said-by-proposer", evidence.lapse) if evidence.lapse else in_force

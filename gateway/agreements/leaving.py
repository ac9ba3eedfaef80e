"""How a party leaves a plan: alone, with the plan's notice, and to the end.

A withdrawal names its instant. From then on what the party gave and got ends: what is queued has left before, and
nothing is added. Cases go on until they are closed. Then both sides say how many batches of each feed between them they
hold, with the RFC 6962 root over their manifest hashes, and compare; and who leaves certifies what it destroyed of what
it had received. With that its access ends, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from audit.form import DISPOSAL, PLAN_WITHDRAWN
from audit.merkle import leaf_hash, root_of
from gateway.agreements.acts import act_of, find_version, log_act, say, wake
from gateway.db import ReadSession, WriteSession
from gateway.errors import ConflictError
from gateway.people.person import Person
from gateway.proposals import Kind, Proposal, propose_within
from gateway.service import Gateway
from gateway.store import feeds
from gateway.store.records import open_cases
from partners.agreements import Act, acts_of, find_act, last_look
from partners.delivery import count_pending
from partners.plans import Known, Plans, known_plans, plans_in_force
from schemas import jws
from schemas.cases import CaseStates
from schemas.errors import PlanError, RecordError
from schemas.plan import Dataset, Plan
from schemas.records import Agreement, Disposed, Figure
from schemas.times import BEIJING, beijing_text, millis_of, to_millis


@dataclass(frozen=True)
class Difference:
    """A feed of which the two sides' last figures differ; None where a side has no figure of it."""

    provider: str
    dataset: str
    recipient: str
    ours: Figure | None
    theirs: Figure | None


def check_withdrawal(session: ReadSession, plan: Plan, record: Agreement, *, at: int) -> None:
    """That a party may leave `plan` as `record` says, told at the instant `at` (ms UTC).

    Raises:
        PlanError: `plan.not-party`, `plan.withdrawn`, `plan.undecided`, `plan.notice-short`.
    """
    if record.digest != plan.digest or record.party not in plan.parties:
        raise PlanError("it is not about a version that names this party", code="plan.not-party")
    if find_act(session, plan.id, plan.version, record.party, "withdrawal") is not None:
        raise PlanError(f"{record.party} has withdrawn from {plan.id} already", code="plan.withdrawn")
    earliest = millis_of(plan.notice.after(datetime.fromtimestamp(at / 1000, UTC).astimezone(BEIJING)))
    if to_millis(record.effective) < earliest:
        detail = f"with the plan's notice that is possible from {beijing_text(earliest)}"
        raise PlanError(detail, code="plan.notice-short", pointers=["/effective"])


def propose_withdrawal(gateway: Gateway, plan: str, *, effective: int, by: Person, reason: str, now: int) -> Proposal:
    """Propose to leave a plan at the instant `effective` (ms UTC); the data authority approves. Raises as `_leave`."""
    with gateway.database.write() as session:
        known = _leavable(session, plan)
        content = {"digest": known.plan.digest, "effective": beijing_text(effective), "text": reason}
        check_withdrawal(session, known.plan, _withdrawal(gateway, known.plan, content, now), at=now)
        return propose_within(
            gateway, session, WITHDRAWAL, known.plan.reference, content, by=by, reason=reason, now=now
        )  # fmt: skip


def _leave(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    """Raises PlanError as `check_withdrawal` (the notice counts from the approval), ConflictError `plan.changed`."""
    id_, _, version = proposal.subject.rpartition("@")
    known = _leavable(session, id_)
    if known.plan.version != int(version):
        raise ConflictError(f"{known.plan.reference} has come since", code="plan.changed")
    record = _withdrawal(gateway, known.plan, proposal.content, now)
    check_withdrawal(session, known.plan, record, at=now)
    say(gateway, session, record, now=now)
    log_act(gateway, session, PLAN_WITHDRAWN, known.plan, now=now, by=by, effective=record.effective)


def _withdrawal(gateway: Gateway, plan: Plan, content: object, now: int) -> Agreement:
    said = dict(content)  # type: ignore[call-overload]
    return msgspec.structs.replace(
        act_of(gateway, plan, "withdrawal", now=now), effective=said["effective"], text=said["text"]
    )  # fmt: skip


def _leavable(session: ReadSession, plan: str) -> Known:
    """The newest version that was decided to be in force.

    Raises:
        NotFoundError: `plan.unknown`.
        ConflictError: `plan.undecided`: what this party may have signed has to be decided first.
    """
    versions = known_plans(session, plan)
    waiting = next((one for one in versions if one.verdict is None), None)
    if waiting is not None:
        raise ConflictError(f"{waiting.plan.reference} has to be decided first", code="plan.undecided")
    decided = next((one for one in reversed(versions) if one.verdict == "in-force"), None)
    return decided or find_version(session, plan, 0)


def dispose(gateway: Gateway, plan: str, disposed: Sequence[Disposed], *, text: str = "", by: Person, now: int) -> None:
    """Certify what this party, which has left the plan, destroyed of what it had received. `now` in ms UTC.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        ConflictError: `plan.not-withdrawn`, `plan.cases-open`, `plan.not-reconciled`, or it was certified already.
        RecordError: `agreement.disposal-wrong`: a dataset is missing, or one that it never received is named.
    """
    by.require("plan.sign")
    with gateway.database.write() as session:
        withdrawal = _own_withdrawal(session, gateway.party, plan, now)
        known = find_version(session, plan, withdrawal.record.version)
        if open_cases(session, gateway.party, known.plan.parties, gateway.governed.at(now)[CaseStates]):
            raise ConflictError("cases with the others are still open", code="plan.cases-open")
        others = set(known.plan.parties) - {gateway.party}
        reconciled = {act.record.party for act in acts_of(session, plan, "reconciliation", version=known.plan.version)}
        if not {gateway.party, *others} <= reconciled:
            missing = ", ".join(sorted({gateway.party, *others} - reconciled))
            raise ConflictError(f"without the last figures of {missing}", code="plan.not-reconciled")
        _check_disposed(_plans_before(session, withdrawal), plan, gateway.party, disposed)
        certificate = msgspec.structs.replace(
            act_of(gateway, known.plan, "disposal", now=now), disposed=tuple(disposed), text=text
        )  # fmt: skip
        say(gateway, session, certificate, now=now)
        counts = {f"{one.provider}/{one.dataset}": one.count for one in disposed}
        log_act(gateway, session, DISPOSAL, known.plan, now=now, by=by, destroyed=counts)
    wake(gateway)


def _check_disposed(plans: Plans, plan: str, party: str, disposed: Sequence[Disposed]) -> None:
    received = {(one.provider, one.id) for one in _of_plan(plans, plan) if one.received_by(party)}
    named = [(one.provider, one.dataset) for one in disposed]
    if set(named) != received or len(named) != len(received):
        wanted = ", ".join("/".join(one) for one in sorted(received))
        detail = f"a certificate names each dataset received once: {wanted}"
        raise RecordError(detail, code="agreement.disposal-wrong", pointers=["/disposed"])


def reconcile_due(gateway: Gateway, *, now: int) -> None:
    """Say our last figures where a party has left, all is delivered and no case is open. For a duty."""
    with gateway.database.read() as session:
        due = [one for one in _withdrawals(session, now) if _is_due(gateway, session, one, now)]
    for withdrawal in due:
        with gateway.database.write() as session:
            if _is_due(gateway, session, withdrawal, now):
                known = find_version(session, withdrawal.record.plan, withdrawal.record.version)
                record = msgspec.structs.replace(
                    act_of(gateway, known.plan, "reconciliation", now=now),
                    feeds=tuple(own_figures(session, gateway.party, withdrawal)),
                )  # fmt: skip
                say(gateway, session, record, now=now)
        wake(gateway)


def own_figures(session: ReadSession, home: str, withdrawal: Act) -> list[Figure]:
    """The feeds between the party that leaves and the others, as `home` holds them: those it gave and those it got."""
    plans, leaving = _plans_before(session, withdrawal), withdrawal.record.party
    until = to_millis(withdrawal.record.effective)
    figures = []
    for dataset in _of_plan(plans, withdrawal.record.plan):
        for recipient in (one.party for one in dataset.recipients):
            if leaving in (dataset.provider, recipient) and home in (dataset.provider, recipient):
                own = dataset.provider == home
                since = plans.start(dataset.provider, dataset.id, recipient) if own else None
                last = until if own and dataset.kind != "case" else None
                hashes = sorted(feeds.manifest_hashes(session, dataset.provider, dataset.id, since=since, until=last))
                root = jws.b64encode(root_of(leaf_hash(jws.b64decode(one)) for one in hashes))
                figures.append(Figure(dataset.provider, dataset.id, recipient, len(hashes), root))
    return figures


def differences(session: ReadSession, home: str, withdrawal: Act, other: str) -> list[Difference]:
    """Where the last figures of `other` and ours differ, feed by feed; empty where all are equal."""
    record = withdrawal.record
    theirs_act = find_act(session, record.plan, record.version, other, "reconciliation")
    given = theirs_act.record.feeds if theirs_act else ()
    theirs, ours = (
        {
            (one.provider, one.dataset, one.recipient): one
            for one in figures
            if {one.provider, one.recipient} == {home, other}
        }
        for figures in (given, own_figures(session, home, withdrawal))
    )
    return [
        Difference(*key, ours.get(key), theirs.get(key))
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def _is_due(gateway: Gateway, session: ReadSession, withdrawal: Act, now: int) -> bool:
    """Whether our last figures are still to be said and nothing can change them any more."""
    record, home = withdrawal.record, gateway.party
    if find_act(session, record.plan, record.version, home, "reconciliation") is not None:
        return False
    plans = _plans_before(session, withdrawal)
    others = {record.party} if home != record.party else set(_parties(plans, record.plan)) - {home}
    if open_cases(session, home, others, gateway.governed.at(now)[CaseStates]):
        return False
    between = [
        one for one in _of_plan(plans, record.plan)
        if (one.provider == home and any(one.received_by(other) for other in others))
        or (one.provider in others and one.received_by(home))
    ]  # fmt: skip
    drained = plans_in_force(session, now).drained
    for dataset in between:
        if dataset.provider == home:
            # What ended for one recipient of several can no longer be fetched; the figures will tell.
            if (home, dataset.id) in drained and any(count_pending(session, dataset.id, other) for other in others):
                return False
        elif last_look(session, dataset.provider, dataset.id) < to_millis(record.effective):
            return False
    return True


def watched_feeds(session: ReadSession, home: str, provider: str, *, now: int) -> set[str]:
    """The feeds of `provider` of which it matters that we have all: of parties that leave, before the last figures."""
    found: set[str] = set()
    for withdrawal in _withdrawals(session, now):
        record = withdrawal.record
        if find_act(session, record.plan, record.version, home, "reconciliation") is None:
            plans = _plans_before(session, withdrawal)
            if record.party in (home, provider):
                found |= {one.id for one in _of_plan(plans, record.plan) if one.provider == provider}
    return found


def _withdrawals(session: ReadSession, now: int) -> list[Act]:
    """Those whose instant has come."""
    found = []
    for id_ in {one.plan.id for one in known_plans(session)}:
        found += [act for act in acts_of(session, id_, "withdrawal") if to_millis(act.record.effective) <= now]
    return found


def _own_withdrawal(session: ReadSession, home: str, plan: str, now: int) -> Act:
    for act in reversed(acts_of(session, plan, "withdrawal")):
        if act.record.party == home and to_millis(act.record.effective) <= now:
            return act
    raise ConflictError(f"this party has not left {plan}", code="plan.not-withdrawn")


def _plans_before(session: ReadSession, withdrawal: Act) -> Plans:
    return plans_in_force(session, to_millis(withdrawal.record.effective) - 1)


def _of_plan(plans: Plans, plan: str) -> list[Dataset]:
    return [dataset for one in plans.plans if one.id == plan for dataset in one.datasets]


def _parties(plans: Plans, plan: str) -> tuple[str, ...]:
    return next((one.parties for one in plans.plans if one.id == plan), ())


def _says(proposal: Proposal) -> str:
    return f"leave {proposal.subject} from {proposal.content['effective']} on: {proposal.content['text']}"


WITHDRAWAL = Kind("plan-withdrawal", "plan.propose", "plan.sign", _leave, lambda gateway, _: wake(gateway), _says)

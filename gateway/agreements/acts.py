"""What this gateway says about plans, in its own feeds of governance.

Every act enters by the one door, as a record of this party that no client can hand in, and leaves as a batch like any
other. A signature and a withdrawal take two persons: the head of the unit in charge confirms the party's entries by
proposing it, the data authority by approving (政务数据共享条例 art. 13, 16). Completing and lapsing are nobody's
choice: they follow.
"""

from __future__ import annotations

import msgspec

from audit.entry import make_entry
from audit.form import PLAN_IN_FORCE, PLAN_LAPSED, PLAN_PROPOSED, PLAN_SIGNED
from audit.log import append
from gateway.agreements.deciding import Conclusion, Evidence, conclude
from gateway.agreements.proposals import check_proposal
from gateway.db import ReadSession, WriteSession
from gateway.errors import ConflictError, NotFoundError
from gateway.ingest.parcel import Item, Parcel
from gateway.people.person import Person, actor_of
from gateway.proposals import Kind, Proposal, propose_within
from gateway.service import Gateway
from gateway.store import feeds
from gateway.store.acts import begin_act
from partners.agreements import acts_of, decide, find_act, keep_act, last_look, own_entries, sign_plan
from partners.plans import Known, check_fit, find_plan, governance_feed, keep_plan, known_plans, plans_in_force
from schemas.errors import PlanError
from schemas.plan import Plan, parse_plan
from schemas.records import Agreement, check_record, encode_record
from schemas.times import beijing_text, millis_of, utc_text


def say(gateway: Gateway, session: WriteSession, record: Agreement, *, now: int) -> None:
    """Do an act: the record through the door, and kept as ours until the batch is known that carries it."""
    check_record(record)
    content = encode_record(record)
    prepared = gateway.door.prepare(gateway.party, Parcel([Item("act", record, content)]), now=now)
    reference = f"{record.plan}@{record.version}/{record.act}"
    act = begin_act(session, "governance", gateway.party, reference, at=now, submitted=True)
    tally = gateway.door.take(session, prepared, act, plans_in_force(session, now))
    if tally.problems or not keep_act(session, record, seen=now):
        raise ConflictError(f"this party has said {record.act} of {record.plan}@{record.version} already")


def act_of(gateway: Gateway, plan: Plan, act: str, *, now: int) -> Agreement:
    """An act of this party about a version, to be completed with what its sort needs."""
    return Agreement(
        plan=plan.id, version=plan.version, party=gateway.party, act=act,  # type: ignore[arg-type]
        digest=plan.digest, at=beijing_text(now),
    )  # fmt: skip


def propose_plan(gateway: Gateway, document: bytes, *, by: Person, now: int) -> Plan:
    """Propose a version to the parties it names; nothing comes of it until all have signed. `now` in ms UTC.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        PlanError: it is no plan, or one that nobody could sign (`check_proposal`).
    """
    by.require("plan.propose")
    plan = parse_plan(document)
    with gateway.database.write() as session:
        check_proposal(session, plan, proposer=gateway.party, home=gateway.party, at=now)
        keep_plan(session, plan, proposer=gateway.party, now=now)
        proposal = msgspec.structs.replace(
            act_of(gateway, plan, "proposal", now=now), document=plan.canonical.decode()
        )  # fmt: skip
        say(gateway, session, proposal, now=now)
        log_act(gateway, session, PLAN_PROPOSED, plan, now=now, by=by)
    wake(gateway)
    return plan


def propose_signature(gateway: Gateway, plan: str, version: int, *, by: Person, reason: str = "", now: int) -> Proposal:
    """Confirm this party's entries of a proposed version, as the head of their unit; the data authority then approves.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        NotFoundError, ConflictError: as `_signable`.
        ProposalError: `proposal.open`, `proposal.reason-invalid`.
    """
    with gateway.database.write() as session:
        known = _signable(session, gateway.party, plan, version, now)
        content = {"digest": known.plan.digest, "entries": own_entries(known.plan, gateway.party)}
        return propose_within(
            gateway, session, SIGNATURE, known.plan.reference, content, by=by, reason=reason, now=now
        )  # fmt: skip


def _sign(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    id_, _, version = proposal.subject.rpartition("@")
    known = _signable(session, gateway.party, id_, int(version), now)
    plan = known.plan
    if plan.digest != proposal.content["digest"]:
        raise RuntimeError("a version never changes, so neither does its digest")
    token = sign_plan(gateway.keys.manifest, plan, gateway.party, now=now)
    signature = msgspec.structs.replace(act_of(gateway, plan, "signature", now=now), signatures=(token,))
    say(gateway, session, signature, now=now)
    log_act(gateway, session, PLAN_SIGNED, plan, now=now, by=by, entries=own_entries(plan, gateway.party))
    settle_version(gateway, session, known, now=now)


def _signable(session: ReadSession, home: str, plan: str, version: int, now: int) -> Known:
    """The version, where this party may sign it.

    Raises:
        NotFoundError: `plan.unknown`.
        ConflictError: `plan.decided`, `plan.signed`, `plan.too-late`, `plan.not-party`.
    """
    known = find_version(session, plan, version)
    if known.verdict is not None:
        raise ConflictError(f"{known.plan.reference} is {known.verdict} already", code="plan.decided")
    if home not in known.plan.parties:
        raise ConflictError("only a party that it names signs a plan", code="plan.not-party")
    if find_act(session, plan, version, home, "signature") is not None:
        raise ConflictError(f"this party has signed {known.plan.reference}", code="plan.signed")
    if now > known.deadline:
        raise ConflictError(f"signatures were due by {beijing_text(known.deadline)}", code="plan.too-late")
    return known


def find_version(session: ReadSession, plan: str, version: int) -> Known:
    """A version that is known here.

    Raises:
        NotFoundError: `plan.unknown`.
    """
    known = find_plan(session, plan, version)
    if known is None:
        raise NotFoundError("no such version of a plan is known here", code="plan.unknown")
    return known


def settle_version(gateway: Gateway, session: WriteSession, known: Known, *, now: int) -> bool:
    """Do what follows for an undecided version: complete it where all have signed, and conclude; whether it did."""
    if known.proposer == gateway.party:
        # Numbers and instants of our own feed are handed out under this lock: what is concluded is of all there is.
        feeds.lock_head(session, gateway.party, governance_feed(known.plan.id))
    completed = _complete(gateway, session, known, now)
    found = conclude(known, _evidence(gateway, session, known), home=gateway.party, now=now)
    if found is None:
        return completed
    decide(session, known, found.verdict, found.ground, act=found.act, now=now)
    _log_conclusion(gateway, session, known, found, now)
    said = find_act(session, known.plan.id, known.plan.version, gateway.party, "lapse") is not None
    if found.verdict == "lapsed" and known.proposer == gateway.party and not said:
        lapse = msgspec.structs.replace(act_of(gateway, known.plan, "lapse", now=now), text=found.ground)
        say(gateway, session, lapse, now=now)
    return True


def _complete(gateway: Gateway, session: WriteSession, known: Known, now: int) -> bool:
    """The proposer's act that carries every signature, made as soon as there are all of them."""
    plan = known.plan
    if known.proposer != gateway.party or now > known.deadline:
        return False
    if find_act(session, plan.id, plan.version, gateway.party, "completion") is not None:
        return False
    signed = {act.record.party: act.record for act in acts_of(session, plan.id, "signature", version=plan.version)}
    if not set(plan.parties) <= signed.keys():
        return False
    tokens = tuple(signed[party].signatures[0] for party in sorted(plan.parties))
    completion = msgspec.structs.replace(act_of(gateway, plan, "completion", now=now), signatures=tokens)
    say(gateway, session, completion, now=now)
    return True


def _evidence(gateway: Gateway, session: ReadSession, known: Known) -> Evidence:
    plan, feed = known.plan, governance_feed(known.plan.id)
    pinned = gateway.heads.feed_head(gateway.party, feed)
    return Evidence(
        completion=find_act(session, plan.id, plan.version, known.proposer, "completion"),
        lapse=find_act(session, plan.id, plan.version, known.proposer, "lapse"),
        signed=find_act(session, plan.id, plan.version, gateway.party, "signature") is not None,
        given_out=(pinned[0] if pinned else 0) >= feeds.head(session, gateway.party, feed).seq,
        looked=last_look(session, known.proposer, feed),
    )


def settle_versions(gateway: Gateway, *, now: int) -> None:
    """Whatever follows by now for versions that are not decided. For a duty: it is quick where there are none."""
    with gateway.database.read() as session:
        undecided = [one for one in known_plans(session) if one.verdict is None]
    for one in undecided:
        with gateway.database.write() as session:
            known = find_plan(session, one.plan.id, one.plan.version)
            changed = known is not None and known.verdict is None and settle_version(gateway, session, known, now=now)
        if changed:
            wake(gateway)


def _adopt(gateway: Gateway, session: WriteSession, proposal: Proposal, _by: Person, now: int) -> None:
    adopt_within(gateway, session, proposal.content["document"].encode(), now=now, first=True)


def propose_adoption(gateway: Gateway, document: bytes, *, by: Person, reason: str = "", now: int) -> Proposal:
    """Propose to record that a plan's first version was agreed outside the program, on paper say. Raises as `adopt`."""
    plan = parse_plan(document)
    with gateway.database.write() as session:
        _check_adoption(session, gateway.party, plan)
        content = {"digest": plan.digest, "document": plan.canonical.decode()}
        return propose_within(gateway, session, ADOPTION, plan.reference, content, by=by, reason=reason, now=now)


def adopt_within(gateway: Gateway, session: WriteSession, document: bytes, *, now: int, first: bool) -> Plan:
    """Keep a version that was agreed outside the program: in force from its instant on. With `first` only where nothing
    was decided of the plan before; without, for whoever founds a network for tests.

    Raises:
        PlanError: no plan, not fit to be signed, `plan.version-taken`, `plan.dataset-taken`, `plan.not-first`.
    """
    plan = parse_plan(document)
    if first:
        _check_adoption(session, gateway.party, plan)
    check_fit(session, plan)
    known = find_plan(session, plan.id, plan.version)
    if known is None:
        keep_plan(session, plan, proposer="", now=now)
        known = find_version(session, plan.id, plan.version)
    if known.verdict is None:
        adopted = Conclusion("in-force", "adopted")
        decide(session, known, adopted.verdict, adopted.ground, now=now)
        _log_conclusion(gateway, session, known, adopted, now)
    return plan


def _check_adoption(session: ReadSession, home: str, plan: Plan) -> None:
    if home not in plan.parties:
        raise PlanError("a party adopts a plan that names it", code="plan.not-party", pointers=["/parties"])
    if known_plans(session, plan.id):
        detail = f"there is a version of {plan.id} here already: the next is signed by all parties"
        raise PlanError(detail, code="plan.not-first", pointers=["/version"])
    check_fit(session, plan)


def log_act(
    gateway: Gateway, session: WriteSession, t: str, plan: Plan, *, now: int, by: Person | None = None,
    peer: str | None = None, manifest: str | None = None, **detail: object,
) -> None:  # fmt: skip
    """An act of governance in the log, ours with the person who did it or a partner's with the batch it came in."""
    entry = make_entry(
        t, at=utc_text(now), party=gateway.party, actor=actor_of(gateway.home, by.account) if by else None, peer=peer,
        manifest=manifest, detail={"plan": plan.reference, "digest": plan.digest, **detail},
    )  # fmt: skip
    append(session, entry)


def _log_conclusion(gateway: Gateway, session: WriteSession, known: Known, found: Conclusion, now: int) -> None:
    t = PLAN_IN_FORCE if found.verdict == "in-force" else PLAN_LAPSED
    log_act(
        gateway, session, t, known.plan, now=now, manifest=found.act.manifest if found.act else None,
        effective=utc_text(millis_of(known.plan.effective)), ground=found.ground,
    )  # fmt: skip


def wake(gateway: Gateway) -> None:
    """After a commit: there is something to publish, and to log."""
    gateway.signals.queued.send()
    gateway.signals.logged.send()


def _says_signature(proposal: Proposal) -> str:
    entries = ", ".join(proposal.content["entries"]) or "none"
    return f"sign {proposal.subject} {proposal.content['digest']} for this party, with its entries: {entries}"


def _says_adoption(proposal: Proposal) -> str:
    return f"record that {proposal.subject} {proposal.content['digest']} was agreed outside the program: it is in force"


def _settle(gateway: Gateway, _proposal: Proposal) -> None:
    wake(gateway)


SIGNATURE = Kind("plan-signature", "plan.propose", "plan.sign", _sign, _settle, _says_signature)
ADOPTION = Kind("plan-adoption", "plan.propose", "plan.sign", _adopt, _settle, _says_adoption)

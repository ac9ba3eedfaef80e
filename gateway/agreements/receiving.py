"""A partner's acts of governance, which come as batches like any other.

Asked under the lock of the feed, before anything of the batch is stored: it is taken whole, or refused whole with a
receipt that says why. That an act is well formed is not enough; it must be its provider's own, about a plan between it
and us, and carry what it claims. A signature counts because it verifies against the pinned keys of the party that made
it, whoever brings it.

Nothing has to be in force for a first version to come in: what binds the feed is that its provider is a registered
partner, and that a document names both of us.
"""

from __future__ import annotations

from collections.abc import Sequence

from audit.form import DISPOSAL, PLAN_PROPOSED, PLAN_SIGNED, PLAN_WITHDRAWN
from gateway.agreements.acts import log_act, settle_version
from gateway.agreements.deciding import TOLERATED_SKEW
from gateway.agreements.leaving import check_withdrawal
from gateway.agreements.proposals import check_proposal
from gateway.db import ReadSession, WriteSession
from gateway.errors import WaitingError
from gateway.ingest.parcel import Item, Problem
from gateway.party_document import own_document
from gateway.service import Gateway
from partners.agreements import (
    keep_act,
    last_look,
    note_refused,
    open_signature,
    signer_of,
    was_refused,
)
from partners.directory import Party, find_party
from partners.document import PartyDocument, open_document
from partners.plans import Known, find_plan, governance_feed, governed_plan, keep_plan, known_plans
from schemas import jws
from schemas.batch import Batch
from schemas.errors import PlanError, RecordError, SharingError, SignatureError
from schemas.plan import Plan, parse_plan
from schemas.records import Agreement
from schemas.times import beijing_text, to_millis

_LOGGED = {
    "proposal": PLAN_PROPOSED, "signature": PLAN_SIGNED, "withdrawal": PLAN_WITHDRAWN, "disposal": DISPOSAL,
}  # fmt: skip


class BackdatedError(RecordError):
    """It says it was made before an instant at which it was not there: kept as evidence."""

    code = "agreement.backdated"


class Judge:
    """What is asked of the acts in one batch of `party`, under one session. `now` in ms UTC."""

    def __init__(self, gateway: Gateway, session: ReadSession, party: Party, batch: Batch, *, now: int) -> None:
        self._gateway = gateway
        self._session = session
        self._party = party
        self._plan = governed_plan(batch.manifest.dataset) or ""
        self._created = to_millis(batch.manifest.created)
        self._now = now
        self._proposed: dict[int, Plan] = {}  # in this very batch

    def refusal(self, items: Sequence[Item], batch: Batch) -> Problem | None:
        """Why the batch is refused whole, None where it is not.

        Raises:
            WaitingError: it rests on something that has not arrived.
        """
        for item in items:
            try:
                self._check(item.record)
            except WaitingError:
                raise
            except SharingError as error:
                return Problem(item.place, "refused", error.code, error.detail, error.pointers)
        if not self._between_us():
            return Problem("line 1", "refused", "batch.not-granted", "no plan that is known here names both parties")
        manifest = batch.manifest
        for plan in (*self._proposed.values(), *(one.plan for one in known_plans(self._session, self._plan))):
            if plan.reference == manifest.plan and plan.digest != manifest.plan_digest:
                return Problem("line 1", "refused", "batch.plan-differs", "it names a version by another digest")
        return None

    def _between_us(self) -> bool:
        versions = [*self._proposed.values(), *(one.plan for one in known_plans(self._session, self._plan))]
        return any({self._party.code, self._gateway.party} <= set(plan.parties) for plan in versions)

    def _check(self, record: object) -> None:
        if not isinstance(record, Agreement):
            raise RecordError("a feed of governance carries acts of governance", code="agreement.kind-wrong")
        if (record.party, record.plan) != (self._party.code, self._plan):
            raise RecordError("a party does its own acts, in the plan's own feed", code="agreement.party-wrong")
        if to_millis(record.at) > self._created + TOLERATED_SKEW:
            raise BackdatedError("it was done after the batch that carries it was made", pointers=["/at"])
        match record.act:
            case "proposal":
                self._check_proposal(record)
            case "signature":
                self._check_signature(record)
            case "completion":
                self._check_completion(record)
            case "lapse":
                self._check_proposer(record)
            case "withdrawal":
                known = self._known(record)
                if known is not None:
                    check_withdrawal(self._session, known.plan, record, at=self._created)
            case _:
                self._version(record)

    def _check_proposal(self, record: Agreement) -> None:
        plan = parse_plan(record.document.encode())
        if plan.canonical != record.document.encode():
            raise PlanError("a document is signed in its canonical form (RFC 8785)", code="agreement.not-canonical")
        if (plan.id, plan.version, plan.digest) != (record.plan, record.version, record.digest):
            raise PlanError("the document is of another version than the act", code="agreement.digest-differs")
        held = find_plan(self._session, plan.id, plan.version)
        if held is None or held.plan.digest != plan.digest:
            check_proposal(
                self._session, plan, proposer=self._party.code, home=self._gateway.party, at=self._created
            )  # fmt: skip
            self._proposed[plan.version] = plan

    def _check_signature(self, record: Agreement) -> None:
        plan = self._version(record)
        if plan is not None:
            if len(record.signatures) != 1:
                raise RecordError("a party signs once", code="agreement.signature-invalid", pointers=["/signatures"])
            self._verify(record.signatures[0], plan, self._party.code)

    def _check_completion(self, record: Agreement) -> None:
        plan = self._check_proposer(record)
        if plan is None:
            return
        tokens = {_signer(token): token for token in record.signatures}
        if tokens.keys() != set(plan.parties) or len(tokens) != len(record.signatures):
            detail = "a completion carries the signature of every party, and of nobody else"
            raise RecordError(detail, code="agreement.incomplete", pointers=["/signatures"])
        for party, token in tokens.items():
            self._verify(token, plan, party)
        known = find_plan(self._session, record.plan, record.version)
        if known is not None and known.verdict == "lapsed" and self._claims_to_be_in_time(known):
            detail = f"made by {beijing_text(known.deadline)}, it says, and it was not there when we looked later"
            raise BackdatedError(detail)

    def _claims_to_be_in_time(self, known: Known) -> bool:
        """Whether it says it was made before the deadline, though we saw the feed without it after the instant."""
        looked = last_look(self._session, self._party.code, governance_feed(known.plan.id))
        return self._created <= known.deadline and looked > known.effective

    def _check_proposer(self, record: Agreement) -> Plan | None:
        plan = self._version(record)
        known = find_plan(self._session, record.plan, record.version)
        if known is not None and known.proposer != self._party.code:
            raise RecordError("only who proposed a version completes it", code="agreement.party-wrong")
        return plan

    def _version(self, record: Agreement) -> Plan | None:
        """The version that an act is about, None for one that passed before we were named.

        Raises:
            WaitingError: it has not arrived.
            RecordError: `agreement.digest-differs`, `agreement.refused-here`, `agreement.party-wrong`.
        """
        known = self._known(record)
        plan = self._proposed.get(record.version) or (known.plan if known else None)
        if plan is None:
            if was_refused(self._session, record.plan, record.version, record.digest):
                raise RecordError("the version was refused here", code="agreement.refused-here")
            newest = max([one.plan.version for one in known_plans(self._session, record.plan)], default=0)
            if record.version > newest:
                detail = f"{record.plan}@{record.version} has not arrived"
                raise WaitingError(detail, code="batch.plan-unknown")
            return None
        if plan.digest != record.digest:
            raise RecordError("it is about another document", code="agreement.digest-differs", pointers=["/digest"])
        if record.party not in plan.parties:
            raise RecordError("the plan does not name this party", code="agreement.party-wrong", pointers=["/party"])
        return plan

    def _known(self, record: Agreement) -> Known | None:
        return find_plan(self._session, record.plan, record.version)

    def _verify(self, token: str, plan: Plan, party: str) -> None:
        """That the party signed just this, with a key it stood by then, and not after its batch was made."""
        document = self._document(party)
        try:
            signed = open_signature(token, document.manifest_keys, plan, party)
        except SignatureError as error:
            raise SignatureError(error.detail, code="agreement.signature-invalid", pointers=["/signatures"]) from error
        if document.vouches_receipt(jws.kid_of(token), at=signed) != "good":
            detail = f"{party} does not stand by what this key signed"
            raise SignatureError(detail, code="agreement.signature-invalid", pointers=["/signatures"])
        if signed > self._created + TOLERATED_SKEW:
            raise BackdatedError("it was signed after the batch that carries it was made", pointers=["/signatures"])

    def _document(self, party: str) -> PartyDocument:
        if party == self._gateway.party:
            return open_document(own_document(self._gateway.home))
        known = self._party if party == self._party.code else find_party(self._session, party)
        if known is None:
            raise WaitingError(f"{party} is not registered here, and nobody can check its signature")
        return known.document


def take_acts(gateway: Gateway, session: WriteSession, batch: Batch, items: Sequence[Item], *, now: int) -> None:
    """What the acts of a batch that was not refused bring about, in the transaction that stores them."""
    provider, created = batch.manifest.provider, to_millis(batch.manifest.created)
    for item in items:
        record = item.record
        assert isinstance(record, Agreement)
        if record.act == "proposal" and find_plan(session, record.plan, record.version) is None:
            keep_plan(session, parse_plan(record.document.encode()), proposer=provider, now=now)
        if not keep_act(session, record, manifest=batch.hash, created=created, seen=now):
            continue
        known = find_plan(session, record.plan, record.version)
        if known is None:
            continue
        if record.act in _LOGGED:
            log_act(
                gateway, session, _LOGGED[record.act], known.plan, now=now, peer=provider, manifest=batch.hash
            )  # fmt: skip
        if known.verdict is None:
            settle_version(gateway, session, known, now=now)


def remember_refused(session: WriteSession, items: Sequence[Item], *, now: int) -> None:
    """The proposals of a batch that was refused: signatures of them would otherwise be waited with for ever."""
    for item in items:
        record = item.record
        if isinstance(record, Agreement) and record.act == "proposal":
            note_refused(session, record, seen=now)


def _signer(token: str) -> str:
    try:
        return signer_of(token)
    except SignatureError as error:
        raise SignatureError(error.detail, code="agreement.signature-invalid", pointers=["/signatures"]) from error

"""Freeze this gateway's log and let it go on in a successor shard: who may, and what is written down about it.

Freezing is one person's act, at once, as any other stop is: by hand, after the log key was stolen, or after the
database was set back. That the log goes on takes two (`LOG_SUCCESSOR`). Between the two the gateway exchanges as ever;
what it logs waits, and is the first that the successor holds after what it carries over.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from audit import log as exchange_log
from audit import shards
from audit.checkpoint import open_checkpoint, sign_checkpoint
from audit.entry import make_entry
from audit.errors import ShardError
from audit.form import FREEZE, FREEZE_AT
from audit.keys import origin_of
from audit.log import Head
from gateway.db import ReadSession, WriteSession
from gateway.people.person import Person, actor_of
from gateway.proposals import MAX_REASON, Kind, Proposal, propose
from gateway.service import Gateway
from schemas.jws import b64encode
from schemas.times import utc_text


def freeze_log(gateway: Gateway, *, reason: str, by: Person, now: int, note: bytes | None = None) -> Head:
    """Freeze the shard in force: its last head, signed and pinned for good. `now` in ms UTC.

    With `note`, a checkpoint that a partner, a witness or an auditor has kept, the shard ends at that head: what was
    signed later under a stolen key counts for nothing. Without one it ends behind an entry that says so; where the
    database is behind what the head store pins, at the pinned head.

    Raises:
        AccessDeniedError: `person.not-permitted`, or `person.confirm-again`.
        ShardError: `log.frozen` already, `log.head-unfit`, or `log.reason-invalid`.
        SignatureError: `note` is no head of this log's.
        LogError: the log is not what it was, and a note is needed that says how far it can be trusted.
    """
    by.require("key.revoke")
    by.require_recent(now)
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise ShardError(f"a reason has 1 to {MAX_REASON} printable characters", code="log.reason-invalid")
    actor = actor_of(gateway.home, by.account)
    with gateway.database.read() as session:
        lost = next(_lost(gateway, session), None)
    if note is None and lost is None:
        gateway.sequencer.recover()  # behind a head that is not sound, no last entry is written
    with gateway.database.write() as session:
        exchange_log.head(session, lock=True)
        ends = [note] if note is not None else list(_lost(gateway, session))
        for end in ends:
            frozen = _freeze_at(gateway, session, end)
            detail = {"reason": reason, "origin": _origin(gateway, frozen), "size": frozen.size}
            entry = make_entry(FREEZE_AT, at=utc_text(now), party=gateway.party, actor=actor, detail=detail)
            exchange_log.append(session, entry)
        if not ends:
            last = make_entry(FREEZE, at=utc_text(now), party=gateway.party, actor=actor, detail={"reason": reason})
            shards.freeze(session, last)
    gateway.sequencer.step()
    with gateway.database.read() as session:
        return exchange_log.head(session)


def propose_successor(gateway: Gateway, *, by: Person, reason: str = "", now: int) -> Proposal:
    """Propose that the frozen log goes on; whoever approves is shown the head it will quote.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        ShardError: `log.not-frozen`: there is nothing to continue.
        ProposalError: as `gateway.proposals.propose`.
    """
    with gateway.database.read() as session:
        found = exchange_log.head(session)
        carried = len(shards.disowned(session, found))
    if found.frozen is None or not found.signed:
        raise ShardError("the log is not frozen under a signed head", code="log.not-frozen")
    content = {**_quoted(gateway, found), "carried": carried}
    return propose(gateway, LOG_SUCCESSOR, f"shard {found.shard + 1}", content, by=by, reason=reason, now=now)


def continue_within(gateway: Gateway, session: WriteSession, *, reason: str, by: Person, now: int) -> Head:
    """Open the successor in the caller's transaction, which has seen to it that two persons want it.

    Raises:
        ShardError: `log.not-frozen`; `log.behind`: the log went on already, and the database was set back since.
    """
    later = origin_of(gateway.settings.log_origin, exchange_log.head(session).shard + 1)
    if gateway.heads.log_head(later) is not None:
        raise ShardError(f"the log went on in {later} before: freeze that first", code="log.behind")
    return shards.continue_log(
        session, gateway.settings.log_origin, at=utc_text(now), party=gateway.party, reason=reason,
        actor=actor_of(gateway.home, by.account),
    )  # fmt: skip


def _carry_out(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    found = exchange_log.head(session, lock=True)
    approved = {name: value for name, value in proposal.content.items() if name != "carried"}
    if _quoted(gateway, found) != approved:
        raise ShardError("the log has another head by now than was approved", code="log.head-unfit")
    continue_within(gateway, session, reason=proposal.reason, by=by, now=now)


def _settle(gateway: Gateway, _proposal: Proposal) -> None:
    """Sign the successor at once, whether or not a gateway is running beside this process."""
    gateway.sequencer.step()


LOG_SUCCESSOR = Kind("log-successor", "key.revoke", "key.approve", _carry_out, _settle)


def _quoted(gateway: Gateway, head: Head) -> dict[str, object]:
    return {"shard": head.shard, "origin": _origin(gateway, head), "size": head.size, "root": b64encode(head.root)}


def _origin(gateway: Gateway, head: Head) -> str:
    return origin_of(gateway.settings.log_origin, head.shard)


def _freeze_at(gateway: Gateway, session: WriteSession, note: bytes) -> Head:
    """End a shard at the head in `note`: one that the database has, or that the head store pins."""
    origin = gateway.settings.log_origin
    found = exchange_log.head(session, lock=True)
    signers = [
        signer for shard in (found.shard, found.shard + 1) for signer in gateway.log_signers(origin_of(origin, shard))
    ]
    known = [signer.verifier for signer in signers]
    head = open_checkpoint(note, known)
    beyond = head.origin != _origin(gateway, found) or head.size > found.size
    pins = (gateway.heads.log_end(head.origin), gateway.heads.log_head(head.origin))
    if beyond and (head.size, head.root) not in pins:
        raise ShardError("this head is beyond what the log ever had here", code="log.head-unfit")
    return shards.freeze_at(session, origin, note, known)


def _lost(gateway: Gateway, session: ReadSession) -> Iterator[bytes]:
    """The heads that the head store pins and the database no longer reaches, oldest first, signed again.

    What was pinned was signed, or was about to be: the same head is signed with the same words.
    """
    found = exchange_log.head(session)
    for shard in count(found.shard):
        origin = origin_of(gateway.settings.log_origin, shard)
        end = gateway.heads.log_end(origin)
        pinned = end or gateway.heads.log_head(origin)
        if pinned is None:
            return
        reached = end is None and pinned[0] <= found.size
        if shard == found.shard and (found.frozen is not None or reached):
            continue
        signers = gateway.log_signers(origin)
        yield sign_checkpoint(signers[0], *pinned, also=signers[1:])

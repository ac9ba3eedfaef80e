"""A key that was lost or stolen: what it signed is trusted as far as something pins it from before, and another signs.

One person stops a key at once; what became of it, two decide. A *lost* key signs no more, and nobody else has it: what
it signed is good. A *compromised* one may have been somebody else's since an instant: of what it signed, only what a
receipt pins from before is stood by (`gateway.key_trust`), the rest is marked and listed, and receipts are given anew
under the next key. The party document says all of it, so that partners refuse, mark and list the same.

A lost or stolen identity cannot be dealt with here: partners register the new one by telephone and two persons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.receipts import open_receipt, receipt_hash, sign_receipt
from gateway.db import WriteSession
from gateway.errors import ConflictError
from gateway.key_rotation import ROTATING, adopt, last_signed, log_change, make_next, written
from gateway.key_trust import doubt_batches, doubt_own_receipts, pinned_before
from gateway.log_succession import freeze_log
from gateway.party_document import publish_document
from gateway.people.person import Person
from gateway.proposals import Kind, Proposal, propose
from gateway.service import Gateway
from gateway.store import own_keys
from gateway.store.own_keys import OwnKey
from partners.delivery import ReceiptGiven, keep_receipt, mark_sent, receipts_given
from partners.keys import Rotating
from schemas import jws
from schemas.times import now_millis, utc_text


def propose_revocation(
    gateway: Gateway, use: Rotating, *, since: int | None, kid: str = "", by: Person, reason: str = "", now: int
) -> Proposal:
    """Propose to revoke a key, the one in use unless its `kid` is given: as compromised `since` (ms UTC), or as lost
    where that is None.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        ConflictError: `keys.unknown`, `keys.revoked` already, or `keys.since-invalid`: the instant is in the future.
        ProposalError: as `proposals.propose`.
    """
    by.require("key.revoke")
    key = _find(gateway, use, kid, now)
    if since is not None and since > now:
        raise ConflictError("a key was not stolen in the future", code="keys.since-invalid")
    content: dict[str, Any] = {"use": use, "kid": key.kid, "lost": since is None}
    if since is not None:
        content |= {"since": since, "since_text": utc_text(since)}
    return propose(gateway, REVOCATION, key.kid, content, by=by, reason=reason, now=now)


def stop_key(gateway: Gateway, use: Rotating, *, by: Person, now: int) -> OwnKey:
    """Let the key in use sign nothing more from this instant on, one person alone. Nothing signs for the use until
    another key does: revoke the key, or rotate.

    Raises:
        AccessDeniedError: `person.not-permitted`, `person.confirm-again`.
        ConflictError: `keys.unknown`: no key of this use signs anyway.
    """
    by.require("key.revoke")
    by.require_recent(now)
    with gateway.database.write() as session:
        key = next((key for key in adopt(gateway, session, use) if key.phase(now) == "in use"), None)
        if key is None:
            raise ConflictError(f"no {use} key is in use", code="keys.unknown")
        own_keys.change_key(session, key.kid, ends=now, reason="stopped")
        log_change(gateway, session, "stopped", key, by, now)
    _changed(gateway)
    return key


def _carry_out(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    content = proposal.content
    use, since = content["use"], content.get("since")
    rows = adopt(gateway, session, use)
    key = next((row for row in rows if row.kid == content["kid"]), None)
    if key is None or key.since is not None or key.reason == "lost":
        raise ConflictError("the key is revoked already", code="keys.revoked")
    ends = now if key.ends is None else min(key.ends, now)
    frozen = use == "log" and since is not None and key.begins is not None
    if frozen:
        origin, size, root = freeze_log(gateway, session, key.kid, by=by, now=now)
        last: Mapping[str, tuple[int, str]] = {origin: (size, root)}
    else:
        last = _stands_for(gateway, session, key, since)
    own_keys.change_key(
        session, key.kid, begins=key.begins if key.begins is not None else ends, ends=ends, since=since, last=last,
        reason="lost" if since is None else "compromised", settled=None if frozen else now,
    )  # fmt: skip
    successor = _succeed(gateway, session, rows, key, now)
    doubtful = 0
    if use == "manifest" and since is not None:
        doubtful = doubt_batches(session, gateway.party, key.kid, last, why="key.compromised", now=now)
        doubtful += doubt_own_receipts(session, key.kid, since, now=now)
        _give_receipts_anew(gateway, session, key, successor, since, now)
    more: dict[str, object] = {"lost": since is None, "last": written(last), "doubted": doubtful}
    if since is not None:
        more["since"] = utc_text(since)
    log_change(gateway, session, "revoked", key, by, now, successor=successor.kid, **more)


def _stands_for(
    gateway: Gateway, session: WriteSession, key: OwnKey, since: int | None
) -> Mapping[str, tuple[int, str]]:
    """The last batches that a revoked key stands for.

    What was settled before it was stolen is held by partners in an earlier document, and stays.
    """
    if key.begins is None:
        return {}
    if key.last is not None and (since is None or key.ends is None or key.ends <= since):
        return key.last
    if since is None or key.use != "manifest":
        return last_signed(gateway, session, key)
    pinned = pinned_before(gateway, session, gateway.party, since)
    if key.last is None:
        return pinned
    return {name: min(pinned[name], key.last[name]) for name in pinned if name in key.last}


def _succeed(gateway: Gateway, session: WriteSession, rows: list[OwnKey], key: OwnKey, now: int) -> OwnKey:
    """The key that signs from now on: the one in use where another one was revoked, the next one, or a new one."""
    others = [row for row in rows if row.kid != key.kid and not row.over]
    in_use = next((row for row in others if row.phase(now) == "in use"), None)
    if in_use is not None:
        return in_use
    coming = next((row for row in others if row.phase(now) == "next"), None)
    coming = coming or make_next(gateway, session, key.use, now=now)  # type: ignore[arg-type]  # those that rotate
    own_keys.change_key(session, coming.kid, begins=now)
    return coming


def _give_receipts_anew(
    gateway: Gateway, session: WriteSession, key: OwnKey, successor: OwnKey, since: int, now: int
) -> None:
    """Under the new key, the receipts that partners will not rely on or do not have yet. The old ones stay."""
    signer = gateway.keys.private_of(successor)
    assert isinstance(signer, jws.SigningKey)
    public = jws.load_public(key.public)
    for old in receipts_given(session, since):
        if jws.kid_of(old.token) == key.kid:
            _give_anew(session, old, sign_receipt(signer, open_receipt(old.token, {key.kid: public})), now)


def _give_anew(session: WriteSession, old: ReceiptGiven, token: str, now: int) -> None:
    mark_sent(session, [old.hash])
    keep_receipt(
        session, receipt_hash=receipt_hash(token), manifest=old.manifest, direction="out", party=old.party, token=token,
        report=old.report, now=now,
    )  # fmt: skip


def _settle(gateway: Gateway, _proposal: Proposal) -> None:
    """Tell partners, where the identity key is here; where not, `taipu keys list` says that a document is due."""
    _changed(gateway)
    if gateway.keys.identity is not None:
        publish_document(gateway, now=now_millis())


def _changed(gateway: Gateway) -> None:
    gateway.keys.forget()
    gateway.signals.keys.send()
    gateway.signals.logged.send()


def _find(gateway: Gateway, use: Rotating, kid: str, now: int) -> OwnKey:
    if use not in ROTATING:
        raise ConflictError(f"a {use} key is not revoked this way", code="keys.unknown")
    held = gateway.keys.held(use)
    if kid:
        found = next((key for key in held if key.kid == kid), None)
    else:
        signing = [key for key in held if key.phase(now) == "in use" or key.reason == "stopped"]
        found = signing[-1] if signing else None
    if found is None:
        raise ConflictError(f"there is no such {use} key", code="keys.unknown")
    if found.since is not None or found.reason == "lost":
        raise ConflictError("the key is revoked already", code="keys.revoked")
    return found


REVOCATION = Kind("key-revocation", "key.revoke", "key.approve", _carry_out, _settle)

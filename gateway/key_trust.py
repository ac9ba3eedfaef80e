"""What can still be relied on of what a stolen key has signed: only what something pins from before it was stolen.

A receipt pins a batch: the recipient signed, with a key of its own, what it had been given. Since each manifest names
its predecessor, a pinned batch pins all those before it in its feed. `pinned_before` is the one place that knows what
pins; heads that witnesses have cosigned will join there.

What nothing pins is marked, at the party whose key it was and at every party that holds it, and stays: it is evidence.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.receipts import Receipt, open_receipt
from gateway.db import ReadSession, WriteSession
from gateway.service import Gateway
from gateway.store import feeds, own_keys
from gateway.store.own_keys import Doubted
from partners.delivery import receipts_for, receipts_since
from partners.directory import Party, find_party
from schemas import jws
from schemas.errors import SharingError
from schemas.times import to_millis

Pins = Mapping[str, tuple[int, str]]
"""By dataset of one provider: the last number that is pinned, and its manifest hash."""


def pinned_before(gateway: Gateway, session: ReadSession, provider: str, since: int) -> Pins:
    """What receipts given before `since` (ms UTC) pin of the feeds of `provider` that are held here: those that
    partners gave us for ours, those we gave for theirs.

    The instant is the one that whoever gave the receipt has signed. A receipt under a key that its party does not stand
    by pins nothing.
    """
    pins = {}
    for head in feeds.heads_of(session, provider):
        for seq, manifest, _, _ in feeds.signed_down(session, provider, head.dataset):
            if _is_pinned(gateway, session, provider, manifest, since):
                pins[head.dataset] = (seq, manifest)
                break
    return pins


def doubt_batches(session: WriteSession, provider: str, kid: str, trusted: Pins, *, why: str, now: int) -> int:
    """Mark every batch of `provider` that its key `kid` signed beyond what is `trusted`; how many were not before."""
    count = 0
    for head in feeds.heads_of(session, provider):
        for seq, manifest, token, _ in feeds.signed_down(session, provider, head.dataset):
            if seq <= trusted.get(head.dataset, (0, ""))[0]:
                break
            if jws.kid_of(token) == kid:
                found = Doubted(provider, head.dataset, seq, manifest, kid, why, now)
                count += own_keys.add_doubted(session, found)
    return count


def doubt_held(gateway: Gateway, session: WriteSession, party: Party, *, now: int) -> int:
    """Mark what is held of `party` that a key signed which its document calls compromised, and nothing pins; how many.

    What the party's own document stands by counts as pinned, and so does what we gave a receipt for in time. Receipts
    of the party under that key are marked with the batch they are for.
    """
    count = 0
    for old in party.document.retired.manifest:
        if not old.compromised:
            continue
        since, kid = to_millis(old.compromised), old.key.kid
        trusted = dict(pinned_before(gateway, session, party.code, since))
        for dataset, last in old.last.items():
            if last.seq > trusted.get(dataset, (0, ""))[0]:
                trusted[dataset] = (last.seq, last.manifest)
        count += doubt_batches(session, party.code, kid, trusted, why="key.compromised", now=now)
        count += _doubt_receipts(session, "in", party.code, kid, since, now)
    return count


def doubt_own_receipts(session: WriteSession, kid: str, since: int, *, now: int) -> int:
    """Mark the batches we gave receipts for with a key of ours that was stolen by then; how many."""
    return _doubt_receipts(session, "out", None, kid, since, now)


def _doubt_receipts(session: WriteSession, direction: str, party: str | None, kid: str, since: int, now: int) -> int:
    count = 0
    for token in receipts_since(session, direction, party, since):
        if jws.kid_of(token) == kid:
            said = jws.peek(token)[1]
            found = Doubted(
                str(said["provider"]), str(said["dataset"]), int(str(said["seq"])), str(said["manifest"]), kid,
                "receipt.compromised", now,
            )  # fmt: skip
            count += own_keys.add_doubted(session, found)
    return count


def _is_pinned(gateway: Gateway, session: ReadSession, provider: str, manifest: str, since: int) -> bool:
    own = provider == gateway.party
    for party, token in receipts_for(session, manifest, "in" if own else "out"):
        receipt = _given_by_partner(session, party, token) if own else _given_by_us(gateway, token)
        if receipt is not None and receipt.manifest == manifest and to_millis(receipt.at) < since:
            return True
    return False


def _given_by_partner(session: ReadSession, code: str, token: str) -> Receipt | None:
    party = find_party(session, code)
    receipt = None if party is None else _opened(token, party.manifest_keys)
    if party is None or receipt is None:
        return None
    vouched = party.document.vouches_receipt(jws.kid_of(token), at=to_millis(receipt.at))
    return receipt if vouched == "good" else None


def _given_by_us(gateway: Gateway, token: str) -> Receipt | None:
    keys = [key for key in gateway.keys.held("manifest") if key.since is None]
    return _opened(token, {key.kid: jws.load_public(key.public) for key in keys})


def _opened(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Receipt | None:
    try:
        return open_receipt(token, keys)
    except SharingError:
        return None

"""A log whose key was stolen: its shard is frozen where it is, and the log goes on in a successor (`audit.shards`).

The shard's last head is signed with the key that follows, which is good: so whatever a thief signs under the old key is
told from it. Then the successor is opened, whose first entry quotes that head. What is true if we stop in between:
entries wait in the outbox, and the next step goes on.

That the stolen key was ours to freeze with is not asked: the head is the one our own head store has pinned. Heads that
witnesses have cosigned before the theft will say more.
"""

from __future__ import annotations

from audit import log as exchange_log
from audit import shards
from audit.entry import make_entry
from audit.form import FREEZE
from audit.keys import origin_of
from gateway.db import WriteSession
from gateway.people.person import Person, actor_of
from gateway.service import Gateway
from gateway.store import own_keys
from schemas import jws
from schemas.times import utc_text

Head = tuple[str, int, str]
"""Origin, size and root (base64url) of a shard's last head."""


def freeze_log(gateway: Gateway, session: WriteSession, kid: str, *, by: Person, now: int) -> Head:
    """Freeze the shard in force because the key `kid` was stolen, unless somebody has frozen it; its last head."""
    frozen = exchange_log.head(session, lock=True)
    if frozen.frozen is None:
        detail = {"reason": "key.compromised", "kid": kid}
        actor = actor_of(gateway.home, by.account)
        entry = make_entry(FREEZE, at=utc_text(now), party=gateway.party, actor=actor, detail=detail)
        frozen = shards.freeze(session, entry)
    return origin_of(gateway.settings.log_origin, frozen.shard), frozen.size, jws.b64encode(frozen.root)


def continue_log(gateway: Gateway, *, now: int) -> bool:
    """Open the successor of a shard that `freeze_log` froze, once its last head is signed; whether that was done."""
    stolen = [key for key in gateway.keys.held("log") if key.reason == "compromised" and key.settled is None]
    if not stolen:
        return False
    origin = gateway.settings.log_origin
    with gateway.database.write() as session:
        own_keys.one_at_a_time(session)
        frozen = exchange_log.head(session, lock=True)
        if frozen.frozen is None or not frozen.signed:
            return False
        shards.continue_log(session, origin, at=utc_text(now), party=gateway.party, reason="key.compromised")
        ended = {origin_of(origin, frozen.shard): (frozen.size, jws.b64encode(frozen.root))}
        signer = gateway.keys.in_use("log", now)
        own_keys.change_key(session, signer.kid, last={**(signer.last or {}), **ended})
        for key in stolen:
            own_keys.change_key(session, key.kid, settled=now)
    gateway.keys.forget()
    gateway.signals.logged.send()
    return True

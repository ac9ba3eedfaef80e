"""Rotation of this gateway's own keys, in steps with time between them.

    1. `rotate`   the next key is made and published in a new party document; partners are told by it and take it
    2. `rotate`   once every active partner holds that document, or the overlap is over: it is in use from an instant on
    3. `settle`   once nothing can come any more that the old key signed: its last batches are written down, and the
                  document names it among the retired; the duty does that, or `retire`, which destroys the old half too

So what is valid is accepted throughout: nobody meets a key before its document, and an old key stands for what it
signed. What is true if we stop between two steps: the key in use signs. Each step is in the log.

A new identity is no rotation: it is registered by partners like a new party, by telephone and two persons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from audit import log as exchange_log
from audit.entry import make_entry
from audit.form import KEY_CHANGED
from audit.keys import origin_of
from audit.log import append
from gateway.db import ReadSession, WriteSession
from gateway.errors import ConflictError
from gateway.files import replace_file
from gateway.keyring import TOKENS_END, public_of
from gateway.log_succession import continue_log
from gateway.party_document import is_stale, publish_document
from gateway.people.person import Person, actor_of
from gateway.service import Gateway
from gateway.store import feeds, own_keys
from gateway.store.own_keys import OwnKey, Phase
from gateway.store.versions import NOTICE
from partners.directory import parties
from partners.keys import KeysError, Rotating, forget_key, make_key
from schemas import jws
from schemas.times import beijing_text, utc_text

SETTLE = 2_000
"""Milliseconds after its end until a manifest key's last batches are counted: hosts' clocks differ a little."""

ROTATING: tuple[Rotating, ...] = ("manifest", "log", "witness", "oauth")


@dataclass(frozen=True)
class KeyStatus:
    """A key, the step that is due for it, and what that waits for; both empty where nothing is to be done.

    `missing` are the partners that do not hold a document with it yet.
    """

    key: OwnKey
    phase: Phase
    present: bool
    step: str = ""
    waits_for: str = ""
    missing: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        key = self.key
        return {
            "use": key.use,
            "kid": key.kid,
            "state": self.phase,
            "private_half_here": self.present,
            "from": beijing_text(key.begins) if key.begins else None,
            "until": beijing_text(key.ends) if key.ends is not None else None,
            "reason": key.reason,
            "compromised_since": beijing_text(key.since) if key.since is not None else None,
            "published_in": key.serial,
            "last": written(key.last or {}),
            "step": self.step,
            "waits_for": self.waits_for,
            "missing": list(self.missing),
        }


def key_statuses(gateway: Gateway, *, now: int) -> list[KeyStatus]:
    """How every key stands at `now` (ms UTC), by use, oldest first."""
    with gateway.database.read() as session:
        return [_status(gateway, session, key, now) for key in gateway.keys.held()]


def rotate(gateway: Gateway, use: Rotating, *, by: Person, now: int) -> KeyStatus:
    """Take the step that is due: make and publish the next key, or take it into use.

    Raises:
        AccessDeniedError: `person.not-permitted`, `person.confirm-again`.
        ConflictError: `keys.waiting`: the step waits for something; the detail says what.
    """
    by.require("key.rotate")
    by.require_recent(now)
    if use not in ROTATING:
        raise ConflictError(f"a {use} key does not rotate this way", code="keys.use-unknown")
    coming = gateway.keys.next(use, now)
    if coming is None:
        changed = _begin(gateway, use, by, now)
    elif coming.begins is not None:
        detail = f"the next {use} key signs from {beijing_text(coming.begins)} on"
        raise ConflictError(detail, code="keys.waiting")
    else:
        changed = _take_into_use(gateway, coming, by, now)
    with gateway.database.read() as session:
        return _status(gateway, session, changed, now)


def settle(gateway: Gateway, *, now: int) -> list[OwnKey]:
    """Write down the end of every key that nothing can come of any more, and publish that; which keys those were."""
    due = [key for key in gateway.keys.held() if _is_over(gateway, key, now)]
    for key in due:
        with gateway.database.write() as session:
            own_keys.one_at_a_time(session)
            if any(row.kid == key.kid and row.settled is not None for row in own_keys.keys_of(session, key.use)):
                continue  # another process was quicker
            last = last_signed(gateway, session, key) if key.last is None else key.last
            own_keys.change_key(session, key.kid, last=last, settled=now)
            if key.use == "tls":
                _forget_authority(gateway, session, now)
            log_change(gateway, session, "retired", key, None, now, last=written(last))
        gateway.keys.forget()
    continue_log(gateway, now=now)
    rotated = any(key.made for key in gateway.keys.held())
    if gateway.keys.identity is not None and (rotated or due) and is_stale(gateway, now=now):
        publish_document(gateway, now=now)
    if due:
        gateway.signals.logged.send()
    return due


def retire(gateway: Gateway, use: Rotating, *, by: Person, now: int) -> list[str]:
    """Destroy the private halves of a use's retired keys; the `kid` of each that was here.

    Raises:
        AccessDeniedError: `person.not-permitted`, `person.confirm-again`.
        ConflictError: `keys.waiting`: an old key's end is not settled yet, or there is no old key.
    """
    by.require("key.rotate")
    by.require_recent(now)
    settle(gateway, now=now)
    old = [key for key in gateway.keys.held(use) if key.phase(now) == "retired"]
    with gateway.database.read() as session:
        waiting = [status.waits_for for key in old if (status := _status(gateway, session, key, now)).waits_for]
    if waiting or not old:
        raise ConflictError("; ".join(waiting) or f"no {use} key has ended", code="keys.waiting")
    settings, destroyed = gateway.settings, []
    successor = gateway.keys.in_use(use, now).kid
    for key in old:
        folder, passphrase = settings.home / "keys", settings.passphrase()
        if forget_key(folder, use, key.kid, successor=successor, passphrase=passphrase):
            destroyed.append(key.kid)
        gateway.keys.forget_private(key.kid)
    with gateway.database.write() as session:
        for key in old:
            if key.kid in destroyed:
                log_change(gateway, session, "destroyed", key, by, now)
    gateway.signals.logged.send()
    return destroyed


def adopt(gateway: Gateway, session: WriteSession, use: Rotating) -> list[OwnKey]:
    """The rows of a use; where its first key has none, one is made. Nobody else changes keys meanwhile."""
    own_keys.one_at_a_time(session)
    rows = own_keys.keys_of(session, use)
    if not rows:
        rows = gateway.keys.held(use)
        for row in rows:
            own_keys.add_key(session, row)
    return rows


def make_next(gateway: Gateway, session: WriteSession, use: Rotating, *, now: int) -> OwnKey:
    """A new key of a use, the next one. Its file stays where this is rolled back, and is nobody's."""
    settings = gateway.settings
    made = make_key(settings.home / "keys", use, passphrase=settings.passphrase())
    new = OwnKey(made.kid, use, public_of(made), made=now)
    own_keys.add_key(session, new)
    return new


def log_change(
    gateway: Gateway, session: WriteSession, what: str, key: OwnKey, by: Person | None, now: int, **more: object
) -> None:
    """The entry that says what was done to a key, and who did."""
    actor = actor_of(gateway.home, by.account) if by else None
    detail = {"what": what, "use": key.use, "kid": key.kid, **more}
    append(session, make_entry(KEY_CHANGED, at=utc_text(now), party=gateway.party, actor=actor, detail=detail))


def last_signed(gateway: Gateway, session: WriteSession, key: OwnKey) -> Mapping[str, tuple[int, str]]:
    """The last batch of each feed that a manifest key signed, counted under the locks that publishing takes; of a log
    key, the head at its end."""
    if key.use == "log":
        head = exchange_log.head(session)
        return {origin_of(gateway.settings.log_origin, head.shard): (head.size, jws.b64encode(head.root))}
    if key.use != "manifest":
        return {}
    last = {}
    for name in sorted(head.dataset for head in feeds.heads_of(session, gateway.party)):
        feeds.lock_head(session, gateway.party, name)
        for seq, manifest, token, at in feeds.signed_down(session, gateway.party, name):
            if jws.peek(token)[0].get("kid") == key.kid:
                last[name] = (seq, manifest)
            if name in last or at < (key.begins or 0) - NOTICE:
                break
    return last


def written(last: Mapping[str, tuple[int, str]]) -> dict[str, object]:
    return {name: {"seq": seq, "manifest": manifest} for name, (seq, manifest) in last.items()}


def obstacle_of(gateway: Gateway, session: ReadSession, key: OwnKey, now: int) -> tuple[str, tuple[str, ...]]:
    """What keeps the next key from being used, and which partners do not know it."""
    if key.begins is not None:
        return f"it signs from {beijing_text(key.begins)} on", ()
    if key.published is None or key.serial is None:
        return "a party document with it has to be signed by the identity key and installed", ()
    held = own_keys.exchanges(session)
    missing = tuple(
        party.code
        for party in parties(session)
        if party.state == "active" and ((known := held.get(party.code)) is None or (known.holds or 0) < key.serial)
    )
    over = key.published + int(gateway.settings.keys.overlap * 1000)
    if missing and now < over:
        detail = f"{', '.join(missing)} must take document {key.serial} first, or {beijing_text(over)} must come"
        return detail, missing
    return "", missing


def _begin(gateway: Gateway, use: Rotating, by: Person, now: int) -> OwnKey:
    """Step 1. Published at once where the identity key is here."""
    with gateway.database.write() as session:
        rows = adopt(gateway, session, use)
        if any(row.phase(now) == "next" and row.settled is None for row in rows):
            raise ConflictError(f"somebody else made the next {use} key just now", code="keys.waiting")
        new = make_next(gateway, session, use, now=now)
        log_change(gateway, session, "made", new, by, now)
    gateway.keys.forget()
    if gateway.keys.identity is not None:
        publish_document(gateway, by=by, now=now)
    gateway.signals.logged.send()
    return next(key for key in gateway.keys.held(use) if key.kid == new.kid)


def _take_into_use(gateway: Gateway, coming: OwnKey, by: Person, now: int) -> OwnKey:
    """Step 2. From an instant on that all processes know of before it comes."""
    with gateway.database.write() as session:
        status = _status(gateway, session, coming, now)
        if status.waits_for:
            raise ConflictError(status.waits_for, code="keys.waiting", extra={"missing": list(status.missing)})
        instant = now + NOTICE
        for old in own_keys.keys_of(session, coming.use):
            if old.phase(now) == "in use":
                own_keys.change_key(session, old.kid, ends=instant, reason="rotated")
        own_keys.change_key(session, coming.kid, begins=instant)
        log_change(gateway, session, "in-use", coming, by, now, begins=utc_text(instant))
    gateway.keys.forget()
    gateway.signals.logged.send()
    return replace(coming, begins=instant)


def _status(gateway: Gateway, session: ReadSession, key: OwnKey, now: int) -> KeyStatus:
    phase = key.phase(now)
    present = _is_here(gateway, key)
    step, waits_for = "", ""
    missing: tuple[str, ...] = ()
    if phase == "next" and key.settled is None:
        step, (waits_for, missing) = "take into use", obstacle_of(gateway, session, key, now)
    elif phase == "retired" and not key.over:
        over = beijing_text(_over_at(gateway, key))
        step, waits_for = "retire", "" if _is_over(gateway, key, now) else f"what it signed may come until {over}"
    return KeyStatus(key, phase, present, step, waits_for, missing)


def _is_here(gateway: Gateway, key: OwnKey) -> bool:
    """Whether this host could sign with it."""
    if key.use == "tls":
        return gateway.settings.tls.ca.with_name("ca.key").exists()
    try:
        gateway.keys.private_of(key)
    except KeysError:
        return False
    return True


def _forget_authority(gateway: Gateway, session: WriteSession, now: int) -> None:
    """Partners are told of the authorities that still count, and of no others."""
    left = [row for row in own_keys.keys_of(session, "tls") if row.settled is None]
    left.sort(key=lambda row: row.phase(now) != "in use")
    replace_file(gateway.settings.tls.ca, "".join(row.public for row in left).encode("ascii"))


def _is_over(gateway: Gateway, key: OwnKey, now: int) -> bool:
    if key.phase(now) != "retired" or key.over or now < _over_at(gateway, key):
        return False
    # What one person stopped is open until two have said why, or another key has taken its place.
    return key.reason != "stopped" or any(other.phase(now) == "in use" for other in gateway.keys.held(key.use))


def _over_at(gateway: Gateway, key: OwnKey) -> int:
    """From when on nothing valid can come any more that this key signed at its end."""
    assert key.ends is not None
    overlap = int(gateway.settings.keys.overlap * 1000)
    return (
        key.ends
        + {"manifest": SETTLE, "oauth": TOKENS_END, "witness": overlap, "log": overlap, "tls": overlap}[key.use]
    )

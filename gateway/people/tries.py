"""How often signing in fails, and how long the next try has to wait: a delay, never a lock.

An account that somebody guesses at waits twice as long after each failure, up to a quarter of an hour; whoever is
heard then, is heard. Tries over the network delay nobody at the gateway's own terminal, and wrong codes are counted
apart from wrong passwords. An address has a bucket of tries that fills again by itself.

All counts are in the database, so they hold across workers and restarts. Names and addresses fall into a fixed number
of slots by a keyed hash: no flood of names makes the table grow, and names that nobody has are delayed like the others.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, select, text, update

from gateway.db import ReadSession, WriteSession
from gateway.errors import SignInError
from gateway.people import tables

FREE = 5  # failures without a delay
FIRST_DELAY = 1_000  # ms, after that many
LONGEST_DELAY = 15 * 60_000  # ms
BURST = 30  # tries from one address without a pause
REFILL = 2_000  # ms until one more is free
FORGOTTEN = 24 * 3_600_000  # ms after which failures no longer count
_SLOT = 2  # bytes of the keyed hash: 65,536 slots

_table = tables.sign_in_try


@dataclass(frozen=True)
class Turn:
    """Whether a try is heard: after `wait` ms if that is not 0. `failures` and `turned_away` count what came before."""

    wait: int = 0
    failures: int = 0
    turned_away: int = 0


class Tries:
    """The counters of one gateway."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def slot(self, *words: str) -> str:
        """Where tries at this are counted; the first word says what is counted."""
        digest = hmac.digest(self._secret, "\0".join(words).encode(), "sha256")
        return f"{words[0]}:{digest[:_SLOT].hex()}"

    def address(self, address: str) -> str:
        """Where tries from this address are counted: of IPv6, from the network that one subscriber has."""
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return self.slot("address", address[:64])
        if isinstance(known, ipaddress.IPv6Address):
            known = ipaddress.ip_network((known, 64), strict=False).network_address
        return self.slot("address", str(known))


def delay_after(failures: int) -> int:
    """How long (ms) the next try waits after so many failures in a row."""
    return 0 if failures < FREE else min(FIRST_DELAY << min(failures - FREE, 20), LONGEST_DELAY)


def wait_of(session: ReadSession, slot: str, *, now: int) -> int:
    """How many ms a try at `slot` would have to wait at `now` (ms UTC)."""
    until = session.scalar(select(_table.c.until).where(_table.c.subject == slot))
    return 0 if until is None else max(0, until - now)


def require_turn(turn: Turn) -> None:
    """Go on only with a try that is heard.

    Raises:
        SignInError: `sign-in.wait`.
    """
    if turn.wait:
        seconds = -(-turn.wait // 1000)
        detail = f"too many tries have failed: the next one is heard in {seconds} s"
        raise SignInError(detail, code="sign-in.wait", extra={"retry_after": seconds})


def take_turn(session: WriteSession, slot: str, *, now: int) -> Turn:
    """Begin a try at `slot`: it counts as a failure until `succeed` says otherwise.

    Counted before it is heard, so that a hundred at once are not all the first one.
    """
    row = _locked(session, slot)
    if row.until > now:
        turned_away = row.turned_away + 1
        _set(session, slot, turned_away=turned_away)
        return Turn(row.until - now, row.failures, turned_away)
    failures = row.failures + 1
    _set(session, slot, failures=failures, turned_away=0, until=now + delay_after(failures))
    return Turn(0, row.failures, row.turned_away)


def succeed(session: WriteSession, *slots: str) -> None:
    """What was tried there has succeeded: nothing is held against it any more."""
    session.execute(delete(_table).where(_table.c.subject.in_(slots)))


def note_unheard_of(session: WriteSession, slot: str) -> None:
    """Write as much for a name that nobody has as a log entry would for one that somebody has."""
    _set(session, slot, turned_away=0)


def draw(session: WriteSession, slot: str, *, now: int) -> int:
    """Take a try out of an address's bucket: 0, or how many ms until there is one."""
    row = _locked(session, slot)
    empty_at: int = max(row.until, now)
    wait = empty_at - now - (BURST - 1) * REFILL
    if wait > 0:
        return wait
    _set(session, slot, until=empty_at + REFILL)
    return 0


def forget_old(session: WriteSession, *, now: int) -> None:
    """Clear away what nobody has tried for a day."""
    session.execute(delete(_table).where(_table.c.until < now - FORGOTTEN))


def _locked(session: WriteSession, slot: str) -> Row[Any]:
    """The row of `slot`, made where there is none, locked until the end of the transaction: in one statement, since
    another's success may delete it at any moment."""
    made = (
        "INSERT INTO sign_in_try (subject, failures, turned_away, until) VALUES (:slot, 0, 0, 0) "
        "ON CONFLICT (subject) DO UPDATE SET failures = sign_in_try.failures RETURNING failures, turned_away, until"
    )
    return session.execute(text(made), {"slot": slot}).one()


def _set(session: WriteSession, slot: str, **values: int) -> None:
    session.execute(update(_table).where(_table.c.subject == slot).values(**values))

"""What time brings about: versions whose deadline or instant passes, and the last figures of a party that leaves.

Whether all there is of a partner's feed is here is known only right after it was asked; when that last was so is
written down for the feeds on which something depends, and for no others.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.agreements.acts import settle_versions
from gateway.agreements.leaving import reconcile_due, watched_feeds
from gateway.db import ReadSession
from gateway.service import Gateway
from gateway.store import feeds
from partners.agreements import note_look
from partners.plans import governance_feed, known_plans


def govern(gateway: Gateway, *, now: int) -> None:
    """Whatever follows by now. `now` in ms UTC; quick where nothing does."""
    settle_versions(gateway, now=now)
    reconcile_due(gateway, now=now)


def note_looks(gateway: Gateway, provider: str, heads: Mapping[str, int], *, at: int) -> bool:
    """The partner `provider` was asked at the instant `at` (ms UTC) and told these `heads` of its feeds.

    Whether something here waits for what the next answer tells.
    """
    with gateway.database.read() as session:
        watched = _watched(session, gateway.party, provider, at)
        complete = [
            name for name in watched if feeds.head(session, provider, name).seq >= heads.get(name, 0)
        ]  # fmt: skip
    if complete:
        with gateway.database.write() as session:
            for name in sorted(complete):
                note_look(session, provider, name, at=at)
        govern(gateway, now=at)
    return bool(watched)


def _watched(session: ReadSession, home: str, provider: str, at: int) -> set[str]:
    """The feeds of `provider` of which it matters until when we have all."""
    undecided = {
        governance_feed(one.plan.id)
        for one in known_plans(session)
        if one.verdict is None and one.proposer == provider and one.effective <= at
    }
    return undecided | watched_feeds(session, home, provider, now=at)

"""Background duties of a running gateway: sequence, judge, publish, release, pull, push, refresh. One thread each.

Every duty may run in several processes at once without harm, since each takes its lock in the database for the step it
does; that only one of them does the work is economy, not safety. A step that fails is logged and tried again: nothing a
duty does is lost by stopping between two steps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import structlog

from audit.errors import HeadConflictError, LogError
from gateway.errors import ReadOnlyError
from gateway.expiry import expiries
from gateway.ingest.release import release_arrived
from gateway.key_rotation import settle
from gateway.people.enrolment import forget_past
from gateway.quality import TOGETHER
from gateway.service import Gateway
from gateway.signals import Signal
from gateway.standing import activate
from gateway.sync.links import Links, has_to_do
from gateway.sync.pull import Puller, pull_once
from gateway.sync.push import push_due
from gateway.sync.refresh import Refresher
from partners.directory import Party, PartyState, find_party, parties
from partners.oauth.replay import forget_expired
from partners.plans import plans_in_force
from schemas.errors import SharingError
from schemas.times import DAY, now_millis

log = structlog.get_logger()

IDLE = 1.0  # seconds after which every duty looks for itself, whatever signals it missed
_TIDY = 60.0  # seconds
_JUDGED_TOGETHER = 1.0  # seconds; a value that comes after a pause is judged at once
_AFTER_FAULT = 1.0  # seconds
_PATIENCE = 3.0  # seconds a stop waits for steps under way; what it cuts off is as safe as a crash


class Duties:
    """Starts the duties and stops them; `stop` returns when all have ended."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._links = Links(gateway)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._partners: dict[str, threading.Event] = {}  # what ends the duties for a partner
        self._states: dict[str, PartyState] = {}
        self._warned: dict[str, int] = {}  # how urgently it was said of what that it ends

    def start(self) -> None:
        """Recover what a stop left half done, then start. A database that was set back is served read-only."""
        gateway = self._gateway
        try:
            gateway.sequencer.recover()
            gateway.publisher.recover()
        except SharingError as error:
            self._stand_still(error)
            return
        self._run("sequence", gateway.signals.logged, self._sequence)
        self._run("judge", gateway.signals.to_judge, self._judge)
        self._run("publish", gateway.signals.queued, self._publish)
        self._run("release", gateway.signals.arrived, self._release)
        self._run("partners", gateway.signals.partners, self._meet_partners)
        self._run("keys", gateway.signals.keys, self._keep_keys)
        self._run("tidy", gateway.signals.tidy, self._tidy, every=_TIDY)

    def stop(self) -> None:
        """End all duties. One that waits for a partner's answer is left behind: it would find nothing to do."""
        self._stopping.set()
        for ended in list(self._partners.values()):
            ended.set()
        for signal in self._gateway.signals.all():
            signal.send()
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(timeout=max(0.0, end - time.monotonic()))
        self._links.close()

    def _run(
        self, name: str, wake: Signal | None, step: Callable[[], object], *, every: float = IDLE,
        until: threading.Event | None = None,
    ) -> None:  # fmt: skip
        """Repeat `step` in a thread: whenever `wake` is sent and `every` so often; without `wake`, again at once.

        It ends with all duties, or with `until`.
        """
        ended = until or self._stopping

        def loop() -> None:
            seen = 0
            while not (ended.is_set() or self._stopping.is_set()):
                self._attempt(name, step, ended)
                seen = wake.wait(seen, every) if wake else 0

        thread = threading.Thread(target=loop, name=name, daemon=True)
        self._threads = [other for other in self._threads if other.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _attempt(self, name: str, step: Callable[[], object], ended: threading.Event) -> None:
        try:
            step()
        except (LogError, HeadConflictError, ReadOnlyError) as error:
            self._stand_still(error)
        except Exception as error:
            # Whatever it is, the duty goes on: a thread that ended here would be missed by nobody until it mattered.
            if not ended.is_set():
                log.exception("duty.failed", duty=name, error=type(error).__name__)
                ended.wait(_AFTER_FAULT)

    def _stand_still(self, error: SharingError) -> None:
        """What was given out and what is stored contradict each other: read-only, until people have decided."""
        self._gateway.read_only = error
        self._stopping.set()
        for ended in list(self._partners.values()):
            ended.set()
        log.critical("gateway.read-only", code=error.code, detail=error.detail)

    def _sequence(self) -> None:
        while self._gateway.sequencer.step() and not self._stopping.is_set():
            # What comes within this time shares one signature and one commit.
            self._stopping.wait(self._gateway.settings.checkpoint)

    def _judge(self) -> None:
        """What is found after a line has left makes it leave again, with its findings."""
        while (step := self._gateway.judge.judge_waiting(now=now_millis())).looked_at and not self._stopping.is_set():
            if step.queued:
                self._gateway.signals.queued.send()
            if step.looked_at < TOGETHER:
                # Values of one series that come within this time read its history once.
                self._stopping.wait(_JUDGED_TOGETHER)

    def _publish(self) -> None:
        while self._gateway.publisher.publish_due(now=now_millis()) and not self._stopping.is_set():
            self._gateway.signals.published.send()
            self._gateway.signals.logged.send()

    def _release(self) -> None:
        release_arrived(self._gateway, now=now_millis())

    def _keep_keys(self) -> None:
        """Finish what a rotation left to be done once its time has come; serve a certificate that was replaced."""
        settle(self._gateway, now=now_millis())
        self._gateway.certificates.look()

    def _tidy(self) -> None:
        """Forget assertions, proofs, sessions and codes that nobody could use again anyway; say what ends
        soon."""
        now = now_millis()
        with self._gateway.database.write() as session:
            forget_expired(session, now)
            forget_past(session, now=now)
        for one in expiries(self._gateway, now=now):
            level = one.level(now)
            if level > self._warned.get(one.what, 0):
                log.warning("expiry.near", what=one.what, days=(one.ends - now) // DAY)
            self._warned[one.what] = level

    def _meet_partners(self) -> None:
        """A puller and a pusher for every partner that something goes to or from, and for no other."""
        now = now_millis()
        if activate(self._gateway, now=now):
            self._gateway.signals.logged.send()
        with self._gateway.database.read() as session:
            known = {party.code: party for party in parties(session)}
            plans = plans_in_force(session, now)
        states = {code: party.state for code, party in known.items()}
        if states != self._states:
            self._states = states
            self._gateway.heads_watch.nudge()  # whoever waits for a feed is asked again whether they may
        busy = {code for code, party in known.items() if has_to_do(party, plans)}
        for code in self._partners.keys() - busy:
            self._partners.pop(code).set()
            self._links.drop(code)
        for code in sorted(busy - self._partners.keys()):
            self._partners[code] = ended = threading.Event()
            self._run_puller(code, ended)
            push = partial(self._push, code)
            self._run(f"push {code}", self._gateway.signals.published, push, until=ended)
            refresher = Refresher(self._gateway, self._links, code)
            self._run(f"refresh {code}", self._gateway.signals.documents, refresher.step, until=ended)

    def _run_puller(self, code: str, ended: threading.Event) -> None:
        puller = Puller(self._gateway, self._links, code)
        settings = self._gateway.settings
        pause = settings.retry.min

        def step() -> None:
            nonlocal pause
            party = self._busy_party(code)
            if party is not None and pull_once(puller, party, wait=settings.poll_wait):
                pause = settings.retry.min
            else:
                ended.wait(pause)
                pause = min(pause * 2, settings.retry.max)

        self._run(f"pull {code}", None, step, until=ended)

    def _push(self, code: str) -> None:
        party = self._busy_party(code)
        while party is not None and push_due(self._gateway, self._links, party) and not self._stopping.is_set():
            party = self._busy_party(code)

    def _busy_party(self, code: str) -> Party | None:
        """The party as it stands now, where anything goes to or from it."""
        with self._gateway.database.read() as session:
            party = find_party(session, code)
            return party if party is not None and has_to_do(party, plans_in_force(session, now_millis())) else None

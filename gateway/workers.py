"""Background duties of a running gateway: sequence, judge, publish, release, pull, push. One thread each.

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
from gateway.ingest.release import release_arrived
from gateway.people.enrolment import forget_past
from gateway.quality import TOGETHER
from gateway.service import Gateway
from gateway.signals import Signal
from gateway.sync.links import Links
from gateway.sync.pull import Puller, pull_once
from gateway.sync.push import push_due
from partners.directory import find_party, parties
from partners.oauth.replay import forget_expired
from schemas.errors import SharingError
from schemas.times import now_millis

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
        self._partners: set[str] = set()

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
        self._run("tidy", gateway.signals.tidy, self._tidy, every=_TIDY)

    def stop(self) -> None:
        """End all duties. One that waits for a partner's answer is left behind: it would find nothing to do."""
        self._stopping.set()
        for signal in self._gateway.signals.all():
            signal.send()
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(timeout=max(0.0, end - time.monotonic()))
        self._links.close()

    def _run(self, name: str, wake: Signal | None, step: Callable[[], None], *, every: float = IDLE) -> None:
        """Repeat `step` in a thread: whenever `wake` is sent and `every` so often; without `wake`, again at once."""

        def loop() -> None:
            seen = 0
            while not self._stopping.is_set():
                self._attempt(name, step)
                seen = wake.wait(seen, every) if wake else 0

        thread = threading.Thread(target=loop, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _attempt(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (LogError, HeadConflictError, ReadOnlyError) as error:
            self._stand_still(error)
        except Exception as error:
            # Whatever it is, the duty goes on: a thread that ended here would be missed by nobody until it mattered.
            if not self._stopping.is_set():
                log.exception("duty.failed", duty=name, error=type(error).__name__)
                self._stopping.wait(_AFTER_FAULT)

    def _stand_still(self, error: SharingError) -> None:
        """What was given out and what is stored contradict each other: read-only, until people have decided."""
        self._gateway.read_only = error
        self._stopping.set()
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

    def _tidy(self) -> None:
        """Forget assertions, proofs, sessions and codes that nobody could use again anyway."""
        now = now_millis()
        with self._gateway.database.write() as session:
            forget_expired(session, now)
            forget_past(session, now=now)

    def _meet_partners(self) -> None:
        """A puller and a pusher for every active partner that has none yet."""
        with self._gateway.database.read() as session:
            active = {party.code for party in parties(session) if party.state == "active"}
        for code in sorted(active - self._partners):
            self._partners.add(code)
            self._run_puller(code)
            self._run(f"push {code}", self._gateway.signals.published, partial(self._push, code))

    def _run_puller(self, code: str) -> None:
        puller = Puller(self._gateway, self._links, code)
        settings = self._gateway.settings
        pause = settings.retry.min

        def step() -> None:
            nonlocal pause
            with self._gateway.database.read() as session:
                party = find_party(session, code)
            if party is not None and party.state == "active" and pull_once(puller, party, wait=settings.poll_wait):
                pause = settings.retry.min
            else:
                self._stopping.wait(pause)
                pause = min(pause * 2, settings.retry.max)

        self._run(f"pull {code}", None, step)

    def _push(self, code: str) -> None:
        with self._gateway.database.read() as session:
            party = find_party(session, code)
        if party is not None and party.state == "active":
            while push_due(self._gateway, self._links, party) and not self._stopping.is_set():
                pass

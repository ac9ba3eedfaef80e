"""A group of packets into the database: one submission for those who are known, a note of those who are not.

What this module must never do: call a packet kept before its commit, or let one packet that cannot be stored take
others along. All of it runs in a thread and waits for the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from gateway.errors import ReadOnlyError
from gateway.ingest.parcel import HJ212
from gateway.ingest.submissions import submit
from gateway.loggers.strangers import Visit, note_strangers
from gateway.service import Gateway
from gateway.store.evidence import keep_evidence
from partners.principal import Principal
from schemas.hj212 import Message
from schemas.times import now_millis

CLIENT = "hj212-listener"
"""The client that submissions of data loggers name. It has no key, and so can never ask for a token."""
EVIDENCE = "hj212"
"""Where bounded evidence of broken packets is kept, in the place of a dataset."""

log = structlog.get_logger()

P = TypeVar("P", bound="Arrival | Visit")


@dataclass(frozen=True, eq=False)
class Arrival:
    """One packet as it came (`packet`) and as it was understood; `at` in ms UTC is when.

    `message` is None for a packet of a stranger that is encrypted: only its MN can be read.
    """

    packet: bytes
    message: Message | None
    mn: str
    address: str
    at: int
    stranger: bool

    @property
    def sent_again(self) -> bool:
        """Whether its sender waits for an answer, and so sends it again if none comes."""
        return self.stranger or (self.message is not None and self.message.wants_answer)


@dataclass(frozen=True)
class Broken:
    """Bytes that were no packet, for the evidence."""

    code: str
    detail: str
    content: bytes


class UnavailableError(Exception):
    """Nothing can be kept for now: the database does not answer, or may not be written to."""


def submitter(party: str) -> Principal:
    """Who hands in what loggers of `party` send."""
    return Principal(party, CLIENT, "station", frozenset({"records:submit"}), "")


class Keeper:
    """Keeps groups, one after the other."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._principal = submitter(gateway.party)

    def keep(self, group: Sequence[Arrival]) -> set[Arrival]:
        """Commit the group; those that are not in the answer could not be stored, each for itself.

        Raises:
            UnavailableError: the database cannot be written to; some of the group may be committed all the same.
        """
        if self._gateway.read_only is not None:
            raise UnavailableError(self._gateway.read_only.code) from ReadOnlyError("nothing is taken in")
        known = [arrival for arrival in group if not arrival.stranger]
        kept = self.submit(known) if known else set()
        strangers = [arrival for arrival in group if arrival.stranger]
        if strangers:
            self._note(strangers)
        return kept.union(strangers)

    def keep_broken(self, broken: Sequence[Broken]) -> None:
        """Keep some of what was no packet, within the bounds of `keep_evidence`."""
        now = now_millis()
        with self._gateway.database.write() as session:
            for one in broken:
                keep_evidence(
                    session, provider=self._gateway.party, dataset=EVIDENCE, seq=None, code=one.code,
                    detail=one.detail, content=one.content, now=now,
                )  # fmt: skip

    def submit(self, group: Sequence[P]) -> set[P]:
        """One submission; where it cannot be stored, its halves, down to the packet that is the reason.

        Raises:
            UnavailableError: as for `keep`.
        """
        content = b"\r\n".join(arrival.packet for arrival in group)
        received = [arrival.at for arrival in group]
        try:
            submit(self._gateway, self._principal, HJ212, content, now=now_millis(), received=received)
        except Exception as error:
            if _is_unavailable(error):
                raise UnavailableError(type(error).__name__) from error
            if len(group) > 1:
                middle = len(group) // 2
                return self.submit(group[:middle]) | self.submit(group[middle:])
            self._set_aside(group[0], error)
            return set()
        return set(group)

    def _set_aside(self, arrival: Arrival | Visit, error: Exception) -> None:
        """A packet that no submission can hold is a fault of ours: kept as evidence, and said loudly."""
        log.exception("loggers.packet-set-aside", mn=arrival.mn, error=type(error).__name__, exc_info=error)
        self.keep_broken([Broken("packet.set-aside", f"{arrival.mn}: {type(error).__name__}", arrival.packet)])

    def _note(self, strangers: Sequence[Arrival]) -> None:
        visits = [Visit(one.mn, one.address, one.at, one.packet) for one in strangers]
        try:
            with self._gateway.database.write() as session:
                new = note_strangers(session, visits)
        except DBAPIError as error:
            raise UnavailableError(type(error).__name__) from error
        for mn in new:
            log.warning("loggers.stranger", mn=mn)


def _is_unavailable(error: Exception) -> bool:
    """Whether nothing at all could be stored now, as opposed to this: few of a database's errors are about values."""
    about_values = isinstance(error, DataError | IntegrityError)
    return isinstance(error, DBAPIError | PoolTimeoutError) and not about_values

"""What the store made of a parcel, counted and reported place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert

from gateway.db import WriteSession
from gateway.ingest.parcel import Item, Problem, Waiting
from gateway.store import tables
from gateway.store.acts import Act
from gateway.store.observations import Taken
from gateway.store.records import Outcome
from schemas.records import Retraction, Site, Statement

_REFUSALS = {
    "record.reason-required": "another value is held under this key; a revision says why in `reason`",
    "record.rev-conflict": "this revision is held with other content; both are kept as evidence",
    "record.immutable": "such a record is never changed; withdraw it with a retraction and hand it in anew",
    "record.nothing-to-retract": "nothing is held under this key",
}


@dataclass
class Tally:
    """What became of every record. `problems` is the whole report, decoding included; `waiting` what is held.

    `sites` are the sites that came or changed, with their programmes (None: withdrawn): others may be waiting for them.
    """

    accepted: int = 0
    duplicates: int = 0
    revised: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    sites: dict[str, frozenset[str] | None] = field(default_factory=dict)
    queued: bool = False
    to_judge: bool = False

    @property
    def held(self) -> int:
        return len(self.waiting)

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "revised": self.revised,
            "refused": self.refused,
            "held": self.held,
        }

    def refuse(self, item: Item, code: str, detail: str = "", pointers: tuple[str, ...] = ()) -> None:
        """The item is not taken; without `detail`, for a reason of the store's that is said here."""
        self.refused += 1
        text = item.content[:200].decode("utf-8", "replace")
        self.problems.append(Problem(item.place, "refused", code, detail or _REFUSALS[code], pointers, text))

    def wait_for_site(self, item: Item, site: str) -> None:
        """The item waits until its site arrives."""
        detail = f"site {site} has not arrived yet; the record waits for it"
        self.problems.append(Problem(item.place, "held", "record.site-unknown", detail, ("/site",)))
        self.waiting.append(Waiting(item.place, item.content, item.media_type, "site", site))

    def count_statement(self, item: Item, record: Statement, outcome: Outcome) -> None:
        """What became of a record of any kind but observation."""
        if outcome.verdict == "refused":
            self.refuse(item, outcome.code)
            return
        self.accepted += outcome.verdict == "accepted"
        self.revised += outcome.verdict == "revised"
        self.duplicates += outcome.verdict == "duplicate"
        if outcome.current and outcome.verdict != "duplicate":
            if isinstance(record, Site):
                self.sites[record.id] = frozenset(record.programmes)
            elif isinstance(record, Retraction) and record.of == "site":
                self.sites[str(record.key["id"])] = None

    def count_readings(self, items: Sequence[Item], taken: Taken) -> None:
        """What became of readings, each of which came as the item at its position."""
        self.accepted += len(taken.accepted)
        self.duplicates += len(taken.duplicates)
        self.revised += len(taken.revised)
        for position, rev in taken.revised.items():
            detail = f"revision {rev}; the earlier one is kept"
            self.problems.append(Problem(items[position].place, "revised", "record.revised", detail))
        for position, code in taken.refused.items():
            self.refuse(items[position], code)

    def hold(self, session: WriteSession, act: Act) -> None:
        """Keep what waits."""
        rows = [
            {
                "act_id": act.id, "provider": act.provider, "place": item.place, "media_type": item.media_type,
                "content": item.content, "waits_for": item.waits_for, "name": item.name, "since": act.at,
            }
            for item in self.waiting
        ]  # fmt: skip
        if rows:
            session.execute(insert(tables.held), rows)

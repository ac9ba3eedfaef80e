"""What a caller may ask of the partner listener: each request as a value, and the scopes it takes.

Every route asks for exactly one of these; `partners.grants` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Submit:
    """Hand in records of the home party."""


@dataclass(frozen=True)
class ReadSubmission:
    """Read what became of records that `client` handed in, or what they were."""

    client: str


@dataclass(frozen=True)
class ReadFeed:
    """Read the batches of a dataset."""

    provider: str
    dataset: str


@dataclass(frozen=True)
class ListFeeds:
    """Ask which datasets there are to read."""


@dataclass(frozen=True)
class PushBatch:
    """Hand over a batch of a dataset."""

    provider: str
    dataset: str


@dataclass(frozen=True)
class SendReceipt:
    """Hand over a receipt for a batch of a dataset; `owed` where that batch was on its way to the caller."""

    provider: str
    dataset: str
    owed: bool = False


@dataclass(frozen=True)
class ReadReceipt:
    """Read what belongs to a receipt that was given to the caller."""


@dataclass(frozen=True)
class ReadRecords:
    """Read records of one kind; of `dataset` alone where it is named."""

    kind: str
    dataset: str = ""


@dataclass(frozen=True)
class ReadFindings:
    """Read what the quality rules found, with the sentences that are meant for the provider."""


@dataclass(frozen=True)
class ReadPlans:
    """Read the plans that the caller's party takes part in."""


@dataclass(frozen=True)
class ReadTiles:
    """Read the hashes of the exchange log."""


@dataclass(frozen=True)
class ReadLog:
    """Read the entries of the exchange log."""


OfDataset: TypeAlias = ReadFeed | PushBatch | SendReceipt
OfHome: TypeAlias = Submit | ReadSubmission | ListFeeds | ReadReceipt | ReadFindings | ReadPlans | ReadTiles | ReadLog
Request: TypeAlias = OfDataset | OfHome | ReadRecords

SCOPES: Mapping[type[Request], frozenset[str]] = {
    Submit: frozenset({"records:submit"}),
    ReadSubmission: frozenset(),  # who handed it in may look; whoever else needs `records:read`
    ReadFeed: frozenset({"feeds:read"}),
    ListFeeds: frozenset({"feeds:read"}),
    PushBatch: frozenset({"feeds:push"}),
    SendReceipt: frozenset({"receipts:write"}),
    ReadReceipt: frozenset(),  # whoever it was given to
    ReadRecords: frozenset({"records:read"}),
    ReadFindings: frozenset({"records:read"}),
    ReadPlans: frozenset(),  # whoever is bound by them
    ReadTiles: frozenset(),  # hashes say nothing; a witness, an auditor and every partner need them
    ReadLog: frozenset({"audit:read"}),
}
"""What a request takes: *all* of the scopes."""

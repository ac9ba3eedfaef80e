"""Who may do what: one pure function over the caller, what it asks for, and the plans in force.

Default deny. A scope is a ceiling, the plan decides: a client with `feeds:read` still reads only the datasets its
party receives. A refusal is a value, not an exception, because whoever asks must also log it. Reads of records get
their answer as an `Extent`, which every query over records requires.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from partners.plans import Plans
from partners.principal import Principal
from schemas.plan import Dataset


@dataclass(frozen=True)
class Submit:
    """Hand in records of the home party."""


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
class ReadRecords:
    """Read observations, sites and other records."""


@dataclass(frozen=True)
class ReadFindings:
    """Read what the quality rules found, with the sentences that are meant for the provider."""


@dataclass(frozen=True)
class ReadLog:
    """Read the entries of the exchange log."""


Request = Submit | ReadFeed | ListFeeds | PushBatch | SendReceipt | ReadRecords | ReadFindings | ReadLog

SCOPES: dict[type[Request], str] = {
    Submit: "records:submit",
    ReadFeed: "feeds:read",
    ListFeeds: "feeds:read",
    PushBatch: "feeds:push",
    SendReceipt: "receipts:write",
    ReadRecords: "records:read",
    ReadFindings: "records:read",
    ReadLog: "audit:read",
}


@dataclass(frozen=True)
class Extent:
    """How much a reader may see: `everything`, or its party's own records and what `datasets` select and leave.

    `starts` says from when on each of the datasets may be seen (ms UTC; None: from the beginning).
    """

    everything: bool
    party: str
    datasets: tuple[Dataset, ...] = ()
    starts: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Decision:
    """`allow`, or a public `code` and a sentence. `extent` comes with an allowed read of records.

    `start` comes with an allowed read of a feed: what was made before it (ms UTC) is not for this reader; None: all is.
    """

    allow: bool
    code: str = ""
    detail: str = ""
    extent: Extent | None = None
    start: int | None = None


def decide(principal: Principal, request: Request, plans: Plans, home: str) -> Decision:
    """Whether `principal` may have `request` at the gateway of `home` under the `plans` in force now."""
    scope = SCOPES[type(request)]
    if scope not in principal.scopes:
        return _deny("access.scope-insufficient", f"the token has no scope {scope}")
    match request:
        case Submit():
            return _only(principal.party == home, "access.not-home", "records enter at the gateway of their own party")
        case ListFeeds():
            return Decision(allow=True)
        case ReadFeed(provider, dataset):
            return _read_feed(principal, plans, home, provider, dataset)
        case PushBatch(provider, dataset):
            return _push(principal, plans, home, provider, dataset)
        case SendReceipt(provider, dataset, owed):
            # What was given under an earlier plan is still receipted.
            return Decision(allow=True) if owed else _granted(plans, provider, dataset, principal.party)
        case ReadRecords():
            return Decision(allow=True, extent=_extent(principal, plans, home))
        case ReadFindings():
            return _only(principal.party == home, "access.not-home", "findings are told to the party they are for")
        case ReadLog():
            return _only(principal.party == home, "access.not-home", "the log's entries are for the party's auditors")


def may_read_feed(principal: Principal, plans: Plans, home: str, provider: str, dataset: str) -> bool:
    """Whether a list of feeds shows this one to `principal`."""
    return decide(principal, ReadFeed(provider, dataset), plans, home).allow


def _read_feed(principal: Principal, plans: Plans, home: str, provider: str, dataset: str) -> Decision:
    # A provider may always read its own feed back: that is how it recovers from a lost database.
    if principal.party in (home, provider):
        return Decision(allow=True)
    if provider != home:
        return _deny("access.not-relayed", "this gateway does not relay feeds of other parties")
    decision = _granted(plans, provider, dataset, principal.party)
    return replace(decision, start=plans.start(provider, dataset, principal.party)) if decision.allow else decision


def _push(principal: Principal, plans: Plans, home: str, provider: str, dataset: str) -> Decision:
    if principal.party != provider:
        return _deny("feed.not-provider", "only a feed's provider may push it")
    return _granted(plans, provider, dataset, home)


def _granted(plans: Plans, provider: str, dataset: str, recipient: str) -> Decision:
    found = plans.dataset(provider, dataset)
    if found is None or not found[1].readable_by(recipient):
        return _deny("access.not-granted", f"no plan in force gives {provider}/{dataset} to {recipient}")
    return Decision(allow=True)


def _extent(principal: Principal, plans: Plans, home: str) -> Extent:
    if principal.party == home:
        return Extent(everything=True, party=home)
    received = tuple(dataset for dataset in plans.received_by(principal.party) if dataset.provider == home)
    starts = tuple(plans.start(home, dataset.id, principal.party) for dataset in received)
    return Extent(everything=False, party=principal.party, datasets=received, starts=starts)


def _only(allow: bool, code: str, detail: str) -> Decision:
    return Decision(allow=True) if allow else _deny(code, detail)


def _deny(code: str, detail: str) -> Decision:
    return Decision(allow=False, code=code, detail=detail)

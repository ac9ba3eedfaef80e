"""The shared-data plan as values, and the decisions it takes: who provides, who may read, what is selected.

Everything here is pure and cheap: a selection is judged once for each series, site or source, and the caller keeps the
answer. Whatever a plan does not say is not shared; a selection narrows, a projection removes, nothing widens.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from schemas.periods import Duration

Kind = Literal["site", "source", "observation", "mark", "inspection", "case"]
Mode = Literal["push", "pull", "drop"]
Sharing = Literal["unconditional", "conditional", "not-shared"]
Grade = Literal["general", "important", "core"]
OnRefusal = Literal["continue", "stop"]
DEFAULT_LEAD = timedelta(hours=24)  # every gateway has time to see the signatures, one that is cut off to notice it
Reach: TypeAlias = Literal["none", "all"] | datetime  # how far back a recipient may see


@dataclass(frozen=True, slots=True)
class Title:
    """A name in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a provider's records belong to a dataset. None means that this does not narrow the selection."""

    programmes: frozenset[str] | None = None
    factors: frozenset[str] | None = None
    periods: frozenset[str] | None = None
    origins: frozenset[str] | None = None
    stats: frozenset[str] | None = None
    sites: frozenset[str] | None = None
    categories: frozenset[str] | None = None
    kinds: frozenset[str] | None = None

    def admits_series(
        self, site: str, site_programmes: AbstractSet[str], factor: str, origin: str, stat: str, period: str
    ) -> bool:
        """Whether the observations of one series are selected; `site_programmes` are those the site belongs to."""
        return (
            _names(self.factors, factor)
            and _names(self.periods, period)
            and _names(self.origins, origin)
            and _names(self.stats, stat)
            and self.admits_site(site, site_programmes)
        )

    def admits_site(self, site: str, programmes: AbstractSet[str]) -> bool:
        """Whether a site, and what is said of it alone (marks, inspections), is selected."""
        return _names(self.sites, site) and _meets(self.programmes, programmes)

    def admits_source(self, categories: AbstractSet[str]) -> bool:
        """Whether a pollution source of these categories is selected."""
        return _meets(self.categories, categories)

    def admits_case(self, kind: str) -> bool:
        """Whether the steps of a case of this kind are selected; to whom a step goes is judged by its `to`."""
        return _names(self.kinds, kind)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many `requests` in each window of the length `per`; windows lie end to end from 1970-01-01T00:00Z."""

    requests: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class Recipient:
    """A party that receives a dataset, and on which terms.

    `from_` is how far back it may see, None as the dataset's history says; at `until` its grant ends, None with the
    plan. `purpose` None is the dataset's. `rate` is for each of its clients, None without a bound.
    """

    party: str
    from_: datetime | None = None
    until: datetime | None = None
    purpose: str | None = None
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Season:
    """The part of each year in which values are due, first and last day included; it may cross the year's end."""

    first: tuple[int, int]  # month, day
    last: tuple[int, int]

    def contains(self, day: date) -> bool:
        today = (day.month, day.day)
        if self.first <= self.last:
            return self.first <= today <= self.last
        return today >= self.first or today <= self.last


@dataclass(frozen=True, slots=True)
class Campaign:
    """A survey: `count` results between two instants, without a rhythm."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Cadence:
    """When values are expected: either `every` period, within the `season` if there is one, or in a `campaign`.

    `due` is how long after a period's end (or a campaign's) the value must be at the recipient.
    """

    every: Duration | None
    due: Duration
    season: Season | None = None
    campaign: Campaign | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value that opens a warning case, and who else is told (parties, or bodies that are not, like a waterworks).

    `value` is as written, in `unit`; `compare` says whether the full or the rounded value is compared; `consecutive`
    values must reach it. `limit` says what kind of limit it is (参考限值 is never 超标).
    """

    factor: str
    side: Literal["at-or-above", "at-or-below"]
    value: Decimal
    unit: str
    compare: Literal["full", "rounded"]
    consecutive: int
    also_to: tuple[str, ...]
    limit: str | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """One line of the plan: a selection and projection of one provider's records, for named recipients.

    What the data-sharing rules ask of a catalogue entry (`format` to `retention`) comes from the plan's defaults where
    the dataset does not say. `conditions` is never None where sharing is conditional, nor `citation` (of the law) where
    nothing is shared. `retention` None means as long as the recipient's own rules ask.

    `relay` are the recipients that may pass the feed on to the others. `despite_suspension`: it passes while a party is
    suspended. `secondary`: another provider leads for the same items (政务数据共享条例 art. 19).
    """

    id: str
    title: Title | None
    provider: str
    unit_in_charge: str | None
    recipients: tuple[Recipient, ...]
    kind: Kind
    select: Selection
    hide: tuple[str, ...]
    linger: timedelta
    cadence: Cadence | None
    mode: Mode
    history: Reach
    on_refusal: OnRefusal
    purpose: str | None
    basis: tuple[str, ...]
    warn: tuple[Threshold, ...]
    format: str
    sharing: Sharing
    conditions: str | None
    citation: str | None
    grade: Grade
    retention: Duration | None
    relay: tuple[str, ...] = ()
    despite_suspension: bool = False
    secondary: bool = False

    def recipient(self, party: str) -> Recipient | None:
        """The party's terms where it is a recipient, its period over or not."""
        for one in self.recipients:
            if one.party == party:
                return one
        return None

    def received_by(self, party: str) -> bool:
        """Whether the party is among the recipients."""
        return self.recipient(party) is not None

    def purpose_of(self, party: str) -> str | None:
        """What the party may use the records for: its own purpose, or the dataset's."""
        found = self.recipient(party)
        return found.purpose if found is not None and found.purpose is not None else self.purpose

    def readable_by(self, party: str) -> bool:
        """Whether the party may read this feed: a recipient, or the provider, who may always read its own back."""
        return party == self.provider or self.received_by(party)

    def reach(self, party: str) -> Reach:
        """How far back the recipient may see; `none` is from its joining. Ask only where `readable_by`."""
        if party == self.provider:
            return "all"
        return next((one.from_ for one in self.recipients if one.party == party and one.from_), self.history)

    def project(self, record: Mapping[str, object]) -> dict[str, object]:
        """The record without its hidden members."""
        return {name: value for name, value in record.items() if name not in self.hide}


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of a shared-data plan.

    `canonical` is RFC 8785 of the document as given, with no default filled in: what the parties sign. `digest` is
    its base64url SHA-256. `until` None means until another version or a withdrawal ends it. All signatures must be
    published `lead` before `effective`.
    """

    id: str
    version: int
    title: Title
    parties: tuple[str, ...]
    effective: datetime
    until: datetime | None
    notice: Duration
    datasets: tuple[Dataset, ...]
    canonical: bytes
    digest: str
    lead: timedelta = DEFAULT_LEAD

    @property
    def reference(self) -> str:
        """`id@version`, as manifests name it."""
        return f"{self.id}@{self.version}"

    def in_force(self, now: datetime) -> bool:
        """Whether `now` lies in this version's term. Whether it was signed in time is for its feed to say."""
        return self.effective <= now and (self.until is None or now < self.until)

    def dataset(self, id_: str) -> Dataset | None:
        """The dataset with this id, or None. `plan check` refuses a plan that has two."""
        return next((one for one in self.datasets if one.id == id_), None)

    def provided_by(self, party: str) -> tuple[Dataset, ...]:
        """The datasets this party must provide, in plan order."""
        return tuple(one for one in self.datasets if one.provider == party)

    def received_by(self, party: str) -> tuple[Dataset, ...]:
        """The datasets this party receives, in plan order."""
        return tuple(one for one in self.datasets if one.received_by(party))


def _names(chosen: frozenset[str] | None, name: str) -> bool:
    return chosen is None or name in chosen


def _meets(chosen: frozenset[str] | None, names: AbstractSet[str]) -> bool:
    return chosen is None or not chosen.isdisjoint(names)

"""A profile: what the columns of one sort of sheet mean. Written by a person, as YAML or JSON.

    profile: air-hourly
    version: 1
    title: {zh: 空气站小时值, en: Hourly air}
    layout: wide                              # one column a factor; or `long`: factor, value and unit in columns
    site: {column: stationcode, read: id}     # an id as it stands; `name`: looked up in `table`, or in one given at use
    time:
      column: timepoint
      forms: [YYYY-MM-DDThhmm]
      hours: end                              # which end of its period a time names: start, end, or instant
      date-only: midnight                     # a date without an hour is 00:00 of that date; or `refuse`
      year: latest                            # or 2021; a time without a year is refused where this is not given
    missing: {NA: "null", "": omit}           # what stands for no value: a value that is null, or none at all
    members: {stat: avg, period: PT1H, flag: {column: 状态, values: {正常: N}}}
    factors:
      pm2_5: {factor: a34004, unit: ug/m3}
    ignore: [aqi]                             # columns that are left out on purpose
    repeated: published-again                 # why a place may be given twice with another value

A unit is always stated. A column that the profile neither reads nor ignores is noted, one that it needs and does not
find refuses the sheet: formats drift, and nobody announces it. A profile is a document of a version; a submission keeps
the reference (`air-hourly@1`) of the one that read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

from schemas.errors import SharingError
from schemas.records import Record
from schemas.sheets.comma import Encoding
from schemas.sheets.names import SiteNames
from schemas.tables import Tables, shipped_tables

Kind = Literal["observation", "site"]
Layout = Literal["wide", "long"]
Hours = Literal["start", "end", "instant"]
Missing = Literal["null", "omit"]


class ProfileError(SharingError):
    """A profile is not valid; `pointers` and `extra["faults"]` list every fault."""

    code = "profile.malformed"


@dataclass(frozen=True)
class FromColumn:
    """A member's text from a column; `values` translates it where it is not empty. An absent `optional` column is "".

    A text that `values` does not know is refused, unless there are none.
    """

    column: str
    values: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


Source = str | FromColumn
"""Where a member comes from: a text for all rows, or a column."""


@dataclass(frozen=True)
class SiteColumns:
    """Which site a row is of: the text of `columns`, joined by `join`, as an id behind `prefix` or as a name."""

    columns: tuple[str, ...]
    join: str = "-"
    read: Literal["name", "id"] = "name"
    prefix: str = ""
    table: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TimeColumns:
    """When: the text of `columns`, joined by a blank. `year` is "" where the text says it, `latest`, or digits."""

    columns: tuple[str, ...]
    forms: tuple[str, ...]
    hours: Hours
    midnight: bool = False
    year: str = ""


@dataclass(frozen=True)
class FactorColumn:
    """One column of a wide sheet. `members` are those of the row that are otherwise for this factor."""

    factor: str
    unit: str
    members: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True)
class ItemColumns:
    """The columns of a long sheet. `table` translates names of items; a factor code stands for itself."""

    item: str
    value: str
    unit: Source
    table: Mapping[str, str] = field(default_factory=dict)
    name: str = ""  # a second column that names the item whose code `item` has: the two must agree


@dataclass(frozen=True)
class Profile:
    """One version of one profile, every rule of it checked. `factors` is keyed by the header of the column."""

    name: str
    version: int
    title: Mapping[str, str]
    kind: Kind = "observation"
    sheet: str = ""
    header: int = 1
    encoding: Encoding | None = None
    delimiter: str | None = None
    layout: Layout = "wide"
    site: SiteColumns | None = None
    time: TimeColumns | None = None
    missing: Mapping[str, Missing] = field(default_factory=dict)
    members: Mapping[str, Source] = field(default_factory=dict)
    factors: Mapping[str, FactorColumn] = field(default_factory=dict)
    items: ItemColumns | None = None
    ignore: tuple[str, ...] = ()
    repeated: str = ""

    @property
    def reference(self) -> str:
        """`air-hourly@1`, as a submission names what read it."""
        return f"{self.name}@{self.version}"

    def columns(self) -> tuple[dict[str, None], dict[str, None]]:
        """The columns a sheet must have, and those it may have besides: ordered, ignored ones among the latter."""
        needed: dict[str, None] = {}
        may: dict[str, None] = dict.fromkeys(self.ignore)
        for part in (self.site, self.time):
            needed.update(dict.fromkeys(part.columns if part else ()))
        if self.items:
            needed.update(dict.fromkeys(filter(None, (self.items.item, self.items.value, self.items.name))))
        sources = [*self.members.values(), *([self.items.unit] if self.items else [])]
        for source in sources:
            if isinstance(source, FromColumn):
                (may if source.optional else needed)[source.column] = None
        for header, column in self.factors.items():
            (may if column.optional else needed)[header] = None
        return needed, may


@dataclass(frozen=True)
class Use:
    """What is given when a sheet is read: the reference instant `now` (ms UTC), a year, and sites by name or code.

    `names` are those of the sites that a gateway knows, with the days they were used; `sites` goes before them.
    `tables` are those in force; by default the ones that ship, for whoever has no gateway.
    """

    now: int
    year: int | None = None
    sites: Mapping[str, str] = field(default_factory=dict)
    names: SiteNames = field(default_factory=SiteNames)
    tables: Tables = field(default_factory=shipped_tables)


@dataclass(frozen=True)
class Through:
    """A profile, and what is given for the sheet that is read through it."""

    profile: Profile
    use: Use

    @property
    def reference(self) -> str:
        """`water-national@1`, with a year that was given: `water-national@1?year=2021`."""
        return self.profile.reference + (f"?year={self.use.year}" if self.use.year else "")


@dataclass(frozen=True)
class Found:
    """One record and the cell its value stood in; column 0 where it is the row as a whole."""

    row: int
    column: int
    record: Record
    repeats: int = 0  # the row that said exactly the same before


@dataclass(frozen=True)
class Finding:
    """What there is to say about a cell, a row (column 0) or the sheet (row 0). `verdict` is refused, held or noted.

    `record` is what waits, where it is held for `name` of the sort `waits_for`.
    """

    row: int
    column: int
    verdict: Literal["refused", "held", "noted"]
    code: str
    detail: str
    pointers: tuple[str, ...] = ()
    text: str = ""
    record: Record | None = None
    waits_for: str = ""
    name: str = ""


@cache
def shipped_names() -> tuple[str, ...]:
    """The profiles that this package ships, by name."""
    folder = files("schemas.data").joinpath("profiles")
    return tuple(sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml")))


def shipped_document(name: str) -> bytes:
    """The document of a shipped profile.

    Raises:
        ProfileError: `profile.unknown`.
    """
    if name not in shipped_names():
        message = f"{name[:40]!r} is not a profile we ship; there are {', '.join(shipped_names())}"
        raise ProfileError(message, code="profile.unknown")
    return files("schemas.data").joinpath("profiles", f"{name}.yaml").read_bytes()

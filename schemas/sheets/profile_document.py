"""From a profile's document to a profile: strict, all faults at once, nothing in it that a sheet could still surprise.

What a person has still to decide stands in a draft as `?` and is a fault here, so a guess never reads a sheet. Units
and factors must exist, a unit in a header must be the one the profile gives, and a name must not contradict its code:
antimony under another code than w20004 is refused with the reason.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast, get_args

from schemas.documents import FAULTY, Reading, escape, load_document
from schemas.errors import LimitError, SharingError
from schemas.factors import Factors
from schemas.mappings import check_meaning
from schemas.periods import is_period, parse_duration
from schemas.records.observation import Origin, Review, Stat
from schemas.sheets.comma import DELIMITERS, Encoding
from schemas.sheets.grid import SheetError
from schemas.sheets.moments import time_form
from schemas.sheets.profile import (
    FactorColumn,
    FromColumn,
    Hours,
    ItemColumns,
    Kind,
    Layout,
    Missing,
    Profile,
    ProfileError,
    SiteColumns,
    Source,
    TimeColumns,
    shipped_document,
)
from schemas.tables import Tables, shipped_tables
from schemas.units import Units

MAX_DOCUMENT = 1_048_576  # bytes
UNDECIDED = "?"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_HEADER = re.compile(r"(?P<name>.*?)[(（\[【](?P<unit>[^()（）]*(?:\([^()]*\))?[^()（）]*)[)）\]】]\s*", re.DOTALL)
_OBSERVATION_MEMBERS = (
    "origin", "stat", "period", "sample", "flag", "profile", "review", "reason", "method", "instrument", "detection",
    "determination", "nondetects", "confirms", "remark",
)  # fmt: skip
_STATEMENT_MEMBERS = {
    "site": (
        "id", "type", "name.zh", "name.en", "district", "water", "water_type", "position.x", "position.y",
        "position.datum", "upstream", "downstream", "border", "target", "programmes", "owner", "opened", "closed",
        "reason",
    ),
}  # fmt: skip
_REQUIRED = {"site": ("id", "type", "name.zh", "district")}
_CHOICES: dict[str, tuple[str, ...]] = {"origin": get_args(Origin), "stat": get_args(Stat), "review": get_args(Review)}
_COMMON = ("title", "kind", "sheet", "header", "encoding", "delimiter", "members", "ignore")
_OF_OBSERVATIONS = ("layout", "site", "time", "missing", "factors", "items", "repeated")


def shipped_profile(name: str) -> Profile:
    """A profile that this package ships. Raises ProfileError `profile.unknown`."""
    return parse_profile(shipped_document(name))


def parse_profile(data: bytes, tables: Tables | None = None) -> Profile:
    """The profile of a document, judged by the `tables` in force; by those that ship where there is no gateway.

    Raises:
        LimitError: the document is larger than `MAX_DOCUMENT`.
        ProfileError: it is not YAML or JSON, or breaks a rule; every fault is listed with its JSON pointer.
    """
    if len(data) > MAX_DOCUMENT:
        raise LimitError(f"a profile has at most {MAX_DOCUMENT} bytes")
    reading = _ProfileReading(tables or shipped_tables())
    profile = reading.profile(load_document(data, ProfileError))
    reading.raise_faults(ProfileError)
    return profile


def parse_sites(data: bytes) -> dict[str, str]:
    """A document of site ids by the names or codes that sheets give them: a mapping, in YAML or JSON.

    Raises:
        LimitError, ProfileError: as `parse_profile`.
    """
    if len(data) > MAX_DOCUMENT:
        raise LimitError(f"a table of sites has at most {MAX_DOCUMENT} bytes")
    reading = _ProfileReading(shipped_tables())
    sites = reading.texts(load_document(data, ProfileError), "")
    reading.raise_faults(ProfileError)
    return sites


def header_parts(header: str) -> tuple[str, str]:
    """Name and unit of a header such as `溶解氧(mg/L)`; the unit is empty where there is none."""
    match = _HEADER.fullmatch(header)
    return (match["name"].strip(), match["unit"].strip()) if match else (header.strip(), "")


class _ProfileReading(Reading):
    """One pass over a profile's document."""

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self._tables = tables

    def profile(self, document: object) -> Profile:
        top = self.mapping(document, "", ("profile", "version"), (*_COMMON, *_OF_OBSERVATIONS))
        kind: Kind = self.choice(top, "kind", "", get_args(Kind), "observation")
        layout: Layout = self.choice(top, "layout", "", get_args(Layout), "wide")
        name = self.text(top, "profile", "")
        if name != FAULTY and NAME.fullmatch(name) is None:
            self.fault("/profile", "is not a name of lower-case letters, digits and `-`")
        if kind != "observation":
            self._only_for_observations(top)
        return Profile(
            name=name,
            version=self._number(top, "version", 1),
            title=self.texts(top.get("title", {}), "/title"),
            kind=kind,
            sheet=self._optional(top, "sheet", ""),
            header=self._number(top, "header", 1),
            encoding=self.choice(top, "encoding", "", get_args(Encoding), None),
            delimiter=self.choice(top, "delimiter", "", DELIMITERS, None),
            layout=layout,
            site=self._site(top) if kind == "observation" else None,
            time=self._time(top) if kind == "observation" else None,
            missing=self._missing(top),
            members=self._members(top.get("members", {}), kind),
            factors=self._factors(top) if kind == "observation" and layout == "wide" else {},
            items=self._items(top) if kind == "observation" and layout == "long" else None,
            ignore=self._list(top, "ignore", ""),
            repeated=self._optional(top, "repeated", ""),
        )

    def choice(
        self, members: dict[str, object], name: str, pointer: str, choices: tuple[Any, ...], default: Any
    ) -> Any:
        """As any document's, and `?` is one still to be made."""
        if members.get(name) == UNDECIDED:
            self.fault(f"{pointer}/{escape(name)}", "is still to be decided by a person")
            return default
        return super().choice(members, name, pointer, choices, default)

    def texts(self, value: object, pointer: str) -> dict[str, str]:
        """A mapping of text to text."""
        members = self.mapping(value, pointer, (), None)
        return {name: self._decided(members, name, pointer) for name in members}

    def _only_for_observations(self, top: dict[str, object]) -> None:
        for member in _OF_OBSERVATIONS:
            if member in top:
                self.fault(f"/{member}", "belongs to profiles of observations")

    def _site(self, top: dict[str, object]) -> SiteColumns:
        members = self._part(top, "site", (), ("column", "columns", "join", "read", "prefix", "table"))
        return SiteColumns(
            columns=self._columns(members, "/site"),
            join=self._optional(members, "join", "/site") or "-",
            read=self.choice(members, "read", "/site", ("name", "id"), "name"),
            prefix=self._optional(members, "prefix", "/site"),
            table=self.texts(members.get("table", {}), "/site/table"),
        )

    def _time(self, top: dict[str, object]) -> TimeColumns:
        optional = ("column", "columns", "forms", "date-only", "year")
        members = self._part(top, "time", ("hours",), optional)
        forms = self._list(members, "forms", "/time")
        for index, form in enumerate(forms):
            try:
                time_form(form)
            except SheetError as error:
                self.fault(f"/time/forms/{index}", error.detail)
        year = self._optional(members, "year", "/time")
        if year not in ("", "latest", FAULTY) and re.fullmatch(r"(?:19|2\d)\d\d", year, re.ASCII) is None:
            self.fault("/time/year", "is neither `latest` nor a year")
        return TimeColumns(
            columns=self._columns(members, "/time"),
            forms=forms,
            hours=self.choice(members, "hours", "/time", get_args(Hours), "instant"),
            midnight=self.choice(members, "date-only", "/time", ("midnight", "refuse"), "refuse") == "midnight",
            year=year,
        )

    def _missing(self, top: dict[str, object]) -> dict[str, Missing]:
        members = self.mapping(top.get("missing", {}), "/missing", (), None)
        return {
            mark: self.choice(members, mark, "/missing", cast("tuple[Missing, ...]", get_args(Missing)), "null")
            for mark in members
        }

    def _members(self, value: object, kind: Kind) -> dict[str, Source]:
        allowed = _OBSERVATION_MEMBERS if kind == "observation" else _STATEMENT_MEMBERS[kind]
        members = self.mapping(value, "/members", _REQUIRED.get(kind, ()), allowed)
        found = {name: self._source(members, name, "/members") for name in members if name in allowed}
        for name, source in found.items():
            if kind == "observation":
                given = source.values.values() if isinstance(source, FromColumn) else [source]
                for one in given:
                    self._check_members({name: one}, f"/members/{name}")
        return found

    def _factors(self, top: dict[str, object]) -> dict[str, FactorColumn]:
        columns = self._part(top, "factors", (), None)
        return {header: self._factor(header, entry) for header, entry in columns.items()}

    def _factor(self, header: str, entry: object) -> FactorColumn:
        pointer = f"/factors/{escape(header)}"
        given = ("origin", "stat", "period", "sample", "method", "instrument", "detection", "determination")
        members = self.mapping(entry, pointer, ("factor", "unit"), (*given, "optional"))
        code, unit = self._decided(members, "factor", pointer), self._unit(members, pointer)
        self._check_code(header_parts(header)[0], code, pointer)
        self._check_header(header, unit, pointer)
        own = {name: self.text(members, name, pointer) for name in given if name in members}
        self._check_members(own, pointer)
        return FactorColumn(code, unit, own, optional=self._yes(members, "optional", pointer))

    def _items(self, top: dict[str, object]) -> ItemColumns:
        members = self._part(top, "items", ("item", "value", "unit"), ("name", "table"))
        table = self.texts(members.get("table", {}), "/items/table")
        for name, code in table.items():
            self._check_code(name, code, f"/items/table/{escape(name)}")
        unit = self._source(members, "unit", "/items")
        if isinstance(unit, str) and unit != FAULTY:
            unit = self._unit(members, "/items")
        if isinstance(unit, FromColumn):
            for name in unit.values:
                self._unit(dict(unit.values), "/items/unit/values", name)
        return ItemColumns(
            item=self._decided(members, "item", "/items"),
            value=self._decided(members, "value", "/items"),
            unit=unit,
            table=table,
            name=self._optional(members, "name", "/items"),
        )

    def _source(self, members: dict[str, object], name: str, pointer: str) -> Source:
        value = members.get(name)
        if not isinstance(value, dict):
            return "" if value == "" else self._decided(members, name, pointer)
        here = f"{pointer}/{escape(name)}"
        entry = self.mapping(value, here, ("column",), ("values", "optional"))
        return FromColumn(
            self._decided(entry, "column", here),
            self.texts(entry.get("values", {}), f"{here}/values"),
            optional=self._yes(entry, "optional", here),
        )

    def _check_members(self, members: dict[str, str], pointer: str) -> None:
        for name, text in members.items():
            choices = _CHOICES.get(name)
            if choices is not None and text not in choices and text != FAULTY:
                self.fault(pointer, f"`{name}` is one of {', '.join(choices)}")
            if name == "period" and not is_period(text) and text != FAULTY:
                self.fault(pointer, f"{text!r} is not one of the periods in use, such as PT1H")

    def _check_code(self, name: str, code: str, pointer: str) -> None:
        if code == FAULTY:
            return
        if not self._tables[Factors].known(code):
            self.fault(pointer, f"{code!r} is not a known factor code")
            return
        try:
            check_meaning(name, code, self._tables[Factors])
        except SharingError as error:
            self.fault(pointer, error.detail)

    def _check_header(self, header: str, unit: str, pointer: str) -> None:
        """A header that says mg/L above a column read as µg/L: one of the two is a thousand times off."""
        said = header_parts(header)[1]
        if not said or unit == FAULTY:
            return
        try:
            written, read = self._tables[Units].unit(said), self._tables[Units].unit(unit)
        except SharingError:
            return  # what stands in brackets need not be a unit
        if (written.dimension, written.factor) != (read.dimension, read.factor):
            self.fault(f"{pointer}/unit", f"the header says {said}, the profile {unit}")

    def _unit(self, members: dict[str, object], pointer: str, name: str = "unit") -> str:
        text = self._decided(members, name, pointer)
        try:
            return text if text == FAULTY else self._tables[Units].unit(text).code
        except SharingError as error:
            self.fault(f"{pointer}/{escape(name)}", error.detail)
            return FAULTY

    def _columns(self, members: dict[str, object], pointer: str) -> tuple[str, ...]:
        if ("column" in members) == ("columns" in members):
            self.fault(pointer, "has either `column` or `columns`")
        if "column" in members:
            return (self._decided(members, "column", pointer),)
        return self._list(members, "columns", pointer)

    def _part(
        self, top: dict[str, object], name: str, required: tuple[str, ...], optional: tuple[str, ...] | None
    ) -> dict[str, object]:
        if name not in top:
            self.fault("", f"lacks `{name}`")
            return {}
        return self.mapping(top[name], f"/{name}", required, optional)

    def _list(self, members: dict[str, object], name: str, pointer: str) -> tuple[str, ...]:
        value = members.get(name, [])
        if not isinstance(value, list):
            self.fault(f"{pointer}/{name}", "is not a list")
            return ()
        entries: dict[str, object] = {str(index): entry for index, entry in enumerate(value)}
        return tuple(self._decided(entries, index, f"{pointer}/{name}") for index in entries)

    def _decided(self, members: dict[str, object], name: str, pointer: str) -> str:
        text = self.text(members, name, pointer)
        if text.strip() == UNDECIDED:
            self.fault(f"{pointer}/{escape(name)}", "is still to be decided by a person")
            return FAULTY
        return text

    def _optional(self, members: dict[str, object], name: str, pointer: str) -> str:
        return self._decided(members, name, pointer) if members.get(name, "") != "" else ""

    def _yes(self, members: dict[str, object], name: str, pointer: str) -> bool:
        answer: Literal["true", "false"] = self.choice(members, name, pointer, ("true", "false"), "false")
        return answer == "true"

    def _number(self, members: dict[str, object], name: str, default: int) -> int:
        value = members.get(name, str(default))
        if not isinstance(value, str) or re.fullmatch(r"[1-9]\d{0,5}", value, re.ASCII) is None:
            self.fault(f"/{name}", "is not a number from 1 to 999999, as text")
            return default
        return int(value)


def shifts(period: str, hours: Hours) -> int | None:
    """By how many seconds a time that a sheet gives lies after the start of its period; None where nobody can say."""
    if hours != "end":
        return 0
    length = parse_duration(period).fixed
    return None if length is None else int(length.total_seconds())

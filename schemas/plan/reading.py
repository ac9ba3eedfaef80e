"""The plan document to a `Plan`: every member checked, unknown ones refused, all faults told at once.

What is checked here is the shape, and the rules of the sharing attribute (政务数据共享条例 art. 3, 14, 15): conditional
sharing states its scope (the recipients) and its conditions, data not shared states the law that forbids it and has no
recipients, and secrets do not belong in a plan at all. What depends on other members or tables is `plan check`'s
(`advice.py`): an old plan must stay readable after a table has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple, cast, get_args

from schemas.errors import PlanError
from schemas.periods import PERIODS, Duration
from schemas.plan.document import canonical, digest, read_document
from schemas.plan.model import (
    DEFAULT_LEAD,
    Cadence,
    Campaign,
    Dataset,
    Grade,
    Kind,
    Mode,
    OnRefusal,
    Plan,
    Rate,
    Reach,
    Recipient,
    Season,
    Selection,
    Sharing,
    Threshold,
    Title,
)
from schemas.plan.places import (
    EPOCH,
    Fault,
    Members,
    Place,
    Reader,
    day_or_instant,
    duration,
    each,
    fixed_duration,
    instant,
    matching,
    one_of,
    text,
    whole_number,
)
from schemas.records.observation import Origin, Stat

FORMATS = ("taipu-batch/1",)
DEFAULT_LINGER = timedelta(seconds=2)  # fuller batches, and nobody waits; urgent datasets say PT0S
_SECOND = timedelta(seconds=1)
MAX_FAULTS = 100  # told of one document

# What can be selected of each kind. A selector that its kind does not have would narrow nothing, so it is refused.
SELECTORS: Mapping[str, tuple[str, ...]] = {
    "observation": ("programmes", "factors", "periods", "origins", "stats", "sites"),
    "mark": ("programmes", "sites"),
    "site": ("programmes", "sites"),
    "source": ("categories",),
    "inspection": ("sites",),
    "case": ("kinds",),
}
SHARING = ("unconditional", "conditional", "not-shared")
GRADES = ("general", "important", "core")
_SECRETS = ("state-secret", "work-secret", "国家秘密", "工作秘密")
_PLAN_MEMBERS = ("plan", "version", "title", "parties", "effective", "until", "notice", "lead", "defaults", "datasets")
_DATASET_MEMBERS = (
    *("id", "title", "provider", "unit_in_charge", "recipients", "kind", "select", "hide", "linger", "cadence", "mode"),
    *("history", "on_refusal", "purpose", "basis", "warn", "format", "sharing", "conditions", "citation", "grade"),
    *("retention", "relay", "despite_suspension", "secondary"),
)

_identifier = matching(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", "an id of small letters, digits and hyphens, 64 at most")
_party = matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a party's id")
_name = matching(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", "an identifier, as records have them")
_member = matching(r"[a-z][a-z0-9_]{0,63}", "a member's name")
_number = matching(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", "a decimal number")
_season = matching(r"\d\d-\d\d/\d\d-\d\d", "a season such as 04-01/10-31")


def parse_plan(data: bytes) -> Plan:
    """The plan that a YAML or JSON document says.

    Raises:
        PlanError: `plan.too-large`; or `plan.malformed` with a pointer for each fault, and the faults as
            `{"pointer", "detail"}` in `extra["faults"]`. Nothing else, whatever the bytes.
    """
    document = read_document(data)
    faults: list[Fault] = []
    signed = canonical(document)
    plan = _plan(Place(document, "", faults), signed)
    if faults:
        told = faults[:MAX_FAULTS]
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise PlanError(
            f"{told[0].pointer or 'the plan'}: {told[0].sentence}{more}",
            pointers=[fault.pointer for fault in told],
            extra={"faults": [{"pointer": fault.pointer, "detail": fault.sentence} for fault in told]},
        )
    return plan


class _Terms(NamedTuple):
    """What the sharing rules ask of each dataset; None where neither it nor the defaults say."""

    format: str | None = None
    sharing: str | None = None
    conditions: str | None = None
    citation: str | None = None
    grade: str | None = None
    retention: Duration | None = None


_UNSAID = _Terms()


def _plan(place: Place, signed: bytes) -> Plan:
    members = Members(place, _PLAN_MEMBERS)
    defaults = members.optional("defaults", lambda one: _terms(Members(one, _Terms._fields), _UNSAID), _UNSAID)
    return Plan(
        id=members.required("plan", _identifier, ""),
        version=members.required("version", whole_number, 1),
        title=members.required("title", _title, Title("", "")),
        parties=members.required("parties", each(_party), ()),
        effective=members.required("effective", instant, EPOCH),
        until=members.optional("until", instant, None),
        notice=members.required("notice", duration, Duration(0, 0)),
        datasets=members.required("datasets", each(lambda one: _dataset(one, defaults), distinct=False), ()),
        canonical=signed,
        digest=digest(signed),
        lead=members.optional("lead", fixed_duration, DEFAULT_LEAD),
    )


def _dataset(place: Place, defaults: _Terms) -> Dataset:
    members = Members(place, _DATASET_MEMBERS)
    kind = members.required("kind", one_of(tuple(SELECTORS)), "")
    terms = _terms(members, defaults)
    _check_sharing(members, terms)
    if "warn" in members and kind not in ("observation", ""):
        members.fault("only observations can open warnings")
    return Dataset(
        id=members.required("id", _identifier, ""),
        title=members.optional("title", _title, None),
        provider=members.required("provider", _party, ""),
        unit_in_charge=members.optional("unit_in_charge", text, None),
        recipients=members.optional("recipients", _recipients, ()),
        kind=cast("Kind", kind),
        select=members.required("select", lambda one: _selection(one, kind), Selection()),
        hide=members.optional("hide", each(_member), ()),
        linger=members.optional("linger", fixed_duration, DEFAULT_LINGER),
        cadence=members.optional("cadence", _cadence, None),
        mode=cast("Mode", _mode(members, terms)),
        history=members.optional("history", _history, "none"),
        on_refusal=cast("OnRefusal", members.optional("on_refusal", one_of(("continue", "stop")), "continue")),
        purpose=members.optional("purpose", text, None),
        basis=members.optional("basis", each(text), ()),
        warn=members.optional("warn", each(_threshold), ()),
        format=terms.format or "",
        sharing=cast("Sharing", terms.sharing),
        conditions=terms.conditions,
        citation=terms.citation,
        grade=cast("Grade", terms.grade),
        retention=terms.retention,
        relay=members.optional("relay", each(_party), ()),
        despite_suspension=members.marked("despite_suspension"),
        secondary=members.marked("secondary"),
    )


def _mode(members: Members, terms: _Terms) -> str:
    """How the records come; what is not shared comes in no way."""
    read = members.optional if terms.sharing == "not-shared" else members.required
    return read("mode", one_of(("push", "pull", "drop")), "pull")


def _terms(members: Members, otherwise: _Terms) -> _Terms:
    return _Terms(
        format=members.optional("format", one_of(FORMATS), otherwise.format),
        sharing=members.optional("sharing", one_of(SHARING), otherwise.sharing),
        conditions=members.optional("conditions", text, otherwise.conditions),
        citation=members.optional("citation", text, otherwise.citation),
        grade=members.optional("grade", _grade, otherwise.grade),
        retention=members.optional("retention", duration, otherwise.retention),
    )


def _check_sharing(members: Members, terms: _Terms) -> None:
    """The rules of the sharing attribute; an attribute that could not be read has been reported already."""
    for name in ("format", "sharing", "grade"):
        if getattr(terms, name) is None:
            members.fault(f"needs the member {name!r}, here or in the defaults")
    if terms.sharing == "not-shared":
        if terms.citation is None:
            members.fault("data that is not shared needs the citation of the law that forbids it")
        if "recipients" in members:
            members.fault("data that is not shared has no recipients")
    elif terms.sharing:
        if "recipients" not in members:
            members.fault("shared data needs its scope: the member 'recipients'")
        if terms.sharing == "conditional" and terms.conditions is None:
            members.fault("conditional sharing needs its conditions, here or in the defaults")


def _grade(place: Place) -> str:
    if place.value in _SECRETS:
        return place.fault("secrets of state and of work do not belong in a shared-data plan", "")
    return one_of(GRADES)(place)


def _recipients(place: Place) -> tuple[Recipient, ...]:
    recipients = each(_recipient, distinct=False)(place)
    if len({one.party for one in recipients}) < len(recipients):
        place.fault("must not name a party twice", None)
    return recipients


def _selection(place: Place, kind: str) -> Selection:
    selectors = SELECTORS.get(kind)
    members = Members(place, selectors or tuple(name for names in SELECTORS.values() for name in names))

    def chosen(name: str, read: Reader[str] = _name) -> frozenset[str] | None:
        names: tuple[str, ...] = ()
        return frozenset(members.required(name, each(read), names)) if name in members else None

    return Selection(
        programmes=chosen("programmes"),
        factors=chosen("factors"),
        periods=chosen("periods", one_of(PERIODS)),
        origins=chosen("origins", one_of(get_args(Origin))),
        stats=chosen("stats", one_of(get_args(Stat))),
        sites=chosen("sites"),
        categories=chosen("categories"),
        kinds=chosen("kinds"),
    )


def _title(place: Place) -> Title:
    members = Members(place, ("zh", "en"))
    return Title(zh=members.required("zh", text, ""), en=members.required("en", text, ""))


def _recipient(place: Place) -> Recipient:
    if isinstance(place.value, str):
        return Recipient(_party(place))
    members = Members(place, ("party", "from", "until", "purpose", "rate"))
    return Recipient(
        party=members.required("party", _party, ""),
        from_=members.optional("from", day_or_instant, None),
        until=members.optional("until", day_or_instant, None),
        purpose=members.optional("purpose", text, None),
        rate=members.optional("rate", _rate, None),
    )


def _rate(place: Place) -> Rate:
    members = Members(place, ("requests", "per"))
    return Rate(members.required("requests", whole_number, 1), members.required("per", _window, _SECOND))


def _window(place: Place) -> timedelta:
    length = duration(place)
    if length.months or length.seconds < 1:
        return place.fault("must be a fixed length of time, of a second or longer", _SECOND)
    return timedelta(seconds=length.seconds)


def _history(place: Place) -> Reach:
    if place.value == "none":
        return "none"
    return "all" if place.value == "all" else day_or_instant(place)


def _cadence(place: Place) -> Cadence:
    members = Members(place, ("every", "due", "season", "campaign"))
    if ("every" in members) == ("campaign" in members):
        members.fault("needs either 'every' or 'campaign'")
    if "season" in members and "campaign" in members:
        members.fault("a campaign has its own beginning and end, and no season")
    every = members.optional("every", duration, None)
    if every == Duration(0, 0):
        members.fault("'every' must be longer than nothing")
    return Cadence(
        every=every,
        due=members.required("due", duration, Duration(0, 0)),
        season=members.optional("season", _season_of_year, None),
        campaign=members.optional("campaign", _campaign, None),
    )


def _season_of_year(place: Place) -> Season | None:
    value = _season(place)
    if not value:
        return None
    try:
        days = [date(2000, int(day[:2]), int(day[3:])) for day in value.split("/")]  # a leap year: 02-29 is a day
    except ValueError:
        return place.fault("names a day that does not exist", None)
    return Season(*((day.month, day.day) for day in days))


def _campaign(place: Place) -> Campaign:
    members = Members(place, ("from", "to", "count"))
    first = members.required("from", day_or_instant, EPOCH)
    last = members.required("to", day_or_instant, EPOCH)
    if last < first:
        members.fault("'to' lies before 'from'")
    return Campaign(first, last, members.required("count", whole_number, 1))


def _threshold(place: Place) -> Threshold:
    members = Members(place, ("factor", "at_or_above", "at_or_below", "compare", "consecutive", "also_to", "limit"))
    if ("at_or_above" in members) == ("at_or_below" in members):
        members.fault("needs either 'at_or_above' or 'at_or_below'")
    above = members.optional("at_or_above", _quantity, None)
    below = members.optional("at_or_below", _quantity, None)
    value, unit = above or below or (Decimal(0), "")
    return Threshold(
        factor=members.required("factor", _name, ""),
        side="at-or-below" if above is None else "at-or-above",
        value=value,
        unit=unit,
        compare="full" if members.required("compare", one_of(("full", "rounded")), "full") == "full" else "rounded",
        consecutive=members.optional("consecutive", whole_number, 1),
        also_to=members.optional("also_to", each(_party), ()),
        limit=members.optional("limit", text, None),
    )


def _quantity(place: Place) -> tuple[Decimal, str]:
    members = Members(place, ("value", "unit"))
    return Decimal(members.required("value", _number, "") or "0"), members.required("unit", text, "")

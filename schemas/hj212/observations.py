"""A message as observations: which values it holds, of what, over which period (HJ 212-2017 tables 4 and 9).

A packet says neither site nor unit, and no time zone: it means Beijing time. What the device's registration says is
put in; without one the site is `mn:` and the MN, the unit is None, the code stands as it is, and the gateway holds the
values until somebody registers the device. The same goes for a code that a registration does not name.

This module must never take a value's text through a number, drop a value without naming it, or let one bad value take
the others of its packet along.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal

from schemas import periods
from schemas.devices import CODE, Device, DeviceFactor, Label, Profile
from schemas.errors import PacketError, RecordError
from schemas.flags import Flags
from schemas.hj212.message import AMBIGUOUS, PART_OPEN, STANDARD_MN, Message
from schemas.hj212.problems import Finding, packet_error
from schemas.records.observation import Observation, Stat
from schemas.tables import shipped_tables
from schemas.times import to_millis

ASSUMED_MINUTE_PERIOD = "PT10M"
"""The period of minute data from a device that nobody registered.

A packet does not say it, and the standard leaves eleven values open (MinInterval, 1 to 30 minutes) without naming one
as the default. Ten minutes is what pollution sources are commonly set to. It may be wrong, and the period is part of a
value's key. So the assumption is always reported (`packet.period-assumed`); where there is no registration at all, the
values carry no unit either and are held, and the kept bytes are to be decoded anew once there is one.
"""
MAX_FLAG = 128  # characters, as a record may carry; a longer one is not a flag

_INSTANT: dict[str, Stat] = {"Rtd": "inst", "ZsRtd": "zs-inst"}
_PERIODIC: dict[str, Stat] = {
    "Avg": "avg",
    "Min": "min",
    "Max": "max",
    "Cou": "total",
    "ZsAvg": "zs-avg",
    "ZsMin": "zs-min",
    "ZsMax": "zs-max",
}
_NOT_VALUES = frozenset(("Flag", "EFlag", "SampleTime", "Info", "SN"))
_MINUTE = "2051"
_UNREAD = frozenset(("2013", "2052", "2062", "2111"))  # of HJ 212-2025: raw data, noise, standard samples, furnaces
_PERIODS = {"2011": "PT0S", _MINUTE: ASSUMED_MINUTE_PERIOD, "2061": "PT1H", "2031": "P1D"}
_PROFILES: tuple[Profile, ...] = ("hj212-2005", "hj212-2017", "hj212-2025")  # by `Message.version`
_is_decimal = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?", re.ASCII).fullmatch
_TIME = re.compile(r"(\d{8})([01]\d|2[0-3])([0-5]\d)([0-5]\d)(\d{3})?", re.ASCII)
_SITE_MN = re.compile(r"[0-9A-Za-z._:-]{1,64}", re.ASCII)


def to_observations(
    message: Message, device: Device | None = None, flags: Flags | None = None
) -> tuple[list[Observation], list[Finding]]:
    """The values of a message in the packet's order, and what was not taken of it or had to be assumed.

    CN 2011 gives instants, 2051, 2061 and 2031 values over a minute period, an hour and a day; any other command has no
    values, or says that they are not read here, and gives none. `device` is the registration under `message.mn`, None
    when there is none: the values then have no unit and must be held. An empty value becomes None, not measured. `rev`
    is left at 0: the provider numbers. `flags` says which flags are qualifiers; without it, the table that ships does.

    Raises:
        PacketError: `packet.time-invalid` or `packet.mn-invalid`; then there is no key to put any value under.
    """
    if message.cn in _UNREAD and message.items:
        return [], [Finding("packet.command-unread", f"CN {message.cn} has values that are not read here")]
    if message.cn not in _PERIODS:
        return [], []
    return _Reading(message, device, flags or shipped_tables()[Flags]).observations()


def read_profile(message: Message) -> Profile:
    """The edition a message of an unregistered device most probably follows; it decides what its flags mean.

    The flag names the edition, and without one it is 2005, the only one that could do without. Surface-water stations
    (ST 21) have said 2025 since 2019; an MN that is not of the standard's form tells them apart.
    """
    version = message.version
    if message.st == "21" and version == 2 and STANDARD_MN.fullmatch(message.mn) is None:
        return "surface-water"
    return _PROFILES[min(version or 0, 2)]


class _Reading:
    """What all values of one message have in common, the values taken so far, and the findings."""

    def __init__(self, message: Message, device: Device | None, flags: Flags) -> None:
        self._flags = flags
        self._message = message
        self._device = device
        self._values: list[Observation] = []
        self._findings: list[Finding] = []
        self._site = device.site if device else self._unregistered_site()
        self._profile = device.profile if device else read_profile(message)
        self._period = self._choose_period()
        self._stats = _INSTANT if message.cn == "2011" else _PERIODIC
        self._sent = _rfc3339(message.qn) or ""
        self._resent = message.resent
        self._moments: dict[tuple[Label, str], tuple[str, Literal["<", ">"] | None]] = {}  # by label and flag
        self._ambiguous = {(note.factor, note.attribute) for note in message.deviations if note.code == AMBIGUOUS}

    def observations(self) -> tuple[list[Observation], list[Finding]]:
        self._findings += [note for note in self._message.deviations if note.code == PART_OPEN]
        for name in self._message.fields:
            self._find("packet.field-unknown", f"`{name[:40]}` is not a value of a factor", attribute=name)
        registered = self._device.factors if self._device else {}
        taken: dict[str, str] = {}
        for code, attributes in self._message.items.items():
            known = registered.get(code) or self._unregistered_factor(code)
            if known is None:
                continue
            if taken.setdefault(known.factor, code) != code:
                self._find("packet.factor-repeated", f"`{taken[known.factor]}` is {known.factor} already", code)
                continue
            self._item(code, attributes, known)
        return self._values, self._findings

    def _item(self, code: str, attributes: dict[str, str], known: DeviceFactor) -> None:
        """The values of one factor, which share time, flag and unit."""
        flag = attributes.get("Flag", "")
        if len(flag) > MAX_FLAG or (self._ambiguous and (code, "Flag") in self._ambiguous):
            self._find("packet.flag-malformed", f"{code} has two flags, or one that is no flag", code, "Flag")
            return
        at, q = self._moments.get((known.label, flag)) or self._time_and_qualifier(known.label, flag)
        stats, factor, unit = self._stats, known.factor, known.unit
        sampled = self._sampled(code, attributes["SampleTime"]) if "SampleTime" in attributes else ""
        for attribute, text in attributes.items():
            stat = stats.get(attribute)
            if stat is None:
                if attribute not in _NOT_VALUES:
                    self._unexpected(code, attribute)
            elif self._ambiguous and (code, attribute) in self._ambiguous:
                self._find(AMBIGUOUS, f"`{code}-{attribute}` is given twice and differently", code, attribute)
            elif text and _is_decimal(text) is None:
                self._find("packet.value-malformed", f"{text[:40]!r} is not a plain decimal", code, attribute)
            else:
                value = Observation(  # origin and sample are given since making their defaults takes longer
                    site=self._site,
                    factor=factor,
                    origin="auto",
                    sample="",
                    at=at,
                    value=text or None,
                    unit=unit,
                    q=q if text else None,
                    stat=stat,
                    period=self._period,
                    flag=flag,
                    profile=self._profile,
                    sampled=sampled,
                    sent=self._sent,
                    resent=self._resent,
                )
                self._values.append(value)

    def _time_and_qualifier(self, label: Label, flag: str) -> tuple[str, Literal["<", ">"] | None]:
        """The start of the period, or the instant, that DataTime names under `label`; and what the flag then says."""
        shared = _read_shared(self._message.data_time, self._period, label, self._profile, flag, self._flags)
        if shared is None:
            raise self._timeless()
        self._moments[label, flag] = shared
        return shared

    def _timeless(self) -> PacketError:
        message = self._message
        code, text = "packet.time-invalid", message.data_time[:20]
        detail = f"{text!r} is not a DataTime of 14 digits" if text else "the values have no DataTime"
        if not text and (message.pno or 0) > 1:
            code, detail = "packet.part-missing", f"part {message.pno} begins in the middle, without the part before it"
        return packet_error(code, detail, number=message.number, offset=message.offset)

    def _unregistered_factor(self, code: str) -> DeviceFactor | None:
        if CODE.fullmatch(code) is None:
            self._find("packet.factor-malformed", f"{code[:40]!r} is not a factor's code", code)
            return None
        return DeviceFactor(code, None, self._device.label if self._device else "start")

    def _unregistered_site(self) -> str:
        message = self._message
        if _SITE_MN.fullmatch(message.mn) is None:
            detail = f"{message.mn!r} is no MN that could stand for a site, and no device is registered under it"
            raise packet_error("packet.mn-invalid", detail, number=message.number, offset=message.offset)
        return f"mn:{message.mn}"

    def _choose_period(self) -> str:
        period = _PERIODS[self._message.cn]
        if self._message.cn != _MINUTE:
            return period
        if self._device and self._device.minute:
            return self._device.minute
        self._find("packet.period-assumed", f"no minute period is registered; {period} is assumed")
        return period

    def _sampled(self, code: str, text: str) -> str:
        """When the sample was taken, where that is another moment than DataTime (batch analysers); else empty."""
        if not text or text[:14] == self._message.data_time[:14]:
            return ""
        at = _rfc3339(text)
        if at is None or (code, "SampleTime") in self._ambiguous:
            self._find("packet.sample-time", f"{text[:20]!r} is no time a sample was taken at", code, "SampleTime")
            return ""
        return at

    def _unexpected(self, code: str, attribute: str) -> None:
        """An attribute that may hold a value, but none that this command carries; its value is not guessed at."""
        text = f"`{attribute[:40]}` is not a value that CN {self._message.cn} carries"
        self._find("packet.attribute-unknown", text, code, attribute)

    def _find(self, code: str, text: str, factor: str = "", attribute: str = "") -> None:
        self._findings.append(Finding(code, text, factor, attribute))


@lru_cache(maxsize=4_096)  # a network of stations sends the same time and flag again and again
def _read_shared(
    data_time: str, period: str, label: Label, profile: Profile, flag: str, flags: Flags
) -> tuple[str, Literal["<", ">"] | None] | None:
    """The instant DataTime names, and the qualifier: `>` for T, above range; `<` for L of surface-water stations."""
    at = _rfc3339(data_time)
    if at and label == "end":
        at = _earlier(at, periods.seconds(period) or 0)
    if at is None:
        return None
    try:
        instant = to_millis(at)
    except RecordError:  # the hour before the first one a record may have
        return None
    found = flags.find(profile, flag, instant) if flag else None
    return at, (found.qualifier or None) if found else None


def _rfc3339(text: str) -> str | None:
    """14 or 17 digits of Beijing time as RFC 3339, milliseconds where there are some; None for a time no record has."""
    match = _TIME.fullmatch(text)
    day = _day(match[1]) if match else None
    if match is None or day is None:
        return None
    _, hour, minute, second, millis = match.groups()
    fraction = f".{millis}" if millis and millis != "000" else ""
    return f"{day}T{hour}:{minute}:{second}{fraction}+08:00"


@lru_cache(maxsize=1_024)  # nearly every packet is of today
def _day(digits: str) -> str | None:
    try:
        return date.fromisoformat(digits).isoformat() if "1800" <= digits < "3000" else None
    except ValueError:
        return None


def _earlier(at: str, seconds: int) -> str | None:
    try:
        instant = datetime.fromisoformat(at) - timedelta(seconds=seconds)
    except OverflowError:
        return None
    return instant.isoformat(timespec="milliseconds" if instant.microsecond else "seconds")

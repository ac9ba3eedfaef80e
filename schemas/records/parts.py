"""What several record kinds are made of: names, positions, attachments, references; and the checks of single members.

Every check raises `RecordError` with the member as a JSON pointer. Nothing here knows a record kind.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Literal

import msgspec

from schemas.errors import RecordError
from schemas.times import beijing_text, to_millis

MAX_TEXT = 128  # characters of an identifier or a short text
MAX_PROSE = 8_000  # characters of a text that tells something: findings, answers
MAX_REV = 2**31 - 1

Datum = Literal["CGCS2000", "WGS84", "GCJ-02", "BD-09", "EPSG:4549"]

_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_TEXT = re.compile(rf"[^\x00-\x1f\x7f]{{0,{MAX_TEXT}}}")  # a database takes no NUL, a person no control characters
_PROSE = re.compile(rf"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]{{0,{MAX_PROSE}}}")
_HASH = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)
_DIGEST = re.compile(rf"sha256:{_HASH.pattern}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # in what is longer than prose
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name in Chinese and, where there is one, English."""

    zh: str
    en: str = ""


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name something had, with the dates (YYYY-MM-DD, both included) between which it was used; empty means open."""

    name: str
    since: str = ""
    until: str = ""

    def used_on(self, day: date) -> bool:
        text = day.isoformat()
        return (not self.since or self.since <= text) and (not self.until or text <= self.until)


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Coordinates as given, decimal text: degrees, or metres for EPSG:4549; `datum` declares their reference system."""

    x: str
    y: str
    datum: Datum


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file by its digest, `sha256:` and base64url; `size` in bytes. The bytes themselves travel apart."""

    digest: str
    name: str
    media_type: str
    size: int


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A record of any kind by its key: `key` has the key's members by name.

    `provider` is the party whose record it is; empty: the party that makes the reference.
    """

    kind: str
    key: dict[str, str | int]
    provider: str = ""


def written(default: Any) -> Any:
    """A default that a line states all the same: a key is read whole, and a missing unit is seen to be missing."""
    return msgspec.field(default_factory=lambda: default)  # encoders leave out plain defaults, not made ones


is_decimal = _DECIMAL.fullmatch
"""Whether a text is a plain decimal; for whoever asks of every value, where a call less counts."""


def is_digest(text: str) -> bool:
    """Whether `text` is 32 bytes in base64url, as plans and manifests are named by."""
    return _HASH.fullmatch(text) is not None


def check_decimal(text: str, pointer: str) -> None:
    """A plain decimal: no exponent, no qualifier, at most 18 digits on either side of the point."""
    if is_decimal(text) is None:
        message = f"{text[:40]!r} is not a plain decimal; write qualifiers in `q`"
        raise RecordError(message, code="record.value-malformed", pointers=[pointer])


def check_time(text: str, pointer: str) -> None:
    """An instant with its offset (RFC 3339)."""
    try:
        to_millis(text)
    except RecordError as error:
        raise RecordError(error.detail, code=error.code, pointers=[pointer]) from None


def check_span(first: str, last: str, pointer: str) -> None:
    """Two instants in order; an empty `last` is open."""
    if last and to_millis(last) < to_millis(first):
        raise RecordError("it ends before it begins", code="record.time-invalid", pointers=[pointer])


def check_dates(**dates: str) -> None:
    """Dates as YYYY-MM-DD; empty ones are not given."""
    for name, text in dates.items():
        if text:
            check_date(text, f"/{name}")


def check_date(text: str, pointer: str) -> None:
    """A day of the calendar, YYYY-MM-DD."""
    try:
        if _DATE.fullmatch(text) is None:
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        message = f"{text[:40]!r} is not a date (YYYY-MM-DD)"
        raise RecordError(message, code="record.date-invalid", pointers=[pointer]) from None


def check_rev(rev: int) -> None:
    """A revision's number; 0 before its provider has given one."""
    if not 0 <= rev <= MAX_REV:
        raise RecordError("a revision is a positive number", code="record.rev-invalid", pointers=["/rev"])


def check_texts(**texts: str) -> None:
    """Short texts by the name of their member."""
    for name, text in texts.items():
        if _TEXT.fullmatch(text) is None:
            message = f"`{name}` holds at most {MAX_TEXT} characters, and no control characters"
            raise RecordError(message, pointers=[f"/{name}"])


def check_prose(**texts: str) -> None:
    """Texts of several lines by the name of their member."""
    for name, text in texts.items():
        if _PROSE.fullmatch(text) is None:
            message = f"`{name}` holds at most {MAX_PROSE} characters, and no control characters but line ends and tabs"
            raise RecordError(message, pointers=[f"/{name}"])


def has_control(text: str) -> bool:
    """Whether a text of any length holds control characters other than line ends and tabs."""
    return _CONTROL.search(text) is not None


def check_identifier(text: str, pointer: str) -> None:
    """An identifier: 1 to 128 letters, digits, `.` `_` `:` `-`."""
    if _IDENTIFIER.fullmatch(text) is None:
        message = f"{text[:40]!r} is not an identifier (letters, digits, `.` `_` `:` `-`)"
        raise RecordError(message, code="record.identifier-invalid", pointers=[pointer])


def check_identifiers(**lists: tuple[str, ...]) -> None:
    """Lists of identifiers by the name of their member, none given twice."""
    for name, texts in lists.items():
        for text in texts:
            check_identifier(text, f"/{name}")
        if len(set(texts)) != len(texts):
            raise RecordError(f"`{name}` has one twice", pointers=[f"/{name}"])


def check_name(name: Name, what: str) -> None:
    """A name has its Chinese form."""
    check_texts(**{"name/zh": name.zh, "name/en": name.en})
    if not name.zh.strip():
        raise RecordError(f"{what} has a Chinese name", pointers=["/name/zh"])


def check_aliases(aliases: tuple[Alias, ...]) -> None:
    """Earlier names with possible dates, in order."""
    for index, alias in enumerate(aliases):
        pointer = f"/aliases/{index}"
        check_texts(**{f"aliases/{index}/name": alias.name})
        if not alias.name.strip():
            raise RecordError("an alias is a name", pointers=[f"{pointer}/name"])
        for member, day in (("since", alias.since), ("until", alias.until)):
            if day:
                check_date(day, f"{pointer}/{member}")
        if alias.since and alias.until and alias.until < alias.since:
            message = "the name ends before it begins"
            raise RecordError(message, code="record.date-invalid", pointers=[f"{pointer}/until"])


def check_position(position: Position | None) -> None:
    """Coordinates are decimals; whether they are where they should be is `schemas.positions`' to say."""
    if position is not None:
        check_decimal(position.x, "/position/x")
        check_decimal(position.y, "/position/y")


def check_attachments(**lists: tuple[Attachment, ...]) -> None:
    """Digests that name their algorithm, sizes that can be."""
    for name, attachments in lists.items():
        for index, one in enumerate(attachments):
            pointer = f"/{name}/{index}"
            if _DIGEST.fullmatch(one.digest) is None:
                message = "a digest is `sha256:` and 43 characters of base64url"
                raise RecordError(message, code="record.digest-invalid", pointers=[f"{pointer}/digest"])
            check_texts(**{f"{name}/{index}/name": one.name, f"{name}/{index}/media_type": one.media_type})
            if one.size < 0:
                raise RecordError("a file's size is not negative", pointers=[f"{pointer}/size"])


def plain_time(text: str) -> str:
    """An instant in the one spelling that keys use, whatever offset it was written with."""
    return beijing_text(to_millis(text))

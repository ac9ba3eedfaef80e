"""A number in a workbook as text: the digits that are stored, with the trailing zeros that its format shows.

A workbook stores doubles, written with up to 17 digits, and a number format beside each. What becomes of them:

- The digits are read as text, never through a float, and cut to the 15 that Excel itself guarantees: a stored
  `0.30000000000000004` is 0.3, as the screen shows it.
- Zeros that the format shows belong to the value: 0.1 shown with `0.00` is `0.10`.
- Digits that the format hides are kept, and the cell gets a remark: rounding is a limit's business (GB/T 8170), not a
  reader's.
- A format that shows something else than the number stored is refused: text beside the digits (`"<"0.000`), another
  magnitude (`0,` for thousands), a condition. Nobody could say which of the two the sheet means.
- A per cent format shows `12.5%` for 0.125; the text is `12.5%`.
- A date is its serial number; the text is ISO: `2026-04-01`, `2026-04-01 04:00`, `04:00`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException
from functools import lru_cache
from typing import NamedTuple

DIGITS = 15  # significant; what a double keeps of a decimal, and what Excel shows at most
_FIFTEEN = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)
_NUMBER = re.compile(r"-?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_HARMLESS = re.compile(
    r"\[(?:Red|Black|Blue|Green|White|Cyan|Magenta|Yellow|Color ?\d+|\$-[0-9A-Fa-f]*)\]|_.|\*.", re.IGNORECASE
)
_QUOTED = re.compile(r'"[^"]*"|\\.')
_SHAPE = re.compile(r"[ ()+-]*(#?,?#*0*[0#?]*)(?:\.([0#?]+))?(E[+-]0+)?(%?)[ ()+-]*")
_DATE_TOKEN = re.compile(r"[ymdhs]", re.IGNORECASE)
_ALL = 400  # decimals; more than any number that is read
_MAX_SERIAL = Decimal(2_958_466)  # 9999-12-31


class Shown(NamedTuple):
    """A cell's text. `fault` says why the text cannot be trusted, `hidden` that more digits are stored than shown."""

    text: str
    fault: str = ""
    hidden: bool = False


@lru_cache(maxsize=65_536)
def shown(raw: str, number_format: str, *, from_1904: bool = False) -> Shown:
    """The text of a number stored as `raw` under `number_format`."""
    if _NUMBER.fullmatch(raw) is None:
        return Shown(raw, "the workbook stores no number here")
    try:
        value = _FIFTEEN.create_decimal(raw)
    except DecimalException:
        return Shown(raw, "the workbook stores no number here")
    if abs(value.adjusted()) > 30:
        return Shown(raw, "the number is beyond anything measured")
    if is_date(number_format):
        return _date(value, number_format, from_1904=from_1904)
    return _number(value, number_format)


@lru_cache(maxsize=1024)
def is_date(number_format: str) -> bool:
    """Whether a number format shows dates or times."""
    bare = _HARMLESS.sub("", _QUOTED.sub("", number_format))
    if bare.lower() == "general" or re.search(r"[0#?]", re.sub(r"s\.0+", "s", bare)):
        return False
    return _DATE_TOKEN.search(bare) is not None


def _number(value: Decimal, number_format: str) -> Shown:
    places = _places(number_format, value)
    text = plain_text(value)
    if isinstance(places, str):
        return Shown(text, places)
    if places.percent:
        text = plain_text(value.scaleb(2))
    # One digit stands before a mantissa's point, so the decimals of the whole number follow from its magnitude.
    shift = -value.adjusted() if places.mantissa and value else 0
    least, most = max(places.least + shift, 0), max(places.most + shift, 0)
    return Shown(_padded(text, least) + "%" * places.percent, hidden=_decimals(text) > most)


class _Places(NamedTuple):
    """How many decimals a format shows at least and at most; as per cent; of a mantissa."""

    least: int
    most: int
    percent: bool = False
    mantissa: bool = False


@lru_cache(maxsize=4096)
def _shape(section: str) -> _Places | str:
    bare = _HARMLESS.sub("", section)
    if bare.strip().lower() in ("general", "@"):
        return _Places(0, _ALL)
    if "[" in bare:
        return f"the format {section!r} depends on a condition"
    literal = "".join(_QUOTED.findall(bare)).replace("\\", "").replace('"', "").strip("()-+ ￥¥$")
    match = _SHAPE.fullmatch(_QUOTED.sub("", bare).strip())
    if literal or match is None or not re.search("[0#]", match[1]) or match[1].endswith(","):
        return f"the format {section!r} shows something else than the number stored"
    places = match[2] or ""
    return _Places(len(places.rstrip("#?")), len(places), percent=bool(match[4]), mantissa=bool(match[3]))


def _places(number_format: str, value: Decimal) -> _Places | str:
    """What the section of `number_format` that holds for `value` shows: positive; negative; zero; text."""
    sections = _QUOTED.sub(lambda found: found[0].replace(";", ","), number_format).split(";")
    if len(sections) == 1:
        return _shape(sections[0])
    index = 1 if value < 0 else 2 if value == 0 and len(sections) > 2 else 0
    return _shape(sections[index])


def plain_text(value: Decimal) -> str:
    """`value` without an exponent and without the zeros that only a double's spelling gave it."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _padded(text: str, decimals: int) -> str:
    missing = decimals - _decimals(text)
    if missing <= 0:
        return text
    return text + ("" if "." in text else ".") + "0" * missing


def _date(value: Decimal, number_format: str, *, from_1904: bool) -> Shown:
    if not 0 <= value < _MAX_SERIAL:
        return Shown(plain_text(value), "the number is no date that Excel knows")
    moment = timedelta(milliseconds=int((value * 86_400_000).to_integral_value()))
    moment = timedelta(seconds=round(moment.total_seconds()))  # a double cannot hold most seconds exactly
    bare = _HARMLESS.sub("", _QUOTED.sub("", number_format)).lower()
    clock = "h" in bare or "s" in bare or moment.seconds != 0
    if moment.days == 0:
        if not clock:
            return Shown(plain_text(value), "the number is no date that Excel knows")
        return Shown(_clock(datetime(1970, 1, 1) + moment))  # noqa: DTZ001 - a time of day, without any date
    if not from_1904 and moment.days < 61:
        return Shown(plain_text(value), "Excel counts the days before March 1900 wrongly")
    instant = datetime(*((1904, 1, 1) if from_1904 else (1899, 12, 30))) + moment  # noqa: DTZ001 - sheets say no zone
    return Shown(f"{instant:%Y-%m-%d} {_clock(instant)}" if clock else f"{instant:%Y-%m-%d}")


def _clock(instant: datetime) -> str:
    return f"{instant:%H:%M:%S}" if instant.second else f"{instant:%H:%M}"

"""The observations everybody is given: minute values of 50 water stations and 5 factors, 1,000 to a body.

Body after body goes on in time, so every observation is new and falls where new readings fall: at the end. A body is
four minutes of the whole network, as a station platform would hand it in. Values are random, four digits of them, the
same ones for everybody: real ones wander less and would compress better.
"""

from __future__ import annotations

import json
from random import Random

from schemas.times import DAY, beijing_text

SITES = tuple(f"320509-SW-{number:04}" for number in range(1, 51))
FACTORS = ("w01009", "w01018", "w01019", "w19002", "w20004")  # five that are measured in mg/L
MINUTES = 4  # of one body
_SERIES = [(site, factor) for site in SITES for factor in FACTORS]
SIZE = len(_SERIES) * MINUTES  # observations of one body
_BEGIN = 1_790_000_000_000 // DAY * DAY  # ms UTC; a day in September 2026
_MINUTE = 60_000  # ms

RawRow = tuple[int, int, int, str, int, str, int, None, None, None, None, int]


def site_lines() -> bytes:
    """The stations, as NDJSON."""
    return b"\n".join(
        json.dumps(
            {
                "kind": "site", "id": site, "type": "water-station", "name": {"zh": "测站"}, "district": "320509",
                "programmes": ["water-auto"],
            },
            ensure_ascii=False,
        ).encode()
        for site in SITES
    )  # fmt: skip


def observation_lines(body: int, *, rev: int = 0) -> list[bytes]:
    """The lines of body number `body`, oldest first; with `rev` as a provider would share them."""
    shared = f',"rev":{rev}' if rev else ""
    return [
        (
            f'{{"kind":"observation","site":"{site}","factor":"{factor}","at":"{at}","value":"{value}",'
            f'"unit":"mg/L","stat":"avg","period":"PT1M","flag":"N","profile":"hj212-2017"{shared}}}'
        ).encode()
        for minute in range(MINUTES)
        for at in (beijing_text(_instant(body, minute)),)
        for (site, factor), value in zip(_SERIES, _values(body, minute), strict=True)
    ]


def ndjson(body: int) -> bytes:
    return b"\n".join(observation_lines(body))


def json_array(body: int) -> bytes:
    return b"[" + b",".join(observation_lines(body)) + b"]"


def raw_rows(body: int) -> list[RawRow]:
    """The same observations as rows of the table `observation`, ready-made: nothing left to do but store them."""
    return [
        (at // DAY, series, at, "", 1, value, 1, None, None, None, None, body + 1)
        for minute in range(MINUTES)
        for at in (_instant(body, minute),)
        for series, value in enumerate(_values(body, minute), 1)
    ]


def _instant(body: int, minute: int) -> int:
    return _BEGIN + (body * MINUTES + minute) * _MINUTE


def _values(body: int, minute: int) -> list[str]:
    """A value for each series: `0.0010` to `0.9999`."""
    random = Random(body * MINUTES + minute)
    return [f"0.{random.randint(10, 9_999):04}" for _ in _SERIES]

"""`observation`: one value of one factor at one site, with everything that tells it apart from its neighbours.

Key within its provider: `site, factor, origin, stat, period, at, sample`. A laboratory's confirmation or a second
depth is a value beside the automatic one, never a revision of it. Content, which a revision changes: value, qualifier,
unit, flag, review state, method, limits and links. What is said about a value (`findings`, `remark`) and facts of its
way (`sampled`, `sent`, `received`, `resent`) are neither: they make no revision.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.records.parts import written

Origin = Literal["auto", "manual", "lab", "mobile", "substituted"]
Stat = Literal["inst", "avg", "min", "max", "total", "sample", "zs-inst", "zs-avg", "zs-min", "zs-max"]
"""How the value came about in its period. `zs-…` are 折算 values: converted to reference conditions, beside the
measured ones (HJ 212 `-ZsAvg`)."""
Review = Literal["raw", "level1", "level2", "final"]


Nondetects = Literal["half", "zero", "limit", "excluded"]
"""How an average counted values below detection: as half the limit, as zero, as the limit, or not at all."""


class Observation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="observation",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """A value as a decimal in text, never a double: `0.10` comes back as `0.10`.

    `at` is the start of an averaging period, the instant for samples, RFC 3339 with an offset. `value` None means not
    measured, with the flag saying why. `q` is `<` (below detection) or `>` (above range). `unit` is a UCUM code;
    None only before a device's registration has given one. `rev` 0 means the provider has not assigned one yet.

    `nondetects` belongs to averages. `sampled` is when the sample was taken, where an analyser reports it later.
    `findings` are codes of quality rules: advice, never a reason to withhold. `remark` is the provider's word that an
    unusual value is right.
    """

    site: str
    factor: str
    origin: Origin = written("auto")
    stat: Stat = written("inst")
    period: str = written("PT0S")
    at: str
    sample: str = written("")
    value: str | None
    q: Literal["<", ">"] | None = None
    unit: str | None = written(None)
    flag: str = ""
    profile: str = ""
    review: Review = "raw"
    rev: int = 0
    reason: str = ""
    method: str = ""
    instrument: str = ""
    detection: str = ""
    determination: str = ""
    nondetects: Nondetects | None = None
    confirms: str = ""
    sampled: str = ""
    sent: str = ""
    received: str = ""
    resent: bool = False
    findings: tuple[str, ...] = ()
    remark: str = ""

"""Errors every package shares, and the public problem codes they carry (RFC 9457).

    SharingError                  a rule of the exchange was broken; has a stable `code`, a `detail` and pointers
    ├── RecordError               one record cannot be taken: malformed, unknown member, impossible time
    │   └── UnresolvedError       it cannot be *understood yet* (site, factor, unit unknown): hold it, do not refuse it
    ├── PacketError               one HJ 212 packet cannot be taken
    ├── BatchError                a batch file is not what its provider signed
    ├── PlanError                 a shared-data plan document is not valid
    ├── SignatureError            a JWS, note or key is malformed or does not verify
    └── LimitError                an input is larger than we agree to read

Packages add their own leaves under `SharingError`. Nothing here knows HTTP: `gateway/errors.py` holds the one table
from class to status. Hostile input must raise one of these, never a stray `ValueError`; misuse by our own code is
`RuntimeError`.
"""

from __future__ import annotations

from collections.abc import Iterable


class SharingError(Exception):
    """A rule of the exchange was broken.

    `code` is stable and public (`batch.signature-invalid`); `detail` is one sentence for a person; `pointers` name the
    offending places as JSON pointers (RFC 6901) or as `line 12`; `extra` holds further public members of the problem.
    """

    code = "sharing.error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        pointers: Iterable[str] = (),
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code or type(self).code
        self.detail = detail
        self.pointers = tuple(pointers)
        self.extra = dict(extra or {})

    def diagnostics(self) -> str:
        """What to print for a person: the code, the sentence and where."""
        where = f" ({', '.join(self.pointers)})" if self.pointers else ""
        return f"{self.code}: {self.detail}{where}"


class RecordError(SharingError):
    """One record cannot be taken."""

    code = "record.malformed"


class UnresolvedError(RecordError):
    """A record names something this gateway does not know *yet*: it is held, listed, and taken when that arrives.

    `waits_for` is `site`, `factor` or `unit`; `name` is what is missing.
    """

    code = "record.unresolved"

    def __init__(self, detail: str, *, waits_for: str, name: str, pointers: Iterable[str] = ()) -> None:
        super().__init__(detail, code=f"record.{waits_for}-unknown", pointers=pointers, extra={"missing": name})
        self.waits_for = waits_for
        self.name = name


class PacketError(SharingError):
    """One HJ 212 packet cannot be taken."""

    code = "packet.malformed"


class BatchError(SharingError):
    """A batch file is not what its provider signed."""

    code = "batch.malformed"


class PlanError(SharingError):
    """A shared-data plan document is not valid."""

    code = "plan.malformed"


class SignatureError(SharingError):
    """A signature, signed note or key is malformed or does not verify."""

    code = "signature.invalid"


class LimitError(SharingError):
    """An input is larger than we agree to read."""

    code = "limit.exceeded"

"""The keys of a log, and the sizes each of them may sign.

A log's origin never changes when its key does: for a time both sign, then the old key signs no more. What it signs
beyond the size it ended at, whoever holds it then, is no head of the log. A log's shards have origins of their own, so
a key's name says which shard it signs for.

Pure: what the party says of its keys (its party document, or the evidence it gives an auditor) is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.note import NoteVerifier, parse_vkey

MAX_SHARDS = 1_000  # a log that was frozen more often than that is not believed to be one


def origin_of(origin: str, shard: int) -> str:
    """The origin of a shard of the log `origin`, which is also that of its first."""
    return origin if shard == 1 else f"{origin}/{shard}"


@dataclass(frozen=True)
class LogKey:
    """A key and what it vouches for: heads of at least `first` and at most `last` entries; None: it is in use."""

    verifier: NoteVerifier
    first: int = 0
    last: int | None = None

    def may_sign(self, size: int) -> bool:
        return self.first <= size and (self.last is None or size <= self.last)


@dataclass(frozen=True)
class LogKeys:
    """All keys that have signed, or may sign, for the shards of one log."""

    keys: tuple[LogKey, ...]

    @classmethod
    def parse(cls, vkeys: Iterable[str], retired: Iterable[tuple[str, int | None]] = ()) -> LogKeys:
        """The keys in use, and the retired ones with the largest size each vouches for; with None, for nothing at all.

        Raises:
            SignatureError: `vkey.malformed`.
        """
        old = (LogKey(parse_vkey(vkey), last=-1 if last is None else last) for vkey, last in retired)
        return cls((*(LogKey(parse_vkey(vkey)) for vkey in vkeys), *old))

    def of(self, origin: str) -> Sequence[LogKey]:
        """Those for the shard `origin`."""
        return [key for key in self.keys if key.verifier.name == origin]

    def allow(self, signed_by: Iterable[NoteVerifier], size: int) -> bool:
        """Whether one of these who signed a head of `size` entries may."""
        names = {(verifier.name, verifier.key_id) for verifier in signed_by}
        return any(key.may_sign(size) for key in self.keys if (key.verifier.name, key.verifier.key_id) in names)

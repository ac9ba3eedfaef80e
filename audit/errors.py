"""Errors of the exchange log, all under `schemas.errors.SharingError`.

    SharingError
    ├── ProofError          a Merkle proof does not show what it claims
    ├── TileError           a tile path, hash tile or entry bundle is malformed, or the log does not reach that far
    ├── EntryError          bytes are not a log entry in its one form
    ├── ReceiptError        a receipt is signed, but does not say what a receipt must say
    ├── EvidenceError       a directory cannot be read as evidence at all
    ├── ShardError          the log is frozen, or is not, and cannot be taken on like this
    ├── HeadConflictError   somebody wants a pinned head moved back or sideways
    └── LogError            the log is not what it was: sign nothing more, page someone
        ├── LogBehindError      the database or the head store was set back
        └── LogCorruptError     the database does not hold what was written to it

Malformed notes and checkpoints raise `schemas.errors.SignatureError` with a code that begins with `note.`, `vkey.` or
`checkpoint.`; malformed or forged JWS the same class with `signature.`.
"""

from __future__ import annotations

from schemas.errors import SharingError


class ProofError(SharingError):
    """A Merkle proof does not show what it claims (`proof.malformed`: it cannot even be tried)."""

    code = "proof.invalid"


class TileError(SharingError):
    """A tile path, hash tile or entry bundle is malformed, or (`tile.not-found`) beyond the signed head."""

    code = "tile.malformed"


class EntryError(SharingError):
    """Bytes are not a log entry in its one form."""

    code = "entry.malformed"


class ReceiptError(SharingError):
    """A receipt is signed, but does not say what a receipt must say."""

    code = "receipt.malformed"


class EvidenceError(SharingError):
    """A directory cannot be read as evidence; nothing is said about the log."""

    code = "evidence.malformed"


class ShardError(SharingError):
    """The log's shard cannot be frozen or continued like this; nothing has changed.

    `log.frozen` already, `log.not-frozen`, `log.head-unfit`, `log.behind`, `log.reason-invalid`.
    """

    code = "log.frozen"


class HeadConflictError(SharingError):
    """A head was offered that contradicts the pinned one, which stays. `extra` holds both."""

    code = "head.conflict"


class LogError(SharingError):
    """The log is not what it was. The gateway goes read-only and alarms; nothing is signed until a person decides."""

    code = "log.unsound"


class LogBehindError(LogError):
    """The database or the head store was set back, or they tell two histories of the same log."""

    code = "log.behind"


class LogCorruptError(LogError):
    """The database does not hold what was written to it."""

    code = "log.corrupt"

"""Errors of the service itself, and the one table from error class to HTTP status.

    SharingError
    ├── AccessDeniedError     the plan or a scope does not allow it; logged with who asked
    │   └── RateExceededError     more often than the plan says; `retry_after` seconds later again
    ├── NotFoundError         there is no such thing, or none the caller may know of
    ├── ConflictError         the request does not fit the state: a gap, a fork, a key used for other content
    │   └── WaitingError      a batch needs something that has not arrived
    ├── CursorError           a page's cursor is malformed, or beyond the head
    ├── RequestError          the request itself is malformed
    ├── GovernanceError       a version of a governed table cannot be proposed or decided so
    ├── SignInError           a person is not signed in, or could not be
    ├── PersonError           an account, its roles or its password cannot be changed so
    ├── ProposalError         what takes two persons cannot be proposed or decided so
    └── ReadOnlyError         this gateway may not write now
        └── RolledBackError   its database is behind what it has already given out

A class without a row in the table answers with its nearest parent's status; a test walks all of them. What only a
person at a terminal can meet (settings, key files) needs no row.
"""

from __future__ import annotations

from typing import Any

from audit.errors import EntryError, HeadConflictError, LogError, ProofError, ReceiptError, ShardError, TileError
from partners.document import PartyDocumentError, PartyError
from partners.errors import AuthenticationError, ClientInactiveError, PartnerError, RegistrationError, ScopeError
from partners.keys import KeysError
from schemas.calendar import CalendarError
from schemas.errors import (
    BatchError,
    LimitError,
    PacketError,
    PlanError,
    RecordError,
    SharingError,
    SignatureError,
)
from schemas.sheets import ProfileError
from schemas.tables import TableError


class AccessDeniedError(SharingError):
    """The plan in force, or the token's scope, does not allow this."""

    code = "access.denied"


class RateExceededError(AccessDeniedError):
    """The plan lets this client ask less often. `retry_after` is in seconds."""

    code = "access.rate-exceeded"

    def __init__(self, detail: str, retry_after: int, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after = retry_after


class NotFoundError(SharingError):
    """There is no such thing, or none that the caller may know of."""

    code = "resource.not-found"


class ConflictError(SharingError):
    """The request does not fit the state it meets."""

    code = "state.conflict"


class WaitingError(ConflictError):
    """A batch is good, but something it needs is not here yet; it is asked for again, not refused."""

    code = "batch.waiting"


class CursorError(SharingError):
    """A cursor is malformed, belongs to another query, or is beyond the head."""

    code = "cursor.invalid"


class RequestError(SharingError):
    """The request itself is malformed."""

    code = "request.malformed"


class GovernanceError(SharingError):
    """A version of a governed table cannot be proposed or decided like this; nothing has changed.

    `table.version-unknown`, `table.decided` (already), `table.own-proposal`, `table.changed` (not what was shown),
    `table.note-invalid`.
    """

    code = "table.undecidable"


class SignInError(SharingError):
    """A person is not signed in, or could not be.

    `session.missing`, `sign-in.refused` (whatever was wrong), `sign-in.wait` (`retry_after` says how many seconds),
    `sign-in.sealed`, `enrolment.refused` (a code that is wrong, used or too old).
    """

    code = "session.missing"


class PersonError(SharingError):
    """An account, its roles or what its owner signs in with cannot be changed like this; nothing has changed.

    `person.unknown`, `person.exists`, `person.malformed`, `person.roles-apart`, `person.own-roles`,
    `person.own-recovery`, `person.last` (of those who hold a role that somebody has to hold), `person.role-held`,
    `person.moved` (not as it was proposed), `person.state`, `password.too-short`, `password.too-long`,
    `password.guessable`, `password.same`.
    """

    code = "person.unchangeable"


class ProposalError(SharingError):
    """What takes two persons cannot be proposed or decided like this; nothing has changed.

    `proposal.unknown`, `proposal.open` (already), `proposal.decided`, `proposal.expired`, `proposal.own`,
    `proposal.changed` (not what was shown), `proposal.reason-invalid`.
    """

    code = "proposal.undecidable"


class ReadOnlyError(SharingError):
    """This gateway may not write now; what it holds can still be read."""

    code = "gateway.read-only"


class RolledBackError(ReadOnlyError):
    """The database is behind what was already given out: it was restored from a backup, or replaced."""

    code = "gateway.rolled-back"


STATUS: dict[type[SharingError], int] = {
    SharingError: 400,
    AuthenticationError: 401,
    ScopeError: 403,
    ClientInactiveError: 403,
    AccessDeniedError: 403,
    RateExceededError: 429,
    NotFoundError: 404,
    ConflictError: 409,
    CursorError: 400,
    RequestError: 400,
    LimitError: 413,
    RecordError: 422,
    PacketError: 422,
    PlanError: 422,
    ProfileError: 422,
    TableError: 422,
    CalendarError: 422,
    GovernanceError: 409,
    ProposalError: 409,
    SignInError: 401,
    PersonError: 409,
    BatchError: 400,
    SignatureError: 400,
    ReceiptError: 400,
    EntryError: 400,
    ProofError: 400,
    TileError: 404,
    ShardError: 409,
    RegistrationError: 422,
    PartyError: 400,
    PartyDocumentError: 400,
    PartnerError: 502,
    KeysError: 503,
    ReadOnlyError: 503,
    LogError: 503,
    HeadConflictError: 503,
}

_BY_CODE = {
    "party.exists": 409,
    "party.state-wrong": 409,
    "party.issuer-taken": 409,
    "party.unknown": 404,
    "plan.unknown": 404,
    "person.unknown": 404,
    "person.malformed": 422,
    "password.too-short": 422,
    "password.too-long": 422,
    "password.guessable": 422,
    "proposal.unknown": 404,
    "sign-in.wait": 429,
    "submission.media-type": 415,
    "request.media-type": 415,
    "request.header-too-large": 431,
    "limit.replay-memory-full": 429,
}


def status_of(error: SharingError) -> int:
    """The HTTP status `error` is answered with."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(error: SharingError) -> dict[str, object]:
    """`error` as the body of a problem answer (RFC 9457)."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": error.code,
        "status": status_of(error),
        "code": error.code,
        "detail": error.detail,
    }
    if error.pointers:
        body["pointers"] = list(error.pointers)
    return {**error.extra, **body}

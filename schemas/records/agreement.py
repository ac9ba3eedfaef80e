"""`agreement`: one act of governance about one version of a shared-data plan, in the feed of the party that acts.

Key within its provider: `plan, version, party, act`; a party does each of them once for a version, and an act is never
revised. What the acts mean, who may do which and by when, `gateway.agreements` says; here stands their form, and the
signature that can be shown to anybody.

    proposal        the document (RFC 8785), for all parties to sign
    signature       of one party, over the version's digest and the entries of its own that it confirms
    completion      the proposer's: the signatures of all parties
    lapse           the proposer's: the version was not signed in time, or is taken back
    withdrawal      a party leaves the plan at `effective`, for the reason in `text`
    reconciliation  count and root of each feed between a party that leaves and another, as this party holds it
    disposal        what a party destroyed of what it had received, how much and when
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.errors import RecordError
from schemas.records.parts import check_identifier, check_prose, check_texts, check_time, has_control, is_digest

AgreementAct = Literal["proposal", "signature", "completion", "lapse", "withdrawal", "reconciliation", "disposal"]
MAX_DOCUMENT = 60_000  # characters: a line holds little more
MAX_TOKENS = 64  # signatures of one act: more parties than a plan will have
MAX_TOKEN = 8_192  # characters
MAX_VERSION = 1_000_000
_TOKEN_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feed on its way to one recipient: how many batches, and the RFC 6962 root over their sorted manifest hashes."""

    provider: str
    dataset: str
    recipient: str
    count: int
    root: str


class Disposed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was destroyed of one dataset: how many records, and when."""

    provider: str
    dataset: str
    count: int
    at: str


class Agreement(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="agreement",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """What `party` did about `version` of `plan`, whose document has this `digest`, at the instant `at`.

    `signatures` are compact JWS: one's own in a `signature`, everybody's in a `completion`.
    """

    plan: str
    version: int
    party: str
    act: AgreementAct
    digest: str
    at: str
    document: str = ""
    signatures: tuple[str, ...] = ()
    effective: str = ""
    text: str = ""
    feeds: tuple[Figure, ...] = ()
    disposed: tuple[Disposed, ...] = ()
    rev: int = 0
    reason: str = ""


def check(agreement: Agreement) -> None:
    """That an act has what its sort needs; whether its signatures hold is asked elsewhere. Raises RecordError."""
    check_identifier(agreement.plan, "/plan")
    check_identifier(agreement.party, "/party")
    if not 1 <= agreement.version <= MAX_VERSION:
        raise RecordError(f"versions are numbered from 1 to {MAX_VERSION}", pointers=["/version"])
    _check_digest(agreement.digest, "/digest")
    check_time(agreement.at, "/at")
    if agreement.effective:
        check_time(agreement.effective, "/effective")
    check_prose(text=agreement.text)
    if len(agreement.document) > MAX_DOCUMENT or has_control(agreement.document):
        message = f"a document that is proposed has at most {MAX_DOCUMENT} characters, and no control characters"
        raise RecordError(message, pointers=["/document"])
    _check_tokens(agreement.signatures)
    _check_figures(agreement)
    _check_needed(agreement)


def _check_needed(agreement: Agreement) -> None:
    needed: dict[str, tuple[str, ...]] = {
        "proposal": ("document",), "signature": ("signatures",), "completion": ("signatures",), "lapse": ("text",),
        "withdrawal": ("effective", "text"),
    }  # fmt: skip
    for name in needed.get(agreement.act, ()):
        value = getattr(agreement, name)
        if not (value.strip() if isinstance(value, str) else value):
            raise RecordError(f"a {agreement.act} has {name}", pointers=[f"/{name}"])


def _check_tokens(tokens: tuple[str, ...]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise RecordError(f"an act has at most {MAX_TOKENS} signatures", pointers=["/signatures"])
    for index, token in enumerate(tokens):
        if not 0 < len(token) <= MAX_TOKEN or not _TOKEN_LETTERS.issuperset(token):
            raise RecordError("a signature is a compact JWS", pointers=[f"/signatures/{index}"])


def _check_figures(agreement: Agreement) -> None:
    for index, figure in enumerate(agreement.feeds):
        pointer = f"/feeds/{index}"
        for name in ("provider", "dataset", "recipient"):
            check_identifier(getattr(figure, name), f"{pointer}/{name}")
        _check_count(figure.count, f"{pointer}/count")
        _check_digest(figure.root, f"{pointer}/root")
    for index, one in enumerate(agreement.disposed):
        pointer = f"/disposed/{index}"
        for name in ("provider", "dataset"):
            check_identifier(getattr(one, name), f"{pointer}/{name}")
        _check_count(one.count, f"{pointer}/count")
        check_time(one.at, f"{pointer}/at")
    check_texts(reason=agreement.reason)


def _check_count(count: int, pointer: str) -> None:
    if count < 0:
        raise RecordError("a count is not negative", pointers=[pointer])


def _check_digest(text: str, pointer: str) -> None:
    if not is_digest(text):
        message = "a digest is 32 bytes in base64url"
        raise RecordError(message, code="record.digest-invalid", pointers=[pointer])

"""Personal tokens: what people of the home party read with from their desktop tools, which know no OAuth.

A token is shown once and kept as a keyed hash. It is good on the console listener alone, for reading alone, for the
datasets of the home party that it names, for ninety days at most; and never longer than its owner has an account with a
role that may read values. Whoever sends wrong ones too often waits.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update

from audit.entry import make_entry
from audit.form import PERSONAL_TOKEN, TOKENS_REVOKED
from audit.log import append
from gateway.db import ReadSession, WriteSession
from gateway.errors import NotFoundError, RequestError, SignInError
from gateway.people.accounts import find_account
from gateway.people.person import Person, actor_of
from gateway.people.roles import permissions_of
from gateway.service import Gateway
from partners.errors import AuthenticationError
from partners.plans import plans_in_force
from partners.principal import Principal
from partners.tables import personal_token
from schemas.jws import b64encode
from schemas.times import DAY, utc_text

MAX_DAYS = 90
MAX_NAME = 64  # characters
MAX_TOKENS = 20  # that one person has at one time
SCOPES = frozenset({"records:read"})
REFUSED_PER_MINUTE = 10  # wrong tokens from one address; those that follow are not looked at
MAX_ADDRESSES = 10_000  # that are remembered for that

_TOKEN = re.compile(r"taipu_[A-Za-z0-9_-]{43}", re.ASCII)
_HEADER = re.compile(r"[Bb]asic +([A-Za-z0-9+/]{1,400}={0,2})", re.ASCII)
_WRONG = "the token is not known here, or no longer"


class PersonalTokenError(AuthenticationError):
    """No personal token, or none that is good: a desktop tool asks its user for one."""

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.challenge = 'Basic realm="taipu", charset="UTF-8"'


@dataclass(frozen=True)
class PersonalToken:
    """What is known of a token: not the token. `created` and `ends` in ms UTC."""

    id: str
    account: str
    name: str
    datasets: frozenset[str]
    created: int
    ends: int


def make_token(
    gateway: Gateway, *, by: Person, name: str = "", datasets: Collection[str] = (), days: int = MAX_DAYS, now: int
) -> tuple[str, PersonalToken]:
    """A new token of the person's own: the text that is shown this once, and what is kept of it. `now` in ms UTC.

    It reads these `datasets` of the home party, by default all that the plans in force have now.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        RequestError: `token.days`, `token.name`, `token.datasets` or `token.too-many`.
    """
    by.require("record.read")
    if not 1 <= days <= MAX_DAYS:
        raise RequestError(f"a token lasts 1 to {MAX_DAYS} days", code="token.days")
    if len(name) > MAX_NAME or not name.isprintable():
        raise RequestError(f"a token's name has at most {MAX_NAME} printable characters", code="token.name")
    text = "taipu_" + secrets.token_urlsafe(32)
    with gateway.database.write() as session:
        own = {dataset.id for dataset in plans_in_force(session, now).provided_by(gateway.party)}
        chosen = frozenset(datasets or own)
        if not chosen or not chosen <= own:
            raise RequestError("a token is for datasets that this party provides now", code="token.datasets")
        if len(tokens_of(session, now=now, account=by.account)) >= MAX_TOKENS:
            raise RequestError(f"a person has at most {MAX_TOKENS} tokens at a time", code="token.too-many")
        made = PersonalToken(secrets.token_hex(4), by.account, name, chosen, now, now + days * DAY)
        values = {**vars(made), "datasets": " ".join(sorted(chosen)), "digest": _digest(gateway, text)}
        session.execute(insert(personal_token).values(**values))
        _log(gateway, session, PERSONAL_TOKEN, made, by, now)
    gateway.signals.logged.send()
    return text, made


def tokens_of(session: ReadSession, *, now: int, account: str | None = None) -> list[PersonalToken]:
    """The tokens that have not ended, of one person or of all, oldest first."""
    query = select(personal_token).where(personal_token.c.ends > now)
    if account is not None:
        query = query.where(personal_token.c.account == account)
    rows = session.execute(query.order_by(personal_token.c.created, personal_token.c.id))
    return [_token(row) for row in rows]


def revoke_token(gateway: Gateway, identifier: str, *, by: Person, now: int) -> None:
    """End a token, from the next request on: one's own, or anybody's by whoever may end people's sessions.

    Raises:
        NotFoundError: `token.unknown`: there is none of this id that the person may end.
    """
    with gateway.database.write() as session:
        found = [one for one in tokens_of(session, now=now) if one.id == identifier]
        if not found or not (found[0].account == by.account or by.may("person.suspend")):
            raise NotFoundError("there is no such token", code="token.unknown")
        session.execute(update(personal_token).where(personal_token.c.id == identifier).values(ends=now))
        _log(gateway, session, TOKENS_REVOKED, found[0], by, now)
    gateway.signals.logged.send()


class PersonalCallers:
    """Callers of the console's read routes. One for each process; safe to share between threads."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()  # guards `_refused`
        self._minute = 0
        self._refused: dict[str, int] = {}  # in this minute, by address

    def authenticate(self, method: str, headers: Sequence[tuple[str, str]], address: str, now: int) -> Principal:
        """Who sends this request from `address`, by HTTP Basic (RFC 7617): user the account, password the token.

        Raises:
            PersonalTokenError: `token.missing` or `token.invalid`, one answer whatever is wrong.
            SignInError: `sign-in.wait`: too many wrong ones came from this address in this minute.
            RequestError: it is no reading.
        """
        values = [value for name, value in headers if name.lower() == "authorization"]
        if not values:
            raise PersonalTokenError("a personal token is needed", code="token.missing")
        self._require_patience(address, now)
        found = self._find(values, now)
        if found is None:
            self._count(address)
            raise PersonalTokenError(_WRONG, code="token.invalid")
        if method not in ("GET", "HEAD"):
            raise RequestError("a personal token is for reading alone")
        gateway = self._gateway
        return Principal(
            party=gateway.party, client_id=f"{actor_of(gateway.home, found.account)}/{found.id}", kind="reader",
            scopes=SCOPES, thumbprint="", datasets=found.datasets,
        )  # fmt: skip

    def _find(self, values: Sequence[str], now: int) -> PersonalToken | None:
        account, text = _read_basic(values)
        if not _TOKEN.fullmatch(text):
            return None
        with self._gateway.database.read() as session:
            known = personal_token.c.digest == _digest(self._gateway, text)
            row = session.execute(select(personal_token).where(known, personal_token.c.ends > now)).one_or_none()
            owner = None if row is None else find_account(session, row.account, now=now)
        if row is None or owner is None or not owner.active or owner.name != account:
            return None
        return _token(row) if "record.read" in permissions_of(owner.roles) else None

    def _require_patience(self, address: str, now: int) -> None:
        with self._lock:
            if now // 60_000 != self._minute:
                self._minute, self._refused = now // 60_000, {}
            # An address too many to remember shares a count with the others like it.
            if self._refused.get(self._name(address), 0) >= REFUSED_PER_MINUTE:
                left = 60 - now % 60_000 // 1000
                raise SignInError(
                    "too many wrong tokens: wait a minute", code="sign-in.wait", extra={"retry_after": left}
                )

    def _count(self, address: str) -> None:
        with self._lock:
            name = self._name(address)
            self._refused[name] = self._refused.get(name, 0) + 1

    def _name(self, address: str) -> str:
        return address if address in self._refused or len(self._refused) < MAX_ADDRESSES else ""


def _read_basic(values: Sequence[str]) -> tuple[str, str]:
    """User and password of the one header there is; nothing where it cannot be read."""
    match = _HEADER.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        return "", ""
    try:
        user, _, password = base64.b64decode(match[1], validate=True).decode("utf-8").partition(":")
    except ValueError:
        return "", ""
    return user, password


def _digest(gateway: Gateway, text: str) -> str:
    return b64encode(hmac.digest(gateway.keys.secret.derive("personal-tokens"), text.encode(), "sha256"))


def _token(row: Row[Any]) -> PersonalToken:
    return PersonalToken(row.id, row.account, row.name, frozenset(row.datasets.split()), row.created, row.ends)


def _log(gateway: Gateway, session: WriteSession, t: str, token: PersonalToken, by: Person, now: int) -> None:
    actor = actor_of(gateway.home, by.account)
    detail = {
        "token": token.id, "owner": actor_of(gateway.home, token.account), "datasets": sorted(token.datasets),
        "ends": utc_text(token.ends),
    }  # fmt: skip
    append(session, make_entry(t, at=utc_text(now), party=gateway.party, actor=actor, detail=detail))

"""Clients of this gateway: who may ask it for tokens, and with which keys.

To register one, or to give one more keys, takes two persons. To take a client or a key away is one person's act, at
once: the client is asked for at each request, so its tokens are worth nothing from the next one on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from audit.entry import make_entry
from audit.form import CLIENT_CHANGED, CLIENT_REGISTERED
from audit.log import append
from gateway.db import WriteSession
from gateway.people.person import Person, actor_of
from gateway.proposals import Kind, Proposal, propose_within
from gateway.service import Gateway
from partners.errors import RegistrationError
from partners.oauth.clients import Client
from partners.oauth.registered import ClientKey
from partners.oauth.store import (
    Ending,
    add_client,
    add_keys,
    change_client,
    check_client,
    end_key,
    endings,
    load_client,
)
from schemas.times import DAY, utc_text

WARN_DAYS = (30, 7)  # before the last key of a client ends; the nearer, the louder

log = structlog.get_logger()


def propose_client(
    gateway: Gateway, client: Client, keys: Sequence[ClientKey], *, by: Person, reason: str = "", now: int
) -> Proposal:
    """Propose a client with `keys`, to be approved by somebody else; `now` in ms UTC.

    Whoever proposes a client whose tokens are bound to nothing is the administrator who marks it so.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        ProposalError: as `proposals.propose` does.
        RegistrationError, SignatureError: it could not be kept.
    """
    content = {
        "party": client.party, "kind": client.kind, "scopes": sorted(client.scopes), "binding": client.binding,
        "subject": client.subject, "keys": [vars(key) for key in keys],
    }  # fmt: skip
    with gateway.database.write() as session:
        proposal = propose_within(gateway, session, CLIENT, client.client_id, content, by=by, reason=reason, now=now)
        with session.begin_nested() as trial:  # what nobody could approve is not proposed
            _keep(gateway, session, proposal, now)
            trial.rollback()
    return proposal


def propose_keys(
    gateway: Gateway, client_id: str, keys: Sequence[ClientKey], *, by: Person, reason: str = "", now: int
) -> Proposal:
    """Propose more keys for a client, beside those it has. Raises as `propose_client` does."""
    content = {"keys": [vars(key) for key in keys]}
    with gateway.database.write() as session:
        proposal = propose_within(gateway, session, CLIENT_KEYS, client_id, content, by=by, reason=reason, now=now)
        with session.begin_nested() as trial:
            add_keys(session, client_id, keys, now)
            trial.rollback()
    return proposal


def register_client(
    gateway: Gateway, session: WriteSession, client: Client, keys: Sequence[ClientKey], *, now: int
) -> None:
    """Keep a client's record, so that it may ask for tokens from now on, in the caller's transaction.

    Raises:
        RegistrationError, SignatureError: it cannot be kept.
    """
    check_client(client)
    if client.binding == "none" and client.party != gateway.party:
        detail = "only a client of this gateway's own party may have tokens that are bound to nothing"
        raise RegistrationError(detail, code="client.binding")
    add_client(session, client, now, keys)
    said = {
        "client": client.client_id, "kind": client.kind, "scope": sorted(client.scopes), "binding": client.binding,
        "keys": sorted(key.kid for key in keys),
    }  # fmt: skip
    entry = make_entry(CLIENT_REGISTERED, at=utc_text(now), party=gateway.party, peer=client.party, detail=said)
    append(session, entry)


def revoke_client(gateway: Gateway, client_id: str, *, by: Person, kid: str | None = None, now: int) -> None:
    """End a client for good, or one of its keys or certificates, from the next request on.

    Raises:
        AccessDeniedError: `person.not-permitted`.
        RegistrationError: `client.unknown`, `client.ended` or `client.key-unknown`; nothing has changed.
    """
    by.require("client.revoke")
    with gateway.database.write() as session:
        known = load_client(session, client_id, now=now)
        if known is None:
            raise RegistrationError("there is no such client", code="client.unknown")
        if kid is None:
            change_client(session, client_id, "ended")
        else:
            end_key(session, client_id, kid, now)
        detail = {"client": client_id, "change": "ended"} if kid is None else {"client": client_id, "key-ended": kid}
        _log_change(gateway, session, known.party, by, detail, now)
    gateway.signals.logged.send()


class EndWatch:
    """Says in the process log which clients' last key ends soon, once a day."""

    def __init__(self) -> None:
        self._said = -1  # the day (of UTC) it was last said

    def look(self, gateway: Gateway, now: int) -> None:
        """Say it, if it was not said today."""
        if now // DAY != self._said:
            with gateway.database.read() as session:
                due = ending_soon(endings(session, now))
            for one in due:
                say = log.error if one.days < WARN_DAYS[-1] else log.warning
                say("client.key-ends", client=one.client_id, what=one.what, days=one.days)
            self._said = now // DAY


def ending_soon(found: Sequence[Ending]) -> list[Ending]:
    """Those that need somebody to act."""
    return [one for one in found if one.days < WARN_DAYS[0]]


def _carry_out_client(gateway: Gateway, session: WriteSession, proposal: Proposal, _by: Person, now: int) -> None:
    _keep(gateway, session, proposal, now)


def _keep(gateway: Gateway, session: WriteSession, proposal: Proposal, now: int) -> None:
    said = proposal.content
    client = Client(
        client_id=proposal.subject, party=said["party"], kind=said["kind"], scopes=frozenset(said["scopes"]), jwks="",
        binding=said["binding"], subject=said["subject"],
        unbound_by=proposal.proposer if said["binding"] == "none" else None,
    )  # fmt: skip
    register_client(gateway, session, client, _keys(said), now=now)


def _carry_out_keys(gateway: Gateway, session: WriteSession, proposal: Proposal, by: Person, now: int) -> None:
    keys = _keys(proposal.content)
    add_keys(session, proposal.subject, keys, now)
    known = load_client(session, proposal.subject, now=now)
    assert known is not None
    detail = {"client": proposal.subject, "keys-added": sorted(key.kid for key in keys)}
    _log_change(gateway, session, known.party, by, detail, now)


def _keys(said: Mapping[str, Any]) -> list[ClientKey]:
    return [ClientKey(**key) for key in said["keys"]]


def _log_change(
    gateway: Gateway, session: WriteSession, party: str, by: Person, detail: Mapping[str, object], now: int
) -> None:
    actor = actor_of(gateway.home, by.account)
    entry = make_entry(CLIENT_CHANGED, at=utc_text(now), party=gateway.party, actor=actor, peer=party, detail=detail)
    append(session, entry)


def _says_client(proposal: Proposal) -> str:
    said = proposal.content
    bound = {"dpop": "bound by proofs", "mtls": "bound to its certificate", "none": "BOUND TO NOTHING"}[said["binding"]]
    return (
        f"client {proposal.subject} of {said['party']}, a {said['kind']}, may ask for {' '.join(said['scopes'])}; "
        f"its tokens are {bound}; {_says_keys(proposal)}"
    )


def _says_keys(proposal: Proposal) -> str:
    return f"keys of {proposal.subject}: {', '.join(key['kid'] for key in proposal.content['keys'])}"


CLIENT = Kind("client", "client.propose", "client.approve", _carry_out_client, says=_says_client)
CLIENT_KEYS = Kind("client-keys", "client.propose", "client.approve", _carry_out_keys, says=_says_keys)

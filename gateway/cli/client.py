"""`taipu client`: stations, readers and auditors that may ask this gateway for tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened, signed_in
from gateway.cli.terminal import read_text, say_json, say_members, say_table, tell
from gateway.clients import ending_soon, propose_client, propose_keys, revoke_client
from gateway.proposals import Proposal
from partners.client_file import create_client_key
from partners.errors import RegistrationError
from partners.oauth.clients import Client
from partners.oauth.keys import MAX_KEY_SET
from partners.oauth.registered import read_client_keys
from partners.oauth.store import clients, endings, keys_of, load_client
from partners.principal import SCOPES
from schemas.times import beijing_text, millis_of, now_millis

app = typer.Typer(help="OAuth clients of this gateway.", no_args_is_help=True)


class Kind(StrEnum):
    """What a client is. A partner's gateway is registered with its party."""

    STATION = "station"
    READER = "reader"
    AUDITOR = "auditor"


class Binding(StrEnum):
    """What its tokens are bound to."""

    DPOP = "dpop"
    MTLS = "mtls"
    NONE = "none"


KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", "--jwks", metavar="FILE", help="Its public keys: a JWK set, or PEM keys and certificates."),
]
EndsOption = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DAY", help="The day (UTC) at whose start they end.")
]
IdArgument = Annotated[str, typer.Argument(metavar="CLIENT", help="The client's id.")]


@app.command("add")
def add(
    client_id: Annotated[str, typer.Option("--id", metavar="ID", help="The client's id: printable ASCII, no spaces.")],
    party: Annotated[str, typer.Option(metavar="CODE", help="The party it belongs to.")],
    kind: Annotated[Kind, typer.Option(help="What it is.")],
    scope: Annotated[list[str], typer.Option(metavar="SCOPE", help=f"May be repeated. {', '.join(SCOPES)}.")],
    key_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make a key pair, and write the private key here.")
    ] = None,
    keys: KeysOption = None,
    ends: EndsOption = None,
    binding: Annotated[Binding, typer.Option(help="What its tokens are bound to.")] = Binding.DPOP,
    subject: Annotated[
        str | None, typer.Option(metavar="NAME", help="With mtls: of the certificates that its party's CA issues.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever approves.")] = "",
    home: HomeOption = Path(),
) -> None:
    """Propose a client; somebody else approves it.

    Its key pair is made here, or it brings public keys of its own. With --key-out a client file is printed, for
    `taipu send --client`: it and the private key are all a client needs.
    """
    if (key_out is None) == (keys is None):
        raise typer.BadParameter("give either --key-out or --keys")
    scopes = frozenset(one for text in scope for one in text.split())
    with opened(home) as gateway:
        by, now = signed_in(gateway, "client.propose"), now_millis()
        text = read_text(keys, MAX_KEY_SET) if keys else create_client_key(cast("Path", key_out))
        try:
            marked = by.account if binding is Binding.NONE else None
            client = Client(
                client_id, party, kind.value, scopes, "",
                binding=binding.value, subject=subject, unbound_by=marked,
            )  # fmt: skip
            brought = read_client_keys(text, begins=now, ends=_instant(ends))
            proposal = propose_client(gateway, client, brought, by=by, reason=reason, now=now)
        except Exception:
            if key_out:
                key_out.unlink()  # made a moment ago, and good for nothing
            raise
        settings = gateway.settings
    _tell_proposal(proposal)
    if key_out is None:
        return
    tell(f"The private key is in {key_out}. Keep what follows as a file; paths in it are relative to that file.")
    ca = settings.tls.ca.read_text(encoding="ascii")
    scope_text = " ".join(one for one in SCOPES if one in scopes)
    say_json({"url": settings.url, "ca": ca, "client_id": client_id, "key": str(key_out), "scope": scope_text})


@app.command("add-key")
def add_key(
    client_id: IdArgument, keys: Annotated[Path, typer.Argument(metavar="FILE", help="A JWK set or PEM.")],
    ends: EndsOption = None, reason: Annotated[str, typer.Option(help="Why, for whoever approves.")] = "",
    home: HomeOption = Path(),
) -> None:  # fmt: skip
    """Propose more keys or certificates for a client; somebody else approves them."""
    with opened(home) as gateway:
        by, now = signed_in(gateway, "client.propose"), now_millis()
        brought = read_client_keys(read_text(keys, MAX_KEY_SET), begins=now, ends=_instant(ends))
        _tell_proposal(propose_keys(gateway, client_id, brought, by=by, reason=reason, now=now))


@app.command("revoke")
def revoke(
    client_id: IdArgument,
    key: Annotated[str | None, typer.Option(metavar="KID", help="End this key or certificate alone.")] = None,
    home: HomeOption = Path(),
) -> None:
    """End a client for good, at once: from its next request on its tokens are worth nothing."""
    with opened(home) as gateway:
        revoke_client(gateway, client_id, by=signed_in(gateway, "client.revoke"), kid=key, now=now_millis())
    tell(f"{client_id} has ended." if key is None else f"{key} of {client_id} has ended.")


@app.command("list")
def list_clients(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every registered client, partners' gateways too. Says whose last key ends soon."""
    now = now_millis()
    with opened(home) as gateway, gateway.database.read() as session:
        found = clients(session, now=now)
        due = ending_soon(endings(session, now))
    if as_json:
        say_json([_as_json(one) for one in found])
    else:
        rows = [(one.client_id, one.party, one.kind, one.state, one.binding, _scopes(one)) for one in found]
        say_table(("CLIENT", "PARTY", "KIND", "STATE", "BINDING", "SCOPES"), rows)
    for one in due:
        left = f"ends in {one.days} days" if one.days >= 0 else "has ended"
        tell(f"{one.client_id}: its last {one.what} {left}, {beijing_text(one.ends)}")


@app.command("show")
def show(client_id: IdArgument, home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """One client, with its keys and certificates and their times."""
    with opened(home) as gateway, gateway.database.read() as session:
        client, keys = load_client(session, client_id), keys_of(session, client_id)
    if client is None:
        raise RegistrationError("there is no such client", code="client.unknown")
    listed = [
        {
            "kid": key.kid, "certificate": key.is_certificate, "begins": beijing_text(key.begins),
            "ends": None if key.ends is None else beijing_text(key.ends),
        }
        for key in keys
    ]  # fmt: skip
    if as_json:
        say_json({**_as_json(client), "keys": listed})
        return
    say_members({**_as_json(client), "scopes": _scopes(client)})
    say_table(("KEY", "SORT", "BEGINS", "ENDS"), [
        (key["kid"], "certificate" if key["certificate"] else "key", key["begins"], key["ends"]) for key in listed
    ])  # fmt: skip


def _as_json(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id, "party": client.party, "kind": client.kind, "state": client.state,
        "binding": client.binding, "scopes": sorted(client.scopes),
    }  # fmt: skip


def _scopes(client: Client) -> str:
    return " ".join(sorted(client.scopes))


def _instant(day: datetime | None) -> int | None:
    return None if day is None else millis_of(day.replace(tzinfo=UTC))


def _tell_proposal(proposal: Proposal) -> None:
    tell(
        f"{proposal.kind} {proposal.subject} is proposed; somebody else: "
        f"taipu proposal approve {proposal.id} --digest {proposal.digest}"
    )

"""`taipu client`: stations, readers and auditors that may ask this gateway for tokens."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.terminal import read_text, say_json, say_table, tell
from gateway.clients import register_client
from partners.client_file import create_client_key
from partners.oauth.clients import Client
from partners.oauth.keys import MAX_KEY_SET
from partners.oauth.store import clients
from partners.principal import SCOPES
from schemas.times import now_millis

app = typer.Typer(help="OAuth clients of this gateway.", no_args_is_help=True)


class Kind(StrEnum):
    """What a client is. A partner's gateway is registered with its party."""

    STATION = "station"
    READER = "reader"
    AUDITOR = "auditor"


@app.command("add")
def add(
    client_id: Annotated[str, typer.Option("--id", metavar="ID", help="The client's id: printable ASCII, no spaces.")],
    party: Annotated[str, typer.Option(metavar="CODE", help="The party it belongs to.")],
    kind: Annotated[Kind, typer.Option(help="What it is.")],
    scope: Annotated[list[str], typer.Option(metavar="SCOPE", help=f"May be repeated. {', '.join(SCOPES)}.")],
    key_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make a key pair, and write the private key here.")
    ] = None,
    jwks: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Public keys that the client made itself, as a JWK set.")
    ] = None,
    home: HomeOption = Path(),
) -> None:
    """Register a client, with a key pair made here or with public keys of its own.

    With --key-out a client file is printed, for `taipu send --client`: it and the private key are all a client needs.
    """
    if (key_out is None) == (jwks is None):
        raise typer.BadParameter("give either --key-out or --jwks")
    scopes = frozenset(one for text in scope for one in text.split())
    with opened(home) as gateway:
        keys = read_text(jwks, MAX_KEY_SET) if jwks else create_client_key(cast("Path", key_out))
        try:
            client = Client(client_id, party, kind.value, scopes, keys)
            register_client(gateway, client, now=now_millis())
        except Exception:
            if key_out:
                key_out.unlink()  # made a moment ago, and good for nothing
            raise
        settings = gateway.settings
    if key_out is None:
        tell(f"{client_id} is registered.")
        return
    tell(f"The private key is in {key_out}. Keep what follows as a file; paths in it are relative to that file.")
    ca = settings.tls.ca.read_text(encoding="ascii")
    scope_text = " ".join(one for one in SCOPES if one in scopes)
    say_json({"url": settings.url, "ca": ca, "client_id": client_id, "key": str(key_out), "scope": scope_text})


@app.command("list")
def list_clients(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every registered client, partners' gateways too."""
    with opened(home) as gateway, gateway.database.read() as session:
        rows = [(one.client_id, one.party, one.kind, one.state, sorted(one.scopes)) for one in clients(session)]
    if as_json:
        say_json([dict(zip(("client_id", "party", "kind", "state", "scopes"), row, strict=True)) for row in rows])
    else:
        say_table(("CLIENT", "PARTY", "KIND", "STATE", "SCOPES"), [(*row[:4], " ".join(row[4])) for row in rows])

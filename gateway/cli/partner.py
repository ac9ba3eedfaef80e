"""`taipu partner`: who we are to others, and whom we exchange with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import party_document, registry
from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.terminal import InputError, confirm, read_text, say, say_json, say_members, say_table, tell
from gateway.home import open_home
from partners.client import PartnerClient
from partners.directory import parties
from partners.document import MAX_DOCUMENT, PartyDocument, host_of, open_document
from schemas.times import beijing_text, now_millis

app = typer.Typer(help="The parties this gateway exchanges with.", no_args_is_help=True)

_MAX_CA = 64 * 1024  # bytes


@app.command("show")
def show(
    home: HomeOption = Path(),
    *,
    document: Annotated[
        bool, typer.Option("--document", help="Print the party document itself, to hand to a partner.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show this gateway's own party document, and the fingerprint to read out by telephone."""
    token = party_document.own_document(open_home(home))
    own = open_document(token)
    if document:
        say(token)
    elif as_json:
        say_json(_as_json(own))
    else:
        say_members(_as_json(own))


@app.command("add")
def add(
    source: Annotated[str, typer.Argument(metavar="FILE_OR_URL", help="The party document, or the gateway's address.")],
    fingerprint: Annotated[
        str | None, typer.Option(metavar="HEX", help="The fingerprint as the other administrator read it out.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Authorities to trust there, in place of the document's own.")
    ] = None,
    home: HomeOption = Path(),
    *,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; without --fingerprint, refuse.")] = False,
) -> None:
    """Register a party and its gateway, once its fingerprint has been compared by telephone.

    A document fetched from an address is believed no more than one from a file: the fingerprint decides.
    """
    ca_pem = read_text(ca, _MAX_CA) if ca else None
    token, url = _fetch(source, ca_pem)
    document = open_document(token, pinned=fingerprint)
    if fingerprint is None:
        _compare(document, no_input=no_input)
    with opened(home) as gateway:
        party = registry.add_partner(
            gateway, token, url=url or document.issuer, ca_pem=ca_pem, fingerprint=document.fingerprint,
            now=now_millis(),
        )  # fmt: skip
    say(f"{party.code} ({party.document.names.zh}, {party.document.names.en}) is a partner, at {party.url}")


@app.command("list")
def list_partners(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every registered party, suspended ones too."""
    with opened(home) as gateway, gateway.database.read() as session:
        known = parties(session)
    if as_json:
        say_json([_as_json(one.document) | {"state": one.state, "url": one.url} for one in known])
        return
    rows = [
        (one.code, one.document.names.zh, one.state, one.url, one.fingerprint, beijing_text(one.added)) for one in known
    ]
    say_table(("PARTY", "NAME", "STATE", "URL", "FINGERPRINT", "SINCE"), rows)


def _fetch(source: str, ca_pem: str | None) -> tuple[str, str | None]:
    """The party document (unverified), and the address it was fetched from if it was."""
    if not source.startswith("https://"):
        return read_text(Path(source), MAX_DOCUMENT).strip(), None
    host_of(source)
    with PartnerClient(source, ca_pem) as client:
        return client.party_document().strip(), source


def _compare(document: PartyDocument, *, no_input: bool) -> None:
    names = document.names
    tell(f"This says it is party {document.party} ({names.zh}, {names.en}), and has the fingerprint")
    tell(f"    {document.fingerprint}")
    if no_input:
        raise InputError("compare it by telephone and give it with --fingerprint", code="input.needed")
    if not confirm("Did the other administrator read out the same eight groups?"):
        raise InputError("the fingerprint was not confirmed; nothing was changed", code="input.declined")


def _as_json(document: PartyDocument) -> dict[str, Any]:
    return {
        "party": document.party,
        "name": document.names.zh,
        "name_in_english": document.names.en,
        "fingerprint": document.fingerprint,
        "issuer": document.issuer,
        "log": document.log.origin,
        "serial": document.serial,
        "issued": document.issued,
        "expires": document.expires,
    }

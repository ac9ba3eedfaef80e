"""`taipu partner`: who we are to others, whom we exchange with, and who decides that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import approvals, party_document, registry
from gateway.cli.at_home import DigestOption, HomeOption, JsonOption, opened, signed_in
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import InputError, confirm, finish, read_text, say, say_json, say_members, say_table, tell
from gateway.connection_test import UNREACHED, Report, try_address, try_document, try_partner
from gateway.errors import NotFoundError
from gateway.fingerprints import terminal_qr
from gateway.home import open_home
from gateway.proposals import Proposal
from gateway.service import Gateway
from gateway.standing import NOTICE, URGENT, Standing, as_members, standings
from partners.directory import find_party
from partners.document import MAX_DOCUMENT, PartyDocument, is_party, open_document
from schemas.times import beijing_text, now_millis

app = typer.Typer(help="The parties this gateway exchanges with.", no_args_is_help=True)

_MAX_CA = 64 * 1024  # bytes
_MARKS = {"ok": "\N{CHECK MARK}", "failed": "\N{BALLOT X}", "not tried": "-"}

Code = Annotated[str, typer.Argument(metavar="CODE", help="The party: `taipu partner list` has them all.")]
CaOption = Annotated[
    Path | None, typer.Option("--ca", metavar="FILE", help="Authorities to trust there, for the document's own.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")]
OptionalReason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: for whoever approves.")]
FingerprintOption = Annotated[
    str | None,
    typer.Option("--fingerprint", metavar="HEX", help="The fingerprint as their administrator read it out."),
]


@app.command("show")
def show(
    code: Annotated[str, typer.Argument(metavar="[CODE]", help="The party; without it, our own.")] = "",
    home: HomeOption = Path(),
    *,
    document: Annotated[
        bool, typer.Option("--document", help="Print the party document itself, to hand to a partner.")
    ] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Also draw the fingerprint as a QR code.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a party and its fingerprint; without CODE, our own."""
    if code:
        _show_partner(code, home, document=document, qr=qr, as_json=as_json)
        return
    token = party_document.own_document(open_home(home))
    own = open_document(token)
    if document:
        say(token)
    elif as_json:
        say_json(_own_members(own))
    else:
        say_members(_own_members(own))
        if qr:
            say(terminal_qr(own.party, own.fingerprint))


@app.command("list")
def list_partners(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every party: its state and the one step that is missing.

    Also the last contacts, by how much its clock differs, and when its document ends.
    """
    now = now_millis()
    with opened(home) as gateway, gateway.database.read() as session:
        found = standings(session, now)
    if as_json:
        say_json([as_members(one, now) for one in found])
        return
    columns = ("PARTY", "NAME", "STATE", "MISSING", "CALLED", "CALLED US", "SKEW", "DOCUMENT", "URL", "FINGERPRINT")
    say_table(columns, [_row(one, now) for one in found])


@app.command("test")
def try_gateway(
    source: Annotated[
        str, typer.Argument(metavar="URL|CODE|FILE", help="An address, a registered party, or a party document.")
    ],
    ca: CaOption = None,
    home: HomeOption = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Try a partner's gateway step by step, and say what is wrong. Changes nothing.

    Address, connection, certificate, clock, party document, authorization server, and whether each can call the other.
    """
    with opened(home) as gateway:
        report = _try(gateway, source, ca)
    if as_json:
        say_json({"ok": report.ok, "url": report.url, "steps": [vars(step) for step in report.steps]})
    else:
        rows = [(_MARKS[step.result], step.name, step.text, step.code) for step in report.steps]
        say_table(("", "STEP", "WHAT", "CODE"), rows)
    if report.failure is not None:
        finish(ExitCode.UNREACHABLE if report.failure.code in UNREACHED else ExitCode.FAILED)


@app.command("propose")
def propose(
    source: Annotated[str, typer.Argument(metavar="FILE_OR_URL", help="The party document, or the gateway's address.")],
    fingerprint: FingerprintOption = None,
    ca: CaOption = None,
    reason: OptionalReason = "",
    home: HomeOption = Path(),
    *,
    new_identity: Annotated[
        bool, typer.Option("--new-identity", help="The party is registered; pin another identity for it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Propose a partner; somebody else approves it.

    It is a partner once that person has compared its fingerprint by telephone. What the connection test says goes with
    the proposal. A document from an address is believed no more than a file.
    """
    with opened(home) as gateway:
        person = signed_in(gateway, "partner.propose")
        report = _try(gateway, source, ca)
        proposal = registry.propose_partner(
            gateway, report, by=person, fingerprint=fingerprint, new_identity=new_identity, reason=reason,
            now=now_millis(),
        )  # fmt: skip
    _say_proposed(proposal, as_json=as_json)


@app.command("approve")
def approve(
    code: Code,
    digest: DigestOption = "",
    fingerprint: FingerprintOption = None,
    home: HomeOption = Path(),
    *,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; what is not given is refused.")] = False,
) -> None:
    """Approve what was proposed about a party.

    That it comes in, is resumed, is ended, or has a new identity. An identity is pinned only once its fingerprint has
    been compared: give what their administrator reads out with --fingerprint, or say so when asked.
    """
    with opened(home) as gateway:
        person = signed_in(gateway, "partner.approve", step_up=True)
        proposal = _waiting(gateway, code)
        _say_proposal(proposal)
        if proposal.kind in (registry.PARTNER.name, registry.IDENTITY.name):
            _compare(proposal, fingerprint, no_input=no_input)
        if not digest:
            _agree(no_input=no_input)
        approvals.approve(gateway, proposal.id, by=person, digest=digest or proposal.digest, now=now_millis())
        with gateway.database.read() as session:
            party = find_party(session, code)
    if party is None:
        raise RuntimeError("an approved act about a party leaves the party")
    names = party.document.names
    say(f"{code} ({names.zh}, {names.en}) is {party.state}, at {party.url}")


@app.command("suspend")
def suspend(code: Code, reason: ReasonOption, home: HomeOption = Path()) -> None:
    """Stop the exchange with a party at once.

    Its next request is refused, and it is called no more, except for what the plan lets pass nevertheless.
    """
    with opened(home) as gateway:
        person = signed_in(gateway, "partner.suspend")
        registry.suspend_partner(gateway, code, by=person, reason=reason, now=now_millis())
    say(f"{code} is suspended; two persons resume it: taipu partner resume {code}")


@app.command("resume")
def resume(code: Code, reason: ReasonOption, home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Propose that a suspended party is taken up again; somebody else approves it."""
    with opened(home) as gateway:
        person = signed_in(gateway, "partner.propose")
        proposal = registry.propose_resumption(gateway, code, by=person, reason=reason, now=now_millis())
    _say_proposed(proposal, as_json=as_json)


@app.command("end")
def end(code: Code, reason: ReasonOption, home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Propose that nothing is exchanged with a party any more.

    For good; what was exchanged still verifies. Somebody else approves it.
    """
    with opened(home) as gateway:
        person = signed_in(gateway, "partner.propose")
        proposal = registry.propose_end(gateway, code, by=person, reason=reason, now=now_millis())
    _say_proposed(proposal, as_json=as_json)


def _show_partner(code: str, home: Path, *, document: bool, qr: bool, as_json: bool) -> None:
    now = now_millis()
    with opened(home) as gateway, gateway.database.read() as session:
        found = next((one for one in standings(session, now) if one.code == code), None)
    if found is None:
        raise NotFoundError("no party of this code is registered or proposed", code="party.unknown")
    if document:
        say(_document_of(found))
        return
    members = as_members(found, now)
    if as_json:
        say_json(members)
        return
    missing = found.missing.text if found.missing is not None else None
    shown = {name: value for name, value in members.items() if name not in ("changes", "proposals")}
    say_members({name: value for name, value in (shown | {"missing": missing}).items() if value not in (None, "")})
    for change in found.changes:
        words = (beijing_text(change.at), change.state, change.actor or "by itself", change.reason)
        say("  ".join(words).rstrip())
    if qr:
        say(terminal_qr(code, found.fingerprint))


def _document_of(found: Standing) -> str:
    return found.party.token if found.party is not None else str(found.proposals[0].content["document"])


def _try(gateway: Gateway, source: str, ca: Path | None) -> Report:
    """The connection test of an address, of a registered party, or of the party of a document."""
    ca_pem, now = read_text(ca, _MAX_CA) if ca else None, now_millis()
    if source.startswith("https://"):
        return try_address(gateway, source, ca_pem=ca_pem, now=now)
    if is_party(source) and not Path(source).exists():
        with gateway.database.read() as session:
            party = find_party(session, source)
        if party is not None:
            return try_partner(gateway, party, now=now)
    return try_document(gateway, read_text(Path(source), MAX_DOCUMENT).strip(), ca_pem=ca_pem, now=now)


def _waiting(gateway: Gateway, code: str) -> Proposal:
    """The one act about this party that waits for a decision: the oldest, where there are several."""
    now = now_millis()
    with gateway.database.read() as session:
        found = next((one for one in standings(session, now) if one.code == code), None)
    if found is None or not found.proposals:
        raise NotFoundError(f"nothing about {code} waits for a decision", code="proposal.unknown")
    return min(found.proposals, key=lambda one: one.proposed_at)


def _say_proposal(proposal: Proposal) -> None:
    """All that is approved, on standard error: it is not the command's data."""
    content = proposal.content
    tell(f"{proposal.kind} {proposal.subject}, proposed by {proposal.proposer}: {proposal.reason or 'no reason given'}")
    if "document" in content:
        tell(f"    {content['name']}, {content['name_in_english']}, at {content['url']}")
        for step in content["test"]:
            tell(f"    {_MARKS[step['result']]} {step['name']}: {step['text']}")
    tell(f"    digest {proposal.digest}")


def _compare(proposal: Proposal, given: str | None, *, no_input: bool) -> None:
    shown = str(proposal.content["fingerprint"])
    if "fingerprint_before" in proposal.content:
        tell(f"This REPLACES the identity {proposal.content['fingerprint_before']} by")
    tell(f"    {shown}")
    if given is not None:
        open_document(str(proposal.content["document"]), pinned=given)
        return
    if no_input:
        raise InputError("compare it by telephone and give it with --fingerprint", code="input.needed")
    tell(terminal_qr(proposal.subject, shown))
    if not confirm("Did their administrator read out the same eight groups by telephone?"):
        raise InputError("the fingerprint was not confirmed; nothing was changed", code="input.declined")


def _agree(*, no_input: bool) -> None:
    if no_input:
        raise InputError("look at it and give its digest with --digest", code="input.needed")
    if not confirm("Is this what is to be done?"):
        raise InputError("it was not approved; nothing was changed", code="input.declined")


def _say_proposed(proposal: Proposal, *, as_json: bool) -> None:
    if as_json:
        say_json({"proposal": proposal.id, "kind": proposal.kind, "party": proposal.subject, "digest": proposal.digest})
        return
    _say_proposal(proposal)
    say(f"{proposal.kind} {proposal.subject} is proposed; somebody else: taipu partner approve {proposal.subject}")


def _row(one: Standing, now: int) -> tuple[object, ...]:
    members, contact, days = as_members(one, now), one.contact, one.days_left(now)
    return (
        one.code, members["name"], one.state, one.missing and one.missing.text,
        *(None if instant is None else beijing_text(instant) for instant in (contact.succeeded, contact.called)),
        None if contact.skew is None else f"{contact.skew // 1000} s",
        None if days is None else _days(days), members["url"], one.fingerprint,
    )  # fmt: skip


def _days(days: int) -> str:
    if days < 0:
        return "EXPIRED"
    return f"{days} days" + (" (!!)" if days <= URGENT else " (!)" if days <= NOTICE else "")


def _own_members(document: PartyDocument) -> dict[str, Any]:
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

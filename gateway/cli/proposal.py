"""`taipu proposal`: what waits for a second person, shown in full, and decided about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gateway import approvals
from gateway.approvals import KINDS
from gateway.cli.at_home import DigestOption, HomeOption, JsonOption, opened, signed_in
from gateway.cli.terminal import InputError, confirm, say, say_json, say_table, somebody_is_there, tell
from gateway.console.approvals import described
from gateway.proposals import Proposal, all_proposals, find_proposal, open_proposals
from gateway.service import Gateway
from schemas.times import beijing_text, now_millis

app = typer.Typer(help="What takes two persons, and waits for the second.", no_args_is_help=True)

Identifier = Annotated[str, typer.Argument(metavar="ID", help="The proposal: `taipu proposal list` has them all.")]


@app.command("list")
def list_proposals(
    home: HomeOption = Path(),
    *,
    decided: Annotated[bool, typer.Option("--all", help="Those that were decided or waited too long, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What waits for a decision, oldest first."""
    with opened(home) as gateway, gateway.database.read() as session:
        found = all_proposals(session) if decided else open_proposals(session, now=now_millis())
    if as_json:
        say_json([described(proposal) for proposal in found])
        return
    rows = [(one.id, one.state, one.proposer, beijing_text(one.expires), KINDS[one.kind].says(one)) for one in found]
    say_table(("ID", "STATE", "PROPOSER", "EXPIRES", "WHAT IT DOES"), rows)


@app.command("show")
def show(identifier: Identifier, home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Show all that is approved with a proposal, and its digest."""
    with opened(home) as gateway:
        proposal = _find(gateway, identifier)
    if as_json:
        say_json(described(proposal))
    else:
        _say(proposal)


@app.command("approve")
def approve(
    identifier: Identifier,
    digest: DigestOption = "",
    home: HomeOption = Path(),
) -> None:
    """Have exactly that done which was shown.

    Without --digest it is shown now, and asked about.
    """
    with opened(home) as gateway:
        proposal = _find(gateway, identifier)
        person = signed_in(gateway, KINDS[proposal.kind].approve, step_up=True)
        approved = approvals.approve(gateway, identifier, by=person, digest=digest or _ask(proposal), now=now_millis())
    say(f"{approved.id} is approved: {KINDS[approved.kind].says(approved)}")


@app.command("reject")
def reject(identifier: Identifier, home: HomeOption = Path()) -> None:
    """Decide that it is never done; who proposed it takes it back so."""
    with opened(home) as gateway:
        rejected = approvals.reject(gateway, identifier, by=signed_in(gateway), now=now_millis())
    say(f"{rejected.id} is rejected")


def say_proposed(proposal: Proposal) -> None:
    """What every command says that proposed something."""
    say(f"{proposal.id} is proposed: {KINDS[proposal.kind].says(proposal)}")
    say(f"    digest {proposal.digest}")
    tell(f"Somebody else approves it: taipu proposal approve {proposal.id}")


def _find(gateway: Gateway, identifier: str) -> Proposal:
    with gateway.database.read() as session:
        return find_proposal(session, identifier)


def _say(proposal: Proposal) -> None:
    say(KINDS[proposal.kind].says(proposal))
    say(json.dumps(dict(proposal.content), ensure_ascii=False, indent=2, sort_keys=True))
    say(
        f"proposed by {proposal.proposer}, {beijing_text(proposal.proposed_at)}: {proposal.reason or 'no reason given'}"
    )
    if proposal.decider is not None and proposal.decided_at is not None:
        say(f"{proposal.state} by {proposal.decider}, {beijing_text(proposal.decided_at)}")
    say(f"digest {proposal.digest}")


def _ask(proposal: Proposal) -> str:
    """The digest, once whoever is at the terminal has seen what it is of and agrees."""
    _say(proposal)
    if not somebody_is_there():
        raise InputError("look at it and give its digest with --digest", code="input.needed")
    if not confirm("Is this what is to be done?"):
        raise InputError("it was not approved; nothing was changed", code="input.declined")
    return proposal.digest

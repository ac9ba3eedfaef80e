"""`taipu`: everything an operator, a station or an auditor does from a terminal.

One module for each group of commands; what a command does is done by functions that the API could call too. `exits` has
the exit codes, `terminal` what all commands share.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from gateway.cli import (
    access,
    audit,
    batch,
    check,
    client,
    demo,
    device,
    doctor,
    findings,
    hj212,
    keys,
    limits,
    partner,
    person,
    plan,
    profile,
    proposal,
    send,
    setup,
    sign_in,
    sync,
    table,
)
from gateway.cli.exits import EXIT_CODES
from gateway.cli.terminal import Commands, say

WIDTH = 100  # columns of every help text, on whatever terminal: manuals quote them

app = typer.Typer(
    cls=Commands,
    help="Taipu: a gateway through which environmental bureaus share monitoring data, and can prove what they shared.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"terminal_width": WIDTH, "max_content_width": WIDTH, "help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        say(version("taipu"))
        raise typer.Exit


@app.callback()
def taipu(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See the help of `app`."""


app.command()(demo.demo)
app.command()(setup.init)
app.command()(setup.serve)
app.command()(send.send)
app.command()(check.check)
app.command()(doctor.doctor)
app.command()(sign_in.sign_in)
app.command()(sign_in.sign_out)
app.command()(sign_in.whoami)
app.command()(sign_in.confirm)
for name, group in {
    "person": person.app,
    "proposal": proposal.app,
    "plan": plan.app,
    "partner": partner.app,
    "client": client.app,
    "access": access.app,
    "device": device.app,
    "profile": profile.app,
    "table": table.app,
    "sync": sync.sync_app,
    "feed": sync.feed_app,
    "held": sync.held_app,
    "findings": findings.app,
    "batch": batch.app,
    "audit": audit.app,
    "keys": keys.app,
    "hj212": hj212.app,
    "limits": limits.app,
    "db": setup.db_app,
    "config": setup.config_app,
}.items():
    app.add_typer(group, name=name)

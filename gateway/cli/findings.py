"""`taipu findings`: what the quality rules found about this party's values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.api.quality import finding_document
from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.terminal import say_json, say_table
from gateway.store.findings import Listed, Wanted, read_page
from schemas.times import beijing_text, to_millis

app = typer.Typer(help="What the quality rules found: advice, never a reason to withhold.", no_args_is_help=True)


@app.command("list")
def list_findings(
    home: HomeOption = Path(),
    *,
    party: Annotated[str | None, typer.Option(metavar="CODE", help="Values of this party; by default our own.")] = None,
    site: Annotated[str | None, typer.Option(metavar="ID", help="Only of this site.")] = None,
    rule: Annotated[str | None, typer.Option(metavar="CODE", help="Only of this rule, such as jump.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Measured from then, RFC 3339.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, in the order of their days.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Show what was found about values, with the reason and the version of the rules."""
    with opened(home) as gateway, gateway.database.read() as session:
        wanted = Wanted(party or gateway.party, site, rule=rule, since=to_millis(since) if since else None)
        listed = read_page(session, wanted, after=None, limit=limit)
    if as_json:
        say_json({"findings": [finding_document(one) for one in listed]})
    else:
        say_table(("RULE", "SITE", "FACTOR", "MEASURED", "REV", "SOURCE", "RULES", "WHAT"), map(_row, listed))


def _row(one: Listed) -> tuple[object, ...]:
    found = one.finding
    measured = beijing_text(found.key.at)
    return found.rule, one.site, one.factor, measured, found.key.rev, found.source, found.reference, found.detail

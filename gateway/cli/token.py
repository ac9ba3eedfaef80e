"""`taipu token`: personal tokens, for reading from desktop tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened, signed_in
from gateway.cli.terminal import say, say_json, say_table, tell
from gateway.console.tokens import described
from gateway.tokens import MAX_DAYS, make_token, revoke_token, tokens_of
from schemas.times import beijing_text, now_millis

app = typer.Typer(help="Personal tokens: read-only, for desktop tools.", no_args_is_help=True)


@app.command("new")
def new(
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET", help="May be repeated. Default: all of this party's."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="How long it lasts.")] = MAX_DAYS,
    name: Annotated[str, typer.Option(help="What you will know it by.")] = "",
    home: HomeOption = Path(),
) -> None:
    """Make a token of your own, printed this once. Your tool sends it as the password, your account as the user."""
    with opened(home) as gateway:
        by = signed_in(gateway, "record.read")
        text, made = make_token(gateway, by=by, name=name, datasets=dataset or (), days=days, now=now_millis())
        console = gateway.settings.listen.console
    tell(f"Token {made.id} is good until {beijing_text(made.ends)} at https://{console}, user {made.account}.")
    say(text)


@app.command("list")
def list_tokens(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Your tokens that have not ended."""
    with opened(home) as gateway:
        by = signed_in(gateway)
        with gateway.database.read() as session:
            found = tokens_of(session, now=now_millis(), account=by.account)
    if as_json:
        say_json([described(one) for one in found])
        return
    rows = [(one.id, one.name, beijing_text(one.ends), " ".join(sorted(one.datasets))) for one in found]
    say_table(("TOKEN", "NAME", "ENDS", "DATASETS"), rows)


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, as `token list` shows it.")],
    home: HomeOption = Path(),
) -> None:
    """End a token at once."""
    with opened(home) as gateway:
        revoke_token(gateway, token, by=signed_in(gateway), now=now_millis())
    tell(f"{token} has ended.")

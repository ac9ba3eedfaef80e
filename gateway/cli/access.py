"""`taipu access`: why a client gets a dataset, or does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.exits import ExitCode
from gateway.cli.plan import Tongue
from gateway.cli.terminal import finish, say, say_json
from gateway.explaining import explain_access
from schemas.plan import Title
from schemas.times import now_millis

app = typer.Typer(help="Who may have what, and why.", no_args_is_help=True)

_YES, _NO = Title("可以", "yes"), Title("不可以", "no")


@app.callback()
def access() -> None:
    """See the help of `app`."""


@app.command("explain")
def explain(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="The client's id.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's id.")],
    provider: Annotated[str, typer.Option(metavar="CODE", help="Its provider, where two have one of this id.")] = "",
    purpose: Annotated[str, typer.Option(help="What the client would say it wants it for.")] = "",
    lang: Annotated[Tongue, typer.Option(help="The language of the sentences.")] = Tongue.EN,
    home: HomeOption = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Say step by step whether a client may have a dataset now, and the one thing to change if not.

    Nothing is asked of anybody, counted or logged.
    """
    with opened(home) as gateway:
        told = explain_access(gateway, client, dataset, provider=provider, purpose=purpose, now=now_millis())
    if as_json:
        say_json(told.as_json())
    else:
        for way in told.ways:
            say(f"{way.name}:")
            for point in way.points:
                say(f"  {'+' if point.holds else '-'} {point.name}: {getattr(point.said, lang.value)}")
            answer = getattr(_YES if way.allowed else _NO, lang.value)
            say(f"  {answer}" if way.change is None else f"  {answer}: {getattr(way.change, lang.value)}")
    finish(ExitCode.OK if told.allowed else ExitCode.FAILED)

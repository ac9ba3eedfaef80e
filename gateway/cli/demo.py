"""`taipu demo`: three districts on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the three homes here, in place of a temporary folder.")
    ] = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Exchange, verify, say what was proved, and end.")] = False,
    with_nanxun: Annotated[
        bool, typer.Option("--with-nanxun", help="A fourth district joins the three, under a bilateral plan.")
    ] = False,
) -> None:
    """Run three districts on this machine that exchange data, each with its own gateway."""
    from gateway.demo.command import run

    raise typer.Exit(run(check=check, keep=keep, with_nanxun=with_nanxun))

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
) -> None:
    """Run three districts on this machine that exchange data, each with its own gateway."""
    from gateway.demo.command import run

    raise typer.Exit(run(check=check, keep=keep))

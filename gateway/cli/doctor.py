"""`taipu doctor`: is this gateway well?"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import typer

from gateway.cli.at_home import HomeOption, JsonOption
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import finish, say, say_json
from gateway.doctor import examine
from schemas.times import now_millis

_GREEN, _RED = "\N{CHECK MARK}", "\N{BALLOT X}"


def doctor(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Try everything this gateway lives by: a green or red mark for each.

    Settings, disk, certificate, keys, party document, database, clock, head store and partners; exit code 1 if one of
    them is ill. Changes nothing, and may be run beside the service.
    """
    checks = examine(home, now=now_millis())
    if as_json:
        say_json({"well": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]})
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = _GREEN if check.ok else _RED
            if coloured:
                mark = typer.style(mark, fg="green" if check.ok else "red", bold=True)
            typer.echo(f"{mark} ", nl=False)
            say(f"{check.name.ljust(width)}  {check.text}")
    finish(ExitCode.OK if all(check.ok for check in checks) else ExitCode.FAILED)

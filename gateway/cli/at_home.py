"""How a command finds its gateway: the home directory, and the gateway opened from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.home import open_home
from gateway.migrations import require_current
from gateway.service import Gateway

_SHOWN_DEFAULT = "the current directory"

HomeOption = Annotated[
    Path,
    typer.Option("--home", metavar="DIR", envvar="TAIPU_HOME", help="The gateway's home.", show_default=_SHOWN_DEFAULT),
]
HomeArgument = Annotated[
    Path, typer.Argument(metavar="DIR", envvar="TAIPU_HOME", help="The gateway's home.", show_default=_SHOWN_DEFAULT)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@contextmanager
def opened(home: Path) -> Iterator[Gateway]:
    """The gateway whose home directory this is, closed at the end of the block.

    Raises:
        SettingsError, KeysError: it is no home directory, or one that cannot be used.
        SharingError: `database.not-migrated`.
    """
    gateway = Gateway(open_home(home))
    try:
        require_current(gateway.database)
        yield gateway
    finally:
        gateway.close()

"""What every command shares: where its words go, how it reads files, and how its errors end.

Data goes to standard output and everything else to standard error, so that a pipe carries data alone. What comes from
elsewhere is printed without control characters: a partner's error text must not steer an operator's terminal.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from getpass import getpass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from typer.core import TyperGroup

from gateway.cli.exits import ExitCode, exit_code_of
from schemas.errors import LimitError, RecordError, SharingError
from schemas.times import to_millis

MAX_INPUT = 64 * 1024 * 1024  # bytes of one file or of standard input
_PIPE_WIDTH = 10_000  # columns: what is not a terminal gets lines that are never broken
_LAYOUT = "\n\t"


class InputError(SharingError):
    """Something that was named on the command line cannot be used: `input.unreadable` or `input.needed`."""

    code = "input.unreadable"


class Commands(TyperGroup):
    """The root of all commands: whatever goes wrong below ends as one line and the right exit code, no traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except SharingError as error:
            problem = error
        except SQLAlchemyError as error:
            problem = _database_problem(error)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read us has gone, which is not a fault
                raise
            problem = InputError(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        tell(problem.diagnostics())
        raise typer.Exit(exit_code_of(problem))


def say(text: str) -> None:
    """Data, for standard output."""
    typer.echo(printable(text))


def say_json(value: object) -> None:
    """Data for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their columns; None is shown as nothing."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(printable("" if cell is None else str(cell))) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def say_members(members: Mapping[str, object]) -> None:
    """The members of one thing, each on a line after its name."""
    width = max(map(len, members))
    for name, value in members.items():
        say(f"{name.replace('_', ' ').ljust(width)}  {value}")


def tell(text: str) -> None:
    """Everything that is not data, for standard error."""
    typer.echo(printable(text), err=True)


def confirm(question: str) -> bool:
    """Whether whoever is at the terminal says yes. Asked on standard error, since it is not data."""
    typer.echo(f"{question} [y/N] ", nl=False, err=True)
    return input().strip().lower() in ("y", "yes")


def somebody_is_there() -> bool:
    """Whether anybody sits at standard input who can be asked."""
    return sys.stdin.isatty()


def ask(question: str) -> str:
    """What whoever is at the terminal types. Raises as `ask_hidden` does."""
    _require_somebody(question)
    typer.echo(f"{question}: ", nl=False, err=True)
    return input().strip()


def ask_hidden(question: str) -> str:
    """What whoever is at the terminal types, without showing it.

    Raises:
        InputError: `input.needed`: nobody can be asked.
    """
    _require_somebody(question)
    return getpass(f"{question}: ", sys.stderr)


def _require_somebody(question: str) -> None:
    if not somebody_is_there():
        raise InputError(f"nobody is at the terminal to be asked for this: {question}", code="input.needed")


def printable(text: str) -> str:
    """`text` with a mark in the place of every character that could steer a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _LAYOUT else "\N{REPLACEMENT CHARACTER}" for one in text)


def finish(code: ExitCode) -> None:
    """End the command with `code`, if that is not 0."""
    if code:
        raise typer.Exit(code)


def read_input(path: Path, limit: int = MAX_INPUT) -> bytes:
    """The bytes of a file, or of standard input for `-`.

    Raises:
        InputError: it cannot be read.
        LimitError: `input.too-large`: it has more than `limit` bytes.
    """
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise LimitError(f"{path} has more than {limit} bytes", code="input.too-large")
    return data


def read_text(path: Path, limit: int = MAX_INPUT) -> str:
    """The UTF-8 text of a file. Raises as `read_input` does."""
    try:
        return read_input(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text") from error


def read_instant(text: str) -> int:
    """An RFC 3339 instant with its offset, as ms UTC.

    Raises:
        InputError: `input.malformed`: it is none.
    """
    try:
        return to_millis(text)
    except RecordError as error:
        raise InputError(error.detail, code="input.malformed") from error


def _database_problem(error: SQLAlchemyError) -> SharingError:
    cause = str(getattr(error, "orig", None) or type(error).__name__).partition("\n")[0]
    code = "database.unreachable" if isinstance(error, OperationalError) else "database.failed"
    return SharingError(f"the database does not answer as it should: {cause}", code=code)

"""How a command finds its gateway, and who gives it: the home directory, the gateway opened from it, a person.

Whoever signs in at a terminal gets a session like that of a browser; its secret lies in a file that only the operating
system's user can read, or in `TAIPU_SESSION`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.terminal import ask_hidden, somebody_is_there
from gateway.errors import SignInError
from gateway.home import open_home
from gateway.migrations import require_current
from gateway.people.person import Person
from gateway.people.roles import Permission
from gateway.people.sessions import note_seen, person_of
from gateway.people.sign_in import confirm
from gateway.service import Gateway
from schemas.times import now_millis

VARIABLE = "TAIPU_SESSION"
_LONGEST = 200  # characters of what stands for a session
_SHOWN_DEFAULT = "the current directory"

HomeOption = Annotated[
    Path,
    typer.Option("--home", metavar="DIR", envvar="TAIPU_HOME", help="The gateway's home.", show_default=_SHOWN_DEFAULT),
]
HomeArgument = Annotated[
    Path, typer.Argument(metavar="DIR", envvar="TAIPU_HOME", help="The gateway's home.", show_default=_SHOWN_DEFAULT)
]
DigestOption = Annotated[
    str, typer.Option(metavar="DIGEST", help="The digest you were shown, or its first 8 characters or more.")
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


def signed_in(gateway: Gateway, permission: Permission | None = None, *, step_up: bool = False) -> Person:
    """The person who signed in at this terminal, where their roles allow what the command does.

    With `step_up` the command needs a second factor shown just now: whoever sits at the terminal is asked for it.

    Raises:
        SignInError: nobody has, or no longer is.
        AccessDeniedError: `person.not-permitted`, or `person.confirm-again` where nobody can be asked.
    """
    secret, now = session_secret(gateway.settings.home), now_millis()
    with gateway.database.read() as session:
        person = person_of(session, secret, now=now) if secret else None
    if person is None:
        raise SignInError("nobody is signed in here: taipu sign-in NAME")
    if permission is not None:
        person.require(permission)
    if step_up:
        person = _confirmed(gateway, secret, person, now)
    else:
        with gateway.database.write() as session:
            note_seen(session, secret, now=now)
    return person


def session_secret(home: Path) -> str:
    """What stands for the session of this terminal; empty where nobody has signed in."""
    return os.environ.get(VARIABLE) or _kept(session_file(home))


def keep_session(home: Path, secret: str) -> None:
    """Keep what stands for a session, for this user of the operating system alone; the one before is forgotten."""
    file = session_file(home)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as kept:
        kept.write(secret)


def confirm_here(gateway: Gateway, secret: str, code: str) -> str:
    """Show the second factor again; the session's new secret, kept where the one before was.

    Raises:
        SignInError: `session.missing`, `sign-in.refused` or `sign-in.wait`.
    """
    new = confirm(gateway, secret, code, now=now_millis())
    if not os.environ.get(VARIABLE):
        keep_session(gateway.settings.home, new)
    return new


def _confirmed(gateway: Gateway, secret: str, person: Person, now: int) -> Person:
    """The person, once their second factor is fresh. A session from the environment cannot be renewed there by us."""
    if person.is_recent(now):
        return person
    if os.environ.get(VARIABLE) or not somebody_is_there():
        person.require_recent(now)
    confirm_here(gateway, secret, ask_hidden("The code that your authenticator shows"))
    return replace(person, confirmed=now_millis())


def session_file(home: Path) -> Path:
    """Where the session of this user of the operating system at the gateway of `home` is kept."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "taipu" / f"{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}.session"


def _kept(file: Path) -> str:
    try:
        with file.open(encoding="ascii", errors="replace") as kept:
            if os.fstat(kept.fileno()).st_mode & 0o077:
                raise SignInError(f"{file} is open to other accounts; sign in again")
            return kept.read(_LONGEST).strip()
    except FileNotFoundError:
        return ""

"""`taipu sign-in`, `sign-out`, `whoami`, `confirm`: who sits at this terminal.

The session is kept for this user of the operating system, or handed over in `TAIPU_SESSION`. Passwords and codes are
asked for without showing them; a password never stands on a command line.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.at_home import (
    VARIABLE,
    HomeOption,
    JsonOption,
    confirm_here,
    keep_session,
    opened,
    session_file,
    session_secret,
    signed_in,
)
from gateway.cli.terminal import InputError, ask_hidden, read_text, say, say_json, say_members, tell
from gateway.errors import SignInError
from gateway.people.passwords import LONGEST
from gateway.people.roles import permissions_of
from gateway.people.sessions import end_session
from gateway.people.sign_in import sign_in as open_session
from schemas.times import beijing_text, now_millis

PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", metavar="FILE", help="The password is this file's first line.")
]
CodeOption = Annotated[str, typer.Option("--code", metavar="CODE", help="What the authenticator shows, for scripts.")]


def sign_in(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your account.")],
    password_file: PasswordFile = None,
    code: CodeOption = "",
    home: HomeOption = Path(),
    *,
    print_session: Annotated[
        bool, typer.Option("--print", help="Print the session for TAIPU_SESSION, and keep it nowhere.")
    ] = False,
) -> None:
    """Sign in at this terminal with password and second factor."""
    with opened(home) as gateway:
        password = given_password(password_file) if password_file else ask_hidden("Password")
        code = code or ask_hidden("The code that your authenticator shows")
        session = open_session(gateway, name, password, code, origin="terminal", now=now_millis())
        if print_session:
            say(session.secret)
        else:
            keep_session(gateway.settings.home, session.secret)
    tell(f"{session.account} is signed in")
    if session.failures:
        tell(
            f"Tries that failed before: {session.failures}. If they were not yours, tell whoever administers security."
        )


def sign_out(home: HomeOption = Path()) -> None:
    """End the session of this terminal."""
    with opened(home) as gateway:
        secret = session_secret(gateway.settings.home)
        with gateway.database.write() as session:
            end_session(session, secret)
        if not os.environ.get(VARIABLE):
            session_file(gateway.settings.home).unlink(missing_ok=True)
    tell("Signed out.")


def whoami(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Show who is signed in at this terminal, and what they may do."""
    with opened(home) as gateway:
        person = signed_in(gateway)
    shown = {
        "account": person.account,
        "name": person.name,
        "roles": sorted(person.roles),
        "permissions": sorted(permissions_of(person.roles)),
        "confirmed": beijing_text(person.confirmed),
    }
    if as_json:
        say_json(shown)
    else:
        say_members({name: ", ".join(value) if isinstance(value, list) else value for name, value in shown.items()})


def confirm(code: CodeOption = "", home: HomeOption = Path()) -> None:
    """Show the second factor again, as approvals and keys ask for it."""
    with opened(home) as gateway:
        secret = session_secret(gateway.settings.home)
        if not secret:
            raise SignInError("nobody is signed in here: taipu sign-in NAME")
        new = confirm_here(gateway, secret, code or ask_hidden("The code that your authenticator shows"))
    if os.environ.get(VARIABLE):
        say(new)
        tell(f"This is what {VARIABLE} has to be from now on.")
    else:
        tell("Confirmed.")


def given_password(file: Path) -> str:
    """The first line of a file.

    Raises:
        InputError: it cannot be read, or is no password.
    """
    lines = read_text(file, 16 * LONGEST).splitlines()
    if not lines or not lines[0]:
        raise InputError(f"there is no password in the first line of {file}")
    return lines[0]

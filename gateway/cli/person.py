"""`taipu person`: who is let in, and how somebody with a code comes to a password and a second factor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened, signed_in
from gateway.cli.proposal import say_proposed
from gateway.cli.sign_in import PasswordFile, given_password
from gateway.cli.terminal import (
    InputError,
    ask,
    ask_hidden,
    read_instant,
    say,
    say_json,
    say_table,
    somebody_is_there,
    tell,
)
from gateway.console.people import as_json as account_as_json
from gateway.people import changes
from gateway.people.accounts import Newcomer, all_accounts, newcomer
from gateway.people.enrolment import FOUNDERS, change_password, draw_setup_code, enrol, show_factor
from gateway.people.roles import NAMES
from gateway.people.sessions import sessions_of
from gateway.service import Gateway
from schemas.times import beijing_text, now_millis

app = typer.Typer(help="People of this gateway's party: who is let in, and as what.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account: `taipu person list` has them all.")]
DrawnOption = Annotated[str, typer.Option("--code", metavar="CODE", help="The code that was drawn for you.")]
ShownOption = Annotated[
    str, typer.Option("--shown", metavar="CODE", help="What the authenticator shows, in a second call by a script.")
]
RoleOption = Annotated[list[str], typer.Option("--role", metavar="ROLE", help="A role; again for another.")]
UntilOption = Annotated[str, typer.Option(metavar="INSTANT", help="When a visit ends, RFC 3339 with an offset.")]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Why: for whoever approves.")]


@app.command("setup")
def setup(
    code: DrawnOption = "",
    account: Annotated[str, typer.Option(metavar="NAME", help="What your account is to be called.")] = "",
    full_name: Annotated[str, typer.Option(metavar="NAME", help="Your name.")] = "",
    staff: Annotated[str, typer.Option(metavar="NUMBER", help="Your staff number.")] = "",
    password_file: PasswordFile = None,
    shown: ShownOption = "",
    home: HomeOption = Path(),
) -> None:
    """Found the gateway with a code that `taipu init` printed."""
    with opened(home) as gateway:
        code = code or ask_hidden("Your setup code")
        who = newcomer(
            account or ask("What your account is to be called"), full_name or ask("Your name"),
            staff or ask("Your staff number"),
        )  # fmt: skip
        _enrol(gateway, code, password_file, shown, who)


@app.command("enroll")
def enroll(
    code: DrawnOption = "", password_file: PasswordFile = None, shown: ShownOption = "", home: HomeOption = Path()
) -> None:
    """Set your password and second factor with the code that was drawn for you."""
    with opened(home) as gateway:
        _enrol(gateway, code or ask_hidden("Your code"), password_file, shown, None)


@app.command("password")
def password(
    password_file: PasswordFile = None,
    new_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The new password is this file's first line.")
    ] = None,
    home: HomeOption = Path(),
) -> None:
    """Choose another password; all your sessions end."""
    with opened(home) as gateway:
        by = signed_in(gateway, step_up=True)
        before = given_password(password_file) if password_file else ask_hidden("The password that there is")
        after = given_password(new_password_file) if new_password_file else _chosen_password()
        change_password(gateway, by, before, after, now=now_millis())
    tell(f"Sign in with it: taipu sign-in {by.account}")


@app.command("setup-code")
def setup_code(
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"One of: {', '.join(FOUNDERS)}.")],
    home: HomeOption = Path(),
) -> None:
    """Make a founder's code anew, while nobody holds the role; the one before is void."""
    if role not in FOUNDERS:
        raise InputError(f"a setup code is for one of: {', '.join(FOUNDERS)}", code="input.needed")
    with opened(home) as gateway:
        say(draw_setup_code(gateway, role, now=now_millis()))
    tell("It is good once, for a day, and not shown again.")


@app.command("propose")
def propose(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="What the account is to be called.")],
    full_name: Annotated[str, typer.Option(metavar="NAME", help="Whose it is.")],
    staff: Annotated[str, typer.Option(metavar="NUMBER", help="Their staff number.")],
    role: RoleOption,
    until: UntilOption = "",
    reason: ReasonOption = "",
    home: HomeOption = Path(),
) -> None:
    """Propose an account; once somebody else has approved it, draw the code for its owner."""
    who, ends = newcomer(account, full_name, staff), _instant(until)
    with opened(home) as gateway:
        by = signed_in(gateway, "person.propose")
        say_proposed(
            changes.propose_person(gateway, who, role, until=ends, by=by, reason=reason, now=now_millis())
        )  # fmt: skip


@app.command("roles")
def roles(
    account: Account, role: RoleOption, until: UntilOption = "", reason: ReasonOption = "", home: HomeOption = Path()
) -> None:
    """Propose other roles in place of those an account has."""
    ends = _instant(until)
    with opened(home) as gateway:
        by = signed_in(gateway, "person.propose")
        say_proposed(
            changes.propose_roles(gateway, account, role, until=ends, by=by, reason=reason, now=now_millis())
        )  # fmt: skip


@app.command("return")
def let_return(account: Account, reason: ReasonOption = "", home: HomeOption = Path()) -> None:
    """Propose that a disabled account may be used again."""
    with opened(home) as gateway:
        by = signed_in(gateway, "person.propose")
        say_proposed(changes.propose_return(gateway, account, by=by, reason=reason, now=now_millis()))


@app.command("recover")
def recover(account: Account, reason: ReasonOption = "", home: HomeOption = Path()) -> None:
    """Propose that somebody sets password and second factor anew.

    Those there are do no longer once it is approved.
    """
    with opened(home) as gateway:
        by = signed_in(gateway, "person.propose")
        say_proposed(changes.propose_recovery(gateway, account, by=by, reason=reason, now=now_millis()))


@app.command("code")
def draw_code(
    proposal: Annotated[str, typer.Argument(metavar="ID", help="The approved proposal.")], home: HomeOption = Path()
) -> None:
    """Draw the code for whom you proposed: to be handed over, good once, for a day."""
    with opened(home) as gateway:
        by = signed_in(gateway, "person.propose")
        say(changes.draw_enrolment_code(gateway, proposal, by=by, now=now_millis()))


@app.command("disable")
def disable(account: Account, home: HomeOption = Path()) -> None:
    """Keep somebody out at once; two persons let them in again."""
    with opened(home) as gateway:
        by = signed_in(gateway, "person.suspend")
        left = changes.disable(gateway, account, by=by, now=now_millis())
    say(f"{left.name} is disabled, and signed in nowhere")


@app.command("sessions")
def sessions(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Whose.", show_default="your own")] = "",
    home: HomeOption = Path(),
    *,
    end: Annotated[bool, typer.Option("--end", help="End them all.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Where somebody is signed in; with --end, no longer."""
    with opened(home) as gateway:
        by = signed_in(gateway)
        name = account or by.account
        if name != by.account:
            by.require("person.suspend")
        if end:
            say(f"{changes.end_sessions_of(gateway, name, by=by, now=now_millis())} sessions ended")
            return
        with gateway.database.read() as session:
            found = sessions_of(session, name, now=now_millis())
    rows = [(one.id, one.origin, *map(beijing_text, (one.created, one.seen, one.ends))) for one in found]
    columns = ("id", "origin", "created", "seen", "ends")
    if as_json:
        say_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        say_table([name.upper() for name in columns], rows)


@app.command("list")
def list_people(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every account with its roles, disabled ones too."""
    with opened(home) as gateway, gateway.database.read() as session:
        accounts = all_accounts(session, now=now_millis())
    if as_json:
        say_json([account_as_json(account) for account in accounts])
        return
    rows = [
        (one.name, one.full_name, one.person, _state(active=one.active, enrolled=one.enrolled),
         ", ".join(NAMES[role][1] for role in sorted(one.roles)), beijing_text(one.created))
        for one in accounts
    ]  # fmt: skip
    say_table(("ACCOUNT", "NAME", "STAFF NUMBER", "STATE", "ROLES", "SINCE"), rows)


def _enrol(gateway: Gateway, code: str, password_file: Path | None, shown: str, founder: Newcomer | None) -> None:
    """Show the second factor, then take what the authenticator shows for it; a script does that in two calls."""
    if not shown:
        factor = show_factor(gateway, code, account=founder.name if founder else "", now=now_millis())
        say(factor.uri)
        if not somebody_is_there():
            tell("Put it into an authenticator, and give what that shows with --shown.")
            return
        typer.echo(factor.for_terminal(), err=True)
        shown = ask("What the authenticator shows")
    password = given_password(password_file) if password_file else _chosen_password()
    account = enrol(gateway, code, password, shown, founder=founder, now=now_millis())
    tell(f"{account.name} can sign in now: taipu sign-in {account.name}")


def _chosen_password() -> str:
    password = ask_hidden("A password of at least 12 characters")
    if ask_hidden("The same once more") != password:
        raise InputError("the two are not the same; nothing was changed", code="input.declined")
    return password


def _state(*, active: bool, enrolled: bool) -> str:
    return "disabled" if not active else "active" if enrolled else "waits for its owner"


def _instant(text: str) -> int | None:
    return read_instant(text) if text else None

"""`taipu profile`: how sheets are read: those that ship, those registered here, and drafts of new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.check import detect
from gateway.cli.terminal import InputError, read_input, say, say_json, say_table, tell
from gateway.ingest.profiles import find_profile, list_profiles, register_profile
from schemas.sheets import SHEETS, Profile, read_grid, shipped_names
from schemas.sheets.draft import draft_profile
from schemas.sheets.profile import shipped_document
from schemas.sheets.profile_document import MAX_DOCUMENT, NAME, UNDECIDED
from schemas.times import now_millis

app = typer.Typer(help="How sheets are read: what their columns mean.", no_args_is_help=True)


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The profile in YAML or JSON; - reads standard input.")],
    home: HomeOption = Path(),
) -> None:
    """Register a profile. A version is never changed: what changes is the next version."""
    document = read_input(file, MAX_DOCUMENT)
    with opened(home) as gateway, gateway.database.write() as session:
        profile = register_profile(session, document, gateway.governed.at(now := now_millis()), now=now)
    say(f"{profile.reference} reads {_what(profile)}")


@app.command("list")
def list_all(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every profile that this gateway reads sheets through."""
    with opened(home) as gateway, gateway.database.read() as session:
        profiles = list_profiles(session, gateway.governed.at(now_millis()))
    rows = [(one.name, one.version, _origin(one), _what(one), one.title.get("zh", "")) for one in profiles]
    if as_json:
        members = ("name", "version", "origin", "reads", "title")
        say_json({"profiles": [dict(zip(members, row, strict=True)) for row in rows]})
        return
    say_table(("NAME", "VERSION", "FROM", "READS", "TITLE"), rows)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="The profile; the newest version by default.")],
    home: HomeOption = Path(),
) -> None:
    """Print a profile's document. One that ships is shown without a gateway."""
    if name in shipped_names():
        document = shipped_document(name)
    else:
        with opened(home) as gateway, gateway.database.read() as session:
            document = find_profile(session, name, gateway.governed.at(now_millis()))[1]
    say(document.decode("utf-8-sig").rstrip("\n"))


@app.command("new")
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sheet of the sort that the profile is to read.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it.")] = "draft",
) -> None:
    """Draft a profile from a sheet. What a person must decide stands as `?`; until then it reads nothing."""
    if NAME.fullmatch(name) is None:
        raise typer.BadParameter("a name is of lower-case letters, digits and `-`", param_hint="--name")
    content = read_input(file)
    media_type = detect(content)
    if media_type not in SHEETS:
        raise InputError(f"{file} is no sheet but {media_type}", code="input.no-sheet")
    document = draft_profile(read_grid(media_type, content), name)
    say(document.rstrip("\n"))
    undecided = document.count(f'"{UNDECIDED}"')
    tell(f"Decide the {undecided} places marked {UNDECIDED} and try it with `taipu check {file} --profile …`.")


def _what(profile: Profile) -> str:
    if profile.kind != "observation":
        return f"{profile.kind}s"
    return f"{len(profile.factors)} factors, wide" if profile.layout == "wide" else "observations, long"


def _origin(profile: Profile) -> str:
    return "shipped" if profile.name in shipped_names() else "here"

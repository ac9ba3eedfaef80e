"""`taipu init`, `serve`, `db upgrade` and `config show`: making a gateway and running it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from sqlalchemy import make_url

from gateway import party_document
from gateway.cli.at_home import HomeArgument, HomeOption, JsonOption
from gateway.cli.terminal import say, say_json, say_table, tell
from gateway.db import Database
from gateway.errors import PersonError
from gateway.home import Home, create_home, open_home
from gateway.migrations import upgrade
from gateway.people.enrolment import FOUNDERS, draw_setup_code
from gateway.people.roles import NAMES
from gateway.service import Gateway
from gateway.settings import FILE_NAME, Setting, Settings, describe, load_settings, read_passphrase
from partners.document import open_document
from schemas.times import now_millis

db_app = typer.Typer(help="The gateway's database.", no_args_is_help=True)
config_app = typer.Typer(help="The gateway's settings.", no_args_is_help=True)


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The home to make: absent, or an empty directory.")],
    party: Annotated[str, typer.Option(metavar="CODE", help="Whose gateway it is: a district's code, such as 310118.")],
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where partners reach it: https://host or https://host:port.")
    ],
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The partner listener.", show_default="127.0.0.1:8443")
    ] = None,
    console: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The console listener.", show_default="127.0.0.1:8444")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="SQLite, or postgresql://user:password@host/name.", show_default="taipu.db"),
    ] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Encrypt the private keys under this file's first line.")
    ] = None,
) -> None:
    """Make a gateway: settings, keys, certificates, party document and database.

    The first run is HTTPS already, with a certificate authority of its own.
    """
    now = now_millis()
    chosen = {
        "listen.partner": listen,
        "listen.console": console,
        "database_url": database,
        "key_passphrase_file": str(passphrase_file.resolve()) if passphrase_file else None,
    }
    home = create_home(
        directory, party, url, now=now,
        passphrase=read_passphrase(passphrase_file) if passphrase_file else None,
        settings={name: value for name, value in chosen.items() if value is not None},
    )  # fmt: skip
    document = open_document(party_document.sign_document(home, now=now))
    settings = home.settings
    say(f"The gateway of {settings.party} is in {settings.home}")
    say(f"Partners reach it at {settings.url}; it will listen on {settings.listen.partner}")
    say(f"The console will listen on {settings.listen.console}")
    say(f"Its fingerprint, for the administrators of partners: {document.fingerprint}")
    _upgrade(settings)
    _say_setup_codes(home, now)
    say(f"Start it with: taipu serve {directory}")


def serve(home: HomeArgument = Path()) -> None:
    """Serve partners and people over TLS, and exchange with partners, until told to stop."""
    from gateway.logging import configure_logging
    from gateway.server import serve as serve_home

    opened = open_home(home)
    configure_logging(opened.settings)
    party_document.own_document(opened)
    serve_home(opened)


@db_app.command("upgrade")
def upgrade_database(home: HomeArgument = Path()) -> None:
    """Bring the database to the schema of this program."""
    _upgrade(load_settings(home))
    tell("The database has the schema of this program.")


@config_app.command("show")
def show_config(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every setting with its value in force and where that comes from. Secrets are not shown."""
    settings = load_settings(home)
    written = tomllib.loads((settings.home / FILE_NAME).read_text(encoding="utf-8-sig"))
    rows = [(one.name, _value(settings, one.name), _origin(one, written)) for one in describe()]
    if as_json:
        say_json({name: {"value": value, "from": origin} for name, value, origin in rows})
    else:
        say_table(("SETTING", "VALUE", "FROM"), rows)


def _say_setup_codes(home: Home, now: int) -> None:
    """One code for each founder. A database that people use already has founders: it gets none."""
    gateway = Gateway(home)
    try:
        for role in FOUNDERS:
            code = draw_setup_code(gateway, role, now=now)
            say(f"Setup code of the first {NAMES[role][1]}, good once, for a day: {code}")
    except PersonError as error:
        tell(error.diagnostics())
        return
    finally:
        gateway.close()
    say("Give the two to two people; each runs: taipu person setup")


def _upgrade(settings: Settings) -> None:
    database = Database(settings.database_url.get_secret_value())
    try:
        upgrade(database)
    finally:
        database.close()


def _value(settings: Settings, name: str) -> str:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    if name == "database_url":
        return make_url(settings.database_url.get_secret_value()).render_as_string(hide_password=True)
    return "(not shown)" if isinstance(value, SecretStr) else "" if value is None else str(value)


def _origin(setting: Setting, written: dict[str, object]) -> str:
    if any(name.upper() == setting.variable for name in os.environ):
        return "environment"
    group, _, name = setting.name.rpartition(".")
    members = written.get(group, {}) if group else written
    return "file" if isinstance(members, dict) and name in members else "default"

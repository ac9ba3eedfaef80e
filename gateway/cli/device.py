"""`taipu device`: registered data loggers, which turn a packet's MN and codes into sites, factors and units."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.terminal import read_input, say, say_json, say_table, tell
from gateway.ingest.registration import bring_devices
from gateway.loggers.strangers import forget_stranger, strangers_of
from schemas.devices import MAX_DOCUMENT, Device
from schemas.times import beijing_text, now_millis

app = typer.Typer(help="Registered HJ 212 data loggers.", no_args_is_help=True)


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Devices in YAML or JSON; - reads standard input.")],
    home: HomeOption = Path(),
) -> None:
    """Register data loggers; a known MN takes the place of the earlier one.

    A running gateway takes in what was held for them within a second or so.
    """
    document = read_input(file, MAX_DOCUMENT)
    with opened(home) as gateway:
        devices = bring_devices(gateway, document, now=now_millis())
    for device in devices:
        say(f"{device.mn} is {device.site}, {device.profile}, {len(device.factors)} factors")


@app.command("list")
def list_devices(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every registered data logger."""
    with opened(home) as gateway, gateway.database.read() as session:
        devices = sorted(gateway.devices.of(session).values(), key=lambda device: device.mn)
    if as_json:
        say_json({"devices": [_shown(device) for device in devices]})
        return
    rows = [(one.mn, one.site, one.profile, one.minute, " ".join(one.factors)) for one in devices]
    say_table(("MN", "SITE", "PROFILE", "MINUTE DATA", "CODES"), rows)


@app.command("strangers")
def list_strangers(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Data loggers that send and are not registered, the one seen last first.

    Their packets are kept for some time (`loggers.strangers_days`) and taken in when the logger is registered.
    """
    with opened(home) as gateway, gateway.database.read() as session:
        found = strangers_of(session)
    rows = [(one.mn, one.address, beijing_text(one.first), beijing_text(one.last), one.packets) for one in found]
    if as_json:
        names = ("mn", "address", "first", "last", "packets")
        say_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        say_table(("MN", "ADDRESS", "FIRST SEEN", "LAST SEEN", "PACKETS"), rows)


@app.command("forget")
def forget(
    mn: Annotated[str, typer.Argument(metavar="MN", help="One that `taipu device strangers` lists.")],
    home: HomeOption = Path(),
) -> None:
    """Take a data logger off the list of strangers, with all that is kept of it."""
    with opened(home) as gateway, gateway.database.write() as session:
        forget_stranger(session, mn)
    tell(f"{mn} is forgotten, until it sends again")


def _shown(device: Device) -> dict[str, object]:
    """A device without its secrets, but with whether it has them."""
    members: dict[str, object] = msgspec.to_builtins(device)
    password, key = members.pop("password"), members.pop("key")
    return members | {"asks_password": bool(password), "encrypts": bool(key)}

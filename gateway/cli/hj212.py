"""`taipu hj212`: HJ 212 packets of data loggers decoded on the spot, and a gateway's listener for the loggers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import InputError, finish, read_input, say, say_json, say_table, tell
from gateway.home import open_home
from gateway.loggers.requests import Data, HistoryRequest, ask_history, find_request, recent_requests
from gateway.service import Gateway
from gateway.setting_groups import read_address
from schemas.devices import MAX_DOCUMENT, Device, parse_devices
from schemas.errors import PacketError
from schemas.hj212 import NOTED, Damage, Finding, Frame, parse_message, split_packets, to_observations
from schemas.records import Observation, encode_record
from schemas.times import BEIJING, beijing_text, now_millis, to_millis

_LOOK = 0.5  # seconds between looks at a request

app = typer.Typer(help="HJ 212 packets of data loggers.", no_args_is_help=True)


@app.command("decode")
def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Packets, one after another; - reads standard input.")],
    devices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Registered data loggers, as `taipu device add` takes them.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Report on standard error as NDJSON.")] = False,
) -> None:
    """Print the values of packets as `observation` records, one JSON object a line.

    What was not taken, or broke a rule of the standard, is reported on standard error. Without a registration a value's
    site is mn:<MN> and its unit is null: a packet says neither.
    """
    registered = parse_devices(read_input(devices, MAX_DOCUMENT)) if devices else {}
    decoded = refused = 0
    for found in split_packets(read_input(file), registered):
        try:
            records, findings = _decode(found, registered)
        except PacketError as error:
            refused += 1
            _report(found.number, "refused", Finding(error.code, error.detail), as_json=as_json)
            continue
        decoded += 1
        for record in records:
            say(encode_record(record).decode())
        for verdict, finding in findings:
            _report(found.number, verdict, finding, as_json=as_json)
    if not as_json:
        tell(f"{decoded} packets decoded, {refused} refused")
    if not decoded:
        finish(ExitCode.FAILED)
    finish(ExitCode.SOME_REFUSED if refused else ExitCode.OK)


@app.command("listen")
def listen(
    home: HomeOption = Path(),
    address: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where, in place of what the settings say.")
    ] = None,
) -> None:
    """Take in what data loggers send over TCP, and answer once it is stored.

    Runs until told to stop. `taipu serve` does the same where the settings name an address under [loggers]; this is for
    a process, or a machine, of its own beside it.
    """
    from gateway.logging import configure_logging
    from gateway.server import serve_loggers

    found = open_home(home)
    where = read_address(address) if address else found.settings.loggers.listen
    if where is None:
        raise InputError("name an address: --listen, or listen under [loggers] in the settings", code="input.needed")
    configure_logging(found.settings)
    serve_loggers(found, where)


@app.command("request")
def request(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The data logger's MN.")],
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="Begin: 2026-11-20, 2026-11-20T08:00, …")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End, in Beijing time unless it says otherwise.")],
    data: Annotated[str, typer.Option(metavar="SORT", help="minute, hour or day.")] = "hour",
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Longest to wait for the logger.")] = 600.0,
    home: HomeOption = Path(),
    *,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for what comes of it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a data logger for the values of a span of time, as after an outage.

    The gateway that holds the logger's connection asks it. What comes is stored like anything it sends; what is here
    already stays as it is. The request survives restarts, and the end of this command.
    """
    span = _instant(begin, "--from"), _instant(end, "--to")
    sort = next((one for one in get_args(Data) if one == data), None)
    if sort is None or span[1] < span[0]:
        raise InputError(
            "--data is minute, hour or day" if sort is None else "--to is before --from", code="input.needed"
        )
    with opened(home) as gateway:
        number = ask_history(gateway, device, sort, *span, now=now_millis())
        found = _await(gateway, number, 0.0 if no_wait else wait)
    if as_json:
        say_json(_request_json(found))
    else:
        say(f"request {number} to {device}: {found.state}, {found.packets} packets came{_reason(found)}")
    if not no_wait:
        finish(ExitCode.OK if found.state == "done" else ExitCode.FAILED if found.ended else ExitCode.UNREACHABLE)


@app.command("requests")
def list_requests(
    home: HomeOption = Path(),
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 50,
    *,
    as_json: JsonOption = False,
) -> None:
    """What data loggers were asked for, and what came of it."""
    with opened(home) as gateway, gateway.database.read() as session:
        found = recent_requests(session, limit=limit)
    if as_json:
        say_json([_request_json(one) for one in found])
        return
    rows = [
        (one.id, one.mn, one.command, *map(beijing_text, (one.begin, one.end)), one.state, one.packets, one.detail)
        for one in found
    ]
    say_table(("NUMBER", "MN", "CN", "FROM", "TO", "STATE", "PACKETS", "THE LOGGER SAYS"), rows)


def _await(gateway: Gateway, number: int, seconds: float) -> HistoryRequest:
    """The request once it has ended, or after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        with gateway.database.read() as session:
            found = find_request(session, number)
        if found.ended or time.monotonic() >= end:
            return found
        time.sleep(_LOOK)


def _instant(text: str, option: str) -> int:
    """A day or an instant as ms UTC; Beijing time where it has no offset, since that is what loggers live by."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} is a time such as 2026-11-20T08:00", code="input.needed") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=BEIJING)
    return to_millis(instant.isoformat(timespec="seconds"))


def _reason(found: HistoryRequest) -> str:
    return f": {found.detail}" if found.detail else ""


def _request_json(found: HistoryRequest) -> dict[str, Any]:
    instants = {name: beijing_text(getattr(found, name)) for name in ("begin", "end", "asked", "changed")}
    return found._asdict() | instants


def _decode(
    found: Frame | Damage, registered: dict[str, Device]
) -> tuple[list[Observation], list[tuple[str, Finding]]]:
    """The values of one packet, and what there is to say about it: noted where nothing was left out for it."""
    if isinstance(found, Damage):
        raise found.error()
    message = parse_message(found, registered)
    records, findings = to_observations(message, registered.get(message.mn))
    return records, [*(("noted", one) for one in message.deviations), *_judged(findings)]


def _judged(findings: list[Finding]) -> Iterator[tuple[str, Finding]]:
    for finding in findings:
        yield "noted" if finding.code in NOTED else "refused", finding


def _report(number: int, verdict: str, finding: Finding, *, as_json: bool) -> None:
    place = ", ".join(part for part in (f"packet {number}", finding.factor, finding.attribute) if part)
    if as_json:
        problem = {"place": place, "verdict": verdict, "code": finding.code, "detail": finding.text}
        tell(msgspec.json.encode(problem).decode())
    else:
        tell(f"{place}: {verdict}: {finding.code}: {finding.text}")

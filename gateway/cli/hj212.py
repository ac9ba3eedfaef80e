"""`taipu hj212`: HJ 212 packets of data loggers, decoded on the spot. Needs no gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway.cli.exits import ExitCode
from gateway.cli.terminal import finish, read_input, say, tell
from schemas.devices import MAX_DOCUMENT, Device, parse_devices
from schemas.errors import PacketError
from schemas.hj212 import NOTED, Damage, Finding, Frame, parse_message, split_packets, to_observations
from schemas.records import Observation, encode_record

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

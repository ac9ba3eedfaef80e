"""`taipu send`: hand in records at a gateway, as a station platform does."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.at_home import JsonOption
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import finish, read_input, say, say_json, tell
from gateway.ingest.parcel import HJ212, JSON, NDJSON
from partners.client import PartnerClient
from partners.client_file import read_client_file
from partners.errors import PartnerRefusedError
from schemas.errors import SharingError
from schemas.sheets import CSV, XLSX

_COUNTS = ("accepted", "duplicates", "revised", "refused", "held")


class Format(StrEnum):
    """How the records are written."""

    NDJSON = "ndjson"
    JSON = "json"
    HJ212 = "hj212"
    CSV = "csv"
    XLSX = "xlsx"


_MEDIA_TYPES = {
    Format.NDJSON: NDJSON, Format.JSON: JSON, Format.HJ212: HJ212, Format.CSV: CSV, Format.XLSX: XLSX,
}  # fmt: skip
_SUFFIXES = {
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".json": Format.JSON,
    ".hj212": Format.HJ212,
    ".txt": Format.HJ212,
    ".csv": Format.CSV,
    ".xlsx": Format.XLSX,
}


def send(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The records; - reads standard input.")],
    client: Annotated[Path, typer.Option(metavar="CLIENT.json", help="What `taipu client add` printed.")],
    url: Annotated[str | None, typer.Option(metavar="URL", help="Another address than the client file's.")] = None,
    kind: Annotated[Format | None, typer.Option("--type", help="What it is, where its name does not say.")] = None,
    profile: Annotated[str, typer.Option(metavar="NAME", help="What reads a sheet, see `taipu profile list`.")] = "",
    year: Annotated[int | None, typer.Option(min=1900, max=2999, help="Of a sheet's dates that say no year.")] = None,
    receipt: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the signed receipt here.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; nothing is kept.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Hand in records over HTTPS, as a station platform does.

    Takes NDJSON (.ndjson, .jsonl), a JSON array (.json), HJ 212 packets (.hj212, .txt) or a sheet (.csv, .xlsx) with
    its profile. Prints counts, and a line for each place that was not simply taken. Sending the same bytes again is
    harmless.
    """
    kind = kind or _SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise typer.BadParameter(f"the name {file.name} does not say what it is; give --type", param_hint="--type")
    content = read_input(file)
    with read_client_file(client).connect(url) as gateway:
        outcome = gateway.submit(content, _MEDIA_TYPES[kind], dry_run=dry_run, profile=profile, year=year)
        if not all(type(outcome.get(name)) is int for name in _COUNTS):
            raise _refusal(outcome)
        problems = outcome.pop("problems", None) or _report(gateway, outcome)
    if receipt is not None and outcome.get("receipt"):
        receipt.write_text(f"{outcome['receipt']}\n", encoding="ascii")
    if as_json:
        say_json({**outcome, "problems": problems})
    else:
        say(", ".join(f"{outcome[name]} {name}" for name in _COUNTS) + (" (dry run)" if dry_run else ""))
        for problem in problems:
            say(_line(problem))
    if receipt is not None and outcome.get("receipt"):
        tell(f"The receipt is in {receipt}.")
    finish(_verdict(outcome))


def _report(gateway: PartnerClient, outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """The line report of a submission; empty where every line was simply taken."""
    if not any(outcome[name] for name in ("refused", "held", "revised")) or "id" not in outcome:
        return []
    answer = gateway.get(f"/v1/submissions/{outcome['id']}/report")
    try:
        return [line for text in answer.text.splitlines() if isinstance(line := json.loads(text), dict)]
    except ValueError as error:
        raise PartnerRefusedError("the report is not NDJSON", code="partner.answer-malformed") from error


def _line(problem: dict[str, Any]) -> str:
    where = "".join(f" {pointer}" for pointer in problem.get("pointers", ()))
    shown = {name: problem.get(name, "") for name in ("place", "verdict", "code", "detail")}
    return "{place}: {verdict}: {code}: {detail}".format_map(shown) + where


def _refusal(problem: dict[str, Any]) -> SharingError:
    """A refusal of the whole: the bytes are not what they were said to be."""
    return SharingError(str(problem.get("detail", "the gateway gave no reason")), code=str(problem.get("code", "")))


def _verdict(outcome: dict[str, Any]) -> ExitCode:
    if not outcome["refused"]:
        return ExitCode.OK
    taken = any(outcome[name] for name in ("accepted", "duplicates", "revised", "held"))
    return ExitCode.SOME_REFUSED if taken else ExitCode.FAILED

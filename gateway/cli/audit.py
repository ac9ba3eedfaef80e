"""`taipu audit verify`: what a log, its batches and its receipts prove."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from audit.report import Report
from audit.verify import verify_directory
from gateway.cli.at_home import JsonOption, opened
from gateway.cli.exits import ExitCode, exit_code_of
from gateway.cli.terminal import InputError, say, tell
from gateway.evidence_export import fetch_evidence, write_evidence
from gateway.settings import FILE_NAME
from partners.client_file import read_client_file
from schemas.errors import SharingError

app = typer.Typer(help="The exchange log and its proofs.", no_args_is_help=True)


@app.command("verify")
def verify(
    source: Annotated[
        str, typer.Argument(metavar="DIR_OR_URL", help="An evidence directory, or a gateway's home or address.")
    ],
    client: Annotated[
        Path | None, typer.Option(metavar="CLIENT.json", help="For an address: an auditor's client file.")
    ] = None,
    vkey: Annotated[str | None, typer.Option(help="The log's verifier key, as you know it from elsewhere.")] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own memory of the last visit; moves forward only.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Verify a log and what it names: a sentence, then a row for each check.

    Exit code 0: proved; 1: tampering is proved; 2: it cannot be proved; 3: it cannot be read or reached. An address
    needs a client with audit:read, and feeds:read for the batches.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="taipu-evidence-") as folder:
            report = verify_directory(_evidence(source, client, Path(folder)), vkey=vkey, state=state)
    except SharingError as error:
        tell(error.diagnostics())
        refused = exit_code_of(error) is ExitCode.NOT_AUTHORISED
        raise typer.Exit(ExitCode.NOT_AUTHORISED if refused else ExitCode.BAD_INPUT) from error
    _show(report, as_json=as_json)


def _show(report: Report, *, as_json: bool) -> None:
    say(report.as_json() if as_json else report.as_text().rstrip())
    raise typer.Exit(report.exit_code)


def _evidence(source: str, client: Path | None, folder: Path) -> Path:
    """The evidence directory that `source` is, or one made from it in `folder`."""
    if source.startswith("https://"):
        _download(source, client, folder)
        return folder
    directory = Path(source)
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory")
    if not (directory / FILE_NAME).is_file():
        return directory
    with opened(directory) as gateway:
        write_evidence(gateway, folder)
    return folder


def _download(url: str, client: Path | None, folder: Path) -> None:
    if client is None:
        raise InputError("an address needs --client, an auditor's client file", code="input.needed")
    known = read_client_file(client)
    with known.connect(url) as gateway:
        document = fetch_evidence(gateway, folder, batches="feeds:read" in known.scopes)
    tell(f"This is the log of party {document.party}, with the fingerprint {document.fingerprint}")

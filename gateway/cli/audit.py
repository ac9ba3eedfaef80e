"""`taipu audit`: what a log, its batches and its receipts prove; and the log's shards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from audit.keys import origin_of
from audit.log import all_heads
from audit.merkle import leaf_hash
from audit.note import MAX_NOTE
from audit.report import Report
from audit.shards import disowned
from audit.verify import verify_directory
from gateway.cli.at_home import HomeOption, JsonOption, opened, signed_in
from gateway.cli.exits import ExitCode, exit_code_of
from gateway.cli.terminal import InputError, read_input, say, say_json, say_table, tell
from gateway.evidence_export import fetch_evidence, write_evidence
from gateway.log_shards import freeze_log, propose_successor
from gateway.settings import FILE_NAME
from partners.client_file import read_client_file
from schemas.errors import SharingError
from schemas.jws import b64encode
from schemas.times import now_millis

app = typer.Typer(help="The exchange log and its proofs.", no_args_is_help=True)


@app.command("verify")
def verify(
    source: Annotated[
        str, typer.Argument(metavar="DIR_OR_URL", help="An evidence directory, or a gateway's home or address.")
    ],
    client: Annotated[
        Path | None, typer.Option(metavar="CLIENT.json", help="For an address: an auditor's client file.")
    ] = None,
    vkey: Annotated[
        list[str] | None,
        typer.Option(help="The log's verifier key, as you know it from elsewhere; again for another of its shards."),
    ] = None,
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


@app.command("shards")
def list_shards(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """List the shards of the log.

    How far each reaches, and what a frozen one held beyond its last head.
    """
    with opened(home) as gateway, gateway.database.read() as session:
        listed = [
            {
                "shard": head.shard,
                "origin": origin_of(gateway.settings.log_origin, head.shard),
                "state": "in force" if head.frozen is None else "frozen",
                "size": head.size,
                "signed": head.signed_size,
                "held": head.held,
                "beyond": [b64encode(leaf_hash(entry)) for entry in disowned(session, head)],
            }
            for head in all_heads(session)
        ]
    if as_json:
        say_json(listed)
        return
    columns = ("shard", "origin", "state", "size", "signed", "held")
    rows = [[*(row[name] for name in columns), len(row["beyond"])] for row in listed]  # type: ignore[arg-type]
    say_table([name.upper() for name in (*columns, "beyond")], rows)


@app.command("freeze")
def freeze(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why: it is logged for ever.")],
    head: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="End it at this checkpoint, kept by somebody you trust: the key was stolen."),
    ] = None,
    home: HomeOption = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Freeze the log: nothing more is signed in its shard, for good. It takes one person; to go on takes two."""
    note = read_input(head, MAX_NOTE) if head is not None else None
    with opened(home) as gateway:
        by = signed_in(gateway, "key.revoke")
        frozen = freeze_log(gateway, reason=reason, by=by, now=now_millis(), note=note)
        origin = origin_of(gateway.settings.log_origin, frozen.shard)
    if as_json:
        say_json({"shard": frozen.shard, "origin": origin, "size": frozen.size, "root": b64encode(frozen.root)})
        return
    tell(f"Log {origin} is frozen at {frozen.size:,} entries. What is logged now waits: taipu audit continue")


@app.command("continue")
def go_on(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever approves; it is logged for ever.")],
    home: HomeOption = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Propose that a frozen log goes on in a successor; somebody else approves it."""
    with opened(home) as gateway:
        by = signed_in(gateway, "key.revoke")
        proposal = propose_successor(gateway, by=by, reason=reason, now=now_millis())
    if as_json:
        say_json({"proposal": proposal.id, "digest": proposal.digest, **proposal.content})
        return
    tell(f"Proposed as {proposal.id}, digest {proposal.digest}")


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

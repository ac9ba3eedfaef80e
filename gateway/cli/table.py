"""`taipu table`: the tables that decide something, their versions, and who may change them."""

from __future__ import annotations

import csv
import difflib
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.at_home import DigestOption, HomeOption, JsonOption, opened, signed_in
from gateway.cli.terminal import (
    InputError,
    confirm,
    read_input,
    read_instant,
    say,
    say_json,
    say_table,
    somebody_is_there,
    tell,
)
from gateway.governance import content
from gateway.service import Gateway
from gateway.store.versions import Version, all_versions, find_version
from schemas.tables import MAX_DOCUMENT, Row, Table, Tables, parse_rows, shipped, table_names
from schemas.times import beijing_text, now_millis

app = typer.Typer(
    help="The tables that decide: codes, units, flags, rules. Two persons change one.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The table: `taipu table list` has them all.")]
Number = Annotated[int, typer.Argument(metavar="N", help="The version's number.")]
EffectiveOption = Annotated[
    str, typer.Option(metavar="INSTANT", help="From when on it decides, RFC 3339 with an offset; default: at approval.")
]


@app.command("list")
def list_versions(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every version of every table, who proposed and approved it, and which decides now."""
    with opened(home) as gateway:
        in_force = gateway.tables.references()
        with gateway.database.read() as session:
            own = all_versions(session)
    listed = [_shipped_row(shipped(name)) for name in table_names()] + [_own_row(version) for version in own]
    listed.sort(key=lambda row: (row["table"], row["version"]))
    for row in listed:
        row["in_force"] = f"{row['table']}@{row['version']}" in in_force
    if as_json:
        say_json(listed)
        return
    columns = ("table", "version", "state", "in_force", "effective", "proposer", "decider", "digest", "note")
    rows = [[_shown(row[name]) for name in columns] for row in listed]
    say_table([name.upper().replace("_", " ") for name in columns], rows)


@app.command("show")
def show(
    name: Name,
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the one in force.")] = None,
    home: HomeOption = Path(),
) -> None:
    """Print a version as CSV, as `propose` takes it; which one it is goes to standard error."""
    with opened(home) as gateway:
        table = _table(gateway, name, version)
    tell(f"{table.reference}, from {beijing_text(table.effective)}, proposed by {table.proposer}")
    say(_csv(table.rows).rstrip("\n"))


@app.command("diff")
def diff(
    name: Name,
    a: Annotated[int, typer.Argument(metavar="A", help="A version's number.")],
    b: Annotated[int, typer.Argument(metavar="B", help="Another's.")],
    home: HomeOption = Path(),
) -> None:
    """Print the rows that differ between two versions: - as in A, + as in B."""
    with opened(home) as gateway:
        _say_differences(_table(gateway, name, a), _table(gateway, name, b))


@app.command("propose")
def propose(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The whole table as CSV; - reads standard input.")],
    effective: EffectiveOption = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why: for whoever approves.")] = "",
    home: HomeOption = Path(),
) -> None:
    """Propose a new version; it decides nothing until somebody else has approved it."""
    rows = parse_rows(read_input(file, MAX_DOCUMENT))
    now = now_millis()
    with opened(home) as gateway:
        person = signed_in(gateway, "table.propose")
        version = gateway.governance.propose(
            name, rows, by=person, effective=_instant(effective, now), note=note, now=now
        )  # fmt: skip
    _say_proposed(version)


@app.command("rollback")
def rollback(name: Name, version: Number, effective: EffectiveOption = "", home: HomeOption = Path()) -> None:
    """Propose the content of an earlier version anew; somebody else approves it, like any other."""
    now = now_millis()
    with opened(home) as gateway:
        person = signed_in(gateway, "table.propose")
        proposed = gateway.governance.go_back(name, version, by=person, effective=_instant(effective, now), now=now)
    _say_proposed(proposed)


@app.command("approve")
def approve(
    name: Name,
    version: Number,
    digest: DigestOption = "",
    home: HomeOption = Path(),
) -> None:
    """Approve exactly what was shown; without --digest it is shown now, and asked about."""
    with opened(home) as gateway:
        person = signed_in(gateway, "table.approve", step_up=True)
        if not digest:
            digest = _ask(gateway, name, version)
        approved = gateway.governance.approve(name, version, by=person, digest=digest, now=now_millis())
    say(f"{approved.reference} decides from {beijing_text(approved.as_table().effective)}")


@app.command("reject")
def reject(name: Name, version: Number, home: HomeOption = Path()) -> None:
    """Decide that a proposal never comes into force; who proposed it withdraws it so."""
    with opened(home) as gateway:
        rejected = gateway.governance.reject(name, version, by=signed_in(gateway), now=now_millis())
    say(f"{rejected.reference} is rejected")


def _ask(gateway: Gateway, name: str, number: int) -> str:
    """The digest of the proposal, once whoever is at the terminal has seen it and agrees."""
    with gateway.database.read() as session:
        version = find_version(session, name, number)
    _say_differences(_in(gateway.tables, name), version.as_table())
    tell(f"{version.reference}, proposed by {version.proposer}: {version.note or 'no reason given'}")
    tell(f"    digest {version.digest}")
    if not somebody_is_there():
        raise InputError("look at it and give its digest with --digest", code="input.needed")
    if not confirm("Is this what is to decide?"):
        raise InputError("it was not approved; nothing was changed", code="input.declined")
    return version.digest


def _say_proposed(version: Version) -> None:
    say(f"{version.reference} is proposed, to decide from {beijing_text(version.effective)}")
    say(f"    digest {version.digest}")


def _say_differences(old: Table, new: Table) -> None:
    lines = difflib.unified_diff(
        _csv(old.rows).splitlines(), _csv(new.rows).splitlines(), old.reference, new.reference, lineterm="", n=0
    )
    for line in lines:
        if not line.startswith("@@"):
            say(line)


def _table(gateway: Gateway, name: str, number: int | None) -> Table:
    if number is None:
        shipped(name)  # or it is no table
        return _in(gateway.tables, name)
    with gateway.database.read() as session:
        return content(session, name, number)


def _in(tables: Tables, name: str) -> Table:
    return next(table for table in tables if table.name == name)


def _csv(rows: tuple[Row, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _instant(text: str, now: int) -> int:
    return read_instant(text) if text else now


def _shipped_row(table: Table) -> dict[str, Any]:
    return {
        "table": table.name,
        "version": table.version,
        "state": "shipped",
        "effective": beijing_text(table.effective),
        "proposer": table.proposer,
        "decider": table.approver,
        "digest": table.digest,
        "note": "",
    }


def _own_row(version: Version) -> dict[str, Any]:
    return {
        "table": version.name,
        "version": version.version,
        "state": version.state,
        "effective": beijing_text(version.as_table().effective),
        "proposer": version.proposer,
        "decider": version.decider,
        "digest": version.digest,
        "note": version.note,
    }


def _shown(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value

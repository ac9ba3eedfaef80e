"""`taipu check`: any file of records, judged on the spot as a gateway would. Needs no gateway.

What the file is, is found out from its first bytes and said. A sheet needs a profile: one that is named, or the one
shipped whose columns the sheet has.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.at_home import JsonOption
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import InputError, finish, read_input, say, say_json, tell
from gateway.ingest.parcel import HJ212, JSON, NDJSON, Parcel, Problem, unpack, unpack_lines
from gateway.ingest.reports import as_lines, remarks_of, write_sheet
from gateway.ingest.rules import DoorRules
from gateway.ingest.terms import Terms
from schemas.batch import MEDIA_TYPE as BATCH
from schemas.batch import split_batch
from schemas.devices import MAX_DOCUMENT, Device, parse_devices
from schemas.errors import SharingError
from schemas.records import Observation
from schemas.sheets import (
    CSV,
    SHEETS,
    XLSX,
    Grid,
    Profile,
    SheetError,
    Through,
    Use,
    advice_on,
    parse_profile,
    parse_sites,
    read_grid,
    shipped_names,
    shipped_profile,
)
from schemas.sheets.headers import find_columns
from schemas.times import now_millis

_NAMES = {
    NDJSON: "NDJSON", JSON: "a JSON array", HJ212: "HJ 212 packets", CSV: "CSV", XLSX: "XLSX", BATCH: "a batch file",
}  # fmt: skip
_PACKET = re.compile(rb"\s*##\d{4}")
_BATCH = b'{"manifest":'
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Checked:
    """What a file turned out to be, and what a gateway would say of it."""

    media_type: str
    parcel: Parcel
    through: Through | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Records, how many of them say again what one before them said, and places by verdict."""
        verdicts = Counter(problem.verdict for problem in self.parcel.problems)
        items = self.parcel.items
        repeated = len(items) - len({item.content for item in items}) if self.media_type != HJ212 else 0
        of_places = {verdict: verdicts[verdict] for verdict in ("refused", "held", "noted")}
        return {"records": len(items), "repeated": repeated, **of_places}

    @property
    def good(self) -> bool:
        return not (self.counts["refused"] or self.counts["held"])


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The records; - reads standard input.")],
    profile: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="What reads a sheet: a profile that ships, or its document.")
    ] = "",
    devices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Registered data loggers, as `taipu device add` takes them.")
    ] = None,
    sites: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Site ids by the names that a sheet gives them, in YAML or JSON."),
    ] = None,
    year: Annotated[int | None, typer.Option(min=1900, max=2999, help="Of a sheet's dates that say no year.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the sheet here, with the reasons (.xlsx or .csv).")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Judge a file of records of any format as a gateway would, and report.

    Takes NDJSON, a JSON array, HJ 212 packets, CSV, XLSX or a batch file, and says which it is. A line for each place
    that there is something to say about, what to do, and counts. Ends with 1 where anything was refused or would have
    to wait; what only looks odd is noted. A batch file's records are judged, its signature is not: see
    `taipu batch verify`.
    """
    content = read_input(file)
    registered = parse_devices(read_input(devices, MAX_DOCUMENT)) if devices else {}
    use = Use(now=now_millis(), year=year, sites=parse_sites(read_input(sites, MAX_DOCUMENT)) if sites else {})
    media_type = detect(content)
    try:
        checked = judge(media_type, content, registered, profile, use)
        _note_what_looks_odd(checked.parcel, use)
    except SharingError as error:
        checked = Checked(media_type, _refused_whole(error))
    if out is not None:
        _write(out, checked, content)
    if as_json:
        say_json(_as_json(checked))
    else:
        _say(checked)
    finish(ExitCode.OK if checked.good else ExitCode.FAILED)


def detect(content: bytes) -> str:
    """The media type of `content`, by its first bytes."""
    if content.startswith((_ZIP, _OLE)):
        return XLSX
    if _PACKET.match(content):
        return HJ212
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if content.startswith(_BATCH):
        return BATCH
    if start == b"[":
        return JSON
    if start == b"{":
        return NDJSON
    return CSV


def judge(media_type: str, content: bytes, devices: dict[str, Device], profile: str, use: Use) -> Checked:
    """The parcel that `content` is, through the same door that a gateway has.

    Raises:
        SharingError: the whole of it cannot be read.
    """
    terms = Terms(use.tables)
    if media_type == BATCH:
        _, lines = split_batch(content)
        return Checked(media_type, unpack_lines(lines.split(b"\n"), terms, first=2))
    if media_type not in SHEETS:
        return Checked(media_type, unpack(media_type, content, devices, terms))
    chosen = _profile(profile) if profile else recognised(read_grid(media_type, content))
    through = Through(chosen, use)
    return Checked(media_type, unpack(media_type, content, devices, terms, through), through)


def _note_what_looks_odd(parcel: Parcel, use: Use) -> None:
    """What a gateway's rules at the door would note. Those that look at earlier values have none here."""
    rules = DoorRules(home="", outlines=None)
    for position, findings in rules.check(parcel.items, use.tables, use.now).items():
        place = parcel.items[position].place
        parcel.problems += [Problem(place, "noted", f"quality.{one.rule}", one.detail) for one in findings]
    others = [(item, item.record) for item in parcel.items if not isinstance(item.record, Observation)]
    parcel.problems += rules.misplaced(others)


def recognised(grid: Grid) -> Profile:
    """The one shipped profile whose columns `grid` has.

    Raises:
        SheetError: `sheet.profile-unclear`: none has, or several have.
    """
    fitting = [profile for profile in map(shipped_profile, shipped_names()) if _fits(grid, profile)]
    if len(fitting) != 1:
        several = f"these profiles fit: {', '.join(one.name for one in fitting)}" if fitting else "no profile fits"
        message = f"{several}; name one with --profile, or draft one with `taipu profile new`"
        raise SheetError(message, code="sheet.profile-unclear")
    return fitting[0]


def _fits(grid: Grid, profile: Profile) -> bool:
    try:
        find_columns(grid, profile)
    except SheetError:
        return False
    return True


def _profile(given: str) -> Profile:
    """A profile by its name, or by the path of its document."""
    if given in shipped_names():
        return shipped_profile(given)
    if not Path(given).exists():
        message = f"{given} is neither a file nor one of {', '.join(shipped_names())}"
        raise InputError(message, code="profile.unknown")
    return parse_profile(read_input(Path(given), MAX_DOCUMENT))


def _refused_whole(error: SharingError) -> Parcel:
    return Parcel(problems=[Problem("sheet", "refused", error.code, error.detail, error.pointers)])


def _write(path: Path, checked: Checked, content: bytes) -> None:
    """The sheet with its reasons, in the form that the name of `path` asks for."""
    form = path.suffix.lower().removeprefix(".")
    if form not in ("csv", "xlsx"):
        raise typer.BadParameter(f"{path.name} ends in neither .csv nor .xlsx", param_hint="--out")
    if checked.through is None:
        raise InputError("only a sheet that was read is written out with its reasons", code="input.no-sheet")
    profile = checked.through.profile
    grid = read_grid(checked.media_type, content, profile)
    kept = content if checked.media_type == XLSX else None
    remarks = remarks_of(as_lines(checked.parcel.problems))
    sheet = write_sheet(grid, remarks, "csv" if form == "csv" else "xlsx", kept, header=profile.header)
    path.write_bytes(sheet)
    tell(f"The sheet with its reasons is in {path}.")


def _as_json(checked: Checked) -> dict[str, object]:
    problems = [{**line, "advice": _advice(str(line["code"]))} for line in as_lines(checked.parcel.problems)]
    through = checked.through.reference if checked.through else None
    return {"type": checked.media_type, "profile": through, **checked.counts, "problems": problems}


def _advice(code: str) -> dict[str, str]:
    found = advice_on(code)
    return {"zh": found.advice_zh, "en": found.advice_en}


def _say(checked: Checked) -> None:
    read = f", read through {checked.through.reference}" if checked.through else ""
    tell(f"This is {_NAMES[checked.media_type]}{read}.")
    for problem in checked.parcel.problems:
        text = f" {problem.text[:60]!r}" if problem.text and checked.through else ""
        say(f"{problem.place}: {problem.verdict}: {problem.code}:{text} {problem.detail}")
    codes = dict.fromkeys(problem.code for problem in checked.parcel.problems if problem.verdict != "noted")
    for code in codes if checked.media_type in SHEETS else ():
        found = advice_on(code)
        say(f"{code}: {found.advice_zh} {found.advice_en}")
    say(", ".join(f"{count} {name}" for name, count in checked.counts.items()))

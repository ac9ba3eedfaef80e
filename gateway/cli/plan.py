"""`taipu plan`: a shared-data plan read before it is signed, agreed with the other parties, and left."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.agreements.acts import propose_adoption, propose_plan, propose_signature
from gateway.agreements.leaving import dispose as certify
from gateway.agreements.leaving import propose_withdrawal
from gateway.agreements.standing import Standing, standings
from gateway.cli.at_home import HomeOption, JsonOption, opened, signed_in
from gateway.cli.exits import ExitCode
from gateway.cli.proposal import say_proposed
from gateway.cli.terminal import InputError, finish, read_input, read_instant, say, say_json, say_table, tell
from schemas.errors import PlanError
from schemas.plan import Plan, check_plan, explain, parse_plan
from schemas.plan.changes import changes, short_of_notice
from schemas.plan.document import MAX_BYTES
from schemas.records import Disposed
from schemas.times import BEIJING, beijing_text, now_millis

app = typer.Typer(help="The shared-data plan: the document that alone decides what flows.", no_args_is_help=True)


class Tongue(StrEnum):
    """A language that sentences come in."""

    EN = "en"
    ZH = "zh"


PlanFile = Annotated[Path, typer.Argument(metavar="FILE", help="A plan in YAML or JSON; - reads standard input.")]


Lang = Annotated[Tongue, typer.Option(help="The language of the sentences.")]
Reference = Annotated[str, typer.Argument(metavar="PLAN@VERSION", help="A version, as `taipu plan list` names it.")]
PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A plan, without a version.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why: for whoever approves.")]
_DESTROYED = re.compile(r"([^/=]+)/([^/=]+)=([0-9]{1,15})")


@app.command("check")
def check(
    file: PlanFile,
    lang: Lang = Tongue.EN,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say in sentences who gets what, and why the plan cannot be signed if it cannot.

    Advice and refusals go to standard error, each with a JSON pointer to its place. Needs no gateway.
    """
    plan = _read(file)
    notes = check_plan(plan)
    if as_json:
        said = [
            {"level": note.level, "code": note.code, "pointer": note.pointer, "sentence": note.sentence(lang.value)}
            for note in notes
        ]
        say_json({"plan": plan.reference, "digest": plan.digest, "notes": said})
    for note in notes:
        if note.level != "fact":
            tell(f"{note.pointer or '/'}: {note.level}: {note.sentence(lang.value)}")
        elif not as_json:
            say(note.sentence(lang.value))
    finish(ExitCode.FAILED if any(note.refuses for note in notes) else ExitCode.OK)


@app.command("explain")
def explain_plan(file: PlanFile, lang: Lang = Tongue.EN) -> None:
    """Say in sentences who gets what, and nothing else. Needs no gateway."""
    for sentence in explain(_read(file), lang.value):
        say(sentence)


@app.command("diff")
def diff(
    old: PlanFile,
    new: PlanFile,
    lang: Lang = Tongue.EN,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say who gains and who loses what from one version to the next.

    What would lack notice if it were proposed now goes to standard error. Needs no gateway.
    """
    before, after = _read(old), _read(new)
    found = changes(before, after)
    short = short_of_notice(before, after, datetime.fromtimestamp(now_millis() / 1000, BEIJING))
    if as_json:
        say_json(
            {
                "changes": [
                    {
                        "effect": one.effect, "dataset": one.dataset, "party": one.party, "pointer": one.note.pointer,
                        "sentence": one.note.sentence(lang.value),
                    }
                    for one in found
                ],
                "short_of_notice": [note.sentence(lang.value) for note in short],
            }
        )  # fmt: skip
        return
    for one in found:
        say(f"{one.effect}: {one.note.sentence(lang.value)}")
    for note in short:
        tell(note.sentence(lang.value))


@app.command("propose")
def propose(file: PlanFile, home: HomeOption = Path()) -> None:
    """Propose a version to the parties it names.

    It comes into force at its instant once all have signed in time, and not otherwise.
    """
    document = read_input(file, MAX_BYTES)
    with opened(home) as gateway:
        by = signed_in(gateway, "plan.propose")
        plan = propose_plan(gateway, document, by=by, now=now_millis())
    say(f"{plan.reference} {plan.digest} is proposed")
    tell(f"This party signs it, too: taipu plan sign {plan.reference}")


@app.command("adopt")
def adopt(file: PlanFile, reason: Reason = "", home: HomeOption = Path()) -> None:
    """Propose to record a first version agreed elsewhere, on paper say.

    Somebody else approves: `taipu proposal approve`.
    """
    document = read_input(file, MAX_BYTES)
    with opened(home) as gateway:
        by = signed_in(gateway, "plan.propose")
        proposal = propose_adoption(gateway, document, by=by, reason=reason, now=now_millis())
    say_proposed(proposal)


@app.command("sign")
def sign(reference: Reference, reason: Reason = "", home: HomeOption = Path()) -> None:
    """Propose to sign a version for this party.

    Whoever proposes confirms the party's entries, as the head of their unit; the data authority approves, which signs.
    """
    plan, version = _named(reference)
    with opened(home) as gateway:
        by = signed_in(gateway, "plan.propose")
        proposal = propose_signature(gateway, plan, version, by=by, reason=reason, now=now_millis())
    say_proposed(proposal)


@app.command("withdraw")
def withdraw(
    plan: PlanName,
    effective: Annotated[str, typer.Option(metavar="INSTANT", help="From when on, with the plan's notice at least.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; the other parties read it.")],
    home: HomeOption = Path(),
) -> None:
    """Propose that this party leaves a plan.

    Somebody else approves, and then the other parties are told.
    """
    with opened(home) as gateway:
        by = signed_in(gateway, "plan.propose")
        proposal = propose_withdrawal(
            gateway, plan, effective=read_instant(effective), by=by, reason=reason, now=now_millis()
        )  # fmt: skip
    say_proposed(proposal)


@app.command("dispose")
def dispose(
    plan: PlanName,
    destroyed: Annotated[
        list[str] | None,
        typer.Option(metavar="PROVIDER/DATASET=COUNT", help="Records destroyed of a dataset received; repeat it."),
    ] = None,
    text: Annotated[str, typer.Option(metavar="TEXT", help="How it was destroyed, and who saw it.")] = "",
    home: HomeOption = Path(),
) -> None:
    """Certify what was destroyed of all that this party received.

    Once it has left the plan, its cases are closed, and both sides have said their last figures.
    """
    now = now_millis()
    given = tuple(_disposed(one, now) for one in destroyed or ())
    with opened(home) as gateway:
        certify(gateway, plan, given, text=text, by=signed_in(gateway, "plan.sign"), now=now)
    say(f"the disposal under {plan} is certified")


@app.command("list")
def list_plans(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every plan version known here, and how it stands."""
    found = _standings(home, None)
    if as_json:
        say_json([one.as_json() for one in found])
        return
    rows = [
        (
            one.known.plan.reference, one.state, beijing_text(one.known.effective), one.known.plan.digest,
            one.known.plan.title.zh,
        )
        for one in found
    ]  # fmt: skip
    say_table(("PLAN", "STATE", "FROM", "DIGEST", "TITLE"), rows)


@app.command("show")
def show(
    reference: Reference, lang: Lang = Tongue.EN, home: HomeOption = Path(), *, as_json: JsonOption = False
) -> None:
    """Show one version in sentences, or with --json its canonical document."""
    plan, version = _named(reference)
    one = _one(_standings(home, plan), version, reference)
    if as_json:
        say_json({**one.as_json(), "document": one.known.plan.canonical.decode()})
        return
    for sentence in explain(one.known.plan, lang.value):
        say(sentence)
    _say_standing(one)


@app.command("status")
def status(
    plan: Annotated[str, typer.Argument(metavar="[PLAN]", help="A plan; all without it.")] = "",
    home: HomeOption = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Who has signed, what is missing until when, and who is leaving.

    Fails where nothing may be published, since it is not known here which version is in force.
    """
    found = _standings(home, plan or None)
    if as_json:
        say_json([one.as_json() for one in found])
    else:
        for one in found:
            _say_standing(one)
    finish(ExitCode.FAILED if any(one.state == "undecided" for one in found) else ExitCode.OK)


def _say_standing(one: Standing) -> None:
    known = one.known
    say(f"{known.plan.reference} {one.state}{f' ({known.ground})' if known.ground else ''}")
    say(f"    from {beijing_text(known.effective)}, digest {known.plan.digest}")
    if known.proposer:
        say(f"    proposed by {known.proposer}; signed by {', '.join(one.signed) or 'nobody'}")
    if one.state == "proposed" and one.missing:
        say(f"    missing: {', '.join(one.missing)}, by {beijing_text(known.deadline)}")
    if one.state == "undecided":
        tell(f"    nothing is published under {known.plan.id} until it is known here whether all have signed")
    for leaving in one.leaving:
        say(f"    {leaving.party} leaves from {beijing_text(leaving.effective)}: {leaving.text}")
        said = ", ".join(leaving.reconciled) or "nobody"
        say(f"    last figures of {said}; disposal {'certified' if leaving.disposed else 'not certified'}")
        for feed in leaving.differing:
            tell(f"    the last figures differ: {feed}")


def _standings(home: Path, plan: str | None) -> list[Standing]:
    with opened(home) as gateway, gateway.database.read() as session:
        return standings(session, gateway.party, now=now_millis(), plan=plan)


def _one(found: list[Standing], version: int, reference: str) -> Standing:
    for one in found:
        if one.known.plan.version == version:
            return one
    raise InputError(f"no version {reference} is known here", code="plan.unknown")


def _named(reference: str) -> tuple[str, int]:
    plan, _, version = reference.rpartition("@")
    if not plan or re.fullmatch(r"[0-9]{1,7}", version, re.ASCII) is None:
        raise InputError("a version is named PLAN@VERSION", code="input.malformed")
    return plan, int(version)


def _disposed(text: str, now: int) -> Disposed:
    match = _DESTROYED.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:80]!r} is not PROVIDER/DATASET=COUNT", code="input.malformed")
    return Disposed(match[1], match[2], int(match[3]), beijing_text(now))


def _read(file: Path) -> Plan:
    """The plan in a file; each fault is told with its place where it is none."""
    try:
        return parse_plan(read_input(file, MAX_BYTES))
    except PlanError as error:
        for fault in _faults(error):
            tell(f"{fault['pointer'] or '/'}: refusal: {fault['detail']}")
        tell(f"{error.code}: this is not a plan")
        raise typer.Exit(ExitCode.FAILED) from error


def _faults(error: PlanError) -> list[dict[str, str]]:
    """Each fault with its place; an error that names no single ones is itself the one."""
    faults = error.extra.get("faults")
    if isinstance(faults, list):
        return faults
    return [{"pointer": pointer, "detail": error.detail} for pointer in error.pointers or ("",)]

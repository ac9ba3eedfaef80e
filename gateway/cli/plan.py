"""`taipu plan`: reading a shared-data plan before it is signed, and bringing it into force."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import plans
from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import finish, read_input, say, say_json, say_table, tell
from partners.plans import known_plans, plans_in_force
from schemas.errors import PlanError
from schemas.plan import Plan, check_plan, parse_plan
from schemas.plan.document import MAX_BYTES
from schemas.times import beijing_text, now_millis

app = typer.Typer(help="The shared-data plan: the document that alone decides what flows.", no_args_is_help=True)


class Tongue(StrEnum):
    """A language that sentences come in."""

    EN = "en"
    ZH = "zh"


PlanFile = Annotated[Path, typer.Argument(metavar="FILE", help="A plan in YAML or JSON; - reads standard input.")]


@app.command("check")
def check(
    file: PlanFile,
    lang: Annotated[Tongue, typer.Option(help="The language of the sentences.")] = Tongue.EN,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say in sentences who gets what, and why the plan cannot be signed if it cannot.

    Advice and refusals go to standard error, each with a JSON pointer to its place. Needs no gateway.
    """
    try:
        plan = parse_plan(read_input(file, MAX_BYTES))
    except PlanError as error:
        for fault in _faults(error):
            tell(f"{fault['pointer'] or '/'}: refusal: {fault['detail']}")
        tell(f"{error.code}: this is not a plan")
        raise typer.Exit(ExitCode.FAILED) from error
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


@app.command("apply")
def apply(file: PlanFile, home: HomeOption = Path()) -> None:
    """Keep a plan; it is in force from its own instant on, in place of the version before."""
    document = read_input(file, MAX_BYTES)
    with opened(home) as gateway:
        plan = plans.bring_plan(gateway, document, now=now_millis())
    say(f"{plan.reference} {plan.digest} is in force from {_instant(plan)}")


@app.command("list")
def list_plans(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Every plan version known here, and which are in force now."""
    with opened(home) as gateway, gateway.database.read() as session:
        in_force = {plan.reference for plan in plans_in_force(session, now_millis()).plans}
        plans = [one.plan for one in known_plans(session)]
    if as_json:
        say_json([_as_json(plan, in_force) for plan in plans])
        return
    rows = [
        (plan.reference, "yes" if plan.reference in in_force else "no", _instant(plan), plan.digest, plan.title.zh)
        for plan in plans
    ]
    say_table(("PLAN", "IN FORCE", "FROM", "DIGEST", "TITLE"), rows)


def _as_json(plan: Plan, in_force: set[str]) -> dict[str, Any]:
    return {
        "plan": plan.reference,
        "digest": plan.digest,
        "effective": _instant(plan),
        "in_force": plan.reference in in_force,
        "parties": list(plan.parties),
        "datasets": [dataset.id for dataset in plan.datasets],
    }


def _instant(plan: Plan) -> str:
    return beijing_text(int(plan.effective.timestamp() * 1000))


def _faults(error: PlanError) -> list[dict[str, str]]:
    """Each fault with its place; an error that names no single ones is itself the one."""
    faults = error.extra.get("faults")
    if isinstance(faults, list):
        return faults
    return [{"pointer": pointer, "detail": error.detail} for pointer in error.pointers or ("",)]

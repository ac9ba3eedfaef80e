"""`taipu limits`: which limit applies to a value, and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.plan import Tongue
from gateway.cli.terminal import say, say_json
from gateway.limits import Answer, explain_at
from schemas.limits import Considered, Explanation, Limit, Sentence, described
from schemas.limits.sentences import CONFIDENCES, RULES, said
from schemas.periods import PERIODS
from schemas.times import to_millis

app = typer.Typer(help="Limits and reference values, with their sources.", no_args_is_help=True)


@app.command("explain")
def explain(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site's id.")],
    factor: Annotated[str, typer.Argument(metavar="FACTOR", help="A factor's code, or its Chinese name.")],
    date: Annotated[datetime, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"], help="A day in Beijing time.")],
    home: HomeOption = Path(),
    provider: Annotated[
        str | None, typer.Option(metavar="PARTY", help="Whose site; this gateway's by default.")
    ] = None,
    period: Annotated[str | None, typer.Option(help="An averaging period such as PT1H; all by default.")] = None,
    lang: Annotated[Tongue, typer.Option(help="The language of the sentences.")] = Tongue.EN,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say which limit applies to values of a factor at a site on a day, and why no other does."""
    if period is not None and period not in PERIODS:
        raise typer.BadParameter(f"{period[:20]!r} is not an averaging period", param_hint="--period")
    at = to_millis(f"{date:%Y-%m-%d}T00:00:00+08:00")
    with opened(home) as gateway, gateway.database.read() as session:
        answer = explain_at(session, provider or gateway.party, site, factor, at, period, gateway.tables)
    if as_json:
        say_json(_members(answer, provider or gateway.party, f"{date:%Y-%m-%d}"))
        return
    say(f"{answer.site.id} {answer.site.name.zh}, {answer.factor.code} {answer.factor.name_zh}, {date:%Y-%m-%d}")
    if answer.site.source and answer.source is None:
        say(_in(lang, Sentence("其污染源的记录不在本网关。", "The record of the source it belongs to is not here.")))
    for explanation in answer.explanations:
        _tell(explanation, lang)


def _tell(explanation: Explanation, lang: Tongue) -> None:
    say("")
    say(_in(lang, explanation.why))
    if explanation.limit is not None:
        say(_in(lang, _particulars(explanation.limit)))
    if explanation.fallback is not None:
        behind, (trust_zh, trust_en) = (
            described(explanation.fallback),
            said(CONFIDENCES, explanation.fallback.confidence),
        )
        say(_in(lang, Sentence(f"其后（{trust_zh}）：{behind.zh}", f"Behind it ({trust_en}): {behind.en}")))
    others = _of_its_period(explanation)
    if others:
        say(_in(lang, Sentence("未采用的：", "Considered as well:")))
    for one in others:
        say(f"  - {_in(lang, described(one.limit) + one.reason)}")
    table = explanation.table
    say(_in(lang, Sentence(f"依据表 {table}。", f"By the table {table}.")))


def _particulars(limit: Limit) -> Sentence:
    """How to compare, how far to trust the row, and where it comes from."""
    (rule_zh, rule_en), (trust_zh, trust_en) = said(RULES, limit.rule), said(CONFIDENCES, limit.confidence)
    note_zh, note_en = (f"；{limit.note_zh}", f"; {limit.note_en}") if limit.note_en else ("", "")
    return Sentence(
        f"{rule_zh}，修约至{limit.decimals}位小数另存；{trust_zh}；来源：{limit.source}{note_zh}。",
        f"Compared by {rule_en}, and kept beside it rounded to {limit.decimals} decimals; {trust_en}; "
        f"source: {limit.source}{note_en}.",
    )


def _of_its_period(explanation: Explanation) -> list[Considered]:
    """Limits of another period stand under their own, so that each is named once."""
    return [one for one in explanation.others if one.limit.period in ("", explanation.period)]


def _in(lang: Tongue, sentence: Sentence) -> str:
    return sentence.zh if lang is Tongue.ZH else sentence.en


def _members(answer: Answer, provider: str, day: str) -> dict[str, Any]:
    return {
        "provider": provider,
        "site": answer.site.id,
        "source": answer.source.id if answer.source else None,
        "factor": answer.factor.code,
        "date": day,
        "explanations": [_explanation(one) for one in answer.explanations],
    }


def _explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "period": explanation.period or None,
        "limit": _limit(explanation.limit),
        "fallback": explanation.fallback.id if explanation.fallback else None,
        "why": _both(explanation.why),
        "others": [{"id": one.limit.id, "why_not": _both(one.reason)} for one in _of_its_period(explanation)],
        "table": explanation.table,
    }


def _limit(limit: Limit | None) -> dict[str, Any] | None:
    if limit is None:
        return None
    return {
        "id": limit.id,
        "kind": limit.kind,
        "level": limit.level,
        "standard": limit.standard,
        "clause": limit.clause_en,
        "low": None if limit.low is None else str(limit.low),
        "high": None if limit.high is None else str(limit.high),
        "unit": limit.unit,
        "compare": limit.rule,
        "decimals": limit.decimals,
        "confidence": limit.confidence,
        "source": limit.source,
        "note": _both(Sentence(limit.note_zh, limit.note_en)),
    }


def _both(sentence: Sentence) -> dict[str, str]:
    return {"zh": sentence.zh, "en": sentence.en}

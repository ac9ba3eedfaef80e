"""How a note on a plan becomes a sentence in English or Chinese: `sentences.py` has the words.

A note is a code and values; its sentence is made when somebody reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from schemas.districts import find_district
from schemas.factors import all_factors
from schemas.periods import Duration
from schemas.plan.model import Dataset, Title
from schemas.plan.sentences import SENTENCES, TERMS, Level
from schemas.times import BEIJING

Language = Literal["en", "zh"]
Words: TypeAlias = str | Title | tuple[str | Title, ...]

_LENGTHS = (  # seconds; the first that divides a length names it
    (86_400, Title("天", "day")),
    (3600, Title("小时", "hour")),
    (60, Title("分钟", "minute")),
    (1, Title("秒", "second")),
)


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to say about a plan. `pointer` names the place in the document; a plan with a refusal is not signed."""

    code: str
    pointer: str
    values: Mapping[str, Words]

    @property
    def level(self) -> Level:
        return SENTENCES[self.code][0]

    @property
    def refuses(self) -> bool:
        return self.level == "refusal"

    def sentence(self, language: Language = "en") -> str:
        """The whole sentence for a person."""
        template = _in(SENTENCES[self.code][1], language)
        return template.format_map({name: _in(words, language) for name, words in self.values.items()})


def note(code: str, pointer: str, **values: Words) -> Note:
    """A note on a plan."""
    return Note(code, pointer, values)


def note_on(dataset: Dataset, code: str, pointer: str, **values: Words) -> Note:
    """A note on one dataset."""
    return Note(code, pointer, {"dataset": dataset.id, **values})


def party_words(party: str) -> Title:
    """A party by its district's name, where it has one we know, and its id."""
    district = find_district(party)
    return Title(f"{district.name_zh}（{party}）", f"{district.name_en} ({party})") if district else Title(party, party)


def factor_words(code: str) -> Title:
    """A factor by name and code; by its code alone where the table does not know it."""
    found = all_factors().get(code)
    return Title(f"{found.name_zh}（{code}）", f"{found.name_en} ({code})") if found else Title(code, code)


def length_words(duration: Duration) -> Title:
    """A duration as people say it: its months, then its seconds in the largest unit that divides them."""
    years, months = divmod(duration.months, 12)
    size, name = next(one for one in _LENGTHS if duration.seconds % one[0] == 0)
    counts = ((years, Title("年", "year")), (months, Title("个月", "month")), (duration.seconds // size, name))
    said = [(count, unit) for count, unit in counts if count] or [(0, _LENGTHS[-1][1])]
    return Title(
        " ".join(f"{count} {unit.zh}" for count, unit in said),
        " ".join(f"{count} {unit.en}{'s' if count != 1 else ''}" for count, unit in said),
    )


def span_words(span: timedelta) -> Title:
    """A fixed length of time as people say it."""
    return length_words(Duration(0, int(span.total_seconds())))


def instant_words(instant: datetime | None) -> Words:
    """An instant in Beijing time; an end that is not set is open."""
    return TERMS["open"] if instant is None else instant.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")


def _in(words: Words, language: Language) -> str:
    if isinstance(words, tuple):
        return ("、" if language == "zh" else ", ").join(_in(one, language) for one in words)
    return words if isinstance(words, str) else getattr(words, language)

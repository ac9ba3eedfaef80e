"""What the members of records are called, in Chinese and English, with a form and an example: `data/titles.csv`.

A row is about a record kind (`of`), one of its members, or one value of a member. Parts that several kinds have (names,
positions …) stand under the name of their struct. The values of a member stand in the order in which people read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from schemas.data import read_table


@dataclass(frozen=True, slots=True)
class Title:
    """What one kind, member or value is called. `form` is a key of `forms.FORMS`; empty where the type says it all."""

    zh: str
    en: str
    form: str
    example: str
    about_zh: str
    about_en: str

    def as_schema(self) -> dict[str, str]:
        """The annotations of JSON Schema and Table Schema alike; Chinese ones under names of our own."""
        named = {
            "title": self.en, "x-title-zh": self.zh, "description": self.about_en, "x-description-zh": self.about_zh,
        }  # fmt: skip
        return {name: text for name, text in named.items() if text}


def title(of: str, member: str = "", value: str = "") -> Title:
    """The row about a kind, a member or a value; that there is one is tested."""
    return all_titles()[of, member, value]


def values(of: str, member: str) -> tuple[str, ...]:
    """The values of a member, in the order for people."""
    return tuple(key[2] for key in all_titles() if key[:2] == (of, member) and key[2])


@cache
def all_titles() -> Mapping[tuple[str, str, str], Title]:
    """Every row by what it is about: kind or part, member, value."""
    return {
        (row["of"], row["member"], row["value"]): Title(
            row["title_zh"], row["title_en"], row["form"], row["example"], row["about_zh"], row["about_en"]
        )
        for row in read_table("titles.csv")
    }

"""What `plan check` says, in English and Chinese.

A note is a code and values; its sentence is made when somebody reads it. To add a language, add a member to `Title` and
a column here: no check changes. Chinese terms are the field's own (4-schema, "Words in Chinese").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from schemas.districts import find_district
from schemas.factors import all_factors
from schemas.periods import Duration
from schemas.plan.model import Title
from schemas.times import BEIJING

Language = Literal["en", "zh"]
Level = Literal["fact", "advice", "refusal"]
Words: TypeAlias = str | Title | tuple[str | Title, ...]

SENTENCES: Mapping[str, tuple[Level, Title]] = {
    "term": ("fact", Title(
        "{plan} 第 {version} 版自 {first} 起至 {last} 止有效；共享方：{parties}；退出须提前 {notice}通知。",
        "{plan}, version {version}, is in force from {first} until {last}. "
        "Its parties are {parties}; one may leave with a notice of {notice}.",
    )),
    "receives": ("fact", Title(
        "{dataset}：{provider}向{recipients}提供{kind}（{mode}）。",
        "{dataset}: {kind} of {provider} for {recipients}, {mode}.",
    )),
    "kept": ("fact", Title(
        "{dataset}：{provider}的{kind}不予共享，依据：{citation}。",
        "{dataset}: {kind} of {provider} are not shared, by {citation}.",
    )),
    "only": ("fact", Title(
        "{dataset}：限于{selector}：{names}。",
        "{dataset}: limited to the {selector} {names}.",
    )),
    "everything": ("fact", Title(
        "{dataset}：全部，无筛选。",
        "{dataset}: all of them, without selection.",
    )),
    "hidden": ("fact", Title(
        "{dataset}：字段 {members} 不出域。",
        "{dataset}: the members {members} never leave.",
    )),
    "conditions": ("fact", Title(
        "{dataset}：有条件共享：{conditions}",
        "{dataset}: shared on the condition: {conditions}",
    )),
    "reach": ("fact", Title(
        "{dataset}：{party}可见 {first} 起的数据。",
        "{dataset}: {party} sees back to {first}.",
    )),
    "reach-all": ("fact", Title(
        "{dataset}：{party}可见全部历史数据。",
        "{dataset}: {party} sees all that came before.",
    )),
    "due": ("fact", Title(
        "{dataset}：周期 {every}，周期结束后 {due}内送达。",
        "{dataset}: one for every period of {every}, delivered within {due} of its end.",
    )),
    "season": ("fact", Title(
        "{dataset}：每年 {first} 至 {last}。",
        "{dataset}: each year from {first} to {last}.",
    )),
    "campaign": ("fact", Title(
        "{dataset}：{first} 至 {last} 期间共 {count} 次，结束后 {due}内送达。",
        "{dataset}: {count} between {first} and {last}, delivered within {due} of the end.",
    )),
    "warns": ("fact", Title(
        "{dataset}：{factor}{side} {value} {unit} 连续 {times} 次即启动预警。",
        "{dataset}: {factor} {side} {value} {unit}, {times} in a row, opens a warning.",
    )),
    "also-told": ("fact", Title(
        "{dataset}：预警同时通知 {others}。",
        "{dataset}: its warnings also go to {others}.",
    )),
    "gets-nothing": ("fact", Title(
        "{party}在本方案中不接收任何数据。",
        "{party} receives nothing under this plan.",
    )),
    "incomplete": ("advice", Title(
        "{dataset}：目录条目缺少{member}。",
        "{dataset}: its catalogue entry lacks {member}.",
    )),
    "warns-unselected": ("advice", Title(
        "{dataset}：对{factor}设了预警，但并未共享该因子。",
        "{dataset}: it warns of {factor}, which it does not select.",
    )),
    "too-few-parties": ("refusal", Title(
        "方案至少须有两个共享方。",
        "A plan needs at least two parties.",
    )),
    "term-empty": ("refusal", Title(
        "生效时间 {first} 不早于终止时间 {last}。",
        "The plan ends ({last}) before it begins ({first}).",
    )),
    "duplicate-id": ("refusal", Title(
        "{dataset}：标识重复。",
        "{dataset}: another dataset has the same id.",
    )),
    "provider-not-party": ("refusal", Title(
        "{dataset}：提供方 {party} 不是共享方。",
        "{dataset}: its provider {party} is not a party of the plan.",
    )),
    "recipient-not-party": ("refusal", Title(
        "{dataset}：使用方 {party} 不是共享方。",
        "{dataset}: its recipient {party} is not a party of the plan.",
    )),
    "provider-receives": ("refusal", Title(
        "{dataset}：提供方 {party} 不能是自己的使用方。",
        "{dataset}: its provider {party} is among its own recipients.",
    )),
    "factor-unknown": ("refusal", Title(
        "{dataset}：未知因子编码 {factor}。",
        "{dataset}: no factor has the code {factor}.",
    )),
    "unit-unfit": ("refusal", Title(
        "{dataset}：单位 {unit} 不适用于{factor}。",
        "{dataset}: {unit} is not a unit of {factor}.",
    )),
    "hides-needed": ("refusal", Title(
        "{dataset}：缺少字段 {members} 的记录无法理解，不能隐藏。",
        "{dataset}: a record means nothing without {members}, so that cannot be hidden.",
    )),
    "hide-differs": ("refusal", Title(
        "{provider}向{party}提供的{kind}在 {datasets} 中隐藏字段不一致。",
        "{party} would get {kind} of {provider} with different members hidden, in {datasets}.",
    )),
}  # fmt: skip

TERMS: Mapping[str, Title] = {
    "observation": Title("监测数据", "observations"),
    "mark": Title("工况标记", "marks"),
    "site": Title("点位信息", "sites"),
    "source": Title("污染源信息", "pollution sources"),
    "inspection": Title("检查记录", "inspections"),
    "case": Title("事项办理记录", "case steps"),
    "push": Title("推送", "pushed"),
    "pull": Title("拉取", "fetched"),
    "drop": Title("文件夹交换", "by drop folder"),
    "programmes": Title("监测计划", "programmes"),
    "factors": Title("因子", "factors"),
    "periods": Title("周期", "periods"),
    "origins": Title("数据来源", "origins"),
    "stats": Title("统计类型", "statistics"),
    "sites": Title("点位", "sites"),
    "categories": Title("类别", "categories"),
    "kinds": Title("事项类型", "case kinds"),
    "at-or-above": Title("达到或高于", "at or above"),
    "at-or-below": Title("达到或低于", "at or below"),
    "title": Title("名称", "a title"),
    "cadence": Title("更新频率", "a cadence"),
    "open": Title("另行通知", "further notice"),
}
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


def instant_words(instant: datetime | None) -> Words:
    """An instant in Beijing time; an end that is not set is open."""
    return TERMS["open"] if instant is None else instant.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")


def _in(words: Words, language: Language) -> str:
    if isinstance(words, tuple):
        return ("、" if language == "zh" else ", ").join(_in(one, language) for one in words)
    return words if isinstance(words, str) else getattr(words, language)

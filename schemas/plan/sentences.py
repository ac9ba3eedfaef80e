"""What there is to say about plans, as tables: the sentences in English and Chinese, and the words in them.

To add a language, add a member to `Title` and a column here: no check changes. Chinese terms are the field's own
(4-schema, "Words in Chinese").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from schemas.plan.model import Title

Level = Literal["fact", "advice", "refusal"]

CHECKED: Mapping[str, tuple[Level, Title]] = {
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
    "as-it-comes": ("fact", Title(
        "{dataset}：随时更新，有变化即提供。",
        "{dataset}: each record as it comes about, without a rhythm.",
    )),
    "uses": ("fact", Title(
        "{dataset}：{party}用于{purpose}。",
        "{dataset}: {party} may use it for {purpose}.",
    )),
    "period": ("fact", Title(
        "{dataset}：{party}的使用期限至 {last}。",
        "{dataset}: {party} has it until {last}.",
    )),
    "rate": ("fact", Title(
        "{dataset}：{party}的每个客户端每 {per}最多请求 {requests} 次。",
        "{dataset}: each client of {party} may ask {requests} times in {per}.",
    )),
    "relays": ("fact", Title(
        "{dataset}：{parties}可将其转交给其他使用方。",
        "{dataset}: {parties} may pass it on to its other recipients.",
    )),
    "passes-suspension": ("fact", Title(
        "{dataset}：共享方被暂停期间照常送达。",
        "{dataset}: it passes also while a party is suspended.",
    )),
    "secondary": ("fact", Title(
        "{dataset}：非数源，{provider}不是这些数据的主责提供方。",
        "{dataset}: a secondary source; {provider} does not lead for these items.",
    )),
    "lead": ("fact", Title(
        "全部签署须在生效前至少 {lead}公布，否则本版失效。",
        "All signatures must be published {lead} before it takes effect, or this version lapses.",
    )),
    "gets-nothing": ("fact", Title(
        "{party}在本方案中不接收任何数据。",
        "{party} receives nothing under this plan.",
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
    "incomplete": ("refusal", Title(
        "{dataset}：目录条目缺少{member}。",
        "{dataset}: its catalogue entry lacks {member}.",
    )),
    "second-lead": ("refusal", Title(
        "{dataset}：{other} 已由{provider}作为数源提供同一数据（{sites}），须标明为非数源（secondary）。",
        "{dataset}: {provider} already leads for the same items at {sites}, in {other}; mark one of them as secondary.",
    )),
    "relay-not-recipient": ("refusal", Title(
        "{dataset}：{party} 不是使用方，不能转交。",
        "{dataset}: {party} does not receive it, so it cannot pass it on.",
    )),
    "suspension-unfit": ("refusal", Title(
        "{dataset}：仅预警和信息通报类事项可在暂停期间送达。",
        "{dataset}: only warnings and information (case kinds) may pass while a party is suspended.",
    )),
    "period-empty": ("refusal", Title(
        "{dataset}：{party} 的使用期限在开始前即已结束（{last}）。",
        "{dataset}: the period of {party} is over ({last}) before it begins.",
    )),
}  # fmt: skip

CHANGED: Mapping[str, tuple[Level, Title]] = {
    "joins": ("fact", Title("{party}加入方案。", "{party} joins the plan.")),
    "leaves": ("fact", Title("{party}退出方案。", "{party} leaves the plan.")),
    "plan-differs": ("fact", Title(
        "方案的{member}由 {old} 改为 {new}。",
        "The plan's {member}: {old} becomes {new}.",
    )),
    "begins": ("fact", Title(
        "{dataset}：{party}开始获得{provider}的{kind}。",
        "{dataset}: {party} gains {kind} of {provider}.",
    )),
    "ends": ("fact", Title(
        "{dataset}：{party}不再获得{provider}的{kind}。",
        "{dataset}: {party} loses {kind} of {provider}.",
    )),
    "entry-gone": ("fact", Title(
        "{dataset}：不予共享的条目被删除。",
        "{dataset}: the entry, which was not shared, is dropped.",
    )),
    "any": ("fact", Title(
        "{dataset}：使用方获得更多：{selector}不再受限。",
        "{dataset}: its recipients gain: the {selector} are no longer limited.",
    )),
    "only-now": ("fact", Title(
        "{dataset}：使用方失去部分数据：今后仅限{selector} {names}。",
        "{dataset}: its recipients lose all but the {selector} {names}.",
    )),
    "gains": ("fact", Title(
        "{dataset}：使用方增加{selector} {names}。",
        "{dataset}: its recipients gain the {selector} {names}.",
    )),
    "loses": ("fact", Title(
        "{dataset}：使用方失去{selector} {names}。",
        "{dataset}: its recipients lose the {selector} {names}.",
    )),
    "shown": ("fact", Title(
        "{dataset}：字段 {members} 今后可见。",
        "{dataset}: its recipients gain the members {members}, which were hidden.",
    )),
    "hidden-now": ("fact", Title(
        "{dataset}：字段 {members} 今后不出域。",
        "{dataset}: its recipients lose the members {members}.",
    )),
    "terms": ("fact", Title(
        "{dataset}：{party}的{member}由 {old} 改为 {new}。",
        "{dataset}: for {party}, {member}: {old} becomes {new}.",
    )),
    "cadence-differs": ("fact", Title(
        "{dataset}：更新频率由 {old} 改为 {new}。",
        "{dataset}: how often it is updated: {old} becomes {new}.",
    )),
    "differs": ("fact", Title(
        "{dataset}：{member}由 {old} 改为 {new}。",
        "{dataset}: {member}: {old} becomes {new}.",
    )),
    "short-notice": ("refusal", Title(
        "{dataset}：终止或变更须提前通知，最早可自 {first} 起，不能自 {effective} 起。",
        "{dataset}: what ends or changes needs notice: from {first} at the earliest, not from {effective}.",
    )),
}  # fmt: skip

SENTENCES: Mapping[str, tuple[Level, Title]] = {**CHECKED, **CHANGED}

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
    "title": Title("名称（title）", "its name (title)"),
    "unit_in_charge": Title("责任单位（unit_in_charge）", "the unit in charge (unit_in_charge)"),
    "items": Title("数据项（select.factors）", "its items (select.factors)"),
    "cadence": Title("更新频率（cadence）", "how often it is updated (cadence)"),
    "purpose": Title("用途（purpose）", "what it is used for (purpose)"),
    "until": Title("终止时间（until）", "an end (until)"),
    "open": Title("另行通知", "further notice"),
    "notice": Title("通知期", "notice"),
    "lead": Title("签署公布期限", "time between the last signature and its beginning (lead)"),
    "from": Title("可见起始时间（from）", "how far back it sees (from)"),
    "rate": Title("请求频次（rate）", "how often it may ask (rate)"),
    "basis": Title("依据（basis）", "its legal basis (basis)"),
    "format": Title("格式（format）", "its format (format)"),
    "sharing": Title("共享属性（sharing）", "how it is shared (sharing)"),
    "conditions": Title("共享条件（conditions）", "its conditions (conditions)"),
    "citation": Title("不予共享的依据（citation）", "the law that forbids sharing (citation)"),
    "grade": Title("数据分级（grade）", "its grade (grade)"),
    "retention": Title("保存期限（retention）", "how long it is kept (retention)"),
    "mode": Title("交换方式（mode）", "how it comes (mode)"),
    "linger": Title("汇集时间（linger）", "how long records wait for a fuller batch (linger)"),
    "on_refusal": Title("拒收后的处理（on_refusal）", "what follows a refusal (on_refusal)"),
    "warn": Title("预警阈值（warn）", "its warnings (warn)"),
    "relay": Title("转交方（relay）", "who may pass it on (relay)"),
    "despite_suspension": Title("暂停期间照常送达（despite_suspension）", "passing a suspension (despite_suspension)"),
    "secondary": Title("非数源（secondary）", "being a secondary source (secondary)"),
    "none": Title("无", "none"),
    "yes": Title("是", "yes"),
    "no": Title("否", "no"),
    "history-all": Title("全部历史数据", "all that came before"),
    "history-none": Title("自加入起", "from its joining"),
    "unconditional": Title("无条件共享", "unconditionally"),
    "conditional": Title("有条件共享", "on conditions"),
    "not-shared": Title("不予共享", "not at all"),
    "general": Title("一般", "general"),
    "important": Title("重要", "important"),
    "core": Title("核心", "core"),
}

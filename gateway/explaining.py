"""Why a client gets a dataset, or does not: what `decide` decided, rule by rule, in words.

It runs `decide` itself and tells what that was asked; there is no second implementation that could say something else.
Nothing is counted, logged or changed by asking, and a rate is told, not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.errors import NotFoundError
from gateway.service import Gateway
from partners.decision import Decision, Step
from partners.grants import PushBatch, ReadFeed, ReadRecords, Request, decide
from partners.oauth.clients import Client
from partners.plans import Plans, plans_in_force
from partners.principal import Principal
from partners.requests import SCOPES
from schemas.plan import Dataset, Plan, Recipient, Title
from schemas.plan.wording import instant_words, party_words, span_words
from schemas.times import beijing_text


@dataclass(frozen=True)
class Point:
    """One thing that was looked at: whether it is as it must be, and how it stands."""

    name: str
    said: Title
    holds: bool = True


@dataclass(frozen=True)
class Way:
    """One way to a dataset (its feed, its records, pushing it): every point in order, and what has to change, if so."""

    name: str
    points: tuple[Point, ...]
    change: Title | None

    @property
    def allowed(self) -> bool:
        return self.change is None


@dataclass(frozen=True)
class Explanation:
    """What a client may do with a dataset at an instant."""

    client: str
    party: str
    provider: str
    dataset: str
    ways: tuple[Way, ...]

    @property
    def allowed(self) -> bool:
        return any(way.allowed for way in self.ways)

    def as_json(self) -> dict[str, object]:
        """For programs: sentences in both languages."""
        return {
            "client": self.client, "party": self.party, "provider": self.provider, "dataset": self.dataset,
            "allowed": self.allowed,
            "ways": [
                {
                    "way": way.name, "allowed": way.allowed,
                    "points": [
                        {"point": one.name, "holds": one.holds, "en": one.said.en, "zh": one.said.zh}
                        for one in way.points
                    ],
                    "change": {"en": way.change.en, "zh": way.change.zh} if way.change is not None else None,
                }
                for way in self.ways
            ],
        }  # fmt: skip


def explain_access(
    gateway: Gateway, client_id: str, dataset: str, *, now: int, provider: str = "", purpose: str = ""
) -> Explanation:
    """Whether this client may have this dataset, and why. `provider` where a plan does not say; `now` in ms UTC.

    Raises:
        NotFoundError: `client.unknown`.
    """
    client = gateway.load_client(client_id)
    if client is None:
        raise NotFoundError("no client has this id", code="client.unknown")
    with gateway.database.read() as session:
        plans = plans_in_force(session, now)
    subject = _Subject(client, plans, gateway.party, provider or _provider_of(plans, dataset, gateway.party), dataset)
    ways = tuple(_way(subject, request, purpose, now) for request in _requests(subject))
    return Explanation(client_id, client.party, subject.provider, dataset, ways)


@dataclass(frozen=True)
class _Subject:
    """The client and the dataset in question."""

    client: Client
    plans: Plans
    home: str
    provider: str
    id: str

    @property
    def found(self) -> tuple[Plan, Dataset] | None:
        return self.plans.dataset(self.provider, self.id)

    @property
    def terms(self) -> Recipient | None:
        return self.found[1].recipient(self.client.party) if self.found is not None else None


def _provider_of(plans: Plans, dataset: str, home: str) -> str:
    providers = [one.provider for plan in plans.plans for one in plan.datasets if one.id == dataset]
    return home if home in providers or not providers else providers[0]


def _requests(subject: _Subject) -> list[Request]:
    """The ways that its scopes open to this client, or the usual one where none does."""
    kind = subject.found[1].kind if subject.found is not None else "observation"
    ways: list[Request] = [ReadFeed(subject.provider, subject.id)]
    if subject.provider == subject.home:
        ways.append(ReadRecords(kind, subject.id))
    else:
        ways.append(PushBatch(subject.provider, subject.id))
    return [one for one in ways if subject.client.scopes >= SCOPES[type(one)]] or ways[:1]


_NAMES: Mapping[type[Request], str] = {ReadFeed: "feed", ReadRecords: "records", PushBatch: "push"}


def _way(subject: _Subject, request: Request, purpose: str, now: int) -> Way:
    client, points = subject.client, list(_standing(subject.client))
    trail: list[Step] = []
    principal = Principal(
        client.party, client.client_id, client.kind, client.scopes, "", suspended=client.party_suspended
    )
    decision = decide(principal, request, subject.plans, subject.home, now=now, purpose=purpose, trail=trail)
    for step in trail:
        if step.rule == "recipient":
            points.append(_plan_point(subject))
        if step.refusal is not None:
            points.append(Point(step.rule, Title(step.refusal.detail_zh, step.refusal.detail), holds=False))
        else:
            points.append(Point(step.rule, _HOLDS[step.rule](subject, purpose)))
    change = next((_REMEDIES[one.name] for one in points if not one.holds and one.name != "plan"), None)
    if decision.allow and change is None:
        points += _given(subject, decision)
    return Way(_NAMES[type(request)], tuple(points), change)


def _standing(client: Client) -> list[Point]:
    """What is looked at before anything is decided: a client that is stopped is refused with its token."""
    states = {"active": "在用", "suspended": "已暂停", "ended": "已终止"}
    said = Title(
        f"客户端 {client.client_id} {states[client.state]}", f"the client {client.client_id} is {client.state}"
    )
    party = party_words(client.party)
    stands = (
        Title(f"共享方{party.zh}已被暂停", f"the party {party.en} is suspended") if client.party_suspended else None
    )
    active = Title(f"共享方{party.zh}在用", f"the party {party.en} is active")
    return [
        Point("client", said, holds=client.state == "active"),
        # A suspended party may still have what the plan lets pass: the rule of suspension decides.
        Point("party", stands or active),
    ]


def _plan_point(subject: _Subject) -> Point:
    if subject.found is None:
        nothing = Title(
            f"没有生效的方案包含 {subject.provider}/{subject.id}",
            f"no plan in force has {subject.provider}/{subject.id}",
        )
        return Point("plan", nothing, holds=False)
    plan, _ = subject.found
    last = instant_words(plan.until)
    zh, en = (last.zh, last.en) if isinstance(last, Title) else (str(last), str(last))
    return Point("plan", Title(f"方案 {plan.reference} 生效中，至{zh}", f"{plan.reference} is in force until {en}"))


def _scope(subject: _Subject, _purpose: str) -> Title:
    scopes = " ".join(sorted(subject.client.scopes))
    return Title(f"权限范围足够（{scopes}）", f"its scopes reach so far ({scopes})")


def _suspension(subject: _Subject, _purpose: str) -> Title:
    if subject.client.party_suspended:
        return Title("方案规定该数据项在暂停期间照常送达", "the plan lets this dataset pass a suspension")
    return Title("未被暂停", "nothing is suspended")


def _recipient(subject: _Subject, _purpose: str) -> Title:
    party = party_words(subject.client.party)
    if subject.terms is not None:
        return Title(f"{party.zh}是使用方", f"{party.en} is a recipient")
    return Title(f"{party.zh}是提供方或本方", f"{party.en} is its provider, or the party of this gateway")


def _period(subject: _Subject, _purpose: str) -> Title:
    until = subject.terms.until if subject.terms is not None else None
    if until is None:
        return Title("期限与方案相同", "its period is the plan's")
    return Title(f"期限至 {instant_words(until)}", f"its period lasts until {instant_words(until)}")


def _purpose(subject: _Subject, purpose: str) -> Title:
    given = subject.found[1].purpose_of(subject.client.party) if subject.found is not None else None
    if given is None:
        return Title("方案未限定用途", "the plan names no purpose")
    said = f"said: {purpose}" if purpose else "none said"
    return Title(f"用途：{given}", f"it is given for: {given} ({said})")


def _rate(subject: _Subject, _purpose: str) -> Title:
    rate = subject.terms.rate if subject.terms is not None else None
    if rate is None:
        return Title("不限请求频次", "no rate bounds it")
    per = span_words(rate.per)
    return Title(f"每 {per.zh}最多 {rate.requests} 次", f"at most {rate.requests} requests in {per.en}")


def _fixed(zh: str, en: str) -> Callable[[_Subject, str], Title]:
    return lambda _subject, _purpose: Title(zh, en)


_HOLDS: Mapping[str, Callable[[_Subject, str], Title]] = {
    "scope": _scope,
    "suspension": _suspension,
    "restriction": _fixed("该客户端未限定数据项", "the client is not restricted to other datasets"),
    "relay": _fixed("由本网关提供或经方案允许转交", "it is this gateway's to give, or the plan lets it relay"),
    "pusher": _fixed(
        "由提供方或方案指定的转交方推送", "it is pushed by its provider, or by a relay that the plan names"
    ),
    "recipient": _recipient,
    "period": _period,
    "purpose": _purpose,
    "rate": _rate,
}
_REMEDIES: Mapping[str, Title] = {
    "client": Title("恢复或重新登记该客户端", "resume the client, or register another"),
    "scope": Title("由两人批准，给该客户端这一权限范围", "give the client this scope, which takes two persons"),
    "suspension": Title("恢复该共享方（须两人）", "resume the party, which takes two persons"),
    "restriction": Title("另发包含该数据项的令牌", "make a token that has this dataset"),
    "relay": Title(
        "向其提供方的网关请求，或在方案中指定转交方", "ask its provider's gateway, or name a relay in the plan"
    ),
    "pusher": Title("由提供方推送，或在方案中指定转交方", "let its provider push it, or name a relay in the plan"),
    "recipient": Title("在方案下一版中将其列为使用方", "make the party a recipient in the plan's next version"),
    "period": Title("在方案下一版中延长期限", "extend the period in the plan's next version"),
    "purpose": Title(
        "按方案规定的用途请求，或修改方案", "ask for the plan's purpose, or change it in the next version"
    ),
    "rate": Title("稍后重试，或修改方案", "ask less often, or change the rate in the next version"),
}


def _given(subject: _Subject, decision: Decision) -> list[Point]:
    """How far what is given reaches: from when on, what is selected, what is hidden."""
    if subject.found is None:
        return []
    dataset = subject.found[1]
    starts = decision.extent.starts if decision.extent is not None else (decision.start,)
    start = starts[0] if starts else None
    since = (
        Title("自最初起", "it sees all that came before")
        if start is None
        else Title(f"可见 {beijing_text(start)} 起的数据", f"it sees what came since {beijing_text(start)}")
    )
    chosen = {name: getattr(dataset.select, name) for name in type(dataset.select).__slots__}
    parts = [f"{name}: {' '.join(sorted(names))}" for name, names in chosen.items() if names is not None]
    selected = "; ".join(parts)
    hidden = ", ".join(dataset.hide)
    return [
        Point("start", since),
        Point("selection", Title(f"筛选：{selected or '全部'}", f"selected: {selected or 'everything'}")),
        Point("projection", Title(f"隐藏字段：{hidden or '无'}", f"hidden members: {hidden or 'none'}")),
    ]

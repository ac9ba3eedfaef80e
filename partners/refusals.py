"""Why a request is refused: a stable code, a sentence in both languages, and the rule that decided.

Whoever may not have a dataset is told the same whether it exists or not. What a rule decided by is its caller's own
affair (its period, its purpose, its rate) or is in a plan that it signed.
"""

from __future__ import annotations

from dataclasses import dataclass

NOBODY = "default deny"  # the rule where no plan in force says anything


@dataclass(frozen=True, slots=True)
class Refusal:
    """`rule` is a plan's version with the member that decided, or a rule of this gateway. `retry_after` in seconds."""

    code: str
    detail: str
    detail_zh: str
    rule: str
    retry_after: int | None = None


SUSPENDED = Refusal(
    "access.suspended",
    "this party is suspended; only what the plan lets pass nevertheless goes on",
    "该共享方已被暂停；仅方案规定照常送达的内容可以通过",
    "suspension",
)
SUBMIT_AT_HOME = Refusal(
    "access.not-home", "records enter at the gateway of their own party", "数据须在本方网关报送", "home party only"
)
FINDINGS_AT_HOME = Refusal(
    "access.not-home", "findings are told to the party they are for", "质量问题仅告知数据所属方", "home party only"
)
LOG_AT_HOME = Refusal(
    "access.not-home",
    "the log's entries are for the party's auditors",
    "日志条目仅供本方审计人员查阅",
    "home party only",
)
NOT_YOURS = Refusal(
    "access.not-yours",
    "only who handed it in, and readers at home, may see this",
    "仅报送者及本方读者可见",
    "own submissions",
)
NOT_RELAYED = Refusal(
    "access.not-relayed",
    "this gateway does not relay feeds of other parties, unless the plan says so",
    "除方案另有规定外，本网关不转交其他共享方的数据",
    NOBODY,
)
NOT_PROVIDER = Refusal(
    "feed.not-provider",
    "only a feed's provider, or a relay that the plan names, may push it",
    "仅提供方或方案指定的转交方可推送",
    NOBODY,
)
NO_PLAN = Refusal(
    "access.no-plan", "this party takes part in no plan in force here", "该共享方未参加本网关任何生效的方案", NOBODY
)


def scope_missing(scope: str) -> Refusal:
    """The token does not carry `scope`."""
    return Refusal("token.scope-insufficient", f"the token has no scope {scope}", f"令牌缺少权限范围 {scope}", "scope")


def not_granted(provider: str, dataset: str, party: str) -> Refusal:
    """No plan in force gives it, whether it exists or not."""
    return Refusal(
        "access.not-granted",
        f"no plan in force gives {provider}/{dataset} to {party}",
        f"没有生效的方案将 {provider}/{dataset} 提供给 {party}",
        NOBODY,
    )


def restricted(dataset: str) -> Refusal:
    """The client was restricted to other datasets, or to reading some."""
    return Refusal(
        "access.client-restricted",
        f"this client was not given {dataset}",
        f"该客户端未获准使用 {dataset}",
        "the client's datasets",
    )


def period_over(dataset: str, until: str, rule: str) -> Refusal:
    """The recipient's own period has ended."""
    return Refusal(
        "access.period-over",
        f"the period for {dataset} ended at {until}",
        f"{dataset} 的使用期限已于 {until} 届满",
        f"{rule} until",
    )


def purpose_differs(dataset: str, purpose: str, rule: str) -> Refusal:
    """What was said is not what the plan gives it for."""
    return Refusal(
        "access.purpose-differs",
        f"{dataset} is given for the purpose {purpose}, and for no other",
        f"{dataset} 仅可用于：{purpose}",
        f"{rule} purpose",
    )


def rate_exceeded(dataset: str, requests: int, seconds: int, rule: str, retry_after: int) -> Refusal:
    """More requests than the plan allows this client in one window."""
    return Refusal(
        "access.rate-exceeded",
        f"{dataset} may be asked for {requests} times in {seconds} s; ask again in {retry_after} s",
        f"{dataset} 每 {seconds} 秒最多请求 {requests} 次；请于 {retry_after} 秒后重试",
        f"{rule} rate",
        retry_after,
    )

"""What `decide` decides, rule by rule: each with the request it refuses and the next one that it lets pass."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from partners.errors import ScopeError
from partners.grants import (
    SCOPES,
    Decision,
    ListFeeds,
    PushBatch,
    ReadFeed,
    ReadFindings,
    ReadLog,
    ReadPlans,
    ReadReceipt,
    ReadRecords,
    ReadSubmission,
    ReadTiles,
    Request,
    SendReceipt,
    Step,
    Submit,
    decide,
    may_read_feed,
)
from partners.plans import Plans
from partners.principal import SCOPES as ALL_SCOPES
from partners.principal import Principal
from schemas.plan import parse_plan
from tests.world import JIASHAN, QINGPU, SITES, WUJIANG, plan_document

NANXUN = "330503"
NOW = int(datetime.fromisoformat("2026-11-20T12:00:00+08:00").timestamp() * 1000)
PURPOSE = "太浦河水源地预警"
FACTORS = {"select": {"factors": ["w20004"]}}
DATASETS: tuple[dict[str, Any], ...] = (
    SITES,
    {"id": "plain", **FACTORS},
    {"id": "for-qingpu", **FACTORS, "recipients": [QINGPU]},
    {"id": "ended", **FACTORS, "recipients": [{"party": JIASHAN, "until": "2026-11-20T12:00:00+08:00"}, QINGPU]},
    {"id": "ending", **FACTORS, "recipients": [{"party": JIASHAN, "until": "2026-11-20T12:00:00.001+08:00"}]},
    {"id": "checking", **FACTORS, "recipients": [{"party": JIASHAN, "purpose": "校核"}]},
    {
        "id": "rated",
        **FACTORS,
        "recipients": [{"party": JIASHAN, "rate": {"requests": 3, "per": "PT1M"}}, QINGPU],
    },
    {
        "id": "alerts",
        "kind": "case",
        "select": {"kinds": ["warning"]},
        "recipients": [JIASHAN],
        "despite_suspension": True,
    },
    {"id": "disputes", "kind": "case", "select": {"kinds": ["dispute"]}, "recipients": [JIASHAN]},
    {"id": "js-plain", "provider": JIASHAN, **FACTORS, "recipients": [WUJIANG, QINGPU]},
    {"id": "js-relayed", "provider": JIASHAN, **FACTORS, "recipients": [WUJIANG, QINGPU], "relay": [WUJIANG]},
    {
        "id": "js-ended",
        "provider": JIASHAN,
        **FACTORS,
        "recipients": [{"party": WUJIANG, "until": "2026-06-01"}],
    },
    {"id": "qp-relayed", "provider": QINGPU, **FACTORS, "recipients": [WUJIANG, JIASHAN], "relay": [JIASHAN]},
    {
        "id": "js-alerts",
        "provider": JIASHAN,
        "kind": "case",
        "select": {"kinds": ["warning"]},
        "recipients": [WUJIANG],
        "despite_suspension": True,
    },
)
PLANS = Plans((parse_plan(plan_document(*DATASETS)),))


def principal(party: str, *scopes: str, **more: Any) -> Principal:
    return Principal(party, f"{party}-client", "reader", frozenset(scopes or ALL_SCOPES), "", **more)


def ask(who: Principal, request: Request, **more: Any) -> Decision:
    return decide(who, request, PLANS, WUJIANG, **{"now": NOW, **more})


def code(who: Principal, request: Request, **more: Any) -> str:
    """The code of the refusal; empty where it may."""
    decision = ask(who, request, **more)
    if decision.refusal is not None:
        assert decision.refusal.detail
        assert decision.refusal.detail_zh
        assert decision.refusal.rule
        assert (decision.extent, decision.start, decision.meters) == (None, None, ())
    return decision.code


jiashan, qingpu, nanxun, home = (principal(party) for party in (JIASHAN, QINGPU, NANXUN, WUJIANG))

EVERY_REQUEST: tuple[Request, ...] = (
    Submit(),
    ReadSubmission("330421-client"),
    ReadFeed(WUJIANG, "plain"),
    ListFeeds(),
    PushBatch(JIASHAN, "js-plain"),
    SendReceipt(WUJIANG, "plain"),
    ReadReceipt(),
    ReadRecords("observation"),
    ReadFindings(),
    ReadPlans(),
    ReadTiles(),
    ReadLog(),
)


def test_every_request_there_is_is_tried_here() -> None:
    assert {type(request) for request in EVERY_REQUEST} == SCOPES.keys()


@pytest.mark.parametrize("request_", [one for one in EVERY_REQUEST if SCOPES[type(one)]], ids=repr)
def test_a_request_needs_its_scope_also_at_home(request_: Request) -> None:
    (scope,) = SCOPES[type(request_)]
    others = frozenset(ALL_SCOPES) - {scope}
    for party in (WUJIANG, JIASHAN):
        assert code(principal(party, *others), request_) == "token.scope-insufficient"
        assert code(principal(party, scope), request_) != "token.scope-insufficient"


@pytest.mark.parametrize(
    ("who", "request_", "expected"),
    [
        (jiashan, ReadFeed(WUJIANG, "plain"), ""),
        (jiashan, ReadFeed(WUJIANG, "for-qingpu"), "access.not-granted"),
        (qingpu, ReadFeed(WUJIANG, "for-qingpu"), ""),
        (jiashan, ReadFeed(WUJIANG, "no-such"), "access.not-granted"),
        (nanxun, ReadFeed(WUJIANG, "plain"), "access.not-granted"),
        (home, ReadFeed(WUJIANG, "plain"), ""),
        (home, ReadFeed(JIASHAN, "js-plain"), ""),
        (jiashan, ReadFeed(JIASHAN, "js-plain"), ""),  # its own back
        (jiashan, ReadFeed(JIASHAN, "of-last-year"), ""),
        (qingpu, ReadFeed(JIASHAN, "js-plain"), "access.not-relayed"),
        (qingpu, ReadFeed(JIASHAN, "js-relayed"), ""),
        (nanxun, ReadFeed(JIASHAN, "js-relayed"), "access.not-granted"),
        (jiashan, ReadFeed(QINGPU, "qp-relayed"), "access.not-relayed"),  # Jiashan relays it, and Wujiang does not
        (jiashan, PushBatch(JIASHAN, "js-plain"), ""),
        (jiashan, PushBatch(JIASHAN, "no-such"), "access.not-granted"),
        (jiashan, PushBatch(JIASHAN, "js-ended"), "access.period-over"),
        (qingpu, PushBatch(JIASHAN, "js-plain"), "feed.not-provider"),
        (qingpu, PushBatch(JIASHAN, "js-relayed"), "feed.not-provider"),  # Wujiang relays it, and Qingpu does not
        (jiashan, PushBatch(QINGPU, "qp-relayed"), ""),
        (nanxun, PushBatch(NANXUN, "plain"), "access.not-granted"),
        (jiashan, SendReceipt(WUJIANG, "plain"), ""),
        (jiashan, SendReceipt(WUJIANG, "for-qingpu"), "access.not-granted"),
        (jiashan, SendReceipt(WUJIANG, "for-qingpu", owed=True), ""),
        (home, Submit(), ""),
        (jiashan, Submit(), "access.not-home"),
        (home, ReadFindings(), ""),
        (jiashan, ReadFindings(), "access.not-home"),
        (home, ReadLog(), ""),
        (jiashan, ReadLog(), "access.not-home"),
        (jiashan, ReadTiles(), ""),
        (nanxun, ReadTiles(), ""),
        (jiashan, ReadPlans(), ""),
        (nanxun, ReadPlans(), "access.no-plan"),
        (home, ReadSubmission("somebody"), ""),
        (principal(WUJIANG, "records:submit"), ReadSubmission("somebody"), "access.not-yours"),
        (jiashan, ReadSubmission("somebody"), "access.not-yours"),
        (jiashan, ReadSubmission("330421-client"), ""),
        (jiashan, ReadReceipt(), ""),
    ],
    ids=lambda one: one.party if isinstance(one, Principal) else repr(one),
)
def test_the_plan_gives_each_party_what_it_says_and_nothing_else(
    who: Principal, request_: Request, expected: str
) -> None:
    assert code(who, request_) == expected


def test_a_period_is_over_at_its_end_and_not_before() -> None:
    assert code(jiashan, ReadFeed(WUJIANG, "ended")) == "access.period-over"
    assert code(jiashan, ReadRecords("observation", "ended")) == "access.period-over"
    assert code(jiashan, ReadFeed(WUJIANG, "ended"), now=NOW - 1) == ""
    assert code(jiashan, ReadFeed(WUJIANG, "ending")) == ""
    assert code(qingpu, ReadFeed(WUJIANG, "ended")) == ""  # the end is another recipient's
    assert not may_read_feed(jiashan, PLANS, WUJIANG, WUJIANG, "ended", now=NOW)


def test_another_purpose_than_the_plan_s_is_refused_and_none_is_the_plan_s() -> None:
    for request in (ReadFeed(WUJIANG, "plain"), ReadRecords("observation", "plain")):
        assert code(jiashan, request, purpose="执法") == "access.purpose-differs"
        assert ask(jiashan, request, purpose=PURPOSE).purpose == PURPOSE
        assert ask(jiashan, request).purpose == PURPOSE
    assert code(jiashan, ReadFeed(WUJIANG, "checking"), purpose=PURPOSE) == "access.purpose-differs"
    assert code(jiashan, ReadFeed(WUJIANG, "checking"), purpose="校核") == ""
    assert code(jiashan, ReadFeed(JIASHAN, "js-plain"), purpose="恢复") == ""  # its own


def datasets(decision: Decision) -> list[str]:
    assert decision.extent is not None
    assert not decision.extent.everything
    return [one.id for one in decision.extent.datasets]


def test_a_read_without_a_name_is_of_what_every_rule_lets_pass() -> None:
    assert datasets(ask(jiashan, ReadRecords("observation"))) == ["plain", "ending", "checking", "rated"]
    assert datasets(ask(jiashan, ReadRecords("observation"), purpose="校核")) == ["checking"]
    assert datasets(ask(jiashan, ReadRecords("observation"), now=NOW - 1))[1] == "ended"
    assert datasets(ask(jiashan, ReadRecords("site"))) == ["wj-sites"]
    assert datasets(ask(jiashan, ReadRecords("observation", "plain"))) == ["plain"]
    assert datasets(ask(nanxun, ReadRecords("observation"))) == []


def test_a_read_of_which_nothing_is_left_is_refused_with_the_reason() -> None:
    only_ended = Plans((parse_plan(plan_document(DATASETS[3])),))
    assert decide(jiashan, ReadRecords("observation"), only_ended, WUJIANG, now=NOW).code == "access.period-over"
    assert code(jiashan, ReadRecords("observation"), purpose="执法") == "access.purpose-differs"
    assert code(jiashan, ReadRecords("observation", "for-qingpu")) == "access.not-granted"
    assert code(jiashan, ReadRecords("observation", "no-such")) == "access.not-granted"
    assert (
        code(jiashan, ReadRecords("observation", "js-plain")) == "access.not-granted"
    )  # reads are of the home's records


def test_a_rate_is_counted_by_who_asks_and_refused_once_it_is_exceeded() -> None:
    feed, key = ReadFeed(WUJIANG, "rated"), (WUJIANG, "rated")
    (meter,) = ask(jiashan, feed).meters
    assert (meter.provider, meter.dataset, meter.length) == (*key, 60_000)
    assert [code(jiashan, feed, counts={key: count}) for count in (1, 3, 4)] == ["", "", "access.rate-exceeded"]
    assert ask(qingpu, feed).meters == ()
    assert ask(home, feed).meters == ()
    late = ask(jiashan, feed, counts={key: 4}, now=NOW + 58_500).refusal
    assert late is not None
    assert late.retry_after == 2  # rounded up, so that who waits that long is not refused again


def test_a_rate_refuses_a_read_without_a_name_rather_than_leave_something_out() -> None:
    assert code(jiashan, ReadRecords("observation"), counts={(WUJIANG, "rated"): 4}) == "access.rate-exceeded"
    assert code(jiashan, ReadRecords("observation", "plain"), counts={}) == ""
    assert ask(jiashan, ReadRecords("observation", "plain")).meters == ()


suspended = principal(JIASHAN, suspended=True)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ReadFeed(WUJIANG, "alerts"), ""),
        (ReadRecords("case"), ""),
        (ReadRecords("case", "alerts"), ""),
        (PushBatch(JIASHAN, "js-alerts"), ""),
        (SendReceipt(WUJIANG, "alerts", owed=True), ""),
        (ListFeeds(), ""),
        (ReadFeed(WUJIANG, "plain"), "access.suspended"),
        (ReadFeed(WUJIANG, "disputes"), "access.suspended"),
        (ReadFeed(WUJIANG, "no-such"), "access.suspended"),
        (ReadFeed(JIASHAN, "js-plain"), "access.suspended"),
        (ReadRecords("observation"), "access.suspended"),
        (ReadRecords("inspection"), "access.suspended"),
        (ReadRecords("observation", "plain"), "access.suspended"),
        (ReadRecords("observation", "no-such"), "access.suspended"),
        (PushBatch(JIASHAN, "js-plain"), "access.suspended"),
        (SendReceipt(WUJIANG, "plain", owed=True), "access.suspended"),
        (ReadPlans(), "access.suspended"),
        (ReadTiles(), "access.suspended"),
        (ReadReceipt(), "access.suspended"),
        (ReadSubmission("330421-client"), "access.suspended"),
        (Submit(), "access.suspended"),
        (ReadFindings(), "access.suspended"),
        (ReadLog(), "access.suspended"),
    ],
    ids=repr,
)
def test_a_suspended_party_has_only_what_the_plan_lets_pass(request_: Request, expected: str) -> None:
    assert code(suspended, request_) == expected


def test_a_suspended_party_does_not_even_see_its_own_records() -> None:
    decision = ask(suspended, ReadRecords("case"))
    assert datasets(decision) == ["alerts"]
    assert decision.extent is not None
    assert not decision.extent.own


def test_a_list_of_feeds_has_what_each_may_read() -> None:
    def listed(who: Principal) -> list[str]:
        return [
            one["id"]
            for one in DATASETS
            if may_read_feed(who, PLANS, WUJIANG, one.get("provider", WUJIANG), one["id"], now=NOW)
        ]

    assert listed(suspended) == ["alerts", "js-alerts"]
    assert listed(nanxun) == []
    assert listed(qingpu) == ["wj-sites", "plain", "for-qingpu", "ended", "rated", "js-relayed", "qp-relayed"]
    assert listed(principal(WUJIANG, datasets=frozenset({"plain"}))) == ["plain"]


@pytest.mark.parametrize("party", [WUJIANG, JIASHAN])
def test_a_client_that_was_restricted_reads_its_datasets_and_nothing_else(party: str) -> None:
    token = principal(party, datasets=frozenset({"plain", "for-qingpu"}))
    assert code(token, ReadFeed(WUJIANG, "plain")) == ""
    assert code(token, ReadFeed(WUJIANG, "rated")) == "access.client-restricted"
    assert code(token, ReadRecords("observation", "rated")) == "access.client-restricted"
    assert datasets(ask(token, ReadRecords("observation", "plain"))) == ["plain"]
    assert datasets(ask(token, ReadRecords("observation"))) == ["plain", "for-qingpu"][: 2 if party == WUJIANG else 1]
    assert code(token, ReadRecords("site")) == "access.client-restricted"
    assert code(token, ReadRecords("source")) == "access.not-granted"
    for request in (Submit(), ReadFindings(), ReadLog(), ReadSubmission("x"), ReadReceipt(), ReadTiles()):
        assert code(token, request) == "access.client-restricted"


def test_a_restricted_client_at_home_is_not_given_everything() -> None:
    extent = ask(principal(WUJIANG, datasets=frozenset({"plain"})), ReadRecords("observation")).extent
    assert extent is not None
    assert (extent.everything, extent.own, extent.starts) == (False, False, (None,))
    everything = ask(home, ReadRecords("observation")).extent
    assert everything is not None
    assert everything.everything


def test_the_trail_has_every_rule_that_was_asked_and_ends_with_the_one_that_decided() -> None:
    trail: list[Step] = []
    decision = ask(jiashan, ReadFeed(WUJIANG, "ended"), trail=trail)
    assert [step.rule for step in trail] == ["scope", "suspension", "restriction", "relay", "recipient", "period"]
    assert [step.refusal for step in trail] == [None] * 5 + [decision.refusal]


def test_two_scopes_that_are_needed_are_both_needed() -> None:
    """Threat: over-broad scope by OR semantics or silent narrowing."""
    one = principal(JIASHAN, "feeds:read")
    with pytest.raises(ScopeError) as caught:
        one.require("feeds:read", "receipts:write")
    assert caught.value.extra == {"scope": "feeds:read receipts:write"}
    principal(JIASHAN, "feeds:read", "receipts:write").require("feeds:read", "receipts:write")

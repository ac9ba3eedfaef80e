"""Signing in: one answer for all that is wrong, delays and no locks, each code once, and everything in the log."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from audit.form import SIGN_IN
from gateway.errors import SignInError
from gateway.people import tables
from gateway.people.accounts import set_roles, set_state
from gateway.people.enrolment import forget_past
from gateway.people.passwords import Passwords
from gateway.people.sessions import IDLE, IDLE_ADMINISTRATOR, LIFE, note_seen, person_of, sessions_of
from gateway.people.sign_in import SignedIn, confirm, sign_in
from gateway.people.tries import BURST, FORGOTTEN, FREE, LONGEST_DELAY, REFILL, delay_after
from gateway.service import Gateway
from tests.gateway.hands import entries
from tests.people import Owner, owner, person
from tests.world import WUJIANG, Node, make_node

NOW = 1_795_000_000_000
STEP = 30_000


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    yield node
    node.stop()


@pytest.fixture
def wei(node: Node) -> Owner:
    return owner(node, "wei", "security")


def enter(node: Node, one: Owner, *, now: int = NOW, origin: str = "console", **changes: str) -> SignedIn:
    given = {"name": one.name, "password": one.password, "code": one.code(now), "address": ""} | changes
    return sign_in(
        node.gateway, given["name"], given["password"], given["code"], origin=origin, address=given["address"], now=now
    )  # type: ignore[arg-type]


def refused(node: Node, one: Owner, **changes: object) -> SignInError:
    with pytest.raises(SignInError) as caught:
        enter(node, one, **changes)  # type: ignore[arg-type]
    return caught.value


def who(node: Node, secret: str, *, now: int = NOW) -> str | None:
    with node.gateway.database.read() as session:
        found = person_of(session, secret, now=now)
    return found.account if found else None


def outcomes(node: Node) -> list[str]:
    return [entry["detail"]["outcome"] for entry in entries(node, SIGN_IN)]


def test_password_and_code_open_a_session_and_it_is_in_the_log_without_a_name(node: Node, wei: Owner) -> None:
    opened = enter(node, wei, name=" WEI ")
    assert who(node, opened.secret) == "wei"
    (entry,) = entries(node, SIGN_IN)
    assert entry["detail"] == {"outcome": "signed-in", "origin": "console", "failures": 0, "turned_away": 0}
    assert entry["actor"].startswith("person:")
    assert "wei" not in str(entry)
    with node.gateway.database.read() as session:
        assert opened.secret not in str(session.execute(select(tables.session)).all())


WRONG: dict[str, dict[str, str]] = {
    "an account that nobody has": {"name": "nobody"},
    "a name that none could have": {"name": "x" * 5000},
    "a password that is wrong": {"password": "not the password"},
    "no password": {"password": ""},
    "an endless password": {"password": "x" * 1_000_000},
    "a code that is wrong": {"code": "000000"},
    "no code": {"code": ""},
    "a name with NUL": {"name": "no\0body"},
}


@pytest.mark.parametrize("what", WRONG)
def test_user_enumeration_whatever_is_wrong_the_answer_is_the_same(node: Node, wei: Owner, what: str) -> None:
    one = Owner(wei.name, wei.secret)
    error = refused(node, one, **WRONG[what])
    assert (error.code, error.extra) == ("sign-in.refused", {})
    assert error.detail == "name, password and code do not belong together"


@pytest.mark.parametrize("state", ["disabled", "without password"])
def test_an_account_that_is_kept_out_gets_that_answer_too(node: Node, wei: Owner, state: str) -> None:
    with node.gateway.database.write() as session:
        set_state(session, "wei", "disabled") if state == "disabled" else session.execute(
            tables.account.update().values(password="")
        )
    assert refused(node, wei).code == "sign-in.refused"
    assert outcomes(node) == ["refused"]


def test_user_enumeration_the_work_is_the_same(node: Node, wei: Owner) -> None:
    """Names that nobody has take as long as one that somebody has, whose password is wrong; by their medians."""
    node.gateway.passwords = Passwords()
    with node.gateway.database.write() as session:
        session.execute(tables.account.update().values(password=node.gateway.passwords.hash(wei.password)))
    spent: dict[str, list[float]] = {"wei": [], "nobody": []}
    for turn in range(6):
        for name, times in spent.items():
            begun = time.perf_counter()
            refused(node, wei, name=name, password="a wrong one", now=NOW + turn * LONGEST_DELAY)
            times.append(time.perf_counter() - begun)
    known, unknown = (statistics.median(times) for times in spent.values())
    assert 1 / 3 < known / unknown < 3


def test_password_spraying_and_totp_replay_the_same_code_is_taken_once(node: Node, wei: Owner) -> None:
    enter(node, wei)
    assert refused(node, wei).code == "sign-in.refused"
    assert refused(node, wei, code=wei.code(NOW - STEP)).code == "sign-in.refused", "nor one of before"
    enter(node, wei, now=NOW + STEP)


def test_of_two_workers_that_are_shown_one_code_at_once_one_takes_it(node: Node, wei: Owner) -> None:
    other = Gateway(node.gateway.home)
    other.passwords = node.gateway.passwords
    gateways = [node.gateway, other] * 3

    def one(gateway: Gateway) -> str:
        try:
            return sign_in(gateway, "wei", wei.password, wei.code(NOW), origin="console", now=NOW).account
        except SignInError as error:
            return error.code

    try:
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(one, gateways))
    finally:
        other.close()
    assert answers.count("wei") == 1


def test_password_spraying_after_five_failures_each_try_waits_twice_as_long(node: Node, wei: Owner) -> None:
    now = NOW
    for failures in range(1, 20):
        assert refused(node, wei, password="a wrong one", now=now).code == "sign-in.refused"
        wait = delay_after(failures)
        if wait:
            error = refused(node, wei, now=now + wait - 1)
            assert (error.code, error.extra) == ("sign-in.wait", {"retry_after": 1})
        now += wait
    assert [delay_after(n) for n in (4, 5, 6, 7, 15)] == [0, 1000, 2000, 4000, LONGEST_DELAY]


def test_lock_out_of_admins_by_attacker_after_a_thousand_wrong_tries_the_right_one_works(
    node: Node, wei: Owner
) -> None:
    now = NOW
    for _ in range(1_000):
        refused(node, wei, password="a wrong one", now=now)
        now += 1_000
    logged = len(entries(node, SIGN_IN))
    assert logged < 20, "a flood does not grow the log"
    opened = enter(node, wei, now=now + LONGEST_DELAY)
    assert opened.failures == logged
    last = entries(node, SIGN_IN)[-1]["detail"]
    assert last["outcome"] == "signed-in"
    assert sum(entry["detail"]["turned_away"] for entry in entries(node, SIGN_IN)) == 1_000 - logged
    assert enter(node, wei, now=now + LONGEST_DELAY + STEP).failures == 0, "nothing is held against them any more"


def test_lock_out_of_admins_by_attacker_tries_over_the_network_delay_nobody_at_the_gateways_own_terminal(
    node: Node, wei: Owner
) -> None:
    for _ in range(FREE):
        refused(node, wei, password="a wrong one")
    assert refused(node, wei).code == "sign-in.wait"
    assert who(node, enter(node, wei, origin="terminal").secret) == "wei"


def test_a_name_that_nobody_has_is_delayed_like_the_others(node: Node, wei: Owner) -> None:
    codes = {name: [refused(node, wei, name=name, password="a wrong one").code for _ in range(FREE + 2)]
             for name in ("wei", "nobody")}  # fmt: skip
    assert codes["wei"] == codes["nobody"] == ["sign-in.refused"] * FREE + ["sign-in.wait"] * 2


def test_the_counts_hold_in_another_process_and_after_a_restart(node: Node, wei: Owner) -> None:
    for _ in range(FREE):
        refused(node, wei, password="a wrong one")
    other = Gateway(node.gateway.home)
    try:
        with pytest.raises(SignInError) as caught:
            sign_in(other, "wei", wei.password, wei.code(NOW), origin="console", now=NOW)
        assert caught.value.code == "sign-in.wait"
    finally:
        other.close()


def test_tries_at_once_are_each_counted_before_they_are_heard(node: Node, wei: Owner) -> None:
    def one(_: int) -> str:
        return refused(node, wei, password="a wrong one").code

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(one, range(10)))
    assert answers.count("sign-in.refused") == FREE
    assert outcomes(node) == ["refused"] * FREE


def test_an_address_has_a_bucket_that_fills_again(node: Node, wei: Owner) -> None:
    def tries(address: str, now: int) -> list[str]:
        return [refused(node, wei, name=f"n{i}", address=address, now=now).code for i in range(BURST + 1)]

    assert tries("192.0.2.7", NOW) == ["sign-in.refused"] * BURST + ["sign-in.wait"]
    assert refused(node, wei, name="m", address="192.0.2.7", now=NOW + REFILL).code == "sign-in.refused"
    assert refused(node, wei, name="m", address="192.0.2.7", now=NOW + REFILL).code == "sign-in.wait"
    assert who(node, enter(node, wei, address="192.0.2.8").secret) == "wei", "another address is heard"


def test_addresses_of_one_subscriber_share_a_bucket(node: Node) -> None:
    tries = node.gateway.tries
    assert tries.address("2001:db8:1:2::3") == tries.address("2001:db8:1:2:ffff::9")
    assert tries.address("2001:db8:1:2::3") != tries.address("2001:db8:1:3::3")
    assert tries.address("192.0.2.7") != tries.address("192.0.2.8")
    assert tries.address("no address\0" * 100)


def test_no_flood_of_names_grows_the_counters_beyond_their_slots_and_old_ones_go(node: Node, wei: Owner) -> None:
    tries = node.gateway.tries
    assert len({tries.slot("password", "console", f"name{i}") for i in range(200_000)}) <= 65_536
    for i in range(20):
        refused(node, wei, name=f"nobody{i}")
    count = select(func.count()).select_from(tables.sign_in_try)
    with node.gateway.database.write() as session:
        assert session.scalar(count) == 20
        forget_past(session, now=NOW + FORGOTTEN)
        assert session.scalar(count) == 20
        forget_past(session, now=NOW + FORGOTTEN + 1)
        assert session.scalar(count) == 0


def test_showing_the_second_factor_again_gives_a_new_session_and_the_old_one_opens_nothing(
    node: Node, wei: Owner
) -> None:
    old = enter(node, wei).secret
    later = NOW + 10 * 60_000
    new = confirm(node.gateway, old, wei.code(later), now=later)
    assert (who(node, old, now=later), who(node, new, now=later)) == (None, "wei")
    with node.gateway.database.read() as session:
        found = person_of(session, new, now=later)
        (listed,) = sessions_of(session, "wei", now=later, secret=new)
    assert found is not None
    assert found.confirmed == later
    assert (listed.created, listed.ends) == (NOW, NOW + LIFE), "it ends when it would have ended"
    assert outcomes(node) == ["signed-in", "confirmed"]


def test_totp_replay_a_code_that_signed_in_confirms_nothing(node: Node, wei: Owner) -> None:
    secret = enter(node, wei).secret
    with pytest.raises(SignInError) as caught:
        confirm(node.gateway, secret, wei.code(NOW), now=NOW)
    assert caught.value.code == "sign-in.refused"
    assert who(node, secret) == "wei"
    assert outcomes(node) == ["signed-in", "not-confirmed"]


def test_wrong_codes_are_counted_apart_from_wrong_passwords(node: Node, wei: Owner) -> None:
    secret = enter(node, wei).secret
    for _ in range(FREE):
        refused(node, wei, password="a wrong one", now=NOW + STEP)
    assert refused(node, wei, now=NOW + STEP).code == "sign-in.wait"
    secret = confirm(node.gateway, secret, wei.code(NOW + STEP), now=NOW + STEP)
    codes = []
    for _ in range(FREE + 1):
        with pytest.raises(SignInError) as caught:
            confirm(node.gateway, secret, "000000", now=NOW + 2 * STEP)
        codes.append(caught.value.code)
    assert codes == ["sign-in.refused"] * FREE + ["sign-in.wait"]


def test_a_session_that_is_none_confirms_nothing(node: Node, wei: Owner) -> None:
    for secret in ("", "made up", "x" * 100_000):
        with pytest.raises(SignInError) as caught:
            confirm(node.gateway, secret, wei.code(NOW), now=NOW)
        assert caught.value.code == "session.missing"


@pytest.mark.parametrize(
    ("role", "idle"),
    [("security", IDLE_ADMINISTRATOR), ("system", IDLE_ADMINISTRATOR), ("approver", IDLE_ADMINISTRATOR),
     ("audit", IDLE), ("operator", IDLE), ("analyst", IDLE)],
)  # fmt: skip
def test_a_session_ends_when_nobody_uses_it_and_at_the_latest_after_a_working_day(
    node: Node, role: str, idle: int
) -> None:
    secret = enter(node, owner(node, "li", role)).secret  # type: ignore[arg-type]
    assert who(node, secret, now=NOW + idle - 1) == "li"
    assert who(node, secret, now=NOW + idle) is None
    for used in range(NOW, NOW + LIFE, idle - 1):
        assert who(node, secret, now=used) == "li"
        with node.gateway.database.write() as session:
            note_seen(session, secret, now=used)
    assert who(node, secret, now=NOW + LIFE - 1) == "li"
    assert who(node, secret, now=NOW + LIFE) is None


def test_what_a_role_gives_is_gone_with_it_on_the_next_request(node: Node, wei: Owner) -> None:
    secret = enter(node, wei).secret
    with node.gateway.database.write() as session:
        set_roles(session, "wei", (), now=NOW)
    with node.gateway.database.read() as session:
        found = person_of(session, secret, now=NOW)
    assert found is not None
    assert not found.may("registry.read")


def test_sessions_that_are_over_are_cleared_away(node: Node, wei: Owner) -> None:
    enter(node, wei)
    person(node, "li", "approver")
    count = select(func.count()).select_from(tables.session)
    with node.gateway.database.write() as session:
        forget_past(session, now=NOW + IDLE)
        assert session.scalar(count) == 1
        forget_past(session, now=NOW + IDLE + 1)
        assert session.scalar(count) == 0

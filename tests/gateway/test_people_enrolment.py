"""Founding and enrolling: with a code, once, within a day, and by nobody who has none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from audit.form import PERSON_CHANGED
from gateway.errors import AccessDeniedError, PersonError, SignInError
from gateway.people import tables
from gateway.people.accounts import Account, newcomer
from gateway.people.enrolment import LIFE, Founder, change_password, draw_setup_code, enrol, forget_past, show_factor
from gateway.people.passwords import Passwords
from gateway.people.sessions import person_of
from gateway.people.sign_in import sign_in
from gateway.people.tries import FREE
from schemas.errors import SharingError
from tests.gateway.hands import entries
from tests.people import PASSWORD, owner, person, session_of
from tests.world import WUJIANG, Node, make_node

NOW = 1_795_000_000_000
WEI = newcomer("wei", "王卫", "staff-0042")


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    node.gateway.passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    yield node
    node.stop()


def shown(node: Node, code: str, *, now: int = NOW) -> tuple[str, str]:
    """The secret of a second factor that is shown for `code`, and what an authenticator makes of it."""
    secret = show_factor(node.gateway, code, account="wei", now=now).secret
    return secret, pyotp.TOTP(secret).at(now // 1000)


def found(node: Node, role: Founder = "security", *, code: str = "", now: int = NOW, **changes: object) -> Account:
    code = code or draw_setup_code(node.gateway, role, now=NOW)
    _, digits = shown(node, code, now=now)
    given: dict[str, object] = {"password": PASSWORD, "shown": digits, "founder": WEI} | changes
    return enrol(node.gateway, code, now=now, **given)  # type: ignore[arg-type]


def code_of(act: object, *arguments: object, **options: object) -> str:
    with pytest.raises(SharingError) as caught:
        act(*arguments, **options)  # type: ignore[operator]
    return caught.value.code


def test_a_founder_gets_the_role_of_the_code_and_signs_in(node: Node) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    secret, digits = shown(node, code)
    account = enrol(node.gateway, code, PASSWORD, digits, founder=WEI, now=NOW)
    assert (account.name, account.roles, account.person) == ("wei", {"security"}, "staff0042")
    code_after = pyotp.TOTP(secret).at(NOW // 1000 + 30)
    assert sign_in(node.gateway, "wei", PASSWORD, code_after, origin="terminal", now=NOW).account == "wei"
    changes = [entry["detail"] for entry in entries(node, PERSON_CHANGED)]
    assert [(one["change"], one.get("role")) for one in changes] == [
        ("setup-code", "security"),
        ("enrolled", "security"),
    ]
    assert "wei" not in json.dumps(changes).replace("person:", "")


def test_totp_replay_the_code_that_enrolled_signs_nobody_in(node: Node) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    _, digits = shown(node, code)
    enrol(node.gateway, code, PASSWORD, digits, founder=WEI, now=NOW)
    assert code_of(sign_in, node.gateway, "wei", PASSWORD, digits, origin="console", now=NOW) == "sign-in.refused"


def test_only_the_digest_of_a_code_is_kept_and_the_secret_is_sealed(node: Node) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    secret, _ = shown(node, code)
    with node.gateway.database.read() as session:
        (row,) = session.execute(select(tables.enrolment)).all()
    kept = repr(tuple(row))
    assert code not in kept
    assert code.replace("-", "") not in kept
    assert secret not in kept
    assert len(set(code.replace("-", ""))) > 5


@pytest.mark.parametrize(
    "spelling", [str.lower, lambda code: code.replace("-", " "), lambda code: code.replace("-", "")]
)
def test_a_code_may_be_typed_as_it_is_read_out(node: Node, spelling: object) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    assert found(node, code=spelling(code)).name == "wei"  # type: ignore[operator]


def test_a_code_is_good_once(node: Node) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    found(node, code=code)
    assert code_of(show_factor, node.gateway, code, now=NOW) == "enrolment.refused"
    assert code_of(enrol, node.gateway, code, PASSWORD, "123456", founder=WEI, now=NOW) == "enrolment.refused"


def test_of_two_who_use_one_code_at_once_one_finds_it_used(node: Node) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    _, digits = shown(node, code)

    def one(number: int) -> str:
        who = newcomer(f"one{number}", f"One {number}", f"staff{number}")
        try:
            return enrol(node.gateway, code, PASSWORD, digits, founder=who, now=NOW).name
        except SharingError as error:
            return error.code

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(one, range(4)))
    assert answers[:3] == ["enrolment.refused"] * 3
    assert answers[3].startswith("one")


def test_a_code_ends_after_a_day_and_is_cleared_away(node: Node) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    show_factor(node.gateway, code, now=NOW + LIFE - 1)
    assert code_of(show_factor, node.gateway, code, now=NOW + LIFE) == "enrolment.refused"
    with node.gateway.database.write() as session:
        forget_past(session, now=NOW + LIFE + 1)
        assert session.scalar(select(func.count()).select_from(tables.enrolment)) == 0


def test_a_code_drawn_anew_voids_the_one_before(node: Node) -> None:
    lost, new = (draw_setup_code(node.gateway, "approver", now=NOW) for _ in range(2))
    assert code_of(show_factor, node.gateway, lost, now=NOW) == "enrolment.refused"
    assert found(node, code=new).roles == {"approver"}


def test_no_setup_code_is_drawn_or_used_once_somebody_holds_the_role(node: Node) -> None:
    code = draw_setup_code(node.gateway, "approver", now=NOW)
    person(node, "li", "approver")
    assert code_of(draw_setup_code, node.gateway, "approver", now=NOW) == "person.role-held"
    assert code_of(found, node, code=code) == "person.role-held"
    assert found(node, "security").roles == {"security"}, "the other role is vacant"


@pytest.mark.parametrize("code", ["", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA", "x" * 1_000_000, "\0", "'; --"])
def test_what_is_no_code_is_refused(node: Node, code: str) -> None:
    draw_setup_code(node.gateway, "security", now=NOW)
    assert code_of(show_factor, node.gateway, code, now=NOW) == "enrolment.refused"


def test_two_accounts_of_same_person_are_refused_whatever_the_spelling_of_the_number(node: Node) -> None:
    found(node)
    other = newcomer("wei2", "Wang Wei", " STAFF 0042 ")
    assert code_of(found, node, "approver", founder=other) == "person.exists"
    assert code_of(found, node, "approver", founder=replace(WEI, person="staff0043")) == "person.exists"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "short"}, "password.too-short"),
        ({"password": "wei goes to sea"}, "password.guessable"),
        ({"password": "吴江区的一个小秘密在这里"}, "password.guessable"),
        ({"shown": "000000"}, "sign-in.refused"),
        ({"shown": ""}, "sign-in.refused"),
        ({"founder": None}, "person.malformed"),
    ],
)
def test_what_is_not_good_enough_leaves_the_code_good(node: Node, change: dict[str, object], code: str) -> None:
    drawn = draw_setup_code(node.gateway, "security", now=NOW)
    if code == "password.guessable" and "wei" in str(change["password"]):
        change = change | {"founder": replace(WEI, name="weidong"), "password": "weidong goes to sea"}
    assert code_of(found, node, code=drawn, **change) == code
    assert found(node, code=drawn).name == "wei"


def test_a_code_without_its_factor_shown_first_enrols_nobody(node: Node) -> None:
    code = draw_setup_code(node.gateway, "security", now=NOW)
    assert code_of(enrol, node.gateway, code, PASSWORD, "123456", founder=WEI, now=NOW) == "sign-in.sealed"


@pytest.mark.parametrize(
    ("name", "full_name", "staff"),
    [
        ("", "Wei", "42"), ("w", "Wei", "42"), ("Wei Dong", "Wei", "42"), ("王卫", "Wei", "42"), ("x" * 33, "Wei", "4"),
        ("wei\0", "Wei\0", "42"), ("wei", "", "42"), ("wei", "a\x07b", "42"), ("wei", "x" * 65, "4"), ("wei", "W", ""),
        ("wei", "Wei", "x" * 201), ("wei", "Wei", "4'2"), ("wei", "Wei", " - "),
    ],
)  # fmt: skip
def test_who_has_no_proper_name_or_number_gets_no_account(name: str, full_name: str, staff: str) -> None:
    with pytest.raises(PersonError) as caught:
        newcomer(name, full_name, staff)
    assert caught.value.code == "person.malformed"


def test_another_password_takes_the_old_one_and_a_fresh_second_factor_and_ends_all_sessions(node: Node) -> None:
    wei = owner(node, "wei", "security")
    who, secret = person(node, "wei"), session_of(node, person(node, "wei"))
    now = who.confirmed
    with pytest.raises(AccessDeniedError) as stale:
        change_password(node.gateway, replace(who, confirmed=0), PASSWORD, "another lantern 42", now=now)
    assert stale.value.code == "person.confirm-again"
    assert code_of(change_password, node.gateway, who, "wrong", "another lantern 42", now=now) == "sign-in.refused"
    assert code_of(change_password, node.gateway, who, PASSWORD, PASSWORD, now=now) == "password.same"
    assert code_of(change_password, node.gateway, who, PASSWORD, "short", now=now) == "password.too-short"
    change_password(node.gateway, who, PASSWORD, "another lantern 42", now=now)
    with node.gateway.database.read() as session:
        assert person_of(session, secret, now=now) is None
    with pytest.raises(SignInError):
        sign_in(node.gateway, "wei", PASSWORD, wei.code(now), origin="console", now=now)
    sign_in(node.gateway, "wei", "another lantern 42", wei.code(now), origin="console", now=now)


def test_whoever_has_got_hold_of_a_session_cannot_guess_the_password_with_it(node: Node) -> None:
    owner(node, "wei", "security")
    who = person(node, "wei")
    tries = [code_of(change_password, node.gateway, who, f"guess {i}", "another lantern 42", now=who.confirmed)
             for i in range(FREE + 1)]  # fmt: skip
    assert tries == ["sign-in.refused"] * FREE + ["sign-in.wait"]


def test_a_password_that_is_typed_in_many_small_pieces_signs_in(node: Node) -> None:
    """Each accent by itself is a character more: longer as it is sent than as it is kept."""
    password = "e\u0301a\u0308o\u0302" * 32
    code = draw_setup_code(node.gateway, "security", now=NOW)
    secret, digits = shown(node, code)
    assert len(password) > 128
    enrol(node.gateway, code, "río mar " + password[:180], digits, founder=WEI, now=NOW)
    after = pyotp.TOTP(secret).at(NOW // 1000 + 30)
    assert sign_in(node.gateway, "wei", "río mar " + password[:180], after, origin="console", now=NOW).account == "wei"

"""Who is let in, and as what: two persons, kept apart by the code and by the database, and one to keep somebody out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from threading import Barrier

import pyotp
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from audit.form import APPROVED, PERSON_CHANGED, PROPOSED, REJECTED
from gateway import approvals
from gateway.approvals import KINDS
from gateway.errors import AccessDeniedError, PersonError
from gateway.people import changes, tables
from gateway.people.accounts import Account, add_account, find_account, grant_role, known_account, newcomer
from gateway.people.enrolment import draw_code, enrol, show_factor
from gateway.people.person import Person
from gateway.people.roles import CONFLICTS, ROLES, Role
from gateway.people.sessions import person_of
from gateway.people.sign_in import sign_in
from gateway.proposals import Proposal, find_proposal
from schemas.errors import SharingError
from schemas.times import now_millis
from tests.gateway.hands import entries
from tests.people import PASSWORD, owner, person, session_of
from tests.world import WUJIANG, Node, make_node

DAY = 24 * 3_600_000


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    for name, role in (("an", "security"), ("li", "approver")):
        owner(node, name, role)  # type: ignore[arg-type]
    yield node
    node.stop()


def an(node: Node) -> Person:
    return person(node, "an")


def li(node: Node) -> Person:
    return person(node, "li")


def propose(node: Node, name: str, *roles: str, staff: str = "", **options: object) -> Proposal:
    who = newcomer(name, name.title(), staff or f"staff:{name}")
    return changes.propose_person(node.gateway, who, roles, by=an(node), now=now_millis(), **options)  # type: ignore[arg-type]


def approve(node: Node, proposal: Proposal, *, by: Person | None = None) -> Proposal:
    return approvals.approve(
        node.gateway, proposal.id, by=by or li(node), digest=proposal.digest, now=now_millis()
    )  # fmt: skip


def let_in(node: Node, name: str, *roles: str) -> str:
    """An account with these roles, proposed and approved; the id of its proposal."""
    return approve(node, propose(node, name, *roles)).id


def account(node: Node, name: str) -> Account:
    with node.gateway.database.read() as session:
        return known_account(session, name, now=now_millis())


def code_of(act: Callable[..., object], *arguments: object, **options: object) -> str:
    with pytest.raises(SharingError) as caught:
        act(*arguments, **options)
    return caught.value.code


def test_a_person_is_let_in_by_two_and_comes_in_with_a_code(node: Node) -> None:
    proposal = propose(node, "zhao", "operator", reason="night shift")
    assert code_of(account, node, "zhao") == "person.unknown"
    approve(node, proposal)
    assert (account(node, "zhao").roles, account(node, "zhao").enrolled) == ({"operator"}, False)
    code, now = changes.draw_enrolment_code(node.gateway, proposal.id, by=an(node), now=now_millis()), now_millis()
    totp = pyotp.TOTP(show_factor(node.gateway, code, now=now).secret)
    enrol(node.gateway, code, PASSWORD, totp.at(now // 1000), now=now)
    assert account(node, "zhao").enrolled
    sign_in(node.gateway, "zhao", PASSWORD, totp.at(now // 1000 + 30), origin="console", now=now)
    assert code_of(changes.draw_enrolment_code, node.gateway, proposal.id, by=an(node), now=now) == "person.state"


def test_admin_denies_an_approval_both_persons_and_what_they_saw_are_in_the_log_and_nobodys_name(node: Node) -> None:
    proposal = propose(node, "zhao", "operator")
    approve(node, proposal)
    (proposed,), (approved,) = entries(node, PROPOSED), entries(node, APPROVED)
    assert proposed["detail"]["digest"] == approved["detail"]["digest"] == proposal.digest
    assert proposed["actor"] != approved["actor"]
    assert approved["at"]
    (added,) = entries(node, PERSON_CHANGED)
    assert added["detail"]["person"] == proposed["detail"]["subject"], "an auditor sees that it is about one person"
    assert added["actor"] == approved["actor"]
    written = json.dumps([proposed, approved, added])
    assert "zhao" not in written.lower()


@pytest.mark.parametrize("role", ROLES)
def test_only_who_administers_security_proposes_people_and_only_an_approver_approves(node: Node, role: Role) -> None:
    other = person(node, "qian", role) if role != "visitor" else visiting(node)
    who = newcomer("zhao", "Zhao", "7")
    permitted = role == "security"
    act = lambda: changes.propose_person(node.gateway, who, ["operator"], by=other, now=now_millis())  # noqa: E731
    if permitted:
        assert act().proposer == "qian"
    else:
        assert code_of(act) == "person.not-permitted"
    proposal = propose(node, "sun", "operator")
    if role == "approver":
        assert approve(node, proposal, by=other).decider == "qian"
    else:
        assert code_of(approve, node, proposal, by=other) == "person.not-permitted"


def visiting(node: Node) -> Person:
    now = now_millis()
    with node.gateway.database.write() as session:
        add_account(session, "guest", "Guest", "guest", now=now)
        grant_role(session, "guest", "visitor", now=now, until=now + DAY)
        found = find_account(session, "guest", now=now)
    assert found is not None
    return Person("guest", "Guest", found.roles, now)


@pytest.mark.parametrize(
    ("roles", "options", "code"),
    [
        (["system", "security"], {}, "person.roles-apart"),
        (["audit", "operator"], {}, "person.roles-apart"),
        (["visitor", "analyst"], {"until": DAY}, "person.roles-apart"),
        (["visitor"], {}, "person.malformed"),
        (["operator"], {"until": DAY}, "person.malformed"),
        (["visitor"], {"until": 91 * DAY}, "person.malformed"),
        (["visitor"], {"until": -1}, "person.malformed"),
        (["root"], {}, "person.malformed"),
    ],
)
def test_roles_that_are_kept_apart_or_make_no_sense_are_not_even_proposed(
    node: Node, roles: list[str], options: dict[str, int], code: str
) -> None:
    until = {name: now_millis() + value for name, value in options.items()}
    assert code_of(propose, node, "zhao", *roles, **until) == code


def test_a_visit_ends_by_itself(node: Node) -> None:
    now = now_millis()
    approve(node, propose(node, "guest", "visitor", until=now + DAY))
    with node.gateway.database.read() as session:
        assert known_account(session, "guest", now=now + DAY - 1).roles == {"visitor"}
        assert known_account(session, "guest", now=now + DAY).roles == frozenset()


def test_two_accounts_of_one_person_are_neither_proposed_nor_approved(node: Node) -> None:
    second = propose(node, "zhao2", "approver", staff="S-1")
    approve(node, propose(node, "zhao", "operator", staff="s1"))
    assert code_of(approve, node, second) == "person.exists"
    assert code_of(propose, node, "zhao3", "approver", staff="ｓ１") == "person.exists"
    assert code_of(propose, node, "zhao", "approver", staff="another") == "person.exists"


def test_nobody_changes_their_own_roles_in_either_part(node: Node) -> None:
    assert code_of(change_roles, node, "an", "security", "approver") == "person.own-roles"
    let_in(node, "bo", "security", "operator")
    proposal = changes.propose_roles(node.gateway, "li", ["approver", "operator"], by=an(node), now=now_millis())
    assert code_of(approve, node, proposal) == "person.own-roles"
    assert account(node, "li").roles == {"approver"}


def change_roles(node: Node, name: str, *roles: str) -> Proposal:
    return changes.propose_roles(node.gateway, name, roles, by=an(node), now=now_millis())


def test_other_roles_take_the_place_of_those_there_were_and_end_all_sessions(node: Node) -> None:
    let_in(node, "zhao", "operator")
    secret = session_of(node, person(node, "zhao"))
    approve(node, change_roles(node, "zhao", "audit"))
    assert account(node, "zhao").roles == {"audit"}
    with node.gateway.database.read() as session:
        assert person_of(session, secret, now=now_millis()) is None


def test_roles_that_changed_since_they_were_shown_are_not_changed_by_that_approval(node: Node) -> None:
    let_in(node, "zhao", "operator")
    first, second = change_roles(node, "zhao", "audit"), change_roles(node, "zhao", "analyst")
    approve(node, first)
    assert code_of(approve, node, second) == "person.moved"


def test_disabling_takes_one_person_at_once_and_ends_all_sessions(node: Node) -> None:
    let_in(node, "zhao", "operator")
    zhao = owner(node, "zhao")
    secrets = [session_of(node, person(node, "zhao"), origin) for origin in ("console", "terminal")]  # type: ignore[arg-type]
    with node.gateway.database.write() as session:
        drawn = draw_code(session, "zhao", now=now_millis())
    left = changes.disable(node.gateway, "zhao", by=an(node), now=now_millis())
    assert not left.active
    assert code_of(show_factor, node.gateway, drawn, now=now_millis()) == "enrolment.refused"
    with node.gateway.database.read() as session:
        assert [person_of(session, secret, now=now_millis()) for secret in secrets] == [None, None]
    now = now_millis()
    assert code_of(
        sign_in, node.gateway, "zhao", zhao.password, zhao.code(now), origin="console", now=now
    ) == "sign-in.refused"  # fmt: skip
    assert code_of(changes.disable, node.gateway, "zhao", by=an(node), now=now) == "person.state"
    assert code_of(changes.disable, node.gateway, "nobody", by=an(node), now=now) == "person.unknown"
    assert code_of(changes.disable, node.gateway, "zhao", by=li(node), now=now) == "person.not-permitted"


def test_what_somebody_proposed_who_is_no_longer_let_in_is_never_done(node: Node) -> None:
    let_in(node, "bo", "security")
    who, bo = newcomer("sun", "Sun", "8"), owner(node, "bo")
    theirs = changes.propose_person(
        node.gateway, who, ["approver"], by=person(node, bo.name), now=now_millis()
    )  # fmt: skip
    others = propose(node, "qian", "operator")
    changes.disable(node.gateway, "bo", by=an(node), now=now_millis())
    assert code_of(approve, node, theirs) == "proposal.decided"
    (rejected,) = entries(node, REJECTED)
    assert rejected["detail"]["proposal"] == theirs.id
    assert approve(node, others).state == "approved"


def test_nobody_proposes_their_own_recovery_and_is_then_shut_out(node: Node) -> None:
    assert code_of(changes.propose_recovery, node.gateway, "an", by=an(node), now=now_millis()) == (
        "person.own-recovery"
    )  # fmt: skip


def test_who_was_disabled_comes_back_by_two(node: Node) -> None:
    let_in(node, "zhao", "operator")
    assert code_of(propose_return, node, "zhao") == "person.state"
    before = session_of(node, person(node, "zhao"))
    changes.disable(node.gateway, "zhao", by=an(node), now=now_millis())
    proposal = propose_return(node, "zhao")
    assert not account(node, "zhao").active
    approve(node, proposal)
    assert account(node, "zhao").active
    with node.gateway.database.read() as session:
        assert person_of(session, before, now=now_millis()) is None, "no session comes back with the account"


def propose_return(node: Node, name: str) -> Proposal:
    return changes.propose_return(node.gateway, name, by=an(node), now=now_millis())


def test_a_recovery_voids_what_the_owner_signed_in_with_and_gives_a_code(node: Node) -> None:
    let_in(node, "zhao", "operator")
    zhao = owner(node, "zhao")
    proposal = changes.propose_recovery(node.gateway, "zhao", by=an(node), now=now_millis())
    now = now_millis()
    secret = sign_in(node.gateway, "zhao", zhao.password, zhao.code(now), origin="console", now=now).secret
    approve(node, proposal)
    with node.gateway.database.read() as session:
        assert person_of(session, secret, now=now) is None
    assert code_of(
        sign_in, node.gateway, "zhao", zhao.password, zhao.code(now + 30_000), origin="console", now=now
    ) == "sign-in.refused"  # fmt: skip
    code = changes.draw_enrolment_code(node.gateway, proposal.id, by=an(node), now=now)
    totp = pyotp.TOTP(show_factor(node.gateway, code, now=now).secret)
    enrol(node.gateway, code, "another lantern 42", totp.at(now // 1000), now=now)
    assert account(node, "zhao").enrolled


def test_a_code_is_drawn_by_who_proposed_once_it_is_approved_and_for_the_last_approval_alone(node: Node) -> None:
    proposal, now = propose(node, "zhao", "operator"), now_millis()
    draw = changes.draw_enrolment_code
    assert code_of(draw, node.gateway, proposal.id, by=an(node), now=now) == "person.state"
    approve(node, proposal)
    let_in(node, "bo", "security")
    assert code_of(draw, node.gateway, proposal.id, by=person(node, "bo"), now=now) == "person.not-proposer"
    assert code_of(draw, node.gateway, proposal.id, by=li(node), now=now) == "person.not-permitted"
    lost = draw(node.gateway, proposal.id, by=an(node), now=now)
    draw(node.gateway, proposal.id, by=an(node), now=now)
    assert code_of(show_factor, node.gateway, lost, now=now) == "enrolment.refused"
    owner(node, "zhao")
    recovery = changes.propose_recovery(node.gateway, "zhao", by=person(node, "bo"), now=now_millis())
    approve(node, recovery)
    assert code_of(draw, node.gateway, proposal.id, by=an(node), now=now) == "person.state", "that was long ago"
    assert draw(node.gateway, recovery.id, by=person(node, "bo"), now=now)


@pytest.mark.parametrize(("name", "role"), [("an", "security"), ("li", "approver")])
def test_the_last_who_approves_or_administers_security_is_not_removed(node: Node, name: str, role: str) -> None:
    let_in(node, "bo", "security")
    bo = person(node, "bo")
    if role == "security":
        with node.gateway.database.write() as session:
            session.execute(tables.account.update().where(tables.account.c.name == "bo").values(password=""))
    now = now_millis()
    assert code_of(changes.disable, node.gateway, name, by=bo, now=now) == "person.last"
    assert code_of(changes.propose_roles, node.gateway, name, ["operator"], by=bo, now=now) == "person.last"
    let_in(node, "second", role)
    assert code_of(changes.disable, node.gateway, name, by=bo, now=now) == "person.last", (
        "who never came does not count"
    )
    owner(node, "second")
    assert not changes.disable(node.gateway, name, by=bo, now=now).active


def test_of_the_last_two_who_are_removed_at_once_one_stays(node: Node) -> None:
    let_in(node, "ma", "approver")
    owner(node, "ma")
    begin = Barrier(2)

    def remove(name: str) -> str:
        begin.wait(10)
        try:
            return changes.disable(node.gateway, name, by=an(node), now=now_millis()).name
        except PersonError as error:
            return error.code

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(remove, ("li", "ma")))
    assert answers.count("person.last") == 1


@pytest.mark.parametrize("kind", [kind.name for kind in changes.PEOPLE_KINDS])
def test_every_change_says_in_words_what_it_does(node: Node, kind: str) -> None:
    let_in(node, "zhao", "operator")
    if kind == "person":
        proposal = propose(node, "sun", "visitor", until=now_millis() + DAY)
    elif kind == "roles":
        proposal = change_roles(node, "zhao", "analyst")
    elif kind == "recovery":
        proposal = changes.propose_recovery(node.gateway, "zhao", by=an(node), now=now_millis())
    else:
        changes.disable(node.gateway, "zhao", by=an(node), now=now_millis())
        proposal = propose_return(node, "zhao")
    says = KINDS[kind].says(proposal)
    assert proposal.content["account"] in says
    if kind in ("person", "roles", "person-return"):
        assert {"person": "visiting auditor, until ", "roles": "分析员 analyst", "person-return": "operator"}[
            kind
        ] in says


def test_anybody_ends_their_own_sessions_and_who_keeps_people_out_everybodys(node: Node) -> None:
    let_in(node, "zhao", "operator")
    zhao = person(node, "zhao")
    for _ in range(2):
        session_of(node, zhao)
    end = changes.end_sessions_of
    assert code_of(end, node.gateway, "an", by=zhao, now=now_millis()) == "person.not-permitted"
    assert end(node.gateway, "zhao", by=an(node), now=now_millis()) == 2
    session_of(node, zhao)
    assert end(node.gateway, "zhao", by=zhao, now=now_millis()) == 1


# What the database itself refuses, whoever writes to it with the program's own connection.


def grant(node: Node, name: str, role: str, until: int | None = None) -> None:
    with node.gateway.database.write() as session:
        session.execute(
            tables.role_grant.insert().values(account=name, role=role, until=until, granted=now_millis())
        )  # fmt: skip


def held(node: Node, name: str) -> set[str]:
    with node.gateway.database.read() as session:
        return set(session.scalars(select(tables.role_grant.c.role).where(tables.role_grant.c.account == name)))


@pytest.mark.parametrize(("first", "second"), list(permutations(ROLES, 2)))
def test_the_database_refuses_roles_that_nobody_may_hold_together_and_no_others(
    node: Node, first: Role, second: Role
) -> None:
    until = {"visitor": now_millis()}
    grant(node, "zhao", first, until.get(first))
    if frozenset((first, second)) in CONFLICTS:
        with pytest.raises(DBAPIError, match="kept apart"):
            grant(node, "zhao", second, until.get(second))
        assert held(node, "zhao") == {first}
        grant(node, "bo", second, until.get(second))
        with pytest.raises(DBAPIError, match="kept apart"), node.gateway.database.write() as session:
            session.execute(text("UPDATE role_grant SET account = 'zhao' WHERE account = 'bo'"))
    else:
        grant(node, "zhao", second, until.get(second))
        assert held(node, "zhao") == {first, second}


def test_the_database_refuses_a_role_that_becomes_another_beside_one_it_is_kept_apart_from(node: Node) -> None:
    grant(node, "zhao", "audit")
    grant(node, "zhao", "analyst")
    with pytest.raises(DBAPIError, match="kept apart"), node.gateway.database.write() as session:
        session.execute(text("UPDATE role_grant SET role = 'security' WHERE role = 'analyst'"))
    with node.gateway.database.write() as session:
        session.execute(text("UPDATE role_grant SET role = 'security' WHERE account = 'zhao' AND role = 'audit'"))
    assert held(node, "zhao") == {"security", "analyst"}


def test_two_transactions_that_grant_at_once_do_not_give_what_neither_may(node: Node) -> None:
    if node.gateway.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    database = node.gateway.database
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
    with ThreadPoolExecutor(1) as thread:
        with database.write() as session:
            session.execute(tables.role_grant.insert().values(account="zhao", role="audit", granted=1))
            second = thread.submit(grant, node, "zhao", "security")
            for _ in range(1_000):
                with database.read() as other:
                    if other.scalar(waiting):
                        break
        with pytest.raises(DBAPIError, match="kept apart"):
            second.result(20)
    assert held(node, "zhao") == {"audit"}


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"role": "visitor", "until": None}, "visit_ends"),
        ({"role": "root", "until": None}, "ck_role_grant_role"),
    ],
)
def test_the_database_refuses_a_visit_without_an_end_and_a_role_that_is_none(
    node: Node, values: dict[str, object], match: str
) -> None:
    with pytest.raises(IntegrityError, match=match):
        grant(node, "zhao", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "staff"), [("zhao2", "staff0042"), ("zhao", "another"), ("zhao3", "STAFF0042"), ("ZHAO", "another")]
)
def test_the_database_refuses_two_accounts_of_same_person_or_name_in_any_spelling(
    node: Node, name: str, staff: str
) -> None:
    with node.gateway.database.write() as session:
        add_account(session, "zhao", "Zhao", "staff0042", now=1)
    with pytest.raises(IntegrityError), node.gateway.database.write() as session:
        add_account(session, name, "Zhao again", staff, now=1)


def test_one_admin_registers_a_rogue_partner_the_database_refuses_the_proposers_own_approval(node: Node) -> None:
    proposal = propose(node, "zhao", "operator")
    both = Person("an", "An", frozenset({"security", "approver"}), now_millis())
    with pytest.raises((AccessDeniedError, SharingError)) as caught:
        approve(node, proposal, by=both)
    assert caught.value.code == "proposal.own"  # type: ignore[union-attr]
    with pytest.raises(DBAPIError, match="two_persons"), node.gateway.database.write() as session:
        session.execute(
            text("UPDATE proposal SET state = 'approved', decider = 'AN', decided_at = 1 WHERE id = :id"),
            {"id": proposal.id},
        )
    with node.gateway.database.read() as session:
        assert find_proposal(session, proposal.id).state == "proposed"

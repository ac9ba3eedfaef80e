"""Clients: two persons register one and give it more keys, one person takes it away, and what they are at a moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from prometheus_client.exposition import generate_latest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from audit.form import APPROVED, CLIENT_CHANGED, CLIENT_REGISTERED, PROPOSED
from gateway import approvals
from gateway.clients import EndWatch, propose_client, propose_keys, revoke_client
from gateway.errors import AccessDeniedError, ProposalError
from gateway.metrics import collect
from gateway.people.person import Person, actor_of
from gateway.proposals import Proposal
from partners.directory import change_state, find_party, refresh_party
from partners.document import make_document, open_document
from partners.errors import RegistrationError
from partners.oauth.clients import Client
from partners.oauth.keys import choose_key
from partners.oauth.registered import ClientKey, read_client_keys
from partners.oauth.store import add_client, add_keys, load_client
from partners.tables import client as client_table
from partners.tables import client_key
from partners.tables import party as party_table
from schemas.errors import SharingError, SignatureError
from schemas.times import DAY, now_millis
from tests.gateway.callers import caller, code_of, listening
from tests.gateway.certificates import Authority
from tests.gateway.hands import entries
from tests.partners.oauth_world import jwks_of, key_of
from tests.people import person, two_people
from tests.world import JIASHAN, WUJIANG, Node, introduce, make_node

KEY = key_of("ES256", "station")


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    node = make_node(tmp_path, WUJIANG, database_url)
    yield node
    node.stop()


@pytest.fixture
def jiashan(tmp_path: Path, node: Node) -> Iterator[Node]:
    other = make_node(tmp_path, JIASHAN)
    introduce(node, other)
    yield other
    other.stop()


def record(**changes: Any) -> Client:
    members = {
        "client_id": "pingwang", "party": WUJIANG, "kind": "station", "scopes": frozenset({"records:submit"}),
        "jwks": "",
    }  # fmt: skip
    return Client(**{**members, **changes})


def keys_of(*keys: Any, begins: int = 0, ends: int | None = None) -> list[ClientKey]:
    return read_client_keys(jwks_of(*keys), begins=begins, ends=ends)


def propose(node: Node, by: Person | None = None, keys: list[ClientKey] | None = None, **changes: Any) -> Proposal:
    proposer, _ = two_people(node)
    brought = keys_of(KEY) if keys is None else keys
    return propose_client(node.gateway, record(**changes), brought, by=by or proposer, now=now_millis())


def approve(node: Node, proposal: Proposal, by: Person | None = None) -> None:
    _, approver = two_people(node)
    approvals.approve(node.gateway, proposal.id, by=by or approver, digest=proposal.digest, now=now_millis())


def loaded(node: Node, client_id: str = "pingwang", now: int | None = None) -> Client | None:
    with node.gateway.database.read() as session:
        return load_client(session, client_id, now=now)


def test_a_client_is_there_once_a_second_person_approved_it_and_both_are_in_the_log(node: Node) -> None:
    proposal = propose(node)
    assert loaded(node) is None
    approve(node, proposal)
    found = loaded(node)
    assert found is not None
    assert (found.kind, found.scopes, list(found.keys)) == ("station", {"records:submit"}, [KEY.kid])
    assert [len(entries(node, t)) for t in (PROPOSED, CLIENT_REGISTERED, APPROVED)] == [1, 1, 1]
    assert entries(node, CLIENT_REGISTERED)[0]["detail"]["keys"] == [KEY.kid]


def test_one_admin_registers_a_rogue_client(node: Node) -> None:
    proposer, _ = two_people(node)
    both = person(node, "chen", "approver", "analyst")
    proposal = propose(node)
    with pytest.raises(AccessDeniedError) as denied:
        approve(node, proposal, by=proposer)
    assert denied.value.code == "person.not-permitted"
    with pytest.raises(AccessDeniedError):
        propose(node, by=both, client_id="other")
    assert loaded(node) is None


def test_what_nobody_could_approve_is_not_proposed(node: Node) -> None:
    approve(node, propose(node))
    for changes, code in [
        ({}, "client.exists"),
        ({"client_id": "a b"}, "client.malformed"),
        ({"client_id": "new", "scopes": frozenset({"everything"})}, "client.malformed"),
        ({"client_id": "new", "keys": []}, "client.keyless"),
        ({"client_id": "new", "binding": "mtls"}, "client.binding"),
    ]:
        before = len(entries(node))
        with pytest.raises((RegistrationError, ProposalError)) as caught:
            propose(node, **changes)
        assert (caught.value.code, len(entries(node))) == (code, before)


UNBOUND = {"binding": "none", "unbound_by": "wei"}


@pytest.mark.parametrize("scopes", [{"records:submit"}, {"records:read", "feeds:read"}])
def test_a_client_of_the_home_party_may_be_marked_as_bound_to_nothing(node: Node, scopes: set[str]) -> None:
    approve(node, propose(node, scopes=frozenset(scopes), **UNBOUND))
    found = loaded(node)
    assert found is not None
    assert (found.binding, found.unbound_by) == ("none", "wei")


@pytest.mark.parametrize(
    ("changes"),
    [
        pytest.param({"party": JIASHAN}, id="another party's"),
        pytest.param({"party": "waterworks"}, id="nobody's"),
        pytest.param({"scopes": frozenset({"feeds:push"})}, id="a scope beyond reading and handing in"),
        pytest.param({"scopes": frozenset({"records:read", "audit:read"})}, id="one of two scopes beyond"),
    ],
)
def test_nobody_else_gets_tokens_that_are_bound_to_nothing(node: Node, changes: dict[str, Any]) -> None:
    with pytest.raises(RegistrationError) as caught:
        propose(node, **UNBOUND, **changes)
    assert caught.value.code == "client.binding"


@pytest.mark.parametrize(
    "changes",
    [
        {"binding": "none", "unbound_by": None},
        {"binding": "dpop", "unbound_by": "wei"},
        {"binding": "none", "unbound_by": "wei", "scope": "records:submit feeds:push"},
        {"binding": "none", "unbound_by": "wei", "scope": "audit:read"},
        {"binding": "dpop", "subject": "CN=x"},
        {"binding": "bearer"},
    ],
)
def test_the_database_keeps_the_rules_of_bindings_too(node: Node, changes: dict[str, Any]) -> None:
    row = {
        "client_id": "x", "party": WUJIANG, "kind": "reader", "scope": "records:read", "state": "active", "created": 0,
    }  # fmt: skip
    with pytest.raises(IntegrityError), node.gateway.database.write() as session:
        session.execute(insert(client_table).values({**row, **changes}))


def test_an_unbound_client_that_turns_out_to_be_a_partners_is_none(node: Node, jiashan: Node) -> None:
    approve(node, propose(node, **UNBOUND))
    with node.gateway.database.write() as session:
        session.execute(update(client_table).where(client_table.c.client_id == "pingwang").values(party=JIASHAN))
    found = loaded(node)
    assert found is not None
    assert found.state == "ended"


def test_a_key_outside_its_time_is_not_taken(node: Node) -> None:
    now = now_millis()
    following = key_of("Ed25519", "station next")
    keys = [*keys_of(KEY, ends=now + DAY), *keys_of(following, begins=now + DAY // 2)]
    with node.gateway.database.write() as session:
        add_client(session, record(), now, keys)
    for at, kids in [
        (now, {KEY.kid}),
        (now + DAY // 2, {KEY.kid, following.kid}),
        (now + DAY - 1, {KEY.kid, following.kid}),
        (now + DAY, {following.kid}),
    ]:
        found = loaded(node, now=at)
        assert found is not None
        assert set(found.keys) == kids
    with pytest.raises(SignatureError):
        choose_key(found.keys, KEY.kid)


def test_more_keys_take_two_persons_and_the_old_one_is_ended_by_one(node: Node) -> None:
    approve(node, propose(node))
    proposer, _ = two_people(node)
    following = key_of("Ed25519", "station next")
    now = now_millis()
    proposal = propose_keys(node.gateway, "pingwang", keys_of(following, begins=now), by=proposer, now=now)
    assert list(loaded(node).keys) == [KEY.kid]  # type: ignore[union-attr]
    approve(node, proposal)
    assert set(loaded(node).keys) == {KEY.kid, following.kid}  # type: ignore[union-attr]
    operator = person(node, "zhou", "operator")
    revoke_client(node.gateway, "pingwang", by=operator, kid=KEY.kid, now=now_millis())
    assert list(loaded(node).keys) == [following.kid]  # type: ignore[union-attr]
    added, ended = entries(node, CLIENT_CHANGED)
    assert added["detail"] == {"client": "pingwang", "keys-added": [following.kid]}
    assert ended["detail"] == {"client": "pingwang", "key-ended": KEY.kid}
    assert ended["actor"] == actor_of(node.gateway.home, "zhou")


@pytest.mark.parametrize(
    ("client_id", "keys", "code"),
    [
        ("nobody", ("new",), "client.unknown"),
        ("pingwang", ("station",), "client.key-exists"),
        ("pingwang", tuple(f"k{number}" for number in range(8)), "client.keys-full"),
    ],
)
def test_keys_that_cannot_be_added_are_not_proposed(
    node: Node, client_id: str, keys: tuple[str, ...], code: str
) -> None:
    approve(node, propose(node))
    proposer, _ = two_people(node)
    brought = keys_of(*(key_of("ES256", name) for name in keys))
    with pytest.raises(RegistrationError) as caught:
        propose_keys(node.gateway, client_id, brought, by=proposer, now=now_millis())
    assert caught.value.code == code


def test_a_revoked_client_is_refused_on_the_next_request_and_stays_ended(node: Node) -> None:
    operator = person(node, "zhou", "operator")
    with listening(node) as http:
        reader = caller(http, node, WUJIANG, "feeds:read")
        assert reader.get("/v1/feeds").status_code == 200
        revoke_client(node.gateway, reader.client_id, by=operator, now=now_millis())
        assert code_of(reader.get("/v1/feeds"), 403) == "client.ended"
    for client_id, kid, code in [
        (reader.client_id, None, "client.ended"),
        ("nobody", None, "client.unknown"),
        (reader.client_id, "x", "client.key-unknown"),
    ]:
        with pytest.raises(RegistrationError) as caught:
            revoke_client(node.gateway, client_id, by=operator, kid=kid, now=now_millis())
        assert caught.value.code == code


def test_who_may_not_revoke_changes_nothing(node: Node) -> None:
    approve(node, propose(node))
    with pytest.raises(AccessDeniedError):
        revoke_client(node.gateway, "pingwang", by=person(node, "qian", "analyst"), now=now_millis())
    assert loaded(node).state == "active"  # type: ignore[union-attr]


def test_a_client_is_what_its_party_is(node: Node, jiashan: Node) -> None:
    gateway_id = f"{JIASHAN}-gateway"
    for state, expected in [("active", (False, "active")), ("suspended", (True, "active"))]:
        with node.gateway.database.write() as session:
            change_state(session, JIASHAN, state)  # type: ignore[arg-type]
        found = loaded(node, gateway_id)
        assert found is not None
        assert (found.party_suspended, found.state) == expected


def test_a_partner_gateways_keys_are_those_of_the_document_in_force(node: Node, jiashan: Node) -> None:
    gateway_id = f"{JIASHAN}-gateway"
    with node.gateway.database.read() as session:
        party = find_party(session, JIASHAN)
        assert party is not None
        assert session.execute(client_key.select().where(client_key.c.client_id == gateway_id)).all() == []
    found = loaded(node, gateway_id)
    assert found is not None
    assert json.loads(found.jwks) == party.document.keys.oauth
    following = key_of("ES256", "jiashan next")
    token = rotated(jiashan, json.loads(jwks_of(following)))
    with node.gateway.database.write() as session:
        assert refresh_party(session, token, now=now_millis())
    found = loaded(node, gateway_id)
    assert found is not None
    assert list(found.keys) == [following.kid]
    with node.gateway.database.write() as session, pytest.raises(RegistrationError) as caught:
        add_keys(session, gateway_id, keys_of(KEY), now_millis())
    assert caught.value.code == "client.keys-of-document"


def rotated(node: Node, jwks: dict[str, object]) -> str:
    """The node's next party document, with other oauth keys."""
    document = open_document(node.document)
    keys = msgspec.structs.replace(document.keys, oauth=jwks)
    identity = node.gateway.keys.identity
    assert identity is not None
    return make_document(identity, msgspec.structs.replace(document, keys=keys, serial=document.serial + 1))


def test_clients_of_a_party_that_is_none_any_more_have_ended(node: Node, jiashan: Node) -> None:
    gateway_id = f"{JIASHAN}-gateway"
    with node.gateway.database.write() as session:
        if session.dialect.name == "sqlite":
            session.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        else:
            session.exec_driver_sql("ALTER TABLE party DROP CONSTRAINT ck_party_state")
        session.execute(update(party_table).values(state="ended"))
    found = loaded(node, gateway_id)
    assert found is not None
    assert found.state == "ended"


def pem(private: Any = None, *, public: bool = True) -> str:
    private = private or ec.generate_private_key(ec.SECP256R1())
    if public:
        return str(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    return str(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def test_keys_come_as_pem_too_and_a_certificate_is_a_thumbprint_and_a_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Clients")
    certified = authority.issue("mine", ends=5)
    now = now_millis()
    found = read_client_keys(pem() + certified.pem + authority.pem, begins=now)
    assert [one.is_certificate for one in found] == [False, True, False]
    plain, certificate, its_key = found
    assert certificate.kid == certified.thumbprint
    assert certificate.ends == its_key.ends == int(certified.certificate.not_valid_after_utc.timestamp() * 1000)
    assert plain.ends is None
    (_, sooner, _) = read_client_keys(pem() + certified.pem, begins=now, ends=now + DAY)
    assert sooner.ends == now + DAY


P384 = ec.generate_private_key(ec.SECP384R1())
TEXTS = {
    "nothing": ("", "key.refused"),
    "no PEM": ("ssh-ed25519 AAAA", "key.refused"),
    "a private key": (pem(public=False), "key.private"),
    "a key of another kind": (pem(P384), "key.refused"),
    "something else in PEM": ("-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----", "key.refused"),
    "a certificate that is none": ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "key.refused"),
    "a key twice": (2 * pem(ec.derive_private_key(7, ec.SECP256R1())), "key.refused"),
    "too much": ("x" * 20_000, "key.refused"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_key_is_refused(name: str) -> None:
    text, code = TEXTS[name]
    with pytest.raises(SharingError) as caught:
        read_client_keys(text, begins=0)
    assert caught.value.code == code


def test_a_certificate_that_has_ended_is_refused_and_so_is_an_authority_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Clients")
    for text in (authority.issue("mine", begins=-3, ends=-1).pem, authority.pem):
        with pytest.raises(SignatureError) as caught:
            read_client_keys(text, begins=now_millis())
        assert caught.value.code == "key.refused"


def test_the_end_of_a_last_key_is_told_at_thirty_and_seven_days_in_log_and_metrics(node: Node) -> None:
    now = now_millis()
    days = {"today": 0, "week": 6, "month": 29, "later": 31}
    with node.gateway.database.write() as session:
        for name, left in days.items():
            key = keys_of(key_of("ES256", name), ends=now + left * DAY + DAY // 2)
            add_client(session, record(client_id=name), now, key)
        add_client(session, record(client_id="for-ever"), now, keys_of(key_of("ES256", "for ever")))
        two = [*keys_of(key_of("ES256", "a"), ends=now + DAY), *keys_of(key_of("ES256", "b"))]
        add_client(session, record(client_id="followed"), now, two)
    watch = EndWatch()
    with structlog.testing.capture_logs() as said:
        watch.look(node.gateway, now)
        watch.look(node.gateway, now)
    told = {one["client"]: (one["log_level"], one["days"]) for one in said}
    assert told == {"today": ("error", 0), "week": ("error", 6), "month": ("warning", 29)}
    assert len(said) == 3, "once a day"
    with structlog.testing.capture_logs() as said:
        watch.look(node.gateway, now + 2 * DAY)
    assert len(said) == 4
    figures = generate_latest(collect(node.gateway)).decode()
    assert 'taipu_client_key_expiry_days{client="month",what="key"} 29.0' in figures
    assert 'client="followed"' not in figures

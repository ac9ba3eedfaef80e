"""The parties this gateway knows: pinned once, refreshed by themselves, never taken back to an older document."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, select, update

from partners import tables
from partners.directory import (
    Change,
    Party,
    change_state,
    find_party,
    note_change,
    parties,
    party_changes,
    party_states,
    refresh_party,
    register_party,
    replace_identity,
)
from partners.document import Jwk, Keys, LastBatch, Log, PartyDocumentError, PartyError, Retired, RetiredKey, Tls
from partners.oauth.keys import load_key_set
from schemas.batch import open_batch, write_batch
from tests.partners.party_world import DAY, NOW, VKEY, World, new_ca, new_key

URL = "https://gateway.jiashan.example:8443"


@pytest.fixture
def session():
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine, tables=[tables.party, tables.party_change])
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def world():
    return World()


def register(session, world, **changed) -> Party:
    given = {"url": URL, "ca_pem": None, "fingerprint": world.document().fingerprint, "now": NOW}
    return register_party(session, world.token(), **{**given, **changed})


def rows(session):
    return session.execute(select(tables.party)).all()


def test_a_registered_party_is_what_its_document_says(session, world):
    party = register(session, world)
    assert find_party(session, "330421") == party
    assert party.document == world.document()
    assert party.token == world.token()
    assert party.state == "approved"
    assert (party.url, party.issuer, party.ca_pem) == (URL, world.document().issuer, new_ca("Jiashan"))
    assert party.log_vkey == world.document().log.vkey
    assert party.added == party.refreshed == NOW
    assert list(load_key_set(party.jwks)) == [json.loads(party.jwks)["keys"][0]["kid"]]


def test_a_batch_the_party_signed_opens_with_its_manifest_keys_retired_ones_too(session, world):
    retired = new_key()
    last = {"water": LastBatch(seq=1, manifest="A" * 43)}
    old = Retired(manifest=(RetiredKey(key=Jwk.of(retired.public), ended="2026-06-30", last=last),))
    party = register_party(
        session, world.token(retired=old), url=URL, ca_pem=None, fingerprint=world.document().fingerprint, now=NOW
    )
    for key in (world.manifest, retired):
        batch = write_batch(
            key, [b"{}"], provider="330421", dataset="water", plan="p@1", plan_digest="", seq=1, prev="",
            first="", last="", created="2026-11-23T00:00:00.000Z",
        )  # fmt: skip
        assert open_batch(batch.file, party.manifest_keys).hash == batch.hash
    assert world.identity.kid not in party.manifest_keys


def test_nobody_is_registered_under_a_fingerprint_that_was_not_compared(session, world):
    with pytest.raises(PartyDocumentError) as caught:
        register(session, world, fingerprint=World().document().fingerprint)
    assert caught.value.code == "partner.fingerprint-differs"
    assert rows(session) == []


@pytest.mark.parametrize(
    ("given", "code"),
    [({"url": "http://x.example"}, "party.url-invalid"), ({"ca_pem": "trust me"}, "party.ca-invalid")],
)
def test_a_party_that_could_not_be_reached_safely_is_not_registered(session, world, given, code):
    with pytest.raises(PartyError) as caught:
        register(session, world, **given)
    assert caught.value.code == code
    assert rows(session) == []


def test_a_registered_party_is_not_replaced_and_the_transaction_can_still_log_the_refusal(session, world):
    register(session, world)
    impostor = World()
    with pytest.raises(PartyError) as caught:
        register(session, impostor)
    assert caught.value.code == "party.exists"
    assert find_party(session, "330421").fingerprint == world.document().fingerprint


def test_a_newer_document_by_the_pinned_identity_changes_the_keys(session, world):
    register(session, world)
    following = new_key()
    keys = world.document().keys
    newer = world.token(
        serial=2, keys=Keys(manifest=(Jwk.of(following.public),), oauth=keys.oauth, witness=keys.witness)
    )
    assert refresh_party(session, newer, now=NOW + DAY) is True
    party = find_party(session, "330421")
    assert list(party.manifest_keys) == [following.kid]
    assert (party.added, party.refreshed) == (NOW, NOW + DAY)


def test_the_same_document_seen_again_changes_nothing_but_when_it_was_seen(session, world):
    register(session, world)
    assert refresh_party(session, world.token(), now=NOW + DAY) is False
    party = find_party(session, "330421")
    assert (party.document, party.refreshed) == (world.document(), NOW + DAY)


@pytest.mark.parametrize(("held", "offered"), [(3, 2), (3, 3)], ids=["older", "another of the same serial"])
def test_a_document_that_is_not_newer_is_refused(session, world, held, offered):
    register(session, world)
    refresh_party(session, world.token(serial=held), now=NOW)
    with pytest.raises(PartyDocumentError) as caught:
        refresh_party(session, world.token(serial=offered, issuer="https://other.example"), now=NOW + DAY)
    assert caught.value.code == "partner.serial-older"
    party = find_party(session, "330421")
    assert (party.document, party.refreshed) == (world.document(serial=held), NOW)


def test_a_newer_document_by_another_identity_is_refused(session, world):
    register(session, world)
    with pytest.raises(PartyDocumentError) as caught:
        refresh_party(session, World().token(serial=2), now=NOW)
    assert caught.value.code == "partner.fingerprint-differs"
    assert find_party(session, "330421").document == world.document()


def test_a_document_of_a_party_that_is_not_registered_is_not_taken(session, world):
    with pytest.raises(PartyError) as caught:
        refresh_party(session, world.token(), now=NOW)
    assert caught.value.code == "party.unknown"
    assert rows(session) == []


MOVED = {"serial": 2, "issuer": "https://moved.example", "tls": Tls(ca=new_ca("Jiashan anew"))}


def test_a_party_that_moves_is_followed(session, world):
    register(session, world)
    refresh_party(session, world.token(**MOVED), now=NOW)
    party = find_party(session, "330421")
    assert (party.url, party.ca_pem) == ("https://moved.example", new_ca("Jiashan anew"))


def test_an_address_and_authority_that_an_administrator_set_stay(session, world):
    register(session, world, url="https://10.9.8.7:8443", ca_pem=new_ca("the exchange platform"))
    refresh_party(session, world.token(**MOVED), now=NOW)
    party = find_party(session, "330421")
    assert (party.url, party.ca_pem) == ("https://10.9.8.7:8443", new_ca("the exchange platform"))


def test_parties_come_in_the_order_of_their_codes_suspended_ones_too(session):
    worlds = {code: World(code=code) for code in ("330503", "310118", "taihu-basin")}
    for world in worlds.values():
        register(session, world)
    change_state(session, "310118", "suspended")
    change_state(session, "330503", "active")
    assert [(party.code, party.state) for party in parties(session)] == [
        ("310118", "suspended"),
        ("330503", "active"),
        ("taihu-basin", "approved"),
    ]
    assert party_states(session) == {"310118": "suspended", "330503": "active", "taihu-basin": "approved"}
    assert [party.exchanges for party in parties(session)] == [False, True, True]


STATES = ("approved", "active", "suspended", "ended")
WAYS = {
    ("approved", "active"), ("approved", "suspended"), ("active", "suspended"), ("suspended", "approved"),
    *((state, "ended") for state in STATES[:3]),
}  # fmt: skip


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_a_party_is_resumed_before_it_is_active_and_what_is_ended_stays_ended(session, world, before, after):
    register(session, world)
    session.execute(update(tables.party).values(state=before))
    if (before, after) in WAYS:
        change_state(session, "330421", after)
        assert party_states(session) == {"330421": after}
        return
    with pytest.raises(PartyError) as caught:
        change_state(session, "330421", after)
    assert caught.value.code == "party.state-wrong"
    assert party_states(session) == {"330421": before}


def test_another_identity_is_pinned_only_where_it_is_asked_for_and_the_old_document_is_given_back(session, world):
    party, other = register(session, world), World()
    pin = {"url": URL, "ca_pem": None, "now": NOW + DAY}
    with pytest.raises(PartyDocumentError) as caught:
        replace_identity(session, other.token(), fingerprint=party.fingerprint, **pin)
    assert caught.value.code == "partner.fingerprint-differs"
    before = replace_identity(session, other.token(), fingerprint=other.document().fingerprint, **pin)
    assert before == party
    assert find_party(session, "330421").fingerprint == other.document().fingerprint
    with pytest.raises(PartyDocumentError):
        refresh_party(session, world.token(serial=9), now=NOW + DAY)


def test_no_identity_is_pinned_for_a_party_that_is_not_there_or_is_ended(session, world):
    pin = {"url": URL, "ca_pem": None, "fingerprint": world.document().fingerprint, "now": NOW}
    with pytest.raises(PartyError) as caught:
        replace_identity(session, world.token(), **pin)
    assert caught.value.code == "party.unknown"
    register(session, world)
    change_state(session, "330421", "ended")
    with pytest.raises(PartyError) as caught:
        replace_identity(session, world.token(), **pin)
    assert caught.value.code == "party.state-wrong"


def test_what_became_of_a_party_is_kept_with_who_and_why(session):
    note_change(session, "330421", "approved", now=NOW, actor="li", proposal="0a1b2c3d")
    note_change(session, "330421", "suspended", now=NOW + 1, actor="wei", reason="their key was stolen")
    note_change(session, "330421", "suspended", now=NOW + 2, actor="li", replaced="eyJ")
    assert party_changes(session) == {
        "330421": [
            Change("approved", NOW, "li", "", "0a1b2c3d"),
            Change("suspended", NOW + 1, "wei", "their key was stolen", ""),
            Change("suspended", NOW + 2, "li", "", "", "eyJ"),
        ]
    }


def test_a_party_that_is_not_there_cannot_be_suspended(session):
    with pytest.raises(PartyError) as caught:
        change_state(session, "310118", "suspended")
    assert caught.value.code == "party.unknown"


@pytest.mark.parametrize("code", ["330421", "", "x" * 1000, "a\x00b", "\ud800", "' OR 1=1 --"])
def test_an_unknown_party_is_none_whatever_its_code(session, code):
    assert find_party(session, code) is None


def test_somebody_with_the_database_cannot_slip_a_key_in(session, world):
    register(session, world)
    keys = world.document().keys
    swapped = World(manifest=new_key())
    forged = swapped.token(keys=Keys(manifest=(Jwk.of(new_key().public),), oauth=keys.oauth, witness=keys.witness))
    session.execute(update(tables.party).values(document=forged))
    for read in (lambda: find_party(session, "330421"), lambda: parties(session)):
        with pytest.raises(PartyDocumentError) as caught:
            read()
        assert caught.value.code == "partner.fingerprint-differs"


def test_somebody_with_the_database_cannot_give_one_party_anothers_document(session, world):
    other = World(code="330503")
    register(session, world)
    session.execute(update(tables.party).values(document=other.token(), fingerprint=other.document().fingerprint))
    with pytest.raises(PartyDocumentError) as caught:
        find_party(session, "330421")
    assert caught.value.code == "partner.document-invalid"


def test_a_log_that_begins_anew_is_followed_too(session, world):
    register(session, world)
    log = Log(origin="gateway.jiashan.example/330421/2027", vkey=f"gateway.jiashan.example/330421/2027+01234567+{VKEY}")
    refresh_party(session, world.token(serial=2, log=log), now=NOW)
    assert find_party(session, "330421").log_vkey == log.vkey

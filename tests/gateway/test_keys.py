"""The key ring: which key signs when, how one follows another, and what is still stood by of an old one."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.form import KEY_CHANGED, PARTNER_DOCUMENT
from gateway import key_rotation, party_document
from gateway.errors import AccessDeniedError, ConflictError
from gateway.home import open_home
from gateway.key_rotation import SETTLE, rotate, settle
from gateway.keyring import TOKENS_END, KeyRing
from gateway.people.person import Person
from gateway.service import Gateway
from gateway.store.evidence import evidence_counts
from gateway.store.versions import NOTICE
from partners.document import PartyDocumentError
from partners.keys import KeysError, Rotating, create_keys, load_identity
from schemas import jws
from schemas.errors import BatchError
from schemas.times import now_millis
from tests.gateway.hands import carry, entries, hand_in, party_at, publish
from tests.gateway.key_hands import forged, holds, keeper_of, own, rotated, settled, told
from tests.people import person
from tests.world import JIASHAN, Node, reading_line


@pytest.fixture
def keeper(wujiang: Node) -> Person:
    return keeper_of(wujiang)


@pytest.mark.parametrize("use", key_rotation.ROTATING)
def test_a_key_is_published_then_used_then_history_and_each_step_is_logged(
    wujiang: Node, keeper: Person, use: Rotating
) -> None:
    gateway, began = wujiang.gateway, now_millis()
    old = gateway.keys.in_use(use, began).kid
    first = own(wujiang)
    made = rotate(gateway, use, by=keeper, now=now_millis())
    assert (made.phase, made.step, made.missing) == ("next", "take into use", ())
    assert own(wujiang).serial == first.serial + 1
    assert gateway.keys.in_use(use, now_millis()).kid == old
    used = rotate(gateway, use, by=keeper, now=(at := now_millis()))
    assert used.key.begins == at + NOTICE
    assert gateway.keys.in_use(use, at + NOTICE - 1).kid == old
    assert gateway.keys.in_use(use, at + NOTICE).kid == made.key.kid
    later = at + NOTICE + max(SETTLE, TOKENS_END, int(gateway.settings.keys.overlap * 1000)) + 1
    assert [key.kid for key in settle(gateway, now=later)] == [old]
    assert own(wujiang).serial == first.serial + 2
    whats = [entry["detail"]["what"] for entry in entries(wujiang, KEY_CHANGED)]
    assert whats == ["made", "published", "in-use", "retired", "published"]
    assert entries(wujiang, KEY_CHANGED)[0]["actor"].startswith("person:")


def test_who_may_not_rotate_does_not(wujiang: Node, keeper: Person) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        rotate(wujiang.gateway, "manifest", by=person(wujiang, "wei", "system"), now=now_millis())
    assert caught.value.code == "person.not-permitted"
    with pytest.raises(AccessDeniedError) as caught:
        rotate(wujiang.gateway, "manifest", by=keeper, now=now_millis() + 10 * 60_000)
    assert caught.value.code == "person.confirm-again"
    assert own(wujiang).serial == 1


def test_a_key_is_not_used_before_every_active_partner_has_its_document_or_the_overlap_is_over(
    wujiang: Node, jiashan: Node, keeper: Person
) -> None:
    gateway = wujiang.gateway
    made = rotate(gateway, "manifest", by=keeper, now=now_millis())
    assert made.missing == (JIASHAN,)
    with pytest.raises(ConflictError) as caught:
        rotate(gateway, "manifest", by=keeper, now=now_millis())
    assert caught.value.code == "keys.waiting"
    holds(wujiang, JIASHAN, made.key.serial or 0)
    assert rotate(gateway, "manifest", by=keeper, now=now_millis()).key.begins
    again = rotate(gateway, "oauth", by=keeper, now=now_millis())
    assert again.missing == (JIASHAN,)
    over = now_millis() + int(gateway.settings.keys.overlap * 1000)
    statuses = key_rotation.key_statuses(gateway, now=over)
    assert [one.waits_for for one in statuses if one.key.kid == again.key.kid] == [""]


def test_another_process_signs_with_the_new_key_from_the_same_instant_on(wujiang: Node, keeper: Person) -> None:
    other = Gateway(open_home(wujiang.gateway.settings.home))
    try:
        assert other.keys.manifest.kid == wujiang.gateway.keys.manifest.kid
        _, new = rotated(wujiang, "manifest")
        assert other.keys.manifest.kid == new
        assert other.keys.manifest.public == wujiang.gateway.keys.manifest.public
    finally:
        other.close()


def test_a_process_without_the_private_half_signs_nothing_for_that_use_and_says_so(
    wujiang: Node, keeper: Person, tmp_path: Path
) -> None:
    _, new = rotated(wujiang, "manifest")
    gateway = wujiang.gateway
    (gateway.settings.home / "keys" / f"manifest-{new}.pem").unlink()
    elsewhere = KeyRing(open_home(gateway.settings.home), gateway.database)
    with pytest.raises(KeysError) as caught:
        _ = elsewhere.manifest
    assert (caught.value.code, caught.value.pointers) == ("keys.absent", (new,))
    assert elsewhere.oauth.kid == gateway.keys.oauth.kid


def test_what_waits_is_published_under_the_new_key_and_the_old_one_ends_with_its_last_number(
    wujiang: Node, jiashan: Node, keeper: Person
) -> None:
    [sites] = [batch for batch in publish(wujiang) if batch.manifest.dataset == "wj-sites"]
    hand_in(wujiang, reading_line(0))
    [first] = publish(wujiang)
    old, new = rotated(wujiang, "manifest")
    hand_in(wujiang, reading_line(1))
    [second] = publish(wujiang)
    assert [jws.kid_of(batch.token) for batch in (first, second)] == [old, new]
    settled(wujiang)
    [retired] = own(wujiang).retired.manifest
    assert {name: (last.seq, last.manifest) for name, last in retired.last.items()} == {
        "wj-sites": (1, sites.hash), "wj-antimony": (1, first.hash),
    }  # fmt: skip
    told(wujiang, jiashan)
    for batch in (sites, first, second):
        assert carry(batch, wujiang, jiashan).verdict == "accepted"


def test_what_an_old_key_signs_after_its_end_is_refused_and_kept_as_evidence(
    wujiang: Node, jiashan: Node, keeper: Person
) -> None:
    thief = wujiang.gateway.keys.manifest
    hand_in(wujiang, reading_line(0))
    first = publish(wujiang)[-1]
    rotated(wujiang, "manifest")
    settled(wujiang)
    told(wujiang, jiashan)
    assert carry(first, wujiang, jiashan).verdict == "accepted"
    with pytest.raises(BatchError) as caught:
        carry(forged(thief, first), wujiang, jiashan)
    assert caught.value.code == "batch.key-retired"
    with jiashan.gateway.database.read() as session:
        assert evidence_counts(session)[wujiang.party, "batch.key-retired"] == 1


def test_jwks_keep_an_old_oauth_key_until_its_last_token_has_ended(wujiang: Node, keeper: Person) -> None:
    keys = wujiang.gateway.keys
    old, new = rotated(wujiang, "oauth")
    now = now_millis()
    assert [key.kid for key in keys.oauth_keys(now)] == [new, old]
    assert [key.kid for key in keys.oauth_keys(now + TOKENS_END)] == [new]


def test_an_identity_key_that_is_off_line_signs_a_draft_and_takes_part_in_a_rotation(
    wujiang: Node, keeper: Person, tmp_path: Path
) -> None:
    home = wujiang.gateway.settings.home
    (home / "keys" / "identity.pem").rename(tmp_path / "identity.pem")
    gateway = Gateway(open_home(home))
    try:
        made = rotate(gateway, "manifest", by=keeper, now=now_millis())
        assert "identity" in made.waits_for
        identity = load_identity(tmp_path / "identity.pem")
        draft = party_document.draft_text(party_document.draft_document(gateway, now=now_millis()))
        signed = party_document.sign_draft(identity, draft)
        stranger = create_keys(tmp_path / "stranger").identity
        assert stranger is not None
        for token, code in (
            (party_document.sign_draft(identity, draft.replace('"serial": 2', '"serial": 1')), "partner.serial-older"),
            (party_document.sign_draft(identity, draft.replace("/v1/inbox", "/v2/inbox")), "document.outdated"),
        ):
            with pytest.raises(PartyDocumentError) as caught:
                party_document.install_document(gateway, token, by=keeper, now=now_millis())
            assert caught.value.code == code
        with pytest.raises(PartyDocumentError):
            party_document.sign_draft(stranger, draft)
        assert party_document.install_document(gateway, signed, by=keeper, now=now_millis()).serial == 2
        assert rotate(gateway, "manifest", by=keeper, now=now_millis()).key.begins
    finally:
        gateway.close()


def test_the_private_half_of_an_old_key_is_destroyed_and_a_restart_finds_the_new_one(
    wujiang: Node, keeper: Person
) -> None:
    old, new = rotated(wujiang, "manifest")
    with pytest.raises(ConflictError) as caught:
        key_rotation.retire(wujiang.gateway, "manifest", by=keeper, now=now_millis())
    assert caught.value.code == "keys.waiting"
    later = now_millis() + SETTLE + NOTICE
    assert key_rotation.retire(wujiang.gateway, "manifest", by=keeper, now=later) == [old]
    folder = wujiang.gateway.settings.home / "keys"
    assert not list(folder.glob("manifest-*.pem"))
    again = Gateway(open_home(wujiang.gateway.settings.home))
    assert again.keys.manifest.kid == new
    again.close()


def test_a_partner_that_takes_the_document_logs_it_and_follows_its_oauth_keys(
    wujiang: Node, jiashan: Node, keeper: Person
) -> None:
    _, new = rotated(wujiang, "oauth")
    told(wujiang, jiashan)
    client = jiashan.gateway.load_client(f"{wujiang.party}-gateway")
    assert client is not None
    assert new in client.keys
    assert party_at(jiashan, wujiang).document.serial == 2
    assert [entry["detail"]["serial"] for entry in entries(jiashan, PARTNER_DOCUMENT)] == [2]

"""The party document: what is taken, what is refused, and what two administrators read to each other."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.document import (
    MAX_DOCUMENT,
    Jwk,
    LastBatch,
    PartyDocumentError,
    PartyError,
    Retired,
    RetiredKey,
    RetiredVkey,
    check_ca,
    claimed_party,
    fingerprint,
    host_of,
    make_document,
    open_document,
)
from partners.oauth.keys import load_signing_key, public_jwks
from schemas import jws
from schemas.times import utc_text
from tests.partners.party_world import DAY, NOW, VKEY, World, new_key

WORLD = World()
HASH = jws.b64encode(hashlib.sha256(b"a manifest").digest())


def retired(**changed):
    members = {
        "key": Jwk.of(new_key().public),
        "ended": "2026-06-30",
        "last": {"water": LastBatch(seq=7, manifest=HASH)},
    }
    return RetiredKey(**{**members, **changed})


def payload(**changed):
    return {**msgspec.to_builtins(WORLD.document()), **changed}


def changed_in(path: str, value: object) -> dict[str, object]:
    """The payload with the member at `path` (dotted; numbers for places in a list) set to `value`."""
    document = json.loads(json.dumps(payload(retired=msgspec.to_builtins(Retired(manifest=(retired(),))))))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = document
    for part in parents:
        inner = inner[part]
    inner[last] = value
    return document


def test_what_was_signed_is_what_is_opened():
    old = Retired(
        manifest=(retired(),),
        log=(RetiredVkey(vkey=f"log+01234567+{VKEY}", ended="2026-01-31"),),
        witness=(RetiredVkey(vkey=f"witness+01234567+{VKEY}", ended="2026-01-31"),),
    )
    document = WORLD.document(retired=old)
    assert open_document(make_document(WORLD.identity, document)) == document


def test_the_fingerprint_is_the_first_128_bits_of_the_sha_256_in_eight_groups_of_four():
    public = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    digits = hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]
    printed = fingerprint(public)
    assert printed.replace(" ", "") == digits
    assert [len(group) for group in printed.split(" ")] == [4] * 8


@pytest.mark.parametrize(
    "as_typed", [str.upper, lambda text: text.replace(" ", ":"), lambda text: text.replace(" ", "")]
)
def test_a_fingerprint_may_be_typed_as_people_type(as_typed):
    printed = fingerprint(WORLD.identity.public)
    assert open_document(WORLD.token(), pinned=as_typed(printed)) == WORLD.document()


@pytest.mark.parametrize(
    "pinned",
    [
        pytest.param(fingerprint(new_key().public), id="another identity"),
        pytest.param(fingerprint(WORLD.identity.public)[:-1], id="one digit short"),
        pytest.param("", id="nothing"),
    ],
)
def test_another_identity_than_the_pinned_one_is_refused(pinned):
    with pytest.raises(PartyDocumentError) as caught:
        open_document(WORLD.token(), pinned=pinned)
    assert caught.value.code == "partner.fingerprint-differs"


def test_a_document_signed_with_another_key_than_the_identity_in_it_is_refused():
    thief = World()
    token = thief.signed(WORLD.document())
    with pytest.raises(PartyDocumentError) as caught:
        open_document(token, pinned=fingerprint(WORLD.identity.public))
    assert caught.value.code == "partner.document-invalid"


def test_a_signature_by_the_identity_under_its_kid_but_over_other_bytes_is_refused():
    header, _, signature = WORLD.token().split(".")
    forged = jws.b64encode(json.dumps(payload(serial=99)).encode())
    with pytest.raises(PartyDocumentError) as caught:
        open_document(f"{header}.{forged}.{signature}")
    assert caught.value.code == "partner.document-invalid"


def test_a_manifest_is_not_a_party_document_even_when_signed_by_the_identity():
    with pytest.raises(PartyDocumentError) as caught:
        open_document(WORLD.signed(WORLD.document(), typ="taipu-batch+jws"))
    assert caught.value.code == "partner.document-invalid"


def test_an_expired_document_is_flagged_and_not_refused():
    document = open_document(WORLD.token(expires=utc_text(NOW + DAY)))
    assert not document.expired(NOW + DAY - 1)
    assert document.expired(NOW + DAY)


def test_members_of_a_later_version_are_left_alone():
    later = {**payload(), "colour": "green", "versions": [1, 2]}
    later["keys"] = {**later["keys"], "sm2": ["…"]}
    assert open_document(WORLD.signed(later)).versions == (1, 2)


LONG = "x" * 70
PRIVATE = {"keys": [load_signing_key(WORLD.oauth).as_dict(private=True)]}
OTHER_KIND = {"keys": [{**msgspec.to_builtins(Jwk.of(new_key().public)), "use": "sig"}]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("party", "Jiashan"), ("party", 330421), ("party", "330421\n"), ("party", None),
        ("names", {"zh": "嘉善县"}), ("names.en", ""), ("names.zh", LONG), ("names.en", "a\u0000b"),
        ("names.zh", "\ud800"), ("names.en", "line\nline"), ("names.en", "  "),
        ("versions", []), ("versions", ["1"]), ("versions", [True]), ("versions", list(range(9))),
        ("issuer", "http://gateway.example"), ("issuer", "https://gateway.example/x"), ("issuer", "https://a@b"),
        ("issuer", "https://gateway.example:8443\n"), ("issuer", "https://127.0.0.1.5"), ("issuer", ""),
        ("endpoints", []), ("endpoints", {"feeds": "ftp://x"}), ("endpoints", {"feeds": "https://x/?q"}),
        ("endpoints", {"a b": "https://x"}), ("endpoints", {f"e{n}": "https://x" for n in range(65)}),
        ("identity", None), ("identity", []), ("identity.x", "AAAA"), ("identity.kty", "EC"),
        ("identity.crv", "X25519"), ("identity.kid", HASH), ("keys.manifest", []), ("keys.manifest", [{}]),
        ("keys.manifest.0.kid", HASH),
        ("keys.manifest.0.x", "!" * 43), ("keys.manifest.0.x", HASH + "\n"), ("keys.manifest.0.kid", 5),
        ("keys.manifest", [msgspec.to_builtins(Jwk.of(WORLD.identity.public))]),
        ("keys.manifest", [msgspec.to_builtins(Jwk.of(WORLD.manifest.public))] * 2),
        ("keys.oauth", {}), ("keys.oauth", {"keys": []}), ("keys.oauth", {"keys": [5]}), ("keys.oauth", PRIVATE),
        ("keys.oauth", OTHER_KIND), ("keys.oauth.keys.0.x", HASH), ("keys.oauth.keys.0.alg", "none"),
        ("keys.witness", ""), ("keys.witness", "two words+01234567+AAAA"), ("keys.witness", "w+0123456+AAAA"),
        ("log.origin", "two words"), ("log.origin", "another"), ("log.origin", "plus+sign"), ("log.vkey", "x"),
        ("tls", {}), ("tls", None), ("tls.ca", ""), ("tls.ca", "嘉"), ("tls.ca", "-----BEGIN CERTIFICATE-----"),
        ("serial", 0), ("serial", -1), ("serial", 2**53), ("serial", "1"), ("serial", 1.5), ("serial", True),
        ("issued", "yesterday"), ("issued", "2026-11-23T02:00:00"), ("expires", "2026-11-23T02:00:00.000Z"),
        ("expires", "9999-99-99T00:00:00Z"), ("retired", []), ("retired.manifest.0.ended", "2026-02-30"),
        ("retired.manifest.0.ended", "June"), ("retired.manifest.0.last", {"water": {"seq": 0, "manifest": HASH}}),
        ("retired.manifest.0.last", {"water": {"seq": 1, "manifest": "short"}}),
        ("retired.manifest.0.key", msgspec.to_builtins(Jwk.of(WORLD.manifest.public))),
        ("retired.log", [{"vkey": "log+01234567+AAAA", "ended": "2026-13-01"}]),
        ("retired.log", [{"ended": "2026-01-01"}]),
    ],
)  # fmt: skip
def test_a_member_that_cannot_be_is_refused_though_the_signature_holds(path, value):
    with pytest.raises(PartyDocumentError) as caught:
        open_document(WORLD.signed(changed_in(path, value)))
    assert caught.value.code == "partner.document-invalid"


@pytest.mark.parametrize("member", list(payload()))
def test_a_member_that_is_not_there_is_refused(member):
    with pytest.raises(PartyDocumentError) as caught:
        open_document(WORLD.signed({name: value for name, value in payload().items() if name != member}))
    assert caught.value.code == "partner.document-invalid"


def test_a_fault_is_named_by_its_place():
    with pytest.raises(PartyDocumentError) as caught:
        open_document(WORLD.signed(changed_in("keys.manifest.0.kid", 5)))
    assert caught.value.pointers == ("/keys/manifest/0/kid",)
    with pytest.raises(PartyDocumentError) as caught:
        open_document(WORLD.signed({**payload(), "party": "X", "issuer": "X"}))
    assert caught.value.pointers == ("/party", "/issuer")


def test_a_document_that_partners_would_refuse_is_not_signed():
    with pytest.raises(PartyDocumentError) as caught:
        make_document(WORLD.identity, WORLD.document(issuer="http://gateway.example"))
    assert caught.value.code == "partner.document-invalid"
    with pytest.raises(PartyDocumentError) as caught:
        make_document(new_key(), WORLD.document())
    assert caught.value.code == "partner.document-invalid"


def test_two_oauth_keys_stand_side_by_side_while_they_change():
    following = ec.generate_private_key(ec.SECP256R1())
    jwks = public_jwks([load_signing_key(WORLD.oauth), load_signing_key(following)])
    document = open_document(WORLD.signed(changed_in("keys.oauth", jwks)))
    assert len(document.keys.oauth["keys"]) == 2


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("a.b", id="two parts"),
        pytest.param("嘉.善.县", id="not ASCII"),
        pytest.param("." * 70_000, id="many dots"),
        pytest.param(jws.sign(WORLD.identity, "taipu-party+jws", {"identity": "x" * MAX_DOCUMENT}), id="too long"),
        pytest.param(jws.sign(WORLD.identity, "taipu-party+jws", {}), id="no members"),
        pytest.param(".".join([jws.b64encode(b"[" * 20_000)] * 3), id="nested without end"),
        pytest.param(".".join([jws.b64encode(b'{"a":' * 900 + b"1" + b"}" * 900)] * 3), id="nested deep"),
        pytest.param(".".join([jws.b64encode(b'{"identity":{},"identity":{}}')] * 3), id="a member twice"),
    ],
)
def test_what_is_no_document_at_all_is_refused(token):
    for read in (open_document, claimed_party):
        with pytest.raises(PartyDocumentError) as caught:
            read(token)
        assert caught.value.code == "partner.document-invalid"


@pytest.mark.parametrize(("depth", "taken"), [(15, True), (16, False), (300, False), (900, False), (20_000, False)])
def test_unknown_members_may_be_nested_only_so_deep_that_they_open_anywhere(depth, taken):
    document = WORLD.signed({**payload(), "later": "@"})
    header, body, _ = document.split(".")
    text = jws.b64decode(body).replace(b'"@"', b"[" * depth + b"]" * depth)
    signed = f"{header}.{jws.b64encode(text)}"
    token = f"{signed}.{jws.b64encode(WORLD.identity.private.sign(signed.encode()))}"
    if taken:
        assert open_document(token) == WORLD.document()
        return
    with pytest.raises(PartyDocumentError) as caught:
        open_document(token)
    assert caught.value.code == "partner.document-invalid"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(member=st.sampled_from([*payload(), "keys.manifest", "keys.oauth", "keys.oauth.keys.0", "tls.ca"]), value=JSON)
def test_no_value_of_any_member_raises_anything_but_our_error(member, value):
    try:
        open_document(WORLD.signed(changed_in(member, value)))
    except PartyDocumentError as error:
        assert error.code == "partner.document-invalid"  # noqa: PT017 - most values are refused, some may be taken


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://gateway.example", "gateway.example"),
        ("https://gateway.example:8443", "gateway.example"),
        ("https://xn--fiqs8s.example", "xn--fiqs8s.example"),
        ("https://10.0.0.1", "10.0.0.1"),
        ("https://[2001:db8::7]:8443", "2001:db8::7"),
    ],
)
def test_the_host_of_an_address(url, host):
    assert host_of(url) == host
    assert host_of(f"{url}/v1/feeds", path=True) == host


@pytest.mark.parametrize(
    "url",
    [
        "https://Gateway.example", "https://gateway.example.", "https://-a.example", "https://a..b", "https://a_b",
        "https://嘉善.example", "https://a b", "https://a\\b", "https://a#b", "https://a?b", "https://a:b@c", "//a",
        "https://a:", "https://a:65536", "https://a:08443", "https://[::1", "https://::1", "https://[1.2.3.4]",
        "https://[:::]",
        f"https://{'a' * 64}.example", "https://a/" + "x" * 500, "https://256.1.1.1", " https://a", "https://a/é",
    ],
)  # fmt: skip
def test_an_address_that_readers_could_take_two_ways_is_refused(url):
    with pytest.raises(PartyError) as caught:
        host_of(url, path=True)
    assert caught.value.code == "party.url-invalid"


def test_what_is_not_a_certificate_is_no_authority():
    with pytest.raises(PartyError) as caught:
        check_ca("trust me")
    assert caught.value.code == "party.ca-invalid"

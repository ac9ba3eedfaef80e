"""The gateway's own keys on disk: made once, never written over, never shared."""

from __future__ import annotations

import hashlib
import json
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from partners.keys import KeysError, OauthKey, create_keys, load_keys, private_pem
from schemas.jws import b64encode

PASSPHRASE = b"correct horse battery staple"
USES = ("identity", "manifest", "log", "witness", "oauth", "secret")


def kids(keys):
    return {use: key.kid for use, key in vars(keys).items() if key is not None}


def test_what_was_created_is_what_is_loaded_and_every_use_has_a_key_of_its_own(tmp_path):
    created = create_keys(tmp_path / "keys")
    loaded = load_keys(tmp_path / "keys")
    assert kids(loaded) == kids(created)
    assert tuple(kids(created)) == USES
    assert len(set(kids(created).values())) == len(USES)


def test_only_the_owner_can_read_the_files(tmp_path):
    create_keys(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "keys").iterdir()} == {0o600}


def test_keys_are_never_written_over(tmp_path):
    created = create_keys(tmp_path / "keys")
    with pytest.raises(KeysError) as caught:
        create_keys(tmp_path / "keys")
    assert caught.value.code == "keys.exist"
    assert kids(load_keys(tmp_path / "keys")) == kids(created)


def test_the_oauth_key_goes_by_its_rfc_7638_thumbprint():
    private = ec.derive_private_key(1, ec.SECP256R1())  # so the public key is the curve's generator (SEC 2, 2.4.2)
    x = "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
    y = "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
    jwk = {"crv": "P-256", "kty": "EC", "x": b64encode(bytes.fromhex(x)), "y": b64encode(bytes.fromhex(y))}
    digest = hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest()
    assert OauthKey.of(private).kid == b64encode(digest)


@pytest.mark.parametrize("use", USES[1:])
def test_a_key_that_is_not_there_is_missing(tmp_path, use):
    create_keys(tmp_path / "keys")
    (tmp_path / "keys" / f"{use}.pem").unlink()
    with pytest.raises(KeysError) as caught:
        load_keys(tmp_path / "keys")
    assert caught.value.code == "keys.missing"
    assert caught.value.pointers == (f"{use}.pem",)


def test_the_identity_key_may_be_kept_off_line(tmp_path):
    create_keys(tmp_path / "keys")
    (tmp_path / "keys" / "identity.pem").unlink()
    assert load_keys(tmp_path / "keys").identity is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
@pytest.mark.parametrize("use", USES)
def test_a_key_that_others_may_touch_is_refused(tmp_path, use, mode):
    create_keys(tmp_path / "keys")
    (tmp_path / "keys" / f"{use}.pem").chmod(mode)
    with pytest.raises(KeysError) as caught:
        load_keys(tmp_path / "keys")
    assert caught.value.code == "keys.permissions"


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\xff" * 50, id="not PEM"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", id="PEM around nothing"),
        pytest.param(private_pem(rsa.generate_private_key(65537, 2048), None), id="an RSA key"),
        pytest.param(private_pem(ec.generate_private_key(ec.SECP384R1()), None), id="another curve"),
    ],
)
def test_a_file_that_holds_something_else_is_unreadable(tmp_path, use, content):
    create_keys(tmp_path / "keys")
    (tmp_path / "keys" / f"{use}.pem").write_bytes(content)
    with pytest.raises(KeysError) as caught:
        load_keys(tmp_path / "keys")
    assert caught.value.code == "keys.unreadable"
    assert caught.value.pointers == (f"{use}.pem",)


def test_a_directory_in_the_place_of_a_key_is_unreadable(tmp_path):
    create_keys(tmp_path / "keys")
    (tmp_path / "keys" / "log.pem").unlink()
    (tmp_path / "keys" / "log.pem").mkdir()
    with pytest.raises(KeysError) as caught:
        load_keys(tmp_path / "keys")
    assert caught.value.code == "keys.unreadable"


def test_one_key_for_two_uses_is_refused(tmp_path):
    create_keys(tmp_path / "keys")
    (tmp_path / "keys" / "log.pem").write_bytes((tmp_path / "keys" / "witness.pem").read_bytes())
    with pytest.raises(KeysError) as caught:
        load_keys(tmp_path / "keys")
    assert caught.value.code == "keys.unreadable"


def test_with_a_passphrase_no_key_lies_in_clear(tmp_path):
    created = create_keys(tmp_path / "keys", passphrase=PASSPHRASE)
    assert all(b"ENCRYPTED" in file.read_bytes() for file in (tmp_path / "keys").iterdir())
    assert kids(load_keys(tmp_path / "keys", passphrase=PASSPHRASE)) == kids(created)


@pytest.mark.parametrize(
    ("written_under", "read_under"),
    [
        pytest.param(PASSPHRASE, None, id="no passphrase for an encrypted key"),
        pytest.param(PASSPHRASE, b"another passphrase", id="the wrong passphrase"),
        pytest.param(None, PASSPHRASE, id="a key in clear where a passphrase is set"),
    ],
)
def test_a_key_under_another_passphrase_is_unreadable(tmp_path, written_under, read_under):
    create_keys(tmp_path / "keys", passphrase=written_under)
    with pytest.raises(KeysError) as caught:
        load_keys(tmp_path / "keys", passphrase=read_under)
    assert caught.value.code == "keys.unreadable"


def test_the_pem_of_a_key_is_pkcs8():
    assert private_pem(ed25519.Ed25519PrivateKey.generate(), None).startswith(b"-----BEGIN PRIVATE KEY-----\n")

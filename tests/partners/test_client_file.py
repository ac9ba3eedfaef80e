"""The client file: strict, and its key as private as a key must be."""

from __future__ import annotations

import json
import stat

import pytest

from partners.client import PartnerClient
from partners.client_file import create_client_key, read_client_file
from partners.keys import KeysError
from partners.oauth.client import GatewayAuth
from partners.oauth.keys import load_key_set
from schemas.errors import SharingError
from tests.partners.party_world import new_ca

SAID = {
    "url": "https://gateway.example:8443", "ca": "ca.pem", "client_id": "one", "key": "one.pem",
    "scope": "feeds:read audit:read",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ca.pem").write_text(new_ca("one"))
    create_client_key(tmp_path / "one.pem")
    return tmp_path


def written(folder, **changed):
    path = folder / "client.json"
    path.write_text(json.dumps(SAID | changed))
    return path


def test_paths_are_relative_to_the_file_and_authorities_may_stand_in_it(folder, monkeypatch):
    monkeypatch.chdir("/")
    known = read_client_file(written(folder))
    assert (known.url, known.client_id, known.scopes) == (SAID["url"], "one", ("feeds:read", "audit:read"))
    assert known.ca_pem == new_ca("one")
    assert read_client_file(written(folder, ca=new_ca("one"))).ca_pem == new_ca("one")
    known.connect().close()


def test_a_key_pair_is_made_once_for_its_owner_alone(tmp_path):
    public = create_client_key(tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    (key,) = load_key_set(public).values()
    assert key.algorithm == "ES256"
    assert "PRIVATE" not in public
    with pytest.raises(KeysError, match="never written over"):
        create_client_key(tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"surprise": "x"}, "client.file-invalid"),
        ({"scope": 1}, "client.file-invalid"),
        ({"client_id": ""}, "client.file-invalid"),
        ({"key": "a\0b"}, "client.file-invalid"),
        ({"ca": "absent.pem"}, "client.file-invalid"),
        ({"ca": "one.pem"}, "party.ca-invalid"),
        ({"ca": "-----BEGIN NOTHING"}, "party.ca-invalid"),
        ({"key": "absent.pem"}, "keys.missing"),
        ({"key": "ca.pem"}, "keys.permissions"),
        ({"url": "http://gateway.example"}, "party.url-invalid"),
    ],
)
def test_what_is_no_client_file_is_refused(folder, changed, code):
    with pytest.raises(SharingError) as caught:
        read_client_file(written(folder, **changed))
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["", "[]", "{}", "{" * 10_000, '"text"', "\ud800".encode("utf-8", "surrogatepass")])
def test_other_files_are_refused_too(folder, text):
    path = folder / "client.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SharingError) as caught:
        read_client_file(path)
    assert caught.value.code == "client.file-invalid"


def test_another_address_must_be_one(folder):
    with pytest.raises(SharingError) as caught:
        read_client_file(written(folder)).connect("https://gateway.example/path")
    assert caught.value.code == "party.url-invalid"


def test_no_token_is_sent_to_somebody_whom_no_authority_vouches_for(folder):
    known = read_client_file(written(folder))
    auth = GatewayAuth(issuer=known.url, token_endpoint=known.url, client_id="one", key=known.key, scopes=known.scopes)
    with pytest.raises(RuntimeError):
        PartnerClient(known.url, None, auth)

"""The home directory: complete or not there, and HTTPS that verifies."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import stat
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from gateway.home import HomeError, create_home, open_home, renew_certificate
from gateway.setting_groups import SettingsError
from gateway.settings import describe, load_settings
from partners.document import PartyError
from partners.keys import KeysError

NOW = int(datetime.now(UTC).timestamp() * 1000)  # the TLS library has a clock of its own
DAY = 86_400_000
URL = "https://gateway.wujiang.example:8443"
PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


def make(tmp_path: Path, url: str = URL, **more):
    return create_home(tmp_path / "home", "320509", url, now=NOW, **more)


def server_certificate(home) -> x509.Certificate:
    return x509.load_pem_x509_certificate(home.settings.tls.certificate.read_bytes())


@contextmanager
def serving(home, password: bytes | None = None, *, require_client: bool = False):
    """A TLS server with the home's certificate that answers one HTTP request; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(home.settings.tls.certificate, home.settings.tls.key, password=password)
    if require_client:
        context.load_verify_locations(home.settings.tls.ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def answer() -> None:
        try:
            plain, _ = listener.accept()
            with plain, context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        except OSError:
            pass  # the client refused our certificate, which is what some tests are about

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def strict_context(home) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=home.settings.tls.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return context


def get(context: ssl.SSLContext, host: str, port: int, name: str | None = None) -> str:
    extensions = {"sni_hostname": name} if name else {}
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(f"https://{host}:{port}/", extensions=extensions).text


def test_a_home_directory_opens_as_what_was_made(tmp_path):
    made = make(tmp_path)
    opened = open_home(tmp_path / "home")
    assert opened.settings == made.settings
    assert {use: key.kid for use, key in vars(opened.keys).items()} == {
        use: key.kid for use, key in vars(made.keys).items()
    }
    assert made.settings.party == "320509"
    assert made.settings.url == URL
    assert made.settings.log_origin == f"gateway.wujiang.example/320509/{datetime.now(UTC).year}"


def test_nothing_in_it_is_open_to_others_and_nothing_is_left_beside_it(tmp_path):
    home = make(tmp_path).settings.home
    for path in [home, *home.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert list(tmp_path.iterdir()) == [home]


def test_an_empty_directory_is_taken_and_missing_parents_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    create_home(tmp_path / "empty", "310118", URL, now=NOW)
    assert open_home(tmp_path / "empty").settings.party == "310118"
    create_home(tmp_path / "a" / "b", "310118", URL, now=NOW)
    assert open_home(tmp_path / "a" / "b").settings.party == "310118"


@pytest.mark.parametrize("occupied_by", ["a file in it", "a file", "another home"])
def test_what_is_there_is_not_touched(tmp_path, occupied_by):
    target = tmp_path / "home"
    if occupied_by == "a file":
        target.write_text("mine")
    elif occupied_by == "a file in it":
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    else:
        make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(HomeError) as caught:
        make(tmp_path)
    assert caught.value.code == "home.occupied"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_place_that_cannot_be_written_to_is_said_to_be_so(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(HomeError) as caught:
        create_home(tmp_path / "file" / "home", "320509", URL, now=NOW)
    assert caught.value.code == "home.unwritable"


def test_when_the_environment_contradicts_it_no_home_directory_appears(tmp_path, monkeypatch):
    monkeypatch.setenv("TAIPU_THREADS", "many")
    with pytest.raises(SettingsError):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("party", "url", "code"),
    [
        pytest.param("Wujiang", URL, "party.code-invalid", id="party"),
        pytest.param("320509", "http://gateway.example", "party.url-invalid", id="not https"),
        pytest.param("320509", "https://u:p@gateway.example", "party.url-invalid", id="a user"),
        pytest.param("320509", "https://gateway.example/x", "party.url-invalid", id="a path"),
    ],
)
def test_an_impossible_party_or_address_is_refused_before_anything_is_made(tmp_path, party, url, code):
    with pytest.raises(PartyError) as caught:
        create_home(tmp_path / "home", party, url, now=NOW)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_home_directory_does_not_open(tmp_path):
    with pytest.raises(SettingsError) as caught:
        open_home(tmp_path)
    assert caught.value.code == "settings.missing"


def test_the_settings_file_shows_every_setting_and_its_comments_hold(tmp_path):
    home = make(tmp_path)
    file = home.settings.home / "taipu.toml"
    text = file.read_text(encoding="utf-8")
    assert all(f"# {setting.description} (" in text for setting in describe())
    # Taking every comment away from a default changes nothing.
    lines = [line[2:] if line.startswith("# ") and " = " in line else line for line in text.splitlines()]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert load_settings(home.settings.home) == home.settings


@pytest.mark.parametrize(
    ("url", "host", "name"),
    [
        pytest.param(URL, "127.0.0.1", "gateway.wujiang.example", id="its own name"),
        pytest.param(URL, "localhost", None, id="localhost"),
        pytest.param(URL, "127.0.0.1", None, id="the loopback address"),
        pytest.param("https://127.0.0.1:8443", "127.0.0.1", None, id="an address in the url"),
    ],
)
def test_the_first_run_is_https_that_verifies_strictly(tmp_path, url, host, name):
    home = make(tmp_path, url)
    with serving(home) as port:
        assert get(strict_context(home), host, port, name) == "ok"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://gateway.wujiang.example", x509.DNSName("gateway.wujiang.example"), id="name"),
        pytest.param("https://10.1.2.3:8443", "10.1.2.3", id="IPv4"),
        pytest.param("https://[2001:db8::7]:8443", "2001:db8::7", id="IPv6"),
    ],
)
def test_the_certificate_names_the_host_of_the_url(tmp_path, url, expected):
    names = server_certificate(make(tmp_path, url)).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    addresses = [str(one) for one in names.value.get_values_for_type(x509.IPAddress)]
    assert expected in (addresses if isinstance(expected, str) else list(names.value))
    assert {"127.0.0.1", "::1"} <= set(addresses)


def test_another_gateways_authority_does_not_reach_this_one(tmp_path):
    home = make(tmp_path)
    other = create_home(tmp_path / "other", "320509", URL, now=NOW)
    with serving(home) as port, pytest.raises(httpx.ConnectError):
        get(strict_context(other), "127.0.0.1", port)


def test_a_name_that_is_not_in_the_certificate_does_not_verify(tmp_path):
    home = make(tmp_path)
    with serving(home) as port, pytest.raises(httpx.ConnectError):
        get(strict_context(home), "127.0.0.1", port, "gateway.qingpu.example")


def test_the_certificate_also_shows_who_we_are_when_we_call(tmp_path):
    home = make(tmp_path)
    context = strict_context(home)
    context.load_cert_chain(home.settings.tls.certificate, home.settings.tls.key)
    with serving(home, require_client=True) as port:
        assert get(context, "127.0.0.1", port) == "ok"


def test_the_authority_lasts_ten_years_and_the_certificate_a_year(tmp_path):
    home = make(tmp_path)
    ca = x509.load_pem_x509_certificate(home.settings.tls.ca.read_bytes())
    server = server_certificate(home)
    assert ca.not_valid_after_utc - ca.not_valid_before_utc == timedelta(days=3652)
    assert server.not_valid_after_utc - server.not_valid_before_utc == timedelta(days=366)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_with_a_passphrase_no_private_key_lies_in_clear_and_the_home_needs_it_to_open(tmp_path, monkeypatch):
    home = make(tmp_path, passphrase=PASSPHRASE)
    directory = home.settings.home
    private = [*(directory / "keys").iterdir(), *(directory / "tls").glob("*.key")]
    assert len(private) == 8
    assert all(b"ENCRYPTED" in file.read_bytes() for file in private)
    with pytest.raises(KeysError):
        open_home(directory)
    monkeypatch.setenv("TAIPU_KEY_PASSPHRASE", PASSPHRASE.decode())
    opened = open_home(directory)
    assert opened.keys.manifest.kid == home.keys.manifest.kid
    renew_certificate(opened, now=NOW)
    with serving(opened, PASSPHRASE) as port:
        assert get(strict_context(opened), "localhost", port) == "ok"


def test_a_renewed_certificate_is_new_and_still_reached_through_the_same_authority(tmp_path):
    home = make(tmp_path)
    context, before = strict_context(home), server_certificate(home)
    renewed = renew_certificate(home, now=NOW + 3 * DAY)
    assert server_certificate(home) == renewed
    assert renewed.serial_number != before.serial_number
    assert renewed.not_valid_after_utc - before.not_valid_after_utc == timedelta(days=3)
    renew_certificate(home, now=NOW)
    with serving(home) as port:
        assert get(context, "127.0.0.1", port) == "ok"
    assert sorted(path.name for path in (tmp_path / "home" / "tls").iterdir()) == [
        "ca.key", "ca.pem", "server.key", "server.pem",
    ]  # fmt: skip


def test_a_renewed_certificate_follows_the_url_of_the_settings(tmp_path):
    make(tmp_path)
    file = tmp_path / "home" / "taipu.toml"
    file.write_text(file.read_text().replace(URL, "https://moved.example"))
    renewed = renew_certificate(open_home(tmp_path / "home"), now=NOW)
    names = renewed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "moved.example" in names.get_values_for_type(x509.DNSName)


def test_a_certificate_never_outlives_its_authority(tmp_path):
    home = make(tmp_path)
    ca = x509.load_pem_x509_certificate(home.settings.tls.ca.read_bytes())
    late = renew_certificate(home, now=NOW + 3600 * DAY)
    assert late.not_valid_after_utc == ca.not_valid_after_utc
    with pytest.raises(HomeError) as caught:
        renew_certificate(home, now=NOW + 3653 * DAY)
    assert caught.value.code == "home.ca-expired"
    assert server_certificate(home) == late


def test_a_certificate_issued_elsewhere_is_not_replaced(tmp_path):
    home = make(tmp_path)
    shutil.copy(home.settings.tls.certificate, tmp_path / "bureau.pem")
    tls = home.settings.tls.model_copy(update={"certificate": tmp_path / "bureau.pem"})
    before = server_certificate(home)
    with pytest.raises(HomeError) as caught:
        renew_certificate(replace(home, settings=home.settings.model_copy(update={"tls": tls})), now=NOW)
    assert caught.value.code == "home.certificate-foreign"
    assert server_certificate(home) == before


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [("ca.pem", HomeError, "home.certificate-unreadable"), ("ca.key", KeysError, "keys.missing")],
)
def test_without_the_authority_nothing_is_renewed(tmp_path, name, error, code):
    home = make(tmp_path)
    (home.settings.home / "tls" / name).unlink()
    with pytest.raises(error) as caught:
        renew_certificate(home, now=NOW)
    assert caught.value.code == code

"""The home directory: all that makes a gateway this party's gateway, and nothing that grows.

    taipu.toml      settings, every one with its meaning
    keys/           the gateway's own keys, see `partners.keys`
    tls/            ca.pem, ca.key        a certificate authority of this gateway's own, ten years
                    server.pem, server.key    the certificate it issued for this gateway, 366 days

`taipu init` makes it, so that the first run is already HTTPS (RFC 5280, RFC 9525). The directory appears complete or
not at all. What this module must never do: write into a directory that holds something, or replace a certificate that
somebody else issued.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.files import replace_file, sync_folder
from gateway.settings import ENV_PREFIX, FILE_NAME, Settings, describe, load_settings
from partners.document import check_party, host_of
from partners.keys import OwnKeys, create_keys, load_ec, load_keys, private_pem, write_private
from schemas.errors import SharingError
from schemas.times import BEIJING

CA_LIFE = timedelta(days=3652)
SERVER_LIFE = timedelta(days=366)  # the most that the Mozilla intermediate profile allows
BACKDATED = timedelta(hours=1)  # a partner's clock may be behind ours


class HomeError(SharingError):
    """A home directory cannot be made or its certificate not be renewed.

    `home.occupied`, `home.unwritable`, `home.certificate-foreign`, `home.certificate-unreadable`, `home.ca-expired`.
    """

    code = "home.unwritable"


@dataclass(frozen=True)
class Home:
    """A gateway's settings and keys, opened from its home directory `settings.home`."""

    settings: Settings
    keys: OwnKeys


def create_home(
    directory: Path, party: str, url: str, *, now: int, passphrase: bytes | None = None,
    settings: Mapping[str, str | float] = MappingProxyType({}),
) -> Home:  # fmt: skip
    """Make the home directory of the gateway of `party`, which partners reach at `url`; `now` in ms UTC.

    With a `passphrase` every private key is encrypted under it; the settings must name it from then on. Other
    `settings` are written down by their dotted names (`retry.min`).

    Raises:
        HomeError: `directory` exists and is not an empty directory (`home.occupied`), or cannot be made.
        PartyError: `party.code-invalid` or `party.url-invalid`.
        SettingsError: the environment contradicts what would be made.
    """
    check_party(party)
    host = host_of(url)
    directory = directory.resolve()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise HomeError(f"{directory.parent} cannot be written to: {error.strerror}") from error
    try:
        keys = create_keys(building / "keys", passphrase=passphrase)
        _create_certificates(building / "tls", party, host, now, passphrase)
        origin = f"{host}/{party}/{datetime.fromtimestamp(now / 1000, BEIJING).year}"
        given = {**settings, "party": party, "url": url, "log_origin": origin}
        write_private(building / FILE_NAME, _settings_text(given).encode())
        load_settings(building)  # before anything is in place: the environment may contradict it
        _move_into_place(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Home(load_settings(directory), keys)


def open_home(directory: Path) -> Home:
    """The gateway whose home directory this is.

    Raises:
        SettingsError: `settings.missing` where it is no home directory, or `settings.invalid`.
        KeysError: a key cannot be used.
    """
    settings = load_settings(directory)
    return Home(settings, load_keys(settings.home / "keys", passphrase=settings.passphrase()))


def renew_certificate(home: Home, *, now: int) -> x509.Certificate:
    """A new server certificate for the `url` of the settings, from the CA partners trust already; `now` in ms UTC.

    The key stays, so that one rename replaces all there is to replace; listeners take it up when they load it again.

    Raises:
        HomeError: the settings name other files than ours, or files we cannot use, or the CA itself has expired.
        KeysError: a private key cannot be read.
    """
    settings, folder, passphrase = home.settings, home.settings.home / "tls", home.settings.passphrase()
    require_own_certificate(home)
    ca_key = load_ec(folder / "ca.key", passphrase)
    key = load_ec(folder / "server.key", passphrase)
    ca = _read_certificate(folder / "ca.pem")
    instant = _instant(now)
    if ca.not_valid_after_utc <= instant:
        raise HomeError("the certificate authority has expired: partners need a new one", code="home.ca-expired")
    certificate = _issue_server(ca, ca_key, key.public_key(), settings.party, host_of(settings.url), instant)
    replace_file(folder / "server.pem", certificate.public_bytes(Encoding.PEM))
    return certificate


def require_own_certificate(home: Home) -> None:
    """Go on only where the settings name the files that `create_home` made.

    Raises:
        HomeError: `home.certificate-foreign`.
    """
    tls, folder = home.settings.tls, home.settings.home / "tls"
    if (tls.certificate, tls.key, tls.ca) != (folder / "server.pem", folder / "server.key", folder / "ca.pem"):
        raise HomeError("the certificate in use was issued elsewhere: renew it there", code="home.certificate-foreign")


def issue_authority(key: ec.EllipticCurvePrivateKey, party: str, *, now: int) -> x509.Certificate:
    """The certificate of a new authority of `party`, over its own `key`; `now` in ms UTC."""
    return _issue_ca(key, party, _instant(now))


def _move_into_place(building: Path, directory: Path) -> None:
    # Renaming onto a directory succeeds only while that is empty, so nobody else's files can be lost here.
    try:
        building.rename(directory)
    except (FileExistsError, NotADirectoryError) as error:
        raise HomeError(f"{directory} exists and is not an empty directory", code="home.occupied") from error
    except OSError as error:
        code = "home.occupied" if error.errno == errno.ENOTEMPTY else "home.unwritable"
        raise HomeError(f"{directory} cannot be made: {error.strerror}", code=code) from error
    sync_folder(directory.parent)


def _create_certificates(folder: Path, party: str, host: str, now: int, passphrase: bytes | None) -> None:
    folder.mkdir(mode=0o700)
    instant = _instant(now)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    ca = _issue_ca(ca_key, party, instant)
    server = _issue_server(ca, ca_key, server_key.public_key(), party, host, instant)
    for name, data in {
        "ca.key": private_pem(ca_key, passphrase),
        "server.key": private_pem(server_key, passphrase),
        "ca.pem": ca.public_bytes(Encoding.PEM),
        "server.pem": server.public_bytes(Encoding.PEM),
    }.items():
        write_private(folder / name, data)


def _issue_ca(key: ec.EllipticCurvePrivateKey, party: str, instant: datetime) -> x509.Certificate:
    name = _name(f"Taipu {party} certificate authority")
    public = key.public_key()
    return (
        _certificate(name, name, public, public, instant, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificates=True), critical=True)
        .sign(key, SHA256())
    )


def _issue_server(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    public: ec.EllipticCurvePublicKey,
    party: str,
    host: str,
    instant: datetime,
) -> x509.Certificate:
    life = min(SERVER_LIFE, ca.not_valid_after_utc - (instant - BACKDATED))
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # both ends of a mutual connection
    names = dict.fromkeys([host, "localhost", "127.0.0.1", "::1"])
    return (
        _certificate(_name(f"Taipu {party}"), ca.subject, public, ca_key.public_key(), instant, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in names]), critical=False)
        .sign(ca_key, SHA256())
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer_public: ec.EllipticCurvePublicKey,
    instant: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    # Both key identifiers, on the CA too: strict verification (RFC 5280, section 4.2.1) asks for them.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(instant - BACKDATED)
        .not_valid_after(instant - BACKDATED + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _instant(now: int) -> datetime:
    return datetime.fromtimestamp(now // 1000, UTC)


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HomeError(f"{path} is not a certificate", code="home.certificate-unreadable") from error


def _settings_text(given: Mapping[str, str | float]) -> str:
    """A `taipu.toml` that says what is `given`, and shows every other setting with its default, commented out."""
    lines = [
        "# The settings of this gateway. What is commented out is the default; paths are relative to this directory.",
        f"# A variable of the environment, {ENV_PREFIX}NAME or {ENV_PREFIX}GROUP__NAME, goes before what stands here.",
    ]
    group = ""
    for setting in describe():
        group_of, _, name = setting.name.rpartition(".")
        if group_of != group:
            group = group_of
            lines += ["", f"[{group}]"]
        lines += ["", f"# {setting.description} ({setting.type})"]
        value = given.get(setting.name)
        lines.append(f"# {name} = {setting.default}".rstrip() if value is None else f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"

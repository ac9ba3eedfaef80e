"""The client file: all that a client needs to call a gateway, beside its private key.

    {"url": "https://…", "ca": "ca.pem", "client_id": "…", "key": "station.pem", "scope": "records:submit"}

`key` names a PEM file, relative to the client file; so does `ca`, which may also be the certificates themselves, so
that two files are enough to carry to another machine. The private key never leaves the client but by hand; the gateway
keeps the public half.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from partners.client import PartnerClient
from partners.document import check_ca, host_of
from partners.errors import RegistrationError
from partners.keys import load_ec, private_pem, write_private
from partners.oauth.client import GatewayAuth
from partners.oauth.keys import load_signing_key, public_jwks
from partners.oauth.metadata import TOKEN_PATH
from partners.reach import ANYWHERE

MEMBERS = ("url", "ca", "client_id", "key", "scope")
_MAX_FILE = 64 * 1024  # bytes
_PEM = "-----BEGIN "


@dataclass(frozen=True)
class ClientFile:
    """A client file, read and its key loaded. `ca_pem` has the authorities to trust at `url`."""

    url: str
    ca_pem: str
    client_id: str
    key: ECKey
    scopes: tuple[str, ...]

    def connect(self, url: str | None = None) -> PartnerClient:
        """The gateway at `url`, or where the file says, as this client; nothing is sent yet.

        Raises:
            PartyError: `party.url-invalid`.
        """
        issuer = url or self.url
        host_of(issuer)
        auth = GatewayAuth(
            issuer=issuer,
            token_endpoint=issuer + TOKEN_PATH,
            client_id=self.client_id,
            key=self.key,
            scopes=self.scopes,
        )
        return PartnerClient(issuer, self.ca_pem, auth, reach=ANYWHERE)  # its own people wrote the file


def read_client_file(path: Path) -> ClientFile:
    """The client file at `path`.

    Raises:
        RegistrationError: `client.file-invalid`: it cannot be read, or does not say what a client file says.
        KeysError: its key cannot be used.
        PartyError: its address or its authorities cannot be.
    """
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MAX_FILE))
    except OSError as error:
        raise _invalid(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{path} is not JSON") from error
    if not isinstance(said, dict) or set(said) != set(MEMBERS):
        raise _invalid(f"a client file has the members {', '.join(MEMBERS)}, and no others")
    wrong = [name for name, value in said.items() if not isinstance(value, str) or not value or "\0" in value]
    if wrong:
        raise _invalid(f"{', '.join(wrong)}: must be text", *wrong)
    host_of(said["url"])
    ca_pem = said["ca"] if said["ca"].startswith(_PEM) else _read_ca(path.parent / said["ca"])
    return ClientFile(
        url=said["url"],
        ca_pem=check_ca(ca_pem),
        client_id=said["client_id"],
        key=load_signing_key(load_ec(path.parent / said["key"], None)),
        scopes=tuple(said["scope"].split()),
    )


def create_client_key(path: Path) -> str:
    """Make a P-256 key pair, write the private half to `path` for its owner alone; the public half, as a JWK set.

    Raises:
        KeysError: `keys.exist`: there is a file already, which stays as it is; or it cannot be written.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    write_private(path, private_pem(private, None))
    return json.dumps(public_jwks([load_signing_key(private)]))


def _read_ca(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"{path} cannot be read as certificates", "ca") from error


def _invalid(detail: str, *members: str) -> RegistrationError:
    return RegistrationError(detail, code="client.file-invalid", pointers=[f"/{name}" for name in members])

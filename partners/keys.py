"""The gateway's own keys, each for one use, and how they lie on disk.

Identity, manifest, log and witness keys are Ed25519; the OAuth key is P-256 for ES256 (RFC 7518). One PKCS#8 PEM file
each, mode 0600 in a directory of mode 0700, encrypted when a passphrase is given: `manifest.pem` and so on are the keys
a gateway begins with, `manifest-KID.pem` those that follow them. Which one signs is not told by the files: that is
`gateway.keyring`'s. The identity key signs nothing but the party document, so its file may be kept off line.
`secret.pem` signs nothing at all: what this gateway seals for itself (devices' passwords, cursors, pseudonyms) is
sealed under secrets derived from it, so that the others can rotate.

What this module must never do: write over a key that could still sign, read one that other accounts can read, or use
one key twice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from partners.oauth.keys import load_signing_key
from schemas.errors import SharingError
from schemas.jws import SigningKey

Rotating = Literal["manifest", "log", "witness", "oauth"]
"""What keys in `keys/` are for that rotate. Authorities for TLS rotate too, and lie in `tls/`."""

_MAX_PEM = 16 * 1024  # bytes; ours are well under one kilobyte


class KeysError(SharingError):
    """A key file is not there, cannot be read, or must not be used as it lies there."""

    code = "keys.unreadable"


@dataclass(frozen=True)
class OauthKey:
    """A P-256 private key for ES256 and the `kid` its public half is published under."""

    kid: str
    private: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, private: ec.EllipticCurvePrivateKey) -> OauthKey:
        return cls(kid=load_signing_key(private).thumbprint(), private=private)


@dataclass(frozen=True)
class Secret:
    """What this gateway seals for itself with: never used as it is, only for deriving one secret for each purpose."""

    kid: str
    private: ed25519.Ed25519PrivateKey

    @classmethod
    def of(cls, key: SigningKey) -> Secret:
        return cls(kid=key.kid, private=key.private)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (RFC 5869): whoever learns them learns nothing of those for another."""
        return HKDF(SHA256(), 32, salt=None, info=f"taipu/{purpose}/1".encode()).derive(
            self.private.private_bytes_raw()
        )


@dataclass(frozen=True)
class OwnKeys:
    """What this gateway signs and seals with. `identity` is None where its file is kept off line."""

    identity: SigningKey | None
    manifest: SigningKey
    log: SigningKey
    witness: SigningKey
    oauth: OauthKey
    secret: Secret


def create_keys(directory: Path, *, passphrase: bytes | None = None) -> OwnKeys:
    """Make the six keys and write them to `directory`, which must not exist yet.

    Raises:
        KeysError: `keys.exist`: there is something at `directory`, which stays as it is.
    """
    keys = OwnKeys(
        identity=SigningKey.of(ed25519.Ed25519PrivateKey.generate()),
        manifest=SigningKey.of(ed25519.Ed25519PrivateKey.generate()),
        log=SigningKey.of(ed25519.Ed25519PrivateKey.generate()),
        witness=SigningKey.of(ed25519.Ed25519PrivateKey.generate()),
        oauth=OauthKey.of(ec.generate_private_key(ec.SECP256R1())),
        secret=Secret.of(SigningKey.of(ed25519.Ed25519PrivateKey.generate())),
    )
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError as error:
        raise KeysError(f"{directory} exists already; keys are never written over", code="keys.exist") from error
    for use, key in vars(keys).items():
        write_private(directory / f"{use}.pem", private_pem(key.private, passphrase))
    return keys


def load_keys(directory: Path, *, passphrase: bytes | None = None) -> OwnKeys:
    """The keys that `create_keys` wrote to `directory`.

    Raises:
        KeysError: a file is not there (`keys.missing`), others than its owner may use it (`keys.permissions`), or it
            does not hold the kind of key its name says, under this passphrase, or one that is there twice
            (`keys.unreadable`).
    """
    identity = directory / "identity.pem"
    keys = OwnKeys(
        identity=_signing_key(identity, passphrase) if identity.exists() else None,
        manifest=_signing_key(directory / "manifest.pem", passphrase),
        log=_signing_key(directory / "log.pem", passphrase),
        witness=_signing_key(directory / "witness.pem", passphrase),
        oauth=OauthKey.of(load_ec(directory / "oauth.pem", passphrase)),
        secret=Secret.of(_signing_key(directory / "secret.pem", passphrase)),
    )
    kids = [key.kid for key in vars(keys).values() if key is not None]
    if len(set(kids)) != len(kids):
        raise KeysError(f"two files in {directory} hold one key; every use has its own")
    return keys


def load_identity(path: Path, *, passphrase: bytes | None = None) -> SigningKey:
    """The identity key in a file of its own, wherever it is kept. Raises as `load_keys` does."""
    return _signing_key(path, passphrase)


def make_key(directory: Path, use: Rotating, *, passphrase: bytes | None = None) -> SigningKey | OauthKey:
    """A new key for `use`, in a file of its own beside the present one. Raises as `write_private` does."""
    key: SigningKey | OauthKey
    if use == "oauth":
        key = OauthKey.of(ec.generate_private_key(ec.SECP256R1()))
    else:
        key = SigningKey.of(ed25519.Ed25519PrivateKey.generate())
    write_private(_file_of(directory, use, key.kid), private_pem(key.private, passphrase))
    return key


def find_key(
    directory: Path, use: Rotating, kid: str, *, passphrase: bytes | None = None
) -> SigningKey | OauthKey | None:
    """The private half of the key `kid` of this use, None where it is not here.

    Raises:
        KeysError: its file cannot be used.
    """
    for path in (_file_of(directory, use, kid), directory / f"{use}.pem"):
        if path.exists():
            key = OauthKey.of(load_ec(path, passphrase)) if use == "oauth" else _signing_key(path, passphrase)
            if key.kid == kid:
                return key
    return None


def forget_key(directory: Path, use: Rotating, kid: str, *, successor: str, passphrase: bytes | None = None) -> bool:
    """Destroy the private half of a key that signs no more; whether it was here.

    Where it lies in the file that every gateway has, its `successor` takes that: one rename, and nothing is left of it.
    """
    own, first = _file_of(directory, use, kid), directory / f"{use}.pem"
    if own.exists():
        own.unlink()
        return True
    if find_key(directory, use, kid, passphrase=passphrase) is None:
        return False
    _file_of(directory, use, successor).rename(first)
    return True


def load_ec(path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    """The P-256 private key in `path`. Raises as `load_keys` does."""
    key = _load(path, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeysError(f"{path} does not hold a P-256 key", pointers=[path.name])
    return key


def private_pem(key: PrivateKeyTypes, passphrase: bytes | None) -> bytes:
    """`key` as PKCS#8 PEM, encrypted when there is a passphrase."""
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read; it is on the disk when this returns.

    Raises:
        KeysError: `keys.exist`: the file is there already.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeysError(f"{path} exists already; keys are never written over", code="keys.exist") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _file_of(directory: Path, use: Rotating, kid: str) -> Path:
    return directory / f"{use}-{kid}.pem"


def _signing_key(path: Path, passphrase: bytes | None) -> SigningKey:
    key = _load(path, passphrase)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise KeysError(f"{path} does not hold an Ed25519 key", pointers=[path.name])
    return SigningKey.of(key)


def _load(path: Path, passphrase: bytes | None) -> PrivateKeyTypes:
    where = [path.name]
    try:
        with path.open("rb") as file:
            # Asked of the open file, so that what is checked is what is read.
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_PEM)
    except FileNotFoundError as error:
        raise KeysError(f"there is no {path}", code="keys.missing", pointers=where) from error
    except OSError as error:
        raise KeysError(f"{path} cannot be read: {error.strerror}", pointers=where) from error
    if mode & 0o077:
        detail = f"{path} is open to other accounts; chmod 600 it, and replace the key if anybody may have read it"
        raise KeysError(detail, code="keys.permissions", pointers=where)
    try:
        return load_pem_private_key(data, password=passphrase)
    except TypeError as error:
        needs = "is not encrypted, though a passphrase is set" if passphrase else "is encrypted: a passphrase is needed"
        raise KeysError(f"{path} {needs}", pointers=where) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeysError(f"{path} is not a private key in PEM, or the passphrase is wrong", pointers=where) from error
